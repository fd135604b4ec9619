//! A rehearsal that is pushed as OTLP, read by messages and a protobuf that are not ours.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::fixture::skipped;
use crate::formats::python;
use crate::scenario::Scenario;

/// OpenTelemetry's messages in Python, which take what is pushed.
struct Receiver {
    process: Child,
    said: BufReader<ChildStdout>,
    url: String,
}

impl Receiver {
    fn start(python: &PathBuf) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/otlp.py");
        let mut process =
            Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python starts");
        let mut said = BufReader::new(process.stdout.take().unwrap());
        let mut url = String::new();
        said.read_line(&mut url).unwrap();
        Self { process, said, url: url.trim_end().to_owned() }
    }

    /// What it took.
    fn end(mut self) -> Value {
        drop(self.process.stdin.take());
        let mut json = String::new();
        self.said.read_to_string(&mut json).unwrap();
        self.process.wait().unwrap();
        serde_json::from_str(&json).unwrap()
    }
}

/// The first column of docs/metrics.md.
fn documented() -> BTreeSet<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).unwrap();
    let name = |line: &str| line.strip_prefix("| `voteburst_")?.split_once('`').map(|(name, _)| format!("voteburst_{name}"));
    text.lines().filter_map(name).collect()
}

#[test]
fn a_receiver_of_otlp_has_the_votes_under_the_names_of_the_endpoint_and_a_trace_of_the_phases() {
    let python = match python() {
        Ok(python) => python,
        Err(why) if std::env::var_os("CI").is_some() => panic!("CI must read OTLP with OpenTelemetry's own messages: {why}"),
        Err(why) => return skipped(&format!("no Python with the readers: {why}")),
    };
    let receiver = Receiver::start(&python);
    let place = Scenario::small().place();
    let words =
        ["run", "scenario.toml", "--out", "run", "--json", "--otlp", &receiver.url, "--otlp-headers", "x-team=show%20one"];
    let ended = place.voteburst(&words).end().exits(0);
    assert!(!ended.stderr.contains("does not take OTLP"), "{}", ended.stderr);
    let (report, took) = (ended.report(), receiver.end());

    let names: BTreeSet<String> = took["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().into()).collect();
    assert_eq!(names, documented());
    assert_eq!(took["headers"], serde_json::json!(["show one"]));
    let value = |key: &str| took["values"][key].as_f64().unwrap_or_else(|| panic!("no {key} in {:#}", took["values"]));
    assert_eq!(value("voteburst.attempts zone=multivalue,outcome=accepted"), report.count("votes.accepted") as f64);
    assert_eq!(value("voteburst.lateness zone=multivalue"), report.count("votes.planned") as f64);
    assert_eq!(value("voteburst.phase zone=multivalue,phase=done"), 1.0);

    let spans = took["spans"].as_array().unwrap();
    let (whole, phases) = spans.split_first().unwrap();
    let told: Vec<_> = phases.iter().map(|span| span["name"].as_str().unwrap()).collect();
    assert_eq!(
        (whole["name"].as_str(), told),
        (Some("rehearsal"), vec!["gathering", "planning", "doors", "arming", "committed", "burst"])
    );
    assert_eq!((whole["status"].as_u64(), whole["parent"].as_str()), (Some(1), Some("")));
    let facts = whole["attributes"].as_str().unwrap();
    assert!(facts.contains("voteburst.verdict=pass") && facts.contains("voteburst.zone=multivalue"), "{facts}");
    let mut at = whole["from"].as_u64().unwrap();
    for phase in phases {
        assert_eq!((&phase["parent"], &phase["trace"]), (&whole["id"], &whole["trace"]));
        assert_eq!(phase["from"].as_u64(), Some(at), "phases follow each other: {spans:#?}");
        at = phase["to"].as_u64().unwrap();
    }
    assert_eq!(whole["to"].as_u64(), Some(at));
    // A burst of two seconds and more, by clocks that are read in nanoseconds.
    let burst = phases.last().unwrap();
    assert!(burst["to"].as_u64().unwrap() - burst["from"].as_u64().unwrap() > 1_000_000_000, "{burst:#}");
}

#[test]
fn a_trace_tells_why_a_run_failed_a_receiver_that_is_not_there_is_told_of_once_and_a_wrong_url_is_refused() {
    let Ok(python) = python() else { return skipped("no Python with the readers") };
    let receiver = Receiver::start(&python);
    let place = Scenario::small().with("response_p99_max = \"5s\"", "response_p99_max = \"1ms\"").place();
    place.voteburst(&["run", "scenario.toml", "--out", "run", "--otlp", &receiver.url]).end().exits(1);
    let whole = receiver.end()["spans"][0].take();
    assert_eq!((whole["status"].as_u64(), &whole["events"]), (Some(2), &serde_json::json!(["response"])), "{whole:#}");
    assert!(whole["message"].as_str().unwrap().contains("at most 1 ms"), "{whole:#}");

    let place = Scenario::small().place();
    // Nobody has had this port since it was given back.
    let gone = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let ended = place.voteburst(&["run", "scenario.toml", "--out", "run", "--otlp", &gone]).end().exits(0);
    assert_eq!(ended.stderr.matches("does not take OTLP").count(), 1, "{}", ended.stderr);
    let refused = place.voteburst(&["run", "scenario.toml", "--out", "other", "--otlp", "localhost:4318"]).end().exits(2);
    refused.says(&["--otlp: found `localhost:4318`", "fix:    --otlp http://127.0.0.1:4318"]);
    assert!(!place.path("other").exists(), "nothing was started");
}
