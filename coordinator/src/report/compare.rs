//! The same burst under several zones, side by side, with one winner or none.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use voteburst_burst::verdict::{Effect, Outcome};

use super::Report;
use super::terminal::{block, line, plain, quantile_row, telling_second, thousands, word};

/// Version of the published form.
pub const SCHEMA: &str = "voteburst.compare/1";

/// The published form of a comparison (`compare.json`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// `voteburst.compare/1`.
    #[schemars(extend("const" = SCHEMA))]
    pub schema: String,
    /// The runs, in the order they were played.
    pub runs: Vec<ComparedRun>,
    /// Zones that were asked for but not played to an end.
    pub missing: Vec<String>,
    /// The zone to take: the passing one with the fewest complaints, then the most even, then the quickest. `null` when none passed, and when
    /// any zone was not played or proved nothing: it may be the better one.
    pub winner: Option<String>,
    /// Why, a sentence for each zone.
    pub reasons: Vec<String>,
}

/// One run of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ComparedRun {
    /// The zone policy.
    pub zone: String,
    /// Its report.
    pub report: Report,
}

impl Comparison {
    /// Compares runs of one scenario. `missing` names the zones that were asked for but have no report.
    #[must_use]
    pub fn of(reports: Vec<Report>, missing: Vec<String>) -> Self {
        let passed = reports.iter().filter(|report| report.verdict.outcome == Outcome::Pass);
        let best = passed.min_by(|a, b| {
            // Among zones that pass, the more even one has more room for a larger show; milliseconds come last.
            let skew = |report: &Report| report.skew.map_or(f64::INFINITY, |skew| skew.peak_1s.unwrap_or(skew.total));
            let p99 = |report: &Report| report.latency_ms.response.p99.unwrap_or(f64::INFINITY);
            let complaints = a.votes.complaints.cmp(&b.votes.complaints);
            complaints.then(skew(a).total_cmp(&skew(b))).then(p99(a).total_cmp(&p99(b)))
        });
        let whole = missing.is_empty() && reports.iter().all(|report| report.verdict.outcome != Outcome::Unknown);
        let winner = best.filter(|_| whole).map(|report| report.zone.clone());
        let reasons = reports.iter().map(sentence).collect();
        let runs = reports.into_iter().map(|report| ComparedRun { zone: report.zone.clone(), report }).collect();
        Self { schema: SCHEMA.into(), runs, missing, winner, reasons }
    }

    /// What the comparison comes to: unknown when a zone was not played or proved nothing, for that one may be the better;
    /// pass when one passed, for then there is one to take; fail when every zone failed.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let any = |outcome| self.runs.iter().any(|run| run.report.verdict.outcome == outcome);
        if any(Outcome::Unknown) || self.runs.is_empty() || !self.missing.is_empty() {
            Outcome::Unknown
        } else if any(Outcome::Pass) {
            Outcome::Pass
        } else {
            Outcome::Fail
        }
    }

    /// The comparison in words: the winner first, then the reasons, then the figures.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        match &self.winner {
            Some(winner) => line(&mut out, &format!("Take {winner}.")),
            None if self.outcome() == Outcome::Unknown => {
                line(&mut out, "No recommendation: not every zone was played to a sound end.")
            }
            None => line(&mut out, "No zone passed."),
        }
        for reason in &self.reasons {
            line(&mut out, &format!("  {reason}"));
        }
        for zone in &self.missing {
            line(&mut out, &format!("  ? {zone}: not played"));
        }
        self.same_votes(&mut out);
        self.table(&mut out);
        line(&mut out, "");
        for run in &self.runs {
            if let Some(text) = telling_second(&run.report) {
                line(&mut out, &format!("{}: {text}", run.zone));
            }
        }
        out
    }

    /// A comparison is one only when every zone got the same votes.
    fn same_votes(&self, out: &mut String) {
        let Some(first) = self.runs.first().map(|run| &run.report.plan) else { return };
        let hash: String = first.tickets_hash.chars().take(12).collect();
        let same = self.runs.iter().all(|run| run.report.plan.tickets_hash == first.tickets_hash);
        let votes = format!(
            "{} votes of {} viewers, seed {}",
            thousands(first.tickets.into()),
            thousands(first.viewers.into()),
            first.seed
        );
        let text = if same {
            format!("the same {votes} in every run (tickets {hash}…)")
        } else {
            "NOT the same votes in every run".into()
        };
        line(out, &format!("  {text}"));
    }

    fn table(&self, out: &mut String) {
        let mut header = vec![""];
        header.extend(self.runs.iter().map(|run| run.zone.as_str()));
        let mut table = plain(&header);
        let mut row = |name: &str, cell: &dyn Fn(&Report) -> String| {
            let mut cells = vec![name.to_owned()];
            cells.extend(self.runs.iter().map(|run| cell(&run.report)));
            table.add_row(cells);
        };
        row("verdict", &|r| word(r.verdict.outcome).into());
        row("votes accepted", &|r| percent(r.votes.accepted, r.votes.planned));
        row("complaints (viewers)", &|r| {
            format!("{} ({})", thousands(r.votes.complaints), percent(r.votes.complaints, r.votes.voters))
        });
        row("response of those p50 / p99 / p99.9 ms", &|r| quantile_row(&r.latency_ms.response));
        row("busiest proxy, worst second", &|r| {
            skewed(r, |skew| skew.busiest_share.map(|share| format!("{:.1} % of votes", share * 100.0)))
        });
        row("max/mean, worst 1 s", &|r| skewed(r, |skew| skew.peak_1s.map(|peak| format!("{peak:.2}"))));
        row("max/mean, worst 5 s", &|r| skewed(r, |skew| skew.peak_5s.map(|peak| format!("{peak:.2}"))));
        row("max/mean, whole burst", &|r| skewed(r, |skew| Some(format!("{:.2}", skew.total))));
        row("effective proxies", &|r| skewed(r, |skew| Some(format!("{:.1} of {}", skew.effective_proxies, r.proxies.len()))));
        row("peak open at a proxy, waiting ones too / limit", &|r| {
            let peak = r.proxies.iter().map(|proxy| proxy.peak_open).max().unwrap_or(0);
            let limit = r.limits.as_ref().map_or_else(|| "?".into(), |limits| thousands(limits.connections.into()));
            format!("{} / {limit}", thousands(peak.unsigned_abs()))
        });
        row("peak in flight at a proxy / limit", &|r| {
            let peak = r.proxies.iter().map(|proxy| proxy.peak_in_flight).max().unwrap_or(0);
            let limit = r.limits.as_ref().map(|limits| u64::from(limits.per_server) * u64::from(limits.web_servers));
            format!("{} / {}", thousands(peak.unsigned_abs()), limit.map_or_else(|| "?".into(), thousands))
        });
        row("answers 5xx", &|r| thousands(r.votes.failures.get("status-5xx").copied().unwrap_or(0)));
        row("lost / duplicated / phantom", &|r| {
            let figure = |figure: Option<u64>| figure.map_or_else(|| "?".into(), thousands);
            format!("{} / {} / {}", figure(r.ledger.lost), figure(r.ledger.duplicated), figure(r.ledger.phantom))
        });
        row("generator lateness p99 ms", &|r| super::terminal::millis(r.latency_ms.lateness.p99));
        row("start spread ms", &|r| r.start.spread_ms.map_or_else(|| "-".into(), |spread| format!("{spread:.3}")));
        block(out, &table);
    }
}

fn skewed(report: &Report, text: impl Fn(&voteburst_burst::skew::Skew) -> Option<String>) -> String {
    report.skew.as_ref().and_then(text).unwrap_or_else(|| "-".into())
}

fn percent(part: u64, whole: u64) -> String {
    format!("{:.2} %", part as f64 * 100.0 / whole.max(1) as f64)
}

fn sentence(report: &Report) -> String {
    let gravest: Vec<&str> =
        report.verdict.reasons.iter().filter(|reason| reason.effect != Effect::Note).map(|reason| reason.text.as_str()).collect();
    match report.verdict.outcome {
        Outcome::Pass => format!("✓ {}: every limit held", report.zone),
        Outcome::Unknown => format!("? {}: proves nothing: {}", report.zone, gravest.join("; ")),
        Outcome::Fail => format!("✗ {}: {}", report.zone, gravest.join("; ")),
    }
}
