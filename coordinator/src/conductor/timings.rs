//! How long the conductor waits, for each thing it waits for.

use std::time::Duration;

use voteburst_burst::plan::Plan;
use voteburst_burst::zone::MULTIVALUE_MOST;

/// Bounds of every wait of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// For all agents to join.
    pub gather: Duration,
    /// For all agents to work out the plan and look at their machines.
    pub plan: Duration,
    /// From the order to open the doors until they open, so that the order is everywhere before.
    pub doors_lead: Duration,
    /// From doors open until every viewer has tried to connect. Beyond it the run goes on with those who are in.
    pub doors: Duration,
    /// For all agents to arm.
    pub arm: Duration,
    /// The least time between commit and T0, so that the commit is everywhere before.
    pub commit_lead: Duration,
    /// From T0 until every vote must have ended.
    pub burst: Duration,
    /// For last snapshots once the burst was drained.
    pub drain: Duration,
    /// An agent that says nothing for so long is named as lost; agents report once a second.
    pub silence: Duration,
    /// How long the run waits at its end for lost agents to come back with their last snapshot.
    pub rejoin: Duration,
    /// How often agents report.
    pub report_every: Duration,
}

impl Timings {
    /// The bounds that follow from a plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let scenario = &plan.scenario;
        let attempt = (scenario.dns.timeout * scenario.dns.attempts.max(1))
            .saturating_add(scenario.target.connect_timeout)
            .saturating_add(scenario.target.response_timeout);
        // Each further address of an answer has the connect timeout to itself, and the first that connects once more for TLS.
        let addresses = scenario.stage.as_ref().map_or(USUAL_ADDRESSES, |stage| stage.fronts().into());
        let connecting = scenario.target.connect_timeout.saturating_mul(addresses);
        Self {
            gather: scenario.agents.gather_timeout,
            plan: Duration::from_secs(60),
            doors_lead: Duration::from_millis(500),
            // Lookups and connects in flight are bounded per agent, so that attempts against a dead proxy queue.
            doors: scenario.audience.doors_open.saturating_add(attempt * 2).saturating_add(SLACK),
            arm: scenario.agents.arm_timeout,
            commit_lead: Duration::from_secs(2),
            // No attempt begins after its window closed, so the last one ends an attempt's time later.
            burst: plan.duration().saturating_add(attempt).saturating_add(connecting).saturating_add(SLACK),
            drain: attempt.saturating_add(SLACK),
            silence: Duration::from_secs(3),
            rejoin: Duration::from_secs(3),
            report_every: Duration::from_secs(1),
        }
    }
}

/// How many addresses an answer of a live zone is thought to hold, to know how long a phone may try one after the other.
const USUAL_ADDRESSES: u32 = MULTIVALUE_MOST as u32;

/// What scheduling on a crowded machine may add to a bound: a run must not be cut short because a laptop was busy.
const SLACK: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use voteburst_burst::scenario::Draft;

    use super::*;

    #[test]
    fn a_burst_may_last_until_a_phone_has_tried_every_silent_proxy() {
        let draft = Draft::read(include_str!("../../../scenarios/smoke.toml"), "smoke.toml").unwrap();
        let plan = Plan::new(draft.resolve(&|_| Err(std::io::ErrorKind::NotFound.into())).unwrap());
        let fronts = plan.scenario.stage.as_ref().unwrap().fronts();
        assert!(fronts > 1);
        let all = plan.scenario.target.connect_timeout * u32::from(fronts);
        assert!(Timings::of(&plan).burst > plan.duration() + all + plan.scenario.target.response_timeout);
    }
}
