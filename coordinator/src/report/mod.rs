//! What a rehearsal says in the end. A report is a function of the run directory alone: any of them can be made again.
//!
//! `Report` is the published form (`report.json`); [`terminal`] and [`compare`] only put it into words.

mod build;
pub mod compare;
pub mod diff;
mod dns;
mod evidence;
mod forecast;
mod generator;
pub mod terminal;
mod thresholds;
mod timeline;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use voteburst_burst::ledger::Ledger;
use voteburst_burst::skew::Skew;
use voteburst_burst::verdict::{Effect, Outcome};

pub use build::{AgentFacts, Findings, FrontFacts};
pub use dns::{CacheFacts, CarrierPart, DnsPart, LookupPart, PhonePart};
pub use evidence::StageNotes;
pub use forecast::{Figure, ForecastPart};
pub use generator::{BusiestPart, GeneratorPart, StallsPart, UsagePart};
pub use thresholds::ThresholdPart;

/// Version of the published form. A change that breaks readers gets a new number; new keys do not. They carry
/// `#[serde(default)]`, for files of this version that were written before do not have them.
pub const SCHEMA: &str = "voteburst.report/1";

/// The published form of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// `voteburst.report/1`.
    #[schemars(extend("const" = SCHEMA))]
    pub schema: String,
    /// The scenario's name.
    pub name: String,
    /// The zone policy on a stage, `live` otherwise.
    pub zone: String,
    /// When the run began, as RFC 3339 text.
    pub started: String,
    /// What it comes to, and why.
    pub verdict: VerdictPart,
    /// Every limit of the scenario with its figure, those that held too.
    #[serde(default)]
    pub thresholds: Vec<ThresholdPart>,
    /// What was planned.
    pub plan: PlanPart,
    /// What became of the votes.
    pub votes: Votes,
    /// The account of votes, held against the ballot box.
    pub ledger: Ledger,
    /// Latencies of the whole fleet, merged by counts.
    pub latency_ms: Latencies,
    /// How unevenly votes fell on the proxies during the burst; `null` when none was sent.
    pub skew: Option<Skew>,
    /// How unevenly connections were opened, doors included; `null` when none was.
    pub skew_connections: Option<Skew>,
    /// What DNS alone makes of the burst, beside what was measured; `null` where the zone is not known.
    #[serde(default)]
    pub forecast: Option<ForecastPart>,
    /// What phones made of DNS.
    #[serde(default)]
    pub dns: DnsPart,
    /// How far apart the agents started.
    pub start: Start,
    /// The share of viewers connected at T0, in [0, 1]; `null` when the burst never began.
    pub connected_at_t0: Option<f64>,
    /// The stage's limits; `null` for a live target.
    pub limits: Option<Limits>,
    /// The agents.
    pub agents: Vec<Agent>,
    /// The proxies, by address.
    pub proxies: Vec<Proxy>,
    /// What happened in each second, doors included: `t_s` is negative before T0.
    pub timeline: Vec<TimelineSecond>,
    /// Attempts to vote that failed before a proxy was known, by second; seconds without any are left out.
    #[serde(default)]
    pub unplaced: Vec<UnplacedSecond>,
}

/// The verdict as published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VerdictPart {
    /// `pass`, `unknown` or `fail`.
    pub outcome: Outcome,
    /// Why, gravest first.
    pub reasons: Vec<ReasonPart>,
}

/// One reason as published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReasonPart {
    /// A stable name.
    pub code: String,
    /// What it does to the verdict.
    pub effect: Effect,
    /// In words, with the figures.
    pub text: String,
    /// What to do about it.
    pub remedy: String,
    /// The `name` of the limit that it is about, where several share a code; `null` otherwise.
    #[serde(default)]
    pub limit: Option<String>,
}

/// What was planned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanPart {
    /// Identity of the plan: the same scenario and seed give the same hash.
    pub hash: String,
    /// Identity of its votes alone: equal for the same burst under different zones.
    pub tickets_hash: String,
    /// Viewers.
    pub viewers: u32,
    /// Planned votes.
    pub tickets: u32,
    /// The seed.
    pub seed: u64,
    /// Planned votes by question and choice.
    pub choices: BTreeMap<String, BTreeMap<String, u32>>,
}

/// What became of the votes. planned = accepted + failed + unknown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Votes {
    /// Planned votes.
    pub planned: u64,
    /// Votes of which at least one byte left, as far as agents reported.
    pub sent: u64,
    /// Votes whose viewers were told that they count.
    pub accepted: u64,
    /// Votes refused or never sent.
    pub failed: u64,
    /// Votes of which nobody can say.
    pub unknown: u64,
    /// Viewers with a vote that was not counted within its window.
    pub complaints: u64,
    /// Viewers with a planned vote.
    pub voters: u64,
    /// Attempts sent, retries included.
    pub attempts: u64,
    /// Failed attempts by class; classes that did not occur are left out.
    pub failures: BTreeMap<String, u64>,
}

/// Three latencies, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latencies {
    /// Planned instant to accepted answer, retries included.
    pub response: Quantiles,
    /// First byte written to last byte of the answer, of every answered attempt.
    pub service: Quantiles,
    /// Planned instant to the moment the viewer began to act: the generator's own error.
    pub lateness: Quantiles,
}

/// Quantiles of one histogram, in milliseconds; `null` when nothing was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Quantiles {
    /// How many values.
    pub count: u64,
    /// Median.
    pub p50: Option<f64>,
    /// 90th percentile.
    pub p90: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
    /// 99.9th percentile.
    pub p999: Option<f64>,
    /// Largest.
    pub max: Option<f64>,
}

/// How far apart the agents started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Start {
    /// Latest minus earliest first send against plan, in milliseconds; `null` when fewer than one agent fired.
    pub spread_ms: Option<f64>,
    /// How much the fleet's clocks may add to that, in milliseconds.
    pub bound_ms: Option<f64>,
}

/// The stage's limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Limits {
    /// Connections one front accepts.
    pub connections: u32,
    /// Requests one front may have at one web server.
    pub per_server: u32,
    /// How that came about, such as `30 / 15 = 2`.
    pub per_server_computed: String,
    /// Web servers.
    pub web_servers: u16,
    /// Votes per second that one front can carry: web servers × limit / mean service time.
    pub votes_per_s: f64,
}

/// One agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Agent {
    /// Its name in this run.
    pub id: String,
    /// Its machine.
    pub host: String,
    /// How many viewers it held.
    pub viewers: u32,
    /// Whether its final snapshot arrived.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Why it was lost, if it was.
    pub lost: Option<String>,
    /// The coordinator's clock minus its own, in milliseconds; `null` when it never armed.
    pub offset_ms: Option<f64>,
    /// The most that may be wrong by, in milliseconds.
    pub bound_ms: Option<f64>,
    /// How late the viewer began whose vote left first, in milliseconds; `null` when it never fired.
    pub first_send_lateness_ms: Option<f64>,
    /// What it wants a reader to know, such as addresses that it refused to send votes to.
    pub warnings: Vec<String>,
    /// What it saw of itself and of its machine; `null` when it never fired.
    #[serde(default)]
    pub generator: Option<GeneratorPart>,
}

/// One proxy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Proxy {
    /// Its address.
    pub address: String,
    /// Connections opened.
    pub opened: u64,
    /// Connections closed.
    pub closed: u64,
    /// Of those, closed by the proxy while idle.
    pub closed_idle: u64,
    /// Attempts to connect that lost a race, or failed before their phone went on to the next address.
    #[serde(default)]
    pub also_rans: u64,
    /// The most connections open at the end of any second.
    pub peak_open: i64,
    /// The most attempts in flight at the end of any second.
    pub peak_in_flight: i64,
    /// DNS answers that named it first.
    pub dns_answers: u64,
    /// Attempts sent to it.
    pub sent: u64,
    /// Votes it accepted.
    pub accepted: u64,
    /// Attempts that failed at it.
    pub failed: u64,
    /// Those by class; classes that did not occur are left out.
    pub failures: BTreeMap<String, u64>,
    /// Its latencies.
    pub latency_ms: Latencies,
    /// What the stage's proxy counted itself; `null` for a live target.
    pub stage: Option<FrontFacts>,
}

/// One second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TimelineSecond {
    /// Its beginning, in seconds after T0.
    pub t_s: i64,
    /// The greatest share of this second's new connections that one proxy got, in [0, 1]; `null` when none was opened.
    #[serde(default)]
    pub busiest_new_share: Option<f64>,
    /// What the lateness of 99 % of the votes planned for this second was at most, in milliseconds, to within a half of it;
    /// `null` when none was planned.
    #[serde(default)]
    pub lateness_p99_ms: Option<f64>,
    /// Response times of the accepted votes that were planned for this second, at all proxies together; `null` when none was.
    #[serde(default)]
    pub response_ms: Option<SecondQuantiles>,
    /// Each proxy's figures.
    pub proxies: BTreeMap<String, ProxySecond>,
}

/// Response times of one second, from the planned instant to the accepted answer, in milliseconds. Each is what the quantile is
/// at most, to within an eighth of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SecondQuantiles {
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
}

/// Votes of one second that had no proxy to fail at: of a phone that does not know where to send its vote, no proxy hears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnplacedSecond {
    /// Its beginning, in seconds after T0.
    pub t_s: i64,
    /// Attempts failed in it, most of them at DNS.
    pub failed: u64,
}

/// One proxy in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProxySecond {
    /// Connections open at its end.
    pub open: i64,
    /// Attempts in flight at its end.
    pub in_flight: i64,
    /// Votes accepted in it.
    pub accepted: u32,
    /// Attempts failed in it.
    pub failed: u64,
    /// Attempts sent in it.
    pub sent: u32,
    /// Connections opened in it.
    pub opened: u32,
    /// DNS answers in it that named the proxy first.
    pub dns_answers: u32,
    /// Response times of the votes it accepted that were planned for this second; `null` when none was.
    #[serde(default)]
    pub response_ms: Option<SecondQuantiles>,
}
