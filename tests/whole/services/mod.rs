//! Real servers for tests: HAProxy, nginx and unbound, each a process of the test's own, on addresses of the test's own.
//!
//! None of them needs root, none shares a file or an address with another test, and each is killed by its own process
//! id when the test lets go of it. Where a server is ready is judged by what it answers, never by an open port alone.

mod dnsmasq;
mod fleet;
mod haproxy;
mod nginx;
mod secure;
mod unbound;

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;
use voteburst_dns::stub::{AskError, Kind, Query, Question, ask};

pub(crate) use dnsmasq::Dnsmasq;
pub(crate) use fleet::{Alone, Fleet, Setting};
pub(crate) use haproxy::{Counters, Limits};
pub(crate) use nginx::Service;
pub(crate) use secure::Secure;
pub(crate) use unbound::Unbound;

/// No server needs longer than this for anything but on a machine that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a server.
const STEP: Duration = Duration::from_millis(10);
/// How many lines of a server's log are shown when a test fails.
const LAST_LINES: usize = 20;

/// Looks until there is something to see; `None` after [`PATIENCE`]. These servers offer no event to wait for.
pub(crate) fn poll<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    (0..PATIENCE.as_millis() / STEP.as_millis()).find_map(|_| {
        look().or_else(|| {
            thread::sleep(STEP);
            None
        })
    })
}

/// The addresses 127.x.y.1 to 127.x.y.253, which no other test on this machine uses at the same time.
pub(crate) struct Block {
    x: u8,
    y: u8,
    /// Bound to 127.x.y.254 for as long as the block is in use: the kernel gives it to one process only.
    _claim: UdpSocket,
}

impl Block {
    const CLAIM_PORT: u16 = 27_254;
    /// Stages draw theirs from 127.16.0.0 upwards.
    const BLOCKS: u32 = 15 * 256;

    pub(crate) fn claim() -> Self {
        static CLAIMED: AtomicU32 = AtomicU32::new(0);
        for _ in 0..Self::BLOCKS {
            // Test processes begin apart, so that they hardly ever ask for the same one.
            let number = std::process::id().wrapping_mul(67).wrapping_add(CLAIMED.fetch_add(1, Ordering::Relaxed)) % Self::BLOCKS;
            let (x, y) = ((1 + number / 256) as u8, (number % 256) as u8);
            if let Ok(_claim) = UdpSocket::bind((Ipv4Addr::new(127, x, y, 254), Self::CLAIM_PORT)) {
                return Self { x, y, _claim };
            }
        }
        panic!("every block from 127.1.0.0 to 127.15.255.0 is in use");
    }

    pub(crate) fn address(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.x, self.y, last)
    }

    /// These addresses of the block, at a port that is free on all of them. Nobody else uses the block: only a server that
    /// listens on every address of the machine can be in the way.
    pub(crate) fn on_one_port<const N: usize>(&self, last: [u8; N]) -> [SocketAddrV4; N] {
        let at = |port| last.map(|last| SocketAddrV4::new(self.address(last), port));
        let is_free = |found: &[SocketAddrV4; N]| found.iter().all(|address| TcpListener::bind(address).is_ok());
        (20_000..30_000).map(at).find(is_free).expect("a port between 20,000 and 30,000 that is free on 127/8")
    }
}

/// Whether a DNS server gives any answer for this name, were it an error.
fn answers(runtime: &Runtime, server: SocketAddr, name: &str) -> Option<()> {
    let question = Question::new(name, Kind::A).unwrap();
    let query = Query { id: 1, each: Duration::from_millis(200), attempts: 1, recursion_desired: true, client_subnet: None };
    match runtime.block_on(ask(server, &question, &query)) {
        Err(AskError::Timeout | AskError::Unreachable(_) | AskError::LocalLimit(_)) => None,
        Ok(_) | Err(_) => Some(()),
    }
}

/// The path of a server's program.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps servers in directories that are not on every user's PATH.
    let more = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&path).chain(more).map(|dir| dir.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed, and this test needs a real one: run tests/all, which installs it"))
}

/// A server as a process, whose output goes to a log of its own. It is killed when a test lets go of it.
pub(crate) struct Server {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Server {
    fn start(dir: &Path, name: impl Into<String>, command: &mut Command) -> Self {
        let name = name.into();
        let log = dir.join(format!("{name}.log"));
        let output = File::create(&log).unwrap();
        command.current_dir(dir).stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {command:?}: {error}"));
        Self { name, child, log }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the server shows what is looked for. Fails when it ends instead, or does not show it in time.
    fn until<T>(&mut self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let seen = poll(|| {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{} ended ({}) before: {what}", self.name, ended.unwrap());
            look()
        });
        seen.unwrap_or_else(|| panic!("{} within {PATIENCE:?}: {what}", self.name))
    }

    /// Sends a signal that ends it, and waits for the end.
    fn end_by(&mut self, signal: Signal) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        poll(|| self.child.try_wait().unwrap()).unwrap_or_else(|| panic!("{} goes on after {signal:?}", self.name))
    }
}

impl Drop for Server {
    #[expect(clippy::print_stdout, reason = "the harness shows what a failed test printed, and no other")]
    fn drop(&mut self) {
        // One that has ended already cannot be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_else(|error| error.to_string());
            let lines: Vec<_> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
            println!("--- the last lines of {}'s log\n{}", self.name, last.join("\n"));
        }
    }
}
