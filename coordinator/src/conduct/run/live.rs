//! The run as those see it who watch it.

use super::{Run, length};
use crate::conduct::Setup;
use crate::live::{Fixed, Member, Moment};

/// What of a run is the same all the time.
pub(super) fn fixed(setup: &Setup, expected_agents: u32, planned_by: &[u64]) -> Fixed {
    let scenario = &setup.plan.scenario;
    let stage = scenario.stage.as_ref();
    let limit = stage.map(|stage| stage.connection_limit_per_front()).or(scenario.thresholds.peak_open_max);
    Fixed {
        run: format!("{:016x}", setup.run),
        scenario: scenario.name.clone(),
        zone: stage.map(|stage| stage.zone.to_string()),
        viewers: scenario.audience.viewers,
        expected_agents,
        limit: limit.map(u64::from),
        fronts: Vec::new(),
        planned_by: planned_by.to_vec(),
    }
}

impl Run {
    /// Shows where the run stands to those who watch, when it is time to. Costs nothing when nobody does.
    pub(in crate::conduct) fn show_live(&mut self) {
        let Some(mut outlet) = self.live.take() else { return };
        let (phase, now) = (self.conductor.phase(), self.clock.now());
        if outlet.tick(phase, now, self.collection.all()) {
            let members: Vec<_> = self.members().collect();
            outlet.send(now, Moment::new(phase, now, self.conductor.t0(), self.t0_second()), &members);
        }
        self.live = Some(outlet);
    }

    fn members(&self) -> impl Iterator<Item = Member<'_>> {
        self.roster.entries().map(|(agent, entry)| Member {
            id: agent.0,
            host: &entry.join.host,
            pid: entry.join.pid,
            state: self.conductor.state(agent),
            armed: self.conductor.offset(agent),
            connected: self.conductor.connected_of(agent),
            viewers: self.part_of(agent).map_or(0, |part| length(&part.viewers)),
            newest: self.collection.newest(agent),
        })
    }
}
