//! `report.html`, `compare.html` and what `voteburst diff --html` writes: a page for people, in one file that needs no network.
//!
//! The verdict, its reasons and what to do come first, in words; then pictures, zones side by side on the same scales; then the
//! same as tables. [`data`] is what `publish/assets/pictures.js` draws from. The page's own rules for the browser (a Content
//! Security Policy) allow its own scripts by their hashes and nothing else: no request can leave it, and no text out of a
//! scenario can run.

mod data;
mod detail;
mod diff;
mod head;
mod pictures;
mod tables;
mod words;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use sha2::{Digest, Sha256};
use voteburst_coordinator::report::Report;
use voteburst_coordinator::report::compare::Comparison;
use voteburst_coordinator::report::terminal::word;

pub use detail::{Detail, Heat};
pub use diff::of_diff;

use crate::assets;
use words::{push, text};

const STYLE: &str = include_str!("../../assets/report.css");
const PICTURES: &str = include_str!("../../assets/pictures.js");
const OVER_TIME: &str = include_str!("../../assets/over_time.js");
const SCRIPT: &str = include_str!("../../assets/report.js");

/// The files beside a run's page.
const FILES_OF_RUN: &str = "<a href=\"report.json\">report.json</a>, <a href=\"timeline.csv\">timeline.csv</a>, \
                            <a href=\"proxies.csv\">proxies.csv</a>, <a href=\"latency.hlog\">latency.hlog</a>";

/// A run as a page shows it.
#[derive(Clone, Copy, Debug)]
struct Shown<'a> {
    report: &'a Report,
    detail: &'a Detail,
    /// What tells it from the others on the page.
    name: &'a str,
}

/// `report.html` of one run. `detail` is what its run directory holds beyond the report.
#[must_use]
pub fn of_run(report: &Report, detail: &Detail) -> String {
    let runs = [Shown { report, detail, name: &report.zone }];
    page(&format!("{}: {}", report.name, word(report.verdict.outcome)), &head::of_run(runs[0]), &runs, FILES_OF_RUN)
}

/// `compare.html` of a comparison. `details` belong to its runs, in their order; what is missing is not known.
#[must_use]
pub fn of_comparison(comparison: &Comparison, details: &[Detail]) -> String {
    let unknown = Detail::default();
    let details = details.iter().chain(std::iter::repeat(&unknown));
    let runs: Vec<_> = comparison
        .runs
        .iter()
        .zip(details)
        .map(|(run, detail)| Shown { report: &run.report, detail, name: &run.report.zone })
        .collect();
    let name = runs.first().map_or("voteburst", |run| run.report.name.as_str());
    page(&format!("{name}: zones compared"), &head::of_comparison(comparison), &runs, "<a href=\"compare.json\">compare.json</a>")
}

fn page(title: &str, head: &str, runs: &[Shown<'_>], files: &str) -> String {
    let data = words::json(&data::of(runs));
    let scripts = [assets::CHARTS, assets::PALETTE, PICTURES, OVER_TIME, SCRIPT];
    let hashes: Vec<String> =
        scripts.iter().map(|script| format!("'sha256-{}'", BASE64.encode(Sha256::digest(script)))).collect();
    let mut out = String::with_capacity(assets::CHARTS.len() + data.len() + 100_000);
    push(
        &mut out,
        format_args!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src {}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
            hashes.join(" "),
            text(title)
        ),
    );
    out.push_str(head);
    out.push_str(&pictures::of(runs));
    out.push_str(&tables::of(runs, files));
    out.push_str("</main>\n");
    push(&mut out, format_args!("<script type=\"application/json\" id=\"data\">{data}</script>\n"));
    for script in scripts {
        push(&mut out, format_args!("<script>{script}</script>\n"));
    }
    out.push_str("</body>\n</html>\n");
    out
}

#[cfg(test)]
mod tests;
