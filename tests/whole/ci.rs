//! A rehearsal in CI: the action's script with the files that GitHub hands to a step, and lines that stand at the scenario's.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::scenario::{Place, Scenario};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Plays the script as a step of GitHub's does: with its own directory, files and variables.
fn step(place: &Place, args: &str) -> Output {
    let mut command = Command::new(root().join("ci/rehearse.sh"));
    command.current_dir(place.path("."));
    command
        .env("VOTEBURST", env!("CARGO_BIN_EXE_voteburst"))
        .env("VOTEBURST_SCENARIO", "scenario.toml")
        .env("VOTEBURST_ARGS", args);
    command
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", place.path("summary"))
        .env("GITHUB_OUTPUT", place.path("output"));
    command.output().unwrap()
}

#[test]
fn a_step_that_passes_fills_the_summary_and_names_what_it_keeps() {
    let place = Scenario::small().window("1s").place();
    let output = step(&place, "--viewers 50 --quiet");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(!said.contains("::error"), "{said}");
    assert_eq!(place.read("summary"), place.read("voteburst-run/summary.md"));
    let told = place.read("output");
    let mut told = told.lines();
    assert_eq!(told.next(), Some("outcome=pass"));
    for line in told {
        let (name, path) = line.split_once('=').unwrap();
        assert!(place.path(path).exists(), "{name} is not there: {path}");
    }
}

#[test]
fn a_broken_limit_fails_the_step_and_stands_at_its_line_of_the_scenario() {
    let scenario = Scenario::small().window("1s").with("response_p99_max = \"5s\"", "response_p99_max = \"1ms\"");
    let (place, line) = (scenario.place(), scenario.line_of("response_p99_max"));
    let output = step(&place, "--viewers 50");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let annotation = format!("\n::error file=scenario.toml,line={line},title=voteburst%3A response_p99_max::");
    assert!(said.contains(&annotation), "{said}");
    assert!(place.read("output").starts_with("outcome=fail\n"));
}

#[test]
fn a_mistyped_key_is_refused_at_its_line_and_the_summary_says_that_nothing_was_played() {
    let scenario = Scenario::small().with("viewers = 200", "viewers = 200\nvewers = 3");
    let (place, line) = (scenario.place(), scenario.line_of("vewers"));
    let output = step(&place, "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("::error file=scenario.toml,line={line},col=1,title=voteburst::")), "{said}");
    assert!(place.read("summary").contains("exit status 2") && place.read("output").starts_with("outcome=refused\n"));
    let off = place.voteburst_within(&["env", "GITHUB_ACTIONS=true"], &["check", "scenario.toml", "--annotations", "off"]).end();
    assert!(!off.exits(2).stderr.contains("::error"));
}

/// What Python's YAML reader, which is not ours, finds wrong with the action and the job.
const READER: &str = r#"
import sys, yaml
action = yaml.safe_load(open(sys.argv[1] + "/action.yml"))
steps = action["runs"]["steps"]
assert action["runs"]["using"] == "composite" and all(("uses" in s) != ("run" in s) for s in steps), steps
assert all("shell" in s for s in steps if "run" in s), "a step of a composite action names its shell"
import re
text = open(sys.argv[1] + "/action.yml").read()
used = set(re.findall(r"inputs\.([a-z]+)", text))
assert used == set(action["inputs"]), (used, set(action["inputs"]))
assert all("description" in value and "default" in value for value in action["inputs"].values())
script = open(sys.argv[1] + "/ci/rehearse.sh").read()
outputs = set(re.findall(r'echo "([a-z]+)=', script))
assert outputs == set(action["outputs"]) == set(re.findall(r"steps\.rehearse\.outputs\.([a-z]+)", text)), outputs
assert all("${" + name in script for s in steps for name in s.get("env", {})), steps
job = yaml.safe_load(open(sys.argv[1] + "/docs/ci/gitlab.yml"))["voteburst"]
assert job["artifacts"]["reports"]["junit"] == job["variables"]["VOTEBURST_OUT"] + "/junit.xml"
print("read")
"#;

#[test]
fn the_action_and_the_job_are_yaml_whose_inputs_outputs_and_variables_exist() {
    let python = match crate::formats::python() {
        Ok(python) => python,
        Err(why) if std::env::var_os("CI").is_some() => panic!("CI must read YAML with a program of others: {why}"),
        Err(why) => return crate::fixture::skipped(&format!("no Python that reads YAML: {why}")),
    };
    let read: PathBuf = root().into();
    let output = Command::new(python).args(["-c", READER]).arg(read).output().unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said == "read\n", "{said}{wrong}");
}
