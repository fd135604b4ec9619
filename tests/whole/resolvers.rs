//! The same burst through our carrier, unbound and dnsmasq, in front of our authority: phones must not be able to tell which.
//!
//! What differs, and why:
//! - Real caches count whole seconds of the clock. dnsmasq keeps an answer of TTL 2 s until the second tick (cache.c,
//!   `is_expired`): under a burst, whose next question comes at once, from tick to tick, which is 2 s. unbound kept it for one
//!   second more, with TTL 0 in its last one, until 1.25.0 ended that (Changelog, "Cached records that reach TTL 0 are
//!   expired"): with 1.17.1, which Debian 12 has, a TTL of 1 s lasts for two. Our carrier counts from the answer on,
//!   and keeps it for its TTL.
//! - What is left of a TTL is told in whole seconds: rounded up by dnsmasq under a burst, down by our carrier, whose phones
//!   may therefore be told one second less.
//! - unbound turns a cached answer by the query's id, as our carrier does (msgencode.c, `rr_offset`). With each answer
//!   dnsmasq puts the last address first (cache.c, `cache_find_by_name`), so that each is first exactly in turn: more even
//!   than chance, never less. For phones, whose queries mix, both come to the same.

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
use voteburst_dns::stub::{AskError, Kind, Query, Question, Reply, ask};

use crate::services::{Block, Dnsmasq, Unbound, poll};

const NAME: &str = "vote.resolvers.test";
const SEED: u64 = 41;
/// `time(2)`, by which real caches count, may be a tick of the kernel behind the clock of the log.
const TICK: Duration = Duration::from_millis(20);

/// One authority each, so that each cache has its own draws, and the log tells what it asked.
struct Case {
    what: &'static str,
    authority: Authority,
    resolver: SocketAddr,
    recursion: bool,
    /// By how much it may fall short of a TTL and outlast it, in seconds.
    early_s: u64,
    late_s: u64,
    // Dropped last: servers end, then their directory goes.
    _server: Box<dyn std::any::Any + Send + Sync>,
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
            early_s: 0,
            late_s: 0,
            _server: Box::new(carrier),
            _dir: dir(),
        },
        Case {
            what: "unbound",
            authority: behind_unbound,
            resolver: unbound.address.into(),
            recursion: true,
            early_s: 1,
            late_s: 1,
            _server: Box::new((unbound, block)),
            _dir: unbound_dir,
        },
        Case {
            what: "dnsmasq",
            authority: behind_dnsmasq,
            resolver: dnsmasq.address.into(),
            recursion: true,
            early_s: 1,
            late_s: 0,
            _server: Box::new(dnsmasq),
            _dir: dnsmasq_dir,
        },
    ]
}

impl Case {
    /// Asks as the `number`th phone: with an id of its own, drawn at random (RFC 5452, section 9.2).
    fn ask(&self, runtime: &Runtime, number: u64) -> Reply {
        runtime.block_on(self.query(number)).unwrap_or_else(|error| panic!("{}: {error}", self.what))
    }

    fn query(&self, number: u64) -> impl Future<Output = Result<Reply, AskError>> + Send + 'static {
        let question = Question::new(NAME, Kind::A).unwrap();
        let id = (draw(SEED, Stream::QueryId, number) >> 48) as u16;
        let query =
            Query { id, each: Duration::from_secs(2), attempts: 3, recursion_desired: self.recursion, client_subnet: None };
        let resolver = self.resolver;
        async move { ask(resolver, &question, &query).await }
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

/// One answer as a phone got it, in the time of the authority's log.
struct Told {
    asked: Duration,
    got: Duration,
    ttl_s: u32,
    address: IpAddr,
}

/// Phones that ask one after the other until the zone has been asked so many times.
fn until_draws(runtime: &Runtime, case: &Case, draws: usize) -> Vec<Told> {
    let mut told = Vec::new();
    let done = poll(|| {
        let asked = case.authority.elapsed();
        let reply = case.ask(runtime, told.len() as u64);
        told.push(Told { asked, got: case.authority.elapsed(), ttl_s: reply.ttl_s, address: reply.addresses[0] });
        (case.draws().len() >= draws).then_some(())
    });
    done.unwrap_or_else(|| panic!("{}: fewer than {draws} draws", case.what));
    told
}

fn holds_each_draw_for_its_ttl(runtime: &Runtime, case: &Case, ttl_s: u32) {
    let (what, ttl) = (case.what, Duration::from_secs(ttl_s.into()));
    let (early, late) = (Duration::from_secs(case.early_s), Duration::from_secs(case.late_s));
    let told = until_draws(runtime, case, 4);
    let draws = case.draws();
    assert_eq!(draws.len(), 4, "{what}: one question to the zone after each TTL");
    for (number, (drawn, addresses)) in draws.iter().enumerate() {
        let until = draws.get(number + 1).map_or(Duration::MAX, |next| next.0);
        let phones: Vec<_> = told.iter().filter(|told| (*drawn..until).contains(&told.got)).collect();
        assert!(!phones.is_empty(), "{what}: a draw that no phone asked for");
        assert_eq!(phones[0].ttl_s, ttl_s, "{what}: the TTL as the zone said it, for the phone that waited");
        assert!(phones.windows(2).all(|pair| pair[1].ttl_s <= pair[0].ttl_s), "{what}: a TTL counts down");
        for phone in &phones {
            // The fault of the case: until the next draw every phone is led to the same proxy.
            assert_eq!(phone.address, addresses[0], "{what}");
            // Kept at some moment between the draw and the first phone's answer, looked up between question and answer.
            let (youngest, oldest) = (phone.asked.saturating_sub(phones[0].got), phone.got - *drawn);
            assert!(youngest < ttl + late + TICK, "{what}: still there after {youngest:?}");
            let told = Duration::from_secs(phone.ttl_s.into());
            let near =
                told + oldest + Duration::from_secs(1) + TICK > ttl && told + youngest < ttl + Duration::from_secs(1) + TICK;
            assert!(near, "{what}: TTL {told:?} of {ttl:?} at an age of {youngest:?} to {oldest:?}");
        }
        let kept = until - *drawn;
        assert!(kept + early + TICK >= ttl, "{what}: kept for {kept:?}");
    }
}

#[test]
fn an_answer_is_kept_for_its_ttl_and_asked_for_once_more_after_it() {
    let runtime = runtime();
    let settings = [1, 2].map(|ttl_s| (ttl_s, all_three(&runtime, ZonePolicy::SingleAWeighted, 15, ttl_s)));
    std::thread::scope(|threads| {
        for (ttl_s, cases) in &settings {
            for case in cases {
                threads.spawn(|| holds_each_draw_for_its_ttl(&runtime, case, *ttl_s));
            }
        }
    });
}

#[test]
fn a_crowd_that_asks_at_once_is_one_question_to_the_zone() {
    const CROWD: u64 = 40;
    let runtime = runtime();
    for case in all_three(&runtime, ZonePolicy::SingleAWeighted, 15, 1) {
        let waves = poll(|| {
            let before = case.draws().len();
            runtime.block_on(async {
                let mut crowd = tokio::task::JoinSet::new();
                for number in 0..CROWD {
                    crowd.spawn(case.query(number));
                }
                while let Some(asked) = crowd.join_next().await {
                    asked.unwrap().unwrap_or_else(|error| panic!("{}: {error}", case.what));
                }
            });
            let draws = case.draws().len();
            assert!(draws - before <= 1, "{}: {} questions for one crowd", case.what, draws - before);
            (draws == 3).then_some(())
        });
        assert!(waves.is_some(), "{}: answered cold, and after two TTLs", case.what);
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
        if case.what == "dnsmasq" {
            let last_is_first = |pair: &[Vec<IpAddr>]| pair[1][0] == pair[0][7];
            // The first answer of all is the zone's own, passed on.
            assert!(answers[1..].windows(2).all(last_is_first), "dnsmasq: in turn: {answers:?}");
        }
        // Of eight rotations 100 random ids miss one with probability 8 × (7/8)^100 = 0.001 %.
        assert_eq!(turns.len(), 8, "{}", case.what);
    }
}
