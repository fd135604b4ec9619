use proptest::prelude::*;

use super::*;

#[test]
fn numbers_are_rounded_down_to_two_digits() {
    for (number, rounded) in [(0, 0), (7, 7), (99, 99), (100, 100), (109, 100), (8_765, 8_700), (u64::MAX, 18 * 10_u64.pow(18))] {
        assert_eq!(two_digits(number), rounded);
    }
}

#[test]
fn what_a_generator_carries_is_its_viewers_times_the_lesser_of_two_shares() {
    let load = |demand, in_time| Load { viewers: 30_000, demand, peak: 1_000, in_time };
    for (what, load, carries) in [
        ("nothing was wanting: something else held it up, and all of them fit", load(Some(0.5), Some(1_000)), Some(30_000)),
        ("all of them fit, so nothing is rounded", Load { viewers: 12_345, ..load(Some(0.5), Some(1_000)) }, Some(12_345)),
        ("0.8 is not more than 0.8", load(Some(0.8), Some(1_000)), Some(30_000)),
        ("full: 30,000 × 0.7 / 1.0", load(Some(1.0), Some(1_000)), Some(21_000)),
        ("nine tenths: 30,000 × 0.7 / 0.9 = 23,333", load(Some(0.9), Some(1_000)), Some(23_000)),
        ("half of the peak's rate was in time", load(Some(0.5), Some(500)), Some(15_000)),
        ("the lesser of both", load(Some(1.0), Some(900)), Some(21_000)),
        ("the lesser of both, the other way round", load(Some(1.0), Some(300)), Some(9_000)),
        ("no system told of its processor", load(None, Some(700)), Some(21_000)),
        ("no second was in time", load(Some(1.0), None), None),
        ("nobody voted", Load { peak: 0, in_time: Some(0), ..load(None, None) }, None),
        ("fewer than one", Load { viewers: 1, ..load(Some(1.0), Some(1)) }, Some(0)),
    ] {
        assert_eq!(load.carries(), carries, "{what}");
    }
}

proptest! {
    #[test]
    fn it_never_carries_more_than_it_had_and_less_the_more_it_was_asked(
        (viewers, peak) in (0_u64..10_000_000, 1_u64..1_000_000),
        (one, other) in (0.0_f64..=1.0, 0.0_f64..=1.0),
        (slow, quick) in (0_u64..1_000_000, 0_u64..1_000_000),
    ) {
        let load = |demand: f64, in_time: u64| Load { viewers, demand: Some(demand), peak, in_time: Some(in_time) };
        let (low, high) = (one.min(other), one.max(other));
        let (few, many) = (slow.min(quick), slow.max(quick));
        prop_assert!(load(low, many).carries() <= Some(viewers));
        prop_assert!(load(high, many).carries() <= load(low, many).carries());
        prop_assert!(load(low, few).carries() <= load(low, many).carries());
        prop_assert!(load(FULL + 0.01, many).carries() <= Some(viewers * 9 / 10));
    }
}

#[test]
fn a_second_is_in_time_when_all_but_one_in_a_hundred_of_its_votes_were() {
    let mut late = LateSeconds::default();
    let mut vote = |second, count: u32, millis: u64| (0..count).for_each(|_| late.record_ns(second, millis * 1_000_000));
    vote(4, 990, 1);
    vote(4, 10, 900);
    vote(5, 989, 1);
    vote(5, 1_011, 900);
    vote(9, 300, 0);
    let load = Load::of(2_000, Some(0.3), &late, Duration::from_millis(100));
    assert_eq!((load.peak, load.in_time, load.carries()), (2_000, Some(1_000), Some(1_000)));
    let strict = Load::of(2_000, Some(0.3), &late, Duration::from_micros(1));
    assert_eq!((strict.in_time, strict.carries()), (Some(300), Some(300)));
    let nobody = Load::of(2_000, None, &LateSeconds::default(), Duration::from_millis(100));
    assert_eq!((nobody.peak, nobody.in_time, nobody.carries()), (0, None, None));
}

fn busy(viewers: u64, waited: u64, machine: (u64, u64, u64)) -> Usage {
    let (busy_us, idle_us, stolen_us) = machine;
    Usage {
        span_us: 1_000_000,
        process_us: Some(viewers + 50_000),
        viewers_us: Some(viewers),
        waited_us: Some(waited),
        machine: Some(MachineTime { busy_us, idle_us, stolen_us }),
    }
}

#[test]
fn demand_is_that_of_the_machine_or_of_the_one_thread_whichever_is_more() {
    for (what, usage, demand) in [
        ("a thread on one core of four", busy(900_000, 50_000, (1_000_000, 3_000_000, 0)), Some(0.95)),
        ("a machine full of others", busy(100_000, 300_000, (1_980_000, 20_000, 0)), Some(0.99)),
        ("what was stolen was not there to be used", busy(0, 0, (500_000, 500_000, 1_000_000)), Some(0.5)),
        ("a thread cannot ask for more than one core", busy(800_000, 900_000, (0, 1, 0)), Some(1.0)),
        ("without schedstat", Usage { waited_us: None, machine: None, ..busy(300_000, 1, (0, 0, 0)) }, Some(0.3)),
        ("without anything", Usage { span_us: 1, ..Usage::default() }, None),
        ("over no time", Usage { span_us: 0, ..busy(1, 1, (0, 0, 0)) }, None),
    ] {
        assert_eq!(usage.demand(), demand, "{what}");
    }
}

#[test]
fn shares_are_of_the_time_that_was_looked_at() {
    let usage = busy(400_000, 100_000, (1_200_000, 600_000, 200_000));
    let shares = [usage.viewers(), usage.waited(), usage.process_cores(), usage.stolen(), usage.cores()];
    assert_eq!(shares, [0.4, 0.1, 0.45, 0.1, 2.0].map(Some));
}

#[test]
fn counts_of_one_namespace_are_not_added_up() {
    let one = TcpCounts { retransmits: Some(5), listen_drops: None, ..TcpCounts::default() };
    let other = TcpCounts { retransmits: Some(3), listen_drops: Some(0), ..TcpCounts::default() };
    assert_eq!(one.max(other), TcpCounts { retransmits: Some(5), listen_drops: Some(0), ..TcpCounts::default() });
}
