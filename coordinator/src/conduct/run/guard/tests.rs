//! What stops a burst, and what does not yet.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use voteburst_burst::clock::{FleetTime, Offset};
use voteburst_burst::expect::Stopped;
use voteburst_burst::outcome::Failure;
use voteburst_burst::plan::Plan;
use voteburst_burst::scenario::Scenario;
use voteburst_burst::tally::Tally;
use voteburst_proto::convert::Sealed;
use voteburst_proto::message::Snapshot;

use super::{Guard, Times};

fn plan(lines: &[&str]) -> Plan {
    let limits: String = lines.iter().map(|line| format!("[[thresholds.limits]]\nexpect = \"{line}\"\nabort = true\n")).collect();
    let text = include_str!("../../../../../scenarios/smoke.toml").replace("[stage]", &format!("{limits}[stage]"));
    Plan::new(Scenario::parse(&text, "smoke.toml", &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap())
}

fn front(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

/// An agent that had so many votes accepted, and so many refused, at one proxy.
fn agent(agent: u32, accepted: u32, refused: u32) -> Sealed {
    let mut tally = Tally::default();
    let index = tally.index(front(1));
    (0..accepted).for_each(|_| tally.proxy(index).response.record_ns(20_000_000));
    let second = tally.proxy(index).second(3);
    (second.opened, second.sent, second.ended, second.accepted) = (40, accepted + refused, accepted + refused, accepted);
    second.failed[Failure::Status5xx as usize] = refused;
    let snapshot = Snapshot {
        run: 1,
        agent,
        incarnation: 1,
        seq: 1,
        last: false,
        tally,
        ended: accepted + refused,
        connected: 40,
        connected_at_t0: Some(40),
        first_send_lateness_ns: None,
        offset: Offset { nanos: 0, bound_ns: 1 },
        cpu: Duration::ZERO,
        memory_bytes: 0,
        warnings: Vec::new(),
        watched: None,
        fates: Vec::new(),
    };
    Sealed::new(&snapshot).unwrap()
}

/// Lets this many ticks of a tenth of a second go by, in each of which agents report; what stopped the burst, and at which tick.
fn watch(lines: &[&str], ticks: u32, snapshots: impl Fn(u32) -> Vec<Sealed>) -> Option<(u32, Stopped)> {
    let newer = |mut snapshot: Sealed, tick: u32| {
        snapshot.seq += u64::from(tick);
        snapshot
    };
    watch_reports(lines, ticks, |tick| snapshots(tick).into_iter().map(|snapshot| newer(snapshot, tick)).collect())
}

/// The same with the snapshots' own numbers.
fn watch_reports(lines: &[&str], ticks: u32, snapshots: impl Fn(u32) -> Vec<Sealed>) -> Option<(u32, Stopped)> {
    let plan = plan(lines);
    let mut guard = Guard::new(&plan, vec![front(1), front(2)]).expect("the scenario has limits that stop it");
    let t0 = FleetTime(5_000_000_000);
    (0..ticks).find_map(|tick| {
        let times = Times { now: t0.after(Duration::from_millis(100) * tick), t0, t0_second: 0 };
        guard.tick(&plan, times, snapshots(tick).iter(), |_| 50).map(|stopped| (tick, stopped))
    })
}

#[test]
fn a_limit_stops_the_burst_when_it_is_broken_at_two_looks_in_a_row() {
    let (tick, stopped) = watch(&["failures < 5 %"], 40, |_| vec![agent(0, 90, 10)]).expect("ten of a hundred failed");
    assert_eq!((tick, stopped.t_s, stopped.measured.as_str()), (10, 1.0, "10.000 %"));
    assert_eq!(stopped.limit, "failures < 5 %");
}

#[test]
fn one_snapshot_that_two_looks_see_stops_nothing() {
    assert_eq!(watch_reports(&["failures < 5 %"], 60, |_| vec![agent(0, 90, 10)]), None);
}

#[test]
fn one_bad_look_between_good_ones_stops_nothing() {
    let snapshots = |tick| vec![if (10..20).contains(&tick) { agent(0, 90, 10) } else { agent(0, 100, 1) }];
    assert_eq!(watch(&["failures < 5 %"], 60, snapshots), None);
}

#[test]
fn a_handful_of_failures_stops_nothing_however_bad() {
    assert_eq!(watch(&["failures < 5 %", "response.p50 < 1ms"], 60, |_| vec![agent(0, 9, 90)]), None);
    assert!(watch(&["failures < 5 %"], 60, |_| vec![agent(0, 10, 90)]).is_some());
}

#[test]
fn agents_are_added_up_and_a_look_at_many_takes_several_ticks() {
    let snapshots = |_| (0..20).map(|number| agent(number, 9, 1)).collect();
    let (tick, stopped) = watch(&["failures < 5 %"], 60, snapshots).expect("20 of 200 failed");
    // Seven agents a tick: the first look ends at the third tick, the second begins a second after the first began.
    assert_eq!((tick, stopped.measured.as_str()), (12, "10.000 %"));
}

#[test]
fn viewers_connected_proxies_and_complaints_are_held_against_their_limits() {
    for (line, measured) in [
        ("connected >= 99 %", "80.000 %"),
        ("peak_open < 40 per proxy", "40 at 127.0.0.1"),
        // All went to one of the two proxies of the zone.
        ("skew_connections.total < 1.5", "2.00 × the even share"),
        ("response.max < 1s", "beyond every bound"),
    ] {
        let (_, stopped) = watch(&[line], 60, |_| vec![agent(0, 100, 30)]).unwrap_or_else(|| panic!("{line} stopped nothing"));
        assert_eq!((stopped.limit.as_str(), stopped.measured.as_str()), (line, measured));
    }
}

#[test]
fn a_scenario_that_stops_for_nothing_has_no_guard() {
    assert!(Guard::new(&plan(&[]), Vec::new()).is_none());
}
