//! Histograms in the V2 encoding of HdrHistogram.
//!
//! The header is judged before the library sees a byte: its reader sets aside as many bytes as the header claims
//! (32 bits, so up to 4 GiB for a message of 40 bytes) and builds counts for whatever bounds the header names.

use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use voteburst_burst::tally::{DIGITS, HIGHEST_US, LOWEST_US, Latency};

use super::WireProblem;
use crate::wire;

/// Cookie of the V2 encoding with one-byte word size, from the HdrHistogram project (`V2EncodingCookieBase` | 0x10).
const COOKIE: u32 = 0x1c84_9303 | 0x10;
/// Cookie, payload length, normalising offset, digits (4 bytes each), lowest, highest, ratio (8 bytes each).
const HEADER_BYTES: usize = 40;
/// Nine of these are the number -2^63, whose negation overflows in the library's reader. No real payload holds it:
/// counts have 32 bits, so a number ends after five bytes.
const LONGEST_NUMBER: [u8; 9] = [0xff; 9];

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

pub(super) fn from_wire(message: Option<wire::Latency>) -> Result<Latency, WireProblem> {
    let Some(wire::Latency { counts, clipped }) = message else {
        return Ok(Latency::new());
    };
    judge_header(&counts)?;
    if counts[HEADER_BYTES..].windows(LONGEST_NUMBER.len()).any(|window| window == LONGEST_NUMBER) {
        return Err(WireProblem::Counts("a number of more than 32 bits".to_owned()));
    }
    let histogram = Deserializer::new()
        .deserialize::<u32, _>(&mut counts.as_slice())
        .map_err(|error| WireProblem::Counts(error.to_string()))?;
    let len = histogram.len();
    if clipped > len {
        return Err(WireProblem::TooLarge { what: "number of clipped values", found: clipped, most: len });
    }
    Latency::from_counts(histogram, clipped).ok_or_else(|| WireProblem::Counts("bounds differ from ours".to_owned()))
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
    use super::*;

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
