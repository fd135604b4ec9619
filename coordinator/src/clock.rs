//! The one place of this crate that reads time.

use std::sync::OnceLock;

use rustix::time::{ClockId, clock_gettime};
use voteburst_burst::clock::FleetTime;

/// The coordinator's monotonic clock, which is the clock of the whole fleet. All copies show the same.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began_ns: i64,
}

impl Clock {
    /// The clock of this process; it began with the first call.
    #[must_use]
    pub fn of_this_process() -> Self {
        static BEGAN: OnceLock<i64> = OnceLock::new();
        Self { began_ns: *BEGAN.get_or_init(kernel_now_ns) }
    }

    /// The reading now.
    #[must_use]
    pub fn now(self) -> FleetTime {
        FleetTime(kernel_now_ns() - self.began_ns)
    }

    /// The instant as this machine's kernel counts it (`CLOCK_MONOTONIC`), in nanoseconds: the one clock that all
    /// processes of a machine share, so that a stage's ballots can be held against T0.
    #[must_use]
    pub fn kernel_ns(self, at: FleetTime) -> i64 {
        at.0.saturating_add(self.began_ns)
    }
}

fn kernel_now_ns() -> i64 {
    // 2^63 nanoseconds are 292 years of uptime.
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_agree_with_each_other_and_with_the_kernel() {
        let (one, other) = (Clock::of_this_process(), Clock::of_this_process());
        let before = kernel_now_ns();
        let (first, second) = (one.now(), other.now());
        let after = kernel_now_ns();
        assert!(first <= second);
        assert!(before <= one.kernel_ns(first) && other.kernel_ns(second) <= after);
    }
}
