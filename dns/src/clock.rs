//! The one place of this crate that reads time.

use std::time::{Duration, Instant};

/// When a server was opened; TTLs and windows count from here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened(Instant);

impl Opened {
    #[expect(clippy::disallowed_methods, reason = "the one place where this crate reads its clock")]
    pub(crate) fn now() -> Self {
        Self(Instant::now())
    }

    /// Time since then.
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
