//! From a run directory's content to the figures' input.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use voteburst_burst::generator::Watched;
use voteburst_burst::ledger::{Ledger, ShareReport};
use voteburst_burst::outcome::Fate;

use super::{AgentFacts, CacheFacts, Findings, FrontFacts, Report};
use crate::conductor::Ended;
use crate::journal::Evidence;
use crate::record::AgentRecord;

/// What is kept of a stage in `run.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageNotes {
    /// What each proxy counted itself, by address; every address of the zone is here.
    pub fronts: BTreeMap<IpAddr, FrontFacts>,
    /// Requests that had not ended when the stage closed: their votes are not among the ballots.
    pub abandoned: u64,
    /// How often its proxies could accept nobody for want of file descriptors: then the stage, not the scenario, was the limit.
    #[serde(default)]
    pub accept_pauses: u64,
}

impl Report {
    /// The report of what a run directory holds.
    #[must_use]
    pub fn of_evidence(evidence: &Evidence) -> Self {
        let record = &evidence.record;
        let stage = record.stage.clone().and_then(|notes| serde_json::from_value::<StageNotes>(notes).ok()).unwrap_or_default();
        let fronts: Vec<IpAddr> = stage.fronts.keys().chain(&record.fronts).copied().collect();
        let (aborted, partial, stopped) = match &record.ended {
            Ended::Complete => (false, None, None),
            Ended::Partial { reason } => (false, Some(reason.clone()), None),
            Ended::Stopped(stopped) => (false, None, Some(stopped.clone())),
            Ended::Aborted { reason } => (true, Some(format!("nothing was fired: {reason}")), None),
        };
        let heads = evidence.snapshots.iter().map(|snapshot| (snapshot.agent, snapshot.head().watched));
        let mut watched: BTreeMap<u32, Watched> = heads.filter_map(|(agent, watched)| Some((agent, watched?))).collect();
        let shares = if aborted { never_sent(evidence) } else { evidence.shares() };
        let (ledger, accounts) = Ledger::with_accounts(&evidence.plan, &shares, evidence.ballots.as_deref());
        Self::of(&Findings {
            plan: &evidence.plan,
            started: &record.started,
            tally: evidence.tally(),
            ledger,
            accounts,
            fronts: &fronts,
            stage: &stage.fronts,
            stage_pauses: stage.accept_pauses,
            zone_seen: record.zone_seen.as_ref(),
            caches: caches(record.carriers.as_ref()),
            t0_second: record.t0_second,
            agents: record.agents.iter().map(|agent| facts(agent, watched.remove(&agent.id), aborted)).collect(),
            start_ns: (record.start.agents > 0).then_some((record.start.spread_ns, record.start.bound_ns)),
            partial,
            stopped,
            baselines: &record.baselines,
            forced: (!record.forced.is_empty()).then(|| record.forced.join("; ")),
        })
    }
}

/// The counters of voteburst's own carriers, which say by `carrier` (from 0) where they stand in the scenario.
fn caches(carriers: Option<&serde_json::Value>) -> BTreeMap<u16, CacheFacts> {
    #[derive(Deserialize)]
    struct Counted {
        carrier: u16,
        counters: CacheFacts,
    }
    let counted = carriers.and_then(|list| serde_json::from_value::<Vec<Counted>>(list.clone()).ok()).unwrap_or_default();
    counted.into_iter().map(|counted| (counted.carrier, counted.counters)).collect()
}

/// Before T0 was committed no agent could send anything: every vote is known not to have left.
fn never_sent(evidence: &Evidence) -> Vec<ShareReport> {
    let viewers = 0..evidence.plan.scenario.audience.viewers;
    let fates = vec![Fate::NeverSent; evidence.plan.tickets as usize];
    vec![ShareReport { viewers, fates: Some(fates), accepted_seen: 0, clock_bound_ns: 0 }]
}

fn facts(agent: &AgentRecord, watched: Option<Watched>, aborted: bool) -> AgentFacts {
    AgentFacts {
        id: format!("agent {}", agent.id),
        host: agent.host.clone(),
        viewers: agent.viewers.end.saturating_sub(agent.viewers.start),
        // An aborted run has no final snapshots, and its one reason is why it was aborted.
        is_final: agent.last || (aborted && agent.lost.is_none()),
        lost: agent.lost.clone(),
        offset_ns: agent.offset_ns.zip(agent.bound_ns),
        first_send_lateness_ns: agent.first_send_lateness_ns,
        connected_at_t0: agent.connected_at_t0,
        warnings: agent.warnings.clone(),
        watched,
    }
}
