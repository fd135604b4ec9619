//! What the agents saw of themselves and of their machines: whether the generator was what held votes up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use voteburst_burst::generator::{Load, Stall, Usage, Watched};
use voteburst_burst::verdict::LongestStall;

use super::build::{AgentFacts, Findings};
use super::terminal::{line, thousands};
use super::{Agent, Report};

/// What an agent saw of itself and of its machine from T0 to its last vote.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GeneratorPart {
    /// Processor time from the commit on.
    pub usage: UsagePart,
    /// The busiest sample.
    pub busiest: Option<BusiestPart>,
    /// Times of 10 ms and more in which its worker did not come round although it was due to.
    pub stalls: StallsPart,
    /// TCP segments sent again in its network namespace, by whomever.
    pub retransmits: Option<u64>,
    /// Of those, SYNs.
    pub syn_retransmits: Option<u64>,
    /// Connections that found an accept queue full in its network namespace.
    pub listen_overflows: Option<u64>,
    /// Connections that listening sockets dropped there.
    pub listen_drops: Option<u64>,
    /// The most resident memory of its process in any sample, in bytes.
    pub memory_peak_bytes: Option<u64>,
}

/// Processor time over some time; `null` where the system does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UsagePart {
    /// Cores that the agent's process kept busy.
    pub process_cores: Option<f64>,
    /// The share of the time that the thread which fires was on a core.
    pub viewers_thread: Option<f64>,
    /// The share of the time that it could have run and had no core.
    pub waited: Option<f64>,
    /// Cores of the machine.
    pub machine_cores: Option<f64>,
    /// Their busy share, whoever used them.
    pub machine_busy: Option<f64>,
    /// The share of their time that the hypervisor gave to others.
    pub stolen: Option<f64>,
}

/// The busiest sample of an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BusiestPart {
    /// The second in which it ended, after T0.
    pub t_s: i64,
    /// What it held.
    #[serde(flatten)]
    pub usage: UsagePart,
}

/// Stalls of an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StallsPart {
    /// How many.
    pub count: u64,
    /// How long they were together, in milliseconds.
    pub total_ms: f64,
    /// The longest, in milliseconds; `null` without any.
    pub longest_ms: Option<f64>,
    /// When that one began, in seconds after T0.
    pub longest_t_s: Option<f64>,
}

impl GeneratorPart {
    /// The published form; `t0_second` is T0 in seconds after the doors opened.
    pub(super) fn of(watched: &Watched, t0_second: u32) -> Self {
        let Watched { stalls, usage, busiest, tcp, memory_peak_bytes, .. } = watched;
        Self {
            usage: UsagePart::of(usage),
            busiest: busiest.as_ref().map(|(second, usage)| BusiestPart {
                t_s: i64::from(*second) - i64::from(t0_second),
                usage: UsagePart::of(usage),
            }),
            stalls: StallsPart {
                count: stalls.count(),
                total_ms: stalls.total_us as f64 / 1e3,
                longest_ms: stalls.longest.map(|stall| stall.length_us as f64 / 1e3),
                longest_t_s: stalls.longest.map(|stall| after_t0(&stall, t0_second)),
            },
            retransmits: tcp.retransmits,
            syn_retransmits: tcp.syn_retransmits,
            listen_overflows: tcp.listen_overflows,
            listen_drops: tcp.listen_drops,
            memory_peak_bytes: *memory_peak_bytes,
        }
    }
}

impl UsagePart {
    fn of(usage: &Usage) -> Self {
        Self {
            process_cores: usage.process_cores(),
            viewers_thread: usage.viewers(),
            waited: usage.waited(),
            machine_cores: usage.cores(),
            machine_busy: usage.machine_busy(),
            stolen: usage.stolen(),
        }
    }
}

fn after_t0(stall: &Stall, t0_second: u32) -> f64 {
    stall.at_us as f64 / 1e6 - f64::from(t0_second)
}

/// The longest stall of any agent.
pub(super) fn longest_stall(agents: &[AgentFacts], t0_second: u32) -> Option<LongestStall> {
    let of = |agent: &AgentFacts| Some((agent.id.clone(), agent.watched.as_ref()?.stalls.longest?));
    let (agent, stall) = agents.iter().filter_map(of).max_by_key(|(_, stall)| stall.length_us)?;
    let (t_s, length_ms) = (after_t0(&stall, t0_second), stall.length_us as f64 / 1e3);
    Some(LongestStall { agent, t_s, length_ms, own_work: stall.is_own_work() })
}

/// What failed for want of descriptors, ports or memory on the rehearsal's own side: of votes, ahead of them, and at the stage.
/// Viewers who are not there at T0 for this reason must not be charged to the target.
pub(super) fn local_limits(findings: &Findings<'_>, of_votes: u64) -> u64 {
    let ahead = findings.agents.iter().filter_map(|agent| Some(agent.watched.as_ref()?.local_limits));
    ahead.fold(of_votes.saturating_add(findings.stage_pauses), u64::saturating_add)
}

/// Attempts that were not made, for the name led outside of an agent's allow-list: of votes, and ahead of them.
pub(super) fn not_allowed(findings: &Findings<'_>, of_votes: u64) -> u64 {
    let ahead = findings.agents.iter().filter_map(|agent| Some(agent.watched.as_ref()?.not_allowed));
    ahead.fold(of_votes, u64::saturating_add)
}

/// About how many viewers of such a plan the generator carries in time; `None` where nothing speaks for fewer than it had.
pub(super) fn carries(findings: &Findings<'_>) -> Option<u64> {
    let scenario = &findings.plan.scenario;
    let demands = findings.agents.iter().filter_map(|agent| agent.watched.as_ref()?.busiest?.1.demand());
    let viewers = scenario.audience.viewers.into();
    let load = Load::of(viewers, demands.reduce(f64::max), &findings.tally.late, scenario.thresholds.lateness_p99_max);
    load.carries().filter(|carried| *carried < viewers)
}

/// The generator's own account, in two lines.
pub(super) fn render(out: &mut String, report: &Report) {
    let told = || report.agents.iter().filter_map(|agent| Some((agent, agent.generator.as_ref()?)));
    if told().next().is_none() {
        return;
    }
    let parts = || told().map(|(_, part)| part);
    let percent = |share: Option<f64>| share.map_or_else(|| "-".into(), |share| format!("{:.0} %", share * 100.0));
    let most = |of: fn(&UsagePart) -> Option<f64>| parts().filter_map(|part| of(&part.busiest?.usage)).reduce(f64::max);
    let cores: f64 = parts().filter_map(|part| part.usage.process_cores).sum();
    line(
        out,
        &format!(
            "Generator  {cores:.2} cores on average; busiest samples: thread that fires {}, waited for a core {}, machine busy {}, stolen {}",
            percent(most(|usage| usage.viewers_thread)),
            percent(most(|usage| usage.waited)),
            percent(most(|usage| usage.machine_busy)),
            percent(most(|usage| usage.stolen)),
        ),
    );
    let count: u64 = parts().map(|part| part.stalls.count).sum();
    let longest = told().filter_map(|(agent, part)| Some((agent, part.stalls.longest_ms?, part.stalls.longest_t_s?)));
    let longest = longest.max_by(|one, other| one.1.total_cmp(&other.1));
    let longest = longest.map(|(agent, ms, t_s)| format!(", the longest {ms:.0} ms at t = {t_s:.1} s ({})", agent.id));
    let worst = report.timeline.iter().filter_map(|second| Some((second.t_s, second.lateness_p99_ms?)));
    let worst = worst.max_by(|one, other| one.1.total_cmp(&other.1));
    let worst = worst.map(|(t_s, ms)| format!("; worst second t = {t_s} s, lateness p99 up to {ms:.1} ms"));
    let drops = |of: fn(&GeneratorPart) -> Option<u64>| parts().filter_map(of).max().map_or_else(|| "-".into(), thousands);
    line(
        out,
        &format!(
            "           {} stalls of 10 ms or more{}{}; TCP sent again {}, dropped at accept {}; {} per viewer",
            thousands(count),
            longest.unwrap_or_default(),
            worst.unwrap_or_default(),
            drops(|part| part.retransmits),
            drops(|part| part.listen_drops),
            memory(&report.agents),
        ),
    );
}

/// The most memory that agents held for each of their viewers, programs and all.
fn memory(agents: &[Agent]) -> String {
    let each = |agent: &Agent| {
        let bytes = agent.generator.as_ref()?.memory_peak_bytes?;
        (agent.viewers > 0).then(|| bytes as f64 / f64::from(agent.viewers) / 1_024.0)
    };
    agents.iter().filter_map(each).reduce(f64::max).map_or_else(|| "-".into(), |kib| format!("{kib:.1} KiB"))
}

#[cfg(test)]
mod tests {
    use voteburst_burst::generator::MachineTime;

    use super::*;

    fn stall(at_s: u64, length_ms: u64) -> Stall {
        Stall { at_us: at_s * 1_000_000, length_us: length_ms * 1_000, on_cpu_us: 0 }
    }

    fn agent(id: &str, stalls: &[Stall]) -> AgentFacts {
        let mut watched = Watched::default();
        stalls.iter().for_each(|stall| watched.stalls.add(*stall));
        AgentFacts { id: id.into(), viewers: 1_000, watched: Some(watched), ..AgentFacts::default() }
    }

    #[test]
    fn the_longest_stall_of_the_fleet_is_placed_after_t0() {
        let agents = [
            agent("agent 0", &[stall(70, 40)]),
            agent("agent 1", &[stall(61, 20), stall(75, 300)]),
            AgentFacts { watched: None, ..agent("agent 2", &[]) },
        ];
        let found = longest_stall(&agents, 60).unwrap();
        assert_eq!((found.agent.as_str(), found.t_s, found.length_ms, found.own_work), ("agent 1", 15.0, 300.0, false));
        assert_eq!(longest_stall(&agents[2..], 60), None);
    }

    #[test]
    fn what_an_agent_saw_is_published_as_shares_and_times_after_t0() {
        let machine = MachineTime { busy_us: 900_000, idle_us: 900_000, stolen_us: 200_000 };
        let usage = Usage {
            span_us: 1_000_000,
            process_us: Some(500_000),
            viewers_us: Some(400_000),
            waited_us: Some(100_000),
            machine: Some(machine),
        };
        let mut watched = Watched { usage, busiest: Some((63, usage)), ..Watched::default() };
        watched.stalls.add(stall(62, 30));
        let part = GeneratorPart::of(&watched, 60);
        assert_eq!((part.usage.process_cores, part.usage.viewers_thread, part.usage.waited), (Some(0.5), Some(0.4), Some(0.1)));
        assert_eq!((part.usage.machine_busy, part.usage.stolen), (Some(0.5), Some(0.1)));
        assert_eq!(part.busiest.map(|busiest| busiest.t_s), Some(3));
        assert_eq!((part.stalls.count, part.stalls.longest_ms, part.stalls.longest_t_s), (1, Some(30.0), Some(2.0)));
    }
}
