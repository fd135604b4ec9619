//! The one place of this crate that reads time.

use rustix::time::{ClockId, clock_gettime};
use voteburst_burst::clock::FleetTime;

/// The coordinator's monotonic clock, which is the clock of the whole fleet.
///
/// It is the machine's `CLOCK_MONOTONIC` as it is (clock_gettime(2)), which all processes of one machine share: so a stage
/// on this machine stamps ballots on the fleet's clock without any conversion.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// The clock of this machine.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self
    }

    /// The reading now.
    #[must_use]
    pub fn now(self) -> FleetTime {
        let time = clock_gettime(ClockId::Monotonic);
        FleetTime(time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec))
    }
}
