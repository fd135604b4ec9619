//! The only file of this crate that reads a clock. Everything else is handed `now`.

use std::time::Duration;

use tokio::time::Instant;

/// The instant of the runtime's timers.
#[expect(clippy::disallowed_methods, reason = "the one place where this crate reads the runtime's clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds of `CLOCK_MONOTONIC`, which all processes of one machine share (clock_gettime(2)),
/// so that instants of different workers, and of agents on the same machine, can be compared.
pub(crate) fn monotonic_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // The clock counts from the machine's start: neither part is ever negative.
    let seconds = Duration::from_secs(time.tv_sec.unsigned_abs());
    u64::try_from(seconds.as_nanos()).unwrap_or(u64::MAX).saturating_add(time.tv_nsec.unsigned_abs())
}
