//! How sure a figure of one run is, and whether two runs differ by more than that.
//!
//! Every interval here holds the true figure in 99 of 100 runs *as far as the counts go*: votes are taken as independent.
//! Votes that waited in one queue or followed one DNS answer are not, so the true spread may well be wider.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The two-sided 99 % quantile of the normal distribution. Not 95 %: a comparison has dozens of rows, of which one in
/// twenty would then differ by chance alone.
const Z: f64 = 2.575_829_303_548_901;
/// How far a histogram's value may be from the recorded one: three significant digits (HdrHistogram).
const RESOLUTION: f64 = 1e-3;

/// A figure with its 99 % interval, all in the figure's own unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// The figure as measured.
    pub value: f64,
    /// The lower end of its interval, at most `value`.
    pub low: f64,
    /// The upper end, at least `value`.
    pub high: f64,
}

impl Estimate {
    /// A share of counted things, with Wilson's score interval (E. B. Wilson, "Probable inference, the law of succession, and
    /// statistical inference", J. Am. Stat. Assoc. 22, 1927, p. 209), which also holds near 0 and 1. `None` of nothing.
    #[must_use]
    pub fn share(part: u64, of: u64) -> Option<Self> {
        if of == 0 || part > of {
            return None;
        }
        let n = of as f64;
        let share = part as f64 / n;
        let middle = share + Z * Z / (2.0 * n);
        let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + Z * Z / n;
        let (low, high) = ((middle - half) / scale, (middle + half) / scale);
        // Rounding must not put the ends on the wrong side of the share.
        Some(Self { value: share, low: low.clamp(0.0, share), high: high.clamp(share, 1.0) })
    }

    /// A percentile of `count` values, between the order statistics whose ranks bound it (the binomial interval: H. A. David,
    /// H. N. Nagaraja, *Order Statistics*, 3rd edition 2003, §7.1, with the normal approximation of the ranks).
    ///
    /// `percentile` in (0, 1); `at` gives the value at a quantile. `None` where too few values lie beyond the percentile to
    /// bound it on both sides: 99 % of 100 values has none.
    #[must_use]
    pub fn percentile(percentile: f64, count: u64, at: impl Fn(f64) -> Option<f64>) -> Option<Self> {
        let n = count as f64;
        let (middle, half) = (n * percentile, Z * (n * percentile * (1.0 - percentile)).sqrt());
        let (first, last) = ((middle - half).floor(), (middle + half).ceil() + 1.0);
        if first < 1.0 || last > n {
            return None;
        }
        let value = at(percentile)?;
        let (low, high) = (at(first / n)? * (1.0 - RESOLUTION), at(last / n)? * (1.0 + RESOLUTION));
        Some(Self { value, low: low.min(value), high: high.max(value) })
    }

    /// A figure whose spread was found by playing the same again in virtual time: the basic bootstrap interval (A. C. Davison,
    /// D. V. Hinkley, *Bootstrap Methods and their Application*, 1997, §5.2) from the 1 %, 50 % and 99 % quantiles of
    /// the trials. It holds in 98 of 100 runs.
    #[must_use]
    pub fn of_trials(value: f64, p1: f64, p50: f64, p99: f64) -> Self {
        Self { value, low: value - (p99 - p50).max(0.0), high: value + (p50 - p1).max(0.0) }
    }

    /// How much `later` is above this one, with the interval of the difference: the square-and-add rule (R. G. Newcombe,
    /// "Interval estimation for the difference between independent proportions", Statistics in Medicine 17, 1998, p. 873,
    /// method 10; for any figures G. Y. Zou, A. Donner, Statistics in Medicine 27, 2008, p. 1693).
    #[must_use]
    pub fn change_to(&self, later: &Self) -> Self {
        let value = later.value - self.value;
        let down = (later.value - later.low).hypot(self.high - self.value);
        let up = (later.high - later.value).hypot(self.value - self.low);
        Self { value, low: value - down, high: value + up }
    }

    /// Whether its interval leaves 0 out: a change of which chance alone is not the reason.
    #[must_use]
    pub fn is_not_zero(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_share_has_the_interval_that_the_formula_gives_by_hand() {
        // 10 of 100, z² = 6.6349: (0.133174 ± 0.084095) / 1.066349.
        let share = Estimate::share(10, 100).unwrap();
        assert!((share.low - 0.046_026).abs() < 1e-5 && (share.high - 0.203_751).abs() < 1e-5, "{share:?}");
    }

    #[test]
    fn a_share_of_nothing_is_unknown_and_none_of_many_still_has_a_spread() {
        assert_eq!(Estimate::share(0, 0), None);
        let none = Estimate::share(0, 1_000).unwrap();
        assert!(none.low == 0.0 && (0.006..0.007).contains(&none.high), "{none:?}");
    }

    #[test]
    fn a_percentile_needs_values_beyond_it() {
        let at = |quantile: f64| Some(quantile * 100.0);
        assert_eq!(Estimate::percentile(0.99, 100, at), None);
        assert_eq!(Estimate::percentile(0.5, 0, at), None);
        let median = Estimate::percentile(0.5, 10_000, at).unwrap();
        // Ranks 4,871 and 5,130 of 10,000, and the histogram's resolution.
        assert!((median.low - 48.66).abs() < 0.02 && (median.high - 51.35).abs() < 0.02, "{median:?}");
    }

    #[test]
    fn two_shares_differ_only_when_counts_are_large_enough_to_tell() {
        let differ = |n: u64| {
            let (a, b) = (Estimate::share(n / 10, n).unwrap(), Estimate::share(n / 10 + n / 50, n).unwrap());
            a.change_to(&b).is_not_zero()
        };
        assert!(!differ(500) && differ(50_000));
    }

    proptest! {
        #[test]
        fn a_figure_lies_in_its_interval_and_never_differs_from_itself(part in 0_u64..10_000, more in 0_u64..1_000_000) {
            if let Some(share) = Estimate::share(part, part + more) {
                prop_assert!(0.0 <= share.low && share.low <= share.value && share.value <= share.high && share.high <= 1.0);
                prop_assert!(!share.change_to(&share).is_not_zero());
            }
        }

        #[test]
        fn a_change_turns_round_with_its_sides(a in 0_u64..=1_000, b in 0_u64..=1_000) {
            let (a, b) = (Estimate::share(a, 1_000).unwrap(), Estimate::share(b, 1_000).unwrap());
            let (there, back) = (a.change_to(&b), b.change_to(&a));
            prop_assert!((there.low + back.high).abs() < 1e-12 && (there.value + back.value).abs() < 1e-12);
        }
    }
}
