//! Live values as tables: what is added up, and when.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use voteburst_burst::tally::{Asker, Latency, Tally};
use voteburst_proto::message::Snapshot;

use super::*;

const MS: u64 = 1_000_000;

fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

/// An agent with three connections at proxy 1, one of them closed, and one refused at proxy 2.
fn sealed(agent: u32) -> Sealed {
    let mut tally = Tally::default();
    let (one, two) = (tally.index(address(1)), tally.index(address(2)));
    let second = tally.proxy(one).second(4);
    (second.opened, second.closed, second.dns_answers, second.sent, second.accepted) = (3, 1, 2, 5, 4);
    second.failed[Failure::Status5xx as usize] = 1;
    tally.proxy(two).second(9).failed[Failure::Refused as usize] = 1;
    for millis in [1, 2, 30, 400] {
        tally.proxy(one).response.record_ns(millis * MS);
        tally.proxy(one).response_by_second.record_ns(4, millis * MS);
    }
    tally.proxy(one).lateness.record_ns(2 * MS);
    tally.unplaced.lateness.record_ns(3 * MS);
    tally.late.record_ns(4, 2 * MS);
    tally.lookups.answered(Asker { carrier: 0, phone: 0 }, address(1), MS);
    tally.lookups.remembered(Asker { carrier: 0, phone: 0 });
    let snapshot = Snapshot {
        run: 1,
        agent,
        incarnation: 1,
        seq: 1,
        last: false,
        tally,
        ended: 4,
        connected: 2,
        connected_at_t0: Some(2),
        first_send_lateness_ns: None,
        offset: Offset { nanos: -1_500_000, bound_ns: 40_000 },
        cpu: Duration::ZERO,
        memory_bytes: 0,
        warnings: vec![format!("agent {agent} is warm")],
        watched: None,
        fates: Vec::new(),
    };
    Sealed::new(&snapshot).unwrap()
}

fn member(newest: &Sealed, state: AgentState) -> Member<'_> {
    Member { id: newest.agent, host: "there", pid: 7, state, viewers: 3, connected: 99, newest: Some(newest), armed: None }
}

fn fixed() -> Fixed {
    Fixed { limit: Some(30), fronts: vec![address(3)], planned_by: vec![4, 9, 10], ..Fixed::default() }
}

const DOORS: Moment = Moment { phase: Phase::Doors, second: None, t0_second: None };

fn burst(second: i64) -> Moment {
    Moment { phase: Phase::Burst, second: Some(second), t0_second: Some(3) }
}

fn decoded(snapshots: &[Sealed]) -> Decoded {
    let mut rounds = Rounds::default();
    rounds.all(snapshots.iter());
    rounds.done().clone()
}

#[test]
fn counts_of_all_agents_add_up_and_proxies_without_any_are_shown_too() {
    let snapshots = [sealed(0), sealed(1)];
    let members: Vec<_> = snapshots.iter().map(|snapshot| member(snapshot, AgentState::Armed)).collect();
    let live = Live::of(&fixed(), burst(2), &members, &decoded(&snapshots));
    assert_eq!((live.sent, live.accepted, live.failed, live.ended, live.connected), (10, 8, 4, 8, 4));
    assert_eq!((live.outcomes["accepted"], live.outcomes["status-5xx"], live.outcomes["refused"]), (8, 2, 2));
    assert_eq!((live.outcomes["no-answer"], live.outcomes.len()), (0, Failure::COUNT + 1));
    let shown = |proxy: &LiveProxy| (proxy.address.clone(), proxy.open, proxy.connections, proxy.refused, proxy.limit);
    assert_eq!(
        live.proxies.iter().map(shown).collect::<Vec<_>>(),
        [
            ("127.0.0.1".into(), 4, 6, 0, Some(30)),
            ("127.0.0.2".into(), 0, 0, 2, Some(30)),
            ("127.0.0.3".into(), 0, 0, 0, Some(30))
        ]
    );
    assert_eq!((live.dns.queries, live.dns.remembered, live.dns.answers), (2, 2, 4));
    assert_eq!(live.dns.by_address, BTreeMap::from([("127.0.0.1".to_owned(), 4)]));
    assert_eq!((live.proxies[0].response.count, live.response.count, live.lateness.count), (8, 8, 4));
    // Second 4 of the open doors is second 1 of the burst; 1, 2, 30 and 400 ms lie in bands apart.
    assert_eq!(live.heat.cells.iter().map(|(t, _, votes)| (*t, *votes)).collect::<Vec<_>>(), [(1, 2); 4]);
    let before = Live::of(&fixed(), DOORS, &members, &decoded(&snapshots));
    assert_eq!(before.heat, HeatLive::default(), "nobody knows where T0 lies");
}

#[test]
fn an_agent_shows_its_clock_its_lateness_and_what_it_warns_of() {
    let snapshots = [sealed(0)];
    let live = Live::of(&fixed(), burst(0), &[member(&snapshots[0], AgentState::Armed)], &decoded(&snapshots));
    let agent = &live.agents[0];
    assert_eq!((agent.offset_ms, agent.bound_ms, agent.connected), (Some(-1.5), Some(0.04), 2));
    assert_eq!(agent.lateness_p99_ms, Some(2.047));
    assert_eq!(agent.warnings, ["agent 0 is warm"]);
}

#[test]
fn a_lost_agents_connections_are_not_open_but_what_it_counted_stays() {
    let snapshots = [sealed(0), sealed(1)];
    let members = [member(&snapshots[0], AgentState::Lost), member(&snapshots[1], AgentState::Armed)];
    let live = Live::of(&fixed(), burst(0), &members, &Decoded::default());
    assert_eq!((live.connected, live.sent), (2, 10));
    assert_eq!((live.proxies[0].open, live.proxies[0].connections), (2, 6));
}

#[test]
fn before_snapshots_come_agents_tell_how_many_are_connected() {
    let waiting = Member { connected: 12, viewers: 20, state: AgentState::Fit, ..Member::default() };
    let live = Live::of(&fixed(), DOORS, &[waiting], &Decoded::default());
    assert_eq!((live.connected, live.planned, live.planned_total, live.length_s), (12, 0, 10, 3));
    assert_eq!(live.agents[0].offset_ms, None);
}

#[test]
fn connections_beyond_counting_that_agents_claim_are_as_many_as_can_be_counted() {
    let boaster = || Member { connected: u32::MAX, state: AgentState::Fit, ..Member::default() };
    let live = Live::of(&fixed(), DOORS, &[boaster(), boaster()], &Decoded::default());
    assert_eq!(live.connected, u32::MAX);
}

#[test]
fn votes_planned_count_to_the_end_of_each_whole_second() {
    for (second, planned) in [(-3, 0), (0, 0), (1, 4), (2, 9), (3, 10), (500, 10)] {
        assert_eq!(planned_until(&[4, 9, 10], second), planned, "second {second}");
    }
    assert_eq!(planned_until(&[], 5), 0);
}

#[test]
fn buckets_hold_all_values_up_to_their_bound() {
    let mut latency = Latency::new();
    for micros in [1_000, 1_001, 5_000, 999_000, 20_000_000] {
        latency.record_ns(micros * 1_000);
    }
    let live = LatencyLive::of(&latency);
    let counts: Vec<_> = live.buckets.iter().map(|(_, count)| *count).collect();
    assert_eq!(counts, [1, 2, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4]);
    assert_eq!(live.count, 5);
    assert!((live.sum_s - 21.006).abs() < 0.03, "{}", live.sum_s);
    assert_eq!(LatencyLive::of(&Latency::new()), LatencyLive::default());
}

#[test]
fn a_round_takes_a_few_agents_at_each_tick_and_shows_nothing_before_it_has_all() {
    let snapshots: Vec<_> = (0..20).map(sealed).collect();
    let mut rounds = Rounds::default();
    rounds.tick(snapshots.iter());
    assert_eq!(rounds.done().response.count, 0, "no round was begun");
    rounds.begin();
    let counts: Vec<_> = (0..4)
        .map(|_| {
            rounds.tick(snapshots.iter());
            rounds.done().response.count
        })
        .collect();
    assert_eq!(counts, [0, 0, 80, 80]);
    assert_eq!(rounds.done().warnings.len(), 20);
}

#[test]
fn a_value_is_due_each_second_and_at_each_change_of_phase_while_somebody_listens() {
    let (to, listener) = watch::channel(Arc::new(Live::default()));
    let mut outlet = Outlet::new(Watch { to, fronts: vec![address(1)] }, Fixed::default());
    let millis = |millis: i64| FleetTime(millis * 1_000_000);
    for (at, phase, due) in [
        (0, Phase::Gathering, true),
        (999, Phase::Gathering, false),
        (1_000, Phase::Gathering, true),
        (1_100, Phase::Planning, true),
        (1_200, Phase::Planning, false),
    ] {
        assert_eq!(outlet.tick(phase, millis(at), std::iter::empty()), due, "at {at} ms in {phase}");
        if due {
            outlet.send(millis(at), Moment::new(phase, millis(at), Some(millis(2_500)), None), &[]);
        }
    }
    assert_eq!((listener.borrow().phase, listener.borrow().second), (Phase::Planning, Some(-2)));
    assert_eq!(listener.borrow().proxies.len(), 1);
    drop(listener);
    assert!(!outlet.tick(Phase::Doors, millis(9_000), std::iter::empty()), "nobody listens");
}

#[test]
fn the_last_value_of_a_run_holds_every_histogram() {
    let (to, listener) = watch::channel(Arc::new(Live::default()));
    let mut outlet = Outlet::new(Watch { to, fronts: Vec::new() }, Fixed::default());
    let snapshot = sealed(0);
    outlet.send(FleetTime(0), Moment { phase: Phase::Done, ..Moment::default() }, &[member(&snapshot, AgentState::Done)]);
    assert_eq!(listener.borrow().response.count, 4);
}
