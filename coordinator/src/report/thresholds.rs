//! Every limit of the scenario with its figure, as published.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use voteburst_burst::verdict::{Bound, Limit, Unit};

/// One limit of the scenario, held or broken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ThresholdPart {
    /// The key under `[thresholds]`.
    pub name: String,
    /// The code of the reason that a run gets which breaks it.
    pub code: String,
    /// What was measured; `null` when there was nothing to measure, or when it lies beyond every bound.
    pub measured: Option<f64>,
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
            name: limit.name.into(),
            code: limit.code.into(),
            measured: limit.measured,
            bound: limit.bound,
            limit: limit.limit,
            unit: limit.unit,
            margin: limit.margin(),
            holds: limit.holds,
            text: limit.to_string(),
        }
    }
}
