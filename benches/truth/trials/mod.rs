//! Trials of what a report says against what is known to be true. `benches/truth` plays them large, `tests/truth` small.
//!
//! - [`known`]: answers take a known time, and the report's percentiles are held against what the server itself wrote down
//! - [`stops`]: the server stands still for a second, and the report is held against the [analytic answer](stall); or an
//!   agent does, and the report must say so and must not charge it to the target
//!
//! [`server`] is the server that keeps time, [`floor`] the least client that measures it.

pub(crate) mod figures;
pub(crate) mod floor;
pub(crate) mod known;
pub(crate) mod play;
pub(crate) mod server;
pub(crate) mod stall;
pub(crate) mod stops;
pub(crate) mod target;

use std::error::Error;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Whatever goes wrong ends a trial with its words.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// The kernel's monotonic clock, which all processes of a machine share, in nanoseconds.
pub(crate) fn now_ns() -> i64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Nanoseconds as the kernel takes them.
pub(crate) fn timespec(nanos: i64) -> Timespec {
    Timespec { tv_sec: nanos / 1_000_000_000, tv_nsec: nanos % 1_000_000_000 }
}
