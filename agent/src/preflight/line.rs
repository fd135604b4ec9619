//! One line of a preflight, in the making.

use voteburst_proto::message::{Check, CheckStatus};

/// What stands under "found" where the system does not tell. Never bad: what cannot be seen proves nothing.
pub const NOT_TOLD: &str = "not told here";

/// What was looked at, what was found and what is needed; not yet judged.
pub(super) struct Line {
    what: &'static str,
    found: String,
    needed: String,
}

/// Begins a line.
pub(super) fn line(what: &'static str, found: impl Into<String>, needed: impl Into<String>) -> Line {
    Line { what, found: found.into(), needed: needed.into() }
}

/// A line on something that the system does not tell.
pub(super) fn not_told(what: &'static str, needed: impl Into<String>) -> Check {
    line(what, NOT_TOLD, needed).good()
}

impl Line {
    pub(super) fn good(self) -> Check {
        self.judged(CheckStatus::Good, String::new(), String::new())
    }

    /// The run goes on, with this effect.
    pub(super) fn warning(self, fix: impl Into<String>, effect: impl Into<String>) -> Check {
        self.judged(CheckStatus::Warning, fix.into(), effect.into())
    }

    /// The run would not be what was planned.
    pub(super) fn bad(self, fix: impl Into<String>, effect: impl Into<String>) -> Check {
        self.judged(CheckStatus::Bad, fix.into(), effect.into())
    }

    fn judged(self, status: CheckStatus, fix: String, effect: String) -> Check {
        Check { what: self.what.into(), found: self.found, needed: self.needed, fix, effect, status }
    }
}

/// Bytes in the unit in which people compare them.
pub(super) fn size(bytes: u64) -> String {
    let (kib, mib, gib) = (1_u64 << 10, 1_u64 << 20, 1_u64 << 30);
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes.div_ceil(kib)),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes.div_ceil(mib)),
        _ => format!("{:.1} GiB", bytes as f64 / gib as f64),
    }
}

/// How many of `viewers` there is room for when a `part` of what all need is there.
pub(super) fn fits(viewers: u32, part: u64, all: u64) -> u64 {
    u64::try_from(u128::from(viewers) * u128::from(part.min(all)) / u128::from(all.max(1))).unwrap_or(u64::MAX)
}
