//! From evidence to figures: counts are merged first, percentiles and ratios come last.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use voteburst_burst::expect::{self, Accounts, Seen, Stopped};
use voteburst_burst::generator::Watched;
use voteburst_burst::ledger::Ledger;
use voteburst_burst::outcome::Failure;
use voteburst_burst::plan::Plan;
use voteburst_burst::skew::Skew;
use voteburst_burst::tally::{Latency, ProxyTally, Second, Tally};
use voteburst_burst::verdict::{self, Baseline, Facts, Limit, Reason, Verdict};

use crate::record::ZoneSeen;

use super::diff::{self, Diff};
use super::forecast::{ForecastPart, Measured};
use super::generator::{self, GeneratorPart};
use super::timeline::{timeline, unplaced};
use super::{
    Agent, CacheFacts, DnsPart, Latencies, Limits, PlanPart, Proxy, Quantiles, ReasonPart, Report, SCHEMA, Start, ThresholdPart,
    VerdictPart, Votes,
};

/// What is known of one agent.
#[derive(Clone, Debug, Default)]
pub struct AgentFacts {
    /// Its name in this run.
    pub id: String,
    /// Its machine.
    pub host: String,
    /// How many viewers it held.
    pub viewers: u32,
    /// Whether its final snapshot arrived.
    pub is_final: bool,
    /// Why it was lost, if it was.
    pub lost: Option<String>,
    /// The coordinator's clock minus its own with the bound, in nanoseconds.
    pub offset_ns: Option<(i64, i64)>,
    /// How late the viewer began whose vote left first, in nanoseconds.
    pub first_send_lateness_ns: Option<u64>,
    /// Connections open at T0.
    pub connected_at_t0: Option<u32>,
    /// What it wants a reader to know.
    pub warnings: Vec<String>,
    /// What it saw of itself and of its machine.
    pub watched: Option<Watched>,
}

/// What one of the stage's proxies counted itself, under HAProxy's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FrontFacts {
    /// Connections accepted.
    pub conn_tot: u64,
    /// The most connections at once.
    pub conn_peak: u64,
    /// Requests.
    pub req_tot: u64,
    /// Answers with a 2xx status.
    pub hrsp_2xx: u64,
    /// Answers with a 4xx status.
    pub hrsp_4xx: u64,
    /// Answers with a 5xx status.
    pub hrsp_5xx: u64,
    /// The most requests waiting for a web server at once.
    pub queue_peak: u64,
    /// Requests that waited longer than the queue timeout.
    pub queue_timeouts: u64,
}

/// Everything a report is made of.
#[derive(Clone, Debug)]
pub struct Findings<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// When the run began, as RFC 3339 text.
    pub started: &'a str,
    /// The fleet's tally, merged.
    pub tally: &'a Tally,
    /// The account of votes.
    pub ledger: Ledger,
    /// The same by question and by kind of phone.
    pub accounts: Accounts,
    /// Every proxy the zone can name; those that got nothing count in the skew. Empty when unknown.
    pub fronts: &'a [IpAddr],
    /// What the stage's proxies counted themselves.
    pub stage: &'a BTreeMap<IpAddr, FrontFacts>,
    /// How often the stage's proxies could accept nobody for want of file descriptors.
    pub stage_pauses: u64,
    /// What a live target's zone was seen to do before the run.
    pub zone_seen: Option<&'a ZoneSeen>,
    /// What voteburst's own carriers counted, by their position in the scenario.
    pub caches: BTreeMap<u16, CacheFacts>,
    /// T0 in whole seconds after the doors opened; `None` when it was never committed.
    pub t0_second: Option<u32>,
    /// The agents.
    pub agents: Vec<AgentFacts>,
    /// Spread of the agents' first sends and what their clocks may add, in nanoseconds.
    pub start_ns: Option<(u64, u64)>,
    /// Why the run ended early, if it did for another reason than the next.
    pub partial: Option<String>,
    /// The expectation that stopped the burst.
    pub stopped: Option<Stopped>,
    /// The differences from the runs that this one is held against.
    pub baselines: &'a [Diff],
    /// Checks that failed before a forced run.
    pub forced: Option<String>,
}

impl Report {
    /// Works out a report.
    #[must_use]
    pub fn of(findings: &Findings<'_>) -> Self {
        let scenario = &findings.plan.scenario;
        let proxies = every_proxy(findings);
        let total = findings.tally.total();
        let skew = Skew::of(&by_second(&proxies, findings.t0_second.unwrap_or(0), |second| second.sent));
        let skew_connections = Skew::of(&by_second(&proxies, 0, |second| second.opened));
        let peak_open = proxies.iter().map(|(_, tally)| peak(&tally.open_by_second())).max().unwrap_or(0);
        let measured = Measured { votes: skew, connections: skew_connections, peak_open };
        let connected = connected_at_t0(findings);
        let (verdict, thresholds) = judge(findings, &proxies, &total, skew, connected);
        Self {
            schema: SCHEMA.into(),
            name: scenario.name.clone(),
            zone: scenario.stage.as_ref().map_or_else(|| "live".into(), |stage| stage.zone.to_string()),
            started: findings.started.into(),
            verdict,
            thresholds,
            plan: plan_part(findings.plan),
            votes: votes(&findings.ledger, &total.total()),
            ledger: findings.ledger.clone(),
            latency_ms: latencies(&total),
            skew,
            skew_connections,
            // A run that never fired has nothing to be held against.
            forecast: findings.t0_second.and_then(|_| ForecastPart::of(findings, measured)),
            dns: DnsPart::of(
                findings.plan,
                &findings.tally.lookups,
                &findings.caches,
                &proxies.iter().map(|(address, _)| *address).collect::<Vec<_>>(),
            ),
            start: Start {
                spread_ms: findings.start_ns.map(|(spread, _)| spread as f64 / 1e6),
                bound_ms: findings.start_ns.map(|(_, bound)| bound as f64 / 1e6),
            },
            connected_at_t0: connected,
            limits: limits(findings.plan),
            agents: findings.agents.iter().map(|facts| agent(facts, findings.t0_second.unwrap_or(0))).collect(),
            proxies: proxies.iter().map(|(address, tally)| proxy(*address, tally, findings.stage.get(address))).collect(),
            timeline: timeline(&proxies, &findings.tally.late, findings.t0_second.unwrap_or(0)),
            unplaced: unplaced(&findings.tally.unplaced, findings.t0_second.unwrap_or(0)),
        }
    }
}

/// The proxies of the tally and those of the zone that got nothing.
fn every_proxy(findings: &Findings<'_>) -> Vec<(IpAddr, ProxyTally)> {
    let mut all: BTreeMap<IpAddr, ProxyTally> = findings.fronts.iter().map(|front| (*front, ProxyTally::default())).collect();
    for (address, tally) in findings.tally.proxies() {
        all.insert(address, tally.clone());
    }
    all.into_iter().collect()
}

fn by_second(proxies: &[(IpAddr, ProxyTally)], from: u32, count: impl Fn(&Second) -> u32) -> Vec<Vec<u64>> {
    let seconds = |tally: &ProxyTally| tally.seconds.iter().skip(from as usize).map(|second| u64::from(count(second))).collect();
    proxies.iter().map(|(_, tally)| seconds(tally)).collect()
}

/// The share of viewers connected at T0, by agents that told; those that did not are in no part of it.
fn connected_at_t0(findings: &Findings<'_>) -> Option<f64> {
    let told = || findings.agents.iter().filter_map(|agent| Some((agent.connected_at_t0?, agent.viewers)));
    let (connected, viewers) = told().fold((0_u64, 0_u64), |sum, agent| (sum.0 + u64::from(agent.0), sum.1 + u64::from(agent.1)));
    (viewers > 0).then(|| connected as f64 / viewers as f64)
}

fn judge(
    findings: &Findings<'_>,
    proxies: &[(IpAddr, ProxyTally)],
    total: &ProxyTally,
    skew: Option<Skew>,
    connected: Option<f64>,
) -> (VerdictPart, Vec<ThresholdPart>) {
    let viewers = f64::from(findings.plan.scenario.audience.viewers);
    let lost = findings.agents.iter().filter(|agent| !agent.is_final);
    let facts = Facts {
        ledger: &findings.ledger,
        response_p99_ms: response_p99_ms(&findings.ledger, &total.response),
        lateness_p99_ms: total.lateness.quantile_ms(0.99),
        carries: generator::carries(findings),
        longest_stall: generator::longest_stall(&findings.agents, findings.t0_second.unwrap_or(0)),
        start_spread_ms: findings.start_ns.map(|(spread, bound)| (spread as f64 + bound as f64) / 1e6),
        busiest_share: skew.and_then(|skew| skew.busiest_share),
        peak_open: proxies.iter().map(|(_, tally)| peak(&tally.open_by_second())).max().unwrap_or(0),
        connected,
        local_limits: generator::local_limits(findings, total.total().failed[Failure::LocalLimit as usize].into()),
        not_allowed: generator::not_allowed(findings, total.total().failed[Failure::NotAllowed as usize].into()),
        proxies_by_dns: findings.plan.scenario.stage.is_none().then_some(proxies.len()),
        lost: lost
            .map(|agent| {
                let why = agent.lost.clone().unwrap_or_else(|| "no final snapshot".into());
                (agent.id.clone(), why, f64::from(agent.viewers) / viewers)
            })
            .collect(),
        partial: findings.partial.clone(),
        stopped: findings.stopped.clone(),
        expected: expected(findings, proxies, total, connected),
        baseline: baseline(findings),
        forced: findings.forced.clone(),
    };
    let thresholds = &findings.plan.scenario.thresholds;
    let told = verdict::limits(&facts, thresholds).iter().map(ThresholdPart::from).collect();
    let verdict = Verdict::judge(&facts, thresholds);
    (VerdictPart { outcome: verdict.outcome, reasons: verdict.reasons.iter().map(reason).collect() }, told)
}

/// The scenario's expectations, held against what was seen.
fn expected(findings: &Findings<'_>, proxies: &[(IpAddr, ProxyTally)], total: &ProxyTally, connected: Option<f64>) -> Vec<Limit> {
    let proxies: Vec<_> = proxies.iter().map(|(address, tally)| (*address, tally)).collect();
    let seen = Seen {
        scenario: &findings.plan.scenario,
        proxies: &proxies,
        total,
        lookups: &findings.tally.lookups,
        t0_second: findings.t0_second.unwrap_or(0),
        votes: tried(findings).then(|| expect::Votes::of(&findings.ledger)),
        connected,
        ledger: Some(&findings.ledger),
        accounts: Some(&findings.accounts),
    };
    expect::limits(&findings.plan.scenario.thresholds.limits, &seen, findings.stopped.as_ref())
}

/// Where nothing was fired no limit was tried.
fn tried(findings: &Findings<'_>) -> bool {
    findings.t0_second.is_some() && findings.ledger.planned > findings.ledger.never_sent
}

fn baseline(findings: &Findings<'_>) -> Option<Baseline> {
    let worse_max = findings.plan.scenario.thresholds.worse_max;
    let limits = diff::limits(findings.baselines, worse_max, tried(findings));
    (!findings.baselines.is_empty()).then(|| Baseline { told: diff::told(findings.baselines), limits })
}

/// The response time within which 99 % of *planned* votes were accepted; `None` when fewer ever were. Taken over accepted
/// votes alone, a burst of which most failed would look quicker than one that went well.
fn response_p99_ms(ledger: &Ledger, response: &Latency) -> Option<f64> {
    let reported = ledger.planned.saturating_sub(ledger.unreported);
    let quantile = 0.99 * reported as f64 / response.len().max(1) as f64;
    (quantile <= 1.0).then(|| response.quantile_ms(quantile)).flatten()
}

fn reason(reason: &Reason) -> ReasonPart {
    ReasonPart {
        code: reason.code().into(),
        effect: reason.effect(),
        text: reason.to_string(),
        remedy: reason.remedy().into(),
        limit: reason.limit().map(Into::into),
    }
}

fn plan_part(plan: &Plan) -> PlanPart {
    let choices = plan.scenario.questions.iter().zip(&plan.choices).map(|(question, counts)| {
        let ids = question.choices.iter().map(|choice| choice.id.clone());
        (question.id.clone(), ids.zip(counts.iter().copied()).collect())
    });
    PlanPart {
        hash: plan.hash.to_string(),
        tickets_hash: plan.tickets_hash.to_string(),
        viewers: plan.scenario.audience.viewers,
        tickets: plan.tickets,
        seed: plan.scenario.seed,
        choices: choices.collect(),
    }
}

fn votes(ledger: &Ledger, total: &Second) -> Votes {
    Votes {
        planned: ledger.planned,
        sent: ledger.accepted + ledger.refused + (ledger.unknown - ledger.unreported),
        accepted: ledger.accepted,
        failed: ledger.refused + ledger.never_sent,
        unknown: ledger.unknown,
        complaints: ledger.complaints,
        voters: ledger.voters,
        attempts: total.sent.into(),
        failures: failures(total),
    }
}

fn failures(second: &Second) -> BTreeMap<String, u64> {
    let counts = Failure::ALL.iter().zip(second.failed);
    counts.filter(|(_, count)| *count > 0).map(|(failure, count)| (failure.to_string(), u64::from(count))).collect()
}

fn latencies(tally: &ProxyTally) -> Latencies {
    Latencies { response: quantiles(&tally.response), service: quantiles(&tally.service), lateness: quantiles(&tally.lateness) }
}

pub(super) fn quantiles(latency: &Latency) -> Quantiles {
    Quantiles {
        count: latency.len(),
        p50: latency.quantile_ms(0.5),
        p90: latency.quantile_ms(0.9),
        p99: latency.quantile_ms(0.99),
        p999: latency.quantile_ms(0.999),
        max: latency.max_ms(),
    }
}

fn limits(plan: &Plan) -> Option<Limits> {
    let stage = plan.scenario.stage.as_ref()?;
    let per_server = stage.server_limit();
    Some(Limits {
        connections: stage.connection_limit_per_front(),
        per_server,
        per_server_computed: stage.limit_in_words(),
        web_servers: stage.web_servers,
        votes_per_s: stage.votes_per_s(),
    })
}

fn agent(facts: &AgentFacts, t0_second: u32) -> Agent {
    Agent {
        id: facts.id.clone(),
        host: facts.host.clone(),
        viewers: facts.viewers,
        is_final: facts.is_final,
        lost: facts.lost.clone(),
        offset_ms: facts.offset_ns.map(|(offset, _)| offset as f64 / 1e6),
        bound_ms: facts.offset_ns.map(|(_, bound)| bound as f64 / 1e6),
        first_send_lateness_ms: facts.first_send_lateness_ns.map(|lateness| lateness as f64 / 1e6),
        warnings: facts.warnings.clone(),
        generator: facts.watched.as_ref().map(|watched| GeneratorPart::of(watched, t0_second)),
    }
}

fn peak(levels: &[i64]) -> i64 {
    levels.iter().copied().max().unwrap_or(0)
}

fn proxy(address: IpAddr, tally: &ProxyTally, stage: Option<&FrontFacts>) -> Proxy {
    let total = tally.total();
    Proxy {
        address: address.to_string(),
        opened: total.opened.into(),
        closed: total.closed.into(),
        closed_idle: total.closed_idle.into(),
        also_rans: total.also_rans.into(),
        peak_open: peak(&tally.open_by_second()),
        peak_in_flight: peak(&tally.in_flight_by_second()),
        dns_answers: total.dns_answers.into(),
        sent: total.sent.into(),
        accepted: total.accepted.into(),
        failed: total.failed_total(),
        failures: failures(&total),
        latency_ms: latencies(tally),
        stage: stage.copied(),
    }
}
