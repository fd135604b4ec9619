//! JUnit XML: a test case for every limit of the scenario and for everything else that a verdict rests on.
//!
//! Elements and attributes are those of <https://github.com/testmoapp/junitxml>, which is what GitLab, Jenkins and others read.
//! A limit that held is a passed case with its figures in `system-out`; one that was broken is a `failure`; what makes a run prove
//! nothing is an `error`; what nobody could measure is `skipped`. A note of the verdict is a passed case.

use quick_junit::{NonSuccessKind, Property, Report as Junit, TestCase, TestCaseStatus, TestSuite};
use voteburst_burst::verdict::{Effect, Outcome};
use voteburst_coordinator::report::compare::Comparison;
use voteburst_coordinator::report::{ReasonPart, Report, ThresholdPart};

/// What takes a run's pass away, beside limits: each is a case in every file, so that histories of cases have no holes.
const SOUND: [&str; 7] = ["partial", "stopped", "agent-lost", "nothing-planned", "local-limits", "not-allowed", "forced"];

/// The ways in which the ballot box can disagree with the viewers, as reasons name them.
const LEDGER: [&str; 6] = ["lost", "duplicated", "phantom", "miscounted", "early", "refused-but-counted"];

/// `junit.xml` of a run: one suite.
#[must_use]
pub fn of_run(report: &Report) -> String {
    let mut junit = Junit::new("voteburst");
    junit.add_test_suite(suite(report));
    text(&junit)
}

/// `junit.xml` of a comparison: one suite per zone, those that were not played with one error.
///
/// A zone that fails is told as failed although another one passed: the file says what is wrong with each of them, the
/// exit code of `voteburst compare` says whether there is one to take.
#[must_use]
pub fn of_comparison(comparison: &Comparison) -> String {
    let mut junit = Junit::new("voteburst");
    for run in &comparison.runs {
        junit.add_test_suite(suite(&run.report));
    }
    for zone in &comparison.missing {
        let mut suite = TestSuite::new(zone.as_str());
        let why = "this zone was asked for, but not played";
        suite.add_test_case(case(
            zone,
            "run",
            "played",
            told(TestCaseStatus::non_success(NonSuccessKind::Error), "missing", why),
        ));
        junit.add_test_suite(suite);
    }
    text(&junit)
}

fn text(junit: &Junit) -> String {
    // Memory takes every byte, and what is no character of XML is left out by the library.
    junit.to_string().unwrap_or_else(|error| unreachable!("a report that is no XML: {error}"))
}

fn suite(report: &Report) -> TestSuite {
    let mut suite = TestSuite::new(format!("{} {}", report.name, report.zone));
    // The element's time has no zone: this is UTC.
    suite.extra.insert("timestamp".into(), report.started.trim_end_matches('Z').into());
    let outcome = report.verdict.outcome;
    suite.add_properties([
        Property::new("outcome", outcome.to_string()),
        Property::new("plan", report.plan.hash.as_str()),
        Property::new("seed", report.plan.seed.to_string()),
        Property::new("viewers", report.plan.viewers.to_string()),
        Property::new("votes", report.plan.tickets.to_string()),
    ]);
    let cases = thresholds(report).into_iter().chain(ledger(report)).chain(sound(report)).chain(others(report));
    suite.add_test_cases(cases);
    suite.set_system_out(match outcome {
        Outcome::Pass => "pass: every limit held, and everything planned was seen",
        Outcome::Unknown => "unknown: the run is incomplete, was late or unsynchronised, and proves nothing either way",
        Outcome::Fail => "fail: a limit was broken, or votes were lost, doubled or invented",
    });
    suite
}

/// A case per limit, by its key in the scenario.
fn thresholds(report: &Report) -> Vec<TestCase> {
    let cases = report.thresholds.iter().map(|threshold| {
        let status = match threshold.holds {
            Some(true) => TestCaseStatus::success(),
            Some(false) => broken(about(report, threshold), &threshold.code, &threshold.text),
            None => told(TestCaseStatus::skipped(), "not-measured", &threshold.text),
        };
        let mut case = case(&report.zone, "thresholds", &threshold.name, status);
        case.set_system_out(threshold.text.as_str());
        case
    });
    cases.collect()
}

/// A case per way in which the ballot box can disagree with the viewers.
fn ledger(report: &Report) -> Vec<TestCase> {
    let ledger = &report.ledger;
    let counts = [ledger.lost, ledger.duplicated, ledger.phantom, ledger.miscounted, ledger.early, ledger.refused_but_counted];
    let cases = LEDGER.into_iter().zip(counts).map(|(code, count)| {
        let text = count.map_or_else(|| "no ballot box was there to tell".to_owned(), |count| format!("{count} votes {code}"));
        let status = match count {
            Some(0) => TestCaseStatus::success(),
            Some(_) => broken(named(report, code), code, &text),
            None => told(TestCaseStatus::skipped(), "not-reconciled", &text),
        };
        let mut case = case(&report.zone, "ledger", code, status);
        case.set_system_out(text);
        case
    });
    cases.collect()
}

/// A case per thing that would make the run prove nothing.
fn sound(report: &Report) -> Vec<TestCase> {
    let cases = SOUND.map(|code| {
        let status = if named(report, code).next().is_some() {
            broken(named(report, code), code, code)
        } else {
            TestCaseStatus::success()
        };
        case(&report.zone, "run", code, status)
    });
    cases.into()
}

/// A case per reason that is none of the above: notes, and whatever a later version finds.
fn others(report: &Report) -> Vec<TestCase> {
    let known = |code: &str| {
        let threshold = report.thresholds.iter().any(|threshold| threshold.code == code);
        threshold || SOUND.contains(&code) || LEDGER.contains(&code)
    };
    let mut codes: Vec<_> =
        report.verdict.reasons.iter().map(|reason| reason.code.as_str()).filter(|code| !known(code)).collect();
    codes.sort_unstable();
    codes.dedup();
    let cases = codes.into_iter().map(|code| {
        let mut case = case(&report.zone, "notes", code, broken(named(report, code), code, code));
        case.set_system_out(in_full(named(report, code)));
        case
    });
    cases.collect()
}

fn named<'a>(report: &'a Report, code: &'a str) -> impl Iterator<Item = &'a ReasonPart> {
    report.verdict.reasons.iter().filter(move |reason| reason.code == code)
}

fn in_full<'a>(reasons: impl Iterator<Item = &'a ReasonPart>) -> String {
    reasons.map(|reason| format!("{}\n  {}\n", reason.text, reason.remedy)).collect()
}

/// The reasons that are about a limit: those that name it, else those of its code.
fn about<'a>(report: &'a Report, threshold: &'a ThresholdPart) -> impl Iterator<Item = &'a ReasonPart> {
    report.verdict.reasons.iter().filter(move |reason| match &reason.limit {
        Some(limit) => *limit == threshold.name,
        None => reason.code == threshold.code,
    })
}

/// What these reasons of a code come to. `otherwise` stands where the verdict names none.
fn broken<'a>(reasons: impl Iterator<Item = &'a ReasonPart>, code: &str, otherwise: &str) -> TestCaseStatus {
    let reasons: Vec<_> = reasons.collect();
    let kind = match reasons.first().map(|reason| reason.effect) {
        Some(Effect::Note) => return TestCaseStatus::success(),
        Some(Effect::Unknown) => NonSuccessKind::Error,
        Some(Effect::Fail | Effect::FailAlways) | None => NonSuccessKind::Failure,
    };
    let message = reasons.first().map_or(otherwise, |reason| &reason.text);
    let mut status = told(TestCaseStatus::non_success(kind), code, message);
    if !reasons.is_empty() {
        status.set_description(in_full(reasons.into_iter()));
    }
    status
}

fn told(mut status: TestCaseStatus, code: &str, message: &str) -> TestCaseStatus {
    status.set_type(code).set_message(message);
    status
}

fn case(zone: &str, part: &str, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(format!("voteburst.{zone}.{part}"));
    case
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_run_is_a_suite_with_a_case_for_every_limit_and_check() {
        insta::assert_snapshot!(of_run(&fixture::report()));
    }

    #[test]
    fn a_comparison_has_a_suite_for_each_zone_and_an_error_for_one_that_was_not_played() {
        insta::assert_snapshot!(of_comparison(&fixture::comparison()));
    }

    #[test]
    fn a_limit_of_its_own_line_is_a_case_that_fails_for_its_own_reason() {
        let text = of_run(&fixture::expecting());
        let cases: Vec<_> =
            text.split("<testcase ").filter(|case| case.contains("failures &lt; 5") || case.contains("per proxy")).collect();
        insta::assert_snapshot!(cases.join(""));
    }

    #[test]
    fn what_was_never_measured_is_skipped_and_never_passed() {
        let text = of_run(&fixture::empty());
        let thresholds = fixture::empty().thresholds.len();
        assert_eq!(text.matches("type=\"not-measured\"").count(), thresholds, "{text}");
        assert!(
            text.contains("<error message=\"the run is partial: nothing was fired: interrupted\" type=\"partial\">"),
            "{text}"
        );
    }

    #[test]
    fn every_case_is_there_whatever_the_verdict_so_that_histories_have_no_holes() {
        let names = |report: &Report| suite(report).test_cases.iter().map(|case| case.name.to_string()).collect::<Vec<_>>();
        assert_eq!(names(&fixture::report()), names(&fixture::hostile()));
        assert_eq!(names(&fixture::report()), names(&fixture::empty()));
    }

    #[test]
    fn a_reason_of_a_later_version_is_told_by_its_effect() {
        let mut report = fixture::report();
        for (code, effect) in [("new-note", Effect::Note), ("new-doubt", Effect::Unknown), ("new-limit", Effect::Fail)] {
            let (text, remedy) = (format!("found {code}"), "mend it".to_owned());
            report.verdict.reasons.push(ReasonPart { code: code.into(), effect, text, remedy, limit: None });
        }
        let text = of_run(&report);
        assert!(text.contains("<error message=\"found new-doubt\" type=\"new-doubt\">"), "{text}");
        assert!(text.contains("<failure message=\"found new-limit\" type=\"new-limit\">"), "{text}");
        assert!(text.contains("<system-out>found new-note\n  mend it\n</system-out>"), "{text}");
    }
}
