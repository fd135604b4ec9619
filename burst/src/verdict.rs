//! The verdict: pass, unknown or fail, with the reasons.
//!
//! A run passes only when everything planned was seen and every limit held. What was not seen, or was measured by a
//! generator that was itself late, is *unknown*: such a run proves neither that the target held nor that it failed.

mod limits;

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ledger::Ledger;
use crate::scenario::Thresholds;

pub use limits::{Bound, Limit, Unit, limits};

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

/// Why a verdict is what it is, or what a reader should know beside it.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// The ledger does not balance: what, and how often.
    Ledger(&'static str, u64),
    /// Too few votes were accepted: share found, least share.
    Accepted(f64, f64),
    /// Too many viewers could not vote in time: viewers, share found, greatest share.
    Complaints(u64, f64, f64),
    /// Too few viewers were connected when the burst began: share found, least share.
    Connected(f64, f64),
    /// Votes took too long: 99th percentile found and longest, in milliseconds. Found is `None` when fewer than 99 % were accepted.
    Response(Option<f64>, f64),
    /// One proxy got too great a share: share found in the worst second, greatest share.
    BusiestShare(f64, f64),
    /// One proxy held too many connections: found, most.
    PeakOpen(i64, u32),
    /// An agent was lost: its name, why, and the share of the audience that is missing.
    AgentLost(String, String, f64),
    /// The run ended early: why.
    Partial(String),
    /// The generator was late: 99th percentile of lateness found and longest, in milliseconds.
    Late(f64, f64),
    /// The agents did not start together, or cannot show that they did: spread with its bound, and longest, in milliseconds.
    Unsynchronised(f64, f64),
    /// Attempts that failed for lack of descriptors, ports or memory on the generator's side.
    LocalLimits(u64),
    /// Attempts that were not made, for the name led outside of the agents' allow-lists.
    NotAllowed(u64),
    /// Nobody voted: nothing was planned.
    NothingPlanned,
    /// A live target's proxies are known by what DNS answered only: how many.
    ProxiesByDns(usize),
    /// No ballot box was there to count votes independently.
    NotReconciled,
    /// Checks that failed before the run, which was forced all the same.
    Forced(String),
}

/// What a reason does to the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Makes it fail whatever else is true: votes were lost, doubled or invented.
    FailAlways,
    /// Makes it unknown.
    Unknown,
    /// Makes it fail if the run is otherwise sound.
    Fail,
    /// Changes nothing, but should be read.
    Note,
}

impl Reason {
    /// What it does to the verdict.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match self {
            Self::Ledger(..) => Effect::FailAlways,
            Self::Accepted(..)
            | Self::Complaints(..)
            | Self::Connected(..)
            | Self::Response(..)
            | Self::BusiestShare(..)
            | Self::PeakOpen(..) => Effect::Fail,
            Self::AgentLost(..)
            | Self::Partial(_)
            | Self::Late(..)
            | Self::Unsynchronised(..)
            | Self::LocalLimits(_)
            | Self::NotAllowed(_)
            | Self::NothingPlanned
            | Self::Forced(_) => Effect::Unknown,
            Self::NotReconciled | Self::ProxiesByDns(_) => Effect::Note,
        }
    }

    /// A stable name for other programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ledger(what, _) => what,
            Self::Accepted(..) => "accepted",
            Self::Complaints(..) => "complaints",
            Self::Connected(..) => "connected",
            Self::Response(..) => "response",
            Self::BusiestShare(..) => "busiest-share",
            Self::PeakOpen(..) => "peak-open",
            Self::AgentLost(..) => "agent-lost",
            Self::Partial(_) => "partial",
            Self::Late(..) => "late",
            Self::Unsynchronised(..) => "unsynchronised",
            Self::LocalLimits(_) => "local-limits",
            Self::NotAllowed(_) => "not-allowed",
            Self::ProxiesByDns(_) => "proxies-by-dns",
            Self::NothingPlanned => "nothing-planned",
            Self::NotReconciled => "not-reconciled",
            Self::Forced(_) => "forced",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Ledger("duplicated", _) => {
                "make the backend count each ballot id once; see `repeated` in the ledger for how many came again"
            }
            Self::Ledger(..) => "compare ballots.bin with the backend's own records before any show",
            Self::Accepted(..) | Self::Complaints(..) | Self::Response(..) => {
                "look at the failures (4xx: the request itself is wrong) and at the proxy table: if one proxy met its limit while others idled, change the DNS policy first, then the limits"
            }
            Self::Connected(..) => {
                "a proxy at its connection limit leaves further viewers waiting: spread them by DNS, or raise the limit"
            }
            Self::BusiestShare(..) => {
                "answer several addresses (multivalue), use more carriers' worth of TTL, or a load balancer"
            }
            Self::PeakOpen(..) => "spread connections by DNS, or size every proxy for this many",
            Self::AgentLost(..) => "see that agent's own output, then run again with all agents",
            Self::Partial(_) => "run again to the end",
            Self::Late(..) => "use more agents or machines, or fewer viewers per agent; stop other work on them",
            Self::Unsynchronised(..) => {
                "put agents nearer to the coordinator, or raise thresholds.start_spread_max if you can live with it"
            }
            Self::LocalLimits(_) => "`voteburst check` names the limit and how to raise it",
            Self::NotAllowed(_) => "start agents with --allow for the network of your proxies",
            Self::ProxiesByDns(_) => "compare the proxy table with your own list: a proxy that DNS never named is missing there",
            Self::NothingPlanned => "raise audience.viewers or the questions' turnout",
            Self::NotReconciled => "rehearse on a [stage], or compare the backend's tally with `votes.accepted` by hand",
            Self::Forced(_) => "put right what the checks name",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| format!("{:.3} %", share * 100.0);
        match self {
            Self::Ledger(what, count) => write!(f, "{count} votes {what}"),
            Self::Accepted(found, least) => {
                write!(f, "{} of votes accepted, at least {} needed", percent(*found), percent(*least))
            }
            Self::Complaints(viewers, found, most) => {
                write!(f, "{viewers} viewers could not vote in time ({}), at most {} allowed", percent(*found), percent(*most))
            }
            Self::Connected(found, least) => {
                write!(f, "{} of viewers connected at T0, at least {} needed", percent(*found), percent(*least))
            }
            Self::Response(None, most) => {
                write!(
                    f,
                    "fewer than 99 % of votes were ever accepted, so response p99 is beyond every bound (at most {most:.0} ms allowed)"
                )
            }
            Self::Response(Some(found), most) => write!(f, "response p99 {found:.0} ms, at most {most:.0} ms allowed"),
            Self::BusiestShare(found, most) => {
                write!(
                    f,
                    "one proxy got {} of the votes in its worst second, at most {} allowed",
                    percent(*found),
                    percent(*most)
                )
            }
            Self::PeakOpen(found, most) => write!(f, "{found} connections open at one proxy, at most {most} allowed"),
            Self::AgentLost(agent, why, share) => write!(f, "{agent} lost ({why}): {} of the audience missing", percent(*share)),
            Self::Partial(why) => write!(f, "the run is partial: {why}"),
            Self::Late(found, most) => write!(f, "the generator was late: lateness p99 {found:.1} ms, at most {most:.0} ms"),
            Self::Unsynchronised(found, most) => {
                write!(f, "agents started up to {found:.1} ms apart (clock bound included), at most {most:.0} ms")
            }
            Self::LocalLimits(count) => {
                write!(f, "{count} attempts failed for want of descriptors, ports or memory on the generator's side")
            }
            Self::NotAllowed(count) => {
                write!(f, "{count} attempts were not made: the name leads outside of the agents' allow-lists")
            }
            Self::ProxiesByDns(known) => {
                write!(f, "DNS named {known} proxies: if there are more, the load was less even than the skew shown here")
            }
            Self::NothingPlanned => write!(f, "no vote was planned"),
            Self::NotReconciled => {
                write!(f, "no ballot box to reconcile with: lost, doubled and invented votes would not be seen")
            }
            Self::Forced(checks) => write!(f, "forced past failed checks: {checks}"),
        }
    }
}

/// Everything a verdict rests on.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The account of votes.
    pub ledger: &'a Ledger,
    /// Response time within which 99 % of planned votes were accepted, in milliseconds; `None` when fewer ever were.
    pub response_p99_ms: Option<f64>,
    /// Lateness at the 99th percentile, in milliseconds.
    pub lateness_p99_ms: Option<f64>,
    /// The agents' start spread with its clock bound added, in milliseconds; `None` when no agent fired.
    pub start_spread_ms: Option<f64>,
    /// The greatest share of one proxy in its worst second.
    pub busiest_share: Option<f64>,
    /// The most connections open at one proxy.
    pub peak_open: i64,
    /// The share of viewers connected at T0, over agents that reported it.
    pub connected: Option<f64>,
    /// Failed attempts of class `local-limit`.
    pub local_limits: u64,
    /// Failed attempts of class `not-allowed`.
    pub not_allowed: u64,
    /// Of a live target, how many proxies DNS named.
    pub proxies_by_dns: Option<usize>,
    /// Lost agents: name, why, share of the audience.
    pub lost: Vec<(String, String, f64)>,
    /// Why the run ended early, if it did.
    pub partial: Option<String>,
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
        reasons.extend(unknown_reasons(facts, thresholds));
        reasons.extend(limit_reasons(facts, thresholds));
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
    reasons.extend(beyond(facts.lateness_p99_ms, thresholds.lateness_p99_max).map(|(found, most)| Reason::Late(found, most)));
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
