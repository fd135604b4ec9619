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
