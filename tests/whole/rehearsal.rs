//! Rehearsals that go well: what they show, what they leave, and that the same seed gives the same.

use std::time::Duration;

use crate::reading::Report;
use crate::scenario::Scenario;

/// The keys that other programs may read, as the README promises them.
const STABLE_KEYS: &[&str] = &[
    "schema",
    "verdict.outcome",
    "verdict.reasons",
    "plan.hash",
    "plan.viewers",
    "plan.tickets",
    "plan.seed",
    "votes.planned",
    "votes.sent",
    "votes.accepted",
    "votes.failed",
    "votes.unknown",
    "votes.complaints",
    "ledger.lost",
    "ledger.duplicated",
    "ledger.phantom",
    "ledger.late",
    "latency_ms.response.p50",
    "latency_ms.response.p90",
    "latency_ms.response.p99",
    "latency_ms.response.p999",
    "latency_ms.response.max",
    "latency_ms.service.p50",
    "latency_ms.service.p90",
    "latency_ms.service.p99",
    "latency_ms.service.p999",
    "latency_ms.service.max",
    "latency_ms.lateness.p50",
    "latency_ms.lateness.p90",
    "latency_ms.lateness.p99",
    "latency_ms.lateness.p999",
    "latency_ms.lateness.max",
    "skew.total",
    "skew.peak_1s",
    "skew.peak_5s",
    "skew.effective_proxies",
    "start.spread_ms",
    "start.bound_ms",
    "agents.0.id",
    "agents.0.viewers",
    "agents.0.final",
    "agents.0.offset_ms",
    "agents.0.bound_ms",
    "proxies.0.address",
    "proxies.0.opened",
    "proxies.0.peak_open",
    "proxies.0.accepted",
    "proxies.0.failed",
    "proxies.0.latency_ms.response.p99",
    "timeline.0.t_s",
    "timeline.0.proxies",
];

fn smoke() -> String {
    format!("{}/scenarios/smoke.toml", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_smoke_scenario_passes_in_time_and_its_report_has_every_stable_key_and_can_be_made_again() {
    let place = Scenario::small().place();
    let run = place.voteburst(&["run", &smoke(), "--out", "run", "--json"]).start();
    let ended = run.end_within(Duration::from_secs(20)).exits(0);
    let report = ended.report();
    report.is("pass").balances();
    assert_eq!(report.count("votes.accepted"), report.count("votes.planned"));
    assert_eq!(report.count("votes.complaints"), 0);
    let missing: Vec<_> = STABLE_KEYS.iter().filter(|key| report.at(key).is_null()).collect();
    assert!(missing.is_empty(), "null after a run that had everything: {missing:?}");
    assert_eq!(report.text("schema"), "voteburst.report/1");
    timeline_adds_up(&report);

    // What was shown was written before, and is a function of the run directory alone.
    let (json, text) = (place.read("run/report.json"), place.read("run/report.txt"));
    assert_eq!(ended.stdout, json);
    std::fs::remove_file(place.path("run/report.json")).unwrap();
    std::fs::remove_file(place.path("run/report.txt")).unwrap();
    let again = place.voteburst(&["report", "run"]).end().exits(0);
    assert_eq!((place.read("run/report.json"), place.read("run/report.txt")), (json.clone(), text.clone()));
    assert_eq!(again.stdout, text);
    assert_eq!(place.voteburst(&["report", "run", "--json"]).end().exits(0).stdout, json);
}

/// The seconds of every proxy must add up to its totals, and those to the fleet's.
fn timeline_adds_up(report: &Report) {
    let mut accepted = 0;
    for proxy in report.list("proxies") {
        let address = proxy["address"].as_str().unwrap();
        let second = |second: &serde_json::Value| second["proxies"][address].clone();
        let seconds: Vec<_> = report.list("timeline").iter().map(second).filter(|second| !second.is_null()).collect();
        for key in ["open", "in_flight", "accepted", "failed"] {
            assert!(seconds.iter().all(|second| second[key].is_number()), "`{key}` in every second of {address}");
        }
        let sum: u64 = seconds.iter().map(|second| second["accepted"].as_u64().unwrap()).sum();
        assert_eq!(sum, proxy["accepted"].as_u64().unwrap(), "seconds of {address}");
        accepted += sum;
    }
    assert_eq!(accepted, report.count("votes.accepted"));
}

#[test]
fn the_same_seed_gives_the_same_plan_in_check_and_run_and_another_seed_another() {
    let place = Scenario::small().place();
    let check = |words: &[&str]| {
        let ended = place.voteburst(&[&["check", "scenario.toml"], words].concat()).end().exits(0);
        let keep = |line: &&str| ["scenario ", "question ", "votes "].iter().any(|word| line.starts_with(word));
        ended.stdout.lines().filter(keep).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let (first, second, other) = (check(&[]), check(&["--seed", "7"]), check(&["--seed", "8"]));
    assert_eq!(first.len(), 3, "scenario, question, votes: {first:?}");
    assert_eq!(first, second);
    assert!(first.iter().zip(&other).all(|(line, other)| line != other), "{first:?} and {other:?}");
    // The plan that is played is the one that was checked: hash, tickets, and how many for each choice.
    let report = place.run(&["--json"]).exits(0).report();
    assert!(first[0].ends_with(report.text("plan.hash")), "{first:?}");
    let choices = ["anna", "ben"].map(|choice| format!("{choice} {}", report.count(&format!("plan.choices.winner.{choice}"))));
    assert!(first[1].ends_with(&format!("{} votes ({})", report.count("plan.tickets"), choices.join(", "))), "{first:?}");
    assert_eq!(report.count("plan.seed"), 7);
    let again = place.voteburst(&["run", "scenario.toml", "--out", "again", "--json"]).end().exits(0).report();
    assert_eq!(report.at("plan"), again.at("plan"));
}

#[test]
fn a_comparison_shows_that_one_window_fails_what_multivalue_keeps() {
    // Four proxies carry 100 votes a second each (2 web servers × 8 / 4 places / 40 ms), and 200 come: too many for
    // the one that all phones know, and half of what the four can do.
    let scenario = Scenario::small().viewers(400);
    let scenario = scenario.with("proxies = 3", "proxies = 4").with("web_servers = 3", "web_servers = 2");
    let scenario = scenario.with("web_server_coefficient = 60", "web_server_coefficient = 8").with("\"10ms\"", "\"40ms\"");
    let scenario = scenario.with("zone = \"multivalue\"", "zone = \"multivalue\"\nwindow = \"1h\"\nqueue_timeout = \"500ms\"");
    let place = scenario.with("response_p99_max = \"5s\"", "response_p99_max = \"5s\"\naccepted_min = 0.99").place();
    let zones = ["--zone", "single-a-window", "--zone", "multivalue"];
    let ended = place.voteburst(&[&["compare", "scenario.toml", "--out", "both", "--json"], zones.as_slice()].concat()).end();
    // One zone passes, so there is one to take.
    let ended = ended.exits(0);
    let comparison = ended.report();
    assert_eq!(ended.stdout, place.read("both/compare.json"));
    assert_eq!(comparison.text("schema"), "voteburst.compare/1");
    assert_eq!(comparison.text("winner"), "multivalue");
    assert_eq!(comparison.list("reasons").len(), 2);
    let of = |run: usize, zone: &str| {
        assert_eq!(comparison.text(&format!("runs.{run}.zone")), zone);
        Report(comparison.at(&format!("runs.{run}.report")).clone())
    };
    let (single, multivalue) = (of(0, "single-a-window"), of(1, "multivalue"));
    single.is("fail").balances();
    assert!(single.reason("accepted").is_some(), "{:#}", single.at("verdict"));
    assert!(single.failures("status-5xx") > 0, "its web servers were full");
    // Everything met on one proxy: it did the work of one.
    assert_eq!(single.number("skew.effective_proxies"), 1.0);
    multivalue.is("pass").balances();
    assert!(multivalue.number("skew.effective_proxies") > 3.0, "{:#}", multivalue.at("skew"));
    // Both played the same tickets.
    assert_eq!(single.at("plan.choices"), multivalue.at("plan.choices"));

    let json = place.read("both/compare.json");
    std::fs::remove_file(place.path("both/multivalue/report.json")).unwrap();
    assert_eq!(place.voteburst(&["report", "both", "--json"]).end().exits(0).stdout, json);
    assert!(place.path("both/multivalue/report.json").is_file(), "each zone's report is made again too");
}

/// Votes whose first answer comes too late for the app, which then sends them again: exponential service times of
/// 300 ms in the mean, and patience for 200 ms.
fn impatient(ballot_box: &str) -> Report {
    let retry =
        "response_timeout = \"200ms\"\n\n[target.retry]\nattempts = 4\nbackoff = \"50ms\"\non = [\"no-answer\"]\n\n[[questions]]";
    let service = format!("{{ distribution = \"exponential\", mean = \"300ms\" }}\nballot_box = \"{ballot_box}\"");
    let scenario =
        Scenario::small().with("[[questions]]", retry).with("web_server_coefficient = 60", "web_server_coefficient = 600");
    let place = scenario.with("{ distribution = \"constant\", mean = \"10ms\" }", &service).place();
    place.run(&["--json"]).exits(1).report()
}

#[test]
fn a_backend_that_counts_every_request_is_caught_counting_retries_twice() {
    let report = impatient("every-request");
    report.is("fail");
    assert!(report.count("ledger.duplicated") > 0, "{:#}", report.at("ledger"));
    assert!(report.reason("duplicated").is_some(), "{:#}", report.at("verdict"));
}

#[test]
fn a_backend_that_counts_each_ballot_once_is_not_hurt_by_retries() {
    let report = impatient("once-per-ballot");
    report.balances();
    assert!(report.count("ledger.repeated") > 0, "ballots came again: {:#}", report.at("ledger"));
    assert_eq!(report.reason("duplicated"), None);
}

#[test]
fn three_agents_of_their_own_with_an_address_each_start_together_and_complete() {
    let place = Scenario::small().viewers(300).place();
    let run = place.start_run(&["--wait-for", "3", "--listen", "127.0.0.1:0", "--json"]);
    let address = run.address();
    let sources = ["127.91.7.1", "127.91.7.2", "127.91.7.3"];
    let agents = sources.map(|source| place.voteburst(&["agent", "--join", &address, "--source", source]).start());
    run.line("ready: 300 of 300 viewers connected");
    for source in sources {
        let held = connections_from(source);
        assert!(held >= 100, "{held} connections come from {source}, whose agent holds 100 viewers");
    }
    let report = run.end().exits(0).report();
    for agent in agents {
        agent.end().exits(0).says(&["joining", "done: this agent's share is with the coordinator"]);
    }
    report.is("pass").balances();
    assert_eq!(report.count("votes.accepted"), 300);
    assert!((0.0..2_000.0).contains(&report.number("start.spread_ms")));
    assert!(report.number("start.bound_ms") > 0.0, "clocks of three processes are never known exactly");
    for agent in report.list("agents") {
        assert_eq!((&agent["viewers"], &agent["final"], &agent["lost"]), (&100.into(), &true.into(), &().into()));
        assert!(agent["offset_ms"].is_number() && agent["bound_ms"].is_number(), "{agent:#}");
    }
    assert_eq!(report.list("agents").len(), 3);
}

/// TCP connections in state ESTABLISHED whose local address is this one (proc(5), `/proc/net/tcp`: addresses in
/// hexadecimal, bytes of the host's order).
fn connections_from(address: &str) -> usize {
    let octets = address.parse::<std::net::Ipv4Addr>().unwrap().octets();
    let local = format!(" {:08X}:", u32::from_ne_bytes(octets));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table
        .lines()
        .filter(|line| {
            line.split_once(": ").is_some_and(|(_, rest)| format!(" {rest}").starts_with(&local) && rest.contains(" 01 "))
        })
        .count()
}
