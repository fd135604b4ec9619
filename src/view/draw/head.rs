//! The upper lines: what is played, where it stands, and what became of the votes.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use voteburst_coordinator::conductor::Phase;
use voteburst_coordinator::live::{AgentState, LatencyLive, Live};
use voteburst_coordinator::report::terminal::thousands;

use super::super::look::{bar, bold, count, dim, millis, percent, rate};
use super::super::picture::Picture;

/// Rows of the head when votes have one line.
pub(super) const LEAST_ROWS: usize = 4;
/// Rows more when they have bars.
pub(super) const BAR_ROWS: usize = 2;
/// Cells of the bar behind the phase.
const PHASE_BAR: usize = 20;

/// The head, with a bar for each count of votes or all of them in one line.
pub(super) fn lines(picture: &Picture, width: usize, bars: bool) -> Vec<Line<'static>> {
    let live = &*picture.live;
    let mut lines = vec![title(live, width), way(live.phase), standing(live)];
    if bars {
        lines.extend(votes_in_bars(picture, width));
    } else {
        lines.push(votes_in_a_line(live));
    }
    lines
}

fn title(live: &Live, width: usize) -> Line<'static> {
    let zone = live.zone.as_deref().unwrap_or("live target");
    let left = format!("voteburst  {}  {zone}", live.scenario);
    let right = format!("{} viewers, run {}", thousands(live.viewers.into()), live.run);
    let space = width.saturating_sub(left.chars().count() + right.chars().count());
    match space {
        0 => Line::styled(left, bold()),
        _ => Line::from(vec![Span::styled(left, bold()), Span::raw(" ".repeat(space)), Span::styled(right, dim())]),
    }
}

/// Where the run stands among its phases; the one in brackets is it, for those without bold and colour.
fn way(phase: Phase) -> Line<'static> {
    let mut spans = Vec::new();
    // Nobody is on the way to an aborted run.
    for step in Phase::ALL.into_iter().filter(|step| *step != Phase::Aborted) {
        let (text, style) = match step {
            _ if step == phase => (format!("[{step}] "), bold()),
            _ if step < phase => (format!("{step} "), Style::new()),
            _ => (format!("{step} "), dim()),
        };
        spans.push(Span::styled(text, style));
    }
    if phase == Phase::Aborted {
        spans.push(Span::styled("[aborted]", bold()));
    }
    Line::from(spans)
}

/// What is being waited for, and how far that has come.
fn standing(live: &Live) -> Line<'static> {
    let second = live.second.unwrap_or(0);
    let (text, share) = match live.phase {
        Phase::Gathering => (
            format!("{} of {} agents joined", live.agents.len(), live.expected_agents),
            part(live.agents.len(), live.expected_agents),
        ),
        Phase::Planning => ("agents work the plan out and look at their machines".into(), None),
        Phase::Doors | Phase::Arming => {
            let (connected, viewers) = (live.connected, live.viewers);
            let doing = if live.phase == Phase::Doors { "doors open" } else { "measuring clocks" };
            let text = format!("{doing}: {} of {} viewers connected", count(connected.into()), count(viewers.into()));
            (text, part(connected as usize, viewers))
        }
        Phase::Committed => (format!("T0 in {} s; {} viewers connected", -second, count(live.connected.into())), None),
        Phase::Burst => {
            let told =
                |latency: &LatencyLive| format!(", response p50 {}, p99 {}", millis(latency.p50_ms), millis(latency.p99_ms));
            let response = Some(&live.response).filter(|latency| latency.count > 0).map_or_else(String::new, told);
            let text = format!("T0 + {second} s of {} s{response}", live.length_s);
            (text, part(usize::try_from(second).unwrap_or(0), live.length_s))
        }
        Phase::Draining => {
            let still = live.agents.iter().filter(|agent| agent.state < AgentState::Done).count();
            (format!("T0 + {second} s: no further vote begins; agents that have not finished: {still}"), None)
        }
        Phase::Done => ("over, the report follows".into(), None),
        Phase::Aborted => ("over before anything was fired".into(), None),
    };
    let Some(share) = share else { return Line::raw(text) };
    let (full, empty) = bar(share, PHASE_BAR);
    Line::from(vec![Span::raw(full), Span::styled(empty, dim()), Span::raw(format!(" {text}"))])
}

fn part(of: usize, whole: u32) -> Option<f64> {
    (whole > 0).then(|| of as f64 / f64::from(whole))
}

fn votes_in_a_line(live: &Live) -> Line<'static> {
    Line::from(vec![
        Span::styled("Votes   ", bold()),
        Span::raw(format!(
            "{} of {} due, {} sent, {} accepted, {} failed",
            count(live.planned),
            count(live.planned_total),
            count(live.sent),
            count(live.accepted),
            count(live.failed)
        )),
    ])
}

fn votes_in_bars(picture: &Picture, width: usize) -> Vec<Line<'static>> {
    let live = &*picture.live;
    let due = format!("of {} planned", count(live.planned_total));
    let attempts = format!("attempts, {} failed", count(live.failed));
    let answered = format!("{} of those due", percent(live.accepted as f64 / live.planned.max(1) as f64));
    let cells = width.saturating_sub(10 + 10 + 11 + 36).clamp(8, 60);
    let row = |name: &'static str, of: fn(&Live) -> u64, words: String| {
        let (full, empty) = bar(of(live) as f64 / live.planned_total.max(1) as f64, cells);
        let speed = if picture.votes() { rate(picture.rate(of)) } else { "-".into() };
        Line::from(vec![
            Span::styled(format!("{name:<9}"), bold()),
            Span::raw(full),
            Span::styled(empty, dim()),
            Span::raw(format!(" {:>9} {speed:>8}/s  {words}", count(of(live)))),
        ])
    };
    vec![
        row("due", |live| live.planned, due),
        row("sent", |live| live.sent, attempts),
        row("accepted", |live| live.accepted, answered),
    ]
}
