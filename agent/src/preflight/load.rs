//! What a run asks of a machine, in the figures that limits are held against.

use std::ops::Range;

use voteburst_burst::plan::Plan;
use voteburst_burst::scenario::{Client, Scheme};

/// Processor time at one end of a vote that comes in a crowd, connection and answer included, in microseconds: the least.
///
/// `benches/idle_and_vote` gives 9.4 to 10.2 µs for an agent with the cores to itself; half as much again when both cores are
/// crowded.
pub const VOTE_CPU_US: u64 = 15;
/// Processor time at one end of a vote that comes alone, in microseconds: it wakes each process it meets.
///
/// The full house, whose votes are scattered over a minute, took some 90 µs of two cores for each vote in its busiest seconds,
/// 49 % of it the stage's (ARCHITECTURE.md, "Cost"). What lies between both is a matter of how many votes a wake-up finds.
pub const SCATTERED_VOTE_CPU_US: u64 = 45;
/// Kernel memory of an idle TCP connection at one end, in bytes; a connection over loopback has both ends here.
pub const SOCKET_BYTES: u64 = 5 << 10;
/// An agent's memory for a viewer in bytes, plain HTTP. `benches/idle_and_vote` gives 1.6 to 1.8 KiB; lookups, tickets and the
/// process itself come on top.
pub const VIEWER_BYTES: u64 = 3 << 10;
/// An agent's memory for a viewer with TLS, in bytes. `benches/tls` gives 7.0 KiB idle and 7.5 KiB having voted.
pub const TLS_VIEWER_BYTES: u64 = 12 << 10;
/// An agent's memory for a viewer whose phone speaks HTTP/2 (`client = "full"`), in bytes. `benches/tls` gives 23 KiB idle and
/// 33 KiB having voted.
pub const FULL_VIEWER_BYTES: u64 = 36 << 10;
/// The stage's memory for a connection, in bytes; the workers of a stage of 8,000 such connections took 1.4 KiB for each.
pub const STAGE_CONNECTION_BYTES: u64 = 4 << 10;
/// The same with TLS; they took 9.9 KiB.
pub const TLS_STAGE_CONNECTION_BYTES: u64 = 12 << 10;
/// The same with HTTP/2 over TLS; they took 34 KiB.
pub const FULL_STAGE_CONNECTION_BYTES: u64 = 36 << 10;

/// What is asked of a machine, as far as whoever checks it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Viewers that one agent holds; of several agents, the largest.
    pub viewers: u32,
    /// Viewers that all agents on this machine hold together. An agent knows of itself alone.
    pub viewers_here: u32,
    /// Votes that they cast together in their busiest second.
    pub peak_votes_per_s: u32,
    /// Whether the stage is on this machine too, so that both ends of every connection are.
    pub stage_here: bool,
    /// Whether viewers speak TLS.
    pub tls: bool,
    /// How many of `viewers_here` have phones that speak HTTP/2; the others speak HTTP/1.1.
    pub full_here: u32,
}

impl Load {
    /// What one agent's share asks.
    #[must_use]
    pub fn of_share(plan: &Plan, share: &Range<u32>) -> Self {
        let viewers = share.end.saturating_sub(share.start);
        let phones = &plan.scenario.audience.phones;
        let full: f64 = phones.iter().filter(|phone| phone.client == Client::Full).map(|phone| phone.share).sum();
        Self {
            viewers,
            viewers_here: viewers,
            peak_votes_per_s: plan.busiest_second(share).map_or(0, |(_, votes)| votes),
            // A stage is on loopback, so whoever votes on it is on its machine.
            stage_here: plan.scenario.stage.is_some(),
            tls: plan.scenario.target.scheme == Scheme::Https,
            full_here: ((full * f64::from(viewers)).ceil() as u32).min(viewers),
        }
    }

    /// What the whole audience asks when so many agents here hold it.
    #[must_use]
    pub fn of_audience(plan: &Plan, agents: u32) -> Self {
        let audience = 0..plan.scenario.audience.viewers;
        let largest = plan.shares(agents).iter().map(|share| share.end - share.start).max().unwrap_or(0);
        Self { viewers: largest, ..Self::of_share(plan, &audience) }
    }

    fn ends(&self) -> u64 {
        if self.stage_here { 2 } else { 1 }
    }

    /// Sockets of all connections on this machine.
    pub(super) fn sockets(&self) -> u64 {
        u64::from(self.viewers_here) * self.ends()
    }

    /// Bytes of memory for everything on this machine.
    pub(super) fn bytes(&self) -> u64 {
        let (viewer, stage) =
            if self.tls { (TLS_VIEWER_BYTES, TLS_STAGE_CONNECTION_BYTES) } else { (VIEWER_BYTES, STAGE_CONNECTION_BYTES) };
        let both = |viewer, stage| if self.stage_here { viewer + stage } else { viewer };
        let full = u64::from(self.full_here.min(self.viewers_here));
        let lean = u64::from(self.viewers_here) - full;
        self.sockets() * SOCKET_BYTES + lean * both(viewer, stage) + full * both(FULL_VIEWER_BYTES, FULL_STAGE_CONNECTION_BYTES)
    }

    /// Cores that the busiest second keeps busy at least, when its votes come in crowds.
    pub(super) fn cores(&self) -> f64 {
        (u64::from(self.peak_votes_per_s) * VOTE_CPU_US * self.ends()) as f64 / 1e6
    }

    /// Cores that the busiest second would keep busy when each of its votes came alone.
    pub(super) fn scattered_cores(&self) -> f64 {
        (u64::from(self.peak_votes_per_s) * SCATTERED_VOTE_CPU_US * self.ends()) as f64 / 1e6
    }

    /// Whose ends are counted, for the words of a line.
    pub(super) fn whose(&self) -> &'static str {
        if self.stage_here { "agents and stage" } else { "agents" }
    }
}
