//! Local agents: child processes of the same executable, which join over loopback like those of other machines.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;
use voteburst_agent::preflight::{SCATTERED_VOTE_CPU_US, SPARE_FILES, cores, raise_file_limit};
use voteburst_burst::plan::Plan;

use crate::problem::Problem;
use crate::rehearsal::Stand;
use crate::say;

/// The agents started here. They end when this is dropped.
pub(crate) struct Fleet {
    agents: Vec<Child>,
    /// What each says on standard error, until it is gone.
    said: Vec<JoinHandle<()>>,
}

/// How many local agents hold the audience: what was asked for, or what the scenario's `agents.max_viewers`, this machine's
/// file limit and its cores demand.
///
/// Memory asks for neither more nor fewer, for viewers take the same wherever they are held; whether there is enough of it
/// for all of them is a line of the preflight.
pub(crate) fn size(plan: &Plan, asked: Option<u32>) -> Result<u32, Problem> {
    let viewers = plan.scenario.audience.viewers;
    let limit = raise_file_limit();
    let fits = limit.map_or(u32::MAX, |limit| u32::try_from(limit.saturating_sub(SPARE_FILES)).unwrap_or(u32::MAX));
    if fits == 0 {
        return Err(Problem::usage(format!(
            "open files: found a limit of {} for each process, in which not one viewer fits\n  needed: {SPARE_FILES}, and one more for each viewer\n  fix:    raise it with `ulimit -n 20000` (LimitNOFILE=20000 in a systemd unit)",
            limit.unwrap_or_default()
        )));
    }
    let Some(agents) = asked else {
        let peak = plan.busiest_second(&(0..viewers)).map_or(0, |(_, votes)| votes);
        return Ok(enough(viewers, plan.scenario.agents.max_viewers.min(fits), peak, cores()));
    };
    if agents == 0 || agents > viewers.min(1_000) {
        return Err(Problem::usage(format!(
            "--agents: found {agents}\n  needed: 1 to {} (one viewer each at least)\n  fix:    leave it out to let voteburst choose",
            viewers.min(1_000)
        )));
    }
    let each = viewers.div_ceil(agents);
    if each > fits {
        return Err(Problem::usage(format!(
            "--agents: found {agents}, which makes {each} viewers for each\n  needed: at most {fits} viewers for each agent, for a process may open {} files here\n  fix:    --agents {} or more, or raise the limit with `ulimit -n`",
            limit.unwrap_or_default(),
            viewers.div_ceil(fits)
        )));
    }
    Ok(agents)
}

/// So many that none holds more than `most` viewers, and that the busiest second, of `peak` votes, keeps none of them busy for
/// more than half of it. Of those no more than cores, for an agent fires from one thread: beyond, agents only wait for each
/// other. Files can demand more agents than there are cores; then cores bound the votes per second, which the preflight tells.
fn enough(viewers: u32, most: u32, peak: u32, cores: u32) -> u32 {
    let useful = (u64::from(peak) * SCATTERED_VOTE_CPU_US).div_ceil(500_000);
    let useful = u32::try_from(useful).unwrap_or(u32::MAX).min(cores);
    viewers.div_ceil(most.max(1)).max(useful).min(viewers).max(1)
}

impl Fleet {
    /// Starts `count` agents that join at `coordinator`.
    pub(crate) fn start(count: u32, coordinator: SocketAddr, stand: &Stand<'_>, exe: &Path) -> Result<Self, Problem> {
        let (mut agents, mut said, args) = (Vec::new(), Vec::new(), stand.args);
        for _ in 0..count {
            let mut command = Command::new(exe);
            command.arg("agent").arg("--join").arg(coordinator.to_string()).arg("--quiet").args(crate::log::words(stand.logging));
            if let Some(file) = &args.token_file {
                command.arg("--token-file").arg(file);
            }
            for network in &args.allow {
                command.arg("--allow").arg(network.to_string());
            }
            // Ctrl-C on a terminal goes to the whole foreground group: the coordinator must be the one to decide what it means.
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
            let mut agent = command.spawn().map_err(|error| {
                Problem::usage(format!("cannot start a local agent from {}: {error}\n  needed: room for {count} processes\n  fix:    raise `ulimit -u`, or start fewer with --agents", exe.display()))
            })?;
            said.extend(agent.stderr.take().map(|said| tokio::spawn(pass_on(said))));
            agents.push(agent);
        }
        Ok(Self { agents, said })
    }

    /// Waits until the agents, whose sessions have ended, are gone. Those that are not within a moment are ended.
    pub(crate) async fn stop(mut self) {
        for agent in &mut self.agents {
            // An agent that lost its coordinator tries to deliver for a while; its time is over now.
            let _ = tokio::time::timeout(Duration::from_secs(3), agent.wait()).await;
        }
        for said in self.said {
            // The last words of who has just ended are on their way.
            let _ = tokio::time::timeout(Duration::from_millis(100), said).await;
        }
    }
}

/// Passes on what an agent says, as the command's own words: a view may have the terminal.
async fn pass_on(said: ChildStderr) {
    let mut lines = BufReader::new(said).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        say::note(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_demand_agents_and_so_does_a_steep_burst_as_long_as_there_are_cores() {
        for (what, [viewers, most, peak, cores], agents) in [
            ("one is enough", [1_000, 15_000, 200, 8], 1),
            ("the full house: files demand more than there are cores", [300_000, 18_750, 18_300, 2], 16),
            ("the same without a limit on files", [300_000, u32::MAX, 18_300, 2], 2),
            ("half a core each for 18,300 votes of 45 µs", [300_000, u32::MAX, 18_300, 8], 2),
            ("just half a core", [15_000, 15_000, 11_111, 8], 1),
            ("a little more", [15_000, 15_000, 11_112, 8], 2),
            ("all at once", [15_000, 15_000, 15_000, 2], 2),
            ("all at once on one core", [15_000, 15_000, 15_000, 1], 1),
            ("the greatest peak there can be", [u32::MAX, u32::MAX, u32::MAX, 64], 64),
            ("never more agents than viewers", [3, 15_000, 1_000_000, 64], 3),
            ("nobody", [0, 0, 0, 0], 1),
        ] {
            assert_eq!(enough(viewers, most, peak, cores), agents, "{what}");
        }
    }
}
