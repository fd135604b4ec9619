//! What DNS does to a run as a whole: a name of another kind than production's, and a zone that changes in mid-run.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::runtime::Runtime;
use voteburst_burst::zone::{Member, Zone, ZonePolicy};
use voteburst_dns::authority::Authority;

use crate::scenario::Scenario;

/// Production's name server, which answers with one address of three.
fn production() -> (Runtime, Authority) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let member = |number: u8| Member::new(format!("proxy-{number}"), Ipv4Addr::new(192, 0, 2, number).into());
    let zone = Zone::new(ZonePolicy::SingleAWeighted, (1..=3).map(member).collect(), 5, Duration::from_secs(5), 7).unwrap();
    let authority = Authority::start("127.0.0.1:0".parse().unwrap(), "vote.production.test", zone);
    let authority = runtime.block_on(authority).unwrap();
    (runtime, authority)
}

#[test]
fn a_run_on_a_name_of_another_kind_than_productions_is_refused_or_proves_nothing() {
    let (_runtime, production) = production();
    let dns =
        format!("[dns]\nproduction_name = \"vote.production.test\"\nproduction_servers = [\"{}\"]\n\n", production.address());
    let scenario = Scenario::small().with("[target]", &format!("{dns}[target]"));
    let place = scenario.place();
    place.run(&[]).exits(2).says(&[
        "dns.production_name: vote.small.test is not of the same kind as vote.production.test",
        "--against vote.small.test",
        "stage.zone",
    ]);
    assert_eq!(place.holds(), ["scenario.toml"], "nothing was started, nothing is left");
    let report = place.run(&["--json", "--force"]).exits(3).report();
    let reason = report.is("unknown").reason("forced").unwrap();
    assert!(reason.contains("not of the same kind"), "{reason}");

    let alike = scenario.with("zone = \"multivalue\"", "zone = \"single-a-weighted\"");
    alike.place().run(&["--json"]).report().balances();
}

#[test]
fn a_proxy_that_leaves_the_zone_in_mid_run_gets_no_new_connections() {
    // Phones ask for every connection, and connections are closed often: what the zone says is soon where they go.
    let scenario = Scenario::small()
        .window("6s")
        .with("doors_open = \"500ms\"", "doors_open = \"1s\"\nphones = [{ kind = \"glibc-no-cache\", share = 1.0 }]")
        .with("proxies = 3", "proxies = 3\nttl = \"0s\"\nkeep_alive_timeout = \"300ms\"")
        .with("\"10ms\" }\n", "\"10ms\" }\n\n[[stage.changes]]\nat = \"1s\"\nproxy = 1\nbecomes = \"removed\"\n");
    let report = scenario.place().run(&["--json"]).report();
    let first = report.text("proxies.0.address").to_owned();
    let opened = |from: i64, to: i64| -> u64 {
        let seconds = report.list("timeline").iter().filter(|second| (from..to).contains(&second["t_s"].as_i64().unwrap()));
        seconds.map(|second| second["proxies"][&first]["opened"].as_u64().unwrap()).sum()
    };
    assert!(opened(-60, 1) > 20, "before it left: {:#}", report.at("proxies"));
    // A connection that was asked for in time may come about a moment later.
    assert_eq!(opened(2, 60), 0, "{:#}", report.at("timeline"));
    let others: u64 = report.list("proxies")[1..].iter().map(|proxy| proxy["opened"].as_u64().unwrap()).sum();
    assert!(others > 100, "{:#}", report.at("proxies"));
}
