//! What a run looks like while it goes on, for those who watch it: a plain value that views and metrics are made from.
//!
//! Counts come from the numbers that are kept beside each encoded snapshot, so that they cost the same however large
//! snapshots are. Histograms have to be decoded: [`Rounds`] does so for a few agents at a time. Nothing of all this
//! happens unless somebody listens.

mod heat;
mod latency;
mod outlet;
mod rounds;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;
use voteburst_burst::clock::{FleetTime, Offset};
use voteburst_burst::outcome::Failure;
use voteburst_proto::convert::Sealed;

pub use heat::HeatLive;
pub use latency::{BOUNDS_S, LatencyLive};
pub(crate) use outlet::Outlet;
pub use outlet::Watch;
pub use rounds::{Decoded, Rounds};

use crate::conductor::Phase;

/// A run at one moment. All counts are cumulative.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Live {
    /// Number of the run, 16 hexadecimal digits.
    pub run: String,
    /// Name of the scenario.
    pub scenario: String,
    /// The stage's zone policy; `None` against a live target.
    pub zone: Option<String>,
    /// Where the run stands.
    pub phase: Phase,
    /// Whole seconds since T0, negative before it; `None` until T0 is fixed.
    pub second: Option<i64>,
    /// Seconds from T0 until every vote was due.
    pub length_s: u32,
    /// Viewers of the plan.
    pub viewers: u32,
    /// Connections open now, of agents that are not lost.
    pub connected: u32,
    /// Agents that the run needs.
    pub expected_agents: u32,
    /// Votes that were due until now.
    pub planned: u64,
    /// Votes of the whole plan.
    pub planned_total: u64,
    /// Attempts whose bytes began to leave.
    pub sent: u64,
    /// Votes accepted.
    pub accepted: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Votes that have their fate.
    pub ended: u64,
    /// Attempts by what became of them: `accepted` and the names of [`Failure`]. Every name is always there.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// The proxies, by address. All views give them their colours in this order.
    pub proxies: Vec<LiveProxy>,
    /// The agents, by number.
    pub agents: Vec<LiveAgent>,
    /// What phones made of DNS.
    pub dns: LiveDns,
    /// Planned instant to accepted answer, of all proxies. Up to one round of [`Rounds`] older than the counts.
    pub response: LatencyLive,
    /// How late the generator was. As old as `response`.
    pub lateness: LatencyLive,
    /// The votes of `response` by when they were planned for.
    pub heat: HeatLive,
}

/// One proxy.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LiveProxy {
    /// Its address.
    pub address: String,
    /// Connections open now, of agents that are not lost.
    pub open: u64,
    /// Connections that it accepts at most: of the stage, or what the scenario's `peak_open_max` allows on a live target.
    pub limit: Option<u64>,
    /// Connections opened.
    pub connections: u64,
    /// Connections refused.
    pub refused: u64,
    /// Attempts whose bytes began to leave.
    pub sent: u64,
    /// Votes accepted.
    pub accepted: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// DNS answers whose first address it was.
    pub dns_answers: u64,
    /// Planned instant to accepted answer. As old as [`Live::response`].
    pub response: LatencyLive,
}

/// How far an agent has come; in this order, but for those that are lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentState {
    /// It takes part, and works out its share.
    #[default]
    Joined,
    /// Its machine can hold its share; its viewers connect.
    Fit,
    /// All of its viewers have tried to connect.
    Ready,
    /// It waits for T0 or votes.
    Armed,
    /// Its last snapshot is there.
    Done,
    /// Nobody hears of it any more.
    Lost,
}

impl AgentState {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::Fit => "fit",
            Self::Ready => "ready",
            Self::Armed => "armed",
            Self::Done => "done",
            Self::Lost => "lost",
        }
    }
}

/// One agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LiveAgent {
    /// Its number.
    pub id: u32,
    /// Its machine.
    pub host: String,
    /// Its process there.
    pub pid: u32,
    /// How far it has come.
    pub state: AgentState,
    /// The coordinator's clock minus its own, in milliseconds.
    pub offset_ms: Option<f64>,
    /// How wrong that may be, in milliseconds.
    pub bound_ms: Option<f64>,
    /// Of its votes 99 % were at most so late, in milliseconds: an upper bound that the true value reaches two thirds of.
    pub lateness_p99_ms: Option<f64>,
    /// Its longest stall, in milliseconds.
    pub stall_max_ms: Option<f64>,
    /// Connections open now.
    pub connected: u32,
    /// Viewers of its share; 0 before it has one.
    pub viewers: u32,
    /// What it wants a reader to know. As old as [`Live::response`].
    pub warnings: Vec<String>,
}

/// What phones made of DNS.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LiveDns {
    /// Lookups that went over the wire.
    pub queries: u64,
    /// Lookups that the phone's own memory answered.
    pub remembered: u64,
    /// Lookups that failed.
    pub failures: u64,
    /// Lookups that were answered over the wire.
    pub answers: u64,
    /// The same by the address that came first.
    pub by_address: BTreeMap<String, u64>,
}

/// When a value is told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    pub(crate) phase: Phase,
    /// Whole seconds since T0; `None` until T0 is fixed.
    pub(crate) second: Option<i64>,
    /// Whole seconds from the doors to T0; `None` until T0 is fixed.
    pub(crate) t0_second: Option<u32>,
}

impl Moment {
    pub(crate) fn new(phase: Phase, now: FleetTime, t0: Option<FleetTime>, t0_second: Option<u32>) -> Self {
        Self { phase, second: t0.map(|t0| (now.0 - t0.0).div_euclid(1_000_000_000)), t0_second }
    }
}

/// What is the same all the time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fixed {
    pub(crate) run: String,
    pub(crate) scenario: String,
    pub(crate) zone: Option<String>,
    pub(crate) viewers: u32,
    pub(crate) expected_agents: u32,
    /// Connections that a proxy accepts at most.
    pub(crate) limit: Option<u64>,
    /// Proxies that are shown although nothing is known of them yet.
    pub(crate) fronts: Vec<IpAddr>,
    /// Votes due until the end of each second after T0.
    pub(crate) planned_by: Vec<u64>,
}

/// One agent at one moment, as the conductor and the roster know it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Member<'a> {
    pub(crate) id: u32,
    pub(crate) host: &'a str,
    pub(crate) pid: u32,
    pub(crate) state: AgentState,
    pub(crate) armed: Option<Offset>,
    /// What it said before it sent snapshots.
    pub(crate) connected: u32,
    pub(crate) viewers: u32,
    pub(crate) newest: Option<&'a Sealed>,
}

/// Votes due until so many whole seconds after T0.
pub(crate) fn planned_until(planned_by: &[u64], second: i64) -> u64 {
    let index = usize::try_from(second).unwrap_or(0).min(planned_by.len());
    index.checked_sub(1).map_or(0, |last| planned_by[last])
}

impl Live {
    /// Adds up what is known.
    pub(crate) fn of(fixed: &Fixed, moment: Moment, members: &[Member<'_>], decoded: &Decoded) -> Self {
        let Moment { phase, second, t0_second } = moment;
        let snapshots = || members.iter().filter_map(|member| member.newest);
        let sum = |count: fn(&Sealed) -> u64| snapshots().map(count).sum();
        let agents: Vec<_> = members.iter().map(|member| agent(member, decoded)).collect();
        let there = agents.iter().filter(|agent| agent.state != AgentState::Lost);
        Self {
            run: fixed.run.clone(),
            scenario: fixed.scenario.clone(),
            zone: fixed.zone.clone(),
            phase,
            second,
            length_s: u32::try_from(fixed.planned_by.len()).unwrap_or(u32::MAX),
            viewers: fixed.viewers,
            connected: there.map(|agent| agent.connected).fold(0, u32::saturating_add),
            expected_agents: fixed.expected_agents,
            planned: second.map_or(0, |second| planned_until(&fixed.planned_by, second)),
            planned_total: fixed.planned_by.last().copied().unwrap_or(0),
            sent: sum(|snapshot| snapshot.counts.sent),
            accepted: sum(|snapshot| snapshot.counts.accepted),
            failed: sum(|snapshot| snapshot.counts.failed),
            ended: sum(|snapshot| snapshot.ended.into()),
            outcomes: outcomes(snapshots()),
            proxies: proxies(fixed, members, decoded),
            agents,
            dns: dns(snapshots()),
            response: decoded.response.clone(),
            lateness: decoded.lateness.clone(),
            heat: t0_second.map(|t0_second| HeatLive::of(&decoded.by_second, t0_second)).unwrap_or_default(),
        }
    }
}

fn outcomes<'a>(snapshots: impl Iterator<Item = &'a Sealed>) -> BTreeMap<&'static str, u64> {
    let mut outcomes: BTreeMap<_, _> = Failure::ALL.into_iter().map(|failure| (failure.name(), 0)).collect();
    outcomes.insert(ACCEPTED, 0);
    for snapshot in snapshots {
        *outcomes.entry(ACCEPTED).or_default() += snapshot.counts.accepted;
        for failure in Failure::ALL {
            *outcomes.entry(failure.name()).or_default() += snapshot.counts.failed_by[failure as usize];
        }
    }
    outcomes
}

/// The key of [`Live::outcomes`] beside those of [`Failure`].
pub const ACCEPTED: &str = "accepted";

fn proxies(fixed: &Fixed, members: &[Member<'_>], decoded: &Decoded) -> Vec<LiveProxy> {
    let mut all: BTreeMap<IpAddr, (LiveProxy, u64)> = fixed.fronts.iter().map(|front| (*front, Default::default())).collect();
    let each = members.iter().filter_map(|member| Some((member.state == AgentState::Lost, &member.newest?.each)));
    for (lost, counts) in each.flat_map(|(lost, each)| each.iter().map(move |counts| (lost, counts))) {
        let (proxy, closed) = all.entry(counts.address).or_default();
        proxy.connections += counts.opened;
        proxy.refused += counts.refused;
        proxy.sent += counts.sent;
        proxy.accepted += counts.accepted;
        proxy.failed += counts.failed;
        proxy.dns_answers += counts.dns_answers;
        // Nobody knows how many a lost agent still holds; those of before would stand there for ever.
        *closed += if lost { counts.opened } else { counts.closed };
    }
    let shown = |(address, (proxy, closed)): (IpAddr, (LiveProxy, u64))| LiveProxy {
        address: address.to_string(),
        open: proxy.connections.saturating_sub(closed),
        limit: fixed.limit,
        response: decoded.by_proxy.get(&address).cloned().unwrap_or_default(),
        ..proxy
    };
    all.into_iter().map(shown).collect()
}

fn agent(member: &Member<'_>, decoded: &Decoded) -> LiveAgent {
    let newest = member.newest;
    let offset = newest.map(|snapshot| snapshot.offset).or(member.armed);
    LiveAgent {
        id: member.id,
        host: member.host.to_owned(),
        pid: member.pid,
        state: member.state,
        offset_ms: offset.map(|offset| offset.nanos as f64 / 1e6),
        bound_ms: offset.map(|offset| offset.bound_ns as f64 / 1e6),
        lateness_p99_ms: newest.and_then(|snapshot| snapshot.late.quantile_ms(0.99)),
        stall_max_ms: newest.and_then(|snapshot| snapshot.longest_stall_us).map(|micros| micros as f64 / 1e3),
        connected: newest.map_or(member.connected, |snapshot| snapshot.connected),
        viewers: member.viewers,
        warnings: decoded.warnings.get(&member.id).cloned().unwrap_or_default(),
    }
}

fn dns<'a>(snapshots: impl Iterator<Item = &'a Sealed>) -> LiveDns {
    let mut dns = LiveDns::default();
    for snapshot in snapshots {
        dns.queries = dns.queries.saturating_add(snapshot.lookups.asked);
        dns.remembered = dns.remembered.saturating_add(snapshot.lookups.remembered);
        dns.failures = dns.failures.saturating_add(snapshot.lookups.failed);
        for proxy in snapshot.each.iter().filter(|proxy| proxy.dns_answers > 0) {
            dns.answers += proxy.dns_answers;
            *dns.by_address.entry(proxy.address.to_string()).or_default() += proxy.dns_answers;
        }
    }
    dns
}
