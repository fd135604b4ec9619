//! The same burst through our carrier, unbound and dnsmasq, in front of our authority: phones must not be able to tell which.
//!
//! What differs, and why:
//! - unbound and dnsmasq count whole seconds of the clock (`time(2)`), our carrier milliseconds from the answer on. An answer
//!   of TTL 2 s lives from just over one to three seconds there and two seconds here; over a burst of many TTLs the mean is
//!   the same, and which seconds of the clock it is does not matter to phones.
//! - unbound turns a cached answer by the query's id, as our carrier does. dnsmasq turns it by one with each answer, so
//!   that addresses come first exactly in turn: more even than chance, never less. For phones, whose queries mix, both
//!   come to the same.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Runtime;
use voteburst_burst::cache::CacheModel;
use voteburst_burst::draw::{Stream, draw};
use voteburst_burst::zone::{Member, Zone, ZonePolicy};
use voteburst_dns::authority::Authority;
use voteburst_dns::carrier::{Carrier, CarrierSpec};
use voteburst_dns::stub::{Kind, Query, Question, Reply, ask};

use crate::services::{Block, Dnsmasq, Unbound};

const NAME: &str = "vote.resolvers.test";
const SEED: u64 = 41;

/// One authority each, so that each cache has its own draws, and the log tells what it asked.
struct Case {
    what: &'static str,
    authority: Authority,
    resolver: SocketAddr,
    recursion: bool,
    // Dropped last: servers end, then their directory goes.
    _server: Box<dyn std::any::Any>,
    _dir: TempDir,
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn authority(runtime: &Runtime, policy: ZonePolicy, proxies: u8, ttl_s: u32) -> Authority {
    let member = |number: u8| Member::new(format!("proxy-{number}"), Ipv4Addr::new(192, 0, 2, number).into());
    let zone = Zone::new(policy, (1..=proxies).map(member).collect(), ttl_s, Duration::from_secs(5), SEED).unwrap();
    runtime.block_on(Authority::start("127.0.0.1:0".parse().unwrap(), NAME, zone)).unwrap()
}

/// Our carrier, unbound and dnsmasq, each in front of such an authority.
fn all_three(runtime: &Runtime, policy: ZonePolicy, proxies: u8, ttl_s: u32) -> Vec<Case> {
    let block = Block::claim();
    let zone = || authority(runtime, policy, proxies, ttl_s);
    let dir = || tempfile::tempdir().unwrap();
    let (ours, behind_unbound, behind_dnsmasq) = (zone(), zone(), zone());
    let spec = CarrierSpec {
        upstreams: vec![ours.address()],
        recursion_desired: false,
        cache: CacheModel::default(),
        caches: 1,
        client_subnet: None,
        each: Duration::from_secs(1),
        attempts: 3,
        seed: SEED,
    };
    let carrier = runtime.block_on(Carrier::start("127.0.0.1:0".parse().unwrap(), spec)).unwrap();
    let [at_unbound, at_dnsmasq] = block.on_one_port([1, 2]);
    let (unbound_dir, dnsmasq_dir) = (dir(), dir());
    let unbound = Unbound::cold(unbound_dir.path(), at_unbound, NAME, behind_unbound.address(), runtime);
    let dnsmasq = Dnsmasq::start(dnsmasq_dir.path(), at_dnsmasq, behind_dnsmasq.address(), runtime);
    vec![
        Case {
            what: "our carrier",
            authority: ours,
            resolver: carrier.address(),
            recursion: false,
            _server: Box::new(carrier),
            _dir: dir(),
        },
        Case {
            what: "unbound",
            authority: behind_unbound,
            resolver: unbound.address.into(),
            recursion: true,
            _server: Box::new((unbound, block)),
            _dir: unbound_dir,
        },
        Case {
            what: "dnsmasq",
            authority: behind_dnsmasq,
            resolver: dnsmasq.address.into(),
            recursion: true,
            _server: Box::new(dnsmasq),
            _dir: dnsmasq_dir,
        },
    ]
}

impl Case {
    /// Asks as the `number`th phone: with an id of its own, drawn at random (RFC 5452, section 9.2).
    fn ask(&self, runtime: &Runtime, number: u64) -> Reply {
        let question = Question::new(NAME, Kind::A).unwrap();
        let id = (draw(SEED, Stream::QueryId, number) >> 48) as u16;
        let query =
            Query { id, each: Duration::from_secs(2), attempts: 3, recursion_desired: self.recursion, client_subnet: None };
        runtime.block_on(ask(self.resolver, &question, &query)).unwrap_or_else(|error| panic!("{}: {error}", self.what))
    }

    /// Queries for the name that reached the zone.
    fn draws(&self) -> Vec<(Duration, Vec<IpAddr>)> {
        self.authority
            .query_log()
            .into_iter()
            .filter(|query| query.kind == "A")
            .map(|query| (query.at, query.addresses))
            .collect()
    }
}

/// How often each address comes first, over so many phones.
fn firsts(runtime: &Runtime, case: &Case, phones: u64) -> BTreeMap<IpAddr, u64> {
    let mut firsts = BTreeMap::new();
    for number in 0..phones {
        *firsts.entry(case.ask(runtime, number).addresses[0]).or_default() += 1;
    }
    firsts
}

/// Chi-square of homogeneity of two samples over the same categories.
fn chi_square(a: &BTreeMap<IpAddr, u64>, b: &BTreeMap<IpAddr, u64>) -> f64 {
    let (all_a, all_b) = (a.values().sum::<u64>() as f64, b.values().sum::<u64>() as f64);
    let categories: BTreeSet<IpAddr> = a.keys().chain(b.keys()).copied().collect();
    let term = |address: &IpAddr| {
        let count = |sample: &BTreeMap<IpAddr, u64>| sample.get(address).copied().unwrap_or(0) as f64;
        let both = count(a) + count(b);
        let of = |found: f64, all: f64| (found - both * all / (all_a + all_b)).powi(2) / (both * all / (all_a + all_b));
        of(count(a), all_a) + of(count(b), all_b)
    };
    categories.iter().map(term).sum()
}

#[test]
fn first_addresses_of_cached_answers_fall_alike_through_all_three() {
    let runtime = runtime();
    for policy in [ZonePolicy::Multivalue, ZonePolicy::Simple] {
        let cases = all_three(&runtime, policy, 8, 300);
        let counted: Vec<_> = cases.iter().map(|case| firsts(&runtime, case, 800)).collect();
        for (case, found) in cases.iter().zip(&counted) {
            assert_eq!(case.draws().len(), 1, "{} {policy}: one question serves all", case.what);
            // 99.9 % quantile of chi-square for 7 degrees of freedom.
            let distance = chi_square(&counted[0], found);
            assert!(distance < 24.32, "{} {policy}, seed {SEED}: {distance:.1}, {:?} and {found:?}", case.what, counted[0]);
        }
    }
}

#[test]
fn fifteen_proxies_under_multivalue_leave_seven_idle_through_all_three() {
    let runtime = runtime();
    for case in all_three(&runtime, ZonePolicy::Multivalue, 15, 300) {
        let found = firsts(&runtime, &case, 400);
        assert_eq!((found.len(), case.draws().len()), (8, 1), "{}: {found:?}", case.what);
        // 50 each, with a standard deviation of 6.6; four of them.
        assert!(found.values().all(|count| (23..=77).contains(count)), "{}, seed {SEED}: {found:?}", case.what);
    }
}

#[test]
fn an_answer_is_kept_for_its_ttl_and_asked_for_once_more_after_it() {
    const TTL_S: u32 = 2;
    let runtime = runtime();
    for case in all_three(&runtime, ZonePolicy::SingleAWeighted, 15, TTL_S) {
        let mut told: Vec<Reply> = Vec::new();
        let mut number = 0;
        while case.draws().len() < 4 {
            told.push(case.ask(&runtime, number));
            number += 1;
            assert!(number < 200_000, "{}: no fourth draw", case.what);
        }
        assert!(told.iter().all(|reply| reply.ttl_s <= TTL_S), "{}: a TTL is never stretched", case.what);
        assert!(told.iter().any(|reply| reply.ttl_s < TTL_S), "{}: what is left of it is handed out", case.what);
        let draws = case.draws();
        for pair in draws.windows(2) {
            let kept = pair[1].0 - pair[0].0;
            // Whole seconds of the clock (see above) on one side, a busy machine on the other.
            let bounds = Duration::from_secs(u64::from(TTL_S) - 1)..Duration::from_secs(u64::from(TTL_S) + 3);
            assert!(bounds.contains(&kept), "{}: kept for {kept:?}", case.what);
        }
        // Between two draws every phone gets the same address: the fault of the case.
        let mut seen: Vec<IpAddr> = told.iter().map(|reply| reply.addresses[0]).collect();
        seen.dedup();
        let mut drawn: Vec<IpAddr> = draws.iter().map(|(_, addresses)| addresses[0]).collect();
        drawn.dedup();
        assert_eq!(seen, drawn, "{}", case.what);
    }
}

#[test]
fn cached_answers_are_turned_and_not_shuffled_by_all_three() {
    let runtime = runtime();
    for case in all_three(&runtime, ZonePolicy::Multivalue, 8, 300) {
        let answers: Vec<Vec<IpAddr>> = (0..100).map(|number| case.ask(&runtime, number).addresses).collect();
        let turns: BTreeSet<usize> = answers
            .iter()
            .map(|answer| {
                let by = answer.iter().position(|address| *address == answers[0][0]).unwrap();
                let mut turned = answers[0].clone();
                turned.rotate_right(by);
                assert_eq!(*answer, turned, "{}: no rotation of {:?}", case.what, answers[0]);
                by
            })
            .collect();
        // Of eight rotations 100 random ids miss one with probability 8 × (7/8)^100 = 0.001 %.
        assert_eq!(turns.len(), 8, "{}", case.what);
    }
}
