//! What the conductor is told and what it decides.

use std::fmt;

use serde::{Deserialize, Serialize};
use voteburst_burst::clock::{FleetTime, Offset};
use voteburst_burst::expect::Stopped;

/// An agent of one run, numbered in the order of joining.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AgentId(pub u32);

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "agent {}", self.0)
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The roster admitted an agent.
    Joined(AgentId),
    /// An agent whose session had broken opened it again.
    Rejoined(AgentId),
    /// An agent worked the plan out; its hash.
    Planned(AgentId, String),
    /// An agent looked at its machine; what is not as needed, one line each.
    Preflight(AgentId, Vec<String>),
    /// An agent is there: connections open now.
    Progress(AgentId, u32),
    /// All viewers of an agent have tried to connect: connections open now.
    Ready(AgentId, u32),
    /// An agent is ready to fire.
    Armed(AgentId, Offset),
    /// An agent reported what it counted; whether that was the last of it.
    Snapshot(AgentId, bool),
    /// An agent gave up, or said what makes no sense.
    Failed(AgentId, String),
    /// An agent's session ended.
    Lost(AgentId, String),
    /// Somebody wants the run to end.
    Interrupt,
    /// A limit that stops the burst was broken.
    Broken(Stopped),
    /// Time went by.
    Tick,
}

impl Event {
    /// The agent that was heard by this.
    pub(super) fn speaker(&self) -> Option<AgentId> {
        match self {
            Self::Joined(agent)
            | Self::Rejoined(agent)
            | Self::Planned(agent, _)
            | Self::Preflight(agent, _)
            | Self::Progress(agent, _)
            | Self::Ready(agent, _)
            | Self::Armed(agent, _)
            | Self::Snapshot(agent, _) => Some(*agent),
            Self::Failed(..) | Self::Lost(..) | Self::Interrupt | Self::Broken(_) | Self::Tick => None,
        }
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Say this to an agent.
    Tell(AgentId, Order),
    /// Let the user know.
    Note(Note),
    /// The run is over.
    Finish(Ended),
}

/// What an agent is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Its part of the plan, by position among the shares.
    Share(u32),
    /// When the doors open.
    OpenDoors(FleetTime),
    /// Measure the clock and get ready.
    Arm,
    /// When the burst begins.
    Commit(FleetTime),
    /// The run ends before the burst, and why.
    Abort(String),
    /// The burst ends now.
    Drain,
    /// All was received.
    Bye,
}

/// What the user should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The run went on to this phase.
    Entered(Phase),
    /// Not all viewers were in when the time for that was over; the run goes on with those that are.
    DoorsOverdue(Vec<AgentId>),
    /// An agent was lost, and why.
    AgentLost(AgentId, String),
    /// An agent thought lost is there again.
    AgentBack(AgentId),
    /// An agent's machine is not as needed and the run was forced all the same.
    Forced(AgentId, String),
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Waiting for agents to join.
    #[default]
    Gathering,
    /// Agents work the plan out and look at their machines.
    Planning,
    /// Viewers resolve and connect.
    Doors,
    /// Agents measure their clocks once more.
    Arming,
    /// T0 is fixed; agents need nothing more.
    Committed,
    /// Votes are cast.
    Burst,
    /// No further vote begins; last snapshots come in.
    Draining,
    /// Over, with results.
    Done,
    /// Over before anything was fired.
    Aborted,
}

impl Phase {
    /// All of them, in the order that a run goes through them; the last one is gone to from any that comes before the burst.
    pub const ALL: [Self; 9] = [
        Self::Gathering,
        Self::Planning,
        Self::Doors,
        Self::Arming,
        Self::Committed,
        Self::Burst,
        Self::Draining,
        Self::Done,
        Self::Aborted,
    ];

    /// What is being done in it, after "while".
    pub(super) fn doing(self) -> &'static str {
        match self {
            Self::Gathering => "gathering agents",
            Self::Planning => "agents were planning",
            Self::Doors => "the doors were opening",
            Self::Arming => "agents were arming",
            Self::Committed => "committed to T0",
            Self::Burst => "the burst was on",
            Self::Draining => "draining",
            Self::Done => "done",
            Self::Aborted => "aborting",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Gathering => "gathering",
            Self::Planning => "planning",
            Self::Doors => "doors",
            Self::Arming => "arming",
            Self::Committed => "committed",
            Self::Burst => "burst",
            Self::Draining => "draining",
            Self::Done => "done",
            Self::Aborted => "aborted",
        })
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "how")]
pub enum Ended {
    /// It ran to its end. Agents may have been lost on the way; their records say so.
    Complete,
    /// The burst began and was cut short.
    Partial {
        /// Why, in words.
        reason: String,
    },
    /// The burst began and was drained before its end, because a limit was broken that the scenario says to stop for.
    Stopped(Stopped),
    /// Nothing was fired.
    Aborted {
        /// Why, in words.
        reason: String,
    },
}
