//! What agents say of themselves: refused when it is hostile, small when it is not.

use prost::Message as _;
use voteburst_burst::generator::{MOST_LISTED, Stall, Stalls, Usage, Watched};
use voteburst_burst::tally::{LATE_PLACES, LateSeconds, MOST_SECONDS, RESPONSE_PLACES, Tally};
use voteburst_proto::convert::{Heard, Sealed, WireProblem};
use voteburst_proto::wire::{self, agent_message::Body};

fn snapshot() -> wire::Snapshot {
    wire::Snapshot { offset: Some(wire::Offset { nanos: 0, bound_ns: 1 }), ..Default::default() }
}

fn heard(snapshot: wire::Snapshot) -> Result<Sealed, WireProblem> {
    let message = wire::AgentMessage { body: Some(Body::Snapshot(Box::new(snapshot))) };
    Heard::try_from(message).map(|heard| match heard {
        Heard::Snapshot(sealed) => *sealed,
        Heard::Word(word) => panic!("{word:?}"),
    })
}

#[test]
fn hostile_words_of_an_agent_about_itself_are_refused_with_their_class() {
    let watched = |watched| wire::Snapshot { watched: Some(watched), ..snapshot() };
    let stalls = |stalls| watched(wire::Watched { stalls: Some(stalls), ..Default::default() });
    let late = |late| wire::Snapshot { late: Some(late), ..snapshot() };
    let too_large = |what, found, most| WireProblem::TooLarge { what, found, most };
    let uneven = |what, found, needed| WireProblem::Uneven { what, found, needed };
    let (seconds, places) = (MOST_SECONDS as usize, LATE_PLACES as u64);
    let stall = wire::Stalls { at_us: vec![1], length_us: vec![1], worked_us: vec![1], ..Default::default() };
    let cases = [
        (
            stalls(wire::Stalls { at_us: vec![0; MOST_LISTED + 2], ..Default::default() }),
            too_large("number of stalls listed", MOST_LISTED as u64 + 2, MOST_LISTED as u64 + 1),
        ),
        (stalls(wire::Stalls { worked_us: Vec::new(), ..stall.clone() }), uneven("columns of stalls", 0, 1)),
        (stalls(wire::Stalls { length_us: vec![1; 9], ..stall }), uneven("columns of stalls", 9, 1)),
        (
            stalls(wire::Stalls { second: vec![0; seconds + 1], ..Default::default() }),
            too_large("number of seconds with stalls", seconds as u64 + 1, seconds as u64),
        ),
        (
            stalls(wire::Stalls { second: vec![3], count: vec![1], ..Default::default() }),
            uneven("columns of seconds with stalls", 0, 1),
        ),
        (
            stalls(wire::Stalls { second: vec![MOST_SECONDS], count: vec![1], longest_us: vec![1], ..Default::default() }),
            too_large("second of a stall", seconds as u64, seconds as u64 - 1),
        ),
        (
            watched(wire::Watched { busiest_second: Some(1), ..Default::default() }),
            WireProblem::Missing("usage of the busiest second"),
        ),
        (
            watched(wire::Watched { busiest: Some(wire::Usage::default()), ..Default::default() }),
            WireProblem::Missing("number of the busiest second"),
        ),
        (
            watched(wire::Watched { usage: Some(wire::Usage { idle_us: Some(1), ..Default::default() }), ..Default::default() }),
            WireProblem::Missing("part of the machine's time"),
        ),
        (
            late(wire::LateSeconds { first: u32::MAX, held: vec![0], ..Default::default() }),
            too_large("first second of lateness", u64::from(u32::MAX), seconds as u64),
        ),
        (
            late(wire::LateSeconds { first: 10, held: vec![0; seconds], ..Default::default() }),
            too_large("number of seconds of lateness", seconds as u64, seconds as u64 - 10),
        ),
        (
            late(wire::LateSeconds { held: vec![u32::MAX], ..Default::default() }),
            too_large("number of places of a second", u64::from(u32::MAX), places),
        ),
        (
            late(wire::LateSeconds { held: vec![1], place: vec![LATE_PLACES as u32], count: vec![1], ..Default::default() }),
            too_large("place of a lateness", places, places - 1),
        ),
        (
            late(wire::LateSeconds { held: vec![2], place: vec![0], count: vec![1], ..Default::default() }),
            uneven("places of lateness", 1, 2),
        ),
        (late(wire::LateSeconds { place: vec![0; 70], ..Default::default() }), uneven("places of lateness", 70, 0)),
    ];
    for (snapshot, problem) in cases {
        assert_eq!(heard(snapshot).unwrap_err(), problem);
    }
}

#[test]
fn an_agent_that_says_nothing_of_itself_is_heard_and_nothing_is_made_of_it() {
    let sealed = heard(snapshot()).unwrap();
    assert_eq!((sealed.head().watched, sealed.late()), (None, LateSeconds::default()));
}

#[test]
fn lateness_of_agents_adds_up_without_decoding_anything_else() {
    let mut late = LateSeconds::default();
    (0..40).for_each(|number| late.record_ns(7 + number % 3, u64::from(number) * 1_000_000));
    let message = wire::AgentMessage::from(voteburst_proto::FromAgent::Snapshot(Box::new({
        let mut snapshot = heard(snapshot()).unwrap().head();
        snapshot.tally.late = late.clone();
        snapshot
    })));
    let Some(Body::Snapshot(said)) = message.body else { panic!("no snapshot") };
    let sealed = heard(*said).unwrap();
    assert_eq!(sealed.late(), late);
    let mut fleet = Tally::default();
    (0..2).for_each(|_| sealed.add_to(&mut fleet));
    let mut twice = late.clone();
    twice.merge(&late);
    assert_eq!(fleet.late, twice);
}

/// Five minutes in which each second holds lateness from a microsecond to 200 ms and two stalls, as of an agent of 20,000 viewers.
#[test]
fn what_an_agent_says_of_itself_takes_few_bytes() {
    let (mut late, mut stalls) = (LateSeconds::default(), Stalls::default());
    for second in 0..300_u32 {
        (0..18_u32).for_each(|octave| (0..20).for_each(|_| late.record_ns(second, 1_000 << octave)));
        (0..2).for_each(|half| {
            stalls.add(Stall { at_us: u64::from(second) * 1_000_000 + half * 500_000, length_us: 37_000, on_cpu_us: 9_000 });
        });
    }
    let mut said = heard(snapshot()).unwrap().head();
    let without = wire::Snapshot::from(&said).encoded_len();
    let usage = Usage { span_us: 300_000_000, process_us: Some(9), viewers_us: Some(9), waited_us: Some(9), machine: None };
    said.watched = Some(Watched { stalls, usage, busiest: Some((17, usage)), ..Watched::default() });
    said.tally.late = late;
    let with = wire::Snapshot::from(&said).encoded_len();
    println!("{} bytes", with - without);
    assert!(with - without < 16 << 10, "{} bytes", with - without);
}

#[test]
fn hostile_response_times_by_second_are_refused_with_their_class() {
    let told = |step: &[u32], count: &[u32]| {
        let response = wire::ResponseSeconds { step: step.to_vec(), count: count.to_vec() };
        let unplaced = wire::ProxyTally { response_seconds: Some(response), ..Default::default() };
        heard(wire::Snapshot { unplaced: Some(unplaced), ..snapshot() })
    };
    let malformed =
        |found: &str, needed| WireProblem::Malformed { what: "a cell of response times", found: found.into(), needed };
    let (seconds, places) = (MOST_SECONDS, RESPONSE_PLACES as u32);
    let cases = [
        (told(&[1, 2], &[1]), WireProblem::Uneven { what: "cells of response times", found: 1, needed: 2 }),
        (told(&[0, 0], &[1, 1]), malformed("the one before", "cells in order, each of them once")),
        (told(&[0, 1], &[1, 0]), malformed("empty", "cells with a vote in them")),
        (
            told(&[256 * seconds], &[1]),
            WireProblem::TooLarge { what: "second of a response time", found: seconds.into(), most: u64::from(seconds) - 1 },
        ),
        (
            told(&[255, places + 1], &[1, 1]),
            WireProblem::TooLarge { what: "place of a response time", found: 255, most: u64::from(places) - 1 },
        ),
        (
            told(&[u32::MAX, u32::MAX], &[1, 1]),
            WireProblem::TooLarge {
                what: "second of a response time",
                found: u64::from(u32::MAX / 256),
                most: u64::from(seconds) - 1,
            },
        ),
    ];
    for (heard, problem) in cases {
        assert_eq!(heard.unwrap_err(), problem);
    }
    assert_eq!(told(&[256 * (seconds - 1) + places - 1], &[7]).unwrap().counts.timed, 7);
}

/// An agent of 20,000 votes over two minutes at 40 proxies, which is as thin as they get: hardly two votes share a cell.
#[test]
fn response_times_by_second_come_back_as_they_were_and_take_four_bytes_for_a_vote() {
    let mut said = heard(snapshot()).unwrap().head();
    let without = wire::Snapshot::from(&said).encoded_len();
    for vote in 0..20_000_u32 {
        let proxy = said.tally.index([127, 0, 0, (vote % 40) as u8].into());
        let (second, nanos) = (vote * 7 % 120, u64::from(vote * 7_919 % 5_000) * 300_000);
        said.tally.proxy(proxy).response_by_second.record_ns(second, nanos);
    }
    // Of a proxy that is not told of otherwise these are all the bytes.
    let with = wire::Snapshot::from(&said).encoded_len();
    println!("{} bytes", with - without);
    assert!(with - without < 20_000 * 4, "{} bytes", with - without);
    let mut fleet = Tally::default();
    Sealed::new(&said).unwrap().add_to(&mut fleet);
    let each = |tally: &Tally| tally.proxies().into_iter().map(|(_, proxy)| proxy.response_by_second.clone()).collect::<Vec<_>>();
    assert_eq!(each(&fleet), each(&said.tally));
}
