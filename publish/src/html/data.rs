//! What the pictures are drawn from: the figures of the report, turned from seconds of proxies to proxies of seconds, which is
//! a quarter of the size.

use serde_json::{Value, json};
use voteburst_burst::skew::EVENTS_PER_PROXY;
use voteburst_coordinator::report::{ProxySecond, Report};

use super::Shown;

/// The data of a page.
pub(super) fn of(runs: &[Shown<'_>]) -> Value {
    json!({
        "events_per_proxy": EVENTS_PER_PROXY,
        "runs": runs.iter().map(run).collect::<Vec<_>>(),
    })
}

fn run(shown: &Shown<'_>) -> Value {
    let Shown { report, detail } = shown;
    let by_proxy = |figure: fn(&ProxySecond) -> i64| by_proxy(report, figure);
    let limits = report.limits.as_ref();
    let late_limit = report.thresholds.iter().find(|threshold| threshold.name == "lateness_p99_max");
    json!({
        "zone": report.zone,
        "outcome": report.verdict.outcome,
        "proxies": report.proxies.iter().map(|proxy| &proxy.address).collect::<Vec<_>>(),
        "t": report.timeline.iter().map(|second| second.t_s).collect::<Vec<_>>(),
        "open": by_proxy(|cell| cell.open),
        "opened": by_proxy(|cell| cell.opened.into()),
        "in_flight": by_proxy(|cell| cell.in_flight),
        "sent": by_proxy(|cell| cell.sent.into()),
        "accepted": by_proxy(|cell| cell.accepted.into()),
        "failed": by_proxy(|cell| i64::try_from(cell.failed).unwrap_or(i64::MAX)),
        "lateness": report.timeline.iter().map(|second| second.lateness_p99_ms).collect::<Vec<_>>(),
        "lateness_limit": late_limit.map(|threshold| threshold.limit),
        "connections": limits.map(|limits| limits.connections),
        "at_once": limits.map(|limits| u64::from(limits.per_server) * u64::from(limits.web_servers)),
        "votes_per_s": limits.map(|limits| limits.votes_per_s),
        "planned": detail.planned_per_s,
        "windows": detail.windows,
        "curve": detail.response,
        "curve_lateness": detail.lateness,
        "response": responses(report),
        "failures": failures(report),
        "forecast": report.forecast.as_ref().map(|forecast| &forecast.figures),
        "carriers": carriers(report),
    })
}

/// One figure of every proxy, second by second.
fn by_proxy(report: &Report, figure: fn(&ProxySecond) -> i64) -> Vec<Vec<i64>> {
    let of = |address: &String| report.timeline.iter().map(|second| second.proxies.get(address).map_or(0, figure)).collect();
    report.proxies.iter().map(|proxy| of(&proxy.address)).collect()
}

/// Response times of every proxy, in milliseconds.
fn responses(report: &Report) -> Value {
    let quantiles = report.proxies.iter().map(|proxy| proxy.latency_ms.response);
    quantiles.map(|q| json!([q.p50, q.p90, q.p99, q.max])).collect()
}

/// Failed attempts by class; the last count of each is of those that never had a proxy.
fn failures(report: &Report) -> Value {
    let classes = report.votes.failures.iter().map(|(class, all)| {
        let mut counts: Vec<u64> = report.proxies.iter().map(|proxy| proxy.failures.get(class).copied().unwrap_or(0)).collect();
        counts.push(all.saturating_sub(counts.iter().sum()));
        json!([class, counts])
    });
    classes.collect()
}

/// Answers of every carrier by the proxy that they name first.
fn carriers(report: &Report) -> Value {
    let answers = report.dns.carriers.iter().map(|carrier| {
        let count = |address: &String| carrier.lookups.answers.get(address).copied().unwrap_or(0);
        let counts: Vec<u64> = report.proxies.iter().map(|proxy| count(&proxy.address)).collect();
        json!([carrier.carrier, carrier.share, counts])
    });
    answers.collect()
}
