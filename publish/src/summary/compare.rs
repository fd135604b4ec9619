//! The zones of a comparison side by side.

use voteburst_burst::verdict::Outcome;
use voteburst_coordinator::report::Report;
use voteburst_coordinator::report::compare::Comparison;

use super::gfm::{Bounded, Table, text};
use super::{MOST_BYTES, NOTHING, mark, millis, percent, proxies, reasons};

/// The most zones that get a column or a line; there are a handful of policies.
const MOST_ZONES: usize = 20;

/// `summary.md` of a comparison: which zone to take, then the zones side by side, then each with its reasons and proxies.
#[must_use]
pub fn of_comparison(comparison: &Comparison) -> String {
    let mut out = Bounded::new(MOST_BYTES);
    let heading = match &comparison.winner {
        Some(winner) => format!("## ✅ Take {}\n", text(winner)),
        None if comparison.outcome() == Outcome::Unknown => {
            "## ❔ No recommendation: not every zone was played to a sound end\n".into()
        }
        None => "## ❌ No zone passed\n".into(),
    };
    out.section("the recommendation", &heading);
    let sentences: String = comparison.reasons.iter().take(MOST_ZONES).map(|reason| format!("- {}\n", text(reason))).collect();
    let missing = comparison.missing.iter().take(MOST_ZONES).map(|zone| format!("- ❔ {}: not played\n", text(zone)));
    out.section("the reasons", &(sentences + &missing.collect::<String>()));
    out.section("the zones side by side", &side_by_side(comparison));
    for run in &comparison.runs {
        let report = &run.report;
        let head = format!("### {}: {}\n\n{}", mark(report.verdict.outcome), text(&run.zone), reasons(&report.verdict.reasons));
        out.section("reasons of single zones", &head);
    }
    for run in &comparison.runs {
        let table = proxies(&run.report);
        if !table.is_empty() {
            out.section("proxies of single zones", &format!("### Proxies under {}\n\n{table}", text(&run.zone)));
        }
    }
    out.text()
}

fn side_by_side(comparison: &Comparison) -> String {
    let runs: Vec<_> = comparison.runs.iter().take(MOST_ZONES).collect();
    let zones: Vec<_> = runs.iter().map(|run| text(&run.zone)).collect();
    let header: Vec<&str> = [""].into_iter().chain(zones.iter().map(String::as_str)).collect();
    let mut table = Table::of_figures(&header);
    for (name, figure) in FIGURES {
        table.row([name.to_owned()].into_iter().chain(runs.iter().map(|run| figure(&run.report))));
    }
    table.text()
}

/// What one row of the table says of a run.
type Figure = fn(&Report) -> String;

const FIGURES: [(&str, Figure); 12] = [
    ("verdict", |report| mark(report.verdict.outcome).into()),
    ("votes accepted", |report| share(report.votes.accepted, report.votes.planned)),
    ("votes failed", |report| report.votes.failed.to_string()),
    ("voters who could not vote in time", |report| {
        format!("{} ({})", report.votes.complaints, share(report.votes.complaints, report.votes.voters))
    }),
    ("response p50, ms", |report| millis(report.latency_ms.response.p50)),
    ("response p99, ms", |report| millis(report.latency_ms.response.p99)),
    ("busiest proxy, worst second", |report| {
        report.skew.and_then(|skew| skew.busiest_share).map_or_else(|| NOTHING.into(), percent)
    }),
    ("busiest over mean, in all", |report| report.skew.map_or_else(|| NOTHING.into(), |skew| format!("{:.2}", skew.total))),
    ("as even as proxies", |report| {
        let even = report.skew.map_or_else(|| NOTHING.into(), |skew| format!("{:.1}", skew.effective_proxies));
        format!("{even} of {}", report.proxies.len())
    }),
    ("peak open at a proxy", |report| {
        report.proxies.iter().map(|proxy| proxy.peak_open).max().map_or_else(|| NOTHING.into(), |peak| peak.to_string())
    }),
    ("lost, counted twice, invented", |report| {
        let figures = [report.ledger.lost, report.ledger.duplicated, report.ledger.phantom];
        figures.map(|count| count.map_or_else(|| NOTHING.into(), |count| count.to_string())).join(", ")
    }),
    ("generator lateness p99, ms", |report| millis(report.latency_ms.lateness.p99)),
];

fn share(part: u64, of: u64) -> String {
    if of == 0 { NOTHING.into() } else { percent(part as f64 / of as f64) }
}
