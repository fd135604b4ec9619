//! Reports that the tests of this crate publish.

use voteburst_burst::verdict::{Effect, Outcome};
use voteburst_coordinator::report::compare::Comparison;
use voteburst_coordinator::report::{Latencies, Quantiles, ReasonPart, Report, Votes};

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
        .insert(0, ReasonPart { code: "agent-lost".into(), effect: Effect::Unknown, text: text.into(), remedy });
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
