//! Real clients against our authority: glibc, curl and a JVM do what the presets of their kind of phone say.
//!
//! They read the resolver's address from /etc/resolv.conf and ask it at port 53, so these tests take root, or the right to
//! both in namespaces; elsewhere they are skipped, loudly. Android, iOS and Chromium cannot be had here: their presets are from
//! source or documentation, and say so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Runtime;
use voteburst_burst::phone::PhoneKind;
use voteburst_burst::zone::{Member, Zone, ZonePolicy};
use voteburst_dns::authority::Authority;

use crate::fixture::skipped;
use crate::services::{Block, Unbound, program};

const NAME: &str = "vote.clients.test";

/// A name server at port 53 and a directory with a resolv.conf that leads to it.
struct Place {
    runtime: Runtime,
    authority: Authority,
    /// Where clients ask: the authority, or a resolver in front of it.
    resolver: Ipv4Addr,
    block: Block,
    dir: TempDir,
    /// The words of `unshare` that are allowed here.
    unshare: &'static str,
    // Dropped with the rest.
    _unbound: Option<Unbound>,
}

impl Place {
    /// Serves these addresses, all in every answer and in random order; `None`, said loudly, where that is not allowed.
    fn serving(addresses: &[IpAddr], ttl_s: u32, through_unbound: bool) -> Option<Self> {
        let (block, dir) = (Block::claim(), tempfile::tempdir().unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let members = addresses.iter().enumerate().map(|(number, address)| Member::new(format!("proxy-{number}"), *address));
        let zone = Zone::new(ZonePolicy::Simple, members.collect(), ttl_s, Duration::from_secs(5), 7).unwrap();
        let resolver = block.address(53);
        let at = if through_unbound { SocketAddr::from(([127, 0, 0, 1], 0)) } else { SocketAddr::from((resolver, 53)) };
        let authority = match runtime.block_on(Authority::start(at, NAME, zone)) {
            Ok(authority) => authority,
            Err(problem) => {
                skipped(&format!("clients ask at port 53, which takes root: {problem}"));
                return None;
            }
        };
        let unbound = through_unbound
            .then(|| Unbound::cold(dir.path(), SocketAddrV4::new(resolver, 53), NAME, authority.address(), &runtime));
        std::fs::write(dir.path().join("resolv.conf"), format!("nameserver {resolver}\n")).unwrap();
        std::fs::write(dir.path().join("nsswitch.conf"), "hosts: dns\n").unwrap();
        let mut place = Self { runtime, authority, resolver, block, dir, unshare: "-m", _unbound: unbound };
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

    fn command_under(&self, unshare: &str, program: &Path, words: &[&str]) -> Command {
        let script = "mount --bind resolv.conf /etc/resolv.conf && mount --bind nsswitch.conf /etc/nsswitch.conf && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args([unshare, "sh", "-c", script, "sh"]).arg(program).args(words).current_dir(self.dir.path());
        command
    }

    /// What a client prints, line by line, standard error included.
    fn lines(&self, program: &Path, words: &[&str]) -> Vec<String> {
        let ended = self.command_under(self.unshare, program, words).output().unwrap();
        let text = [ended.stdout, ended.stderr].concat();
        String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
    }

    /// The answers that the authority gave to queries of this type, in order.
    fn answers(&self, kind: &str) -> Vec<Vec<IpAddr>> {
        self.authority.query_log().into_iter().filter(|query| query.kind == kind).map(|query| query.addresses).collect()
    }

    /// The C program, built here.
    fn lookup(&self) -> PathBuf {
        let (source, built) = (client("lookup.c"), self.dir.path().join("lookup"));
        let ended = Command::new("cc").arg("-o").arg(&built).arg(source).output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        built
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

#[test]
fn glibc_asks_for_every_lookup_in_both_families_and_keeps_the_order_of_dns() {
    let Some(place) = Place::serving(&far(8), 300, false) else { return };
    let lines = place.lines(&place.lookup(), &[NAME, "5"]);
    let found: Vec<_> = lines.iter().map(|line| addresses(line)).collect();
    // No cache: five lookups, five draws of the zone's, each in its own order.
    assert_eq!(found, place.answers("A"), "the order of DNS, once for each lookup");
    assert_eq!((found.len(), place.answers("AAAA").len()), (5, 5), "both families, for every lookup");
    assert_eq!(PhoneKind::GlibcNoCache.model().unwrap().lifetime_s(300), 0);
}

#[test]
fn glibc_behind_unbound_gets_a_cached_answer_turned_anew_for_every_lookup() {
    let Some(place) = Place::serving(&far(8), 300, true) else { return };
    let lines = place.lines(&place.lookup(), &[NAME, "40"]);
    let firsts: std::collections::BTreeSet<_> = lines.iter().map(|line| addresses(line)[0]).collect();
    assert_eq!(place.answers("A").len(), 1, "one question serves all");
    // Of eight first addresses forty random ids miss more than two with probability below 1 %; seen so far: none.
    assert!(firsts.len() >= 5, "{lines:?}");
}

#[test]
fn glibc_puts_ipv6_first_and_sorts_ipv4_of_its_own_network_whatever_dns_says() {
    let mut near: Vec<IpAddr> = vec![Ipv6Addr::LOCALHOST.into()];
    near.extend([1, 2, 4, 8].map(|last| IpAddr::from([127, 0, 0, last])));
    let Some(place) = Place::serving(&near, 300, false) else { return };
    let lines = place.lines(&place.lookup(), &[NAME, "6"]);
    let found: Vec<_> = lines.iter().map(|line| addresses(line)).collect();
    assert!(found.iter().all(|list| list[0].is_ipv6() && list[1..].iter().all(IpAddr::is_ipv4)), "{lines:?}");
    // Rule 9 within one subnet: the longest common prefix with the source wins, so that round robin has no effect. Agents and
    // proxies in one private network fall into this trap; phones do not.
    assert!(found.iter().all(|list| *list == found[0]), "{lines:?}");
    assert!(place.answers("A").windows(2).any(|pair| pair[0] != pair[1]), "though DNS turned them");
}

#[test]
fn curl_goes_on_to_the_next_address_at_once_when_one_refuses() {
    let block = Block::claim();
    let (refusing, alive) = (block.address(1), block.address(2));
    let listener = TcpListener::bind((alive, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let Some(place) = Place::serving(&[refusing.into(), alive.into()], 300, false) else { return };
    let server = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut connection, _) = listener.accept().unwrap();
        let mut request = [0; 1_024];
        let read = connection.read(&mut request).unwrap();
        assert!(request[..read].starts_with(b"GET "));
        connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
    });
    let url = format!("http://{NAME}:{port}/");
    let words = ["-sv", "--noproxy", "*", "--max-time", "20", "-w", "connected in %{time_connect} s\n", &url];
    let said = place.lines(&program("curl"), &words).join("\n");
    server.join().unwrap();
    assert!(said.contains(&format!("Connected to {NAME} ({alive}) port {port}")), "{said}");
    assert!(said.contains("200 OK"), "{said}");
    assert_eq!((place.answers("A").len(), place.answers("AAAA").len()), (1, 1), "one lookup, in both families");
    // Where the refusing one came first, it was left at once: no timeout, no attempt delay.
    let took: f64 = said.split("connected in ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(took < 10.0, "{said}");
}

/// What a Java program prints for so many lookups, so many milliseconds apart.
fn java(place: &Place, options: &[&str], name: &str, times: u32, apart_ms: u32) -> Vec<String> {
    let (source, times, apart) = (client("Lookup.java"), times.to_string(), apart_ms.to_string());
    let mut words = options.to_vec();
    words.extend([source.to_str().unwrap(), name, &times, &apart]);
    place.lines(&program("java"), &words)
}

#[test]
fn a_jvm_keeps_an_answer_whatever_its_ttl_and_takes_the_first_address() {
    let Some(place) = Place::serving(&far(8), 1, false) else { return };
    let lines = java(&place, &[], NAME, 3, 1_200);
    let asked = place.answers("A");
    assert_eq!(asked.len(), 1, "two TTLs have passed, and 30 s have not: {lines:?}");
    for pair in lines.chunks(2) {
        assert_eq!(addresses(&pair[0]), asked[0], "the order of DNS, and no rotation while cached");
        assert_eq!(pair[1], format!("socket {}", asked[0][0]), "a socket's address is the first");
    }
    let model = PhoneKind::JvmDefault.model().unwrap();
    assert_eq!((model.lifetime_s(1), model.lifetime_s(3_600)), (30, 30));
}

#[test]
fn a_jvm_told_to_keep_answers_for_a_second_asks_again_after_it() {
    let Some(place) = Place::serving(&far(8), 300, false) else { return };
    let lines = java(&place, &["-Dsun.net.inetaddr.ttl=1"], NAME, 2, 2_100);
    assert_eq!(place.answers("A").len(), 2, "so it was the cache that kept it before: {lines:?}");
}

#[test]
fn a_jvm_keeps_in_mind_that_a_lookup_failed() {
    let Some(place) = Place::serving(&far(1), 300, false) else { return };
    // Asked twice within the ten seconds of `networkaddress.cache.negative.ttl`, of a name that the zone does not have; the
    // authority's log holds its own name only, so a resolver of the test's counts.
    let nobody = UdpSocket::bind((place.block.address(54), 53)).unwrap();
    std::fs::write(
        place.dir.path().join("resolv.conf"),
        format!("nameserver {}\noptions attempts:1 timeout:1\n", place.block.address(54)),
    )
    .unwrap();
    nobody.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let counting = std::thread::spawn(move || {
        let (mut queries, mut packet) = (0, [0; 512]);
        while matches!(stopped.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty)) {
            let Ok((length, from)) = nobody.recv_from(&mut packet) else { continue };
            queries += u32::from(packet[..length].windows(4).any(|end| end == [0, 1, 0, 1]));
            // NXDOMAIN with the question as it came.
            (packet[2], packet[3]) = (0x85, 0x83);
            packet[6..12].fill(0);
            nobody.send_to(&packet[..length], from).unwrap();
        }
        queries
    });
    let lines = java(&place, &[], "nobody.clients.test.", 2, 1_500);
    drop(stop);
    assert_eq!((lines, counting.join().unwrap()), (vec!["error".to_owned(), "error".to_owned()], 1));
    assert_eq!(PhoneKind::JvmDefault.model().unwrap().failure_s, 10);
    let _ = (&place.runtime, place.resolver);
}
