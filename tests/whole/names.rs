//! `voteburst dns`: what a name really does, told from outside of a real stage, and whether two names are of one kind.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use voteburst_burst::zone::{Member, Zone, ZonePolicy};
use voteburst_dns::authority::Authority;

use crate::fixture::{Ended, Running, skipped};
use crate::scenario::{Place, Scenario};
use crate::services::Block;

const NAME: &str = "vote.small.test";

/// A stage in a process of its own, and where its zone is served.
struct Stage {
    running: Running,
    place: Place,
    zone: String,
}

impl Stage {
    /// Fifteen proxies, as the case had, or three nodes of a load balancer.
    fn of(policy: &str) -> Self {
        Self::open(
            Scenario::small()
                .with("proxies = 3", "proxies = 15\nwindow = \"1s\"")
                .with("\"multivalue\"", &format!("\"{policy}\"")),
        )
    }

    fn open(scenario: Scenario) -> Self {
        let place = scenario.place();
        // What a stage says of itself is its result, on standard output; the fixture awaits lines on standard error.
        let running = place.voteburst_within(&["sh", "-c", "exec \"$0\" \"$@\" 1>&2"], &["stage", "scenario.toml"]).start();
        let line = running.line("answers for");
        let zone = line.split_whitespace().nth(1).unwrap().to_owned();
        Self { running, place, zone }
    }

    /// `voteburst dns` of the stage's name, with further words.
    fn dns(&self, words: &[&str]) -> Ended {
        let asked = ["dns", NAME, "--server", &self.zone, "--rate", "200", "--viewers", "1000"];
        self.place.voteburst(&[&asked, words].concat()).end()
    }

    fn end(self) {
        self.running.interrupt();
        self.running.end().exits(0);
    }
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error} in:\n{}\n{}", ended.stdout, ended.stderr))
}

/// Asserts that the text holds each of these.
#[track_caller]
fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
}

/// Looks at a stage of this policy with nothing told, and returns the picture.
fn names_rightly(policy: &str, words: &[&str]) -> Value {
    let stage = Stage::of(policy);
    let looked = stage.dns(&[&["--json"], words].concat()).exits(0);
    let picture = json(&looked)["picture"].clone();
    assert_eq!(picture["guess"][0]["policy"], policy, "{picture:#}");
    assert!(picture["guess"][0]["confidence"].as_f64().unwrap() > 0.9, "{picture:#}");
    stage.end();
    picture
}

#[test]
fn a_weighted_stage_is_named_rightly() {
    let picture = names_rightly("single-a-weighted", &[]);
    assert_eq!((picture["per_answer"][1].as_u64(), picture["differs_per_query"].as_bool()), (Some(1), Some(true)), "{picture:#}");
}

#[test]
fn a_window_is_told_from_weights_by_its_dependence_on_time() {
    let picture = names_rightly("single-a-window", &["--for", "4s"]);
    let window = picture["window_s"].as_f64().unwrap();
    assert!((0.8..1.2).contains(&window), "{picture:#}");
    assert_eq!(picture["differs_per_query"].as_bool(), Some(false), "{picture:#}");
}

#[test]
fn a_multivalue_stage_is_named_rightly() {
    let picture = names_rightly("multivalue", &[]);
    assert_eq!(picture["per_answer"], serde_json::json!([8, 8]), "{picture:#}");
    assert_eq!(picture["addresses"].as_array().unwrap().len(), 15, "{picture:#}");
}

#[test]
fn a_simple_stage_is_named_rightly() {
    let picture = names_rightly("simple", &[]);
    assert_eq!((&picture["per_answer"][0], picture["order"].as_str()), (&15.into(), Some("random")), "{picture:#}");
}

#[test]
fn an_alias_of_a_load_balancer_is_named_rightly() {
    let picture = names_rightly("lb-alias", &[]);
    assert_eq!(picture["ttl_s"], serde_json::json!([60, 60]), "{picture:#}");
}

#[test]
fn what_was_seen_is_said_in_words_and_tables() {
    let stage = Stage::of("multivalue");
    let looked = stage.dns(&[]).exits(0).says(&["asking 1 authoritative server for vote.small.test A, 200 queries/s"]);
    holds(
        &looked.stdout,
        &[
            "vote.small.test looks like multivalue (99 % sure): 8 of 15 addresses per answer",
            "ended early, as more would change nothing",
            "with authority",
            "android-okhttp    5 s         all 8, the next one every 250 ms",
            "naive-loadtool    for ever    the first of 8 only",
            "1000 viewers who come within 10s",
            "in the worst second",
        ],
    );
    // With --for it looks on to the end: twice the answers that would be enough.
    let looked = stage.dns(&["--for", "1s", "--json"]).exits(0);
    let (seen, early) = (json(&looked)["picture"]["answers"].as_u64().unwrap(), json(&looked)["ended_early"].clone());
    assert!(seen > 100 && early == Value::Bool(false), "{}", looked.stdout);
    // The pace is a promise: 200 queries in a second, and two to meet the server.
    assert!(json(&looked)["queries"].as_u64().unwrap() <= 202, "{}", looked.stdout);
    stage.end();
}

#[test]
fn names_of_one_kind_pass_and_the_case_does_not() {
    let production = Stage::of("single-a-weighted");
    let against = |other: &Stage| production.dns(&["--against", NAME, "--against-server", &other.zone]);

    let rehearsal = Stage::open(
        Scenario::small()
            .with("proxies = 3", "proxies = 15")
            .with("\"multivalue\"", "\"single-a-weighted\"")
            .with("seed = 7", "seed = 8"),
    );
    holds(&against(&rehearsal).exits(0).stdout, &["✓", "are of the same kind"]);
    rehearsal.end();

    let rehearsal = Stage::of("multivalue");
    let compared = against(&rehearsal).exits(1);
    let why = "the first gives one address per answer, drawn for each query, the second 8 addresses per answer";
    holds(&compared.stdout, &["are not of the same kind", why]);
    let compared = production.dns(&["--against", NAME, "--against-server", &rehearsal.zone, "--json"]).exits(1);
    let differences = json(&compared)["differences"].clone();
    assert_eq!(differences, serde_json::json!([why]), "{differences:#}");
    rehearsal.end();
    production.end();
}

#[test]
fn too_little_to_tell_is_neither_alike_nor_different() {
    let stage = Stage::of("multivalue");
    let words = ["--against", NAME, "--against-server", &stage.zone, "--for", "1s"];
    let compared =
        stage.place.voteburst(&[&["dns", NAME, "--server", &stage.zone, "--rate", "5"], &words[..]].concat()).end().exits(3);
    holds(&compared.stdout, &["? too little was seen", "--for"]);
    stage.end();
}

#[test]
fn names_and_servers_that_do_not_answer_are_refused_with_the_reason() {
    let stage = Stage::of("simple");
    let dns = |words: &[&str]| stage.place.voteburst(&[&["dns"], words].concat()).end().exits(2);
    dns(&["no-such.test", "--server", &stage.zone]).says(&[
        "nobody answers for no-such.test",
        "NXDOMAIN",
        "needed: a name that exists",
    ]);
    // A port that was free a moment ago: nobody listens there.
    let dead: SocketAddr = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    dns(&[NAME, "--server", &dead.to_string()]).says(&[
        "cannot be reached",
        "needed: a DNS server that answers for it",
        "--server IP:PORT",
    ]);
    dns(&["a..b", "--server", &stage.zone]).says(&["is no DNS name"]);
    // One that is dead beside one that answers is said, and does no harm.
    let looked = stage.dns(&["--server", &dead.to_string()]).exits(0);
    holds(&looked.stdout, &["not seen", "cannot be reached", "looks like simple"]);
    stage.end();
}

#[test]
fn paces_and_times_that_harm_are_refused() {
    let place = Scenario::small().place();
    for (words, found) in [
        (&["--rate", "201"][..], "201 is not in 1..=200"),
        (&["--rate", "0"], "0 is not in 1..=200"),
        (&["--for", "2h"], "needed 1s to 1h"),
        (&["--for", "soon"], "needed 1s to 1h"),
        (&["--server", "ns.example"], "needed IP or IP:PORT"),
        (&["--against-server", "192.0.2.1"], "--against"),
    ] {
        place.voteburst(&[&["dns", NAME], words].concat()).end().exits(2).says(&[found]);
    }
}

/// A resolver for `vote.small.test` that knows of a delegation: `small.test` has one name server, at this address.
struct Resolver(SocketAddr);

impl Resolver {
    fn delegating_to(server: Ipv4Addr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        thread::spawn(move || {
            let mut query = [0; 512];
            // An empty packet ends it.
            while let Ok((length @ 1.., peer)) = socket.recv_from(&mut query) {
                socket.send_to(&Self::answer(&query[..length], server), peer).unwrap();
            }
        });
        Self(address)
    }

    /// Header and question as they came; then the records (RFC 1035, section 4.1), whose owner is the name in the question (0xc00c).
    fn answer(query: &[u8], server: Ipv4Addr) -> Vec<u8> {
        const A: u8 = 1;
        const NS: u8 = 2;
        let record =
            |owner: &[u8], kind: u8, data: &[u8]| [owner, &[0, kind, 0, 1, 0, 0, 0, 5, 0, data.len() as u8], data].concat();
        let (question, owner, name_server) = (&query[12..], [0xc0, 12], b"\x02ns\x05small\x04test\x00");
        let (answers, additional) = match question {
            b"\x04vote\x05small\x04test\x00\x00\x01\x00\x01" => (record(&owner, A, &[10, 0, 0, 1]), Vec::new()),
            b"\x05small\x04test\x00\x00\x02\x00\x01" => {
                (record(&owner, NS, name_server), record(name_server, A, &server.octets()))
            }
            _ => (Vec::new(), Vec::new()),
        };
        let count = |records: &[u8]| u8::from(!records.is_empty());
        // A response, with recursion desired and available.
        let header = [query[0], query[1], 0x81, 0x80, 0, 1, 0, count(&answers), 0, 0, 0, count(&additional)];
        [&header[..], question, &answers, &additional].concat()
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&[], self.0).unwrap();
    }
}

#[test]
fn a_names_own_servers_are_found_and_asked_with_nothing_told() {
    let block = Block::claim();
    let member = |number: u8| Member::new(format!("proxy-{number}"), Ipv4Addr::new(10, 0, 0, number).into());
    let zone = Zone::new(ZonePolicy::SingleAWeighted, (1..=15).map(member).collect(), 5, Duration::from_secs(1), 7).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let at = SocketAddr::from((block.address(53), 53));
    let _authority = match runtime.block_on(Authority::start(at, NAME, zone)) {
        Ok(authority) => authority,
        Err(problem) => return skipped(&format!("name servers listen on port 53, which takes root: {problem}")),
    };
    let resolver = Resolver::delegating_to(block.address(53));
    let place = Scenario::small().place();
    let words = ["dns", NAME, "--resolver", &resolver.0.to_string(), "--rate", "200", "--viewers", "1000", "--json"];
    let looked = json(&place.voteburst(&words).end().exits(0).says(&["1 authoritative server and 1 resolver"]));
    assert_eq!(looked["picture"]["guess"][0]["policy"], "single-a-weighted", "{looked:#}");
    let servers = looked["servers"].as_array().unwrap();
    assert_eq!((&servers[0]["name"], &servers[0]["authoritative"]), (&"ns.small.test.".into(), &true.into()), "{looked:#}");
    assert_eq!((&servers[1]["name"], &servers[1]["authoritative"]), (&Value::Null, &false.into()), "{looked:#}");
    // The resolver's one address is none of the zone's draws, and yet it is shown: viewers would get it.
    assert_eq!(servers[1]["addresses"], 1, "{looked:#}");
}
