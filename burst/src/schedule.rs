//! When viewers vote: arrival shapes, each a pure function from seed and ticket number to an instant.

use std::sync::Arc;
use std::time::Duration;

use statrs::distribution::{ContinuousCDF, Normal};

use crate::draw::{Stream, draw, unit};

/// How the votes on a question are spread over its window.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Every vote at the instant the question opens: the hardest burst there is.
    AllAtOnce,
    /// Evenly over the window.
    Uniform,
    /// Many at once, then fewer and fewer: exponential with this mean, cut off at the end of the window.
    ExponentialDecay {
        /// Mean time from opening to vote, before the cut.
        mean: Duration,
    },
    /// A short hesitation, a crest, a long tail: log-normal, cut off at the end of the window.
    LogNormal {
        /// Time by which half of the votes are in, before the cut.
        median: Duration,
        /// Standard deviation of the logarithm, above 0; 0.5 is a sharp crest, 1.5 a long tail.
        sigma: f64,
    },
    /// Recorded offsets: viewer v votes at offset v modulo their number, so that with as many viewers as offsets
    /// and a turnout of 1 the recording is replayed exactly.
    Trace {
        /// Microseconds after the question opens, each within the window.
        offsets_us: Arc<[u64]>,
    },
}

/// The least part of an untruncated shape that must fall into the window; below it the shape says nothing about the burst.
pub const LEAST_INSIDE: f64 = 0.01;

impl Shape {
    /// The part of the shape before truncation that lies within `window`, in [0, 1].
    #[must_use]
    pub fn inside(&self, window: Duration) -> f64 {
        let end = window.as_secs_f64();
        match self {
            Self::AllAtOnce | Self::Uniform | Self::Trace { .. } => 1.0,
            Self::ExponentialDecay { mean } => -libm::expm1(-end / mean.as_secs_f64()),
            Self::LogNormal { median, sigma } => Normal::standard().cdf(libm::log(end / median.as_secs_f64()) / sigma),
        }
    }

    /// The instant of a ticket, in nanoseconds after its question opens, within the window.
    ///
    /// `number` is the ticket's number in the plan and `viewer` its viewer's. Truncated shapes are drawn by the
    /// inverse of the truncated distribution function. Instants are whole microseconds and the transcendental
    /// functions come from a portable library, so that machines with different C libraries derive the same plan.
    #[must_use]
    pub fn offset_ns(&self, seed: u64, number: u64, viewer: u32, window: Duration) -> u64 {
        let part = unit(draw(seed, Stream::Arrival, number));
        let end = window.as_secs_f64();
        let seconds = match self {
            Self::AllAtOnce => 0.0,
            Self::Uniform => part * end,
            Self::ExponentialDecay { mean } => -libm::log1p(-part * self.inside(window)) * mean.as_secs_f64(),
            Self::LogNormal { median, sigma } => {
                // A part of exactly 0 would be minus infinity, which exp turns into the instant 0: right as it is.
                let z = Normal::standard().inverse_cdf(part * self.inside(window));
                median.as_secs_f64() * libm::exp(sigma * z)
            }
            Self::Trace { offsets_us } => return offsets_us[viewer as usize % offsets_us.len()] * 1_000,
        };
        // Rounding must not push a vote past the end, where it would be late by plan.
        let most = u64::try_from(window.as_micros()).unwrap_or(u64::MAX).saturating_sub(1);
        ((seconds * 1e6) as u64).min(most) * 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn shapes() -> [Shape; 5] {
        [
            Shape::AllAtOnce,
            Shape::Uniform,
            Shape::ExponentialDecay { mean: Duration::from_secs(12) },
            Shape::LogNormal { median: Duration::from_secs(15), sigma: 0.8 },
            Shape::Trace { offsets_us: vec![0, 5_000_000, 59_999_999].into() },
        ]
    }

    #[test]
    fn every_instant_lies_within_the_window_and_repeats_for_the_same_seed() {
        for shape in shapes() {
            for number in 0..5_000 {
                let offset = shape.offset_ns(11, number, number as u32, MINUTE);
                assert!(offset < 60_000_000_000, "{shape:?} {number}: {offset}");
                assert_eq!(offset, shape.offset_ns(11, number, number as u32, MINUTE));
            }
        }
    }

    #[test]
    fn drawn_instants_follow_the_truncated_distribution() {
        // Share of votes by each tenth of the window against the distribution function; the Kolmogorov–Smirnov bound
        // at 1 % for 20,000 draws is 1.63 / sqrt(20,000) = 0.0115.
        for shape in &shapes()[1..4] {
            let mut offsets: Vec<u64> = (0..20_000).map(|number| shape.offset_ns(3, number, 0, MINUTE)).collect();
            offsets.sort_unstable();
            for tenth in 1..10 {
                let at = MINUTE / 10 * tenth;
                let expected = match shape {
                    Shape::Uniform => f64::from(tenth) / 10.0,
                    _ => shape.inside(at) / shape.inside(MINUTE),
                };
                let seen = offsets.partition_point(|offset| u128::from(*offset) < at.as_nanos()) as f64 / 20_000.0;
                assert!((seen - expected).abs() < 0.0115, "{shape:?} at {at:?}: {seen} against {expected}");
            }
        }
    }

    #[test]
    fn a_trace_is_replayed_exactly_by_as_many_viewers_as_it_has_offsets() {
        let shape = Shape::Trace { offsets_us: vec![7, 3, 9].into() };
        let seen: Vec<_> = (0..3).map(|viewer| shape.offset_ns(1, 99, viewer, MINUTE)).collect();
        assert_eq!(seen, [7_000, 3_000, 9_000]);
    }
}
