//! Histograms in the V2 encoding of HdrHistogram.
//!
//! The library writes them and this reads them: its own reader sets aside as many bytes as the header claims (32 bits, so
//! up to 4 GiB for a message of 40 bytes), builds counts for whatever bounds the header names, and needs a histogram of
//! its own for each that is read. Here counts are judged where they lie, and added to a histogram that is there already.

use hdrhistogram::serialization::{Serializer, V2Serializer};
use voteburst_burst::tally::{DIGITS, HIGHEST_US, LOWEST_US, Latency};

use super::WireProblem;
use crate::wire;

/// Cookie of the V2 encoding with one-byte word size, from the HdrHistogram project (`V2EncodingCookieBase` | 0x10).
const COOKIE: u32 = 0x1c84_9303 | 0x10;
/// Cookie, payload length, normalising offset, digits (4 bytes each), lowest, highest, ratio (8 bytes each).
const HEADER_BYTES: usize = 40;
/// A count has 32 bits and its sign one, and a byte of a number holds seven of them.
const MOST_NUMBER_BYTES: usize = 5;
/// Halves of buckets with so many counts each: of 2 × 10^3 distinct values, rounded up to a power of two, each octave
/// but the first needs the upper half (HdrHistogram's `subBucketHalfCount`).
const HALF: usize = 1_024;
/// Counts of a histogram with our bounds: its 20 buckets reach 2,048 × 2^19 µs, the first above [`HIGHEST_US`].
const COUNTS: usize = 21 * HALF;

pub(super) fn to_wire(latency: &Latency) -> Option<wire::Latency> {
    if latency.is_empty() && latency.clipped() == 0 {
        return None;
    }
    let mut counts = Vec::new();
    // Writing to memory cannot fail and 32-bit counts always fit; in silence nothing may be lost all the same.
    if let Err(error) = V2Serializer::new().serialize(latency.counts(), &mut counts) {
        unreachable!("a histogram refuses to be written to memory: {error}");
    }
    Some(wire::Latency { counts, clipped: latency.clipped() })
}

/// Reads a histogram through and keeps nothing.
pub(super) fn judge(message: Option<&wire::Latency>) -> Result<(), WireProblem> {
    let Some(wire::Latency { counts, clipped }) = message else { return Ok(()) };
    let mut len = 0;
    each_count(counts, |_, count| len += u64::from(count))?;
    if *clipped > len {
        return Err(WireProblem::TooLarge { what: "number of clipped values", found: *clipped, most: len });
    }
    Ok(())
}

/// Adds all counts to a histogram that is there; to none of them when the message is refused.
pub(super) fn add_to(latency: &mut Latency, message: Option<&wire::Latency>) -> Result<(), WireProblem> {
    judge(message)?;
    let Some(wire::Latency { counts, clipped }) = message else { return Ok(()) };
    latency.add_clipped(*clipped);
    each_count(counts, |index, count| latency.add_us(lowest_of(index), count))
}

/// Every count that is not zero, with its place among [`COUNTS`]. Numbers are LEB128 of their zig-zag form; a negative
/// one stands for so many zeros.
fn each_count(bytes: &[u8], mut found: impl FnMut(usize, u32)) -> Result<(), WireProblem> {
    judge_header(bytes)?;
    let (mut rest, mut place) = (&bytes[HEADER_BYTES..], 0_usize);
    while !rest.is_empty() {
        let number = number(&mut rest)?;
        let (zeros, count) = (number & 1, number >> 1);
        if zeros == 1 {
            place = place.saturating_add(usize::try_from(count + 1).unwrap_or(usize::MAX));
        } else {
            let count = u32::try_from(count).map_err(|_| too_wide())?;
            if count > 0 && place < COUNTS {
                found(place, count);
            }
            place += 1;
        }
        if place > COUNTS {
            return Err(WireProblem::Counts(format!("more than the {COUNTS} that a histogram has")));
        }
    }
    Ok(())
}

fn number(rest: &mut &[u8]) -> Result<u64, WireProblem> {
    let mut number = 0;
    for at in 0..MOST_NUMBER_BYTES {
        let Some((byte, behind)) = rest.split_first() else {
            return Err(WireProblem::Counts("the last number is cut short".to_owned()));
        };
        *rest = behind;
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(too_wide())
}

fn too_wide() -> WireProblem {
    WireProblem::Counts("a number of more than 32 bits".to_owned())
}

/// The lowest value that counts at this place: each half above the first has steps twice as wide.
fn lowest_of(place: usize) -> u64 {
    let octave = (place / HALF).saturating_sub(1);
    ((place - octave * HALF) as u64) << octave
}

fn judge_header(bytes: &[u8]) -> Result<(), WireProblem> {
    let differs = |what, found, needed| Err(WireProblem::Histogram { what, found, needed });
    let (Some(header), Some(payload)) = (bytes.first_chunk::<HEADER_BYTES>(), bytes.get(HEADER_BYTES..)) else {
        return differs("length in bytes", bytes.len() as u64, HEADER_BYTES as u64);
    };
    for (what, found, needed) in [
        ("cookie", word(header, 0), u64::from(COOKIE)),
        ("payload length", word(header, 4), payload.len() as u64),
        ("normalising offset", word(header, 8), 0),
        ("number of digits", word(header, 12), u64::from(DIGITS)),
        ("lowest value", long(header, 16), LOWEST_US),
        ("highest value", long(header, 24), HIGHEST_US),
        ("ratio", long(header, 32), 1.0_f64.to_bits()),
    ] {
        if found != needed {
            return differs(what, found, needed);
        }
    }
    Ok(())
}

fn word(header: &[u8; HEADER_BYTES], at: usize) -> u64 {
    header[at..at + 4].iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn long(header: &[u8; HEADER_BYTES], at: usize) -> u64 {
    word(header, at) << 32 | word(header, at + 4)
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;
    use proptest::prelude::*;

    use super::*;

    fn from_wire(message: Option<wire::Latency>) -> Result<Latency, WireProblem> {
        let mut latency = Latency::new();
        add_to(&mut latency, message.as_ref())?;
        Ok(latency)
    }

    fn encoded() -> Vec<u8> {
        let mut latency = Latency::new();
        latency.record_ns(5_000_000);
        latency.record_ns(601_000_000_000);
        to_wire(&latency).unwrap().counts
    }

    fn refusal(counts: Vec<u8>) -> WireProblem {
        from_wire(Some(wire::Latency { counts, clipped: 0 })).unwrap_err()
    }

    #[test]
    fn the_places_of_counts_are_the_librarys() {
        let latency = Latency::new();
        assert_eq!(latency.counts().distinct_values(), COUNTS);
        // Every place holds what is counted at its lowest value, and at nothing below that.
        for place in 1..COUNTS {
            assert_eq!(latency.counts().lowest_equivalent(lowest_of(place)), lowest_of(place), "place {place}");
            assert!(!latency.counts().equivalent(lowest_of(place) - 1, lowest_of(place)), "place {place}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_here_is_what_the_library_reads(
            values in proptest::collection::vec((0_u64..40, 0_u64..HIGHEST_US, 1_u32..u32::MAX / 64), 1..40),
        ) {
            let mut latency = Latency::new();
            for (shift, micros, times) in values {
                latency.add_us(micros >> (shift % 30), times);
            }
            let message = to_wire(&latency).unwrap();
            let theirs = Deserializer::new().deserialize::<u32, _>(&mut message.counts.as_slice()).unwrap();
            let ours = from_wire(Some(message)).unwrap();
            prop_assert_eq!(ours.counts(), &theirs);
            prop_assert_eq!(ours, latency);
        }
    }

    #[test]
    fn the_compressed_form_and_other_bounds_are_refused_by_their_header() {
        // Cookie of the compressed V2 form, and 2^63 with five digits, whose counts would take gigabytes.
        let mut compressed = encoded();
        compressed[..4].copy_from_slice(&0x1c84_9314_u32.to_be_bytes());
        assert!(matches!(refusal(compressed), WireProblem::Histogram { what: "cookie", .. }));
        let mut wide = encoded();
        wide[24..32].copy_from_slice(&(1_u64 << 63).to_be_bytes());
        assert!(matches!(refusal(wide), WireProblem::Histogram { what: "highest value", .. }));
        let mut fine = encoded();
        fine[12..16].copy_from_slice(&5_u32.to_be_bytes());
        assert!(matches!(refusal(fine), WireProblem::Histogram { what: "number of digits", found: 5, .. }));
    }

    #[test]
    fn more_counts_than_there_are_places_are_refused_however_they_are_said() {
        let with = |numbers: &[u8]| {
            let mut bytes = encoded()[..HEADER_BYTES].to_vec();
            bytes[4..8].copy_from_slice(&u32::try_from(numbers.len()).unwrap().to_be_bytes());
            bytes.extend(numbers);
            refusal(bytes)
        };
        // 2^32 zeros in five bytes, and a count of one behind 21,504 zeros.
        assert!(matches!(with(&[0xff, 0xff, 0xff, 0xff, 0x1f]), WireProblem::Counts(_)));
        assert!(matches!(with(&[0xff, 0xcf, 0x02, 0x02]), WireProblem::Counts(_)));
        assert!(matches!(with(&vec![2; COUNTS + 1]), WireProblem::Counts(_)));
    }

    #[test]
    fn a_header_that_promises_more_than_is_there_is_refused_before_memory_is_set_aside() {
        let mut bomb = encoded()[..HEADER_BYTES].to_vec();
        bomb[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(refusal(bomb), WireProblem::Histogram { what: "payload length", found: u64::from(u32::MAX), needed: 0 });
    }

    #[test]
    fn each_part_of_the_header_that_differs_is_named() {
        for (at, what) in [
            (0, "cookie"),
            (4, "payload length"),
            (8, "normalising offset"),
            (12, "number of digits"),
            (16, "lowest value"),
            (24, "highest value"),
            (32, "ratio"),
        ] {
            let mut bytes = encoded();
            bytes[at] ^= 0x40;
            let WireProblem::Histogram { what: named, .. } = refusal(bytes) else { panic!("{what}: another class") };
            assert_eq!(named, what);
        }
    }

    #[test]
    fn every_cut_is_refused() {
        let whole = encoded();
        for length in 0..whole.len() {
            assert!(matches!(refusal(whole[..length].to_vec()), WireProblem::Histogram { .. }), "{length} bytes");
        }
    }

    #[test]
    fn payloads_that_are_no_counts_are_refused_and_never_panic() {
        let mut all_ones = encoded();
        all_ones[HEADER_BYTES..].fill(0xff);
        all_ones.resize(HEADER_BYTES + 64, 0xff);
        let claimed = u32::try_from(all_ones.len() - HEADER_BYTES).unwrap();
        all_ones[4..8].copy_from_slice(&claimed.to_be_bytes());
        assert!(matches!(refusal(all_ones), WireProblem::Counts(_)));
    }

    #[test]
    fn more_clipped_values_than_values_are_refused() {
        let problem = from_wire(Some(wire::Latency { counts: encoded(), clipped: 3 })).unwrap_err();
        assert_eq!(problem, WireProblem::TooLarge { what: "number of clipped values", found: 3, most: 2 });
    }
}
