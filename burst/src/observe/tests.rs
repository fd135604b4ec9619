use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::*;
use crate::draw::{Stream, draw, unit};
use crate::zone::{MemberState, Moment};

const SEEDS: u64 = 25;

fn address(number: usize) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0001 + number as u32).into()
}

fn zone_of(policy: ZonePolicy, weights: &[u8], ttl_s: u32, window_s: f64, seed: u64) -> Zone {
    let member = |(number, weight): (usize, &u8)| Member { weight: *weight, ..Member::new(number.to_string(), address(number)) };
    let members = weights.iter().enumerate().map(member).collect();
    Zone::new(policy, members, ttl_s, Duration::from_secs_f64(window_s), seed).unwrap()
}

/// Asks the zone `queries` times, `gap_ms` apart give or take a third of it, at `servers` authorities in turn.
fn ask(zone: &Zone, queries: u64, gap_ms: u64, servers: usize, seed: u64) -> Vec<Observation> {
    let observe = |query: u64| {
        let jitter = unit(draw(seed, Stream::Arrival, query)) * gap_ms as f64 / 3.0;
        let at = Duration::from_secs_f64((query * gap_ms) as f64 / 1_000.0 + jitter / 1_000.0);
        let answer = zone.answer(Family::V4, query, Moment { now: at, since_t0: None });
        Observation {
            server: query as usize % servers,
            authoritative: true,
            at,
            addresses: zone.addresses(&answer),
            ttl_s: answer.ttl_s,
        }
    };
    (0..queries).map(observe).collect()
}

fn picture(policy: ZonePolicy, members: usize, ttl_s: u32, seed: u64) -> Picture {
    Picture::of(&ask(&zone_of(policy, &vec![1; members], ttl_s, 1.0, seed), 120, 50, 1, seed)).unwrap()
}

#[test]
fn each_of_the_five_policies_is_named_rightly_with_fifteen_proxies_and_any_ttl() {
    for seed in 0..SEEDS {
        for ttl_s in [1, 5, 30, 60, 300] {
            for policy in ZonePolicy::ALL {
                // A load balancer stands in the proxies' place with a few nodes.
                let members = if policy == ZonePolicy::LbAlias { 2 + seed as usize % 7 } else { 15 };
                let picture = picture(policy, members, ttl_s, seed);
                let best = picture.guess[0];
                assert_eq!(best.policy, policy, "seed {seed}, TTL {ttl_s}: {:?}", picture.guess);
                assert!(best.confidence > 0.9, "seed {seed}, TTL {ttl_s}: {:?}", picture.guess);
                assert!(picture.is_decided(), "seed {seed}, TTL {ttl_s}: {picture:?}");
                assert!(!picture.reasons.is_empty());
            }
        }
    }
}

#[test]
fn twenty_draws_are_enough_when_a_window_is_asked_often_enough() {
    for seed in 0..SEEDS {
        for (policy, gap_ms) in [
            (ZonePolicy::SingleAWeighted, 500),
            (ZonePolicy::Multivalue, 500),
            (ZonePolicy::Simple, 500),
            (ZonePolicy::SingleAWindow, 100),
        ] {
            let zone = zone_of(policy, &[1; 15], 5, 1.0, seed);
            let picture = Picture::of(&ask(&zone, 20, gap_ms, 1, seed)).unwrap();
            assert_eq!(picture.guess[0].policy, policy, "seed {seed}: {:?}", picture.guess);
            assert!(picture.is_decided(), "seed {seed}: {picture:?}");
        }
    }
}

#[test]
fn weights_however_uneven_are_not_taken_for_a_window() {
    for seed in 0..SEEDS {
        for weights in [&[1, 1][..], &[3, 1], &[9, 1], &[255, 20, 20], &[1; 40]] {
            let picture =
                Picture::of(&ask(&zone_of(ZonePolicy::SingleAWeighted, weights, 5, 1.0, seed), 200, 50, 1, seed)).unwrap();
            if picture.addresses.len() > 1 {
                assert_eq!(picture.manner.0, Manner::OnePerCache, "seed {seed}, {weights:?}: {picture:?}");
                assert!(picture.manner.1 > 0.9, "seed {seed}, {weights:?}: {picture:?}");
            }
        }
    }
}

#[test]
fn a_window_is_found_through_several_servers_and_measured() {
    for seed in 0..SEEDS {
        for window_s in [0.5, 1.0, 2.0, 5.0] {
            for servers in [1, 4] {
                let zone = zone_of(ZonePolicy::SingleAWindow, &[1; 15], 5, window_s, seed);
                let picture = Picture::of(&ask(&zone, 400, 50, servers, seed)).unwrap();
                assert_eq!(picture.guess[0].policy, ZonePolicy::SingleAWindow, "seed {seed}: {:?}", picture.guess);
                let found = picture.window_s.unwrap();
                assert!((found / window_s - 1.0).abs() < 0.1, "seed {seed}: window {window_s}, found {found}");
                // 20 s of looking: all 15 come round within them at half a second or a second each.
                assert_eq!(picture.complete, window_s <= 1.0, "seed {seed}, window {window_s}: {picture:?}");
            }
        }
    }
}

#[test]
fn eight_addresses_or_fewer_are_simple_and_multivalue_alike() {
    for members in 2..=8 {
        for policy in [ZonePolicy::Simple, ZonePolicy::Multivalue] {
            let picture = picture(policy, members, 5, 3);
            let confidence = |policy| picture.guess.iter().find(|guess| guess.policy == policy).unwrap().confidence;
            let (simple, multivalue) = (confidence(ZonePolicy::Simple), confidence(ZonePolicy::Multivalue));
            assert!((simple - multivalue).abs() < 0.01 && simple > 0.45, "{members}: {:?}", picture.guess);
            assert_eq!((picture.manner.0, picture.is_sure()), (Manner::Several, true), "{members}: {picture:?}");
        }
    }
}

#[test]
fn one_address_is_no_policy_and_never_sure() {
    for policy in ZonePolicy::ALL {
        let picture = picture(policy, 1, 60, 1);
        assert_eq!(picture.manner.0, Manner::OneAddress, "{policy}");
        assert!(picture.is_decided() && !picture.is_sure(), "{policy}: {picture:?}");
        assert!(picture.reasons[0].contains("a name with one address"), "{:?}", picture.reasons);
    }
}

#[test]
fn a_proxy_that_leaves_the_zone_makes_no_multivalue_of_it() {
    let mut zone = zone_of(ZonePolicy::Simple, &[1; 5], 5, 1.0, 1);
    let mut observations = ask(&zone, 60, 50, 1, 1);
    let mut members = zone.members().to_vec();
    members[2].state = MemberState::Absent;
    zone = Zone::new(ZonePolicy::Simple, members, 5, Duration::from_secs(1), 1).unwrap();
    let later = ask(&zone, 60, 50, 1, 2).into_iter().map(|seen| Observation { at: seen.at + Duration::from_secs(3), ..seen });
    observations.extend(later);
    let picture = Picture::of(&observations).unwrap();
    assert_eq!(picture.guess[0].policy, ZonePolicy::Simple, "{:?}", picture.guess);
    assert_eq!((picture.changes, picture.per_answer), (1, (4, 5)));
}

/// What a cache makes of a zone: an entry until its TTL ends, counted down, its order turned.
fn through_a_cache(zone: &Zone, queries: u64, gap_ms: u64, ttl_s: u32) -> Vec<Observation> {
    let (mut entry, mut until, mut drawn) = (Vec::new(), Duration::ZERO, 0);
    let observe = |query: u64| {
        let at = Duration::from_millis(query * gap_ms);
        if at >= until {
            entry = zone.addresses(&zone.answer(Family::V4, drawn, Moment { now: at, since_t0: None }));
            (drawn, until) = (drawn + 1, at + Duration::from_secs(ttl_s.into()));
        }
        entry.rotate_left(1);
        let left = u32::try_from((until - at).as_secs_f64().ceil() as u64).unwrap();
        Observation { server: 0, authoritative: false, at, addresses: entry.clone(), ttl_s: left }
    };
    (0..queries).map(observe).collect()
}

#[test]
fn a_cached_answer_is_one_draw_however_often_it_is_seen() {
    for seed in 0..SEEDS {
        let zone = zone_of(ZonePolicy::SingleAWeighted, &[1; 15], 5, 1.0, seed);
        let short = Picture::of(&through_a_cache(&zone, 400, 50, 5)).unwrap();
        assert_eq!((short.answers, short.draws, short.authoritative), (400, 4, false), "seed {seed}");
        assert!(!short.is_decided(), "seed {seed}: four draws decide nothing: {short:?}");
        assert!(short.reasons.iter().any(|reason| reason.contains("through caches only")), "{:?}", short.reasons);
        let long = Picture::of(&through_a_cache(&zone, 4_000, 50, 5)).unwrap();
        assert_eq!(long.manner.0, Manner::OnePerCache, "seed {seed}: {long:?}");
        assert!(long.is_decided(), "seed {seed}: {long:?}");
    }
}

#[test]
fn authorities_speak_louder_than_caches() {
    let zone = zone_of(ZonePolicy::SingleAWeighted, &[1; 15], 60, 1.0, 1);
    let mut observations = ask(&zone, 100, 50, 1, 1);
    observations.extend(through_a_cache(&zone, 100, 50, 60).into_iter().map(|seen| Observation { server: 1, ..seen }));
    let picture = Picture::of(&observations).unwrap();
    assert_eq!((picture.answers, picture.draws, picture.ttl_s), (200, 100, (60, 60)));
    assert_eq!(picture.guess[0].policy, ZonePolicy::SingleAWeighted, "{:?}", picture.guess);
    assert!(picture.differs_per_query && picture.differs_per_server);
}

#[test]
fn a_name_is_of_the_same_kind_as_itself_whatever_the_chance() {
    for seed in 0..SEEDS {
        for policy in ZonePolicy::ALL {
            let members = if policy == ZonePolicy::LbAlias { 3 } else { 8 };
            let (one, other) = (picture(policy, members, 5, seed), picture(policy, members, 5, seed + 1_000));
            assert_eq!(kind_differs(&one, &other), Vec::<String>::new(), "{policy}, seeds {seed} and {}", seed + 1_000);
        }
    }
}

#[test]
fn names_of_two_kinds_are_told_apart_with_the_reason() {
    use ZonePolicy::{LbAlias, Multivalue, Simple, SingleAWeighted, SingleAWindow};
    let cases = [
        (
            "the case: one address in production, eight in the test",
            (SingleAWeighted, 15, 5),
            (Multivalue, 15, 5),
            "8 addresses per answer",
        ),
        ("one drawn for each against one for all", (SingleAWeighted, 15, 5), (SingleAWindow, 15, 5), "changes with time"),
        ("one machine in the test", (Simple, 15, 5), (Simple, 1, 5), "one address"),
        ("a longer TTL", (SingleAWeighted, 15, 5), (SingleAWeighted, 15, 60), "for 5 s, those of the second for 60 s"),
        ("a part against all", (Multivalue, 15, 5), (Simple, 15, 5), "8 of 15 addresses, one of the second all 15"),
        ("all of a few against all of many", (Simple, 4, 60), (Simple, 15, 60), "4 addresses, one of the second 15"),
        ("drawn from a few against drawn from many", (SingleAWeighted, 3, 5), (SingleAWeighted, 15, 5), "3 addresses in all"),
    ];
    for (why, one, other, reason) in cases {
        let pictures = [one, other].map(|(policy, members, ttl_s)| picture(policy, members, ttl_s, 7));
        let differs = kind_differs(&pictures[0], &pictures[1]);
        assert!(differs.iter().any(|said| said.contains(reason)), "{why}: `{reason}` is missing in {differs:?}");
        assert_eq!(kind_differs(&pictures[1], &pictures[0]).len(), differs.len(), "{why}: the other way round");
    }
    // By answers alone these do the same to an audience.
    assert_eq!(kind_differs(&picture(LbAlias, 4, 60, 1), &picture(Simple, 4, 60, 1)), Vec::<String>::new());
    assert_eq!(kind_differs(&picture(Multivalue, 6, 5, 1), &picture(Simple, 6, 5, 1)), Vec::<String>::new());
}

#[test]
fn a_picture_becomes_the_zone_it_was_taken_of() {
    let weights = [200, 100, 50, 50];
    let seen = ask(&zone_of(ZonePolicy::SingleAWeighted, &weights, 5, 1.0, 3), 4_000, 50, 1, 3);
    let zone = Picture::of(&seen).unwrap().zone(9).unwrap();
    let answered: Vec<u32> = zone.members().iter().map(|member| u32::from(member.weight)).collect();
    let sum: u32 = answered.iter().sum();
    for (weight, found) in weights.iter().zip(&answered) {
        let (weight, found) = (f64::from(*weight) / 400.0, f64::from(*found) / f64::from(sum));
        assert!((weight - found).abs() < 0.03, "seed 3: {weights:?} came back as {answered:?}");
    }
    assert_eq!((zone.policy(), zone.answer(Family::V4, 0, Moment::default()).ttl_s), (ZonePolicy::SingleAWeighted, 5));
}

#[test]
fn nothing_seen_gives_no_picture() {
    assert!(Picture::of(&[]).is_none());
    let empty = Observation { server: 0, authoritative: true, at: Duration::ZERO, addresses: Vec::new(), ttl_s: 5 };
    assert!(Picture::of(&[empty]).is_none());
}
