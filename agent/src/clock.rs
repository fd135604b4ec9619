//! The one place of this crate that reads time. Everybody else is handed `now`.

use rustix::time::{ClockId, Timespec, clock_gettime};
use voteburst_burst::clock::LocalTime;

const NANOS: i64 = 1_000_000_000;

/// This process's monotonic clock: `CLOCK_MONOTONIC`, counted from the moment the clock was made.
///
/// Make one per process and hand out copies, so that all readings share an origin. Monotonic, because a wall
/// clock that is stepped in the middle of a burst would turn into latency.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    anchor_ns: i64,
}

impl Clock {
    /// A clock whose origin is now.
    #[must_use]
    pub fn start() -> Self {
        Self { anchor_ns: monotonic_ns() }
    }

    /// The same clock, this much ahead: for tests of what is remembered for long.
    #[cfg(test)]
    pub(crate) fn ahead(self, by: std::time::Duration) -> Self {
        Self { anchor_ns: self.anchor_ns - i64::try_from(by.as_nanos()).unwrap() }
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub fn now(self) -> LocalTime {
        LocalTime(monotonic_ns() - self.anchor_ns)
    }

    /// The instant as the kernel counts `CLOCK_MONOTONIC`, for absolute timers. Instants before boot become 0.
    #[must_use]
    pub fn kernel_time(self, at: LocalTime) -> Timespec {
        let nanos = at.0.saturating_add(self.anchor_ns).max(0);
        Timespec { tv_sec: nanos / NANOS, tv_nsec: nanos % NANOS }
    }
}

/// Processor time of the thread that asks, in nanoseconds. A system call, some hundred nanoseconds long.
pub(crate) fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec * NANOS + time.tv_nsec).unwrap_or(0)
}

fn monotonic_ns() -> i64 {
    // Served by the vDSO: about 25 ns, no system call. 2^63 ns are 292 years of uptime.
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec * NANOS + time.tv_nsec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_time_and_now_share_one_origin() {
        let clock = Clock::start();
        let before = clock_gettime(ClockId::Monotonic);
        let here = clock.kernel_time(clock.now());
        let after = clock_gettime(ClockId::Monotonic);
        let nanos = |time: Timespec| time.tv_sec * NANOS + time.tv_nsec;
        assert!(nanos(before) <= nanos(here) && nanos(here) <= nanos(after));
    }

    #[test]
    fn an_instant_before_boot_is_no_negative_timer() {
        let time = Clock::start().kernel_time(LocalTime(i64::MIN));
        assert_eq!((time.tv_sec, time.tv_nsec), (0, 0));
    }
}
