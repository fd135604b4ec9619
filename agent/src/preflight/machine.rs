//! What this machine is, read once: limits of the kernel, of the control group and of the process.
//!
//! Everything under /proc and /sys is read here, below a root directory that tests put elsewhere. Reading is total:
//! what cannot be read or understood is `None`, and the line that wanted it says so.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use super::cgroup::{Group, Room};
use super::time_wait;
use crate::sources::Ports;

/// How long one look at the processor's stolen time lasts. /proc/stat counts in hundredths of a second (proc(5)).
pub(super) const LOOK: Duration = Duration::from_millis(250);
/// How many looks in a row it takes where time is stolen: a neighbour's short burst is not the rule.
const LOOKS: u32 = 4;
/// The stolen share above which it is looked at again.
pub(super) const STOLEN_WARNING: f64 = 0.02;

/// What only this process can say of itself.
#[derive(Clone, Debug)]
pub struct Process {
    /// Open files it may have, after raising that as far as allowed; `None` for no limit.
    pub open_files: Option<u64>,
    /// Cores it may run on, at least 1.
    pub cores: u32,
    /// Source addresses, each with the reason it cannot be used, if any.
    pub sources: Vec<(IpAddr, Option<String>)>,
}

impl Process {
    /// This process, which connects from `sources` (empty: the kernel chooses).
    ///
    /// Raises the soft limit on open files to the hard one first.
    #[must_use]
    pub fn here(sources: &[IpAddr]) -> Self {
        Self {
            open_files: raise_file_limit(),
            // Where the system does not tell, one core is what there is at least.
            cores: cores(),
            sources: sources.iter().map(|source| (*source, cannot_bind(*source))).collect(),
        }
    }
}

/// Cores that this process may run on, 1 where the system does not tell.
#[must_use]
pub fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX))
}

/// Raises the soft limit on open files to the hard one and returns what then holds; `None` for no limit.
pub fn raise_file_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    // Raising to the hard limit is every process's right; should it fail, the soft limit is what counts.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current
}

fn cannot_bind(address: IpAddr) -> Option<String> {
    let bind = || {
        let any_port = SocketAddr::new(address, 0);
        Socket::new(Domain::for_address(any_port), Type::STREAM, None)?.bind(&any_port.into())
    };
    bind().err().map(|error| error.to_string())
}

/// What was read from this machine. `None`: not told here.
#[derive(Clone, Debug)]
pub struct Machine {
    pub(super) process: Process,
    /// `fs.nr_open`: the most files that any process can be allowed.
    pub(super) nr_open: Option<u64>,
    /// `fs.file-nr`: files open on the whole machine, and the most there can be (`fs.file-max`).
    pub(super) files: Option<Used>,
    pub(super) ports: Ports,
    /// Connections that have ended and still hold their ports for a minute.
    pub(super) time_wait: Option<time_wait::TimeWait>,
    /// `tcp_tw_reuse`: whether such ports are handed out again; 2 is on loopback only.
    pub(super) reuse: Option<u64>,
    pub(super) conntrack: Conntrack,
    /// Pages that TCP's queues hold, and the most they may (`tcp_mem`).
    pub(super) tcp_pages: Option<TcpPages>,
    pub(super) memory: Memory,
    pub(super) group_memory: Vec<Room>,
    /// Cores that the control groups allow on average; `None`: no quota.
    pub(super) quota: Option<f64>,
    pub(super) somaxconn: Option<u64>,
    pub(super) syn_backlog: Option<u64>,
    pub(super) stolen: Option<f64>,
    pub(super) clock_source: Option<String>,
}

/// How many of something are taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    pub(super) used: u64,
    pub(super) most: u64,
}

impl Used {
    pub(super) fn free(self) -> u64 {
        self.most.saturating_sub(self.used)
    }
}

/// Netfilter's table of connections.
#[derive(Clone, Copy, Debug)]
pub(super) enum Conntrack {
    NotLoaded,
    NotTold,
    Loaded(Used),
}

/// Pages of memory for what TCP sockets queue (ip-sysctl, `tcp_mem`).
#[derive(Clone, Copy, Debug)]
pub(super) struct TcpPages {
    pub(super) used: u64,
    pub(super) pressure: u64,
    pub(super) most: u64,
}

/// /proc/meminfo, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    pub(super) available: Option<u64>,
    pub(super) swap_total: Option<u64>,
    pub(super) swap_free: Option<u64>,
}

impl Machine {
    /// Reads this machine. Takes [`LOOK`] for the processor's stolen time, and up to four times that where some is stolen.
    #[must_use]
    pub fn here(process: Process) -> Self {
        Self::read(Path::new("/"), process, || std::thread::sleep(LOOK))
    }

    /// Reads what stands below `root` in place of /; `look` lasts as long as one look at the processor's time.
    #[must_use]
    pub fn read(root: &Path, process: Process, look: impl FnMut()) -> Self {
        let tree = Tree { root };
        let group = Group::of(&tree);
        Self {
            process,
            nr_open: tree.number("proc/sys/fs/nr_open"),
            files: tree.numbers("proc/sys/fs/file-nr").and_then(|numbers| match numbers[..] {
                [used, _, most] => Some(Used { used, most }),
                _ => None,
            }),
            ports: Ports::read(root),
            time_wait: sockets(&tree, "tw").map(|all| time_wait::read(&tree, all)),
            reuse: tree.number("proc/sys/net/ipv4/tcp_tw_reuse"),
            conntrack: conntrack(&tree),
            tcp_pages: tcp_pages(&tree),
            memory: memory(&tree),
            group_memory: group.memory(&tree),
            quota: group.quota(&tree),
            somaxconn: tree.number("proc/sys/net/core/somaxconn"),
            syn_backlog: tree.number("proc/sys/net/ipv4/tcp_max_syn_backlog"),
            stolen: stolen(&tree, look),
            clock_source: tree
                .text("sys/devices/system/clocksource/clocksource0/current_clocksource")
                .map(|text| text.trim().to_owned())
                .filter(|name| !name.is_empty()),
        }
    }
}

/// Files below the root.
pub(super) struct Tree<'a> {
    pub(super) root: &'a Path,
}

impl Tree<'_> {
    pub(super) fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }

    pub(super) fn number(&self, path: impl AsRef<Path>) -> Option<u64> {
        self.text(path)?.trim().parse().ok()
    }

    pub(super) fn numbers(&self, path: impl AsRef<Path>) -> Option<Vec<u64>> {
        self.text(path)?.split_ascii_whitespace().map(|word| word.parse().ok()).collect()
    }

    /// The number after a word at the beginning of a line, as in /proc/meminfo.
    pub(super) fn keyed(&self, path: impl AsRef<Path>, key: &str) -> Option<u64> {
        keyed(&self.text(path)?, key)
    }
}

fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.split_ascii_whitespace().next()?.parse().ok())
}

fn conntrack(tree: &Tree<'_>) -> Conntrack {
    let folder = Path::new("proc/sys/net/netfilter");
    let (most, used) = (tree.number(folder.join("nf_conntrack_max")), tree.number(folder.join("nf_conntrack_count")));
    match (most, used) {
        (Some(most), Some(used)) => Conntrack::Loaded(Used { used, most }),
        _ if tree.root.join(folder).join("nf_conntrack_max").exists() => Conntrack::NotTold,
        // Without /proc nobody knows; with it, the module's keys are there as soon as it is loaded.
        _ if tree.root.join("proc/sys/net").exists() => Conntrack::NotLoaded,
        _ => Conntrack::NotTold,
    }
}

fn tcp_pages(tree: &Tree<'_>) -> Option<TcpPages> {
    let numbers = tree.numbers("proc/sys/net/ipv4/tcp_mem")?;
    let used = sockets(tree, "mem")?;
    match numbers[..] {
        [_, pressure, most] => Some(TcpPages { used, pressure, most }),
        _ => None,
    }
}

/// A figure of /proc/net/sockstat on TCP by its name.
fn sockets(tree: &Tree<'_>, name: &str) -> Option<u64> {
    let text = tree.text("proc/net/sockstat")?;
    let words = text.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    words.split_ascii_whitespace().skip_while(|word| *word != name).nth(1)?.parse().ok()
}

fn memory(tree: &Tree<'_>) -> Memory {
    let bytes = |key| tree.keyed("proc/meminfo", key).map(|kib| kib.saturating_mul(1_024));
    Memory { available: bytes("MemAvailable:"), swap_total: bytes("SwapTotal:"), swap_free: bytes("SwapFree:") }
}

/// The share of the processors' time that the hypervisor gave to others, 0 to 1.
fn stolen(tree: &Tree<'_>, mut look: impl FnMut()) -> Option<f64> {
    let first = processor_time(tree)?;
    let mut share = None;
    for _ in 0..LOOKS {
        look();
        let now = processor_time(tree)?;
        let (all, stolen) = (now.most.checked_sub(first.most)?, now.used.checked_sub(first.used)?);
        if all == 0 {
            // Nothing counts here, so nothing is told.
            return share;
        }
        share = Some(stolen as f64 / all as f64);
        if share.is_some_and(|share| share <= STOLEN_WARNING) {
            break;
        }
    }
    share
}

/// Stolen and all time since boot. Guests' time is part of the users' time (proc(5)), so it is not added again.
fn processor_time(tree: &Tree<'_>) -> Option<Used> {
    let text = tree.text("proc/stat")?;
    let words = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let times: Vec<u64> = words.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    let counted = times.get(..8)?;
    Some(Used { used: counted[7], most: counted.iter().fold(0, |sum: u64, time| sum.saturating_add(*time)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_on_files_is_raised_to_the_hard_one() {
        assert_eq!(raise_file_limit(), getrlimit(Resource::Nofile).maximum);
    }

    #[test]
    fn this_machine_tells_what_every_linux_tells() {
        let here = Machine::here(Process::here(&[]));
        assert!(here.nr_open.is_some() && here.memory.available.is_some() && here.somaxconn.is_some(), "{here:?}");
        assert!(here.files.is_some_and(|files| files.most > 0), "{here:?}");
    }
}
