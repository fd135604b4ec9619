//! Every limit of the scenario with its figure, as published and on the terminal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use voteburst_burst::verdict::{Bound, Limit, Unit};

use super::Report;
use super::terminal::{block, plain};

/// One limit of the scenario, held or broken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ThresholdPart {
    /// The key under `[thresholds]`, or the expectation as it stands in `[[thresholds.limits]]`.
    pub name: String,
    /// Where it stands in the scenario, as a dotted key below `thresholds`.
    #[serde(default)]
    pub key: String,
    /// The code of the reason that a run gets which breaks it.
    pub code: String,
    /// What was measured; `null` when there was nothing to measure, or when it lies beyond every bound.
    pub measured: Option<f64>,
    /// The proxy, question or kind of phone where it was worst, of a limit on each of them; `null` of all others.
    #[serde(default)]
    pub at: Option<String>,
    /// Which side of the limit is the good one.
    pub bound: Bound,
    /// The limit.
    pub limit: f64,
    /// What `measured`, `limit` and `margin` count.
    pub unit: Unit,
    /// How far the figure is from its limit, negative beyond it.
    pub margin: Option<f64>,
    /// Whether it held; `null` when nothing could be held against it.
    pub holds: Option<bool>,
    /// In words, with the figures.
    pub text: String,
}

impl From<&Limit> for ThresholdPart {
    fn from(limit: &Limit) -> Self {
        Self {
            name: limit.name.clone(),
            key: limit.key.clone(),
            code: limit.code.into(),
            measured: limit.measured,
            at: limit.at.clone(),
            bound: limit.bound,
            limit: limit.limit,
            unit: limit.unit,
            margin: limit.margin(),
            holds: limit.holds,
            text: limit.to_string(),
        }
    }
}

impl ThresholdPart {
    /// The mark of a limit that held, was broken, or could not be tried.
    #[must_use]
    pub fn mark(&self) -> char {
        match self.holds {
            Some(true) => '✓',
            Some(false) => '✗',
            None => '·',
        }
    }
}

/// A line for each limit: whether it held, what was measured where, the limit and how far from it that was.
pub(super) fn render(out: &mut String, report: &Report) {
    let mut table = plain(&["Limits of the scenario", "measured", "limit", "margin"]);
    for threshold in &report.thresholds {
        let in_words = |figure: f64| threshold.unit.in_words(figure);
        let measured = match (threshold.measured, threshold.holds) {
            (Some(measured), _) => in_words(measured),
            (None, Some(_)) => "beyond every bound".to_owned(),
            (None, None) => "nothing".to_owned(),
        };
        let at = threshold.at.as_ref().map_or_else(String::new, |at| format!(" at {at}"));
        let sign = match threshold.bound {
            Bound::AtLeast => "≥",
            Bound::AtMost => "≤",
            Bound::Below => "<",
            Bound::Above => ">",
        };
        table.add_row([
            format!("{} {}", threshold.mark(), threshold.name),
            measured + &at,
            format!("{sign} {}", in_words(threshold.limit)),
            threshold.margin.map_or_else(|| "-".to_owned(), in_words),
        ]);
    }
    if !report.thresholds.is_empty() {
        block(out, &table);
    }
}
