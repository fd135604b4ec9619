//! The command against real parts: four HAProxies, nginx behind them, names through a real unbound. What HAProxy counted
//! and what we report must be the same, proxy by proxy, to the last connection and request.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::Duration;

use serde_json::Value;
use voteburst_burst::zone::ZonePolicy;

use crate::reading::Report;
use crate::scenario::Scenario;
use crate::services::{Counters, Fleet, Limits, Service, Setting};

/// What we report of a proxy, and what it counted itself.
struct Pair {
    opened: u64,
    sent: u64,
    accepted: u64,
    failed: u64,
    refused: u64,
    theirs: Counters,
}

/// A live rehearsal against these servers: the resolver in place of our carriers, ballots in a header that nginx logs.
fn live(scenario: Scenario, fleet: &Fleet) -> Scenario {
    let resolvers = format!("resolvers = [\"{}\"]", fleet.resolver());
    scenario
        .live(fleet.authority(), fleet.port())
        .with("count = 3", &resolvers)
        .with("\n[[questions]]\nid = \"winner\"", "headers = { x-ballot = \"{ballot}\" }\n\n[[questions]]\nid = \"winner\"")
}

/// Holds our figures against each proxy's own and says what was found, on a passing run as well: standard error itself,
/// for the test harness keeps what is printed to itself. A proxy that we do not name must have counted nothing.
fn reconcile(what: &str, report: &Report, fleet: &Fleet) -> Vec<Pair> {
    let nothing = Value::Null;
    let mut told = format!("{what}:\n");
    let mut pairs = Vec::new();
    for proxy in fleet.proxies() {
        let theirs = proxy.settled();
        let ours = report.list("proxies").iter().find(|ours| ours["address"] == proxy.ip().to_string()).unwrap_or(&nothing);
        let count = |value: &Value| value.as_u64().unwrap_or(0);
        let pair = Pair {
            opened: count(&ours["opened"]),
            sent: count(&ours["sent"]),
            accepted: count(&ours["accepted"]),
            failed: count(&ours["failed"]),
            refused: count(&ours["failures"]["status-5xx"]),
            theirs,
        };
        let Pair { opened, sent, accepted, refused, theirs, .. } = &pair;
        let row = [
            difference("connections", *opened, theirs.conn_tot),
            difference("requests", *sent, theirs.req_tot),
            difference("accepted", *accepted, theirs.hrsp[1]),
            difference("5xx", *refused, theirs.hrsp[4]),
        ];
        told += &format!("  {}: {}\n", proxy.ip(), row.join(", "));
        pairs.push(pair);
    }
    std::io::stderr().write_all(told.as_bytes()).unwrap();
    for Pair { opened, sent, accepted, failed, refused, theirs } in &pairs {
        assert_eq!((*opened, *sent), (theirs.conn_tot, theirs.req_tot), "connections and requests\n{told}{theirs:?}");
        assert_eq!((*accepted, *refused), (theirs.hrsp[1], theirs.hrsp[4]), "answers\n{told}{theirs:?}");
        // Nothing happened at the proxy that we have no word for: no unasked 408, no broken request.
        assert_eq!((accepted + refused, theirs.unanswered()), (theirs.req_tot, 0), "{theirs:?}");
        assert_eq!(failed, refused, "no attempt failed for any other reason: {:#}", report.at("votes"));
    }
    pairs
}

/// Asserts that nginx counted every vote that viewers were told is counted, once, and nothing else.
fn counted_once(report: &Report, fleet: Fleet) {
    let ballots = fleet.end();
    let told = report.count("votes.accepted");
    let line = format!("  by viewers and nginx: {}\n", difference("accepted", told, ballots.len() as u64));
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    assert_eq!(ballots.len() as u64, told);
    assert_eq!(ballots.iter().collect::<BTreeSet<_>>().len(), ballots.len(), "a ballot was counted twice: {ballots:?}");
}

/// Our figure, theirs, and what is between them.
fn difference(what: &str, ours: u64, theirs: u64) -> String {
    format!("{what} {ours} and {theirs} (difference {})", i128::from(ours) - i128::from(theirs))
}

fn sum(pairs: &[Pair], of: impl Fn(&Pair) -> u64) -> u64 {
    pairs.iter().map(of).sum()
}

#[test]
fn under_single_a_the_counters_of_four_haproxies_equal_our_figures_exactly() {
    // Everybody votes twice within 1.1 s over one connection, which HAProxy closes after 2.5 s of silence. Those with a third
    // vote come back by way of DNS, where the address has moved on: neither connections nor requests are simply viewers.
    let limits = Limits { keep_alive: Duration::from_millis(2_500), ..Limits::default() };
    let fleet = Fleet::start(Setting { policy: ZonePolicy::SingleAWeighted, limits, service: Service::Instant });
    let more = |id: &str, opens_at: &str, turnout: f64| {
        format!(
            "\n[[questions]]\nid = \"{id}\"\nopens_at = \"{opens_at}\"\nwindow = \"500ms\"\ngrace = \"1s\"\n\
             turnout = {turnout:?}\narrivals = {{ shape = \"uniform\" }}\nchoices = {{ cleo = 1.0 }}\n"
        )
    };
    let questions = more("second", "600ms", 1.0) + &more("third", "5500ms", 0.6);
    let scenario = Scenario::small().viewers(300).window("500ms").with("doors_open = \"500ms\"", "doors_open = \"3s\"");
    let place = live(scenario.with("ben = 0.4 }", &format!("ben = 0.4 }}\n{questions}")), &fleet).place();
    let report = place.run(&["--json"]).exits(0).report();
    report.is("pass");

    let pairs = reconcile("single-a-weighted through unbound", &report, &fleet);
    let (opened, sent) = (sum(&pairs, |pair| pair.opened), sum(&pairs, |pair| pair.sent));
    // The set-up did what it is for: viewers came back for their third vote.
    assert!(opened > 300 && sent > 600 && sent == report.count("votes.planned"), "{opened} opened, {sent} sent");
    assert!(pairs.iter().filter(|pair| pair.opened > 0).count() >= 3, "the address moved on");
    assert!(fleet.queries() >= 3, "unbound asked again when the TTL had ended: {}", fleet.queries());
    // The busiest is the same for both.
    let busiest = |of: fn(&Pair) -> u64| (0..pairs.len()).max_by_key(|number| of(&pairs[*number]));
    assert_eq!(busiest(|pair| pair.sent), busiest(|pair| pair.theirs.req_tot));
    // One address for everybody at a time. Even in a second in which it moved on, one of at least three got half.
    assert!(report.number("skew_connections.peak_1s") > 1.4, "{:#}", report.at("skew_connections"));
    counted_once(&report, fleet);
}

#[test]
fn under_multivalue_all_four_haproxies_count_what_we_report() {
    let setting = Setting { policy: ZonePolicy::Multivalue, limits: Limits::default(), service: Service::Instant };
    let fleet = Fleet::start(setting);
    let report = live(Scenario::small().viewers(300), &fleet).place().run(&["--json"]).exits(0).report();
    report.is("pass");

    let pairs = reconcile("multivalue, four of four, through unbound", &report, &fleet);
    assert!(pairs.iter().all(|pair| pair.sent > 0), "each of the four got votes");
    assert_eq!((sum(&pairs, |pair| pair.opened), sum(&pairs, |pair| pair.sent)), (300, 300), "one connection, one vote each");
    assert_eq!(report.count("votes.accepted"), 300);
    counted_once(&report, fleet);
}

#[test]
fn votes_that_a_real_queue_gives_up_are_our_5xx_proxy_by_proxy() {
    // A proxy's places: two servers with three requests of a second each. What waits for half a second is given up.
    let limits = Limits { per_server: 3, queue: Duration::from_millis(500), ..Limits::default() };
    let fleet = Fleet::start(Setting { policy: ZonePolicy::SingleAWeighted, limits, service: Service::OneSecond });
    let retry = "\n[target.retry]\nattempts = 2\nbackoff = \"100ms\"\non = [\"status-5xx\"]\n\n[[questions]]\nid = \"winner\"";
    let scenario = Scenario::small().with("doors_open = \"500ms\"", "doors_open = \"3s\"").with("\"uniform\"", "\"all-at-once\"");
    let place = live(scenario, &fleet).with("\n[[questions]]\nid = \"winner\"", retry).place();
    let report = place.run(&["--json"]).exits(1).report();
    report.is("fail");

    let pairs = reconcile("overload, one retry after a 503", &report, &fleet);
    let refused = sum(&pairs, |pair| pair.refused);
    assert!(refused > 0 && report.count("votes.accepted") > 0, "some were served, most were not: {:#}", report.at("votes"));
    assert!(sum(&pairs, |pair| pair.sent) > 200, "the app tried again");
    for Pair { refused, theirs, .. } in &pairs {
        assert_eq!(*refused, theirs.econ, "each 503 is one that HAProxy's queue gave up: {theirs:?}");
    }
    assert!(pairs.iter().any(|pair| pair.theirs.queue_peak > 0), "it was the queue");
    assert_eq!(sum(&pairs, |pair| pair.opened), 200, "a 503 leaves the connection open");
    counted_once(&report, fleet);
}
