//! Agents, DNS and messages: a line each, or a column of their own.

use ratatui::text::{Line, Span};
use voteburst_coordinator::live::{AgentState, LiveAgent};

use super::super::look::{alarm, bold, count, cut, dim, millis, percent, rate};
use super::super::picture::Picture;
use super::{named, one_line};

/// Rows that the column keeps for messages, their heading included.
const MESSAGE_ROWS: usize = 7;

/// All agents in one line.
pub(super) fn in_a_line(picture: &Picture) -> Line<'static> {
    let mut line = named("Agents", words(picture).join(", "));
    let lost = lost(picture);
    if lost > 0 {
        line.push_span(Span::styled(format!("  {lost} LOST"), alarm(picture.colours)));
    }
    line
}

fn lost(picture: &Picture) -> usize {
    picture.live.agents.iter().filter(|agent| agent.state == AgentState::Lost).count()
}

/// How many are there, how well their clocks agree, how late they were and which stood still.
fn words(picture: &Picture) -> Vec<String> {
    let agents = &picture.live.agents;
    let mut parts = vec![format!("{} of {}", agents.len() - lost(picture), picture.live.expected_agents)];
    if let Some(slowest) = agents.iter().filter(|agent| agent.state != AgentState::Lost).map(|agent| agent.state).min() {
        parts[0] += &format!(" {}", slowest.name());
    }
    let most = |of: fn(&LiveAgent) -> Option<f64>| {
        let told = agents.iter().filter_map(|agent| Some((agent.id, of(agent)?)));
        told.max_by(|one, other| one.1.total_cmp(&other.1))
    };
    parts.extend(most(|agent| agent.bound_ms).map(|(_, ms)| format!("clocks ±{}", millis(ms))));
    parts.extend(most(|agent| agent.lateness_p99_ms).map(|(_, ms)| format!("late p99 {}", millis(ms))));
    parts.extend(most(|agent| agent.stall_max_ms).map(|(id, ms)| format!("stall {} (agent {id})", millis(ms))));
    let warned = agents.iter().filter(|agent| !agent.warnings.is_empty()).count();
    if warned > 0 {
        parts.push(format!("{warned} warn"));
    }
    parts
}

/// DNS in one line.
pub(super) fn dns_in_a_line(picture: &Picture) -> Line<'static> {
    let mut words = dns_words(picture);
    // Of all its numbers the one that says least of the load.
    words.remove(FROM_MEMORY);
    named("DNS", words.join(", "))
}

/// Where those stand that phones answered themselves.
const FROM_MEMORY: usize = 2;

fn dns_words(picture: &Picture) -> Vec<String> {
    let dns = &picture.live.dns;
    let mut words = vec![
        format!("{} answers/s", rate(picture.rate(|live| live.dns.answers))),
        format!("{} asked", count(dns.queries)),
        format!("{} from memory", count(dns.remembered)),
        format!("{} failed", count(dns.failures)),
    ];
    let first = dns.by_address.iter().max_by_key(|(_, answers)| **answers);
    words.extend(
        first.map(|(address, answers)| format!("{} say {address}", percent(*answers as f64 / dns.answers.max(1) as f64))),
    );
    words
}

/// All of it below one another.
pub(super) fn column(picture: &Picture, width: usize, rows: usize) -> Vec<Line<'static>> {
    let live = &picture.live;
    let mut lines = vec![Line::styled(
        format!("{:<16} {:<7} {:>9} {:>9} {:>12}", "agent", "state", "offset", "late p99", "connected"),
        bold(),
    )];
    let (words, dns_words) = (words(picture), dns_words(picture));
    // Three headings, and an empty line above two of them.
    let room = rows.saturating_sub(MESSAGE_ROWS + words.len() + dns_words.len() + 5).max(1);
    let fits = if live.agents.len() <= room { live.agents.len() } else { room - 1 };
    lines.extend(live.agents.iter().take(fits).map(|agent| row(picture, agent)));
    if fits < live.agents.len() {
        lines.push(Line::styled(format!("… and {} more", live.agents.len() - fits), bold()));
    }
    lines.extend(words.into_iter().map(|words| Line::raw(format!("  {words}"))));
    lines.extend([Line::default(), Line::styled("DNS", bold())]);
    lines.extend(dns_words.into_iter().map(|words| Line::raw(format!("  {words}"))));
    lines.extend([Line::default(), Line::styled("Messages", bold())]);
    let left = rows.saturating_sub(lines.len());
    let skipped = picture.messages.len().saturating_sub(left);
    lines.extend(
        picture.messages.iter().skip(skipped).map(|message| Line::styled(cut(&one_line(message), width), alarm(picture.colours))),
    );
    if picture.messages.is_empty() {
        lines.push(Line::styled("none", dim()));
    }
    lines
}

fn row(picture: &Picture, agent: &LiveAgent) -> Line<'static> {
    let told = |ms: Option<f64>| ms.map_or_else(|| "-".into(), millis);
    let name = cut(&format!("{} {}", agent.id, agent.host), 16);
    let connected = format!("{}/{}", agent.connected, agent.viewers);
    let text = format!(
        "{name:<16} {:<7} {:>9} {:>9} {connected:>12}",
        agent.state.name(),
        told(agent.offset_ms),
        told(agent.lateness_p99_ms)
    );
    match agent.state {
        AgentState::Lost => Line::styled(text.replace("lost   ", "LOST   "), alarm(picture.colours)),
        _ => Line::raw(text),
    }
}
