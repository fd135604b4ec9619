//! How unevenly the load fell on the proxies: over the run, and in its worst seconds.
//!
//! Totals hide the fault this tool exists for: a minute on one proxy and a minute on the next is balanced in total.
//! So every figure is taken per second and per five seconds as well.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Max over mean of what the proxies got. 1 is perfectly even, the number of proxies means that one got everything.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Skew {
    /// Over the whole burst.
    pub total: f64,
    /// In the worst second that is busy enough to tell (see [`Skew::of`]); `None` when none is.
    pub peak_1s: Option<f64>,
    /// In the worst five seconds that are busy enough to tell; `None` when none are.
    pub peak_5s: Option<f64>,
    /// Effective number of proxies over the whole burst: 1 / Σ share² (the inverse of Simpson's index, 1949).
    pub effective_proxies: f64,
    /// The greatest share one proxy got in the worst second, in [0, 1]; `None` when no second is busy enough to tell.
    pub busiest_share: Option<f64>,
}

/// A window tells something of skew when it holds this many events per proxy on average. With fewer, chance alone looks
/// like skew: 15 votes thrown evenly at 15 proxies have an expected max/mean of 3.
pub const EVENTS_PER_PROXY: u64 = 20;

impl Skew {
    /// The skew of events counted per proxy and second. Proxies that got nothing belong in with their zeros.
    ///
    /// Windows with fewer than [`EVENTS_PER_PROXY`] events for each proxy are left out of the peaks. `None` when nothing happened at all.
    #[must_use]
    pub fn of(proxies: &[Vec<u64>]) -> Option<Self> {
        let totals: Vec<u64> = proxies.iter().map(|seconds| seconds.iter().sum()).collect();
        let total = max_over_mean(&totals)?;
        let sum = totals.iter().sum::<u64>() as f64;
        let squares: f64 = totals.iter().map(|count| (*count as f64 / sum).powi(2)).sum();
        let peak_1s = worst_window(proxies, 1);
        Some(Self {
            total,
            peak_1s,
            peak_5s: worst_window(proxies, 5),
            effective_proxies: 1.0 / squares,
            busiest_share: peak_1s.map(|peak| peak / proxies.len() as f64),
        })
    }
}

fn max_over_mean(counts: &[u64]) -> Option<f64> {
    let sum: u64 = counts.iter().sum();
    let max = counts.iter().max()?;
    (sum > 0).then(|| *max as f64 * counts.len() as f64 / sum as f64)
}

fn worst_window(proxies: &[Vec<u64>], width: usize) -> Option<f64> {
    let length = proxies.iter().map(Vec::len).max()?;
    (0..length.saturating_sub(width - 1).max(1))
        .filter_map(|start| {
            let counts: Vec<u64> = proxies.iter().map(|seconds| seconds.iter().skip(start).take(width).sum()).collect();
            let enough = counts.iter().sum::<u64>() >= EVENTS_PER_PROXY * proxies.len() as u64;
            enough.then(|| max_over_mean(&counts)).flatten()
        })
        .max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_proxy_after_the_other_looks_even_in_total_only() {
        // Four proxies, each takes everything for five seconds.
        let proxies: Vec<Vec<u64>> = (0..4).map(|p| (0..20).map(|s| if s / 5 == p { 1_000 } else { 0 }).collect()).collect();
        let skew = Skew::of(&proxies).unwrap();
        assert_eq!((skew.total, skew.peak_1s, skew.peak_5s, skew.effective_proxies), (1.0, Some(4.0), Some(4.0), 4.0));
        assert_eq!(skew.busiest_share, Some(1.0));
    }

    #[test]
    fn proxies_that_got_nothing_count() {
        let skew = Skew::of(&[vec![500], vec![500], vec![0], vec![]]).unwrap();
        assert_eq!((skew.total, skew.effective_proxies), (2.0, 2.0));
    }

    #[test]
    fn seconds_with_too_few_events_tell_nothing() {
        let skew = Skew::of(&[vec![100, 1], vec![100, 0]]).unwrap();
        assert_eq!(skew.peak_1s, Some(1.0));
        assert_eq!(Skew::of(&[vec![3], vec![0]]).unwrap().peak_1s, None);
    }

    #[test]
    fn nothing_has_no_skew() {
        assert_eq!(Skew::of(&[]), None);
        assert_eq!(Skew::of(&[vec![0], vec![]]), None);
    }
}
