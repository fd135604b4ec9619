use std::io::ErrorKind;

use voteburst_burst::plan::Plan;
use voteburst_burst::scenario::{Draft, Scenario};
use voteburst_burst::spread::Estimate;

use super::*;

/// Two runs of the same plan; the second differs as a test says.
fn two(change: impl Fn(&mut Side)) -> (Side, Side) {
    let text = include_str!("../../../../publish/tests/fixture/report.json");
    let report: Report = serde_json::from_str(text).unwrap();
    let mut response = Latency::new();
    for micros in 1..=20_000 {
        response.record_ns(micros * 1_000);
    }
    let a = Side { dir: "runs/a".into(), report, response, scenario: "seed = 1\n".into() };
    let mut b = Side { dir: "runs/b".into(), ..a.clone() };
    change(&mut b);
    (a, b)
}

fn says(diff: &Diff, name: &str) -> Says {
    diff.figures.iter().find(|figure| figure.name == name).unwrap_or_else(|| panic!("no {name}")).says
}

#[test]
fn a_run_does_not_differ_from_itself() {
    let (a, b) = two(|_| ());
    let diff = Diff::of(&a, &b);
    assert_eq!((diff.count(Says::Worse), diff.count(Says::Better), diff.count(Says::Different)), (0, 0, 0), "{}", diff.render());
    assert_eq!(diff.warnings, Vec::<String>::new());
    assert_eq!(says(&diff, "response.p99"), Says::WithinSpread);
}

#[test]
fn answers_that_take_longer_and_viewers_that_complain_are_worse_and_the_way_back_is_better() {
    let (a, b) = two(|b| {
        b.response = Latency::new();
        for micros in 1..=20_000 {
            b.response.record_ns(micros * 1_200);
        }
        b.report.votes.complaints = b.report.votes.voters / 2;
    });
    let there = Diff::of(&a, &b);
    for name in ["response.p50", "response.p90", "response.p99", "complaints"] {
        assert_eq!(says(&there, name), Says::Worse, "{name}\n{}", there.render());
        assert_eq!(says(&Diff::of(&b, &a), name), Says::Better, "{name}");
    }
    assert_eq!(says(&there, "accepted"), Says::WithinSpread);
}

#[test]
fn what_nobody_measured_is_unknown_and_never_a_silent_same() {
    let (a, b) = two(|b| {
        b.response = Latency::new();
        (b.report.votes.planned, b.report.votes.accepted) = (0, 0);
        b.report.forecast = None;
    });
    let diff = Diff::of(&a, &b);
    assert_eq!([says(&diff, "response.p50"), says(&diff, "accepted")], [Says::Unknown; 2]);
    assert!(diff.figures.iter().filter(|figure| figure.name.starts_with("skew.")).all(|figure| figure.says == Says::Unknown));
}

#[test]
fn other_plans_machines_and_runs_that_prove_nothing_are_said_before_the_figures() {
    let (a, b) = two(|b| {
        b.report.plan.hash = "0".repeat(64);
        b.scenario = "seed = 2\n".into();
        b.report.verdict.outcome = Outcome::Unknown;
        b.report.agents.clear();
        b.report.proxies.remove(0);
    });
    let text = Diff::of(&a, &b).render();
    for part in ["the plans differ: seed: 1 against 2", "runs/b was UNKNOWN", "other machines", "1 proxies were in one"] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
}

#[test]
fn a_change_of_a_proxys_share_is_neither_better_nor_worse() {
    let (a, b) = (Estimate::share(100, 1_000), Estimate::share(400, 1_000));
    assert_eq!(Change::of("proxy.share", ChangeUnit::Share, Bad::Neither, a, b).says, Says::Different);
}

fn held(a: &Side, b: &Side, worse_max: f64) -> Vec<(String, Option<bool>)> {
    let limits = limits(&[Diff::of(a, b).of_whole_runs()], worse_max, true);
    limits.into_iter().map(|limit| (limit.name.replace(" against the baseline", ""), limit.holds)).collect()
}

fn broken(held: &[(String, Option<bool>)]) -> Vec<&str> {
    held.iter().filter(|(_, holds)| *holds == Some(false)).map(|(name, _)| name.as_str()).collect()
}

/// A side whose answers take so many times as long.
fn slower(b: &mut Side, times: f64) {
    b.response = Latency::new();
    for micros in 1..=20_000_u32 {
        b.response.record_ns((f64::from(micros) * 1_000.0 * times) as u64);
    }
}

#[test]
fn a_run_is_as_good_as_itself_and_every_figure_of_the_whole_run_is_a_limit() {
    let (a, b) = two(|_| ());
    let held = held(&a, &b, 0.0);
    let names: Vec<_> = held.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..6], ["accepted", "complaints", "failed", "response.p50", "response.p90", "response.p99"]);
    assert!(names[6..].iter().all(|name| name.starts_with("skew.") || *name == "peak_open") && names.len() > 6, "{names:?}");
    assert!(held.iter().all(|(_, holds)| *holds == Some(true)), "{held:?}");
}

#[test]
fn what_is_worse_by_more_than_chance_and_the_scenario_allow_is_broken() {
    // Answers of 10, 18 and 19.8 ms grow to half as much again; a 5 ms change at the least is of account.
    let (a, b) = two(|b| slower(b, 1.5));
    assert_eq!(broken(&held(&a, &b, 0.1)), ["response.p90", "response.p99"]);
    assert_eq!(broken(&held(&a, &b, 0.6)), Vec::<&str>::new());
    assert_eq!(broken(&held(&b, &a, 0.1)), Vec::<&str>::new(), "what is better breaks nothing");
    let (a, b) = two(|b| {
        let votes = &mut b.report.votes;
        (votes.accepted, votes.complaints) = (votes.accepted * 9 / 10, votes.voters / 10);
        votes.failed = votes.planned - votes.accepted;
    });
    assert_eq!(broken(&held(&a, &b, 0.1)), ["accepted", "complaints", "failed"]);
    let limit = &limits(&[Diff::of(&a, &b)], 0.1, true)[0];
    assert!(limit.limit < 1.0 && limit.limit > 0.95 && limit.margin().is_some_and(|margin| margin < 0.0), "{limit:?}");
    assert_eq!((limit.key.as_str(), limit.code), ("worse_max", "worse"));
}

#[test]
fn what_one_of_them_did_not_measure_neither_holds_nor_breaks() {
    let (a, b) = two(|b| b.response = Latency::new());
    let of = |name: &str, held: &[(String, Option<bool>)]| held.iter().find(|(known, _)| known == name).unwrap().1;
    assert_eq!(of("response.p50", &held(&a, &b, 0.1)), None);
    assert_eq!(of("response.p50", &held(&b, &a, 0.1)), None);
    assert!(limits(&[Diff::of(&a, &a)], 0.1, false).iter().all(|limit| limit.holds.is_none()), "nothing was fired");
}

#[test]
fn against_several_runs_a_figure_is_worse_only_when_it_is_against_each_of_them() {
    let (quick, slow) = two(|b| slower(b, 1.5));
    let (_, unmeasured) = two(|b| b.response = Latency::new());
    let of = |earlier: &[&Side], later: &Side| {
        let diffs: Vec<_> = earlier.iter().map(|earlier| Diff::of(earlier, later)).collect();
        let limits = limits(&diffs, 0.1, true);
        limits.into_iter().filter(|limit| limit.holds == Some(false)).map(|limit| limit.name).collect::<Vec<_>>().len()
    };
    assert_eq!((of(&[&quick], &slow), of(&[&quick, &slow], &slow), of(&[&slow, &quick], &slow)), (2, 0, 0));
    // A run that did not measure a figure takes no limit of another one away.
    assert_eq!((of(&[&quick, &unmeasured], &slow), of(&[&unmeasured, &quick], &slow)), (2, 2));
    let told = told(&[Diff::of(&quick, &slow), Diff::of(&slow, &slow)]);
    assert!(told.contains("baseline runs/a, a FAIL begun ") && told.contains(", and runs/b, a FAIL"), "{told}");
}

#[test]
fn only_a_run_of_the_same_burst_that_proves_something_is_a_baseline() {
    let text = include_str!("../../../../scenarios/smoke.toml");
    let plan = |text: &str| Plan::new(Scenario::parse(text, "smoke.toml", &|_| Err(ErrorKind::NotFound.into())).unwrap());
    let (this, refused) = (plan(text), |side: &Side, plan: &Plan| side.is_baseline_of(plan).unwrap_err().to_string());
    let (_, mut earlier) = two(|_| ());
    earlier.scenario = this.scenario.to_toml();
    earlier.report.plan.tickets_hash = this.tickets_hash.to_string();
    earlier.report.verdict.outcome = Outcome::Fail;
    assert_eq!(earlier.is_baseline_of(&this), Ok(()));
    let other_limits = plan(&text.replace("[stage]", "[[thresholds.limits]]\nexpect = \"skew.total < 2\"\n\n[stage]"));
    assert_eq!(earlier.is_baseline_of(&other_limits), Ok(()), "limits judge a burst and do not change it");
    let larger = Draft::read(text, "smoke.toml").unwrap().with_proxies(9).resolve(&|_| Err(ErrorKind::NotFound.into()));
    let larger = Plan::new(larger.unwrap());
    let words = refused(&earlier, &larger);
    assert!(words.contains("runs/b: found a run of another scenario") && words.contains("stage.proxies: 4 against 9"), "{words}");
    earlier.report.plan.tickets_hash = "0".repeat(64);
    assert!(refused(&earlier, &this).contains("another version of voteburst"));
    earlier.report.verdict.outcome = Outcome::Unknown;
    assert!(refused(&earlier, &this).contains("unknown, which proves nothing"));
}
