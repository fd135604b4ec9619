//! What others read of a rehearsal while it goes on.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::fixture::skipped;
use crate::formats::python;
use crate::scenario::Scenario;

#[test]
fn prometheus_own_parsers_read_the_endpoint_and_every_query_of_the_dashboard_finds_something() {
    let python = match python() {
        Ok(python) => python,
        Err(why) if std::env::var_os("CI").is_some() => panic!("CI must read metrics with Prometheus' own parser: {why}"),
        Err(why) => return skipped(&format!("no Python with the readers: {why}")),
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = Scenario::small().place();
    let running = place.voteburst(&["run", "scenario.toml", "--out", "run", "--web", "127.0.0.1:0", "--json"]).start();
    let line = running.line("watch it on ");
    let url = line.rsplit(' ').next().unwrap();
    let mut reader = Command::new(python);
    let reader = reader.arg(root.join("tests/clients/metrics.py")).arg(url).arg(root.join("docs/grafana.json"));
    let read = reader.output().unwrap();
    let report = running.end().exits(0).report();

    let (said, wrong) = (String::from_utf8_lossy(&read.stdout), String::from_utf8_lossy(&read.stderr));
    assert!(read.status.success(), "{said}{wrong}");
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(told["planned"].as_f64(), Some(200.0), "{told:#}");
    assert!(told["shown"].as_array().unwrap().len() >= 15, "{told:#}");
    assert_eq!(told["accepted"], told["by_proxy"], "{told:#}");
    let (seen, accepted) = (told["accepted"].as_f64().unwrap(), report.count("votes.accepted") as f64);
    // The last look may have come before the last votes; once the run is over nothing is missing.
    assert!(seen > 0.0 && seen <= accepted && (told["phase"] != "done" || seen == accepted), "{told:#}");
}
