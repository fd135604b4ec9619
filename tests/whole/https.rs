//! Both clients over TLS: the same plan with `client = "lean"` and with `client = "full"` must come to the same, on a stage
//! and at a real HAProxy, whose own figures and log say which protocol was spoken.

use std::time::Duration;

use crate::reading::Report;
use crate::scenario::Scenario;
use crate::services::{Limits, Secure, Service};

/// The small scenario over https with all phones of one client.
fn over_tls(scenario: &Scenario, client: &str) -> Scenario {
    let phones = format!("viewers = 200\nphones = [{{ kind = \"android-okhttp\", share = 1.0, client = \"{client}\" }}]");
    scenario.clone().with("http://", "https://").with("viewers = 200", &phones)
}

/// Plays the scenario with lean phones and with full ones.
fn played(scenario: &Scenario, code: i32) -> [Report; 2] {
    ["lean", "full"].map(|client| over_tls(scenario, client).place().run(&["--json"]).exits(code).report())
}

/// What must not depend on the client: who voted for what, and what became of it. At which proxy is the zone's choice, which
/// goes by the order in which carriers ask.
fn outcome(report: &Report) -> Vec<(String, serde_json::Value)> {
    let words = ["plan.tickets", "plan.choices", "votes.planned", "votes.accepted", "votes.attempts", "ledger"];
    let keys = words.map(|key| (key.to_owned(), report.at(key).clone()));
    let sum = |key: &str| report.list("proxies").iter().map(|proxy| proxy[key].as_u64().unwrap()).sum::<u64>();
    let sums = ["opened", "sent", "accepted", "failed"].map(|key| (format!("all proxies: {key}"), sum(key).into()));
    keys.into_iter().chain(sums).collect()
}

#[test]
fn a_stage_over_https_gives_both_clients_the_same_outcomes() {
    let [lean, full] = played(&Scenario::small(), 0);
    for report in [&lean, &full] {
        report.is("pass").balances();
        assert_eq!((report.count("votes.accepted"), report.count("votes.complaints")), (200, 0));
    }
    assert_eq!(outcome(&lean), outcome(&full));
}

#[test]
fn an_overloaded_stage_refuses_both_clients_in_the_same_way() {
    // One place at each of nine web servers for a second each: nobody else is served within 300 ms.
    let scenario = Scenario::small().with("web_server_coefficient = 60", "web_server_coefficient = 3");
    let scenario = scenario.with("\"10ms\"", "\"1s\"").with("proxies = 3", "proxies = 3\nqueue_timeout = \"300ms\"");
    let scenario = scenario.with("\"uniform\"", "\"all-at-once\"");
    let [lean, full] = played(&scenario.with("response_p99_max = \"5s\"", "accepted_min = 0.9\nresponse_p99_max = \"5s\""), 1);
    for report in [&lean, &full] {
        report.is("fail").balances();
        assert_eq!((report.failures("status-5xx"), report.count("votes.accepted")), (191, 9), "{:#}", report.at("votes"));
    }
    assert_eq!(outcome(&lean), outcome(&full));
}

/// Plays the scenario at a real HAProxy of its own with both clients. Each must have spoken its protocol and no other, and
/// HAProxy and nginx must have counted what we report.
fn played_for_real(scenario: &Scenario, limits: Limits, service: Service, code: i32) -> [Report; 2] {
    [("lean", "HTTP/1.1"), ("full", "HTTP/2.0")].map(|(client, version)| {
        let proxy = Secure::start(limits, service);
        let live = over_tls(scenario, client).live(proxy.authority(), proxy.address().port());
        let trust = format!("ca_file = {:?}\nheaders = {{ x-ballot = \"{{ballot}}\" }}\nbody = '", proxy.ca_file());
        let report = live.with("body = '", &trust).place().run(&["--json"]).exits(code).report();
        let theirs = proxy.settled();
        let (opened, sent) = (report.count("proxies.0.opened"), report.count("proxies.0.sent"));
        assert_eq!((opened, sent), (theirs.conn_tot, theirs.req_tot), "{client}: {theirs:?}");
        assert_eq!(proxy.logged(version) as u64, sent, "{client}: every request was of {version}");
        let http2 = if client == "full" { opened } else { 0 };
        assert_eq!((proxy.figure("h2_total_connections"), proxy.figure("ssl_sess")), (http2, opened), "{client}");
        let (accepted, refused) = (report.count("votes.accepted"), report.failures("status-5xx"));
        assert_eq!((accepted, refused), (theirs.hrsp[1], theirs.hrsp[4]), "{client}: {theirs:?}");
        assert_eq!(proxy.end().len() as u64, accepted, "{client}: nginx counted what viewers were told");
        report
    })
}

#[test]
fn a_real_haproxy_speaks_http2_with_full_phones_and_http1_with_lean_ones_and_both_come_to_the_same() {
    let [lean, full] = played_for_real(&Scenario::small(), Limits::default(), Service::Instant, 0);
    for report in [&lean, &full] {
        report.is("pass");
        assert_eq!(report.count("votes.accepted"), 200);
    }
    assert_eq!(outcome(&lean), outcome(&full));
}

#[test]
fn an_overloaded_real_haproxy_refuses_both_clients_in_the_same_way() {
    // Two servers with three requests of a second each; what waits for half a second is given up.
    let limits = Limits { per_server: 3, queue: Duration::from_millis(500), ..Limits::default() };
    let scenario = Scenario::small().with("\"uniform\"", "\"all-at-once\"");
    let scenario = scenario.with("response_p99_max = \"5s\"", "accepted_min = 0.9\nresponse_p99_max = \"5s\"");
    let [lean, full] = played_for_real(&scenario, limits, Service::OneSecond, 1);
    for report in [&lean, &full] {
        report.is("fail");
        assert_eq!((report.count("votes.accepted"), report.failures("status-5xx")), (6, 194), "{:#}", report.at("votes"));
    }
    assert_eq!(outcome(&lean), outcome(&full));
}
