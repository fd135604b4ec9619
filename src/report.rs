//! `voteburst report`: every report again from the run directory; and the writing of them in the first place.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;
use voteburst_coordinator::journal::{Evidence, JournalProblem, write_atomically};
use voteburst_coordinator::report::compare::Comparison;
use voteburst_coordinator::report::{Report, terminal};
use voteburst_publish::html::Detail;
use voteburst_publish::{self as publish, Document};

use crate::problem::Problem;
use crate::{cli, say};

const COMPARISON: &str = "compare.json";

pub(crate) fn report(args: &cli::Report) -> Result<ExitCode, Problem> {
    let (text, json_text, outcome) = if args.dir.join(COMPARISON).is_file() {
        let comparison = comparison_again(&args.dir)?;
        (comparison.render(), json(&comparison), comparison.outcome())
    } else {
        let (report, _) = again(&args.dir)?;
        (terminal::render(&report), json(&report), report.verdict.outcome)
    };
    say::result(if args.json { &json_text } else { &text });
    Ok(ExitCode::from(outcome.exit_code()))
}

fn again(dir: &Path) -> Result<(Report, Detail), Problem> {
    let evidence = Evidence::load(dir).map_err(Problem::usage)?;
    let report = Report::of_evidence(&evidence);
    let detail = Detail::of(&evidence);
    write(dir, &report, &evidence, &detail).map_err(Problem::usage)?;
    Ok((report, detail))
}

/// Only the order of the runs is taken from the old comparison; their reports are made anew.
fn comparison_again(dir: &Path) -> Result<Comparison, Problem> {
    let path = dir.join(COMPARISON);
    let refuse = |found: String| {
        Problem::usage(format!(
            "{}: {found}\n  needed: the comparison that `voteburst compare` wrote\n  fix:    report each zone's own folder below {}",
            path.display(),
            dir.display()
        ))
    };
    let text = fs::read_to_string(&path).map_err(|error| refuse(error.to_string()))?;
    let old: Comparison = serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
    // Zones are names of folders here: nothing but a known policy may become a path.
    let zones = old.runs.iter().map(|run| run.zone.parse::<voteburst_burst::zone::ZonePolicy>());
    let zones = zones.collect::<Result<Vec<_>, _>>().map_err(|error| refuse(error.to_string()))?;
    let made = zones.iter().map(|zone| again(&dir.join(zone.name()))).collect::<Result<Vec<_>, _>>()?;
    let (reports, details): (Vec<_>, Vec<_>) = made.into_iter().unzip();
    let comparison = Comparison::of(reports, old.missing);
    write_comparison(dir, &comparison, &details).map_err(Problem::usage)?;
    Ok(comparison)
}

/// Writes `report.json`, `report.txt`, the page and what other programs read into a run directory.
pub(crate) fn write(dir: &Path, report: &Report, evidence: &Evidence, detail: &Detail) -> Result<(), JournalProblem> {
    put(&dir.join("report.json"), json(report).as_bytes())?;
    put(&dir.join("report.txt"), terminal::render(report).as_bytes())?;
    put_all(dir, &publish::of_run(report, evidence, detail))
}

/// Writes `compare.json`, `compare.txt`, the page and what other programs read into the directory of a comparison.
pub(crate) fn write_comparison(dir: &Path, comparison: &Comparison, details: &[Detail]) -> Result<(), JournalProblem> {
    put(&dir.join(COMPARISON), json(comparison).as_bytes())?;
    put(&dir.join("compare.txt"), comparison.render().as_bytes())?;
    put_all(dir, &publish::of_comparison(comparison, details))
}

fn put_all(dir: &Path, documents: &[Document]) -> Result<(), JournalProblem> {
    documents.iter().try_for_each(|document| put(&dir.join(document.name), &document.bytes))
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), JournalProblem> {
    let lost = |source: io::Error| JournalProblem::ReportLost { path: PathBuf::from(path), source };
    write_atomically(path, bytes).map_err(lost)
}

/// A report as JSON text with a line end.
pub(crate) fn json(report: &impl Serialize) -> String {
    match serde_json::to_string_pretty(report) {
        Ok(text) => text + "\n",
        // Reports hold text, finite numbers and maps with text keys only.
        Err(error) => unreachable!("a report that is no JSON: {error}"),
    }
}
