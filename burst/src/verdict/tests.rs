use super::*;
use crate::scenario::Scenario;

fn thresholds() -> Thresholds {
    let text = include_str!("../../../scenarios/smoke.toml");
    let text =
        text.replace("response_p99_max = \"1s\"", "response_p99_max = \"1s\"\nbusiest_share_max = 0.5\npeak_open_max = 400");
    Scenario::parse(&text, "smoke.toml", &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap().thresholds
}

fn clean() -> Ledger {
    let zero = Some(0);
    Ledger {
        planned: 1_000,
        accepted: 1_000,
        voters: 1_000,
        reconciled: true,
        lost: zero,
        duplicated: zero,
        phantom: zero,
        miscounted: zero,
        refused_but_counted: zero,
        ..Ledger::default()
    }
}

fn sound(ledger: &Ledger) -> Facts<'_> {
    Facts {
        ledger,
        response_p99_ms: Some(500.0),
        lateness_p99_ms: Some(1.0),
        carries: None,
        longest_stall: None,
        start_spread_ms: Some(0.5),
        busiest_share: Some(0.3),
        peak_open: 300,
        connected: Some(1.0),
        local_limits: 0,
        not_allowed: 0,
        proxies_by_dns: None,
        lost: Vec::new(),
        partial: None,
        stopped: None,
        expected: Vec::new(),
        baseline: None,
        forced: None,
    }
}

fn stall(length_ms: f64) -> LongestStall {
    LongestStall { agent: "agent 3".into(), t_s: 8.25, length_ms, own_work: false }
}

fn judged(facts: &Facts<'_>) -> (Outcome, Vec<&'static str>) {
    let verdict = Verdict::judge(facts, &thresholds());
    (verdict.outcome, verdict.reasons.iter().map(Reason::code).collect())
}

#[test]
fn a_sound_run_within_its_limits_passes() {
    assert_eq!(judged(&sound(&clean())), (Outcome::Pass, vec![]));
}

#[test]
fn each_broken_limit_fails_a_sound_run() {
    let ledger = clean();
    let few = Ledger { accepted: 998, ..clean() };
    let angry = Ledger { complaints: 2, ..clean() };
    let cases: [(Facts<'_>, &str); 7] = [
        (sound(&few), "accepted"),
        (sound(&angry), "complaints"),
        (Facts { response_p99_ms: Some(1_001.0), ..sound(&ledger) }, "response"),
        (Facts { response_p99_ms: None, ..sound(&ledger) }, "response"),
        (Facts { connected: Some(0.99), ..sound(&ledger) }, "connected"),
        (Facts { busiest_share: Some(0.51), ..sound(&ledger) }, "busiest-share"),
        (Facts { peak_open: 401, ..sound(&ledger) }, "peak-open"),
    ];
    for (facts, code) in cases {
        assert_eq!(judged(&facts), (Outcome::Fail, vec![code]));
    }
}

#[test]
fn limits_are_kept_at_their_very_edge() {
    let edge = Ledger { accepted: 999, complaints: 1, ..clean() };
    let facts = Facts {
        response_p99_ms: Some(1_000.0),
        lateness_p99_ms: Some(100.0),
        start_spread_ms: Some(100.0),
        busiest_share: Some(0.5),
        peak_open: 400,
        connected: Some(0.999),
        ..sound(&edge)
    };
    assert_eq!(judged(&facts), (Outcome::Pass, vec![]));
}

#[test]
fn what_was_not_seen_is_unknown_even_where_a_limit_was_broken() {
    let few = Ledger { accepted: 500, ..clean() };
    let none = Ledger { planned: 0, accepted: 0, ..clean() };
    let cases: [(Facts<'_>, &str); 9] = [
        (Facts { lost: vec![("agent 2".into(), "no word for 3 s".into(), 0.25)], ..sound(&few) }, "agent-lost"),
        (Facts { partial: Some("interrupted".into()), ..sound(&few) }, "partial"),
        (Facts { lateness_p99_ms: Some(101.0), ..sound(&few) }, "late"),
        (Facts { start_spread_ms: Some(101.0), ..sound(&few) }, "unsynchronised"),
        (Facts { local_limits: 1, ..sound(&few) }, "local-limits"),
        (Facts { not_allowed: 1, ..sound(&few) }, "not-allowed"),
        (Facts { longest_stall: Some(stall(251.0)), ..sound(&few) }, "stalled"),
        (Facts { forced: Some("open files".into()), ..sound(&few) }, "forced"),
        (sound(&none), "nothing-planned"),
    ];
    for (facts, code) in cases {
        let (outcome, codes) = judged(&facts);
        assert_eq!((outcome, codes[0]), (Outcome::Unknown, code));
    }
}

#[test]
fn a_run_that_never_began_blames_no_limit() {
    let nothing = Ledger { accepted: 0, never_sent: 1_000, complaints: 1_000, ..clean() };
    let facts = Facts { partial: Some("interrupted".into()), response_p99_ms: None, connected: None, ..sound(&nothing) };
    assert_eq!(judged(&facts), (Outcome::Unknown, vec!["partial"]));
}

#[test]
fn a_ledger_that_does_not_balance_fails_whatever_else_is_true() {
    for ledger in [
        Ledger { lost: Some(1), ..clean() },
        Ledger { duplicated: Some(1), ..clean() },
        Ledger { phantom: Some(1), ..clean() },
        Ledger { miscounted: Some(1), ..clean() },
        Ledger { refused_but_counted: Some(1), ..clean() },
    ] {
        let facts = Facts { partial: Some("interrupted".into()), ..sound(&ledger) };
        assert_eq!(judged(&facts).0, Outcome::Fail);
    }
}

#[test]
fn a_live_target_without_a_ballot_box_may_pass_but_is_told_the_weaker_claim() {
    let ledger = Ledger { reconciled: false, lost: None, ..clean() };
    assert_eq!(judged(&sound(&ledger)), (Outcome::Pass, vec!["not-reconciled"]));
}

#[test]
fn exit_codes_are_those_of_the_manual() {
    assert_eq!([Outcome::Pass, Outcome::Fail, Outcome::Unknown].map(Outcome::exit_code), [0, 1, 3]);
}

proptest::proptest! {
    /// The line of a limit and the verdict's reasons are worked out apart; a reader must never see them disagree.
    #[test]
    fn a_limit_is_told_as_broken_exactly_when_the_verdict_blames_it(
        accepted in 990_u64..=1_000,
        complaints in 0_u64..4,
        response_p99_ms in proptest::option::of(900.0_f64..1_100.0),
        lateness_p99_ms in proptest::option::of(50.0_f64..150.0),
        start_spread_ms in proptest::option::of(50.0_f64..150.0),
        busiest_share in proptest::option::of(0.4_f64..0.6),
        peak_open in 395_i64..405,
        connected in proptest::option::of(0.998_f64..1.0),
        never_began in proptest::prelude::any::<bool>(),
    ) {
        let never_sent = if never_began { 1_000 } else { 0 };
        let ledger = Ledger { accepted, complaints, never_sent, ..clean() };
        let facts = Facts {
            response_p99_ms, lateness_p99_ms, start_spread_ms, busiest_share, peak_open, connected,
            partial: never_began.then(|| "interrupted".to_owned()),
            ..sound(&ledger)
        };
        let limits = limits(&facts, &thresholds());
        let known: Vec<_> = limits.iter().map(|limit| limit.code).collect();
        let mut broken: Vec<_> = limits.iter().filter(|limit| limit.holds == Some(false)).map(|limit| limit.code).collect();
        let mut blamed = judged(&facts).1;
        blamed.retain(|code| known.contains(code));
        broken.sort_unstable();
        blamed.sort_unstable();
        proptest::prop_assert_eq!(broken, blamed);
        for limit in limits {
            let beyond = limit.margin().map(|margin| margin < 0.0);
            proptest::prop_assert!(beyond.is_none() || beyond == limit.holds.map(|holds| !holds), "{limit:?}");
        }
    }
}

#[test]
fn a_limit_says_in_words_what_was_measured_and_what_was_allowed() {
    let few = Ledger { accepted: 600, ..clean() };
    let told = limits(&Facts { response_p99_ms: None, connected: None, ..sound(&few) }, &thresholds());
    let told: Vec<_> = told.iter().map(|limit| format!("{}: {limit}", limit.name)).collect();
    assert_eq!(
        told,
        [
            "accepted_min: measured 60.000 %, at least 99.900 % needed",
            "complaints_max: measured 0.000 %, at most 0.100 % allowed",
            "connected_min: measured nothing, at least 99.900 % needed",
            "response_p99_max: measured beyond every bound, at most 1000.0 ms allowed",
            "busiest_share_max: measured 30.000 %, at most 50.000 % allowed",
            "peak_open_max: measured 300, at most 400 allowed",
            "lateness_p99_max: measured 1.0 ms, at most 100.0 ms allowed",
            "stall_max: measured nothing, at most 250.0 ms allowed",
            "start_spread_max: measured 0.5 ms, at most 100.0 ms allowed",
        ]
    );
}

#[test]
fn a_stall_within_its_bound_is_no_reason_and_one_beyond_it_says_who_when_and_how_long() {
    assert_eq!(judged(&Facts { longest_stall: Some(stall(250.0)), ..sound(&clean()) }), (Outcome::Pass, vec![]));
    assert_eq!(
        Reason::Stalled(stall(512.4), 250.0).to_string(),
        "agent 3 stood still for 512 ms at t = 8.2 s (without a processor), at most 250 ms"
    );
    let own = LongestStall { own_work: true, ..stall(512.4) };
    assert!(Reason::Stalled(own, 250.0).remedy().contains("more agents"));
}

#[test]
fn a_late_generator_says_how_many_viewers_it_carries_where_that_can_be_told() {
    let late = |carries| Reason::Late(140.04, 100.0, carries).to_string();
    assert_eq!(late(None), "the generator was late: lateness p99 140.0 ms, at most 100 ms");
    assert!(late(Some(12_000)).ends_with("; about 12000 viewers of such a plan are what it carries in time"));
}

#[test]
fn a_broken_line_of_the_scenario_fails_a_sound_run_and_a_late_generator_makes_it_unknown() {
    let broken = |line: &str| {
        let expectation = crate::expect::Expectation::parse(line).unwrap();
        let limit = Limit {
            name: line.into(),
            key: "limits[0].expect".into(),
            code: crate::expect::CODE,
            effect: expectation.effect(),
            measured: Some(300.0),
            at: Some("127.0.0.2".into()),
            bound: Bound::Below,
            limit: expectation.limit(),
            unit: Unit::Ms,
            holds: Some(false),
        };
        Facts { expected: vec![limit], ..sound(Box::leak(Box::new(clean()))) }
    };
    let target = broken("response.p99 < 250ms per proxy");
    assert_eq!(judged(&target), (Outcome::Fail, vec!["expect"]));
    assert_eq!(judged(&broken("lateness.p99 < 2ms")), (Outcome::Unknown, vec!["expect"]));
    let verdict = Verdict::judge(&target, &thresholds());
    assert_eq!(
        verdict.reasons[0].to_string(),
        "`response.p99 < 250ms per proxy` was broken: measured 300.0 ms at 127.0.0.2, less than 250.0 ms needed"
    );
    assert_eq!(verdict.reasons[0].limit(), Some("response.p99 < 250ms per proxy"));
    assert_eq!(limits(&target, &thresholds()).last().map(|limit| limit.name.as_str()), Some("response.p99 < 250ms per proxy"));
}

#[test]
fn a_stopped_burst_fails_and_says_when_and_why_but_not_when_the_generator_was_at_fault() {
    let stopped = |effect| Stopped { limit: "failures < 5 %".into(), effect, t_s: 7.0, measured: "12 %".into() };
    let ledger = clean();
    let target = Facts { stopped: Some(stopped(Effect::Fail)), ..sound(&ledger) };
    assert_eq!(judged(&target), (Outcome::Fail, vec!["stopped"]));
    assert_eq!(judged(&Facts { lateness_p99_ms: Some(900.0), ..target }).0, Outcome::Unknown);
    assert_eq!(judged(&Facts { stopped: Some(stopped(Effect::Unknown)), ..sound(&ledger) }).0, Outcome::Unknown);
}

#[test]
fn a_run_worse_than_its_baseline_fails_and_every_verdict_says_which_run_that_was() {
    let ledger = clean();
    let held = |holds| Baseline {
        told: "held against the baseline runs/a, a PASS begun yesterday".into(),
        limits: vec![Limit {
            name: "response.p99 against the baseline".into(),
            key: "worse_max".into(),
            code: WORSE,
            effect: Effect::Fail,
            measured: Some(412.0),
            at: None,
            bound: Bound::AtMost,
            limit: 300.0,
            unit: Unit::Ms,
            holds: Some(holds),
        }],
    };
    let facts = |holds| Facts { baseline: Some(held(holds)), ..sound(&ledger) };
    assert_eq!(judged(&facts(true)), (Outcome::Pass, vec!["baseline"]));
    assert_eq!(judged(&facts(false)), (Outcome::Fail, vec!["worse", "baseline"]));
    assert_eq!(judged(&Facts { lateness_p99_ms: Some(900.0), ..facts(false) }).0, Outcome::Unknown);
    assert_eq!(limits(&facts(false), &thresholds()).last().map(|limit| limit.code), Some(WORSE));
    assert_eq!(
        Verdict::judge(&facts(false), &thresholds()).reasons[0].to_string(),
        "response.p99 against the baseline got worse by more than chance and `worse_max` explain: \
         measured 412.0 ms, at most 300.0 ms allowed"
    );
}
