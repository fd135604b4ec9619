//! Everything that is said survives the wire, and everything hostile is refused with its class.

#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside of test functions")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use proptest::prelude::*;
use prost::Message as _;
use voteburst_burst::clock::{FleetTime, Offset};
use voteburst_burst::generator::{MachineTime, Stall, Stalls, TcpCounts, Usage, Watched};
use voteburst_burst::outcome::{Failure, Fate};
use voteburst_burst::tally::{Asker, LookupFailure, Lookups, MOST_SECONDS, ProxyTally, Tally};
use voteburst_proto::convert::{MOST_PROXIES, WireProblem};
use voteburst_proto::message::{Check, CheckStatus, Join, Progress, Ready, Share, Snapshot, Welcome};
use voteburst_proto::{FromAgent, FromCoordinator, wire};

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0_u8..8).prop_map(|last| Ipv4Addr::new(127, 0, 0, last).into()),
        any::<u128>().prop_map(|bits| Ipv6Addr::from(bits).into())
    ]
}

fn proxy() -> impl Strategy<Value = ProxyTally> {
    let count = (0_u32..200, 0..Failure::COUNT, any::<u32>(), any::<u32>(), 0_u64..700_000_000_000);
    proptest::collection::vec(count, 0..12).prop_map(|counts| {
        let mut proxy = ProxyTally::default();
        for (second, class, opened, accepted, nanos) in counts {
            let cell = proxy.second(second);
            (cell.opened, cell.accepted, cell.failed[class]) = (opened, accepted, opened ^ accepted);
            (cell.closed, cell.closed_idle, cell.dns_answers) = (opened / 2, opened / 3, accepted / 2);
            (cell.sent, cell.ended, cell.also_rans) = (accepted, accepted / 5, opened / 7);
            proxy.response.record_ns(nanos);
            proxy.lateness.record_ns(nanos / 7);
        }
        proxy
    })
}

fn lookups() -> impl Strategy<Value = Lookups> {
    let event = (0_u8..4, 0_u16..10_000, any::<u8>(), address(), 0_u32..400);
    proptest::collection::vec(event, 0..30).prop_map(|events| {
        let mut lookups = Lookups::default();
        for (what, carrier, phone, address, number) in events {
            let asker = Asker { carrier, phone };
            match what {
                0 => lookups.answered(asker, address, u64::from(number) * 1_000_000),
                1 => lookups.remembered(asker),
                2 => lookups.failed(asker, LookupFailure::ALL[number as usize % LookupFailure::COUNT]),
                _ => lookups.led_to(asker, address, number),
            }
        }
        lookups
    })
}

fn usage() -> impl Strategy<Value = Usage> {
    let us = any::<Option<u64>>;
    (any::<u64>(), us(), us(), us(), any::<Option<(u64, u64, u64)>>()).prop_map(
        |(span_us, process_us, viewers_us, waited_us, machine)| {
            let machine = machine.map(|(busy_us, idle_us, stolen_us)| MachineTime { busy_us, idle_us, stolen_us });
            Usage { span_us, process_us, viewers_us, waited_us, machine }
        },
    )
}

fn watched() -> impl Strategy<Value = Watched> {
    let stalls = proptest::collection::vec((0_u64..100_000_000, any::<u64>(), any::<u64>()), 0..60);
    let counts = any::<[Option<u64>; 4]>().prop_map(|[retransmits, syn_retransmits, listen_overflows, listen_drops]| TcpCounts {
        retransmits,
        syn_retransmits,
        listen_overflows,
        listen_drops,
    });
    let busiest = proptest::option::of((any::<u32>(), usage()));
    let own = any::<(Option<u64>, u64, u64)>();
    (stalls, usage(), busiest, counts, own).prop_map(
        |(each, usage, busiest, tcp, (memory_peak_bytes, local_limits, not_allowed))| {
            let mut stalls = Stalls::default();
            each.into_iter().for_each(|(at_us, length_us, on_cpu_us)| stalls.add(Stall { at_us, length_us, on_cpu_us }));
            Watched { stalls, usage, busiest, tcp, memory_peak_bytes, local_limits, not_allowed }
        },
    )
}

fn tally() -> impl Strategy<Value = Tally> {
    let late = proptest::collection::vec((0_u32..2 * MOST_SECONDS, any::<u64>()), 0..30);
    let parts = (proptest::collection::vec((address(), proxy()), 0..6), proxy(), lookups(), late);
    parts.prop_map(|(proxies, unplaced, lookups, late)| {
        let mut tally = Tally::default();
        late.into_iter().for_each(|(second, nanos)| tally.late.record_ns(second, nanos));
        for (address, proxy) in proxies {
            let index = tally.index(address);
            tally.proxy(index).merge(&proxy);
        }
        tally.unplaced = unplaced;
        tally.lookups = lookups;
        tally
    })
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    proptest::collection::vec((0_u8..4).prop_map(|number| Fate::from_number(number).unwrap()), 0..50)
}

prop_compose! {
    fn snapshot()(
        (run, incarnation, seq, agent) in any::<(u64, u64, u64, u32)>(),
        (last, ended, connected, connected_at_t0, first_send_lateness_ns) in any::<(bool, u32, u32, Option<u32>, Option<u64>)>(),
        (nanos, bound_ns, cpu_us, memory_bytes) in (any::<i64>(), 0..i64::MAX, any::<u64>(), any::<u64>()),
        (tally, fates) in (tally(), fates()),
        warnings in proptest::collection::vec(".{0,20}", 0..3),
        watched in proptest::option::of(watched()),
    ) -> Snapshot {
        let (offset, cpu) = (Offset { nanos, bound_ns }, Duration::from_micros(cpu_us));
        Snapshot { run, agent, incarnation, seq, last, tally, ended, connected, connected_at_t0, first_send_lateness_ns, offset, cpu, memory_bytes, warnings, watched, fates }
    }
}

/// The domain's message after its way over the wire, bytes included.
fn agent_says(message: FromAgent) -> Result<FromAgent, WireProblem> {
    let bytes = wire::AgentMessage::from(message).encode_to_vec();
    wire::AgentMessage::decode(bytes.as_slice()).unwrap().try_into()
}

fn coordinator_says(message: FromCoordinator) -> Result<FromCoordinator, WireProblem> {
    let bytes = wire::CoordinatorMessage::from(message).encode_to_vec();
    wire::CoordinatorMessage::decode(bytes.as_slice()).unwrap().try_into()
}

/// Tallies list their proxies in the order in which they were met, which the wire does not keep.
fn same(a: &Snapshot, b: &Snapshot) -> bool {
    let rest = |snapshot: &Snapshot| Snapshot { tally: Tally::default(), ..snapshot.clone() };
    let counted = a.tally.proxies() == b.tally.proxies() && a.tally.unplaced == b.tally.unplaced;
    rest(a) == rest(b) && counted && a.tally.lookups == b.tally.lookups && a.tally.late == b.tally.late
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_snapshot_survives_the_wire(before in snapshot()) {
        let FromAgent::Snapshot(after) = agent_says(FromAgent::Snapshot(Box::new(before.clone()))).unwrap() else { panic!("no snapshot") };
        prop_assert!(same(&before, &after));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(message) = wire::AgentMessage::decode(bytes.as_slice()) {
            let _ = FromAgent::try_from(message);
        }
        if let Ok(message) = wire::CoordinatorMessage::decode(bytes.as_slice()) {
            let _ = FromCoordinator::try_from(message);
        }
    }

    #[test]
    fn a_snapshot_with_a_byte_turned_over_is_refused_or_read_but_never_panics(before in snapshot(), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let mut bytes = wire::AgentMessage::from(FromAgent::Snapshot(Box::new(before))).encode_to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(message) = wire::AgentMessage::decode(bytes.as_slice()) {
            let _ = FromAgent::try_from(message);
        }
    }
}

#[test]
fn every_word_of_an_agent_survives_the_wire() {
    let check = |status| Check {
        what: "open files".into(),
        found: "1024".into(),
        needed: "5512".into(),
        fix: "ulimit -n 5512".into(),
        effect: "holds at most 512 viewers".into(),
        status,
    };
    let join = Join {
        protocol: 1,
        version: "0.1.0".into(),
        host: "host".into(),
        pid: 7,
        incarnation: u64::MAX,
        token: Some("secret".into()),
        allowed: vec!["127.0.0.0/8".into()],
    };
    for message in [
        FromAgent::Join(join.clone()),
        FromAgent::Join(Join { token: None, ..join }),
        FromAgent::Planned { plan_hash: "ab".repeat(32) },
        FromAgent::Preflight { checks: [CheckStatus::Good, CheckStatus::Warning, CheckStatus::Bad].map(check).to_vec() },
        FromAgent::Progress(Progress { connected: 1, tried: 2 }),
        FromAgent::Ready(Ready { connected: 3, failed: 4 }),
        FromAgent::Armed { offset: Offset { nanos: -5, bound_ns: 6 } },
        FromAgent::Failed { reason: "the worker died".into() },
    ] {
        assert_eq!(agent_says(message.clone()), Ok(message));
    }
}

fn share() -> Share {
    Share {
        scenario: "name = \"x\"".into(),
        plan_hash: "cd".repeat(32),
        viewers: 10..25,
        carriers: vec!["127.0.0.1:53".parse().unwrap(), "[::1]:5353".parse().unwrap()],
        recursion_desired: true,
        port: 8080,
        sources: vec!["127.1.2.3".parse().unwrap()],
        slot: 3,
        authority: vec![0x30, 0x82],
    }
}

#[test]
fn every_word_of_a_coordinator_survives_the_wire() {
    for message in [
        FromCoordinator::Welcome(Welcome { agent: 2, run: 9, report_every: Duration::from_millis(250) }),
        FromCoordinator::Share(share()),
        FromCoordinator::OpenDoors { at: FleetTime(-1) },
        FromCoordinator::Arm,
        FromCoordinator::Commit { t0: FleetTime(i64::MAX) },
        FromCoordinator::Abort { reason: "no".into() },
        FromCoordinator::Drain,
        FromCoordinator::Bye,
        FromCoordinator::Refused { reason: "why".into(), for_now: true },
    ] {
        assert_eq!(coordinator_says(message.clone()), Ok(message));
    }
}

#[test]
fn a_join_never_shows_its_token_in_debug_output() {
    let join = Join {
        protocol: 1,
        version: String::new(),
        host: String::new(),
        pid: 0,
        incarnation: 0,
        token: Some("canary-4711".into()),
        allowed: Vec::new(),
    };
    assert!(!format!("{join:?}").contains("canary"));
}

fn wire_snapshot() -> wire::Snapshot {
    wire::Snapshot { offset: Some(wire::Offset { nanos: 0, bound_ns: 1 }), ..Default::default() }
}

fn proxy_bytes(proxy: wire::ProxyTally) -> Vec<u8> {
    proxy.encode_to_vec()
}

#[test]
fn hostile_snapshots_are_refused_with_their_class() {
    let home = vec![127, 0, 0, 1];
    let with_seconds =
        |seconds| proxy_bytes(wire::ProxyTally { address: home.clone(), seconds: Some(seconds), ..Default::default() });
    let named = proxy_bytes(wire::ProxyTally { address: home.clone(), ..Default::default() });
    let too_large = |what, found, most| WireProblem::TooLarge { what, found, most };
    let seconds = u64::from(MOST_SECONDS);
    let cases: Vec<(wire::Snapshot, WireProblem)> = vec![
        (wire::Snapshot { offset: None, ..wire_snapshot() }, WireProblem::Missing("offset of clocks")),
        (
            wire::Snapshot { offset: Some(wire::Offset { nanos: 0, bound_ns: -1 }), ..wire_snapshot() },
            WireProblem::Malformed { what: "the bound of an offset", found: "-1".into(), needed: "no negative number" },
        ),
        (
            wire::Snapshot { fates: vec![0, 3, 4], ..wire_snapshot() },
            WireProblem::Malformed { what: "the fate of a ticket", found: "4".into(), needed: "a number from 0 to 3" },
        ),
        (
            wire::Snapshot { proxies: vec![Vec::new(); MOST_PROXIES + 1], ..wire_snapshot() },
            too_large("number of proxies in a snapshot", MOST_PROXIES as u64 + 1, MOST_PROXIES as u64),
        ),
        (wire::Snapshot { proxies: vec![named.clone(), named], ..wire_snapshot() }, WireProblem::Twice([127, 0, 0, 1].into())),
        (
            wire::Snapshot { proxies: vec![Vec::new()], ..wire_snapshot() },
            WireProblem::Malformed { what: "the address of a proxy", found: "0 bytes".into(), needed: "4 or 16 bytes" },
        ),
        (
            wire::Snapshot {
                proxies: vec![with_seconds(wire::Seconds { count: u32::MAX, ..Default::default() })],
                ..wire_snapshot()
            },
            too_large("number of seconds of a proxy", u64::from(u32::MAX), seconds),
        ),
        (
            wire::Snapshot {
                proxies: vec![with_seconds(wire::Seconds { count: 1, sent: vec![1, 2], ..Default::default() })],
                ..wire_snapshot()
            },
            too_large("length of a column of seconds", 2, 1),
        ),
        (
            wire::Snapshot {
                proxies: vec![with_seconds(wire::Seconds {
                    count: 1,
                    failed: vec![0; Failure::COUNT + 1],
                    ..Default::default()
                })],
                ..wire_snapshot()
            },
            too_large("length of the failures of all seconds", Failure::COUNT as u64 + 1, Failure::COUNT as u64),
        ),
    ];
    for (snapshot, problem) in cases {
        let message = wire::AgentMessage { body: Some(wire::agent_message::Body::Snapshot(Box::new(snapshot))) };
        assert_eq!(FromAgent::try_from(message), Err(problem));
    }
    let undecodable = wire::Snapshot { proxies: vec![vec![0xff]], ..wire_snapshot() };
    let message = wire::AgentMessage { body: Some(wire::agent_message::Body::Snapshot(Box::new(undecodable))) };
    assert!(matches!(FromAgent::try_from(message), Err(WireProblem::Undecodable(_))));
}

#[test]
fn hostile_lookups_are_refused_with_their_class() {
    let group = |spoil: fn(&mut wire::LookupGroup)| {
        let mut group = wire::LookupGroup { addresses: vec![1; 32], seconds: 2, ..Default::default() };
        spoil(&mut group);
        vec![group.encode_to_vec()]
    };
    let carriers = |carriers| wire::Lookups { carriers, ..Default::default() };
    let phones = |phones| wire::Lookups { phones, ..Default::default() };
    let number = |found: &str| WireProblem::Malformed {
        what: "the number of a carrier or kind of phone",
        found: found.into(),
        needed: "each number of the scenario once",
    };
    let too_large = |what, found, most| WireProblem::TooLarge { what, found, most };
    let same = group(|_| {});
    let cases = [
        (carriers(vec![Vec::new(); 10_001]), too_large("number of carriers in a snapshot", 10_001, 10_000)),
        (phones(vec![Vec::new(); 257]), too_large("number of kinds of phones in a snapshot", 257, 256)),
        (
            wire::Lookups { failures: vec![0; LookupFailure::COUNT + 1], ..Default::default() },
            too_large("number of classes of failed lookups", LookupFailure::COUNT as u64 + 1, LookupFailure::COUNT as u64),
        ),
        (carriers(group(|group| group.index = 65_536)), number("65536")),
        (phones(group(|group| group.index = 256)), number("256")),
        (carriers([same.clone(), same.clone()].concat()), number("0")),
        (phones([same.clone(), same].concat()), number("0")),
        (
            carriers(group(|group| group.addresses.truncate(31))),
            WireProblem::Malformed {
                what: "the addresses of a carrier or kind of phone",
                found: "31 bytes".into(),
                needed: "16 bytes each",
            },
        ),
        (
            carriers(group(|group| group.addresses = vec![0; 16 * (MOST_PROXIES + 1)])),
            too_large("number of addresses of a carrier or kind of phone", MOST_PROXIES as u64 + 1, MOST_PROXIES as u64),
        ),
        (
            phones(group(|group| group.seconds = u32::MAX)),
            too_large("number of seconds of a kind of phone", u64::from(u32::MAX), u64::from(MOST_SECONDS)),
        ),
        (
            phones(group(|group| (group.addresses, group.seconds) = (vec![0; 16 * MOST_PROXIES], MOST_SECONDS))),
            too_large("number of counts of a kind of phone", MOST_PROXIES as u64 * u64::from(MOST_SECONDS), 1 << 20),
        ),
        (carriers(group(|group| group.answers = vec![1; 3])), too_large("number of counts of answers", 3, 2)),
        (carriers(group(|group| group.led_to = vec![1; 3])), too_large("number of counts of connections", 3, 2)),
        (phones(group(|group| group.opened = vec![1; 5])), too_large("number of counts by second", 5, 4)),
    ];
    for (lookups, problem) in cases {
        let snapshot = wire::Snapshot { lookups: Some(lookups), ..wire_snapshot() };
        let message = wire::AgentMessage { body: Some(wire::agent_message::Body::Snapshot(Box::new(snapshot))) };
        assert_eq!(FromAgent::try_from(message), Err(problem));
    }
}

#[test]
fn a_fleet_of_ten_thousand_carriers_takes_a_megabyte_at_most() {
    let mut lookups = Lookups::default();
    for carrier in 0..10_000 {
        let asker = Asker { carrier, phone: 0 };
        // What 20,000 viewers behind them may have met.
        for last in [carrier % 15, carrier % 7] {
            let address = IpAddr::from([127, 0, 0, u8::try_from(last).unwrap()]);
            lookups.answered(asker, address, 1_000_000);
            lookups.led_to(asker, address, u32::from(carrier) % 60);
        }
    }
    let empty = wire::AgentMessage { body: Some(wire::agent_message::Body::Snapshot(Box::new(wire_snapshot()))) };
    let Ok(FromAgent::Snapshot(mut snapshot)) = FromAgent::try_from(empty) else { panic!("no snapshot") };
    snapshot.tally.lookups = lookups;
    let bytes = wire::AgentMessage::from(FromAgent::Snapshot(snapshot)).encoded_len();
    assert!(bytes < 1 << 20, "{bytes}");
}

#[test]
fn shares_that_make_no_sense_are_refused_with_the_field_named() {
    type Spoil = fn(&mut wire::Share);
    let cases: [(Spoil, &str); 6] = [
        (|share| share.port = 0, "the target's port"),
        (|share| share.port = 65_536, "the target's port"),
        (|share| share.end_viewer = 3, "the viewers of a share"),
        (|share| share.carriers.push("resolver".into()), "a carrier"),
        (|share| share.sources.push("127.0.0.1:1".into()), "a source address"),
        (|share| share.plan_hash = "f".repeat(1 << 20), "the plan's hash"),
    ];
    for (spoil, field) in cases {
        let mut message = wire::Share::from(share());
        spoil(&mut message);
        let message = wire::CoordinatorMessage { body: Some(wire::coordinator_message::Body::Share(message)) };
        let problem = FromCoordinator::try_from(message).unwrap_err();
        assert!(problem.to_string().starts_with(field), "{problem}");
    }
}

#[test]
fn empty_messages_are_refused() {
    assert_eq!(FromAgent::try_from(wire::AgentMessage { body: None }), Err(WireProblem::Missing("body")));
    assert_eq!(FromCoordinator::try_from(wire::CoordinatorMessage { body: None }), Err(WireProblem::Missing("body")));
    let body =
        wire::agent_message::Body::Preflight(wire::Preflight { checks: vec![wire::Check { status: 99, ..Default::default() }] });
    let unknown_status = wire::AgentMessage { body: Some(body) };
    assert_eq!(FromAgent::try_from(unknown_status), Err(WireProblem::Missing("status of a check")));
}
