//! Every limit of a scenario beside what was measured, those that held too: for readers that want a line per limit.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Effect, Facts};
use crate::scenario::Thresholds;

/// Which side of its limit a figure must stay on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// The limit is the least.
    AtLeast,
    /// The limit is the most.
    AtMost,
    /// The limit is more than the most.
    Below,
    /// The limit is less than the least.
    Above,
}

impl Bound {
    /// Whether figures must stay on the lesser side.
    #[must_use]
    pub fn is_most(self) -> bool {
        matches!(self, Self::AtMost | Self::Below)
    }

    /// Whether a figure is on the good side of a limit.
    #[must_use]
    pub fn allows(self, measured: f64, limit: f64) -> bool {
        match self {
            Self::AtLeast => measured >= limit,
            Self::AtMost => measured <= limit,
            Self::Below => measured < limit,
            Self::Above => measured > limit,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtLeast => ">=",
            Self::AtMost => "<=",
            Self::Below => "<",
            Self::Above => ">",
        })
    }
}

/// What a figure and its limit count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// A share in [0, 1].
    Share,
    /// Milliseconds.
    Ms,
    /// Open connections.
    Connections,
    /// Votes.
    Votes,
    /// Times the even share of a proxy.
    MaxOverMean,
}

impl Unit {
    /// A figure of this unit in words.
    #[must_use]
    pub fn in_words(self, figure: f64) -> String {
        match self {
            Self::Share => format!("{:.3} %", figure * 100.0),
            Self::Ms => format!("{figure:.1} ms"),
            Self::Connections | Self::Votes => format!("{figure:.0}"),
            Self::MaxOverMean => format!("{figure:.2} × the even share"),
        }
    }
}

/// One limit of a scenario, and whether it held.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// The key under `[thresholds]`, or the expectation as it stands in `[[thresholds.limits]]`.
    pub name: String,
    /// Where it stands under `[thresholds]`, as a dotted key.
    pub key: String,
    /// The code of the [`super::Reason`] that a run gets which breaks it.
    pub code: &'static str,
    /// What breaking it does to the verdict.
    pub effect: Effect,
    /// What was measured; `None` when there was nothing to measure, or when it lies beyond every bound.
    pub measured: Option<f64>,
    /// The proxy, question or kind of phone where it was worst, of a limit on each of them.
    pub at: Option<String>,
    /// Which side of the limit is the good one.
    pub bound: Bound,
    /// The limit.
    pub limit: f64,
    /// What both count.
    pub unit: Unit,
    /// Whether it held; `None` when nothing was fired, or nothing measured that could be held against it.
    pub holds: Option<bool>,
}

impl Limit {
    /// How far the measured figure is from its limit, in the limit's unit: negative beyond it.
    #[must_use]
    pub fn margin(&self) -> Option<f64> {
        self.measured.map(|measured| if self.bound.is_most() { self.limit - measured } else { measured - self.limit })
    }

    /// The same with what was measured, and whether it holds.
    #[must_use]
    pub fn held(self, measured: Option<f64>) -> Self {
        let holds = measured.map(|measured| self.bound.allows(measured, self.limit));
        Self { measured, holds, ..self }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measured = match (self.measured, self.holds) {
            (Some(measured), _) => self.unit.in_words(measured),
            (None, Some(_)) => "beyond every bound".to_owned(),
            (None, None) => "nothing".to_owned(),
        };
        let limit = self.unit.in_words(self.limit);
        let at = self.at.as_ref().map_or_else(String::new, |at| format!(" at {at}"));
        match self.bound {
            Bound::AtLeast => write!(f, "measured {measured}{at}, at least {limit} needed"),
            Bound::AtMost => write!(f, "measured {measured}{at}, at most {limit} allowed"),
            Bound::Below => write!(f, "measured {measured}{at}, less than {limit} needed"),
            Bound::Above => write!(f, "measured {measured}{at}, more than {limit} needed"),
        }
    }
}

/// Every limit that the scenario sets, in the order of its reference.
#[must_use]
pub fn limits(facts: &Facts<'_>, thresholds: &Thresholds) -> Vec<Limit> {
    let ledger = facts.ledger;
    let tried = !facts.never_began() && ledger.planned > 0;
    let share = |part: u64, of: u64| tried.then(|| part as f64 / of.max(1) as f64);
    let of_burst = |measured: Option<f64>| measured.filter(|_| tried);
    let millis = |limit: Duration| limit.as_secs_f64() * 1_000.0;
    let limit = |name: &str, code, bound, limit, unit| Limit {
        name: name.into(),
        key: name.into(),
        code,
        effect: if matches!(code, "late" | "stalled" | "unsynchronised") { Effect::Unknown } else { Effect::Fail },
        measured: None,
        at: None,
        bound,
        limit,
        unit,
        holds: None,
    };
    let mut limits = vec![
        limit("accepted_min", "accepted", Bound::AtLeast, thresholds.accepted_min, Unit::Share)
            .held(share(ledger.accepted, ledger.planned)),
        limit("complaints_max", "complaints", Bound::AtMost, thresholds.complaints_max, Unit::Share)
            .held(share(ledger.complaints, ledger.voters)),
        limit("connected_min", "connected", Bound::AtLeast, thresholds.connected_min, Unit::Share)
            .held(of_burst(facts.connected)),
    ];
    if let Some(most) = thresholds.response_p99_max {
        let response = limit("response_p99_max", "response", Bound::AtMost, millis(most), Unit::Ms);
        let response = response.held(of_burst(facts.response_p99_ms));
        // Fewer than 99 % of votes were ever accepted: there is no figure, and the limit is broken all the same.
        limits.push(Limit { holds: response.holds.or_else(|| tried.then_some(false)), ..response });
    }
    if let Some(most) = thresholds.busiest_share_max {
        let busiest = limit("busiest_share_max", "busiest-share", Bound::AtMost, most, Unit::Share);
        limits.push(busiest.held(of_burst(facts.busiest_share)));
    }
    if let Some(most) = thresholds.peak_open_max {
        let peak = limit("peak_open_max", "peak-open", Bound::AtMost, most.into(), Unit::Connections);
        limits.push(peak.held(of_burst(Some(facts.peak_open as f64))));
    }
    limits.push(
        limit("lateness_p99_max", "late", Bound::AtMost, millis(thresholds.lateness_p99_max), Unit::Ms)
            .held(facts.lateness_p99_ms),
    );
    limits.push(
        limit("stall_max", "stalled", Bound::AtMost, millis(thresholds.stall_max), Unit::Ms)
            .held(facts.longest_stall.as_ref().map(|stall| stall.length_ms)),
    );
    limits.push(
        limit("start_spread_max", "unsynchronised", Bound::AtMost, millis(thresholds.start_spread_max), Unit::Ms)
            .held(facts.start_spread_ms),
    );
    limits.extend_from_slice(&facts.expected);
    limits.extend(facts.baseline.iter().flat_map(|baseline| baseline.limits.iter().cloned()));
    limits
}
