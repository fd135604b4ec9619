//! Names, units, labels and values of everything that is measured live. `docs/metrics.md` shows the same as a table.
//!
//! Counters are cumulative over a run, so a scrape loses nothing between two of them. Every sample carries the run's zone, so a
//! `compare` keeps the figures of all its zones until it ends.

use std::sync::Arc;

use voteburst_coordinator::conductor::Phase;
use voteburst_coordinator::live::{AgentState, BOUNDS_S, LatencyLive, Live, LiveAgent, LiveProxy};

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows during a run.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of values up to fixed bounds.
    Histogram,
}

/// Buckets of a histogram, as `le` has them.
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets {
    /// Values up to each bound in seconds, each with all those below it.
    pub up_to: Vec<(f64, u64)>,
    /// All values.
    pub count: u64,
    /// Their sum, in seconds.
    pub sum: f64,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of a counter.
    Count(u64),
    /// Of a gauge.
    Level(f64),
    /// Of a histogram.
    Buckets(Buckets),
}

/// A value and whose it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Labels, in the order they are written.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: Value,
}

/// All values of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Its name; counters without their `_total`.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its meaning in a sentence.
    pub help: &'static str,
    /// Its values.
    pub samples: Vec<Sample>,
}

/// Everything, in one fixed order.
#[must_use]
pub fn families(runs: &[Arc<Live>]) -> Vec<Family> {
    let mut all = vec![Family {
        name: "voteburst_build_info",
        kind: Kind::Gauge,
        help: "The voteburst that speaks; always 1.",
        samples: vec![Sample { labels: vec![("version", env!("CARGO_PKG_VERSION").into())], value: Value::Level(1.0) }],
    }];
    all.extend(of_runs(runs));
    all.extend(of_proxies(runs));
    all.extend(of_agents(runs));
    all
}

fn zone(live: &Live) -> (&'static str, String) {
    ("zone", live.zone.clone().unwrap_or_else(|| "live".into()))
}

fn each(
    name: &'static str,
    kind: Kind,
    help: &'static str,
    runs: &[Arc<Live>],
    of: impl Fn(&Live) -> Vec<(Vec<(&'static str, String)>, Value)>,
) -> Family {
    let samples = runs.iter().flat_map(|live| {
        of(live).into_iter().map(|(labels, value)| Sample { labels: [vec![zone(live)], labels].concat(), value })
    });
    Family { name, kind, help, samples: samples.collect() }
}

fn of_runs(runs: &[Arc<Live>]) -> Vec<Family> {
    let level = |name, help, of: fn(&Live) -> f64| {
        each(name, Kind::Gauge, help, runs, move |live| vec![(Vec::new(), Value::Level(of(live)))])
    };
    let count = |name, help, of: fn(&Live) -> u64| {
        each(name, Kind::Counter, help, runs, move |live| vec![(Vec::new(), Value::Count(of(live)))])
    };
    vec![
        each("voteburst_run_info", Kind::Gauge, "A run of this command; always 1.", runs, |live| {
            vec![(vec![("run", live.run.clone()), ("scenario", live.scenario.clone())], Value::Level(1.0))]
        }),
        each("voteburst_phase", Kind::Gauge, "1 for the phase that the run is in, 0 for all others.", runs, |live| {
            let here = |phase: Phase| Value::Level(f64::from(u8::from(phase == live.phase)));
            Phase::ALL.map(|phase| (vec![("phase", phase.to_string())], here(phase))).to_vec()
        }),
        each(
            "voteburst_since_t0_seconds",
            Kind::Gauge,
            "Time since T0, negative before it; absent until T0 is fixed.",
            runs,
            |live| live.second.map(|second| (Vec::new(), Value::Level(second as f64))).into_iter().collect(),
        ),
        level("voteburst_viewers", "Viewers of the plan.", |live| live.viewers.into()),
        level("voteburst_viewers_connected", "Viewers' connections open now.", |live| live.connected.into()),
        level("voteburst_plan_votes", "Votes of the whole plan.", |live| live.planned_total as f64),
        count("voteburst_votes_planned", "Votes that were due until now.", |live| live.planned),
        count("voteburst_attempts_sent", "Attempts whose bytes began to leave.", |live| live.sent),
        count("voteburst_votes_ended", "Votes that have their fate.", |live| live.ended),
        each("voteburst_attempts", Kind::Counter, "Attempts by what became of them.", runs, |live| {
            let outcome = |(name, count): (&&'static str, &u64)| (vec![("outcome", (*name).to_owned())], Value::Count(*count));
            live.outcomes.iter().map(outcome).collect()
        }),
        each("voteburst_dns_lookups", Kind::Counter, "Lookups of phones, by what answered them.", runs, |live| {
            let kinds = [("answered", live.dns.answers), ("remembered", live.dns.remembered), ("failed", live.dns.failures)];
            kinds.map(|(result, count)| (vec![("result", result.to_owned())], Value::Count(count))).to_vec()
        }),
        each("voteburst_lateness_seconds", Kind::Histogram, "How much later than planned votes were sent.", runs, |live| {
            vec![(Vec::new(), buckets(&live.lateness))]
        }),
    ]
}

fn buckets(latency: &LatencyLive) -> Value {
    let none = || BOUNDS_S.map(|bound| (bound, 0)).to_vec();
    let up_to = if latency.buckets.is_empty() { none() } else { latency.buckets.clone() };
    Value::Buckets(Buckets { up_to, count: latency.count, sum: latency.sum_s })
}

fn of_proxies(runs: &[Arc<Live>]) -> Vec<Family> {
    let of = |name, kind, help, value: fn(&LiveProxy) -> Option<Value>| {
        each(name, kind, help, runs, move |live| {
            let sample = |proxy: &LiveProxy| Some((vec![("proxy", proxy.address.clone())], value(proxy)?));
            live.proxies.iter().filter_map(sample).collect()
        })
    };
    let gauge = |name, help, value| of(name, Kind::Gauge, help, value);
    let counter = |name, help, value| of(name, Kind::Counter, help, value);
    vec![
        gauge("voteburst_proxy_connections_open", "Connections open now.", |proxy| Some(Value::Level(proxy.open as f64))),
        gauge("voteburst_proxy_connections_limit", "Connections that it accepts at most; absent when not known.", |proxy| {
            proxy.limit.map(|limit| Value::Level(limit as f64))
        }),
        counter("voteburst_proxy_connections_opened", "Connections opened.", |proxy| Some(Value::Count(proxy.connections))),
        counter("voteburst_proxy_connections_refused", "Connections refused.", |proxy| Some(Value::Count(proxy.refused))),
        counter("voteburst_proxy_attempts_sent", "Attempts whose bytes began to leave.", |proxy| Some(Value::Count(proxy.sent))),
        counter("voteburst_proxy_votes_accepted", "Votes accepted.", |proxy| Some(Value::Count(proxy.accepted))),
        counter("voteburst_proxy_attempts_failed", "Attempts that failed.", |proxy| Some(Value::Count(proxy.failed))),
        counter("voteburst_proxy_dns_answers", "DNS answers whose first address it was.", |proxy| {
            Some(Value::Count(proxy.dns_answers))
        }),
        of(
            "voteburst_response_seconds",
            Kind::Histogram,
            "From the planned instant of a vote to its accepted answer.",
            |proxy| Some(buckets(&proxy.response)),
        ),
    ]
}

fn of_agents(runs: &[Arc<Live>]) -> Vec<Family> {
    let of = |name, help, value: fn(&LiveAgent) -> Option<f64>| {
        each(name, Kind::Gauge, help, runs, move |live| {
            let sample = |agent: &LiveAgent| {
                let labels = vec![("agent", agent.id.to_string()), ("host", agent.host.clone())];
                Some((labels, Value::Level(value(agent)?)))
            };
            live.agents.iter().filter_map(sample).collect()
        })
    };
    vec![
        of("voteburst_agent_lost", "1 when nobody hears of the agent any more.", |agent| {
            Some(f64::from(u8::from(agent.state == AgentState::Lost)))
        }),
        of("voteburst_agent_viewers", "Viewers of its share.", |agent| Some(agent.viewers.into())),
        of("voteburst_agent_connected", "Its connections open now.", |agent| Some(agent.connected.into())),
        of("voteburst_agent_clock_offset_seconds", "The coordinator's clock minus its own.", |agent| {
            agent.offset_ms.map(|millis| millis / 1e3)
        }),
        of("voteburst_agent_clock_bound_seconds", "How wrong its offset may be.", |agent| {
            agent.bound_ms.map(|millis| millis / 1e3)
        }),
        of("voteburst_agent_lateness_p99_seconds", "Of its votes 99 % were at most so late.", |agent| {
            agent.lateness_p99_ms.map(|millis| millis / 1e3)
        }),
        of("voteburst_agent_stall_max_seconds", "Its longest stall.", |agent| agent.stall_max_ms.map(|millis| millis / 1e3)),
    ]
}
