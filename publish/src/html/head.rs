//! The top of a page: what it comes to, why, and what to do, in words that need no picture.

use voteburst_burst::verdict::{Effect, Outcome};
use voteburst_burst::zone::ZonePolicy;
use voteburst_coordinator::report::compare::Comparison;
use voteburst_coordinator::report::terminal::{telling_second, thousands, word};
use voteburst_coordinator::report::{ReasonPart, Report};

use super::Shown;
use super::words::{NOTHING, part, percent, push, text};

/// The most reasons that are told of a run; a thousand lost agents are a thousand reasons.
const MOST_REASONS: usize = 12;

/// The head of a run's page.
pub(super) fn of_run(shown: Shown<'_>) -> String {
    let report = shown.report;
    let outcome = report.verdict.outcome;
    let mut out = open(outcome, &format!("<h1>{} {}</h1>\n", badge(outcome), headline(outcome)));
    let under = if report.zone == "live" { "a live target".into() } else { format!("zone policy {}", report.zone) };
    push(
        &mut out,
        format_args!(
            "<p class=\"what\"><b>{}</b>: {} votes of {} viewers against {}, {}</p>\n",
            text(&report.name),
            thousands(report.plan.tickets.into()),
            thousands(report.plan.viewers.into()),
            text(&under),
            text(&report.started)
        ),
    );
    out.push_str("</header>\n<main>\n<div class=\"zones one\">\n");
    card(&mut out, report, Heading::Alone);
    out.push_str("</div>\n");
    out
}

/// The head of a comparison's page.
pub(super) fn of_comparison(comparison: &Comparison) -> String {
    let outcome = comparison.outcome();
    let told = match &comparison.winner {
        Some(winner) => format!("Take {}", text(winner)),
        None if outcome == Outcome::Unknown => "No recommendation: not every zone was played to a sound end".into(),
        None => "No zone passed".into(),
    };
    let mut out = open(outcome, &format!("<h1>{told}</h1>\n"));
    if let Some(run) = comparison.runs.first() {
        let (name, plan) = (&run.report.name, &run.report.plan);
        let same = comparison.runs.iter().all(|run| run.report.plan.tickets_hash == plan.tickets_hash);
        let which = if same { "the same" } else { "<strong>not the same</strong>, here" };
        push(
            &mut out,
            format_args!(
                "<p class=\"what\"><b>{}</b>: {which} {} votes of {} viewers, played under {} zone policies</p>\n",
                text(name),
                thousands(plan.tickets.into()),
                thousands(plan.viewers.into()),
                comparison.runs.len()
            ),
        );
    }
    for zone in &comparison.missing {
        push(&mut out, format_args!("<p class=\"what\">{} {} was not played</p>\n", badge(Outcome::Unknown), text(zone)));
    }
    push(&mut out, format_args!("</header>\n<main>\n<div class=\"zones\" style=\"--zones:{}\">\n", comparison.runs.len().max(1)));
    for run in &comparison.runs {
        card(&mut out, &run.report, Heading::Zone(&run.zone));
    }
    out.push_str("</div>\n");
    out
}

pub(super) fn open(outcome: Outcome, headline: &str) -> String {
    format!("<header class=\"top {}\">\n<p class=\"brand\">voteburst</p>\n{headline}", class(outcome))
}

/// What stands above what became of a run.
#[derive(Clone, Copy)]
pub(super) enum Heading<'a> {
    /// Nothing but that run is on the page.
    Alone,
    /// A zone of a comparison, whose own page lies in the folder of its name.
    Zone(&'a str),
    /// One of two runs from anywhere.
    Run(&'a str),
}

/// What became of one run.
pub(super) fn card(out: &mut String, report: &Report, heading: Heading<'_>) {
    let outcome = report.verdict.outcome;
    push(out, format_args!("<section class=\"card {}\">\n", class(outcome)));
    match heading {
        Heading::Zone(name) | Heading::Run(name) => push(out, format_args!("<h2>{} {}</h2>\n", badge(outcome), text(name))),
        Heading::Alone => out.push_str("<h2>Why, and what to do</h2>\n"),
    }
    if let Ok(policy) = report.zone.parse::<ZonePolicy>() {
        push(out, format_args!("<p class=\"policy\">{}</p>\n", meaning(policy)));
    }
    figures(out, report);
    reasons(out, &report.verdict.reasons);
    if let Some(second) = telling_second(report) {
        push(out, format_args!("<p class=\"telling\">Look at {}</p>\n", text(&numbered(&second, report))));
    }
    if matches!(heading, Heading::Zone(_)) {
        push(out, format_args!("<p><a href=\"{0}/report.html\">{0} alone</a></p>\n", text(&report.zone)));
    }
    out.push_str("</section>\n");
}

/// Puts the number that a proxy has in the pictures beside its address.
fn numbered(told: &str, report: &Report) -> String {
    report.proxies.iter().enumerate().fold(told.to_owned(), |told, (place, proxy)| {
        told.replace(&format!(" {} had ", proxy.address), &format!(" proxy {} ({}) had ", place + 1, proxy.address))
    })
}

/// The figures that decide, large.
fn figures(out: &mut String, report: &Report) {
    let votes = &report.votes;
    let busiest = report.skew.and_then(|skew| skew.busiest_share);
    let proxies = report.proxies.len();
    let even = if proxies > 0 { format!("; even is {}", percent(1.0 / proxies as f64)) } else { String::new() };
    let peak = report.proxies.iter().map(|proxy| proxy.peak_open).max();
    let limit = report.limits.as_ref().map(|limits| thousands(limits.connections.into()));
    let broken = |code: &str| report.thresholds.iter().any(|threshold| threshold.code == code && threshold.holds == Some(false));
    let beyond = report.limits.as_ref().is_some_and(|limits| peak.is_some_and(|peak| peak > i64::from(limits.connections)));
    let rows = [
        (part(votes.accepted, votes.planned), "of planned votes accepted".to_owned(), broken("accepted")),
        (
            thousands(votes.complaints),
            format!("of {} voters could not vote in time", thousands(votes.voters)),
            broken("complaints"),
        ),
        (
            busiest.map_or_else(|| NOTHING.into(), percent),
            format!("of a second's votes at one proxy, at worst{even}"),
            broken("busiest-share"),
        ),
        (
            peak.map_or_else(|| NOTHING.into(), |peak| thousands(peak.unsigned_abs())),
            limit.map_or_else(
                || "connections at the fullest proxy".into(),
                |limit| format!("connections at the fullest proxy; it accepts {limit}"),
            ),
            broken("peak-open") || beyond,
        ),
    ];
    out.push_str("<dl class=\"figures\">\n");
    for (figure, meaning, broken) in rows {
        let class = if broken { " class=\"broken\"" } else { "" };
        push(out, format_args!("<div><dt>{}</dt><dd{class}>{figure}</dd></div>\n", text(&meaning)));
    }
    out.push_str("</dl>\n");
}

fn reasons(out: &mut String, reasons: &[ReasonPart]) {
    out.push_str("<ul class=\"reasons\">\n");
    if reasons.iter().all(|reason| reason.effect == Effect::Note) {
        out.push_str("<li class=\"pass\">Every limit held, and everything planned was seen.</li>\n");
    }
    for (place, reason) in reasons.iter().take(MOST_REASONS).enumerate() {
        let class = match reason.effect {
            Effect::FailAlways | Effect::Fail => "fail",
            Effect::Unknown => "unknown",
            Effect::Note => "note",
        };
        push(out, format_args!("<li class=\"{class}\">{}", text(&reason.text)));
        // The same advice for several reasons is given once, below the last of them.
        if reasons.get(place + 1).is_none_or(|next| next.remedy != reason.remedy) {
            push(out, format_args!("<span class=\"remedy\">{}</span>", text(&reason.remedy)));
        }
        out.push_str("</li>\n");
    }
    let more = reasons.len().saturating_sub(MOST_REASONS);
    if more > 0 {
        push(out, format_args!("<li class=\"note\">and {more} more, all in report.json</li>\n"));
    }
    out.push_str("</ul>\n");
}

fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Unknown => "unknown",
        Outcome::Fail => "fail",
    }
}

fn headline(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "This burst goes well",
        Outcome::Unknown => "This run proves nothing",
        Outcome::Fail => "This burst goes wrong",
    }
}

fn badge(outcome: Outcome) -> String {
    let mark = match outcome {
        Outcome::Pass => "✓",
        Outcome::Unknown => "?",
        Outcome::Fail => "✗",
    };
    format!("<span class=\"badge {}\"><span aria-hidden=\"true\">{mark}</span> {}</span>", class(outcome), word(outcome))
}

/// What a zone answers.
fn meaning(policy: ZonePolicy) -> &'static str {
    match policy {
        ZonePolicy::SingleAWeighted => "DNS answers one address, drawn anew for every query of a carrier",
        ZonePolicy::SingleAWindow => "DNS answers one address for everybody, and another every few seconds",
        ZonePolicy::Multivalue => "DNS answers up to eight random addresses",
        ZonePolicy::Simple => "DNS answers all addresses in random order",
        ZonePolicy::LbAlias => "DNS answers the few stable addresses of a load balancer",
    }
}
