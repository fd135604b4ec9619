//! The files of a run directory that are made for other programs.

use voteburst_coordinator::journal::Evidence;
use voteburst_coordinator::report::Report;
use voteburst_coordinator::report::compare::Comparison;

use crate::histograms::{self, Span};
use crate::html::{self, Detail};
use crate::{junit, summary, tables};

/// One file, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its name in the run directory.
    pub name: &'static str,
    /// What it holds.
    pub bytes: Vec<u8>,
}

impl Document {
    fn text(name: &'static str, text: String) -> Self {
        Self { name, bytes: text.into_bytes() }
    }
}

/// Every file of one run. `report` is the report of `evidence`, and `detail` what its page shows beyond that.
#[must_use]
pub fn of_run(report: &Report, evidence: &Evidence, detail: &Detail) -> Vec<Document> {
    let tally = evidence.tally();
    let log = histograms::interval_log(tally, Span::of(&evidence.record));
    vec![
        Document::text("timeline.csv", tables::timeline(report)),
        Document::text("proxies.csv", tables::proxies(report)),
        Document::text("junit.xml", junit::of_run(report)),
        Document::text("summary.md", summary::of_run(report)),
        Document { name: "latency.hlog", bytes: log },
        Document::text("report.html", html::of_run(report, detail)),
        Document::text("latency.hgrm", histograms::distribution(&tally.total().response)),
    ]
}

/// Every file of a comparison; each of its runs has its own in its own directory. `details` are those of its runs, in their order.
#[must_use]
pub fn of_comparison(comparison: &Comparison, details: &[Detail]) -> Vec<Document> {
    vec![
        Document::text("junit.xml", junit::of_comparison(comparison)),
        Document::text("summary.md", summary::of_comparison(comparison)),
        Document::text("compare.html", html::of_comparison(comparison, details)),
    ]
}
