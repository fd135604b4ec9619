//! What the user sees while a run goes on: one line each.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use voteburst_burst::expect::Stopped;

use crate::conductor::AgentId;

/// Something worth a line.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// Agents may join here.
    Listening(SocketAddr),
    /// An agent takes part.
    AgentJoined {
        /// Its number.
        agent: AgentId,
        /// Machine and process.
        name: String,
        /// Agents so far.
        joined: u32,
        /// Agents needed.
        expected: u32,
    },
    /// Somebody does not take part.
    AgentRefused {
        /// Machine and process, or its address.
        name: String,
        /// Why.
        reason: String,
    },
    /// An agent's machine is not as needed, and the run was forced all the same.
    Forced {
        /// What is not as needed.
        reason: String,
    },
    /// The doors are open.
    Doors {
        /// Connections open now.
        connected: u32,
        /// Viewers of the plan.
        viewers: u32,
    },
    /// Not every viewer has tried to connect in time; the run goes on.
    DoorsOverdue {
        /// Whose viewers.
        agents: Vec<AgentId>,
    },
    /// Every viewer has tried to connect.
    Ready {
        /// Connections open now.
        connected: u32,
        /// Viewers of the plan.
        viewers: u32,
    },
    /// Every agent is armed.
    Armed {
        /// The largest bound of their clocks.
        bound: Duration,
    },
    /// T0 is fixed.
    Committed {
        /// From now.
        t0_in: Duration,
    },
    /// One second of the burst, with all counts since it began.
    Burst {
        /// Seconds since T0.
        second: u32,
        /// Votes planned until then.
        planned: u64,
        /// Attempts sent.
        sent: u64,
        /// Votes accepted.
        accepted: u64,
        /// Attempts failed.
        failed: u64,
        /// Votes that have their fate.
        ended: u64,
    },
    /// An agent was lost.
    AgentLost {
        /// Its number.
        agent: AgentId,
        /// Machine and process.
        name: String,
        /// Why.
        why: String,
        /// Its part of the audience, in [0, 1].
        share: f64,
    },
    /// An agent thought lost is there again.
    AgentBack {
        /// Its number.
        agent: AgentId,
    },
    /// A limit was broken that the scenario says to stop for.
    Stopped(Stopped),
    /// No further vote begins.
    Draining,
    /// All is in that will come.
    Merging {
        /// Agents whose last snapshot is there.
        agents: u32,
        /// Agents of the run.
        expected: u32,
    },
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listening(address) => write!(f, "waiting for agents on {address}"),
            Self::AgentJoined { agent, name, joined, expected } => write!(f, "{agent} joined: {name}, {joined} of {expected}"),
            Self::AgentRefused { name, reason } => write!(f, "refused {name}: it {reason}"),
            Self::Forced { reason } => write!(f, "forced on although {reason}"),
            Self::Doors { connected, viewers } => write!(f, "doors open: {connected} of {viewers} viewers connected"),
            Self::DoorsOverdue { agents } => {
                let names: Vec<_> = agents.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "doors: not all viewers of {} have tried to connect in time; going on with those who are in",
                    names.join(", ")
                )
            }
            Self::Ready { connected, viewers } => write!(f, "ready: {connected} of {viewers} viewers connected"),
            Self::Armed { bound } => write!(f, "armed: clocks agree to within {:.3} ms", bound.as_secs_f64() * 1e3),
            Self::Committed { t0_in } => write!(f, "committed: the burst begins in {:.1} s", t0_in.as_secs_f64()),
            Self::Burst { second, planned, sent, accepted, failed, ended } => {
                write!(
                    f,
                    "burst {second:>3} s: {planned} planned, {sent} sent, {accepted} accepted, {failed} failed attempts, {ended} ended"
                )
            }
            Self::AgentLost { agent, name, why, share } => {
                write!(f, "LOST {agent}, {name}, with {:.2} % of the audience: {why}", share * 100.0)
            }
            Self::AgentBack { agent } => write!(f, "{agent} is there again"),
            Self::Stopped(stopped) => write!(f, "{stopped}"),
            Self::Draining => write!(f, "draining: no further vote begins"),
            Self::Merging { agents, expected } => write!(f, "merging the last snapshots of {agents} of {expected} agents"),
        }
    }
}
