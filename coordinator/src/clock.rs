//! The one place of this crate that reads time.

use std::sync::OnceLock;
use std::time::Instant;

use voteburst_burst::clock::FleetTime;

/// The coordinator's monotonic clock, which is the clock of the whole fleet. All copies show the same.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
}

impl Clock {
    /// The clock of this process; it began with the first call.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "time is read here and handed on as `now`")]
    pub fn of_this_process() -> Self {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        Self { began: *BEGAN.get_or_init(Instant::now) }
    }

    /// The reading now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "time is read here and handed on as `now`")]
    pub fn now(self) -> FleetTime {
        let nanos = Instant::now().saturating_duration_since(self.began).as_nanos();
        FleetTime(i64::try_from(nanos).unwrap_or(i64::MAX))
    }
}
