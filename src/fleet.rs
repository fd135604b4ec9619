//! Local agents: child processes of the same executable, which join over loopback like those of other machines.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;
use voteburst_agent::preflight::{SPARE_FILES, raise_file_limit};
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

/// How many local agents hold the audience: what was asked for, or what the scenario's `agents.max_viewers` and this
/// machine's file limit demand.
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
    let Some(agents) = asked else { return Ok(viewers.div_ceil(plan.scenario.agents.max_viewers.min(fits)).max(1)) };
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
