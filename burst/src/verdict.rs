//! The verdict: pass, unknown or fail, with the reasons.
//!
//! A run passes only when everything planned was seen and every limit held. What was not seen, or was measured by a
//! generator that was itself late, is *unknown*: such a run proves neither that the target held nor that it failed.

mod limits;
mod reason;

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::expect::Stopped;
use crate::ledger::Ledger;
use crate::scenario::Thresholds;

pub use limits::{Bound, Limit, Unit, limits};
pub use reason::{Effect, Reason};

/// What a rehearsal says of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every limit held, and everything planned was seen.
    Pass,
    /// The run is incomplete, was late or unsynchronised: it proves nothing either way.
    Unknown,
    /// A limit was broken.
    Fail,
}

impl Outcome {
    /// The exit code of the command.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::Unknown => 3,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Unknown => "unknown",
            Self::Fail => "fail",
        })
    }
}

/// The longest time in which an agent's worker did not come round although it was due to, from T0 to its last vote.
#[derive(Clone, Debug, PartialEq)]
pub struct LongestStall {
    /// The agent.
    pub agent: String,
    /// When it began, in seconds after T0.
    pub t_s: f64,
    /// How long it was, in milliseconds.
    pub length_ms: f64,
    /// Whether the worker was at work for most of it; otherwise the machine had taken the processor away.
    pub own_work: bool,
}

impl fmt::Display for LongestStall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = if self.own_work { "at work all the time" } else { "without a processor" };
        write!(f, "{} stood still for {:.0} ms at t = {:.1} s ({why})", self.agent, self.length_ms, self.t_s)
    }
}

/// An earlier run, and what it lets a later one be.
#[derive(Clone, Debug, PartialEq)]
pub struct Baseline {
    /// Which run it is, and why to be careful.
    pub told: String,
    /// A limit for each figure that is judged, under the code [`WORSE`].
    pub limits: Vec<Limit>,
}

/// The code of limits that an earlier run sets, and of the reasons that broken ones give.
pub const WORSE: &str = "worse";

/// Everything a verdict rests on.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The account of votes.
    pub ledger: &'a Ledger,
    /// Response time within which 99 % of planned votes were accepted, in milliseconds; `None` when fewer ever were.
    pub response_p99_ms: Option<f64>,
    /// Lateness at the 99th percentile, in milliseconds.
    pub lateness_p99_ms: Option<f64>,
    /// About how many viewers of such a plan the generator can carry, where it was late and that can be told.
    pub carries: Option<u64>,
    /// The longest stall of any agent, however short; `None` where none was seen or nobody looked.
    pub longest_stall: Option<LongestStall>,
    /// The agents' start spread with its clock bound added, in milliseconds; `None` when no agent fired.
    pub start_spread_ms: Option<f64>,
    /// The greatest share of one proxy in its worst second.
    pub busiest_share: Option<f64>,
    /// The most connections open at one proxy.
    pub peak_open: i64,
    /// The share of viewers connected at T0, over agents that reported it.
    pub connected: Option<f64>,
    /// Failed attempts of class `local-limit`, to vote and to be there before.
    pub local_limits: u64,
    /// Failed attempts of class `not-allowed`.
    pub not_allowed: u64,
    /// Of a live target, how many proxies DNS named.
    pub proxies_by_dns: Option<usize>,
    /// Lost agents: name, why, share of the audience.
    pub lost: Vec<(String, String, f64)>,
    /// Why the run ended early, if it did for another reason than the next.
    pub partial: Option<String>,
    /// The expectation that stopped the burst.
    pub stopped: Option<Stopped>,
    /// The scenario's expectations, held against what was seen.
    pub expected: Vec<Limit>,
    /// The earlier run that this one is held against, if it is.
    pub baseline: Option<Baseline>,
    /// Checks that failed before a forced run.
    pub forced: Option<String>,
}

impl Facts<'_> {
    /// Whether nothing was fired, so that no limit was tried.
    fn never_began(&self) -> bool {
        self.partial.is_some() && self.ledger.never_sent == self.ledger.planned
    }
}

/// The verdict with its reasons, gravest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What it comes to.
    pub outcome: Outcome,
    /// Why.
    pub reasons: Vec<Reason>,
}

impl Verdict {
    /// Judges a run.
    ///
    /// A ledger that does not balance fails the run whatever else is true. Otherwise an incomplete, late or unsynchronised
    /// run is unknown, even where a limit was broken: the missing part or the generator may have broken it.
    #[must_use]
    pub fn judge(facts: &Facts<'_>, thresholds: &Thresholds) -> Self {
        let mut reasons = ledger_reasons(facts.ledger);
        reasons.extend(facts.stopped.clone().map(Reason::Stopped));
        reasons.extend(unknown_reasons(facts, thresholds));
        reasons.extend(limit_reasons(facts, thresholds));
        // The one that stopped the burst has its reason already, with the figure of that moment.
        let stopped_by = |limit: &Limit| facts.stopped.as_ref().is_some_and(|stopped| stopped.limit == limit.name);
        let broken = facts.expected.iter().filter(|limit| limit.holds == Some(false) && !stopped_by(limit));
        reasons.extend(broken.cloned().map(Reason::Expected));
        if let Some(baseline) = &facts.baseline {
            let broken = baseline.limits.iter().filter(|limit| limit.holds == Some(false));
            reasons.extend(broken.cloned().map(Reason::Worse));
            reasons.push(Reason::Baseline(baseline.told.clone()));
        }
        if !facts.ledger.reconciled {
            reasons.push(Reason::NotReconciled);
        }
        reasons.extend(facts.proxies_by_dns.map(Reason::ProxiesByDns));
        let has = |effect| reasons.iter().any(|reason| reason.effect() == effect);
        let outcome = if has(Effect::FailAlways) {
            Outcome::Fail
        } else if has(Effect::Unknown) {
            Outcome::Unknown
        } else if has(Effect::Fail) {
            Outcome::Fail
        } else {
            Outcome::Pass
        };
        Self { outcome, reasons }
    }
}

fn ledger_reasons(ledger: &Ledger) -> Vec<Reason> {
    let figures = [
        ("lost", ledger.lost),
        ("duplicated", ledger.duplicated),
        ("phantom", ledger.phantom),
        ("miscounted", ledger.miscounted),
        ("early", ledger.early),
        ("refused-but-counted", ledger.refused_but_counted),
    ];
    figures
        .into_iter()
        .filter_map(|(what, count)| count.filter(|count| *count > 0).map(|count| Reason::Ledger(what, count)))
        .collect()
}

fn unknown_reasons(facts: &Facts<'_>, thresholds: &Thresholds) -> Vec<Reason> {
    let mut reasons = Vec::new();
    reasons.extend(facts.partial.clone().map(Reason::Partial));
    reasons.extend(facts.lost.iter().cloned().map(|(agent, why, share)| Reason::AgentLost(agent, why, share)));
    if facts.ledger.planned == 0 {
        reasons.push(Reason::NothingPlanned);
    }
    let millis = |limit: Duration| limit.as_secs_f64() * 1_000.0;
    let beyond =
        |found: Option<f64>, limit: Duration| found.filter(|found| *found > millis(limit)).map(|found| (found, millis(limit)));
    let late = beyond(facts.lateness_p99_ms, thresholds.lateness_p99_max);
    let stalled = facts.longest_stall.clone().filter(|stall| stall.length_ms > millis(thresholds.stall_max));
    // An agent that stood still was late for that: its load says nothing of what it can carry.
    let carries = facts.carries.filter(|_| stalled.is_none());
    reasons.extend(late.map(|(found, most)| Reason::Late(found, most, carries)));
    reasons.extend(stalled.map(|stall| Reason::Stalled(stall, millis(thresholds.stall_max))));
    reasons.extend(
        beyond(facts.start_spread_ms, thresholds.start_spread_max).map(|(found, most)| Reason::Unsynchronised(found, most)),
    );
    if facts.local_limits > 0 {
        reasons.push(Reason::LocalLimits(facts.local_limits));
    }
    if facts.not_allowed > 0 {
        reasons.push(Reason::NotAllowed(facts.not_allowed));
    }
    reasons.extend(facts.forced.clone().map(Reason::Forced));
    reasons
}

fn limit_reasons(facts: &Facts<'_>, thresholds: &Thresholds) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let ledger = facts.ledger;
    if ledger.planned == 0 || facts.never_began() {
        return reasons;
    }
    let complaints = ledger.complaints as f64 / ledger.voters.max(1) as f64;
    if complaints > thresholds.complaints_max {
        reasons.push(Reason::Complaints(ledger.complaints, complaints, thresholds.complaints_max));
    }
    let accepted = ledger.accepted as f64 / ledger.planned as f64;
    if accepted < thresholds.accepted_min {
        reasons.push(Reason::Accepted(accepted, thresholds.accepted_min));
    }
    if let Some(most) = thresholds.response_p99_max.map(|most| most.as_secs_f64() * 1_000.0)
        && facts.response_p99_ms.is_none_or(|found| found > most)
    {
        reasons.push(Reason::Response(facts.response_p99_ms, most));
    }
    if let Some(found) = facts.connected.filter(|found| *found < thresholds.connected_min) {
        reasons.push(Reason::Connected(found, thresholds.connected_min));
    }
    if let (Some(found), Some(most)) = (facts.busiest_share, thresholds.busiest_share_max)
        && found > most
    {
        reasons.push(Reason::BusiestShare(found, most));
    }
    if let Some(most) = thresholds.peak_open_max.filter(|most| facts.peak_open > i64::from(*most)) {
        reasons.push(Reason::PeakOpen(facts.peak_open, most));
    }
    reasons
}

#[cfg(test)]
mod tests;
