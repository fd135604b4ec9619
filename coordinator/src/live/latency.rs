//! A histogram as views and metrics want it.

use serde::Serialize;
use voteburst_burst::tally::Latency;

/// Upper bounds of the buckets, in seconds: 1, 2.5 and 5 in each decade from 1 ms to 10 s.
pub const BOUNDS_S: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// A merged histogram, reduced to what is shown. All of it is zero when nothing was counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LatencyLive {
    /// Values counted.
    pub count: u64,
    /// All of them added up, in seconds; to within the 0.1 % of the histogram.
    pub sum_s: f64,
    /// The median, in milliseconds.
    pub p50_ms: f64,
    /// The value that 99 % do not exceed, in milliseconds.
    pub p99_ms: f64,
    /// The largest, in milliseconds.
    pub max_ms: f64,
    /// Values up to each of [`BOUNDS_S`], each with all those below it; empty when nothing was counted.
    pub buckets: Vec<(f64, u64)>,
}

impl LatencyLive {
    /// Takes the figures from merged counts.
    #[must_use]
    pub fn of(latency: &Latency) -> Self {
        if latency.is_empty() {
            return Self::default();
        }
        let mut found = Self {
            count: latency.len(),
            p50_ms: latency.quantile_ms(0.5).unwrap_or(0.0),
            p99_ms: latency.quantile_ms(0.99).unwrap_or(0.0),
            max_ms: latency.max_ms().unwrap_or(0.0),
            buckets: BOUNDS_S.map(|bound| (bound, 0)).to_vec(),
            sum_s: 0.0,
        };
        for step in latency.counts().iter_recorded() {
            let (micros, count) = (step.value_iterated_to(), u64::from(step.count_at_value()));
            found.sum_s += latency.counts().median_equivalent(micros) as f64 / 1e6 * count as f64;
            // A step of the histogram belongs to the bucket that its lowest value belongs to.
            let seconds = latency.counts().lowest_equivalent(micros) as f64 / 1e6;
            if let Some((_, in_bucket)) = found.buckets.iter_mut().find(|(bound, _)| seconds <= *bound) {
                *in_bucket += count;
            }
        }
        let mut below = 0;
        for (_, in_bucket) in &mut found.buckets {
            below += *in_bucket;
            *in_bucket = below;
        }
        found
    }
}
