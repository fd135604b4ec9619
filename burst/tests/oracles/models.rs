//! What single layers must do: lifetimes of answers in phones, races, health and weights of a zone.

use std::net::Ipv4Addr;
use std::time::Duration;

use voteburst_burst::phone::{PhoneKind, PhoneMemory, Racing, Recalled};
use voteburst_burst::zone::{Family, Member, MemberState, Moment, Zone, ZonePolicy};

const SEED: u64 = 2026;
const QUERIES: u64 = 9_000;

fn keeps(kind: PhoneKind, ttl_s: u32) -> u32 {
    kind.model().expect("a preset").lifetime_s(ttl_s)
}

#[test]
fn ios_keeps_an_answer_a_quarter_and_two_seconds_longer_and_at_least_fifteen() {
    let known = [(0, 15), (5, 15), (10, 15), (11, 15), (12, 17), (60, 77), (300, 377), (3_600, 4_502), (86_400, 4_502)];
    for (ttl_s, kept_s) in known {
        assert_eq!(keeps(PhoneKind::IosUrlsession, ttl_s), kept_s, "TTL {ttl_s}");
    }
}

#[test]
fn others_keep_it_for_its_ttl_or_at_least_a_minute_or_thirty_seconds_always() {
    for ttl_s in [5, 60, 300, 86_400] {
        assert_eq!(keeps(PhoneKind::AndroidOkhttp, ttl_s), ttl_s);
        assert_eq!(keeps(PhoneKind::AndroidOkhttp4, ttl_s), ttl_s);
        assert_eq!(keeps(PhoneKind::BrowserChromium, ttl_s), ttl_s.max(60));
        assert_eq!(keeps(PhoneKind::JvmDefault, ttl_s), 30);
        assert_eq!(keeps(PhoneKind::GlibcNoCache, ttl_s), 0);
        assert_eq!(keeps(PhoneKind::NaiveLoadtool, ttl_s), u32::MAX, "for ever");
    }
}

#[test]
fn a_phone_counts_from_what_is_left_of_the_ttl() {
    // The carrier hands out 7 s that are left of 60.
    let at = Duration::from_secs;
    for (kind, kept_s) in [(PhoneKind::AndroidOkhttp, 7), (PhoneKind::IosUrlsession, 15)] {
        let mut memory = PhoneMemory::default();
        memory.remember(&kind.model().unwrap(), &[1_u16], 7, at(53));
        let last = at(53 + kept_s) - Duration::from_millis(1);
        assert_eq!((memory.recall(last), memory.recall(at(53 + kept_s))), (Recalled::Answer(&[1][..]), Recalled::Nothing));
    }
}

/// That sockets are raced so is proven where they are opened, in the agent's tests.
#[test]
fn okhttp_5_begins_the_next_attempt_after_a_quarter_of_a_second_and_okhttp_4_waits() {
    assert_eq!(PhoneKind::AndroidOkhttp.model().unwrap().racing, Racing::Every(Duration::from_millis(250)));
    assert_eq!(PhoneKind::AndroidOkhttp4.model().unwrap().racing, Racing::Sequential);
}

/// How often each of three members is answered.
fn answered(states: [MemberState; 3], weights: [u8; 3]) -> [u64; 3] {
    let member = |n: usize| Member {
        state: states[n],
        weight: weights[n],
        ..Member::new(format!("proxy-{n}"), Ipv4Addr::new(10, 0, 0, n as u8).into())
    };
    let members = (0..3).map(member).collect();
    let zone = Zone::new(ZonePolicy::SingleAWeighted, members, 5, Duration::from_secs(5), SEED).expect("three members");
    let mut counts = [0; 3];
    for query in 0..QUERIES {
        let answer = zone.answer(Family::V4, query, Moment::default());
        assert_eq!(answer.members.len(), 1);
        counts[answer.members[0]] += 1;
    }
    counts
}

#[test]
fn weights_and_health_decide_by_the_rules_of_route_53() {
    use MemberState::{Healthy, Unhealthy};
    let well = [Healthy; 3];
    // Counts of 9,000: a share of 1/3 has a deviation of 45, one of 1/2 of 47; five of them.
    let near = |found: u64, expected: u64| found.abs_diff(expected) < 240;
    let even = |counts: [u64; 3]| counts.iter().all(|count| near(*count, QUERIES / 3));
    assert!(even(answered(well, [0; 3])), "all weights zero is uniform");
    assert!(even(answered([Unhealthy; 3], [1; 3])), "none healthy: all count as healthy");
    let [first, second, third] = answered([Healthy, Unhealthy, Healthy], [1; 3]);
    assert!(second == 0 && near(first, QUERIES / 2) && near(third, QUERIES / 2), "one unhealthy is left out");
    let [off, light, heavy] = answered(well, [0, 64, 128]);
    assert!(off == 0 && near(light, QUERIES / 3) && near(heavy, QUERIES * 2 / 3), "by weight, 0 is off");
    assert_eq!(answered([Healthy, Unhealthy, Unhealthy], [0, 1, 1])[0], QUERIES, "zero weights when no other is healthy");
}
