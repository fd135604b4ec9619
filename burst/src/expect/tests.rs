use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::ledger::Ledger;
use crate::outcome::Failure;
use crate::scenario::Scenario;
use crate::tally::{Asker, Tally};

fn parsed(line: &str) -> Expectation {
    Expectation::parse(line).unwrap_or_else(|problem| panic!("{line}: {problem}"))
}

#[test]
fn lines_are_read_as_they_are_meant() {
    // As written, in canonical form, and the limit in the unit of its measure.
    let cases = [
        ("response.p99 < 250ms", "response.p99 < 250ms", 250.0),
        ("  response.p99.9<=1.5 s per proxy ", "response.p99.9 <= 1.5s per proxy", 1_500.0),
        ("service.max < 800us", "service.max < 800us", 0.8),
        ("lateness.p50 < 5 ms", "lateness.p50 < 5ms", 5.0),
        ("complaints < 0.5%", "complaints < 0.5 %", 0.005),
        ("complaints <= 1 % per phone", "complaints <= 1 % per phone", 0.01),
        ("accepted >= 99.9 % per question", "accepted >= 99.9 % per question", 0.999),
        ("connected > 98 %", "connected > 98 %", 0.98),
        ("failures.status-5xx < 1 % per proxy", "failures.status-5xx < 1 % per proxy", 0.01),
        ("failures < 2%", "failures < 2 %", 0.02),
        ("peak_open <= 2_000 per proxy", "peak_open <= 2000 per proxy", 2_000.0),
        ("skew.peak_5s < 1.5", "skew.peak_5s < 1.5", 1.5),
        ("skew_connections.peak_1s < 2 per phone", "skew_connections.peak_1s < 2 per phone", 2.0),
        ("ledger.never_sent <= 0", "ledger.never_sent <= 0", 0.0),
    ];
    for (line, canonical, limit) in cases {
        let expectation = parsed(line);
        assert_eq!((expectation.to_string().as_str(), expectation.limit()), (canonical, limit), "{line}");
        assert_eq!(parsed(canonical), expectation);
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_what_is_possible() {
    // What is written, then what was found, what is needed, and the way out.
    let cases: &[(&str, &str, &str, &str)] = &[
        ("", "nothing to measure", "response.pN, service.pN", "begins with what is measured"),
        ("< 5 %", "nothing to measure", "ledger.ENTRY", "begins with what is measured"),
        ("respnse.p99 < 1s", "`respnse.p99`", "skew_connections.total", "did you mean `response`?"),
        ("response < 1s", "`response`", "response.p50, response.p99.9, response.max", "such as `response.p99"),
        ("response.p0 < 1s", "`response.p0`", "response.p50", ""),
        ("response.p100 < 1s", "`response.p100`", "response.max", ""),
        ("response.p99.9999 < 1s", "`response.p99.9999`", "response.max", ""),
        ("response.mean < 1s", "`response.mean`", "response.max", ""),
        ("failures.timeout < 1 %", "`failures.timeout`", "connect-timeout, tls, reset", ""),
        ("ledger.accepted > 1", "`ledger.accepted`", "lost, duplicated, phantom", ""),
        ("skew < 2", "`skew`", "skew.total, skew.peak_1s or skew.peak_5s", ""),
        ("complaints", "no operator", "one of `<`, `<=`, `>`, `>=`", "`<= 0`"),
        ("ledger.lost == 0", "the operator `==`", "one of `<`", "`<= 0`"),
        ("ledger.lost = 0", "the operator `=`", "one of `<`", "`<= 0`"),
        ("complaints ≤ 1 %", "the operator `≤`", "one of `<`", ""),
        ("complaints <", "no number", "a share in `%`", "`complaints <= 0.5 %`"),
        ("complaints < few", "`few`", "a share in `%`", "`complaints <= 0.5 %`"),
        ("complaints < -1 %", "`-1 %`", "a share in `%`", ""),
        ("complaints < 0.005", "`0.005` for complaints", "a share in `%`", "`complaints <= 0.5 %`"),
        ("response.p99 < 250", "`250` for response.p99", "a time in `us`, `ms` or `s`", "`response.p99 <= 250ms`"),
        ("response.p99 < 5 %", "`5 %` for response.p99", "a time in", ""),
        ("response.p99 < 2m", "`2m`", "a time in `us`, `ms` or `s`", ""),
        ("response.p99 < 601s", "`response.p99 < 601s`", "at most 600s", "correct the number"),
        ("ledger.lost <= 1 %", "`1 %` for ledger.lost", "a number of votes", ""),
        ("skew.total < 2x", "`2x` for skew.total", "how many times", "`skew.total <= 1.5`"),
        ("skew.total < 0.5", "`skew.total < 0.5`", "1 or more", ""),
        ("complaints < 101 %", "`complaints < 101 %`", "from 0 % to 100 %", ""),
        ("complaints < 0 %", "which no run can keep", "can keep", "`<=` allows"),
        ("ledger.lost < 0", "which no run can keep", "can keep", "`<=` allows"),
        ("accepted > 100 %", "which no run can keep", "can keep", "`>=` allows"),
        ("accepted >= 0 %", "which no run can break", "can break", ""),
        ("complaints <= 100 %", "which no run can break", "can break", ""),
        ("peak_open < 5", "peak_open in total", "peak_open `per proxy`", "add where it is measured"),
        ("response.p99 < 1s per proxi", "`per proxi`", "in total (without `per`) or `per proxy`", "did you mean `per proxy`?"),
        ("response.p99 < 1s per carrier", "`per carrier`", "`per proxy`", "leave `per` out"),
        ("response.p99 < 1s per question", "response.p99 `per question`", "or `per proxy`", "nothing else is counted"),
        ("accepted >= 99 % per proxy", "accepted `per proxy`", "`per question` or `per phone`", ""),
        ("ledger.lost <= 0 per phone", "ledger.lost `per phone`", "in total", ""),
    ];
    for (line, found, needed, fix) in cases {
        let problem = Expectation::parse(line).expect_err(line);
        assert!(problem.found.contains(found), "{line}: {problem}");
        assert!(problem.needed.contains(needed), "{line}: {problem}");
        assert!(problem.fix.contains(fix), "{line}: {problem}");
    }
}

fn measure() -> impl Strategy<Value = Measure> {
    let timing = prop::sample::select(vec![Timing::Response, Timing::Service, Timing::Lateness]);
    let quantile = (1_u32..100_000).prop_map(|thousandths| {
        let word = format!("p{}.{:03}", thousandths / 1_000, thousandths % 1_000);
        Quantile::parse(&word).unwrap_or(Quantile::MAX)
    });
    let spread = prop::sample::select(vec![Spread::Votes, Spread::Connections]);
    let window = prop::sample::select(vec![Window::Total, Window::Peak1s, Window::Peak5s]);
    let plain = vec![Measure::Accepted, Measure::Complaints, Measure::Connected, Measure::PeakOpen, Measure::Failures(None)];
    prop_oneof![
        (timing, quantile).prop_map(|(timing, quantile)| Measure::Timing(timing, quantile)),
        prop::sample::select(plain),
        prop::sample::select(Failure::ALL.to_vec()).prop_map(|class| Measure::Failures(Some(class))),
        (spread, window).prop_map(|(spread, window)| Measure::Skew(spread, window)),
        prop::sample::select(Entry::ALL.to_vec()).prop_map(Measure::Ledger),
    ]
}

proptest! {
    #[test]
    fn what_an_expectation_shows_reads_as_the_same_again(
        measure in measure(),
        bound in prop::sample::select(vec![Bound::Below, Bound::AtMost, Bound::Above, Bound::AtLeast]),
        suffix in any::<prop::sample::Index>(),
        scope in any::<prop::sample::Index>(),
        number in prop_oneof![1.0_f64..99.0, Just(1.0 / 3.0 + 1.0), Just(99.999_999_999), 1.0_f64..1.000_1],
    ) {
        let suffixes: Vec<_> = Suffix::ALL.into_iter().filter(|suffix| suffix.fits(measure.unit())).collect();
        let (suffix, scope) = (*suffix.get(&suffixes), *scope.get(measure.scopes()));
        let expectation = Expectation { measure, bound, number, suffix, scope };
        // An edge that nothing can break, such as a skew of at least 1, is refused rather than read.
        prop_assume!(expectation.makes_sense().is_ok());
        prop_assert_eq!(Expectation::parse(&expectation.to_string()), Ok(expectation));
    }

    #[test]
    fn no_line_is_too_strange_to_be_answered(line in "\\PC{0,40}", tail in "[a-z_.]{0,12} ?[<>=]{0,2} ?[0-9._%a-z ]{0,12}") {
        for line in [&line, &tail] {
            if let Ok(expectation) = Expectation::parse(line) {
                prop_assert_eq!(parsed(&expectation.to_string()), expectation);
            }
        }
    }
}

const SHOW: &str = include_str!("../../../scenarios/show.toml");

fn show() -> Scenario {
    Scenario::parse(SHOW, "show.toml", &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap()
}

#[test]
fn shares_are_kept_at_their_very_edge() {
    for thousandths in 1..1_000_u32 {
        let expectation = parsed(&format!("accepted >= {}.{} %", thousandths / 10, thousandths % 10));
        assert_eq!(expectation.limit(), f64::from(thousandths) / 1_000.0, "{expectation}");
    }
}

fn proxy(last: u8) -> std::net::IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

/// Two proxies. The first answered 60 votes within 10 ms; the second answered 39 in 100 ms and failed once.
fn counted() -> Tally {
    let mut tally = Tally::default();
    for (last, accepted, millis, failed) in [(1, 60, 10, 0), (2, 39, 100, 1)] {
        let index = tally.index(proxy(last));
        let tally = tally.proxy(index);
        for _ in 0..accepted {
            tally.response.record_ns(millis * 1_000_000);
            tally.service.record_ns(millis * 500_000);
            tally.lateness.record_ns(1_000_000);
        }
        let second = tally.second(5);
        (second.opened, second.sent, second.accepted) = (30 * u32::from(last), accepted + failed, accepted);
        second.failed[Failure::Status5xx as usize] = failed;
    }
    (0..30).for_each(|_| tally.lookups.led_to(Asker { carrier: 0, phone: 1 }, proxy(1), 5));
    (0..90).for_each(|_| tally.lookups.led_to(Asker { carrier: 0, phone: 1 }, proxy(2), 5));
    tally
}

fn ledger() -> Ledger {
    Ledger {
        planned: 100,
        accepted: 99,
        refused: 1,
        voters: 100,
        complaints: 2,
        lost: Some(0),
        reconciled: true,
        ..Ledger::default()
    }
}

fn accounts(scenario: &Scenario) -> Accounts {
    let mut accounts = Accounts::of(scenario);
    (0..60).for_each(|_| accounts.enter(0, &[(0, true, true)]));
    (0..39).for_each(|viewer| accounts.enter(1, &[(0, true, viewer > 0)]));
    accounts.enter(1, &[(0, false, false)]);
    accounts
}

fn with_seen<T>(change: impl Fn(&mut Seen<'_>), look: impl Fn(&Seen<'_>) -> T) -> T {
    let (scenario, tally, ledger) = (show(), counted(), ledger());
    let (total, accounts, proxies) = (tally.total(), accounts(&scenario), tally.proxies());
    let mut seen = Seen {
        scenario: &scenario,
        proxies: &proxies,
        total: &total,
        lookups: &tally.lookups,
        t0_second: 5,
        votes: Some(Votes::of(&ledger)),
        connected: Some(0.99),
        ledger: Some(&ledger),
        accounts: Some(&accounts),
    };
    change(&mut seen);
    look(&seen)
}

#[test]
fn each_measure_is_taken_at_its_scope_and_the_worst_place_is_named() {
    // The line, whether it holds, and what is said of it.
    let cases = [
        ("response.p50 < 11ms", true, "measured 10.0 ms, less than 11.0 ms needed"),
        ("response.p99 < 101ms", true, "measured 100.0 ms, less than 101.0 ms needed"),
        // One of a hundred planned votes was never accepted: no time is long enough for it.
        ("response.max < 10s", false, "measured beyond every bound, less than 10000.0 ms needed"),
        ("response.max > 1s", true, "measured beyond every bound, more than 1000.0 ms needed"),
        ("response.p50 < 50ms per proxy", false, "measured 100.0 ms at 127.0.0.2, less than 50.0 ms needed"),
        ("response.p50 > 20ms per proxy", false, "measured 10.0 ms at 127.0.0.1, more than 20.0 ms needed"),
        ("service.max <= 51ms per proxy", true, "measured 50.0 ms at 127.0.0.2, at most 51.0 ms allowed"),
        ("lateness.p99 < 0.5ms", false, "measured 1.0 ms, less than 0.5 ms needed"),
        ("accepted >= 99 %", true, "measured 99.000 %, at least 99.000 % needed"),
        ("accepted > 99 %", false, "measured 99.000 %, more than 99.000 % needed"),
        ("accepted >= 99 % per question", true, "measured 99.000 % at winner, at least 99.000 % needed"),
        ("accepted >= 98 % per phone", false, "measured 97.500 % at ios-urlsession, at least 98.000 % needed"),
        ("complaints < 3 %", true, "measured 2.000 %, less than 3.000 % needed"),
        ("complaints < 3 % per phone", false, "measured 5.000 % at ios-urlsession, less than 3.000 % needed"),
        ("complaints <= 2 % per question", true, "measured 2.000 % at winner, at most 2.000 % allowed"),
        ("connected >= 99.5 %", false, "measured 99.000 %, at least 99.500 % needed"),
        ("failures <= 1 %", true, "measured 1.000 %, at most 1.000 % allowed"),
        ("failures.status-5xx < 2 % per proxy", false, "measured 2.500 % at 127.0.0.2, less than 2.000 % needed"),
        ("failures.reset <= 0 %", true, "measured 0.000 %, at most 0.000 % allowed"),
        ("peak_open < 60 per proxy", false, "measured 60 at 127.0.0.2, less than 60 needed"),
        ("skew.total < 1.21", true, "measured 1.20 × the even share, less than 1.21 × the even share needed"),
        ("skew_connections.peak_1s < 1.3", false, "measured 1.33 × the even share, less than 1.30 × the even share needed"),
        (
            "skew_connections.total < 1.3 per phone",
            false,
            "measured 1.50 × the even share at ios-urlsession, less than 1.30 × the even share needed",
        ),
        ("ledger.refused <= 0", false, "measured 1, at most 0 allowed"),
        ("ledger.lost <= 0", true, "measured 0, at most 0 allowed"),
    ];
    for (line, holds, text) in cases {
        let limit = with_seen(|_| {}, |seen| parsed(line).held("limits[0].expect".into(), seen));
        assert_eq!((limit.holds, limit.to_string().as_str()), (Some(holds), text), "{line}");
        let beyond = limit.margin().map(|margin| margin < 0.0);
        assert!(beyond.is_none() || !holds || beyond == Some(false), "{line}: {limit:?}");
    }
}

#[test]
fn what_was_not_measured_neither_holds_nor_breaks() {
    let lines = ["response.p99 < 1s", "failures < 1 % per proxy", "accepted >= 99 %", "ledger.lost <= 0", "connected >= 99 %"];
    for line in lines {
        let limit = with_seen(|seen| seen.votes = None, |seen| parsed(line).held(String::new(), seen));
        assert_eq!((limit.measured, limit.holds), (None, None), "{line}");
    }
    // A live target has no ballot box, and a burst that is on has no accounts yet.
    let limit = with_seen(|_| {}, |seen| parsed("ledger.duplicated <= 0").held(String::new(), seen));
    assert_eq!(limit.holds, None);
    let in_burst = |seen: &mut Seen<'_>| (seen.ledger, seen.accounts) = (None, None);
    assert_eq!(with_seen(in_burst, |seen| parsed("accepted >= 99 % per phone").held(String::new(), seen)).holds, None);
}

#[test]
fn a_proxy_that_got_nothing_counts_in_a_skew() {
    let nothing = crate::tally::ProxyTally::default();
    let (tally, scenario) = (counted(), show());
    let proxies: Vec<_> = tally.proxies().into_iter().chain([(proxy(3), &nothing)]).collect();
    let total = tally.total();
    let seen = Seen {
        scenario: &scenario,
        proxies: &proxies,
        total: &total,
        lookups: &tally.lookups,
        t0_second: 0,
        votes: Some(Votes::default()),
        connected: None,
        ledger: None,
        accounts: None,
    };
    let samples = seen.samples(&parsed("skew.total < 2"));
    assert_eq!(samples, [Sample { at: None, value: Value::Figure(60.0 * 3.0 / 100.0), events: 33 }]);
}

#[test]
fn a_handful_of_samples_stops_no_burst() {
    // The line, and whether the hundred votes of `counted` are enough to stop a burst for it.
    let cases = [
        ("response.p50 < 1ms", true),
        ("response.p90 < 1ms", true),
        ("response.p99 < 1ms", false),
        ("response.max < 1ms", true),
        ("response.p50 < 1ms per proxy", false),
        ("failures < 0.5 %", true),
        ("failures < 0.5 % per proxy", false),
        ("skew_connections.total < 1.1", true),
        ("peak_open < 10 per proxy", true),
        ("complaints < 1 %", true),
        ("complaints < 5 %", false),
    ];
    for (line, stops) in cases {
        assert_eq!(with_seen(|_| {}, |seen| parsed(line).broken_by(seen)).is_some(), stops, "{line}");
    }
    assert_eq!(parsed("response.p99 < 1s").measure().enough(), 1_000);
    assert_eq!(parsed("response.p99.9 < 1s").measure().enough(), 10_000);
}

#[test]
fn in_mid_burst_votes_still_to_come_are_neither_accepted_nor_complained_about() {
    let votes = |ended, accepted| Votes::so_far(200, 100, 2, ended, accepted);
    assert_eq!(votes(0, 0), Votes { judged: 0, accepted: Some(1.0), complaints: Some(0.0) });
    assert_eq!(votes(50, 50), Votes { judged: 50, accepted: Some(1.0), complaints: Some(0.0) });
    // Three votes that were not accepted are those of two viewers at least.
    assert_eq!(votes(50, 47), Votes { judged: 50, accepted: Some(0.985), complaints: Some(0.02) });
    assert_eq!(Votes::so_far(0, 0, 1, 0, 0).accepted, None);
}

#[test]
fn only_what_is_counted_in_mid_burst_can_stop_it() {
    let known = [
        "complaints < 1 %",
        "accepted > 1 %",
        "response.p99 < 1s per proxy",
        "connected > 1 %",
        "skew.total < 2",
        "peak_open < 9 per proxy",
    ];
    let later = ["ledger.lost <= 0", "complaints < 1 % per phone", "accepted > 1 % per question", "accepted > 1 % per phone"];
    assert!(known.iter().all(|line| parsed(line).known_in_burst()));
    assert!(!later.iter().any(|line| parsed(line).known_in_burst()));
}

#[test]
fn the_limit_that_stopped_a_burst_is_broken_whatever_the_whole_run_says() {
    let expected = [
        Expected { expectation: parsed("failures < 5 %"), abort: true },
        Expected { expectation: parsed("skew.total < 2"), abort: false },
    ];
    let stopped = Stopped { limit: "failures < 5 %".into(), effect: Effect::Fail, t_s: 7.25, measured: "12.300 %".into() };
    let holds =
        |stopped| with_seen(|_| {}, |seen| limits(&expected, seen, stopped)).iter().map(|limit| limit.holds).collect::<Vec<_>>();
    assert_eq!((holds(None), holds(Some(&stopped))), (vec![Some(true); 2], vec![Some(false), Some(true)]));
    assert_eq!(stopped.to_string(), "stopped 7.2 s after T0, for `failures < 5 %` was broken: measured 12.300 %");
}
