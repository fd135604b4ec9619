//! Real clients against our authority: glibc, curl and a JVM do what the presets of their kind of phone say.
//!
//! They read the resolver's address from /etc/resolv.conf and ask it at port 53, so these tests take root, or namespaces in
//! which they are root, where each runs once more; without either they are skipped, loudly. Android, iOS and Chromium cannot
//! be had here: their presets are from source or documentation, and say so.

mod curl;
mod glibc;
mod jvm;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Runtime;
use voteburst_burst::zone::{Member, Zone, ZonePolicy};
use voteburst_dns::authority::Authority;

use crate::fixture::skipped;
use crate::services::{Block, Unbound};

const NAME: &str = "vote.clients.test";

/// A name server at port 53 and a directory with a resolv.conf that leads to it.
struct Place {
    authority: Authority,
    block: Block,
    dir: TempDir,
    /// The words of `unshare` that are allowed here.
    unshare: &'static str,
    // Dropped with the rest.
    _unbound: Option<Unbound>,
    _runtime: Runtime,
}

impl Place {
    /// Serves these addresses, all in every answer and in random order; `None` where that is not allowed, said loudly unless
    /// the test has passed in namespaces meanwhile.
    fn serving(addresses: &[IpAddr], ttl_s: u32, through_unbound: bool) -> Option<Self> {
        let (block, dir) = (Block::claim(), tempfile::tempdir().unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let members = addresses.iter().enumerate().map(|(number, address)| Member::new(format!("proxy-{number}"), *address));
        let zone = Zone::new(ZonePolicy::Simple, members.collect(), ttl_s, Duration::from_secs(5), 7).unwrap();
        let resolver = block.address(53);
        if let Err(problem) = UdpSocket::bind((resolver, 53)) {
            again_in_namespaces(&format!("clients ask at port 53, which takes root: {problem}"));
            return None;
        }
        let at = if through_unbound { SocketAddr::from(([127, 0, 0, 1], 0)) } else { SocketAddr::from((resolver, 53)) };
        let authority = runtime.block_on(Authority::start(at, NAME, zone)).unwrap();
        let unbound = through_unbound
            .then(|| Unbound::cold(dir.path(), SocketAddrV4::new(resolver, 53), NAME, authority.address(), &runtime));
        std::fs::write(dir.path().join("nsswitch.conf"), "hosts: dns\n").unwrap();
        let mut place = Self { authority, block, dir, unshare: "-m", _unbound: unbound, _runtime: runtime };
        place.resolves_at(resolver);
        let allowed = |unshare: &&'static str| {
            place.command_under(unshare, Path::new("true"), &[]).output().is_ok_and(|ended| ended.status.success())
        };
        let Some(unshare) = ["-m", "-Urm"].into_iter().find(allowed) else {
            skipped("no file can be put in place of /etc/resolv.conf here (`unshare -m` and `unshare -Urm` are refused)");
            return None;
        };
        place.unshare = unshare;
        Some(place)
    }

    /// Leads clients to this resolver, which is asked once per lookup.
    fn resolves_at(&self, resolver: Ipv4Addr) {
        let text = format!("nameserver {resolver}\noptions attempts:1 timeout:5\n");
        std::fs::write(self.dir.path().join("resolv.conf"), text).unwrap();
    }

    fn command_under(&self, unshare: &str, program: &Path, words: &[&str]) -> Command {
        let script = "mount --bind resolv.conf /etc/resolv.conf && mount --bind nsswitch.conf /etc/nsswitch.conf && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args([unshare, "sh", "-c", script, "sh"]).arg(program).args(words).current_dir(self.dir.path());
        command
    }

    /// What a client prints, line by line, standard error included.
    fn lines(&self, program: &Path, words: &[&str]) -> Vec<String> {
        let ended = self.command_under(self.unshare, program, words).output().unwrap();
        said(&ended).lines().map(str::to_owned).collect()
    }

    /// The answers that the authority gave to queries of this type, in order.
    fn answers(&self, kind: &str) -> Vec<Vec<IpAddr>> {
        self.authority.query_log().into_iter().filter(|query| query.kind == kind).map(|query| query.addresses).collect()
    }
}

fn said(ended: &Output) -> String {
    [&ended.stdout, &ended.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

/// Runs the calling test once more, in a process of its own that is root of user, mount and network namespaces of its own
/// (user_namespaces(7)), where port 53 is free and nobody else's. Skips it, loudly, where there are none.
fn again_in_namespaces(why: &str) {
    const INSIDE: &str = "VOTEBURST_TESTS_IN_NAMESPACES";
    // libtest names the thread of a test after it.
    let test = std::thread::current().name().filter(|name| name.contains("::")).map(str::to_owned);
    let script = "ip link set lo up && exec \"$@\"";
    let within = |program: &Path, words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["-Urmn", "sh", "-c", script, "sh"]).arg(program).args(words).env(INSIDE, "1").output()
    };
    let allowed = || within(Path::new("true"), &[]).is_ok_and(|ended| ended.status.success());
    let Some(test) = test.filter(|_| std::env::var_os(INSIDE).is_none() && allowed()) else {
        return skipped(&format!("{why}; nor are there namespaces to be root of (`unshare -Urmn`)"));
    };
    let ended = within(&std::env::current_exe().unwrap(), &["--exact", &test, "--nocapture"]).unwrap();
    assert!(ended.status.success() && said(&ended).contains("1 passed"), "in namespaces of its own:\n{}", said(&ended));
    if let Some(line) = said(&ended).lines().find(|line| line.starts_with("SKIPPED")) {
        skipped(&format!("in namespaces of its own: {line}"));
    }
}

fn client(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// Addresses for documentation (RFC 5737) in a network that this machine is no part of, so that only DNS decides their order.
fn far(count: u8) -> Vec<IpAddr> {
    let elsewhere = |[a, b, c]: &[u8; 3]| {
        // Connecting a UDP socket sends nothing; it only chooses the address that packets would come from.
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let source = socket.connect((Ipv4Addr::new(*a, *b, *c, 1), 9)).and_then(|()| socket.local_addr());
        !source.is_ok_and(|source| matches!(source.ip(), IpAddr::V4(own) if own.octets()[..3] == [*a, *b, *c]))
    };
    let [a, b, c] = [[198, 51, 100], [203, 0, 113], [192, 0, 2]].into_iter().find(elsewhere).expect("a network of others");
    (1..=count).map(|last| Ipv4Addr::new(a, b, c, last).into()).collect()
}

fn addresses(line: &str) -> Vec<IpAddr> {
    line.split(' ').map(|word| word.parse().unwrap_or_else(|_| panic!("no address: {line}"))).collect()
}

/// Whether this machine has IPv6, without which clients do not ask for it or put it last; said loudly where it has not.
fn has_ipv6() -> bool {
    let bound = TcpListener::bind((Ipv6Addr::LOCALHOST, 0));
    if let Err(problem) = &bound {
        skipped(&format!("no IPv6 here, not even [::1]: {problem}"));
    }
    bound.is_ok()
}
