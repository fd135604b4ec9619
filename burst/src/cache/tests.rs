use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

fn model() -> CacheModel {
    CacheModel::default()
}

fn addresses(count: u8) -> Vec<IpAddr> {
    (0..count).map(|i| Ipv4Addr::new(127, 0, 0, i).into()).collect()
}

fn said(count: u8) -> Said {
    Said::Addresses(addresses(count))
}

fn hit<K: Eq + Hash>(cache: &Cache<K>, key: &K, id: u16, now: Duration) -> Option<CachedAnswer> {
    match cache.lookup(key, id, now) {
        Lookup::Hit { answer, .. } => Some(answer),
        Lookup::Miss => None,
    }
}

/// The addresses of an answer that has some.
fn of(answer: CachedAnswer) -> Vec<IpAddr> {
    match answer.said {
        Said::Addresses(addresses) => addresses,
        Said::NoSuchName => panic!("the name exists"),
    }
}

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[test]
fn an_answer_lives_for_its_ttl_and_counts_down() {
    let mut cache = Cache::new(model(), 1);
    assert_eq!(cache.store("vote", said(1), 5, 0, at(10.0), Duration::ZERO).ttl_s, 5);
    let left = |now| hit(&cache, &"vote", 0, at(now)).map(|answer| answer.ttl_s);
    assert_eq!([10.0, 10.5, 14.0, 14.9, 15.0, 99.0].map(left), [Some(5), Some(4), Some(1), Some(0), None, None]);
    assert_eq!(cache.lookup(&"other", 0, at(10.0)), Lookup::Miss);
}

#[test]
fn ttls_are_clamped_and_zero_is_not_kept() {
    // TTL, least, most, TTL handed out, kept after half a second.
    for (ttl, least, most, out, kept) in
        [(0, 0, 60, 0, false), (0, 30, 60, 30, true), (300, 0, 60, 60, true), (5, 0, 0, 0, false)]
    {
        let mut cache = Cache::new(CacheModel { ttl_min_s: least, ttl_max_s: most, ..model() }, 1);
        assert_eq!(cache.store(0, said(1), ttl, 0, at(0.0), Duration::ZERO).ttl_s, out);
        assert_eq!(cache.lookup(&0, 0, at(0.5)) != Lookup::Miss, kept, "{ttl}");
    }
}

#[test]
fn orders_are_even_or_fixed_as_modelled() {
    for (order, even) in [(CacheOrder::Rotate, true), (CacheOrder::Shuffle, true), (CacheOrder::Fixed, false)] {
        let mut cache = Cache::new(CacheModel { order, ..model() }, 9);
        cache.store(0, said(8), 60, 0, at(0.0), Duration::ZERO);
        let mut firsts = [0; 8];
        for id in 0..8_000 {
            let answer = of(hit(&cache, &0, id, at(1.0)).expect("kept for a minute"));
            assert_eq!(answer.len(), 8);
            let IpAddr::V4(first) = answer[0] else { panic!("only IPv4 was stored") };
            firsts[usize::from(first.octets()[3])] += 1;
        }
        // 1,000 each, with a standard deviation of 30 when shuffled.
        assert_eq!(firsts.iter().all(|count| (850..1_150).contains(count)), even, "{order:?} {firsts:?}");
    }
}

#[test]
fn a_name_without_addresses_is_kept_as_such() {
    let mut cache = Cache::new(model(), 1);
    for negative in [said(0), Said::NoSuchName] {
        cache.store(0, negative.clone(), 5, 3, at(0.0), Duration::ZERO);
        assert_eq!(hit(&cache, &0, 3, at(1.0)), Some(CachedAnswer { said: negative, ttl_s: 4 }));
    }
}

#[test]
fn negative_answers_are_kept_for_their_own_time_at_most() {
    let mut cache = Cache::new(CacheModel { negative_ttl_max_s: 3, ..model() }, 1);
    assert_eq!(cache.store(0, Said::NoSuchName, 60, 0, at(0.0), Duration::ZERO).ttl_s, 3);
    assert_eq!((hit(&cache, &0, 0, at(2.9)).is_some(), hit(&cache, &0, 0, at(3.0)).is_some()), (true, false));
    assert_eq!(cache.store(1, said(1), 60, 0, at(0.0), Duration::ZERO).ttl_s, 60, "others are not concerned");
}

#[test]
fn an_answer_is_due_for_a_refresh_in_the_last_part_of_its_ttl_only() {
    let mut cache = Cache::new(CacheModel { prefetch_pct: 10, ..model() }, 1);
    cache.store(0, said(1), 60, 0, at(0.0), Duration::ZERO);
    let refresh = |now| matches!(cache.lookup(&0, 0, at(now)), Lookup::Hit { refresh: true, .. });
    assert_eq!([0.0, 53.9, 54.0, 54.1, 59.9, 60.0].map(refresh), [false, false, false, true, true, false]);
}

#[test]
fn a_stale_answer_is_handed_out_on_demand_only_and_not_for_ever() {
    let mut cache = Cache::new(CacheModel { stale_s: 100, ..model() }, 1);
    cache.store(0, said(2), 5, 0, at(0.0), Duration::ZERO);
    assert_eq!(cache.lookup(&0, 0, at(5.0)), Lookup::Miss);
    let stale = |now| cache.stale(&0, 0, at(now)).map(|answer| answer.ttl_s);
    assert_eq!([4.0, 5.0, 104.9, 105.0].map(stale), [Some(1), Some(STALE_TTL_S), Some(STALE_TTL_S), None]);
}

#[test]
fn an_answer_that_is_already_old_ends_earlier() {
    let mut cache = Cache::new(model(), 1);
    assert_eq!(cache.store(0, said(1), 60, 0, at(1.0), at(45.0)).ttl_s, 60);
    let left = |now| hit(&cache, &0, 0, at(now)).map(|answer| answer.ttl_s);
    assert_eq!([1.0, 15.9, 16.0].map(left), [Some(15), Some(0), None]);
}

#[test]
fn a_full_cache_keeps_what_it_has_until_that_expires() {
    let mut cache = Cache::new(model(), 1);
    let mut kept = |key, now| {
        let handed = cache.store(key, said(1), 60, 0, at(now), Duration::ZERO);
        assert_eq!(handed.said, said(1), "handed out, whether kept or not");
        cache.lookup(&key, 0, at(now)) != Lookup::Miss
    };
    assert!((0..MOST_ENTRIES).all(|key| kept(key, 0.0)));
    assert!(!kept(MOST_ENTRIES, 59.0), "no room");
    assert!(kept(0, 59.0), "what is there may be renewed");
    assert!(kept(MOST_ENTRIES, 60.0), "all others have expired");
    assert_eq!(cache.entries.len(), 2);
}

proptest! {
    #[test]
    fn a_hit_is_what_was_stored_and_never_outlives_it(
        order in prop_oneof![Just(CacheOrder::Rotate), Just(CacheOrder::Shuffle), Just(CacheOrder::Fixed)],
        (ttl, least, most) in (0_u32..500, 0_u32..300, 0_u32..500),
        (count, id, seed) in (0_u8..20, any::<u16>(), any::<u64>()),
        (stored_ms, age_ms) in (0_u64..1_000_000, 0_u64..600_000),
    ) {
        let mut cache = Cache::new(CacheModel { ttl_min_s: least, ttl_max_s: most, order, negative_ttl_max_s: u32::MAX, ..model() }, seed);
        let (stored, age) = (Duration::from_millis(stored_ms), Duration::from_millis(age_ms));
        let handed = cache.store((), said(count), ttl, id, stored, Duration::ZERO);
        prop_assert_eq!(&cache.pass_on(said(count), ttl, id), &handed, "who waited gets the same as who asked");
        match hit(&cache, &(), id, stored + age) {
            None => prop_assert!(age >= Duration::from_secs(handed.ttl_s.into())),
            Some(hit) => {
                prop_assert_eq!(&hit.said, &handed.said, "the same query id turns an answer the same way");
                let end = age + Duration::from_secs(hit.ttl_s.into());
                let whole = Duration::from_secs(handed.ttl_s.into());
                // Whole seconds, rounded down: at most one second is lost, none is won.
                prop_assert!(end <= whole && whole < end + Duration::from_secs(1));
                let mut sorted = of(hit);
                sorted.sort_unstable();
                prop_assert_eq!(sorted, addresses(count));
            }
        }
    }
}
