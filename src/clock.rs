//! The one place of the command that reads time: the wall clock to name runs for people, never to measure; the machine's own to
//! know when a DNS query left.

use std::time::{Duration, Instant};

use jiff::{Timestamp, Unit, Zoned};

/// Now as RFC 3339 text, in whole seconds.
pub(crate) fn timestamp() -> String {
    let now = Timestamp::now();
    now.round(Unit::Second).unwrap_or(now).to_string()
}

/// Now in nanoseconds since 1970.
pub(crate) fn unix_ns() -> u64 {
    u64::try_from(Timestamp::now().as_nanosecond()).unwrap_or_default()
}

/// Now as the first half of a run directory's name, in local time.
pub(crate) fn name() -> String {
    Zoned::now().strftime("%Y%m%d-%H%M%S").to_string()
}

/// When something began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Began(Instant);

impl Began {
    #[expect(clippy::disallowed_methods, reason = "the one place where the command reads the machine's clock")]
    pub(crate) fn now() -> Self {
        Self(Instant::now())
    }

    /// Time since then.
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
