//! The one place of the command that reads the wall clock: to name runs for people, never to measure.

use jiff::{Timestamp, Unit, Zoned};

/// Now as RFC 3339 text, in whole seconds.
pub(crate) fn timestamp() -> String {
    let now = Timestamp::now();
    now.round(Unit::Second).unwrap_or(now).to_string()
}

/// Now as the first half of a run directory's name, in local time.
pub(crate) fn name() -> String {
    Zoned::now().strftime("%Y%m%d-%H%M%S").to_string()
}
