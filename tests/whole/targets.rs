//! A world that does not answer as it should: names that do not resolve, targets that are down or refuse.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use voteburst_burst::zone::{Member, Zone, ZonePolicy};
use voteburst_dns::authority::Authority;

use crate::reading::Report;
use crate::scenario::Scenario;

/// A name server of the test's own, in its own process.
pub(crate) struct Names {
    pub(crate) runtime: Runtime,
    authority: Authority,
}

impl Names {
    pub(crate) fn serving(name: &str, addresses: &[Ipv4Addr]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let member = |(number, address): (usize, &Ipv4Addr)| Member::new(format!("proxy-{number}"), (*address).into());
        let members = addresses.iter().enumerate().map(member).collect();
        let zone = Zone::new(ZonePolicy::Multivalue, members, 5, Duration::from_secs(5), 7).unwrap();
        let authority = runtime.block_on(Authority::start("127.0.0.1:0".parse().unwrap(), name, zone)).unwrap();
        Self { runtime, authority }
    }

    pub(crate) fn at(&self) -> SocketAddr {
        self.authority.address()
    }
}

/// Listens on every address at one port that is free on the first.
pub(crate) async fn listen(addresses: &[Ipv4Addr]) -> (Vec<TcpListener>, u16) {
    let mut port = 0;
    let mut listeners = Vec::new();
    for address in addresses {
        let listener = TcpListener::bind((*address, port)).await.unwrap();
        port = listener.local_addr().unwrap().port();
        listeners.push(listener);
    }
    (listeners, port)
}

/// Answers every vote of a connection with these bytes; with none of them, not at all.
async fn answer(mut connection: TcpStream, bytes: &'static [u8]) {
    let mut buffer = [0; 4_096];
    while let Ok(read @ 1..) = connection.read(&mut buffer).await {
        let votes = buffer[..read].windows(5).filter(|word| word == b"POST ").count();
        if connection.write_all(&bytes.repeat(votes)).await.is_err() {
            return;
        }
    }
}

const PROXIES: [Ipv4Addr; 3] = [Ipv4Addr::new(127, 88, 1, 1), Ipv4Addr::new(127, 88, 1, 2), Ipv4Addr::new(127, 88, 1, 3)];

/// A live rehearsal against proxies that answer every vote with these bytes, which must fail.
fn fails_against(bytes: &'static [u8]) -> Report {
    let names = Names::serving("vote.small.test", &PROXIES);
    let (listeners, port) = names.runtime.block_on(listen(&PROXIES));
    for listener in listeners {
        names.runtime.spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(answer(connection, bytes));
            }
        });
    }
    let scenario = Scenario::small().with("[[questions]]", "response_timeout = \"1s\"\n\n[[questions]]");
    let report = scenario.live(names.at(), port).place().run(&["--json"]).exits(1).report();
    report.is("fail");
    assert_eq!(report.count("votes.accepted"), 0);
    assert_eq!(report.count("votes.complaints"), 200, "every voter has reason to complain");
    let seen = report.text("forecast.zone_seen");
    assert!(seen.contains("3 addresses, TTL 5 s"), "what the zone was seen to do is what is forecast: {seen}");
    report
}

#[test]
fn a_target_that_is_down_fails_the_run_with_every_attempt_refused() {
    let names = Names::serving("vote.small.test", &PROXIES);
    // A port that was free a moment ago, on addresses that nobody else uses.
    let (listeners, port) = names.runtime.block_on(listen(&PROXIES));
    drop(listeners);
    let report = Scenario::small().live(names.at(), port).place().run(&["--json"]).exits(1).report();
    report.is("fail");
    assert_eq!(report.count("votes.accepted"), 0);
    assert_eq!(report.count("ledger.never_sent"), report.count("votes.planned"), "no byte of a vote ever left");
    let failed: u64 = report.list("proxies").iter().map(|proxy| proxy["failed"].as_u64().unwrap()).sum();
    assert!(failed >= 200, "every viewer tried: {failed}");
    assert_eq!(report.failures("refused"), failed, "and each attempt has that class: {:#}", report.at("proxies"));
    assert_eq!(report.number("connected_at_t0"), 0.0);
    for code in ["accepted", "complaints", "connected"] {
        assert!(report.reason(code).is_some(), "`{code}` is missing: {:#}", report.at("verdict"));
    }
}

#[test]
fn proxies_that_all_refuse_votes_fail_the_run_with_their_status() {
    let report = fails_against(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(report.failures("status-5xx"), report.count("votes.sent"), "{:#}", report.at("proxies"));
    assert_eq!(report.count("votes.failed"), 200, "told no, all of them: {:#}", report.at("votes"));
    assert_eq!(report.number("connected_at_t0"), 1.0, "connecting was never the trouble");
}

#[test]
fn proxies_that_never_answer_leave_votes_of_which_nobody_can_say() {
    let report = fails_against(b"");
    assert_eq!(report.failures("no-answer"), 200, "{:#}", report.at("proxies"));
    assert_eq!(report.count("votes.unknown"), 200, "sent, and no answer: {:#}", report.at("votes"));
}

#[test]
fn a_target_that_is_no_web_server_is_told_apart() {
    let report = fails_against(b"220 mail.example ESMTP\r\n\r\n");
    assert_eq!(report.failures("bad-response"), 200, "{:#}", report.at("proxies"));
}

/// Asserts that this scenario is refused for its name, by `run` and by `check`, before anything starts.
#[track_caller]
fn refuses_the_name(server: SocketAddr, says: &[&str]) {
    let place = Scenario::small().live(server, 8080).place();
    for word in ["check", "run"] {
        let ended = place.voteburst(&[word, "scenario.toml"]).end().exits(2);
        let ended = ended.says(&[&["vote.small.test", "needed: at least one", "fix:", "`dig "], says].concat());
        assert!(!ended.stderr.contains("waiting for agents"), "it was started:\n{}", ended.stderr);
    }
    assert_eq!(place.holds(), ["scenario.toml"], "what was not played is not kept");
}

#[test]
fn a_name_that_nobody_knows_is_refused_before_anything_starts() {
    let names = Names::serving("other.test", &PROXIES);
    refuses_the_name(names.at(), &[&names.at().to_string(), "there is no such name (NXDOMAIN)"]);
}

#[test]
fn a_name_server_that_is_silent_or_not_there_is_refused_before_anything_starts() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap();
    refuses_the_name(at, &[&at.to_string(), "no answer in time"]);
    drop(silent);
    refuses_the_name(at, &[&at.to_string(), "the server cannot be reached"]);
}

#[test]
fn a_name_without_addresses_is_refused_before_anything_starts() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = server.local_addr().unwrap();
    // Ends with the test's process, or with the test: nobody asks any more.
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, from)) = server.recv_from(&mut query) {
            server.send_to(&no_data(&query[..length]), from).unwrap();
        }
    });
    refuses_the_name(at, &["exists, but has no IPv4 address"]);
}

/// An authoritative answer without records (NODATA, RFC 2308 section 2.2) to a query: its head and its one question.
fn no_data(query: &[u8]) -> Vec<u8> {
    let name = query[12..].iter().position(|byte| *byte == 0).unwrap();
    let mut answer = query[..12 + name + 5].to_vec();
    // QR and AA set; one question, and no records of any kind (RFC 1035 section 4.1.1).
    answer[2] |= 0b1000_0100;
    answer[3] = 0;
    answer[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    answer
}
