//! Figures beside each other: what is true, what was reported, how far apart they may be.

use std::fmt;

/// The percentiles that are compared, as the report's keys name them.
pub(crate) const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)];

/// The value at a quantile by nearest rank, as `HdrHistogram` counts: the least value such that this share of all is no greater.
/// `values` need not be sorted. NaN of nothing.
pub(crate) fn quantile(values: &[f64], quantile: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (quantile * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

/// The larger of 100 µs and 0.5 % of a time in milliseconds: how far a reported time may be from the truth.
pub(crate) fn bound_ms(truth_ms: f64) -> f64 {
    (0.005 * truth_ms).max(0.1)
}

/// One figure of a report beside the truth. All times in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Of what.
    pub(crate) what: String,
    /// What the server was told; `None` where no one number says it.
    pub(crate) nominal: Option<f64>,
    /// What was true.
    pub(crate) truth: f64,
    /// What was reported.
    pub(crate) reported: f64,
    /// What the least client reported above its own truth at the same percentile, if it was asked.
    pub(crate) floor: Option<f64>,
    /// How far `reported` may be from `truth`.
    pub(crate) bound: f64,
}

impl Row {
    pub(crate) fn difference(&self) -> f64 {
        self.reported - self.truth
    }

    /// Whether the report is within the bound of what the server wrote down.
    pub(crate) fn holds_raw(&self) -> bool {
        self.difference().abs() <= self.bound
    }

    /// Whether it is within the bound of what anybody on this machine can see: it may be above the truth by what the least client saw
    /// above it too, for that is the kernel's and the machine's, and below it by nothing more.
    pub(crate) fn holds(&self) -> bool {
        (-self.bound..=self.bound + self.floor.unwrap_or(0.0).max(0.0)).contains(&self.difference())
    }

    /// What stands above the columns of a row.
    pub(crate) const HEAD: &str =
        "  figure                              nominal      truth   reported      diff     floor     bound  raw  holds";
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes = |holds| if holds { "yes" } else { "NO" };
        let maybe = |value: Option<f64>| value.map_or_else(|| "–".into(), |value| format!("{value:.3}"));
        write!(
            f,
            "  {:<32} {:>10} {:>10.3} {:>10.3} {:>+9.3} {:>9} {:>9.3}  {:<3}  {}",
            self.what,
            maybe(self.nominal),
            self.truth,
            self.reported,
            self.difference(),
            maybe(self.floor),
            self.bound,
            yes(self.holds_raw()),
            yes(self.holds())
        )
    }
}
