//! Why a verdict is what it is: each reason's effect, its stable code, its words and what to do about it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Limit, LongestStall, WORSE};
use crate::expect::{self, Stopped};

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
    /// The generator was late: 99th percentile of lateness found and longest, in milliseconds, and about how many viewers of such
    /// a plan it can carry in time, where that can be told.
    Late(f64, f64, Option<u64>),
    /// An agent's worker stood still while votes were due: the longest time of all agents, and how long it may be, in milliseconds.
    Stalled(LongestStall, f64),
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
    /// An expectation of the scenario was broken.
    Expected(Limit),
    /// The burst was drained before its end, because an expectation was broken.
    Stopped(Stopped),
    /// A figure is worse than an earlier run's by more than chance and the scenario allow.
    Worse(Limit),
    /// Which earlier run this one was held against.
    Baseline(String),
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
            | Self::Stalled(..)
            | Self::Unsynchronised(..)
            | Self::LocalLimits(_)
            | Self::NotAllowed(_)
            | Self::NothingPlanned
            | Self::Forced(_) => Effect::Unknown,
            Self::NotReconciled | Self::ProxiesByDns(_) | Self::Baseline(_) => Effect::Note,
            Self::Expected(limit) | Self::Worse(limit) => limit.effect,
            Self::Stopped(stopped) => stopped.effect,
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
            Self::Stalled(..) => "stalled",
            Self::Unsynchronised(..) => "unsynchronised",
            Self::LocalLimits(_) => "local-limits",
            Self::NotAllowed(_) => "not-allowed",
            Self::ProxiesByDns(_) => "proxies-by-dns",
            Self::NothingPlanned => "nothing-planned",
            Self::NotReconciled => "not-reconciled",
            Self::Forced(_) => "forced",
            Self::Expected(_) => expect::CODE,
            Self::Stopped(_) => "stopped",
            Self::Worse(_) => WORSE,
            Self::Baseline(_) => "baseline",
        }
    }

    /// The name of the limit that it is about, where several limits share one code.
    #[must_use]
    pub fn limit(&self) -> Option<&str> {
        match self {
            Self::Expected(limit) | Self::Worse(limit) => Some(&limit.name),
            Self::Stopped(stopped) => Some(&stopped.limit),
            _ => None,
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
            Self::Stalled(stall, _) if stall.own_work => {
                "give that agent fewer viewers, or start more agents: it was at work all the time"
            }
            Self::Stalled(..) => {
                "the machine took the processor from that agent: stop other work there, look at stolen time, then run again"
            }
            Self::Unsynchronised(..) => {
                "put agents nearer to the coordinator, or raise thresholds.start_spread_max if you can live with it"
            }
            Self::LocalLimits(_) => "`voteburst check` names the limit and how to raise it",
            Self::NotAllowed(_) => "start agents with --allow for the network of your proxies",
            Self::ProxiesByDns(_) => "compare the proxy table with your own list: a proxy that DNS never named is missing there",
            Self::NothingPlanned => "raise audience.viewers or the questions' turnout",
            Self::NotReconciled => "rehearse on a [stage], or compare the backend's tally with `votes.accepted` by hand",
            Self::Forced(_) => "put right what the checks name",
            Self::Expected(limit) if limit.effect == Effect::Unknown => {
                "use more agents or machines, or fewer viewers per agent; stop other work on them"
            }
            Self::Expected(_) => {
                "look at that measure over time and by proxy in the report, or correct the line in thresholds.limits"
            }
            Self::Worse(_) | Self::Baseline(_) => {
                "`voteburst diff BASELINE RUN` shows every figure of both; thresholds.worse_max says how much worse is allowed"
            }
            Self::Stopped(_) => {
                "votes not cast any more count as not accepted; leave `abort` out to play the burst to its end all the same"
            }
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
            Self::Late(found, most, carries) => {
                write!(f, "the generator was late: lateness p99 {found:.1} ms, at most {most:.0} ms")?;
                carries
                    .map_or(Ok(()), |viewers| write!(f, "; about {viewers} viewers of such a plan are what it carries in time"))
            }
            Self::Stalled(stall, most) => write!(f, "{stall}, at most {most:.0} ms"),
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
            Self::Expected(limit) => write!(f, "`{}` was broken: {limit}", limit.name),
            Self::Stopped(stopped) => write!(f, "{stopped}"),
            Self::Worse(limit) => write!(f, "{} got worse by more than chance and `worse_max` explain: {limit}", limit.name),
            Self::Baseline(told) => write!(f, "{told}"),
        }
    }
}
