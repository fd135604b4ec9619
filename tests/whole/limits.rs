//! Limits of a scenario's own lines: printed with their figures in every form, and one of them stops a burst.

use crate::scenario::Scenario;

/// A stage that answers nine votes in two seconds and refuses what waits for a tenth of one.
fn choked() -> Scenario {
    Scenario::small()
        .window("12s")
        .with("\"10ms\"", "\"2s\"")
        .with("web_server_coefficient = 60", "web_server_coefficient = 3\nqueue_timeout = \"100ms\"")
}

#[test]
fn a_burst_that_breaks_a_limit_with_abort_is_drained_and_what_is_there_is_kept() {
    let lines = "[[thresholds.limits]]\nexpect = \"complaints < 10 %\"\nabort = true\n\n\
        [[thresholds.limits]]\nexpect = \"failures.status-5xx < 1 % per proxy\"\n\n\
        [[thresholds.limits]]\nexpect = \"ledger.lost <= 0\"\n\n[stage]";
    let scenario = choked().with("[stage]", lines);
    let place = scenario.place();
    let stopped = "for `complaints < 10 %` was broken: measured ";
    let ended = place.run(&["--agents", "2", "--json", "--annotations", "github"]).exits(1).says(&[stopped, "draining"]);
    // The annotation of the reason stands at the line of the limit.
    let annotation =
        format!("line={},title=voteburst%3A complaints < 10 %25::stopped", scenario.line_of("expect = \"complaints"));
    let ended = ended.says(&[&annotation]);
    let report = ended.report();
    report.is("fail").balances();
    assert!(report.reason("stopped").is_some_and(|reason| reason.contains(stopped)), "{:#}", report.at("verdict"));
    assert_eq!(report.reason("partial"), None, "a burst that its scenario stops is no partial one");
    let (accepted, refused) = (report.count("ledger.accepted"), report.count("ledger.refused"));
    assert!(accepted > 0 && refused >= 20, "what was cast is kept: {accepted} and {refused}");
    assert!(report.count("ledger.never_sent") > 20, "and the rest never was: {:#}", report.at("ledger"));
    assert!(report.list("agents").iter().all(|agent| agent["final"] == true), "{:#}", report.at("agents"));
    let own: Vec<_> = report.list("thresholds").iter().filter(|limit| limit["code"] == "expect").collect();
    let shown: Vec<_> = own.iter().map(|limit| (limit["name"].as_str().unwrap(), limit["holds"].as_bool())).collect();
    assert_eq!(
        shown,
        [
            ("complaints < 10 %", Some(false)),
            ("failures.status-5xx < 1 % per proxy", Some(false)),
            ("ledger.lost <= 0", Some(true))
        ]
    );
    assert!(own[1]["at"].as_str().is_some_and(|at| at.starts_with("127.")) && own[1]["margin"].as_f64() < Some(0.0), "{own:?}");
    // Every other form says the same, from the same directory.
    let text = place.read("run/report.txt");
    assert!(text.contains("✗ failures.status-5xx < 1 % per proxy") && text.contains("✓ ledger.lost <= 0"), "{text}");
    let junit = place.read("run/junit.xml");
    assert_eq!(junit.matches("type=\"expect\"").count(), 2, "{junit}");
    for (form, line) in
        [("summary.md", "`failures.status-5xx < 1 % per proxy`"), ("report.html", "failures.status-5xx &lt; 1 % per proxy")]
    {
        assert!(place.read(&format!("run/{form}")).contains(line), "{form}");
    }
    let again = place.voteburst(&["report", "run", "--json"]).end().exits(1);
    assert_eq!(again.stdout, ended.stdout, "a stopped run is told the same from its directory");
}
