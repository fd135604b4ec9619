//! The three layers of DNS together, in virtual time: zone, carrier's cache, phone. What each policy makes of a minute.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use voteburst_burst::cache::{Cache, CacheModel, CacheOrder, Lookup, Said};
use voteburst_burst::draw::{Stream, draw};
use voteburst_burst::phone::{PhoneKind, PhoneMemory, Recalled};
use voteburst_burst::zone::{Family, Member, Moment, Zone, ZonePolicy};

const SEED: u64 = 2026;
const MINUTE_MS: u64 = 60_000;

/// One carrier before one zone: everybody behind one cache.
struct World {
    zone: Zone,
    cache: Cache<()>,
    asked: u64,
    phones: u64,
}

impl World {
    fn new(policy: ZonePolicy, proxies: u8, ttl_s: u32, order: CacheOrder) -> Self {
        let member = |n| Member::new(format!("proxy-{n}"), Ipv4Addr::new(10, 0, 0, n).into());
        let zone = Zone::new(policy, (0..proxies).map(member).collect(), ttl_s, Duration::from_secs(5), SEED)
            .expect("one to a hundred members, a TTL and a window");
        let model = CacheModel { order, ..CacheModel::default() };
        Self { zone, cache: Cache::new(model, SEED), asked: 0, phones: 0 }
    }

    /// What a phone that asks now gets: the first address and its TTL.
    fn ask(&mut self, now: Duration) -> (IpAddr, u32) {
        // Phones choose their query ids at random (RFC 5452, section 9.2).
        let id = (draw(SEED, Stream::QueryId, self.phones) >> 48) as u16;
        self.phones += 1;
        let answer = match self.cache.lookup(&(), id, now) {
            Lookup::Hit { answer, .. } => answer,
            Lookup::Miss => {
                let answer = self.zone.answer(Family::V4, self.asked, Moment { now, since_t0: None });
                self.asked += 1;
                let addresses = self.zone.addresses(&answer);
                self.cache.store((), Said::Addresses(addresses), answer.ttl_s, id, now, Duration::ZERO)
            }
        };
        let Said::Addresses(addresses) = answer.said else { panic!("the zone holds the name") };
        (addresses[0], answer.ttl_s)
    }

    /// One new phone every millisecond of a minute: when it connected, and where to.
    fn minute(&mut self) -> Vec<(u64, IpAddr)> {
        (0..MINUTE_MS).map(|ms| (ms, self.ask(Duration::from_millis(ms)).0)).collect()
    }
}

fn shares(connections: &[(u64, IpAddr)]) -> BTreeMap<IpAddr, u64> {
    let mut shares = BTreeMap::new();
    connections.iter().for_each(|(_, proxy)| *shares.entry(*proxy).or_default() += 1);
    shares
}

/// The proxies that got connections in each window of five seconds.
fn per_window(connections: &[(u64, IpAddr)]) -> Vec<BTreeSet<IpAddr>> {
    connections
        .chunk_by(|a, b| a.0 / 5_000 == b.0 / 5_000)
        .map(|window| window.iter().map(|(_, proxy)| *proxy).collect())
        .collect()
}

#[test]
fn one_cache_and_a_long_ttl_send_everybody_to_one_proxy() {
    let mut world = World::new(ZonePolicy::SingleAWeighted, 15, 60, CacheOrder::Rotate);
    assert_eq!(shares(&world.minute()).into_values().collect::<Vec<_>>(), [MINUTE_MS]);
    assert_eq!(world.asked, 1);
}

#[test]
fn one_cache_and_a_short_ttl_move_everybody_to_another_proxy_together() {
    let mut world = World::new(ZonePolicy::SingleAWeighted, 15, 5, CacheOrder::Rotate);
    let minute = world.minute();
    let windows = per_window(&minute);
    assert_eq!((windows.len(), world.asked), (12, 12));
    assert!(windows.iter().all(|proxies| proxies.len() == 1), "each instant has one proxy: {windows:?}");
    // Twelve draws of fifteen: twelve at most, and all on one would be a chance of 15⁻¹¹.
    assert!((2..=12).contains(&shares(&minute).len()), "seed {SEED}");
}

#[test]
fn a_window_that_moves_on_leaves_three_of_fifteen_idle_and_looks_mild_in_total() {
    let mut world = World::new(ZonePolicy::SingleAWindow, 15, 5, CacheOrder::Rotate);
    let minute = world.minute();
    let shares = shares(&minute);
    assert_eq!(shares.len(), 12);
    // max/mean over all fifteen: 5,000 to 4,000.
    assert_eq!(shares.values().max().map(|most| most * 15 * 100 / MINUTE_MS), Some(125));
    assert!(per_window(&minute).iter().all(|proxies| proxies.len() == 1));
}

#[test]
fn multivalue_behind_one_cache_spreads_over_eight_of_fifteen() {
    let shares = shares(&World::new(ZonePolicy::Multivalue, 15, 60, CacheOrder::Rotate).minute());
    assert_eq!(shares.len(), 8);
    // 7,500 each, with a standard deviation of 81; five of them.
    assert!(shares.values().all(|share| (7_095..=7_905).contains(share)), "seed {SEED}: {shares:?}");
}

#[test]
fn multivalue_in_a_fixed_order_sends_everybody_to_one_proxy_again() {
    let shares = shares(&World::new(ZonePolicy::Multivalue, 15, 60, CacheOrder::Fixed).minute());
    assert_eq!(shares.into_values().collect::<Vec<_>>(), [MINUTE_MS]);
}

#[test]
fn eight_proxies_under_multivalue_share_evenly() {
    for order in [CacheOrder::Rotate, CacheOrder::Shuffle] {
        let shares = shares(&World::new(ZonePolicy::Multivalue, 8, 60, order).minute());
        let (most, mean) = (*shares.values().max().unwrap() as f64, MINUTE_MS as f64 / 8.0);
        assert!(most / mean < 1.0 + 4.0 * (8.0 / MINUTE_MS as f64).sqrt(), "{order:?}, seed {SEED}: {shares:?}");
    }
}

#[test]
fn a_phone_keeps_what_is_left_of_the_carriers_ttl_and_not_the_whole() {
    let mut world = World::new(ZonePolicy::SingleAWindow, 15, 5, CacheOrder::Rotate);
    let at = Duration::from_secs;
    world.ask(at(0));
    let (first, ttl_s) = world.ask(at(3));
    assert_eq!(ttl_s, 2);
    let android = PhoneKind::AndroidOkhttp4.model().unwrap();
    let mut memory = PhoneMemory::default();
    memory.remember(&android, &[first], ttl_s, at(3));
    assert_eq!((memory.recall(at(4)), memory.recall(at(5))), (Recalled::Answer(&[first][..]), Recalled::Nothing));
    let apple = PhoneKind::IosUrlsession.model().unwrap();
    for (left_s, kept_s) in [(2, 15), (12, 17), (60, 77)] {
        memory.remember(&apple, &[first], left_s, at(3));
        let end = at(3 + kept_s);
        let before = end - Duration::from_millis(1);
        assert_eq!((memory.recall(before), memory.recall(end)), (Recalled::Answer(&[first][..]), Recalled::Nothing), "{left_s}");
    }
    assert_ne!(world.ask(at(5)).0, first, "the next window has another proxy");
}
