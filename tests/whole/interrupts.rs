//! Ctrl-C in each phase: the run ends in order, what there is gets written, and the verdict is never more than unknown.

use std::time::Duration;

use crate::fixture::Running;
use crate::reading::Report;
use crate::scenario::{Place, Scenario};

/// An interrupted run has this long to end: what is in flight may be drained, nothing new begins.
const SOON: Duration = Duration::from_secs(20);

/// Interrupts the run once it has said this, and gives its report, which must be unknown for that reason.
#[track_caller]
fn interrupt_at(place: &Place, run: Running, line: &str, phase: &str) -> Report {
    run.line(line);
    run.interrupt();
    let ended = run.end_within(SOON).exits(3).says(&["stopping: what there is will be written, marked partial"]);
    let report = ended.report();
    report.is("unknown").balances();
    let reason = report.reason("partial").unwrap_or_else(|| panic!("{:#}", report.at("verdict")));
    assert!(reason.contains("interrupted") && reason.contains(phase), "`{reason}` must name the phase, {phase}");
    // It was written before it was shown, and can be shown again.
    assert_eq!(ended.stdout, place.read("run/report.json"));
    assert_eq!(place.voteburst(&["report", "run", "--json"]).end().exits(3).stdout, ended.stdout);
    report
}

#[test]
fn while_gathering() {
    let place = Scenario::small().place();
    let run = place.start_run(&["--wait-for", "2", "--listen", "127.0.0.1:0", "--json"]);
    let agent = place.voteburst(&["agent", "--join", &run.address()]).start();
    let report = interrupt_at(&place, run, "agent 0 joined", "gathering");
    // The agent that had joined is told, and does not wait for a run that will not come.
    agent.end_within(SOON).exits(3).says(&["the coordinator ended the run: interrupted while gathering"]);
    assert_eq!(report.count("ledger.never_sent"), report.count("votes.planned"));
}

#[test]
fn while_doors_open() {
    let place = Scenario::small().with("doors_open = \"500ms\"", "doors_open = \"8s\"").place();
    let run = place.start_run(&["--agents", "2", "--json"]);
    let report = interrupt_at(&place, run, "doors open:", "doors");
    assert_eq!(report.count("votes.sent"), 0, "nobody votes before T0");
    assert_eq!(report.at("connected_at_t0"), &serde_json::Value::Null);
}

#[test]
fn in_the_burst() {
    let place = Scenario::small().window("6s").place();
    let report = interrupt_at(&place, place.start_run(&["--agents", "2", "--json"]), "burst   2 s", "burst");
    let (accepted, never) = (report.count("votes.accepted"), report.count("ledger.never_sent"));
    assert!(accepted > 0 && never > 0, "some voted, and the rest never did: {accepted} and {never}");
    assert_eq!(accepted + never, 200);
    // The agents handed in their last snapshots: partial is not the same as lost.
    assert!(report.list("agents").iter().all(|agent| agent["final"] == true), "{:#}", report.at("agents"));
}

#[test]
fn between_two_questions() {
    let second = "[[questions]]\nid = \"song\"\nopens_at = \"8s\"\nwindow = \"1s\"\n\
        arrivals = { shape = \"uniform\" }\nchoices = { anthem = 1.0 }\n\n[agents]";
    let place = Scenario::small().window("1s").with("[agents]", second).place();
    let report = interrupt_at(&place, place.start_run(&["--json"]), "burst   4 s", "burst");
    assert_eq!(report.count("votes.accepted"), 200, "all votes of the first question");
    assert_eq!(report.count("ledger.never_sent"), 200, "and none of the second");
}

#[test]
fn a_second_time_while_draining() {
    // Votes take ten seconds, so that draining does.
    let scenario =
        Scenario::small().with("\"10ms\"", "\"10s\"").with("[[questions]]", "response_timeout = \"30s\"\n\n[[questions]]");
    let place = scenario.with("web_server_coefficient = 60", "web_server_coefficient = 900").place();
    let run = place.start_run(&["--json"]);
    run.line("burst   1 s");
    run.interrupt();
    run.line("draining: no further vote begins");
    run.interrupt();
    let ended = run.end_within(SOON).exits(3).says(&["abandoning"]);
    let report = ended.report();
    report.is("unknown");
    // Nobody can say what became of votes whose answers were not waited for, and nothing is made up about them.
    assert_eq!((report.count("ledger.lost"), report.count("ledger.phantom")), (0, 0), "{:#}", report.at("ledger"));
    assert!(report.count("votes.unknown") > 0, "{:#}", report.at("votes"));
}
