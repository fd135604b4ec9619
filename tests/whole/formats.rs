//! The files of a run directory, made again and read by programs that are not ours.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::fixture::skipped;
use crate::scenario::{Place, Scenario};

const FILES: [&str; 9] = [
    "report.json",
    "report.txt",
    "report.html",
    "timeline.csv",
    "proxies.csv",
    "junit.xml",
    "summary.md",
    "latency.hlog",
    "latency.hgrm",
];

/// `voteburst diff` of the two: it names what was planned otherwise, and each figure is held against its spread.
fn differ_in_their_limit_and_no_more([a, b]: &[Place; 2]) {
    let (first, second) = (a.path("run").display().to_string(), b.path("run").display().to_string());
    a.voteburst(&["diff", &first, &second]).end().exits(0);
    let told = a.voteburst(&["diff", &first, &second, "--format", "json"]).end().exits(0).report();
    assert_eq!(told.text("schema"), "voteburst.diff/1");
    assert_eq!([told.text("a.outcome"), told.text("b.outcome")], ["pass", "fail"]);
    let warnings = told.list("warnings");
    let plans = warnings.iter().filter_map(|warning| warning.as_str()).find(|warning| warning.starts_with("the plans differ: "));
    let plans = plans.unwrap_or_else(|| panic!("no word of the plans in {warnings:?}"));
    assert!(plans.starts_with("the plans differ: thresholds.response_p99_max: ") && !plans.contains(';'), "{plans}");
    let figure = |name: &str| told.list("figures").iter().find(|figure| figure["name"] == name).unwrap().clone();
    assert_eq!(figure("accepted")["says"], "within-spread", "all votes were accepted in both: {}", figure("accepted"));
    assert!(figure("response.p50")["change"]["low"].is_number(), "{}", figure("response.p50"));
    assert_eq!(figure("response.p999")["says"], "unknown", "some 200 votes have no 99.9th percentile");

    let itself = a.voteburst(&["diff", &first, &first]).end().exits(0);
    assert!(itself.stdout.starts_with("0 figures are worse and 0 better by more than their spread."), "{}", itself.stdout);
    assert!(!itself.stdout.contains("  ! "), "{}", itself.stdout);
    a.voteburst(&["diff", &first, "no-such-run"]).end().exits(2);
    a.voteburst(&["diff", &first, &second, "--html", "no-such-folder/diff.html"]).end().exits(2);
}

/// A Python that has the readers, in an environment of its own under the target directory; or why there is none.
pub(crate) fn python() -> Result<PathBuf, String> {
    static MAKING: Mutex<()> = Mutex::new(());
    // Two tests read with it; only one may make it.
    let _alone = MAKING.lock().map_err(|error| error.to_string())?;
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("formats-venv");
    let python = place.join("bin/python");
    let mut create = Command::new("python3");
    create.args(["-m", "venv"]).arg(&place);
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", "--timeout", "20"]);
    install.args([
        "hdrhistogram==0.10.8",
        "jsonschema==4.26.0",
        "junitparser==5.0.3",
        "opentelemetry-proto==1.45.2",
        "prometheus-client==0.26.0",
        "PyYAML==6.0.3",
    ]);
    for mut command in [create, install] {
        let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
        if !output.status.success() {
            return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)));
        }
    }
    Ok(python)
}

#[test]
fn every_file_of_a_run_is_made_again_alike_and_read_by_the_programs_of_others() {
    // A run that passes and one that breaks a limit, so that junit.xml has both to tell.
    let passes = Scenario::small();
    let breaks = Scenario::small().with("response_p99_max = \"5s\"", "response_p99_max = \"1ms\"");
    let places = [(passes, 0), (breaks, 1)].map(|(scenario, code)| {
        let place = scenario.place();
        place.voteburst(&["run", "scenario.toml", "--out", "run"]).end().exits(code);
        let written = FILES.map(|file| std::fs::read(place.path(format!("run/{file}"))).unwrap());
        for file in FILES {
            std::fs::remove_file(place.path(format!("run/{file}"))).unwrap();
        }
        place.voteburst(&["report", "run"]).end().exits(code);
        for (file, written) in FILES.iter().zip(written) {
            assert!(std::fs::read(place.path(format!("run/{file}"))).unwrap() == written, "{file} differs when made again");
        }
        place
    });

    differ_in_their_limit_and_no_more(&places);

    let python = match python() {
        Ok(python) => python,
        Err(why) if std::env::var_os("CI").is_some() => panic!("CI must read the files with programs of others: {why}"),
        Err(why) => return skipped(&format!("no Python with the readers: {why}")),
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for place in &places {
        let mut command = Command::new(&python);
        command.arg(root.join("tests/clients/formats.py")).arg(place.path("run")).arg(root.join("docs/schema/report-1.json"));
        let output = command.output().unwrap();
        let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && said.starts_with("read "), "{said}{wrong}");
    }
}
