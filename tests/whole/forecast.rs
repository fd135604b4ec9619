//! `voteburst forecast`: what DNS alone makes of a scenario, said without sending anything.

use serde_json::Value;

use crate::fixture::Ended;
use crate::scenario::{Place, Scenario};

/// 8,000 viewers in half a second behind one cache, before proxies that hold 2,000 each.
fn crowded() -> Place {
    Scenario::small().viewers(8_000).with("count = 3", "count = 1").place()
}

fn forecast(place: &Place, words: &[&str]) -> Ended {
    place.voteburst(&[&["forecast", "scenario.toml", "--trials", "20"], words].concat()).end()
}

fn rows(ended: &Ended) -> Vec<Value> {
    let told: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error} in:\n{}", ended.stdout));
    told["rows"].as_array().unwrap().clone()
}

/// The line of the table with this row.
#[track_caller]
fn line(text: &str, row: u32) -> &str {
    text.lines().find(|line| line.starts_with(&format!("{row}  "))).unwrap_or_else(|| panic!("no row {row} in:\n{text}"))
}

#[test]
fn every_combination_is_a_row_with_what_dns_makes_of_it() {
    let words = ["--zone", "single-a-weighted,multivalue", "--proxies", "4,8", "--ttl", "5,1min", "--carriers", "1,3", "--json"];
    let place = crowded();
    let rows = rows(&forecast(&place, &words).exits(0));
    assert_eq!(rows.len(), 16);
    for row in &rows {
        let proxies = row["proxies"].as_f64().unwrap();
        let total = &row["forecast"]["connections"]["total"];
        if row["zone"] == "single-a-weighted" && row["carriers"] == 1 {
            // Half a second is less than either TTL: one answer for all.
            assert_eq!((total["p1"].as_f64(), total["p99"].as_f64()), (Some(proxies), Some(proxies)), "{row:#}");
        } else if row["zone"] == "multivalue" {
            // 8,000 on 8 proxies: 1,000 each with a deviation of 30.
            assert!(total["p99"].as_f64().unwrap() < 1.15, "{row:#}");
        }
    }
    let ttls: Vec<_> = rows.iter().filter(|row| row["carriers"] == 1).map(|row| row["ttl_s"].as_u64().unwrap()).collect();
    assert_eq!(ttls, [5, 60, 5, 60, 5, 60, 5, 60]);
    assert_eq!(place.holds(), ["scenario.toml"], "nothing is kept, nothing was played");
}

#[test]
fn the_table_marks_what_a_proxy_cannot_hold_and_says_what_is_even() {
    let told = forecast(&crowded(), &["--zone", "single-a-weighted", "--zone", "multivalue", "--proxies", "8"]).exits(0);
    let text = &told.stdout;
    assert!(line(text, 1).contains("8000 (8000 to 8000) of 2000 !"), "{text}");
    assert!(line(text, 1).contains("8.00, at once 8.00"), "{text}");
    assert!(!line(text, 2).contains('!'), "{text}");
    for said in [
        "✗ row 1: the fullest proxy is all but always asked to hold more connections than it accepts",
        "✗ row 1: every connection goes to one proxy",
        "✓ row 2: even, but for chance",
        "over 20 trials",
    ] {
        assert!(text.contains(said), "`{said}` is missing in:\n{text}");
    }
}

#[test]
fn a_load_balancer_is_one_row_whatever_else_is_varied() {
    let told = forecast(&crowded(), &["--zone", "lb-alias", "--proxies", "4,8", "--ttl", "5,60", "--json"]).exits(0);
    let rows = rows(&told);
    let [row] = rows.as_slice() else { panic!("{rows:#?}") };
    assert_eq!((&row["proxies"], &row["ttl_s"]), (&3.into(), &60.into()), "three nodes and their TTL: {row:#}");
}

#[test]
fn the_same_seed_tells_the_same_and_more_trials_are_said() {
    let place = Scenario::small().with("\"multivalue\"", "\"single-a-weighted\"").place();
    let once = forecast(&place, &[]).exits(0).stdout;
    assert_eq!(once, forecast(&place, &[]).exits(0).stdout);
    let unasked = place.voteburst(&["forecast", "scenario.toml"]).end().exits(0).stdout;
    assert!(unasked.contains("over 200 trials"), "a small audience is played often:\n{unasked}");
}

#[test]
fn a_live_name_needs_to_be_told_what_its_zone_does() {
    let place = Scenario::small().live("127.0.0.1:9".parse().unwrap(), 80).place();
    forecast(&place, &[]).exits(2).says(&["without [stage]", "fix:", "voteburst dns", "--zone", "--proxies"]);
    forecast(&place, &["--zone", "multivalue"]).exits(2).says(&["--proxies"]);
    // Nobody answers at that address, and nobody is asked.
    let told = forecast(&place, &["--zone", "multivalue", "--proxies", "3", "--json"]).exits(0);
    let rows = rows(&told);
    assert_eq!((&rows[0]["ttl_s"], &rows[0]["connection_limit"]), (&60.into(), &Value::Null));
}

#[test]
fn what_makes_no_sense_is_refused_with_a_way_out() {
    let place = crowded();
    forecast(&place, &["--ttl", "1.5s"]).exits(2).says(&["whole seconds", "5min"]);
    forecast(&place, &["--proxies", "0"]).exits(2).says(&["1..=100"]);
    forecast(&place, &["--zone", "multi"]).exits(2).says(&["did you mean `multivalue`?"]);
    let many: Vec<String> = (1..=100).map(|proxies| proxies.to_string()).collect();
    forecast(&place, &["--proxies", &many.join(","), "--ttl", "1,2,3"]).exits(2).says(&["300 combinations", "at most 200"]);
    let weighted = Scenario::small().with("proxies = 3", "proxies = 3\nweights = [1, 2, 3]").place();
    forecast(&weighted, &["--proxies", "4"]).exits(2).says(&["3 weights for 4 proxies", "leave `weights` out"]);
}
