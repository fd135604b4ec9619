//! A report in words, for a terminal: verdict and reasons first, then figures, then a small picture.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use voteburst_burst::verdict::{Effect, Outcome};

use super::{Proxy, Quantiles, ReasonPart, Report, VerdictPart, dns, forecast, generator, thresholds};

/// How many columns the timeline may take.
const TIMELINE_COLUMNS: usize = 80;
/// Eight heights of a bar, after nothing.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The whole report of one run.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    let plan = &report.plan;
    line(&mut out, &format!("{}  {} · {}", word(report.verdict.outcome), report.name, report.zone));
    let hash: String = plan.hash.chars().take(12).collect();
    line(
        &mut out,
        &format!(
            "{} viewers · {} votes planned · seed {} · plan {hash}…",
            thousands(plan.viewers.into()),
            thousands(plan.tickets.into()),
            plan.seed
        ),
    );
    for (question, choices) in &plan.choices {
        let counts: Vec<_> = choices.iter().map(|(choice, count)| format!("{choice} {}", thousands((*count).into()))).collect();
        line(&mut out, &format!("{question}: {}", counts.join(" · ")));
    }
    verdict(&mut out, &report.verdict);
    thresholds::render(&mut out, report);
    votes(&mut out, report);
    latency(&mut out, report);
    skew(&mut out, report);
    if let Some(part) = &report.forecast {
        forecast::render(&mut out, part);
    }
    dns::render(&mut out, report);
    proxies(&mut out, report);
    pictures(&mut out, report);
    agents(&mut out, report);
    generator::render(&mut out, report);
    out
}

/// The verdict's reasons with their remedies, as every report begins.
pub(super) fn verdict(out: &mut String, verdict: &VerdictPart) {
    line(out, "");
    if verdict.reasons.iter().all(|reason| reason.effect == Effect::Note) {
        line(out, "  ✓ every limit held, and everything planned was seen");
    }
    let mut remedies: Vec<&str> = Vec::new();
    for ReasonPart { effect, text, remedy, .. } in &verdict.reasons {
        let mark = match effect {
            Effect::FailAlways | Effect::Fail => '✗',
            Effect::Unknown => '?',
            Effect::Note => '·',
        };
        line(out, &format!("  {mark} {text}"));
        // Several reasons often share a remedy; once is enough.
        if !remedies.contains(&remedy.as_str()) {
            remedies.push(remedy);
        }
    }
    for remedy in remedies {
        line(out, &format!("    → {remedy}"));
    }
}

fn votes(out: &mut String, report: &Report) {
    let (votes, ledger) = (&report.votes, &report.ledger);
    line(out, "");
    line(
        out,
        &format!(
            "Votes    planned {} = accepted {} + refused {} + unknown {} + never sent {}",
            thousands(votes.planned),
            thousands(votes.accepted),
            thousands(ledger.refused),
            thousands(votes.unknown),
            thousands(ledger.never_sent)
        ),
    );
    if ledger.unreported > 0 {
        line(out, &format!("         of the unknown, {} are of agents that were lost", thousands(ledger.unreported)));
    }
    line(out, &format!("         {} of {} voters could not vote in time", thousands(votes.complaints), thousands(votes.voters)));
    let figure = |figure: Option<u64>| figure.map_or_else(|| "?".into(), thousands);
    if ledger.reconciled {
        line(
            out,
            &format!(
                "Ledger   lost {} · duplicated {} · phantom {} · miscounted {} · late {} · early {} · came again {}",
                figure(ledger.lost),
                figure(ledger.duplicated),
                figure(ledger.phantom),
                figure(ledger.miscounted),
                figure(ledger.late),
                figure(ledger.early),
                figure(ledger.repeated)
            ),
        );
        // The rule of three: with nothing seen in N trials the true rate is below 3/N at 95 % confidence.
        if ledger.lost == Some(0) && ledger.accepted > 0 {
            line(
                out,
                &format!(
                    "         0 lost of {} shows a true rate below {:.1e} (95 %)",
                    thousands(ledger.accepted),
                    3.0 / ledger.accepted as f64
                ),
            );
        }
    }
    // Votes of lost agents may have been sent without anybody here knowing which: then retries cannot be told apart.
    let retries = match ledger.unreported {
        0 => format!(", {} of them retries", thousands(votes.attempts.saturating_sub(votes.sent))),
        _ => String::new(),
    };
    let classes: Vec<_> = votes.failures.iter().map(|(class, count)| format!("{class} {}", thousands(*count))).collect();
    let failures = if classes.is_empty() { "none failed".to_owned() } else { format!("failed: {}", classes.join(", ")) };
    line(out, &format!("Attempts {} sent{retries}; {failures}", thousands(votes.attempts)));
}

fn latency(out: &mut String, report: &Report) {
    let mut table = plain(&["Latency, ms", "count", "p50", "p90", "p99", "p99.9", "max"]);
    let names = [
        ("response (plan → accepted votes)", &report.latency_ms.response),
        ("service  (sent → answered attempts)", &report.latency_ms.service),
        ("lateness (ours)", &report.latency_ms.lateness),
    ];
    for (name, q) in names {
        table.add_row([
            name.to_owned(),
            thousands(q.count),
            millis(q.p50),
            millis(q.p90),
            millis(q.p99),
            millis(q.p999),
            millis(q.max),
        ]);
    }
    block(out, &table);
}

fn skew(out: &mut String, report: &Report) {
    line(out, "");
    match &report.skew {
        None => line(out, "Skew     no vote was sent"),
        Some(skew) => {
            let k = report.proxies.len();
            let times = |peak: Option<f64>| peak.map_or_else(|| "?".into(), |peak| format!("{peak:.2} ×"));
            let share = skew.busiest_share.map_or_else(String::new, |share| format!(" ({:.0} % of the votes)", share * 100.0));
            line(
                out,
                &format!(
                    "Skew     busiest proxy: {:.2} × its even share in all, {} in its worst second{share}, {} in its worst 5 s",
                    skew.total,
                    times(skew.peak_1s),
                    times(skew.peak_5s)
                ),
            );
            if skew.peak_1s.is_none() {
                line(out, "         (?: no second was busy enough to tell skew from chance)");
            }
            line(out, &format!("         {k} proxies did the work of {:.1}", skew.effective_proxies));
        }
    }
    if let Some(limits) = &report.limits {
        line(
            out,
            &format!(
                "Limits   per proxy: {} connections; {} requests at each of {} web servers, which carries {:.0} votes/s",
                thousands(limits.connections.into()),
                limits.per_server_computed,
                limits.web_servers,
                limits.votes_per_s
            ),
        );
    }
    if let Some(text) = telling_second(report) {
        line(out, &format!("Look at  {text}"));
    }
}

/// The second in which one proxy stood out most: what totals never show. `None` when no vote was ever in flight.
#[must_use]
pub fn telling_second(report: &Report) -> Option<String> {
    let worst =
        report.timeline.iter().flat_map(|second| second.proxies.iter().map(move |(address, cell)| (second, address, cell)));
    let (second, address, cell) = worst.max_by_key(|(_, _, cell)| cell.in_flight).filter(|(_, _, cell)| cell.in_flight > 0)?;
    let mut others: Vec<i64> =
        second.proxies.iter().filter(|(other, _)| *other != address).map(|(_, cell)| cell.in_flight).collect();
    others.sort_unstable();
    let (least, most) = (others.first()?, others.last()?);
    let limit = report
        .limits
        .as_ref()
        .map(|limits| format!(" (its web servers take {} at once)", limits.per_server * u32::from(limits.web_servers)));
    Some(format!(
        "t = {} s: {address} had {} votes in flight{}, the others {least} to {most}",
        second.t_s,
        thousands(cell.in_flight.unsigned_abs()),
        limit.unwrap_or_default()
    ))
}

fn proxies(out: &mut String, report: &Report) {
    let mut table = plain(&[
        "Proxy",
        "DNS first",
        "opened",
        "peak open",
        "sent",
        "share",
        "accepted",
        "failed",
        "peak in flight",
        "p50 ms",
        "p99 ms",
    ]);
    let sent: u64 = report.proxies.iter().map(|proxy| proxy.sent).sum();
    for proxy in &report.proxies {
        let Proxy { latency_ms, .. } = proxy;
        table.add_row([
            proxy.address.clone(),
            thousands(proxy.dns_answers),
            thousands(proxy.opened),
            thousands(proxy.peak_open.unsigned_abs()),
            thousands(proxy.sent),
            format!("{:.1} %", proxy.sent as f64 * 100.0 / sent.max(1) as f64),
            thousands(proxy.accepted),
            thousands(proxy.failed),
            thousands(proxy.peak_in_flight.unsigned_abs()),
            millis(latency_ms.response.p50),
            millis(latency_ms.response.p99),
        ]);
    }
    block(out, &table);
}

fn pictures(out: &mut String, report: &Report) {
    picture(out, report, "Open connections per proxy", |second, address| second.proxies.get(address).map_or(0, |cell| cell.open));
    picture(out, report, "Votes in flight per proxy", |second, address| {
        second.proxies.get(address).map_or(0, |cell| cell.in_flight)
    });
}

/// A row per proxy, a column per second or group of seconds, the same scale for all, so that heights compare.
fn picture(out: &mut String, report: &Report, title: &str, level: impl Fn(&super::TimelineSecond, &str) -> i64) {
    let (Some(first), Some(last)) = (report.timeline.first(), report.timeline.last()) else { return };
    let width = report.timeline.len().div_ceil(TIMELINE_COLUMNS).max(1);
    let rows: Vec<(&str, Vec<i64>)> = report
        .proxies
        .iter()
        .map(|proxy| {
            let cells = report
                .timeline
                .chunks(width)
                .map(|group| group.iter().map(|second| level(second, &proxy.address)).max().unwrap_or(0));
            (proxy.address.as_str(), cells.collect())
        })
        .collect();
    let top = rows.iter().flat_map(|(_, cells)| cells).copied().max().unwrap_or(0);
    if top == 0 {
        return;
    }
    line(out, "");
    line(
        out,
        &format!(
            "{title}, {width} s a column from t = {} s to {} s; █ is {}",
            first.t_s,
            last.t_s + 1,
            thousands(top.unsigned_abs())
        ),
    );
    for (address, cells) in rows {
        let bars: String = cells.iter().map(|cell| bar(*cell, top)).collect();
        let most = cells.iter().copied().max().unwrap_or(0);
        line(out, &format!("  {address:>15} {bars} {}", thousands(most.unsigned_abs())));
    }
    if first.t_s < 0 {
        let column = first.t_s.unsigned_abs() as usize / width;
        line(out, &format!("  {:>15} {}↑ T0", "", " ".repeat(column)));
    }
}

/// Anything above nothing is visible.
fn bar(value: i64, top: i64) -> char {
    let height = (value.max(0) as f64 / top.max(1) as f64 * 8.0).ceil() as usize;
    BARS[height.min(8)]
}

fn agents(out: &mut String, report: &Report) {
    let mut table = plain(&["Agent", "viewers", "clock offset ms", "± ms", "first send late ms", "state"]);
    for agent in &report.agents {
        let state = match (&agent.lost, agent.is_final) {
            (Some(why), _) => format!("LOST: {why}"),
            (None, true) => "complete".into(),
            (None, false) => "no final snapshot".into(),
        };
        let clock = |value: Option<f64>| value.map_or_else(|| "-".into(), |value| format!("{value:.3}"));
        table.add_row([
            format!("{} ({})", agent.id, agent.host),
            thousands(agent.viewers.into()),
            clock(agent.offset_ms),
            clock(agent.bound_ms),
            clock(agent.first_send_lateness_ms),
            state,
        ]);
    }
    block(out, &table);
    for agent in &report.agents {
        for warning in &agent.warnings {
            line(out, &format!("  ! {}: {warning}", agent.id));
        }
    }
    if let (Some(spread), Some(bound)) = (report.start.spread_ms, report.start.bound_ms) {
        line(out, &format!("Start    agents began within {spread:.3} ms of each other (clocks may add {bound:.3} ms)"));
    }
}

/// The word for an outcome, as every report has it.
#[must_use]
pub fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "PASS",
        Outcome::Unknown => "UNKNOWN",
        Outcome::Fail => "FAIL",
    }
}

pub(super) fn plain(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().copied());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

pub(super) fn block(out: &mut String, table: &Table) {
    line(out, "");
    for row in table.lines() {
        // The table pads every cell by one column; the first cell of a row begins at the margin like all other text.
        line(out, row.strip_prefix(' ').unwrap_or(&row).trim_end());
    }
}

pub(super) fn line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{text}");
}

pub(super) fn millis(value: Option<f64>) -> String {
    match value {
        None => "-".into(),
        Some(value) if value < 10.0 => format!("{value:.2}"),
        Some(value) if value < 100.0 => format!("{value:.1}"),
        Some(value) => thousands(value.round() as u64),
    }
}

/// A number with commas, as in 12,000.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Quantiles side by side, for a comparison.
pub(super) fn quantile_row(q: &Quantiles) -> String {
    format!("{} / {} / {}", millis(q.p50), millis(q.p99), millis(q.p999))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn a_bar_is_empty_only_for_nothing_and_full_only_at_the_top() {
        assert_eq!((bar(0, 1_000), bar(1, 1_000), bar(999, 1_000), bar(1_000, 1_000)), (' ', '▁', '█', '█'));
        assert_eq!(bar(-3, 10), ' ');
    }
}
