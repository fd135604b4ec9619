//! What a generator knows of itself, and what it says about how much it can carry.
//!
//! A figure of the target is worth something only while the generator was not what held votes up. Agents watch two things:
//! their own worker ([`Stalls`], and lateness in the tally) and the machine around it ([`Usage`], [`TcpCounts`]).

mod stalls;

use std::time::Duration;

pub use stalls::{MOST_LISTED, SHORTEST_STALL, Stall, StalledSecond, Stalls};

use crate::tally::LateSeconds;

/// What an agent saw of itself and of its machine since T0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Times in which its worker did not come round.
    pub stalls: Stalls,
    /// Processor time from the commit on.
    pub usage: Usage,
    /// The busiest sample: the second after the doors opened in which it ended, and what it held.
    pub busiest: Option<(u32, Usage)>,
    /// What TCP counted from the commit on.
    pub tcp: TcpCounts,
    /// The most resident memory of its process that any sample found, in bytes; `None` where the system does not tell.
    pub memory_peak_bytes: Option<u64>,
    /// Lookups and connections ahead of votes that failed for want of descriptors, ports or memory on this machine. Those of
    /// votes are in the tally.
    pub local_limits: u64,
    /// Connections ahead of votes that were not made, for the name led outside of the agent's allow-list.
    pub not_allowed: u64,
}

/// Processor time over some time. `None`: the system does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How long it was looked at, in microseconds.
    pub span_us: u64,
    /// What the agent's process used, in microseconds of one core.
    pub process_us: Option<u64>,
    /// What the viewers' thread used: the one that fires.
    pub viewers_us: Option<u64>,
    /// How long that thread could have run and had no core (`/proc/PID/task/TID/schedstat`).
    pub waited_us: Option<u64>,
    /// The machine as a whole.
    pub machine: Option<MachineTime>,
}

/// Time of all cores of a machine together, in microseconds (`/proc/stat`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineTime {
    /// Busy with anything.
    pub busy_us: u64,
    /// With nothing to do.
    pub idle_us: u64,
    /// Taken by the hypervisor for others.
    pub stolen_us: u64,
}

impl Usage {
    /// Cores that the agent's process kept busy on average.
    #[must_use]
    pub fn process_cores(&self) -> Option<f64> {
        ratio(self.process_us?, self.span_us)
    }

    /// The share of the time that the viewers' thread was on a core, in [0, 1].
    #[must_use]
    pub fn viewers(&self) -> Option<f64> {
        ratio(self.viewers_us?, self.span_us).map(|share| share.min(1.0))
    }

    /// The share of the time that the viewers' thread waited for a core, in [0, 1].
    #[must_use]
    pub fn waited(&self) -> Option<f64> {
        ratio(self.waited_us?, self.span_us).map(|share| share.min(1.0))
    }

    /// The busy share of the cores' time that was not stolen, in [0, 1].
    #[must_use]
    pub fn machine_busy(&self) -> Option<f64> {
        let machine = self.machine?;
        ratio(machine.busy_us, machine.busy_us.saturating_add(machine.idle_us))
    }

    /// The share of all cores' time that was stolen, in [0, 1].
    #[must_use]
    pub fn stolen(&self) -> Option<f64> {
        let MachineTime { busy_us, idle_us, stolen_us } = self.machine?;
        ratio(stolen_us, busy_us.saturating_add(idle_us).saturating_add(stolen_us))
    }

    /// Cores of the machine, by the time that it counted.
    #[must_use]
    pub fn cores(&self) -> Option<f64> {
        let MachineTime { busy_us, idle_us, stolen_us } = self.machine?;
        ratio(busy_us.saturating_add(idle_us).saturating_add(stolen_us), self.span_us).map(f64::round)
    }

    /// How much of what there was was asked for, in [0, 1]: of the machine's cores by anybody, or of one core by the viewers'
    /// thread, which cannot use two and asks for one while it waits; whichever is more.
    #[must_use]
    pub fn demand(&self) -> Option<f64> {
        let asked_us = self.viewers_us.map(|on| on.saturating_add(self.waited_us.unwrap_or(0)));
        let thread = asked_us.and_then(|asked| ratio(asked, self.span_us)).map(|share| share.min(1.0));
        [thread, self.machine_busy()].into_iter().flatten().reduce(f64::max)
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// What TCP counted in the whole network namespace: whatever else runs in it has a part in this. `None`: not told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpCounts {
    /// Segments sent again, SYNs among them.
    pub retransmits: Option<u64>,
    /// SYNs sent again.
    pub syn_retransmits: Option<u64>,
    /// Connections that found an accept queue full.
    pub listen_overflows: Option<u64>,
    /// Connections that listening sockets dropped.
    pub listen_drops: Option<u64>,
}

impl TcpCounts {
    /// The greater one of each. Agents of one namespace all count the same packets, so adding would count them twice.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            retransmits: self.retransmits.max(other.retransmits),
            syn_retransmits: self.syn_retransmits.max(other.syn_retransmits),
            listen_overflows: self.listen_overflows.max(other.listen_overflows),
            listen_drops: self.listen_drops.max(other.listen_drops),
        }
    }
}

/// The demand above which a generator counts as full. Work that comes at random waits in a queue as long as u / (1 − u) of its
/// own time (Kleinrock, Queueing Systems, M/M/1): four times at 0.8, without bound at 1.
pub const FULL: f64 = 0.8;

/// The demand that is planned for: the queue is then a little more than twice as long as the work itself.
pub const ROOM: f64 = 0.7;

/// How a generator that was held up did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Viewers it had.
    pub viewers: u64,
    /// The greatest [`Usage::demand`] of any agent's busiest sample; `None` where no system told.
    pub demand: Option<f64>,
    /// Votes of the busiest second.
    pub peak: u64,
    /// Votes of the busiest second of those that were in time; `None` when no second was.
    pub in_time: Option<u64>,
}

impl Load {
    /// The load as the fleet's lateness tells it: a second was in time when its lateness at the 99th percentile was within
    /// `most`.
    #[must_use]
    pub fn of(viewers: u64, demand: Option<f64>, late: &LateSeconds, most: Duration) -> Self {
        let most_ms = most.as_secs_f64() * 1_000.0;
        let votes = || late.seconds().iter().filter(|second| !second.is_empty());
        let in_time = votes().filter(|second| second.quantile_ms(0.99).is_none_or(|p99| p99 <= most_ms));
        Self {
            viewers,
            demand,
            peak: votes().map(|second| second.len()).max().unwrap_or(0),
            in_time: in_time.map(|second| second.len()).max(),
        }
    }

    /// About how many viewers of such a plan the same machines can carry in time, rounded down to two digits; all that there
    /// were, unrounded, where nothing speaks for fewer, and never more, for nothing was seen of more. `None` when no second was in time, or nobody voted.
    ///
    /// viewers × min(a, b), where a is [`ROOM`] / demand if demand is above [`FULL`], else 1: processor time grows with
    /// viewers; and b is the busiest second that was in time over the busiest second of all: votes of a second grow with
    /// viewers too.
    #[must_use]
    pub fn carries(&self) -> Option<u64> {
        let by_processor = self.demand.filter(|demand| *demand > FULL).map_or(1.0, |demand| ROOM / demand);
        let by_rate = ratio(self.in_time?.min(self.peak), self.peak)?;
        let share = by_processor.min(by_rate);
        // Rounding alone would name fewer viewers than there were, and so a limit that nobody saw.
        Some(if share < 1.0 { two_digits((self.viewers as f64 * share) as u64) } else { self.viewers })
    }
}

/// Rounded down to two significant digits.
fn two_digits(number: u64) -> u64 {
    let unit = 10_u64.pow(number.checked_ilog10().unwrap_or(0).saturating_sub(1));
    number / unit * unit
}

#[cfg(test)]
mod tests;
