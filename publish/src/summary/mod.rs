//! A Markdown summary for a comment on a pull request or for a job's page: the verdict and its reasons first, then figures.
//!
//! It is written in GitHub Flavored Markdown, which GitLab reads too, and is shorter than the 65,536 characters that GitHub
//! takes in a comment, whatever the report holds. Everything that is not ours is escaped: names, hosts, and what agents say.

mod compare;
mod gfm;

use std::collections::BTreeMap;

use voteburst_burst::verdict::{Effect, Outcome};
use voteburst_coordinator::report::{Quantiles, ReasonPart, Report};

pub use compare::of_comparison;
use gfm::{Bounded, Table, text};

/// The longest summary, in bytes.
const MOST_BYTES: usize = 64_000;
/// The most reasons that are told; the others are counted. A thousand lost agents are a thousand reasons.
const MOST_REASONS: usize = 20;
/// The most proxies that get a row; the others are counted.
const MOST_PROXIES: usize = 100;

/// `summary.md` of one run.
#[must_use]
pub fn of_run(report: &Report) -> String {
    let mut out = Bounded::new(MOST_BYTES);
    out.section("the verdict", &format!("## {}: {}, {}\n", mark(report.verdict.outcome), text(&report.name), text(&report.zone)));
    out.section("the reasons", &reasons(&report.verdict.reasons));
    out.section("the votes", &votes(report));
    out.section("the limits", &limits(report));
    out.section("the latencies", &latencies(report));
    out.section("the proxies", &proxies(report));
    out.section("the plan", &plan(report));
    out.text()
}

fn mark(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "✅ pass",
        Outcome::Unknown => "❔ unknown",
        Outcome::Fail => "❌ fail",
    }
}

fn reasons(reasons: &[ReasonPart]) -> String {
    let mut out = String::new();
    if reasons.iter().all(|reason| reason.effect == Effect::Note) {
        out += "- ✅ every limit held, and everything planned was seen\n";
    }
    for reason in reasons.iter().take(MOST_REASONS) {
        let mark = match reason.effect {
            Effect::FailAlways | Effect::Fail => '❌',
            Effect::Unknown => '❔',
            Effect::Note => '💬',
        };
        out += &format!("- {mark} {}\n  - {}\n", text(&reason.text), text(&reason.remedy));
    }
    let more = reasons.len().saturating_sub(MOST_REASONS);
    if more > 0 {
        out += &format!("- and {more} more reasons, all in `report.json`\n");
    }
    out
}

fn votes(report: &Report) -> String {
    let (votes, ledger) = (&report.votes, &report.ledger);
    let mut out = format!(
        "{} votes planned: {} accepted, {} failed, {} unknown. {} of {} voters could not vote in time.\n",
        votes.planned, votes.accepted, votes.failed, votes.unknown, votes.complaints, votes.voters
    );
    if let (true, Some(lost), Some(duplicated), Some(phantom)) =
        (ledger.reconciled, ledger.lost, ledger.duplicated, ledger.phantom)
    {
        out += &format!("Held against the ballot box: {lost} lost, {duplicated} counted twice, {phantom} invented.\n");
    }
    if !votes.failures.is_empty() {
        out += &format!("Failed attempts: {}.\n", by_class(&votes.failures));
    }
    if let Some(skew) = report.skew {
        if let Some(share) = skew.busiest_share {
            out += &format!("One proxy got {} of the votes in its worst second. ", percent(share));
        }
        let (total, even, all) = (skew.total, skew.effective_proxies, report.proxies.len());
        out += &format!("In all, the busiest got {total:.2} times the mean; votes lay as if on {even:.1} of {all} proxies.\n");
    }
    out
}

fn by_class(failures: &BTreeMap<String, u64>) -> String {
    let classes: Vec<_> = failures.iter().map(|(class, count)| format!("{} {count}", text(class))).collect();
    classes.join(", ")
}

fn limits(report: &Report) -> String {
    if report.thresholds.is_empty() {
        return String::new();
    }
    let mut table = Table::of_text(&["limit", "figure", "held"]);
    for threshold in &report.thresholds {
        let held = match threshold.holds {
            Some(true) => "✅ yes",
            Some(false) => "❌ no",
            None => "not tried",
        };
        table.row([format!("`{}`", threshold.name).as_str(), &text(&threshold.text), held]);
    }
    table.text()
}

fn latencies(report: &Report) -> String {
    let mut table = Table::of_figures(&["latency in ms", "count", "p50", "p90", "p99", "p99.9", "max"]);
    let latency = &report.latency_ms;
    for (name, quantiles) in [
        ("response: planned instant to accepted answer", &latency.response),
        ("service: first byte to last", &latency.service),
        ("lateness: the generator's own error", &latency.lateness),
    ] {
        let Quantiles { count, p50, p90, p99, p999, max } = *quantiles;
        let figures = [p50, p90, p99, p999, max].map(millis);
        table.row([name.to_owned(), count.to_string()].iter().chain(&figures));
    }
    table.text()
}

fn proxies(report: &Report) -> String {
    if report.proxies.is_empty() {
        return String::new();
    }
    let all: u64 = report.proxies.iter().map(|proxy| proxy.sent).sum();
    let header = ["proxy", "sent", "share", "accepted", "failed", "peak open", "p50 ms", "p99 ms", "max ms"];
    let mut table = Table::of_figures(&header);
    for proxy in report.proxies.iter().take(MOST_PROXIES) {
        let share = if all > 0 { percent(proxy.sent as f64 / all as f64) } else { NOTHING.into() };
        let response = &proxy.latency_ms.response;
        let counts = [proxy.accepted, proxy.failed].map(|count| count.to_string());
        let first = [text(&proxy.address), proxy.sent.to_string(), share];
        let last = [proxy.peak_open.to_string(), millis(response.p50), millis(response.p99), millis(response.max)];
        table.row(first.iter().chain(&counts).chain(&last));
    }
    let more = report.proxies.len().saturating_sub(MOST_PROXIES);
    let more = if more > 0 { format!("\nand {more} more proxies, all in `proxies.csv`\n") } else { String::new() };
    table.text() + &more
}

fn plan(report: &Report) -> String {
    let plan = &report.plan;
    let hash: String = plan.hash.chars().take(12).collect();
    format!(
        "{} viewers, seed {}, plan `{hash}`, begun {}. Every figure is in `report.json`.\n",
        plan.viewers,
        plan.seed,
        text(&report.started)
    )
}

const NOTHING: &str = "–";

fn millis(value: Option<f64>) -> String {
    value.map_or_else(|| NOTHING.into(), |value| format!("{value:.1}"))
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_run_begins_with_its_verdict_and_reasons() {
        insta::assert_snapshot!(of_run(&fixture::report()));
    }

    #[test]
    fn limits_of_their_own_lines_stand_with_the_others() {
        let text = of_run(&fixture::expecting());
        let lines: Vec<_> =
            text.lines().filter(|line| ["400ms", "< 5 %", "repeated"].iter().any(|word| line.contains(word))).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn what_others_wrote_shows_as_text() {
        insta::assert_snapshot!(of_run(&fixture::hostile()));
    }

    #[test]
    fn a_run_of_which_nothing_came_has_no_figures_that_look_like_zero() {
        insta::assert_snapshot!(of_run(&fixture::empty()));
    }

    #[test]
    fn zones_stand_side_by_side() {
        insta::assert_snapshot!(of_comparison(&fixture::comparison()));
    }

    #[test]
    fn a_summary_fits_a_comment_whatever_happened() {
        let mut report = fixture::hostile();
        let reason = ReasonPart { text: "@|<".repeat(300), remedy: "|".repeat(900), ..report.verdict.reasons[0].clone() };
        report.verdict.reasons = vec![reason; 500];
        report.proxies = vec![report.proxies[0].clone(); 300];
        report.name = "#".repeat(100_000);
        report.votes.failures = (0..10_000).map(|class| (format!("class-{class}"), 1)).collect();
        let text = of_run(&report);
        assert!(text.chars().count() < 65_000, "{}", text.chars().count());
        assert!(text.contains("and 480 more reasons") && text.contains("and 200 more proxies"), "{text}");
        assert!(text.contains("Left out for want of room: the votes."), "{text}");
        let many = voteburst_coordinator::report::compare::Comparison::of(vec![report; 10], vec!["|".repeat(1_000); 100]);
        let text = of_comparison(&many);
        assert!(text.chars().count() < 65_000, "{}", text.chars().count());
    }
}
