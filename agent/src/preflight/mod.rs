//! Whether this machine can hold a share, before any door opens.
//!
//! Every line says what was looked at, what was found, what is needed, how to fix it and what happens otherwise.
//! A run that would measure this machine's limits instead of the target's is refused here. A line is bad only when the run
//! would break; what only makes it worse is a warning, and what the system does not tell is [`NOT_TOLD`].

mod cgroup;
mod disk;
mod files;
mod line;
mod load;
mod machine;
mod memory;
mod net;
mod processor;
#[cfg(test)]
mod tests;
mod time_wait;

use std::net::IpAddr;

pub use voteburst_proto::message::{Check, CheckStatus};

pub use self::disk::{DiskNeeds, disk};
pub use self::line::NOT_TOLD;
pub use self::load::{
    FULL_STAGE_CONNECTION_BYTES, FULL_VIEWER_BYTES, Load, SCATTERED_VOTE_CPU_US, SOCKET_BYTES, STAGE_CONNECTION_BYTES,
    TLS_STAGE_CONNECTION_BYTES, TLS_VIEWER_BYTES, VIEWER_BYTES, VOTE_CPU_US,
};
pub use self::machine::{Machine, Process, cores, raise_file_limit};

/// Descriptors that an agent needs beside its viewers' connections: lookups, timers, the session, files.
pub const SPARE_FILES: u64 = 512;

/// Looks at this machine for a load whose viewers connect from `sources` (empty: the kernel chooses).
///
/// Raises the soft limit on open files to the hard one first. Blocks for a quarter of a second, to see whether processor time
/// is stolen, and for a whole one where it is. The load can be held unless a line is [`CheckStatus::Bad`].
#[must_use]
pub fn check(load: &Load, sources: &[IpAddr]) -> Vec<Check> {
    judge(load, &Machine::here(Process::here(sources)))
}

/// Holds a load against a machine, line by line.
#[must_use]
pub fn judge(load: &Load, machine: &Machine) -> Vec<Check> {
    [files::lines, net::lines, memory::lines, processor::lines].iter().flat_map(|lines| lines(load, machine)).collect()
}
