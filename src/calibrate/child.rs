//! The processes of a calibration: what they are told and what they report, one JSON object on each line.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child as Process, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::figures::Counts;
use crate::problem::Problem;
use crate::say;

/// What a process is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// A null target: listen on these addresses, on one port.
    Open { addresses: Vec<Ipv4Addr> },
    /// A null target: say how much processor time it took.
    Spend,
    /// An agent: make ready to play this share.
    Muster(Share),
    /// An agent: the doors open at this instant of the kernel's monotonic clock. Wait so long at most for all to be in.
    OpenDoors { at_ns: i64, within: Duration },
    /// An agent: T0 is this instant, at the beginning of this second of the tally.
    Fire { at_ns: i64, second: u32 },
}

/// A part of the calibration's plan.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Share {
    /// The scenario of the rounds.
    pub(super) scenario: String,
    /// From this viewer on.
    pub(super) first: u32,
    /// Up to this one.
    pub(super) end: u32,
    /// Where the carriers listen.
    pub(super) carriers: Vec<SocketAddr>,
    /// The port of this agent's null target.
    pub(super) port: u16,
    /// Sets its source addresses apart from those of the others.
    pub(super) slot: u32,
}

/// What a process reports.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// A null target listens.
    Open { port: u16 },
    /// Its processor time since it began, in microseconds.
    Spent { cpu_us: u64 },
    /// An agent has its tickets.
    Mustered,
    /// Its viewers have tried to connect.
    Entered(Entered),
    /// A round is over.
    Counted(Counted),
}

/// How the doors went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entered {
    /// Connections open.
    pub(super) connected: u32,
    /// Since the doors opened, in microseconds.
    pub(super) took_us: u64,
    /// Processor time for it, in microseconds.
    pub(super) cpu_us: u64,
    /// By how much the process grew since it began, in bytes.
    pub(super) memory_bytes: u64,
}

/// What an agent has counted since T0, all rounds so far included; only `in_time` is of one round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counted {
    /// Tickets that have their fate.
    pub(super) ended: u64,
    /// Votes accepted.
    pub(super) accepted: u64,
    /// Votes of this round that left within its own seconds.
    pub(super) in_time: u64,
    /// Processor time, in microseconds.
    pub(super) cpu_us: u64,
    /// How late votes were, in microseconds.
    pub(super) lateness: Counts,
}

/// Reports to the parent. One that is gone takes this process with it.
pub(super) fn tell(report: &Report) {
    if let Ok(line) = serde_json::to_string(report) {
        say::result(&(line + "\n"));
    }
}

/// Processor time of this process, user and system, in microseconds.
pub(super) fn processor_us() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    u64::try_from(time.tv_sec * 1_000_000 + time.tv_nsec / 1_000).unwrap_or(0)
}

/// The parent's end of a process. That is ended when this is dropped, and ends itself when this process is gone.
pub(super) struct Child {
    what: &'static str,
    // Before the process itself: whoever hears that nobody speaks to it any more needs no signal.
    orders: ChildStdin,
    reports: Lines<BufReader<ChildStdout>>,
    _process: Process,
}

impl Child {
    /// Starts `voteburst <word>`.
    pub(super) fn start(exe: &Path, word: &'static str, what: &'static str) -> Result<Self, Problem> {
        let refuse = |error: std::io::Error| {
            Problem::usage(format!(
                "cannot start {what} from {}: {error}\n  needed: room for two processes for each agent\n  fix:    raise `ulimit -u`, or give each agent more viewers (agents.max_viewers)",
                exe.display()
            ))
        };
        let mut command = Command::new(exe);
        command.arg(word).stdin(Stdio::piped()).stdout(Stdio::piped());
        // Ctrl-C on a terminal goes to the whole foreground group: the parent must be the one to decide what it means.
        let mut process = command.process_group(0).kill_on_drop(true).spawn().map_err(refuse)?;
        let pipes = process.stdin.take().zip(process.stdout.take());
        let (orders, reports) = pipes.ok_or_else(|| refuse(std::io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self { what, orders, reports: BufReader::new(reports).lines(), _process: process })
    }

    pub(super) async fn tell(&mut self, order: &Order) -> Result<(), Problem> {
        let mut line = serde_json::to_vec(order).map_err(|error| self.lost(&error))?;
        line.push(b'\n');
        self.orders.write_all(&line).await.map_err(|error| self.lost(&error))
    }

    /// The next report.
    pub(super) async fn hear(&mut self, within: Duration) -> Result<Report, Problem> {
        let line = timeout(within, self.reports.next_line()).await;
        let line = line.map_err(|_| self.lost(&format!("it said nothing for {} s", within.as_secs())))?;
        let line = line.map_err(|error| self.lost(&error))?.ok_or_else(|| self.lost(&"it is gone"))?;
        serde_json::from_str(&line).map_err(|error| self.lost(&error))
    }

    /// The problem of a report that does not belong here.
    pub(super) fn confused(&self, report: &Report) -> Problem {
        let found: String = format!("{report:?}").chars().take(80).collect();
        self.lost(&format!("it said {found}"))
    }

    fn lost(&self, why: &dyn std::fmt::Display) -> Problem {
        Problem::unknown(format!(
            "the calibration lost {}: {why}\n  needed: every process to the end\n  fix:    calibrate again; look for its own words above, and for the kernel's out-of-memory killer in `dmesg`",
            self.what
        ))
    }
}
