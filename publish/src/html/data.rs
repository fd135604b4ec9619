//! What the pictures are drawn from: the figures of the report, turned from seconds of proxies to proxies of seconds, which is
//! a quarter of the size.

use serde_json::{Value, json};
use voteburst_burst::skew::EVENTS_PER_PROXY;
use voteburst_burst::tally::{RESPONSE_BANDS, band_ms};
use voteburst_coordinator::report::{ProxySecond, Report, SecondQuantiles};

use super::Shown;

/// The data of a page.
pub(super) fn of(runs: &[Shown<'_>]) -> Value {
    json!({
        "events_per_proxy": EVENTS_PER_PROXY,
        "bands": (0..=RESPONSE_BANDS).map(band_ms).collect::<Vec<_>>(),
        "runs": runs.iter().map(run).collect::<Vec<_>>(),
    })
}

fn run(shown: &Shown<'_>) -> Value {
    let Shown { report, detail, name } = shown;
    let by_proxy = |figure: fn(&ProxySecond) -> i64| by_proxy(report, figure);
    let limits = report.limits.as_ref();
    let limit = |name: &str| report.thresholds.iter().find(|threshold| threshold.name == name).map(|threshold| threshold.limit);
    json!({
        "zone": name,
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
        "lateness_limit": limit("lateness_p99_max"),
        "response_limit": limit("response_p99_max"),
        "connections": limits.map(|limits| limits.connections),
        "at_once": limits.map(|limits| u64::from(limits.per_server) * u64::from(limits.web_servers)),
        "votes_per_s": limits.map(|limits| limits.votes_per_s),
        "planned": detail.planned_per_s,
        "windows": detail.windows,
        "curve": detail.response,
        "curve_lateness": detail.lateness,
        "response": responses(report),
        "response_all": report.timeline.iter().map(|second| quantiles(second.response_ms)).collect::<Vec<_>>(),
        "response_by_second": response_by_second(report),
        "heat": heat(shown),
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

/// p50, p90 and p99 of a second, in milliseconds, of three digits: they are known to an eighth, and a page holds ten thousands.
fn quantiles(response: Option<SecondQuantiles>) -> Value {
    let short = |ms: f64| format!("{ms:.2e}").parse().unwrap_or(ms);
    response.map_or(Value::Null, |ms| [ms.p50, ms.p90, ms.p99].map(short).to_vec().into())
}

/// The same of every proxy in every second.
fn response_by_second(report: &Report) -> Value {
    let of = |address: &String| -> Value {
        report.timeline.iter().map(|second| quantiles(second.proxies.get(address).and_then(|cell| cell.response_ms))).collect()
    };
    report.proxies.iter().map(|proxy| of(&proxy.address)).collect()
}

/// Counts of every proxy by second and band: rows of a second, its lowest band with a vote, and the counts from there on.
fn heat(shown: &Shown<'_>) -> Value {
    let of = |address: &String| {
        let heat = shown.detail.heat.iter().find(|heat| heat.proxy == *address);
        let rows = heat.map_or(&[][..], |heat| &heat.seconds).iter();
        rows.map(|(t, lowest, counts)| {
            [json!(t), json!(lowest)].into_iter().chain(counts.iter().map(|count| json!(count))).collect()
        })
        .collect::<Vec<Value>>()
    };
    shown.report.proxies.iter().map(|proxy| of(&proxy.address)).collect::<Vec<_>>().into()
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
