//! From the wire to the domain and back. Everything that arrives is judged here, once; generated types stop here.
//!
//! Both peers are part of the threat model: a length is compared with what is there before memory is set aside for
//! it, and every refusal has a class and says what was found and needed.

mod agent;
mod coordinator;
mod generator;
mod histogram;
mod lookups;
mod response;
mod sealed;
mod tally;

pub use sealed::{Counts, Heard, Latencies, LookupCounts, ProxyCounts, Sealed};
pub use tally::MOST_PROXIES;

/// Why a message was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireProblem {
    /// Something required is not there.
    #[error("a message without its {0}: the peer speaks another protocol or is broken")]
    Missing(&'static str),
    /// A text that is no value of its kind.
    #[error("{what} is {found:?}: needed {needed}")]
    Malformed {
        /// The field.
        what: &'static str,
        /// The beginning of what it holds.
        found: String,
        /// What it should hold.
        needed: &'static str,
    },
    /// A number outside its range.
    #[error("{what} is {found}: needed at most {most}")]
    TooLarge {
        /// The field.
        what: &'static str,
        /// What it holds.
        found: u64,
        /// The most it may hold.
        most: u64,
    },
    /// A histogram whose header does not fit what follows or the bounds all processes share.
    #[error("a histogram whose {what} is {found}: needed {needed}; agent and coordinator must be of one version")]
    Histogram {
        /// The part of the header.
        what: &'static str,
        /// What it holds.
        found: u64,
        /// What it should hold.
        needed: u64,
    },
    /// A histogram whose counts cannot be read.
    #[error("the counts of a histogram cannot be read: {0}")]
    Counts(String),
    /// One proxy's figures twice in a snapshot, which would count twice.
    #[error("proxy {0} appears twice in one snapshot: needed once")]
    Twice(std::net::IpAddr),
    /// Columns that belong together and do not have the length they need.
    #[error("{what} have {found} entries: needed {needed}")]
    Uneven {
        /// The columns.
        what: &'static str,
        /// The length of one of them.
        found: u64,
        /// The length of the others.
        needed: u64,
    },
    /// Bytes that are no message.
    #[error("a message cannot be decoded: {0}")]
    Undecodable(String),
}

fn malformed(what: &'static str, found: &str, needed: &'static str) -> WireProblem {
    WireProblem::Malformed { what, found: found.chars().take(64).collect(), needed }
}

/// A text no longer than it may be: names and reasons end up in reports and on terminals.
fn text(what: &'static str, text: String) -> Result<String, WireProblem> {
    at_most(what, text.len(), MOST_TEXT_BYTES)?;
    Ok(text)
}

fn at_most(what: &'static str, found: usize, most: usize) -> Result<(), WireProblem> {
    if found > most {
        return Err(WireProblem::TooLarge { what, found: found as u64, most: most as u64 });
    }
    Ok(())
}

fn parse<T: std::str::FromStr>(what: &'static str, text: &str, needed: &'static str) -> Result<T, WireProblem> {
    text.parse().map_err(|_| malformed(what, text, needed))
}

/// The longest name or reason, in bytes.
const MOST_TEXT_BYTES: usize = 16 << 10;
/// The most addresses, checks or warnings in one list.
const MOST_ITEMS: usize = 65_536;
