//! Why an agent's session ended before its time.

use std::time::Duration;

use voteburst_burst::scenario::ScenarioProblem;
use voteburst_proto::WireProblem;

use crate::crew::{CrewLost, MusterError};

/// Why an agent did not come to its end in the orderly way.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// An endpoint that is no address.
    #[error("`{0}` is no place to join: needed HOST:PORT, such as 127.0.0.1:7400")]
    Endpoint(String),
    /// Nobody there.
    #[error("no coordinator at {endpoint} within {} s: {why}; start it first, and look at the address and at firewalls", within.as_secs())]
    NoCoordinator {
        /// Where it should be.
        endpoint: String,
        /// How long it was tried.
        within: Duration,
        /// What happened at the last attempt.
        why: String,
    },
    /// The coordinator does not want this agent.
    #[error("the coordinator refused this agent: it {reason}")]
    Refused {
        /// Why.
        reason: String,
        /// Whether it may be otherwise in a moment.
        for_now: bool,
    },
    /// The run ended before the burst, or without this agent.
    #[error("the coordinator ended the run: {0}")]
    Aborted(String),
    /// The coordinator went away before it had committed.
    #[error("the coordinator was lost before the burst: {0}; nothing was fired")]
    Lost(String),
    /// The coordinator said what makes no sense.
    #[error("the coordinator sent {0}")]
    Word(#[from] WireProblem),
    /// The coordinator said what has no place there.
    #[error("the coordinator sent `{found}` where {needed} was due: coordinator and agent must be of one version")]
    OutOfTurn {
        /// What it said.
        found: String,
        /// What was due.
        needed: &'static str,
    },
    /// The scenario of the share cannot be read.
    #[error("the share's scenario cannot be read: {0}; coordinator and agent must be of one version")]
    Scenario(#[from] Box<ScenarioProblem>),
    /// The plan came out otherwise.
    #[error(
        "this agent derived plan {found:.12}… from the share, the coordinator has {needed:.12}…: both must be of one version"
    )]
    OtherPlan {
        /// The hash this agent came to.
        found: String,
        /// The hash the coordinator named.
        needed: String,
    },
    /// The crew could not be put together.
    #[error("the viewers cannot be mustered: {0}")]
    Muster(#[from] MusterError),
    /// No ping came back.
    #[error("the clock could not be compared with the coordinator's: no ping came back; look at the network between them")]
    NoClock,
    /// The worker died.
    #[error(transparent)]
    Crew(#[from] CrewLost),
    /// The burst ended well, but nobody took its result.
    #[error("the burst was fired to its end, but its last snapshot could not be delivered within {} s: {why}; this agent's share is missing from the result", within.as_secs())]
    Undelivered {
        /// How long it was tried.
        within: Duration,
        /// What happened at the last attempt.
        why: String,
    },
    /// A thread of this process died.
    #[error("a task of the agent panicked: {0}; please report this")]
    Panicked(String),
}

impl SessionError {
    /// Whether the coordinator cannot know this unless it is told, and heard before the line goes down.
    pub(super) fn is_news(&self) -> bool {
        match self {
            Self::Word(_)
            | Self::OutOfTurn { .. }
            | Self::Scenario(_)
            | Self::OtherPlan { .. }
            | Self::Muster(_)
            | Self::NoClock
            | Self::Crew(_)
            | Self::Panicked(_) => true,
            Self::Endpoint(_)
            | Self::NoCoordinator { .. }
            | Self::Refused { .. }
            | Self::Aborted(_)
            | Self::Lost(_)
            | Self::Undelivered { .. } => false,
        }
    }
}
