//! What coordinator and agents say, in the words of the domain.
//!
//! A session: join → welcome → share → planned → preflight → open doors → ready → arm → armed → commit →
//! snapshots → last snapshot → bye. An agent reports about once a second all the time ([`FromAgent::Progress`]
//! before the commit, [`FromAgent::Snapshot`] after it), so that silence has a meaning.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use voteburst_burst::clock::{FleetTime, Offset};
use voteburst_burst::generator::Watched;
use voteburst_burst::outcome::Fate;
use voteburst_burst::tally::Tally;

/// What an agent says.
#[derive(Clone, Debug, PartialEq)]
pub enum FromAgent {
    /// The first word of every session.
    Join(Join),
    /// The plan was worked out from the scenario; its hash as 64 hexadecimal digits.
    Planned {
        /// What this agent came to.
        plan_hash: String,
    },
    /// Whether this machine can hold its share.
    Preflight {
        /// Each thing that was looked at.
        checks: Vec<Check>,
    },
    /// Still there; how far the doors phase has come.
    Progress(Progress),
    /// Every viewer's first attempt to connect has ended.
    Ready(Ready),
    /// Ready to fire, with this offset of clocks.
    Armed {
        /// From this agent's clock to the coordinator's.
        offset: Offset,
    },
    /// Everything counted so far.
    Snapshot(Box<Snapshot>),
    /// The agent gives up, and why.
    Failed {
        /// In words for a reader of the report.
        reason: String,
    },
}

/// Who wants to take part.
#[derive(Clone, PartialEq, Eq)]
pub struct Join {
    /// Version of this protocol, [`voteburst_burst::plan::PROTOCOL`].
    pub protocol: u32,
    /// Version of the program, for messages only.
    pub version: String,
    /// Name of the machine, for messages and the report.
    pub host: String,
    /// Process id on that machine.
    pub pid: u32,
    /// Drawn once per process start: tells a reconnect from a restart.
    pub incarnation: u64,
    /// The join token, when the agent was given one.
    pub token: Option<String>,
    /// The networks this agent is willing to send votes to, as `address/prefix`.
    pub allowed: Vec<String>,
}

/// The token is a secret, so that it must not reach a log by way of `{:?}`.
impl std::fmt::Debug for Join {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Join")
            .field("protocol", &self.protocol)
            .field("version", &self.version)
            .field("host", &self.host)
            .field("pid", &self.pid)
            .field("incarnation", &self.incarnation)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("allowed", &self.allowed)
            .finish()
    }
}

/// One line of a preflight: what was looked at, found and needed, how to fix it, what happens otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at, such as `open files`.
    pub what: String,
    /// What this machine has.
    pub found: String,
    /// What the share needs.
    pub needed: String,
    /// What to do about it; empty when all is well.
    pub fix: String,
    /// What happens otherwise; empty when all is well.
    pub effect: String,
    /// How bad it is.
    pub status: CheckStatus,
}

/// How bad a line of a preflight is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckStatus {
    /// As needed.
    Good,
    /// The run is possible and its report says this.
    Warning,
    /// The share cannot be held: no doors are opened.
    Bad,
}

/// How far the doors phase has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Connections open now.
    pub connected: u32,
    /// Viewers whose first attempt has ended.
    pub tried: u32,
}

/// The end of the doors phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Connections open now.
    pub connected: u32,
    /// Viewers of the share without one.
    pub failed: u32,
}

/// Everything an agent has counted since its doors opened. Cumulative: a newer one replaces all before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The run it belongs to.
    pub run: u64,
    /// The agent, by the number it was welcomed with.
    pub agent: u32,
    /// The incarnation of that agent.
    pub incarnation: u64,
    /// Grows by one with each snapshot of an incarnation.
    pub seq: u64,
    /// Whether nothing more will happen: every ticket has its fate.
    pub last: bool,
    /// What was counted.
    pub tally: Tally,
    /// Tickets that have their fate.
    pub ended: u32,
    /// Connections open now.
    pub connected: u32,
    /// Connections open at T0; `None` before it.
    pub connected_at_t0: Option<u32>,
    /// How late this agent's viewer began whose vote left first, in nanoseconds, without what names and connections took;
    /// `None` before it.
    pub first_send_lateness_ns: Option<u64>,
    /// The newest offset of clocks.
    pub offset: Offset,
    /// Processor time of the agent's process since it began, user and system.
    pub cpu: Duration,
    /// Resident memory of the agent's process, in bytes.
    pub memory_bytes: u64,
    /// What a reader of the report should know, in words.
    pub warnings: Vec<String>,
    /// What the agent saw of itself and of its machine since T0; `None` when it says nothing of that.
    pub watched: Option<Watched>,
    /// The fate of each ticket of the share in plan order; in the last snapshot only.
    pub fates: Vec<Fate>,
}

/// What a coordinator says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromCoordinator {
    /// The agent takes part.
    Welcome(Welcome),
    /// What it has to do.
    Share(Share),
    /// Second 0 of every tally begins at this instant; viewers enter after it.
    OpenDoors {
        /// On the coordinator's clock.
        at: FleetTime,
    },
    /// Measure the clock once more and say so.
    Arm,
    /// Every agent is armed: the burst begins at T0, whatever happens to the coordinator.
    Commit {
        /// On the coordinator's clock.
        t0: FleetTime,
    },
    /// The run ends before anything was fired.
    Abort {
        /// In words.
        reason: String,
    },
    /// No further vote begins; send the last snapshot when those in flight have ended.
    Drain,
    /// The last snapshot has arrived.
    Bye,
    /// The agent does not take part.
    Refused {
        /// What was found, what is needed, how to fix it.
        reason: String,
        /// Whether it may be otherwise in a moment: an agent that comes back before its broken session was noticed.
        for_now: bool,
    },
}

/// An agent's place in the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// Its number, from 0.
    pub agent: u32,
    /// The run, part of every ballot id.
    pub run: u64,
    /// How often to report.
    pub report_every: Duration,
}

/// An agent's part of the plan and of the world it happens in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The whole scenario in canonical TOML: every agent works the plan out for itself.
    pub scenario: String,
    /// What the plan's hash must come to, as 64 hexadecimal digits.
    pub plan_hash: String,
    /// The viewers it plays.
    pub viewers: Range<u32>,
    /// Where the plan's carriers listen, by their index.
    pub carriers: Vec<SocketAddr>,
    /// Whether these are resolvers of the real world, which answer only queries that desire recursion.
    pub recursion_desired: bool,
    /// The target's port.
    pub port: u16,
    /// Addresses to connect from; empty: the agent picks.
    pub sources: Vec<IpAddr>,
    /// Sets the agent's own source addresses apart from those of agents on the same machine.
    pub slot: u32,
    /// Whose certificates the target shows, in DER, when an authority was made for this run; empty otherwise.
    pub authority: Vec<u8>,
}
