//! Reports that the tests of this crate publish.

use voteburst_burst::verdict::{Bound, Effect, Outcome, Unit};
use voteburst_coordinator::report::compare::Comparison;
use voteburst_coordinator::report::{Latencies, Quantiles, ReasonPart, Report, ThresholdPart, Votes};

/// A small run on a stage: three proxies, ten seconds, all votes counted, and one limit broken.
///
/// It is kept as the file of the day it was written, so a key that is added later has to be one that older files may lack.
pub(crate) fn report() -> Report {
    serde_json::from_str(include_str!("../tests/fixture/report.json")).unwrap()
}

/// The same run with an agent lost, whose words are not ours: they hold what means something in XML, Markdown and CSV.
pub(crate) fn hostile() -> Report {
    let mut report = report();
    let text = "agent 1 lost (]]> | <script>alert(1)</script> \"&amp;\", `**x**` @team \u{1}\u{1b}[31m\r\n# t): 50.000 % of the audience missing";
    let remedy = "see that agent's own output, then run again with all agents".to_owned();
    report.verdict.outcome = Outcome::Unknown;
    report
        .verdict
        .reasons
        .insert(0, ReasonPart { code: "agent-lost".into(), effect: Effect::Unknown, text: text.into(), remedy, limit: None });
    report.proxies[0].address = "a,\"b\"\r\nc|<d>".into();
    report
}

/// A run of which nothing came: interrupted before anything was fired.
pub(crate) fn empty() -> Report {
    let mut report = report();
    report.verdict.outcome = Outcome::Unknown;
    report.verdict.reasons = vec![ReasonPart {
        code: "partial".into(),
        effect: Effect::Unknown,
        text: "the run is partial: nothing was fired: interrupted".into(),
        remedy: "run again to the end".into(),
        limit: None,
    }];
    for threshold in &mut report.thresholds {
        (threshold.measured, threshold.margin, threshold.holds) = (None, None, None);
        threshold.text = "measured nothing, at most some allowed".into();
    }
    (report.skew, report.skew_connections, report.forecast, report.connected_at_t0) = (None, None, None, None);
    report.ledger.reconciled = false;
    report.ledger.lost = None;
    report.votes = Votes::default();
    let nothing = Quantiles::default();
    report.latency_ms = Latencies { response: nothing, service: nothing, lateness: nothing };
    report.proxies.clear();
    report.timeline.clear();
    report.agents.clear();
    report
}

/// Two zones: the run, and one that was unknown; a third one was never played.
pub(crate) fn comparison() -> Comparison {
    let other = Report { zone: "single-a-weighted".into(), ..hostile() };
    Comparison::of(vec![report(), other], vec!["geo".into()])
}

/// The same run of a scenario with three limits of its own: one that held, one that was broken at a proxy, and the one that
/// stopped the burst.
pub(crate) fn expecting() -> Report {
    let mut report = report();
    let part = |name: &str, measured: f64, at: Option<&str>, bound, limit: f64, unit, holds, text: &str| ThresholdPart {
        name: name.into(),
        key: "limits[0].expect".into(),
        code: "expect".into(),
        measured: Some(measured),
        at: at.map(Into::into),
        bound,
        limit,
        unit,
        margin: Some(limit - measured),
        holds: Some(holds),
        text: text.into(),
    };
    let broken = "measured 412.5 ms at 127.0.0.2, less than 400.0 ms needed";
    report.thresholds.extend([
        part("ledger.repeated <= 0", 0.0, None, Bound::AtMost, 0.0, Unit::Votes, true, "measured 0, at most 0 allowed"),
        part("response.p99 < 400ms per proxy", 412.5, Some("127.0.0.2"), Bound::Below, 400.0, Unit::Ms, false, broken),
        part("failures < 5 %", 0.031, None, Bound::Below, 0.05, Unit::Share, false, "measured 3.100 %, less than 5.000 % needed"),
    ]);
    let reason = |code: &str, text: String, limit: &str| ReasonPart {
        code: code.into(),
        effect: Effect::Fail,
        text,
        remedy: "mend it".into(),
        limit: Some(limit.into()),
    };
    let stopped = "stopped 7.2 s after T0, for `failures < 5 %` was broken: measured 12.300 %".to_owned();
    report.verdict.reasons.insert(0, reason("stopped", stopped, "failures < 5 %"));
    let expected = format!("`response.p99 < 400ms per proxy` was broken: {broken}");
    report.verdict.reasons.push(reason("expect", expected, "response.p99 < 400ms per proxy"));
    report
}
