//! Two runs side by side: which differences are larger than their spread.

mod baseline;
mod settings;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use voteburst_burst::outcome::Failure;
use voteburst_burst::spread::Estimate;
use voteburst_burst::tally::Latency;
use voteburst_burst::verdict::Outcome;

pub use baseline::{BaselineProblem, limits, told};

use super::Report;
use super::terminal::word;
use crate::journal::Evidence;

/// Version of the published form.
pub const SCHEMA: &str = "voteburst.diff/1";

/// The percentiles that are compared, with their names.
const PERCENTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)];

/// The published form of a difference between two runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Diff {
    /// `voteburst.diff/1`.
    #[schemars(extend("const" = SCHEMA))]
    pub schema: String,
    /// The earlier run, or the one to compare with.
    pub a: RunName,
    /// The other one.
    pub b: RunName,
    /// Why differences may have another cause than the target: other plans, machines or zones, or a run that proves nothing.
    pub warnings: Vec<String>,
    /// Every figure of both.
    pub figures: Vec<Change>,
}

/// Which run it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunName {
    /// Its directory, as it was named.
    pub dir: String,
    /// The scenario's name.
    pub name: String,
    /// The zone policy on a stage, `live` otherwise.
    pub zone: String,
    /// When it began, as RFC 3339 text.
    pub started: String,
    /// Its plan's hash.
    pub plan: String,
    /// What it came to.
    pub outcome: Outcome,
}

/// One figure of both runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// A stable name, such as `response.p99` or `proxy.share`.
    pub name: String,
    /// The proxy that it is of; `null` for the whole run.
    pub proxy: Option<String>,
    /// What the figures count.
    pub unit: ChangeUnit,
    /// The figure of the first run; `null` where there was nothing to measure, or too little for a spread.
    pub a: Option<Estimate>,
    /// That of the second one.
    pub b: Option<Estimate>,
    /// The second minus the first; `null` unless both are known.
    pub change: Option<Estimate>,
    /// What the change comes to.
    pub says: Says,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeUnit {
    /// A share in [0, 1].
    Share,
    /// Milliseconds.
    Ms,
    /// Busiest over even, at least 1.
    MaxOverMean,
    /// Open connections.
    Connections,
}

/// What a change comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Says {
    /// For the worse, by more than the spread.
    Worse,
    /// For the better, by more than the spread.
    Better,
    /// By more than the spread, and neither better nor worse by itself.
    Different,
    /// Chance alone can be the reason.
    WithinSpread,
    /// One of the figures is missing, or too little happened to know its spread.
    Unknown,
}

/// Which way of a figure is the bad one.
#[derive(Clone, Copy)]
enum Bad {
    More,
    Less,
    Neither,
}

/// One of the two runs.
#[derive(Clone, Debug)]
pub struct Side {
    /// Its directory, as the user named it.
    pub dir: String,
    /// Its report.
    pub report: Report,
    /// Response times of accepted votes.
    pub response: Latency,
    /// Its scenario as canonical TOML.
    pub scenario: String,
}

impl Side {
    /// A run out of what its directory holds.
    #[must_use]
    pub fn of(dir: &str, evidence: &Evidence) -> Self {
        Self {
            dir: dir.into(),
            report: Report::of_evidence(evidence),
            response: evidence.tally().total().response,
            scenario: evidence.plan.scenario.to_toml(),
        }
    }

    fn name(&self) -> RunName {
        let Report { name, zone, started, .. } = &self.report;
        RunName {
            dir: self.dir.clone(),
            name: name.clone(),
            zone: zone.clone(),
            started: started.clone(),
            plan: self.report.plan.hash.clone(),
            outcome: self.report.verdict.outcome,
        }
    }
}

impl Diff {
    /// Compares two runs, whatever they were.
    #[must_use]
    pub fn of(a: &Side, b: &Side) -> Self {
        let mut figures = votes(&a.report, &b.report);
        figures.extend(responses(a, b));
        figures.extend(failures(&a.report, &b.report));
        figures.extend(skew(&a.report, &b.report));
        figures.extend(proxies(&a.report, &b.report));
        Self { schema: SCHEMA.into(), a: a.name(), b: b.name(), warnings: warnings(a, b), figures }
    }

    /// How many figures say this.
    #[must_use]
    pub fn count(&self, says: Says) -> usize {
        self.figures.iter().filter(|figure| figure.says == says).count()
    }
}

impl Change {
    fn of(name: impl Into<String>, unit: ChangeUnit, bad: Bad, a: Option<Estimate>, b: Option<Estimate>) -> Self {
        let change = a.zip(b).map(|(a, b)| a.change_to(&b));
        let says = match (change, bad) {
            (None, _) => Says::Unknown,
            (Some(change), _) if !change.is_not_zero() => Says::WithinSpread,
            (Some(_), Bad::Neither) => Says::Different,
            (Some(change), Bad::More) if change.value > 0.0 => Says::Worse,
            (Some(change), Bad::Less) if change.value < 0.0 => Says::Worse,
            (Some(_), Bad::More | Bad::Less) => Says::Better,
        };
        Self { name: name.into(), proxy: None, unit, a, b, change, says }
    }

    fn at(self, proxy: &str) -> Self {
        Self { proxy: Some(proxy.into()), ..self }
    }
}

fn votes(a: &Report, b: &Report) -> Vec<Change> {
    let share = |name: &str, bad, of: &dyn Fn(&Report) -> (u64, u64)| {
        let [a, b] = [of(a), of(b)].map(|(part, of)| Estimate::share(part, of));
        Change::of(name, ChangeUnit::Share, bad, a, b)
    };
    vec![
        share("accepted", Bad::Less, &|report| (report.votes.accepted, report.votes.planned)),
        share("complaints", Bad::More, &|report| (report.votes.complaints, report.votes.voters)),
        share("failed", Bad::More, &|report| (report.votes.failed, report.votes.planned)),
    ]
}

fn responses(a: &Side, b: &Side) -> Vec<Change> {
    let change = |(name, percentile): (&str, f64)| {
        let [a, b] = [a, b].map(|side| {
            let response = &side.response;
            Estimate::percentile(percentile, response.len(), |quantile| response.quantile_ms(quantile))
        });
        Change::of(format!("response.{name}"), ChangeUnit::Ms, Bad::More, a, b)
    };
    PERCENTILES.into_iter().map(change).collect()
}

/// Failed attempts by class, of those that occurred in either run.
fn failures(a: &Report, b: &Report) -> Vec<Change> {
    let classes = Failure::ALL.iter().map(ToString::to_string);
    let occurred = classes.filter(|class| [a, b].iter().any(|report| report.votes.failures.contains_key(class)));
    let change = |class: String| {
        let [a, b] = [a, b].map(|report| {
            let failed = report.votes.failures.get(&class).copied().unwrap_or(0);
            // An attempt can fail before anything is sent: then it is in no count of attempts sent.
            let all = report.votes.attempts.max(report.votes.planned).max(failed);
            Estimate::share(failed, all)
        });
        Change::of(format!("failures.{class}"), ChangeUnit::Share, Bad::More, a, b)
    };
    occurred.map(change).collect()
}

/// Skew and open connections, whose spread is the one that the forecast of DNS alone gives them.
fn skew(a: &Report, b: &Report) -> Vec<Change> {
    let figure = |report: &Report, name: &str| {
        let figures = report.forecast.as_ref()?.figures.iter();
        let figure = figures.clone().find(|figure| figure.name == name)?;
        Some(Estimate::of_trials(figure.measured?, figure.p1, figure.p50, figure.p99))
    };
    let names = [a, b].into_iter().filter_map(|report| report.forecast.as_ref()).flat_map(|forecast| &forecast.figures);
    let mut seen = BTreeSet::new();
    let names = names.map(|figure| figure.name.as_str()).filter(|name| seen.insert(*name)).collect::<Vec<_>>();
    let change = |name: &str| {
        let unit = if name == "peak_open" { ChangeUnit::Connections } else { ChangeUnit::MaxOverMean };
        let stable = if name == "peak_open" { name.to_owned() } else { format!("skew.{name}") };
        Change::of(stable, unit, Bad::More, figure(a, name), figure(b, name))
    };
    names.into_iter().map(change).collect()
}

/// Each proxy's share of the attempts and of its failures, by address, of those that both runs had.
fn proxies(a: &Report, b: &Report) -> Vec<Change> {
    let sent = |report: &Report| report.proxies.iter().map(|proxy| proxy.sent).sum::<u64>();
    let (all_a, all_b) = (sent(a), sent(b));
    let pairs = a.proxies.iter().filter_map(|of_a| {
        let of_b = b.proxies.iter().find(|of_b| of_b.address == of_a.address)?;
        let share = Change::of(
            "proxy.share",
            ChangeUnit::Share,
            Bad::Neither,
            Estimate::share(of_a.sent, all_a),
            Estimate::share(of_b.sent, all_b),
        );
        let [failed_a, failed_b] = [of_a, of_b].map(|proxy| Estimate::share(proxy.failed, proxy.sent.max(proxy.failed)));
        let failed = Change::of("proxy.failed", ChangeUnit::Share, Bad::More, failed_a, failed_b);
        Some([share.at(&of_a.address), failed.at(&of_a.address)])
    });
    pairs.flatten().collect()
}

fn warnings(a: &Side, b: &Side) -> Vec<String> {
    let mut warnings = Vec::new();
    for side in [a, b] {
        if side.report.verdict.outcome == Outcome::Unknown {
            let outcome = word(Outcome::Unknown);
            warnings.push(format!("{} was {outcome}: its figures prove nothing, and neither do their differences", side.dir));
        }
    }
    let (plan_a, plan_b) = (&a.report.plan, &b.report.plan);
    if plan_a.hash != plan_b.hash {
        let differing = settings::differing(&a.scenario, &b.scenario);
        let what = match differing.is_empty() {
            true => "the scenarios are the same: another version of voteburst planned one of them".to_owned(),
            false => differing.join("; "),
        };
        warnings.push(format!("the plans differ: {what}"));
    }
    if plan_a.tickets_hash != plan_b.tickets_hash {
        warnings.push("the votes differ: other voters, choices or instants".into());
    }
    let hosts = |side: &Side| side.report.agents.iter().map(|agent| agent.host.clone()).collect::<BTreeSet<_>>();
    let (hosts_a, hosts_b) = (hosts(a), hosts(b));
    if hosts_a != hosts_b {
        let named = |hosts: BTreeSet<String>| hosts.into_iter().collect::<Vec<_>>().join(", ");
        warnings.push(format!("the agents ran on other machines: {} against {}", named(hosts_a), named(hosts_b)));
    }
    if a.report.agents.len() != b.report.agents.len() {
        warnings.push(format!("the audience was held by {} agents against {}", a.report.agents.len(), b.report.agents.len()));
    }
    let addresses = |side: &Side| side.report.proxies.iter().map(|proxy| proxy.address.clone()).collect::<BTreeSet<_>>();
    let (only_a, only_b) = (addresses(a), addresses(b));
    if only_a != only_b {
        let count = only_a.symmetric_difference(&only_b).count();
        warnings.push(format!("{count} proxies were in one of the runs only, and are not among the figures"));
    }
    warnings
}
