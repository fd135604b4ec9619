use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

fn members(k: u8) -> Vec<Member> {
    (0..k).map(|i| Member::new(format!("proxy-{i}"), Ipv4Addr::new(127, 0, 0, 11 + i).into())).collect()
}

/// `seconds` after the zone was opened.
fn at(seconds: u64) -> Moment {
    Moment { now: Duration::from_secs(seconds), since_t0: None }
}

fn state(healthy: bool) -> MemberState {
    if healthy { MemberState::Healthy } else { MemberState::Unhealthy }
}

fn zone(policy: ZonePolicy, members: Vec<Member>) -> Zone {
    Zone::new(policy, members, 5, Duration::from_secs(5), 42).unwrap()
}

/// How often each member came first in 15,000 answers.
fn firsts(zone: &Zone) -> Vec<u32> {
    let mut counts = vec![0; zone.members().len()];
    for query in 0..15_000 {
        counts[zone.answer(Family::V4, query, at(0)).members[0]] += 1;
    }
    counts
}

/// Chi-square against equal shares; the bound is the 99.9 % quantile for 14 degrees of freedom or fewer.
fn even(counts: &[u32]) -> bool {
    let mean = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
    counts.iter().map(|count| (f64::from(*count) - mean).powi(2) / mean).sum::<f64>() < 36.1
}

#[test]
fn weighted_answers_one_address_drawn_by_weight() {
    assert!(even(&firsts(&zone(ZonePolicy::SingleAWeighted, members(15)))));
    let mut uneven = members(3);
    (uneven[0].weight, uneven[1].weight, uneven[2].weight) = (3, 1, 0);
    let counts = firsts(&zone(ZonePolicy::SingleAWeighted, uneven));
    // 15,000 · 3/4 with a standard deviation of 53; five of them.
    assert!((10_985..=11_515).contains(&counts[0]) && counts[2] == 0, "{counts:?}");
}

#[test]
fn weights_of_zero_and_health_follow_the_rules_of_route_53() {
    // Weights, health, and the members that may be answered.
    let cases: [(&[u8], &[bool], &[usize]); 6] = [
        (&[0, 0, 0], &[true, true, true], &[0, 1, 2]),
        (&[1, 1, 1], &[true, false, true], &[0, 2]),
        (&[1, 1, 1], &[false, false, false], &[0, 1, 2]),
        (&[1, 1, 0], &[false, false, true], &[2]),
        (&[1, 0, 0], &[true, true, true], &[0]),
        (&[1, 0, 1], &[false, false, false], &[0, 2]),
    ];
    for (weights, health, expected) in cases {
        let mut members = members(3);
        for (member, (weight, healthy)) in members.iter_mut().zip(weights.iter().zip(health)) {
            (member.weight, member.state) = (*weight, state(*healthy));
        }
        let counts = firsts(&zone(ZonePolicy::SingleAWeighted, members));
        let answered: Vec<usize> = (0..3).filter(|member| counts[*member] > 0).collect();
        assert_eq!(answered, expected, "weights {weights:?}, health {health:?}");
    }
}

#[test]
fn the_window_moves_everybody_on_to_the_next_address() {
    let zone = zone(ZonePolicy::SingleAWindow, members(15));
    let member = |query, seconds| zone.answer(Family::V4, query, at(seconds)).members;
    for query in 0..100 {
        assert_eq!(
            (member(query, 0), member(query, 4), member(query, 5), member(query, 75)),
            (vec![0], vec![0], vec![1], vec![0])
        );
    }
    // A minute is twelve windows: twelve proxies get 5 s each, three idle, max/mean 15/12.
    let mut seconds = [0; 15];
    (0..60).for_each(|second| seconds[member(second, second)[0]] += 1);
    assert_eq!((seconds.iter().filter(|s| **s == 0).count(), seconds.iter().max()), (3, Some(&5)));
}

#[test]
fn multivalue_answers_eight_distinct_healthy_addresses_evenly() {
    let fifteen = zone(ZonePolicy::Multivalue, members(15));
    assert!(even(&firsts(&fifteen)));
    let answer = fifteen.answer(Family::V4, 3, at(0));
    assert_eq!(answer.members.len(), 8);
    let mut sick = members(15);
    sick[..10].iter_mut().for_each(|member| member.state = MemberState::Unhealthy);
    let mut five = zone(ZonePolicy::Multivalue, sick).answer(Family::V4, 0, at(0)).members;
    five.sort_unstable();
    assert_eq!(five, [10, 11, 12, 13, 14]);
    let none = members(15).into_iter().map(|member| Member { state: MemberState::Unhealthy, ..member }).collect();
    assert_eq!(zone(ZonePolicy::Multivalue, none).answer(Family::V4, 0, at(0)).members.len(), 8);
}

#[test]
fn a_load_balancer_alias_has_a_ttl_of_sixty_and_all_its_nodes() {
    let answer = zone(ZonePolicy::LbAlias, members(3)).answer(Family::V4, 0, at(0));
    assert_eq!((answer.ttl_s, answer.members.len()), (60, 3));
}

proptest! {
    #[test]
    fn an_answer_is_pure_and_holds_no_address_twice(policy in 0_usize..5, k in 1_u8..40, query in any::<u32>(), second in 0_u64..10_000) {
        let zone = zone(ZonePolicy::ALL[policy], members(k));
        let answer = zone.answer(Family::V4, query.into(), at(second));
        prop_assert_eq!(&answer, &zone.answer(Family::V4, query.into(), at(second)));
        let mut distinct = zone.addresses(&answer);
        distinct.sort_unstable();
        distinct.dedup();
        prop_assert_eq!(distinct.len(), answer.members.len());
        prop_assert!(!distinct.is_empty());
    }
}

#[test]
fn zones_that_cannot_be_are_refused() {
    let new = |members, ttl, window| Zone::new(ZonePolicy::Simple, members, ttl, window, 0).unwrap_err();
    assert_eq!(new(vec![], 5, Duration::from_secs(1)), ZoneProblem::Members(0));
    assert_eq!(new(members(101), 5, Duration::from_secs(1)), ZoneProblem::Members(101));
    assert_eq!(new(members(1), 1 << 31, Duration::from_secs(1)), ZoneProblem::Ttl(1 << 31));
    assert_eq!(new(members(1), 5, Duration::ZERO), ZoneProblem::Window);
}

#[test]
fn every_policy_is_read_by_its_name() {
    for policy in ZonePolicy::ALL {
        assert_eq!(policy.to_string().parse(), Ok(policy));
    }
    let refused = |word: &str| word.parse::<ZonePolicy>().unwrap_err().to_string();
    let all = "needed one of single-a-weighted, single-a-window, multivalue, simple, lb-alias";
    assert_eq!(refused("multi-value"), format!("`multi-value` is no zone policy, did you mean `multivalue`?; {all}"));
    assert_eq!(refused("xyz"), format!("`xyz` is no zone policy; {all}"));
}

#[test]
fn members_come_go_and_fall_ill_on_schedule_after_t0_only() {
    let mut members = members(3);
    members[0].changes = vec![(Duration::from_secs(20), MemberState::Unhealthy), (Duration::from_secs(30), MemberState::Healthy)];
    members[1].changes = vec![(Duration::from_secs(20), MemberState::Absent)];
    members[2].state = MemberState::Absent;
    members[2].changes = vec![(Duration::from_secs(25), MemberState::Healthy)];
    let zone = zone(ZonePolicy::Multivalue, members);
    let held = |since_t0: Option<u64>| {
        let moment = Moment { now: Duration::from_secs(1_000), since_t0: since_t0.map(Duration::from_secs) };
        let mut members = zone.answer(Family::V4, 7, moment).members;
        members.sort_unstable();
        members
    };
    // At 20 s the only one left is ill, and so counts as healthy.
    let cases = [(None, vec![0, 1]), (Some(0), vec![0, 1]), (Some(20), vec![0]), (Some(25), vec![2]), (Some(30), vec![0, 2])];
    for (since_t0, expected) in cases {
        assert_eq!(held(since_t0), expected, "{since_t0:?}");
    }
}

#[test]
fn each_family_has_its_own_answers() {
    let mut members = members(2);
    members.push(Member::new("six".into(), "::1".parse().unwrap()));
    let zone = zone(ZonePolicy::Simple, members);
    assert_eq!(zone.answer(Family::V6, 0, at(0)).members, [2]);
    assert_eq!(zone.answer(Family::V4, 0, at(0)).members.len(), 2);
    let v4_only = Zone::new(ZonePolicy::SingleAWeighted, self::members(1), 5, Duration::from_secs(1), 0).unwrap();
    assert!(v4_only.answer(Family::V6, 0, at(0)).members.is_empty());
}
