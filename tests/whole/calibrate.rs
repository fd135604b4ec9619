//! `voteburst check --calibrate`: what this machine can do, found out by doing it.

use crate::fixture::{Ended, Running};
use crate::scenario::{Place, Scenario};

fn start(place: &Place) -> Running {
    place.voteburst(&["check", "scenario.toml", "--calibrate"]).start()
}

#[track_caller]
fn shows(ended: &Ended, parts: &[&str]) {
    for part in parts {
        assert!(ended.stdout.contains(part), "`{part}` is missing in:\n{}\n{}", ended.stdout, ended.stderr);
    }
}

/// The words of the line of standard output that begins with these.
#[track_caller]
fn words_behind<'a>(ended: &'a Ended, begin: &str) -> Vec<&'a str> {
    let line = ended.stdout.lines().find_map(|line| line.strip_prefix(begin));
    line.unwrap_or_else(|| panic!("no line with `{begin}` in:\n{}", ended.stdout)).split_whitespace().collect()
}

#[track_caller]
fn number(word: &str) -> f64 {
    word.parse().unwrap_or_else(|_| panic!("`{word}` is no number"))
}

#[test]
fn a_small_plan_is_carried_and_every_vote_of_its_round_is_sent_and_answered() {
    let place = Scenario::small().viewers(500).with("[agents]", "[agents]\nmax_viewers = 300").place();
    let ended = start(&place).end().exits(0).says(&["calibrating: 500 viewers on 2 agents", "s when this machine carries that"]);
    shows(
        &ended,
        &["Nothing was sent to the target.", "500 of 500 viewers connected by 2 agents", "a stage on this machine takes"],
    );
    assert!(ended.stdout.ends_with("This machine carries this plan: 500 viewers, at 120 % of its peak.\n"), "{}", ended.stdout);

    let peak = number(words_behind(&ended, "peak ")[0]);
    // 500 votes in two seconds: half of them in one, and a few more in the densest. Six standard deviations of 11.
    assert!((250.0..=316.0).contains(&peak), "{peak}");
    let row = words_behind(&ended, "120 % ");
    let (rate, sent, answered, planned) = (number(row[0]), number(row[1]), number(row[2]), number(row[4]));
    assert!((rate - 1.2 * peak).abs() <= 0.51, "{rate} is 120 % of {peak}");
    assert_eq!(answered, planned);
    // Turnout and instants are drawn: within five standard deviations of a Poisson count.
    let expected = 6.0 * peak;
    assert!((planned - expected).abs() < 5.0 * expected.sqrt(), "{planned} votes for {expected}");
    assert!((sent - planned / 5.0).abs() < 0.05 * sent, "{sent} a second of {planned} in five");
    let late: Vec<f64> = row[5..9].iter().map(|word| number(word)).collect();
    assert!(late.is_sorted() && late[0] > 0.0, "{late:?}");
    // A vote takes microseconds, of both, on any machine.
    assert!(row[9..11].iter().all(|cost| (1.0..20_000.0).contains(&number(cost))), "{row:?}");
    assert_eq!(place.holds(), ["scenario.toml"], "nothing is kept");
}

#[test]
fn a_bound_that_no_machine_keeps_says_how_many_viewers_are_too_many() {
    let place = Scenario::small().with("lateness_p99_max = \"2s\"", "lateness_p99_max = \"1us\"").place();
    let ended = start(&place).end().exits(2).says(&["120 % of the peak: lateness p99 is", "40 % of the peak: lateness p99 is"]);
    shows(&ended, &["✗ 120 %: lateness p99", "✗ 40 %: lateness p99", "at most 1us allowed"]);
    // A third of the plan is what 40 % of its peak is worth with a fifth to spare.
    shows(&ended, &["does not carry this plan: fewer than 66 of its 200 viewers", "Not even 40 %", "--viewers"]);
    for rate in ["120 % ", "100 % ", "80 % ", "60 % ", "40 % "] {
        let row = words_behind(&ended, rate);
        assert_eq!(row[2], row[4], "what was answered of {rate}");
    }
    assert_eq!(place.holds(), ["scenario.toml"], "nothing is kept");
}

#[test]
fn a_machine_that_a_check_refuses_is_not_calibrated() {
    // An address of the documentation's range (RFC 5737) is no machine's.
    let place = Scenario::small().with("[agents]", "[agents]\nsources = [\"192.0.2.9\"]").place();
    let ended = start(&place).end().exits(2);
    shows(&ended, &["✗ source addresses", "192.0.2.9: "]);
    assert!(!ended.stderr.contains("calibrating") && !ended.stdout.contains("120 %"), "{}", ended.stdout);
}

#[test]
fn ctrl_c_ends_a_calibration_with_all_its_processes() {
    let place = Scenario::small().place();
    let running = start(&place);
    running.line("200 of 200 viewers connected");
    running.interrupt();
    // Agents and null targets share its standard error, whose end is waited for: whoever stayed would be seen here.
    let ended = running.end().exits(3).says(&["ending the calibration", "it says nothing of this machine"]);
    assert!(!ended.stdout.contains("This machine"), "{}", ended.stdout);
    assert_eq!(place.holds(), ["scenario.toml"]);
}
