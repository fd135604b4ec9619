//! What others read of a rehearsal while it goes on.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::thread;

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

#[test]
fn statsd_is_told_every_vote_once_in_datagrams_that_pass_an_ethernet() {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let address = socket.local_addr().unwrap();
    let listening = thread::spawn(move || {
        let (mut counters, mut levels) = (BTreeMap::<String, u64>::new(), BTreeMap::<String, f64>::new());
        let mut datagram = [0; 65_536];
        loop {
            let length = socket.recv(&mut datagram).unwrap();
            let text = str::from_utf8(&datagram[..length]).unwrap();
            if text == "end" {
                return (counters, levels);
            }
            assert!(length <= 1_432, "{length} bytes");
            for line in text.lines() {
                let (name, rest) = line.split_once(':').unwrap();
                let (value, rest) = rest.split_once('|').unwrap();
                let (kind, tags) = rest.split_once("|#").unwrap();
                let key = format!("{name} {tags}");
                match kind {
                    "c" => *counters.entry(key).or_default() += value.parse::<u64>().unwrap(),
                    _ => drop(levels.insert(key, value.parse().unwrap())),
                }
            }
        }
    });
    let place = Scenario::small().place();
    let words = ["run", "scenario.toml", "--out", "run", "--json", "--statsd", &address.to_string()];
    let report = place.voteburst(&words).end().exits(0).report();
    UdpSocket::bind(("127.0.0.1", 0)).unwrap().send_to(b"end", address).unwrap();
    let (counters, levels) = listening.join().unwrap();

    let accepted = report.count("votes.accepted");
    assert_eq!(counters["voteburst.attempts zone:multivalue,outcome:accepted"], accepted, "{counters:#?}");
    assert_eq!(counters["voteburst.votes_planned zone:multivalue"], report.count("votes.planned"), "{counters:#?}");
    for proxy in report.list("proxies") {
        let whose = format!("zone:multivalue,proxy:{}", proxy["address"].as_str().unwrap());
        let told = counters.get(&format!("voteburst.proxy_votes_accepted {whose}")).copied();
        assert_eq!(told, proxy["accepted"].as_u64(), "{whose}");
    }
    assert_eq!(levels["voteburst.phase zone:multivalue,phase:done"], 1.0, "{levels:#?}");
}

#[test]
fn a_statsd_that_is_not_there_is_told_of_once_and_one_without_a_port_is_refused() {
    let place = Scenario::small().place();
    // Nobody has had this port since it was given back.
    let gone = UdpSocket::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().to_string();
    let ended = place.voteburst(&["run", "scenario.toml", "--out", "run", "--statsd", &gone]).end().exits(0);
    assert_eq!(ended.stderr.matches("does not take metrics").count(), 1, "{}", ended.stderr);
    let refused = place.voteburst(&["run", "scenario.toml", "--out", "other", "--statsd", "localhost"]).end().exits(2);
    refused.says(&["--statsd: found localhost", "fix:    --statsd 127.0.0.1:8125"]);
    assert!(!place.path("other").exists(), "nothing was started");
}
