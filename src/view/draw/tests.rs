//! The view in each phase, held against pictures that were looked at.

use std::sync::Arc;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use voteburst_coordinator::conductor::Phase;
use voteburst_coordinator::live::{AgentState, LatencyLive, Live, LiveAgent, LiveDns, LiveProxy};

use super::super::picture::{Colours, Picture};
use super::draw;

const NARROW: (u16, u16) = (80, 24);
const BROAD: (u16, u16) = (160, 50);

/// A rehearsal of 15 proxies a moment after `second`, of whose burst this share is over.
fn live(phase: Phase, second: Option<i64>, share: f64) -> Live {
    let doors = if phase >= Phase::Doors { 1.0 } else { 0.0 };
    let part = |whole: f64| (whole * share) as u64;
    let votes = phase >= Phase::Burst;
    let latency = |p99_ms| LatencyLive { count: part(54_000.0), p50_ms: 12.4, p99_ms, max_ms: 1_830.0, ..LatencyLive::default() };
    let proxy = |number: u64| {
        // The first is full and the third near its limit, as under a zone of single answers.
        let open =
            (doors * [4_000.0, 1_230.0, 3_720.0][number as usize % 3] / [1, 1, 1, 3][number as usize / 3 % 4] as f64) as u64;
        LiveProxy {
            address: format!("127.0.{}.{}", number / 250, 11 + number % 250),
            open,
            limit: Some(4_000),
            connections: open + 17,
            refused: if number == 0 { 812 } else { 0 },
            sent: part(4_100.0),
            accepted: part(4_000.0),
            failed: if number == 0 { part(812.0) } else { 0 },
            dns_answers: open + 20,
            response: latency(140.0 + number as f64),
        }
    };
    let agents = if phase == Phase::Gathering { 2 } else { 4 };
    let mut dns = LiveDns { queries: 19_800, remembered: 4_100, failures: 12, answers: 19_788, ..LiveDns::default() };
    dns.by_address.insert("127.0.0.11".into(), 7_900);
    dns.by_address.insert("127.0.0.12".into(), 400);
    Live {
        run: "00c0ffee00c0ffee".into(),
        scenario: "show".into(),
        zone: Some("single-a-weighted".into()),
        phase,
        second,
        length_s: 60,
        viewers: 30_000,
        connected: (doors * 29_731.0) as u32,
        expected_agents: 4,
        planned: part(60_000.0),
        planned_total: 60_000,
        sent: part(59_000.0),
        accepted: part(57_000.0),
        failed: part(1_960.0),
        ended: part(58_800.0),
        proxies: (0..15).map(proxy).collect(),
        agents: (0..agents).map(|id| agent(id, phase)).collect(),
        dns: if doors > 0.0 { dns } else { LiveDns::default() },
        response: if votes { latency(143.0) } else { LatencyLive::default() },
        lateness: LatencyLive::default(),
        ..Live::default()
    }
}

fn agent(id: u32, phase: Phase) -> LiveAgent {
    let known = phase >= Phase::Committed;
    LiveAgent {
        id,
        host: "gen-frankfurt.example".into(),
        pid: 4_000 + id,
        state: match phase {
            Phase::Gathering | Phase::Planning => AgentState::Joined,
            Phase::Doors => AgentState::Fit,
            Phase::Arming => AgentState::Ready,
            Phase::Done => AgentState::Done,
            _ => AgentState::Armed,
        },
        offset_ms: known.then_some(f64::from(id) - 1.25),
        bound_ms: known.then_some(0.08),
        lateness_p99_ms: (phase >= Phase::Burst).then_some(12.0 + f64::from(id)),
        stall_max_ms: (phase >= Phase::Burst && id == 2).then_some(31.4),
        connected: 7_400,
        viewers: 7_500,
        warnings: if id == 1 { vec!["its clock is coarse".into()] } else { Vec::new() },
    }
}

/// What was seen a second ago and now.
fn picture(phase: Phase, second: Option<i64>, share: f64) -> Picture {
    let mut picture = Picture::new(Colours::True);
    picture.see(Duration::from_secs(1), Arc::new(live(phase, second.map(|second| second - 1), share * 0.96)));
    picture.see(Duration::from_secs(2), Arc::new(live(phase, second, share)));
    picture
}

fn drawn(picture: &Picture, (width, height): (u16, u16)) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, picture)).unwrap();
    terminal
}

fn text(picture: &Picture, size: (u16, u16)) -> String {
    drawn(picture, size).backend().to_string()
}

#[test]
fn each_phase_looks_as_it_did_when_it_was_looked_at() {
    for (phase, second, share) in [
        (Phase::Gathering, None, 0.0),
        (Phase::Planning, None, 0.0),
        (Phase::Doors, None, 0.0),
        (Phase::Arming, None, 0.0),
        (Phase::Committed, Some(-3), 0.0),
        (Phase::Burst, Some(24), 0.4),
        (Phase::Draining, Some(61), 1.0),
        (Phase::Done, Some(63), 1.0),
        (Phase::Aborted, None, 0.0),
    ] {
        for (name, size) in [("80x24", NARROW), ("160x50", BROAD)] {
            insta::assert_snapshot!(format!("{phase}-{name}"), text(&picture(phase, second, share), size));
        }
    }
}

#[test]
fn forty_proxies_and_a_lost_agent_are_told_in_any_size() {
    let mut picture = picture(Phase::Burst, Some(24), 0.4);
    let mut now = live(Phase::Burst, Some(24), 0.4);
    let more = (15..40).map(|number| LiveProxy { address: format!("2001:db8::{number:x}"), ..now.proxies[2].clone() });
    now.proxies = now.proxies.iter().cloned().chain(more.collect::<Vec<_>>()).collect();
    now.agents[3].state = AgentState::Lost;
    picture.live = Arc::new(now);
    picture
        .say("LOST agent 3, gen-frankfurt.example (process 4003), with 25.00 % of the audience: nothing\nheard for 5 s".into());
    picture.stopping = true;
    for (name, size) in [("80x24", NARROW), ("160x50", BROAD), ("60x12", (60, 12)), ("30x5", (30, 5))] {
        insta::assert_snapshot!(format!("forty-{name}"), text(&picture, size));
    }
    picture.scrolled = 39;
    let scrolled = text(&picture, NARROW);
    assert!(scrolled.contains("2001:db8::27") && !scrolled.contains("● 127.0.0.11"), "{scrolled}");
}

#[test]
fn no_size_breaks_the_view() {
    let picture = picture(Phase::Burst, Some(24), 0.4);
    for width in [1, 39, 40, 79, 96, 131, 132, 300] {
        for height in [1, 7, 8, 9, 23, 29, 30, 90] {
            assert!(text(&picture, (width, height)).lines().count() >= usize::from(height), "{width} × {height}");
        }
    }
}

#[test]
fn without_colours_no_cell_has_one_and_full_proxies_are_told_in_words() {
    let mut picture = picture(Phase::Burst, Some(24), 0.4);
    picture.say("forced on although the clock is coarse".into());
    let coloured = |picture: &Picture| {
        let terminal = drawn(picture, NARROW);
        terminal.backend().buffer().content.iter().filter(|cell| (cell.fg, cell.bg) != (Color::Reset, Color::Reset)).count()
    };
    assert!(coloured(&picture) > 15);
    picture.colours = Colours::None;
    assert_eq!(coloured(&picture), 0);
    let plain = text(&picture, NARROW);
    assert!(plain.contains("100 % FULL") && plain.contains("93 % near"), "{plain}");
}

#[test]
fn a_target_without_a_known_limit_has_bars_against_its_busiest_proxy() {
    let mut now = live(Phase::Burst, Some(24), 0.4);
    (now.zone, now.proxies) = (None, now.proxies.into_iter().map(|proxy| LiveProxy { limit: None, ..proxy }).collect());
    let mut picture = Picture::new(Colours::None);
    picture.see(Duration::ZERO, Arc::new(now));
    let shown = text(&picture, NARROW);
    assert!(shown.contains("limit unknown") && shown.contains("live target") && !shown.contains("FULL"), "{shown}");
}

#[test]
fn a_rate_is_taken_over_a_second_even_when_a_change_of_phase_came_between() {
    let with = |accepted| Arc::new(Live { scenario: "show".into(), accepted, ..Live::default() });
    let mut picture = Picture::new(Colours::None);
    let rate = |picture: &Picture| picture.rate(|live| live.accepted);
    picture.see(Duration::from_millis(0), with(0));
    assert_eq!(rate(&picture), None);
    picture.see(Duration::from_millis(1_000), with(500));
    assert_eq!(rate(&picture), Some(500.0));
    picture.see(Duration::from_millis(1_100), with(600));
    assert_eq!(rate(&picture), Some(600.0 / 1.1));
    picture.see(Duration::from_millis(2_100), with(1_600));
    assert_eq!(rate(&picture), Some(1_000.0));
}
