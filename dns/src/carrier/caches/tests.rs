use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use hickory_proto::rr::Name;
use proptest::prelude::*;
use voteburst_burst::cache::STALE_TTL_S;

use super::*;

fn key() -> Key {
    (Name::from_str("vote.example.").unwrap().into(), Kind::A)
}

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn addresses(number: u8) -> Said {
    Said::Addresses(vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, number))])
}

fn heard(said: Said, ttl_s: u32, seconds: f64) -> Option<Heard> {
    Some(Heard { said, ttl_s, at: at(seconds) })
}

fn serving_stale(stale_s: u32) -> Caches {
    Caches::new(CacheModel { stale_s, ..CacheModel::default() }, 1, 1)
}

/// A query at an instant, in a word.
fn met(caches: &mut Caches, seconds: f64) -> (&'static str, Option<Ask>) {
    let Met { ask, then, .. } = caches.meet(&key(), 0, at(seconds));
    let word = match (&ask, then) {
        (None, Then::Answer(Some(answer))) if answer.ttl_s == STALE_TTL_S => "stale",
        (None, Then::Answer(Some(_))) => "hit",
        (Some(_), Then::Answer(Some(_))) => "hit and renewed",
        (None, Then::Answer(None)) => "failed",
        (Some(_), Then::Answer(None)) => "failed and asked",
        (Some(_), Then::Wait(_)) => "asked",
        (None, Then::Wait(_)) => "waits",
    };
    (word, ask)
}

/// The question that a query at an instant leads to.
fn asked(caches: &mut Caches, seconds: f64) -> Ask {
    met(caches, seconds).1.unwrap()
}

#[test]
fn a_failure_stands_for_a_second_and_then_it_is_tried_again() {
    let mut caches = serving_stale(0);
    let ask = asked(&mut caches, 0.0);
    assert_eq!(met(&mut caches, 1.0).0, "waits");
    caches.heard(&ask, None, at(2.0));
    assert_eq!([2.0, 2.9, 3.0].map(|now| met(&mut caches, now).0), ["failed", "failed", "asked"]);
}

#[test]
fn a_failure_is_forgotten_with_the_next_answer() {
    let mut caches = serving_stale(0);
    let first = asked(&mut caches, 0.0);
    caches.heard(&first, None, at(0.0));
    let second = asked(&mut caches, 1.0);
    caches.heard(&second, heard(addresses(1), 0, 1.1), at(1.1));
    assert_eq!(met(&mut caches, 1.2).0, "asked", "an answer that is not kept is no failure");
}

#[test]
fn a_stale_answer_spares_those_who_ask_later_the_wait_for_a_silent_upstream() {
    let mut caches = serving_stale(100);
    let first = asked(&mut caches, 0.0);
    caches.heard(&first, heard(addresses(1), 5, 0.0), at(0.0));
    assert_eq!(met(&mut caches, 4.9).0, "hit");
    let second = asked(&mut caches, 5.0);
    assert_eq!(met(&mut caches, 6.0).0, "waits");
    caches.heard(&second, None, at(7.0));
    let waited = caches.waited(0, &key(), None, 0, at(7.0)).unwrap();
    assert_eq!((waited.said, waited.ttl_s), (addresses(1), STALE_TTL_S));
    // 30 s after the failure it is tried again; what then fails at 104.9 s is stale until 105 s, and gone after it.
    assert_eq!([7.1, 36.9, 37.0].map(|now| met(&mut caches, now).0), ["stale", "stale", "asked"]);
    let third = Ask { number: 3, ..second };
    caches.heard(&third, None, at(104.9));
    assert_eq!([104.9, 105.0, 106.0].map(|now| met(&mut caches, now).0), ["stale", "failed", "asked"]);
}

#[test]
fn an_answer_is_renewed_once_however_many_ask_and_not_at_once_after_a_failure() {
    let mut caches = Caches::new(CacheModel { prefetch_pct: 50, ..CacheModel::default() }, 1, 1);
    let first = asked(&mut caches, 0.0);
    caches.heard(&first, heard(addresses(1), 10, 0.0), at(0.0));
    assert_eq!([4.9, 5.1, 5.2].map(|now| met(&mut caches, now).0), ["hit", "hit and renewed", "hit"]);
    let second = Ask { number: 2, ..first };
    caches.heard(&second, None, at(6.0));
    assert_eq!([6.9, 7.0, 7.1].map(|now| met(&mut caches, now).0), ["hit", "hit and renewed", "hit"]);
    let third = Ask { number: 3, ..second };
    caches.heard(&third, heard(addresses(2), 10, 8.0), at(8.0));
    assert_eq!([8.1, 12.9, 13.1].map(|now| met(&mut caches, now).0), ["hit", "hit", "hit and renewed"]);
    let expected = CarrierCounters { queries: 10, hits: 9, misses: 1, asked: 4, prefetched: 3, ..CarrierCounters::default() };
    assert_eq!(caches.counters(), expected);
}

#[test]
fn an_old_question_ends_no_newer_one() {
    let mut caches = serving_stale(0);
    let first = asked(&mut caches, 0.0);
    caches.heard(&first, heard(addresses(1), 0, 0.0), at(0.0));
    let second = asked(&mut caches, 0.0);
    assert!(caches.close(&first).is_none());
    assert_eq!(met(&mut caches, 0.0).0, "waits", "for the second, which still runs");
    assert!(caches.close(&second).is_some());
    assert_eq!(met(&mut caches, 0.0).0, "asked");
}

#[tokio::test]
async fn who_waits_hears_the_answer_or_that_there_will_be_none() {
    let mut caches = serving_stale(0);
    let Met { ask: Some(ask), then: Then::Wait(mut waiting), .. } = caches.meet(&key(), 0, at(0.0)) else {
        panic!("an empty cache asks");
    };
    caches.heard(&ask, heard(addresses(1), 5, 0.0), at(0.0));
    assert_eq!(waiting.recv().await.unwrap().unwrap().said, addresses(1));
    let Met { ask: Some(ask), then: Then::Wait(mut waiting), .. } = caches.meet(&key(), 0, at(5.0)) else {
        panic!("five seconds are over");
    };
    drop(caches.close(&ask));
    assert!(waiting.recv().await.is_err());
}

#[test]
fn memory_for_failures_is_bounded_and_makes_room_in_time() {
    let mut caches = serving_stale(0);
    let name = |number: usize| (Name::from_str(&format!("n{number}.example.")).unwrap().into(), Kind::A);
    for number in 0..=MOST_ENTRIES {
        caches.caches[0].note_failure(&name(number), at(0.0));
    }
    assert_eq!(caches.caches[0].failed.len(), MOST_ENTRIES);
    caches.caches[0].note_failure(&name(MOST_ENTRIES), at(30.0));
    assert_eq!(caches.caches[0].failed.len(), 1);
}

#[test]
fn queries_meet_all_caches_equally_often_whatever_their_ids() {
    let mut caches = Caches::new(CacheModel::default(), 8, 5);
    let mut met = [0; 8];
    for _ in 0..8_000 {
        met[caches.meet(&key(), 7, at(0.0)).cache] += 1;
    }
    // Binomial: 1,000 each with a standard deviation of 30; five of them.
    assert!(met.iter().all(|count| (850..1_150).contains(count)), "{met:?}");
    assert_eq!(caches.counters().asked, 8);
}

#[test]
fn ages_are_uniform_over_the_time_that_an_answer_is_kept() {
    // An answer, its TTL, the most that is kept of it.
    for (said, ttl_s, kept) in [(addresses(1), 500, 200), (Said::NoSuchName, 500, 100)] {
        let model = CacheModel { ttl_max_s: 200, negative_ttl_max_s: 100, ..CacheModel::default() };
        let mut caches = Caches::new(model, 1_000, 5);
        let mut left = Vec::new();
        for cache in 0..caches.count() {
            caches.keep_aged(cache, key(), Heard { said: said.clone(), ttl_s, at: at(3.0) });
            let Lookup::Hit { answer, .. } = caches.caches[cache].cache.lookup(&key(), 0, at(3.0)) else {
                panic!("an age is below the TTL");
            };
            left.push(f64::from(answer.ttl_s));
        }
        // Rounded down, so half a second less; the mean of 1,000 has a standard deviation of kept / sqrt(12,000).
        let mean = left.iter().sum::<f64>() / 1_000.0 + 0.5;
        assert!((mean - kept as f64 / 2.0).abs() < 4.0 * kept as f64 / 12_000_f64.sqrt(), "{mean} of {kept}");
        assert!(left.iter().all(|left| *left < kept as f64));
    }
}

#[test]
fn both_kinds_of_addresses_are_equally_old() {
    let mut caches = Caches::new(CacheModel::default(), 1, 5);
    let (name, _) = key();
    let left = [Kind::A, Kind::Aaaa].map(|kind| {
        caches.keep_aged(0, (name.clone(), kind), Heard { said: addresses(1), ttl_s: 10_000, at: at(0.0) });
        caches.caches[0].cache.stale(&(name.clone(), kind), 0, at(0.0)).unwrap().ttl_s
    });
    assert_eq!(left[0], left[1]);
}

proptest! {
    #[test]
    fn every_query_ends_in_exactly_one_way_and_is_counted_once(
        count in 0_u16..4,
        seed in any::<u64>(),
        // Milliseconds since the last step, and what an upstream says to the oldest question: an answer, a negative one, nothing.
        steps in proptest::collection::vec((0_u64..4_000, 0_u8..4), 1..60),
    ) {
        let model = CacheModel { prefetch_pct: 40, stale_s: 5, ..CacheModel::default() };
        let mut caches = Caches::new(model, count, seed);
        let (mut now, mut open, mut waiting) = (Duration::ZERO, Vec::new(), Vec::new());
        let (mut answered, mut failed) = (0, 0);
        for (millis, says) in steps {
            now += Duration::from_millis(millis);
            let Met { cache, ask, then } = caches.meet(&key(), 0, now);
            match then {
                Then::Answer(Some(_)) => answered += 1,
                Then::Answer(None) => failed += 1,
                Then::Wait(receiver) => waiting.push((cache, receiver)),
            }
            open.extend(ask);
            if says > 0 && !open.is_empty() {
                let said = if says == 1 { addresses(1) } else { Said::NoSuchName };
                let heard = (says < 3).then_some(Heard { said, ttl_s: 3, at: now });
                caches.heard(&open.remove(0), heard, now);
            }
        }
        for ask in open {
            caches.heard(&ask, None, now);
        }
        for (cache, mut receiver) in waiting {
            // Every question was heard of by now: nobody is left to wait.
            let heard = receiver.try_recv().unwrap();
            match caches.waited(cache, &key(), heard, 0, now) {
                Some(_) => answered += 1,
                None => failed += 1,
            }
        }
        let counted = caches.counters();
        prop_assert_eq!(counted.queries, counted.hits + counted.misses);
        prop_assert_eq!((counted.queries, counted.failures), (answered + failed, failed));
        prop_assert!(counted.stale <= counted.misses && counted.negative <= answered && counted.prefetched <= counted.hits);
        prop_assert!(caches.caches.iter().all(|unshared| unshared.in_flight.is_empty()));
    }
}
