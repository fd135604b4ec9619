use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
struct Event {
    proxy: u8,
    second: u32,
    latency_ns: u64,
    failure: Option<usize>,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (0_u8..5, 0_u32..90, 0_u64..1_000_000_000_000, proptest::option::of(0..Failure::COUNT))
        .prop_map(|(proxy, second, latency_ns, failure)| Event { proxy, second, latency_ns, failure });
    proptest::collection::vec(event, 0..60)
}

fn count(events: &[Event]) -> Tally {
    let mut tally = Tally::default();
    for event in events {
        let index = tally.index(Ipv4Addr::new(127, 0, 0, event.proxy).into());
        let proxy = tally.proxy(index);
        let second = proxy.second(event.second);
        second.sent += 1;
        second.ended += 1;
        match event.failure {
            Some(class) => second.failed[class] += 1,
            None => second.accepted += 1,
        }
        proxy.response.record_ns(event.latency_ns);
        proxy.response_by_second.record_ns(event.second, event.latency_ns);
    }
    tally
}

/// Equal whatever the order in which proxies were first seen.
fn same(a: &Tally, b: &Tally) -> bool {
    a.proxies() == b.proxies() && a.unplaced == b.unplaced
}

proptest! {
    #[test]
    fn merged_parts_equal_the_whole_count_for_count(all in events(), cut in 0_usize..60) {
        let cut = cut.min(all.len());
        let mut merged = count(&all[..cut]);
        merged.merge(&count(&all[cut..]));
        prop_assert!(same(&merged, &count(&all)));
    }

    #[test]
    fn the_order_of_merging_does_not_matter(a in events(), b in events(), c in events()) {
        let (a, b, c) = (count(&a), count(&b), count(&c));
        let mut one = a.clone();
        one.merge(&b);
        one.merge(&c);
        let mut other = c;
        other.merge(&a);
        other.merge(&b);
        prop_assert!(same(&one, &other));
    }
}

#[test]
fn levels_are_running_sums_of_what_opened_and_closed() {
    let mut proxy = ProxyTally::default();
    proxy.second(0).opened = 5;
    proxy.second(2).closed = 3;
    proxy.second(3).opened = 1;
    assert_eq!(proxy.open_by_second(), [5, 5, 2, 3]);
}

#[test]
fn values_beyond_ten_minutes_are_clipped_and_counted_as_such() {
    let mut latency = Latency::new();
    latency.record_ns(0);
    latency.record_ns(601_000_000_000);
    assert_eq!((latency.len(), latency.clipped()), (2, 1));
    assert!((latency.max_ms().unwrap() - 600_000.0).abs() / 600_000.0 < 0.001);
}

#[test]
fn seconds_beyond_the_last_one_count_in_the_last_one() {
    let mut proxy = ProxyTally::default();
    proxy.second(u32::MAX).sent += 1;
    assert_eq!(proxy.seconds.len(), MOST_SECONDS as usize);
    assert_eq!(proxy.total().sent, 1);
}

#[test]
fn quantiles_of_nothing_are_nothing() {
    assert_eq!(Latency::new().quantile_ms(0.99), None);
}
