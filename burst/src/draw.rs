//! Seeded draws without state: the same (seed, stream, number) gives the same value on every machine,
//! whatever was drawn before it. That is what lets each agent derive its tickets alone and still agree
//! with all others, and what keeps a plan's hash the same when a new use of chance is added.

/// What a draw is for. Each use has its own stream, so that two uses never share a value.
///
/// The number of a variant is part of every plan hash: append, never reorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Stream {
    /// The instant of a ticket within its question's window.
    Arrival = 1,
    /// Whether a viewer votes on a question.
    Turnout = 2,
    /// The choice of a ticket.
    Choice = 3,
    /// The kind of phone a viewer holds.
    Phone = 4,
    /// The carrier a viewer sits behind.
    Carrier = 5,
    /// When in the doors-open ramp a viewer connects.
    Doors = 6,
    /// How long an app waits before it tries again.
    Backoff = 7,
    /// Which address a zone answers.
    ZoneAnswer = 8,
    /// In which order a carrier hands out a cached answer.
    CarrierOrder = 9,
    /// The id of a DNS query.
    QueryId = 10,
    /// How long a web server of the stage works on a vote.
    ServiceTime = 11,
    /// Where on loopback a stage sets itself up.
    StageAddress = 12,
    /// In which order a phone tries the addresses of an answer.
    PhoneOrder = 13,
    /// Which of its unshared caches a carrier answers a query from.
    CarrierCache = 14,
    /// Which carriers stretch TTLs.
    CarrierStretch = 15,
    /// How old a carrier's answer already is when the doors open.
    CarrierPhase = 16,
    /// The seeds of a forecast's trials.
    Trial = 17,
    /// How long a zone has been moving from address to address when the doors of a forecast open.
    ZonePhase = 18,
}

/// A uniform 64-bit value for the `number`th draw of a stream.
///
/// The mixing function is the finaliser of `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom
/// number generators", OOPSLA 2014, variant 13 of Stafford), applied once per input, so that
/// neighbouring numbers and seeds share no visible structure.
#[must_use]
pub fn draw(seed: u64, stream: Stream, number: u64) -> u64 {
    mix(mix(mix(seed) ^ stream as u64) ^ number)
}

/// A draw as a number in [0, 1), with the 53 bits a double can hold.
#[must_use]
pub fn unit(draw: u64) -> f64 {
    // Exact: both operands are powers of two or integers below 2^53.
    (draw >> 11) as f64 / (1_u64 << 53) as f64
}

/// A draw as a whole number below `limit` (Lemire's multiply-shift; its bias is below `limit` / 2^64).
///
/// A `limit` of 0 gives 0.
#[must_use]
pub fn below(draw: u64, limit: u64) -> u64 {
    ((u128::from(draw) * u128::from(limit)) >> 64) as u64
}

fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixing_matches_the_published_first_output_of_splitmix64() {
        // First output for seed 0 of the reference implementation (Vigna, splitmix64.c).
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn draws_of_neighbouring_numbers_fill_the_unit_interval_evenly() {
        let mut buckets = [0_u32; 10];
        for number in 0..100_000 {
            buckets[(unit(draw(7, Stream::Arrival, number)) * 10.0) as usize] += 1;
        }
        // Binomial with p = 0.1: standard deviation 95; five of them.
        for count in buckets {
            assert!((9_525..=10_475).contains(&count), "{buckets:?}");
        }
    }

    #[test]
    fn below_stays_below_and_reaches_both_ends() {
        assert_eq!(below(0, 15), 0);
        assert_eq!(below(u64::MAX, 15), 14);
        assert_eq!(below(u64::MAX, 0), 0);
    }

    #[test]
    fn streams_and_seeds_are_independent() {
        assert_ne!(draw(1, Stream::Arrival, 5), draw(1, Stream::Turnout, 5));
        assert_ne!(draw(1, Stream::Arrival, 5), draw(2, Stream::Arrival, 5));
    }
}
