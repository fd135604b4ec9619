//! Lines by which GitHub shows what is wrong at the line of the scenario that says so.
//!
//! Their form is that of workflow commands: `::error file=…,line=…,col=…,title=…::text`, with what would end a part escaped
//! (<https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts>).

use std::fmt::Write as _;
use std::path::Path;

use voteburst_burst::scenario::line_of;
use voteburst_burst::verdict::Effect;
use voteburst_coordinator::report::{Report, ThresholdPart};

use crate::cli::{Annotations, Logging};

/// Where in a file something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) file: String,
    /// Counted from 1; 0 for the file as a whole.
    pub(crate) line: usize,
    /// Counted from 1; 0 for the line as a whole.
    pub(crate) column: usize,
}

/// Whether they are wanted: when asked for, and unasked in a job of GitHub's, which says so of itself.
pub(crate) fn wanted(logging: Logging) -> bool {
    match logging.annotations {
        Annotations::Github => true,
        Annotations::Off => false,
        Annotations::Auto => std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true"),
    }
}

/// The line for one problem; without a spot it stands with the job alone.
pub(crate) fn error(spot: Option<&Spot>, title: &str, text: &str) -> String {
    let mut out = String::from("::error ");
    if let Some(spot) = spot {
        // Writing to a String cannot fail.
        let _ = write!(out, "file={},", property(&spot.file));
        for (name, number) in [("line", spot.line), ("col", spot.column)] {
            if number > 0 {
                let _ = write!(out, "{name}={number},");
            }
        }
    }
    let _ = write!(out, "title={}::{}", property(title), data(text));
    out
}

/// A line for every reason that takes a run's pass away. A broken limit stands at its key in the scenario.
pub(crate) fn of_report(report: &Report, scenario: &Path, text: &str) -> Vec<String> {
    let reasons = report.verdict.reasons.iter().filter(|reason| reason.effect != Effect::Note);
    let line = |reason: &voteburst_coordinator::report::ReasonPart| {
        let about = |limit: &ThresholdPart| match &reason.limit {
            Some(name) => *name == limit.name,
            None => limit.code == reason.code,
        };
        let broken = report.thresholds.iter().find(|limit| about(limit) && limit.holds == Some(false));
        let line = broken.and_then(|limit| line_of(text, &format!("thresholds.{}", limit.key))).unwrap_or(1);
        let spot = Spot { file: scenario.display().to_string(), line, column: 0 };
        let title = broken.map_or(reason.code.as_str(), |limit| limit.name.as_str());
        error(Some(&spot), &format!("voteburst: {title}"), &format!("{}\n{}", reason.text, reason.remedy))
    };
    reasons.map(line).collect()
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_ends_its_part_of_the_line() {
        let spot = Spot { file: "a,b:c%.toml".into(), line: 3, column: 0 };
        let line = error(Some(&spot), "x::y", "50 % of\nvotes::error ::");
        assert_eq!(line, "::error file=a%2Cb%3Ac%25.toml,line=3,title=x%3A%3Ay::50 %25 of%0Avotes::error ::");
        assert_eq!(error(None, "t", "x"), "::error title=t::x");
    }
}
