//! What is kept of a run beside the tallies: the words of `run.json`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use voteburst_burst::clock::{FleetTime, Offset};
use voteburst_burst::ledger::ShareReport;
use voteburst_burst::zone::{Member, Zone, ZonePolicy, ZoneProblem};
use voteburst_proto::convert::Sealed;
use voteburst_proto::message::{Check, CheckStatus, Snapshot};

use crate::conductor::{Ended, Phase};
use crate::report::diff::Diff;

/// Version of `run.json`.
pub const SCHEMA: u32 = 1;

/// A run as `run.json` tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`SCHEMA`] of the writer.
    pub schema: u32,
    /// The scenario's name.
    pub name: String,
    /// When it began by the wall clock, for people only.
    pub started: String,
    /// The run's number as 16 hexadecimal digits: the first half of every ballot id.
    pub run: String,
    /// The plan's hash as 64 hexadecimal digits.
    pub plan_hash: String,
    /// Viewers planned.
    pub viewers: u32,
    /// Votes planned.
    pub tickets: u32,
    /// The plan's seed.
    pub seed: u64,
    /// The stage's zone policy; `None` for a live target.
    pub zone: Option<String>,
    /// Of a live target, the addresses that DNS named before the run; those that got nothing count in the skew.
    #[serde(default)]
    pub fronts: Vec<IpAddr>,
    /// Of a live target, what its zone was seen to do before the run; `None` when too little was seen to tell.
    #[serde(default)]
    pub zone_seen: Option<ZoneSeen>,
    /// Every phase and when it began.
    pub phases: Vec<PhaseRecord>,
    /// T0 on the fleet's clock, in nanoseconds; `None` when nothing was fired.
    pub t0_ns: Option<i64>,
    /// T0 as the kernel of the coordinator's machine counts it (`CLOCK_MONOTONIC`), in nanoseconds.
    pub t0_kernel_ns: Option<i64>,
    /// The second of every tally that begins at T0.
    pub t0_second: Option<u32>,
    /// How closely the agents started together.
    pub start: StartSpread,
    /// The agents by number.
    pub agents: Vec<AgentRecord>,
    /// How it ended.
    pub ended: Ended,
    /// What was not as needed before the run, which was forced all the same.
    pub forced: Vec<String>,
    /// The stage's own counters, as it gave them.
    pub stage: Option<serde_json::Value>,
    /// The carriers' own counters, as they gave them.
    pub carriers: Option<serde_json::Value>,
    /// The differences from the earlier runs that this one is held against.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub baselines: Vec<Diff>,
}

/// What a live zone was seen to do: enough to forecast what an audience makes of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ZoneSeen {
    /// The policy that it looks like.
    pub policy: ZonePolicy,
    /// TTL of its answers, in seconds.
    pub ttl_s: u32,
    /// How long one answer stays the same for everybody, in milliseconds, under [`ZonePolicy::SingleAWindow`].
    pub window_ms: u64,
    /// Its addresses with their weights.
    pub members: Vec<(IpAddr, u8)>,
}

impl From<&Zone> for ZoneSeen {
    fn from(zone: &Zone) -> Self {
        Self {
            policy: zone.policy(),
            ttl_s: zone.ttl_s(),
            window_ms: u64::try_from(zone.window().as_millis()).unwrap_or(u64::MAX),
            members: zone.members().iter().map(|member| (member.address, member.weight)).collect(),
        }
    }
}

impl ZoneSeen {
    /// A zone that does the same.
    ///
    /// # Errors
    /// Whatever [`Zone::new`] refuses: the file may have been written by anybody.
    pub fn zone(&self) -> Result<Zone, ZoneProblem> {
        let member = |(address, weight): &(IpAddr, u8)| Member { weight: *weight, ..Member::new(address.to_string(), *address) };
        let members = self.members.iter().map(member).collect();
        Zone::new(self.policy, members, self.ttl_s, Duration::from_millis(self.window_ms), 0)
    }
}

/// A phase of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseRecord {
    /// Which.
    pub phase: Phase,
    /// When it began on the fleet's clock, in nanoseconds.
    pub began_ns: i64,
}

impl From<&(Phase, FleetTime)> for PhaseRecord {
    fn from((phase, began): &(Phase, FleetTime)) -> Self {
        Self { phase: *phase, began_ns: began.0 }
    }
}

/// One agent of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentRecord {
    /// Its number.
    pub id: u32,
    /// Its machine.
    pub host: String,
    /// Its process there.
    pub pid: u32,
    /// Version of its program.
    pub version: String,
    /// The viewers it played.
    pub viewers: Range<u32>,
    /// Votes planned for them.
    pub tickets: u32,
    /// What set its source addresses apart.
    pub slot: u32,
    /// The offset of clocks with which it armed, in nanoseconds.
    pub offset_ns: Option<i64>,
    /// How far off that was at most, in nanoseconds.
    pub bound_ns: Option<i64>,
    /// How far the offset had moved when it last reported, in nanoseconds: drift of the two clocks, within their bounds.
    pub offset_moved_ns: Option<i64>,
    /// How late its viewer began whose vote left first, in nanoseconds.
    pub first_send_lateness_ns: Option<u64>,
    /// Whether its last snapshot arrived.
    #[serde(rename = "final")]
    pub last: bool,
    /// Why it was lost.
    pub lost: Option<String>,
    /// Connections open at T0.
    pub connected_at_t0: Option<u32>,
    /// Votes that had their fate when it last reported.
    pub ended: u32,
    /// Processor time of its process, in microseconds.
    pub cpu_us: u64,
    /// Resident memory of its process when it last reported, in bytes.
    pub memory_bytes: u64,
    /// What it wants a reader to know.
    pub warnings: Vec<String>,
    /// What it found on its machine.
    pub preflight: Vec<CheckRecord>,
}

impl AgentRecord {
    /// Its part of the audience, in [0, 1].
    #[must_use]
    pub fn share(&self, viewers: u32) -> f64 {
        f64::from(self.viewers.end.saturating_sub(self.viewers.start)) / f64::from(viewers.max(1))
    }

    pub(crate) fn take_offsets(&mut self, armed: Option<Offset>, newest: Option<Offset>) {
        self.offset_ns = armed.map(|offset| offset.nanos);
        self.bound_ns = armed.map(|offset| offset.bound_ns);
        self.offset_moved_ns = armed.zip(newest).map(|(armed, newest)| newest.nanos.saturating_sub(armed.nanos));
    }

    pub(crate) fn take_snapshot(&mut self, snapshot: &Snapshot) {
        self.first_send_lateness_ns = snapshot.first_send_lateness_ns;
        self.last = snapshot.last;
        self.connected_at_t0 = snapshot.connected_at_t0;
        self.ended = snapshot.ended;
        self.cpu_us = u64::try_from(snapshot.cpu.as_micros()).unwrap_or(u64::MAX);
        self.memory_bytes = snapshot.memory_bytes;
        self.warnings.clone_from(&snapshot.warnings);
    }
}

/// One line of an agent's preflight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRecord {
    /// What was looked at.
    pub what: String,
    /// What its machine has.
    pub found: String,
    /// What its share needs.
    pub needed: String,
    /// What to do about it.
    pub fix: String,
    /// What happens otherwise.
    pub effect: String,
    /// `good`, `warning` or `bad`.
    pub status: String,
}

impl From<&Check> for CheckRecord {
    fn from(check: &Check) -> Self {
        let status = match check.status {
            CheckStatus::Good => "good",
            CheckStatus::Warning => "warning",
            CheckStatus::Bad => "bad",
        };
        let Check { what, found, needed, fix, effect, .. } = check.clone();
        Self { what, found, needed, fix, effect, status: status.to_owned() }
    }
}

/// How closely the agents of a fleet started together.
///
/// Each agent's first vote has its own planned instant, so what is compared is how late each one was against its own:
/// the spread is the largest lateness minus the smallest. Two clocks may each be off by their bounds, so the true
/// spread differs from this by no more than the two largest bounds together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartSpread {
    /// Largest minus smallest lateness of first sends, in nanoseconds.
    pub spread_ns: u64,
    /// The sum of the two largest bounds of clocks, in nanoseconds; 0 when a single agent sent.
    pub bound_ns: u64,
    /// Agents that sent anything.
    pub agents: u32,
}

impl StartSpread {
    /// The spread over agents that sent anything.
    #[must_use]
    pub fn of(agents: &[AgentRecord]) -> Self {
        let started = || agents.iter().filter_map(|agent| Some((agent.first_send_lateness_ns?, agent.bound_ns?)));
        let lateness = || started().map(|(lateness, _)| lateness);
        let mut bounds: Vec<_> = started().map(|(_, bound)| u64::try_from(bound).unwrap_or(0)).collect();
        bounds.sort_unstable_by(|a, b| b.cmp(a));
        let spread_ns = lateness().max().unwrap_or(0) - lateness().min().unwrap_or(0);
        let bound_ns = if bounds.len() > 1 { bounds[0].saturating_add(bounds[1]) } else { 0 };
        Self { spread_ns, bound_ns, agents: u32::try_from(bounds.len()).unwrap_or(u32::MAX) }
    }
}

/// What each agent reported of its share, for the ledger.
#[must_use]
pub fn share_reports(agents: &[AgentRecord], snapshots: &[Sealed]) -> Vec<ShareReport> {
    let by_agent: BTreeMap<_, _> = snapshots.iter().map(|snapshot| (snapshot.agent, snapshot)).collect();
    agents
        .iter()
        .map(|agent| {
            let snapshot = by_agent.get(&agent.id);
            ShareReport {
                viewers: agent.viewers.clone(),
                fates: snapshot.filter(|snapshot| snapshot.last).map(|snapshot| snapshot.fates()),
                accepted_seen: snapshot.map_or(0, |snapshot| snapshot.counts.accepted),
                clock_bound_ns: agent.bound_ns.unwrap_or(0),
            }
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn agent(id: u32, lateness_ns: Option<u64>, bound_ns: i64) -> AgentRecord {
        AgentRecord {
            id,
            host: "host".into(),
            pid: 1,
            version: String::new(),
            viewers: id * 10..id * 10 + 10,
            tickets: 10,
            slot: id,
            offset_ns: Some(0),
            bound_ns: Some(bound_ns),
            offset_moved_ns: None,
            first_send_lateness_ns: lateness_ns,
            last: true,
            lost: None,
            connected_at_t0: None,
            ended: 0,
            cpu_us: 0,
            memory_bytes: 0,
            warnings: Vec::new(),
            preflight: Vec::new(),
        }
    }

    #[test]
    fn the_spread_is_of_lateness_and_its_bound_the_two_largest_of_the_clocks() {
        let agents = [agent(0, Some(50), 7), agent(1, Some(250), 5), agent(2, Some(90), 9), agent(3, None, 1_000)];
        assert_eq!(StartSpread::of(&agents), StartSpread { spread_ns: 200, bound_ns: 16, agents: 3 });
    }

    #[test]
    fn one_agent_is_in_step_with_itself_and_none_with_nobody() {
        assert_eq!(StartSpread::of(&[agent(0, Some(50), 7)]), StartSpread { spread_ns: 0, bound_ns: 0, agents: 1 });
        assert_eq!(StartSpread::of(&[]), StartSpread::default());
    }
}
