//! Why a stage could not be set up, asked or taken down.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use crate::ballots_file::BallotsFileError;

/// Why a stage could not be set up, asked or taken down.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// Not even the most worker processes may have as many files open as may be needed.
    #[error(
        "the stage cannot hold {viewers} viewers: one process may open {limit} files, which is enough for {fits} viewers on \
         one proxy with {workers} processes in all; needed are {needed}, for the zone may send all viewers to one proxy: raise \
         the hard limit (`ulimit -Hn {needed}` as root, or LimitNOFILE= of the service), or lower the viewers, the proxies or \
         the stage's connection limit"
    )]
    OpenFiles {
        /// Files one process may have open.
        limit: u64,
        /// Viewers that this is enough for.
        fits: u64,
        /// Viewers of the scenario.
        viewers: u64,
        /// Files one process must be allowed.
        needed: u64,
        /// The most worker processes of a stage.
        workers: u64,
    },
    /// The pipes by which workers share the limits of a proxy could not be made.
    #[error(
        "the stage cannot share the limits of its proxies among its workers: {0}; needed a writable temporary directory (TMPDIR) \
         and room for pipes (/proc/sys/fs/pipe-max-size, pipe-user-pages-soft)"
    )]
    Share(io::Error),
    /// No certificate could be made for the proxies.
    #[error("the stage cannot make a certificate for its proxies: {0}; needed a host in target.url that a certificate can name")]
    Certificate(rcgen::Error),
    /// More fronts than a block of loopback addresses holds.
    #[error("the stage cannot have {found} proxies: needed 1 to {most}: correct the scenario's [stage]")]
    Fronts {
        /// How many were asked for.
        found: u16,
        /// How many there can be.
        most: u16,
    },
    /// No block of loopback addresses with one port that is free on all was found.
    #[error(
        "the stage found no port that is free on all its loopback addresses in {attempts} attempts, the last: {last}; end other rehearsals on this machine"
    )]
    NoRoom {
        /// How many blocks were tried.
        attempts: u64,
        /// Why the last one was refused.
        last: String,
    },
    /// A worker process could not be started.
    #[error("cannot start a stage worker from {}: {source}; needed the voteburst executable, and room for another process", exe.display())]
    Spawn {
        /// What was to be started.
        exe: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A worker process ended by itself.
    #[error(
        "stage worker {worker} died ({status}): its votes and counters are lost; look for its last words above and rehearse again"
    )]
    Died {
        /// Its number, from 0.
        worker: usize,
        /// How it ended.
        status: ExitStatus,
    },
    /// A worker process could not be talked to.
    #[error("cannot talk to stage worker {worker}: {source}; rehearse again")]
    Talk {
        /// Its number, from 0.
        worker: usize,
        /// What the system said.
        source: io::Error,
    },
    /// A worker process did not report in time.
    #[error(
        "stage worker {worker} did not report within {bound:?}: the machine is overloaded or the worker stopped; lower the viewers, or end what else runs here"
    )]
    Silent {
        /// Its number, from 0.
        worker: usize,
        /// How long it was waited for.
        bound: Duration,
    },
    /// A worker process could not do what it was told.
    #[error("{problem}")]
    Refused {
        /// Its own words: what was found, what is needed, how to mend it.
        problem: String,
        /// Whether other addresses or another port may help.
        address_in_use: bool,
    },
    /// A worker process said something else than it was asked for.
    #[error("stage worker {worker} said `{found}`: needed the report it was asked for; is {} another version of voteburst?", exe.display())]
    Confused {
        /// Its number, from 0.
        worker: usize,
        /// What it said.
        found: String,
        /// What it was started from.
        exe: PathBuf,
    },
    /// The ballots that a worker left could not be read.
    #[error(transparent)]
    Ballots(#[from] BallotsFileError),
}
