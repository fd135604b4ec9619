//! The truth bench, small: what a report says is held against what is known to be true.
//!
//! A test target of its own without the usual harness, for two reasons. Cargo plays test targets one after the other, so the
//! trials, which are about fractions of a millisecond, have the machine to themselves as far as our own tests go. And this
//! binary is also the server under test, started as a process that can be stopped.
//!
//! What is asserted does not hope for a quiet machine. The truth is what the server wrote down in the same run: an answer that was
//! late because the machine was busy is late in the truth too. What is left between the server's record and the agent's
//! is the kernel's loopback and two wake-ups, and those a busy machine can stretch: it happens to every client, and `cargo bench
//! --bench truth` measures how much of it a bare one sees. So:
//!
//! - a reported time below the truth is a lie, and fails at once
//! - a figure above its bound fails when it is so in each of six tries; every try after the first is told with its reason
//! - accounts hold in every try, and a run whose agent stood still is unknown in every try
//! - a run that says of itself that it was late proves nothing and is played again, at most as often

#![allow(clippy::print_stdout, reason = "there is no harness that would tell what was tried")]

#[path = "../../benches/truth/trials/mod.rs"]
mod trials;

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use trials::Outcome;
use trials::figures::Row;
use trials::known::{self, KINDS, Trial};
use trials::play::{Arrivals, Size};
use trials::{server, stall, stops};

/// How often a trial is played until its figures are within their bounds.
const TRIES: u32 = 6;

type Test = fn() -> Outcome<()>;

const TESTS: [(&str, Test); 4] = [
    ("the_formula_of_a_stop_agrees_with_a_queue_that_is_played", formula),
    ("known_service_times_come_back_in_the_report_and_never_too_short", known_times),
    ("a_stop_of_the_server_shows_in_every_vote_that_had_to_wait_for_it", stop_of_the_server),
    ("a_stop_of_an_agent_makes_the_run_unknown_and_is_not_charged_to_the_target", stop_of_an_agent),
];

fn main() -> Outcome<ExitCode> {
    if server::served()? {
        return Ok(ExitCode::SUCCESS);
    }
    let filters: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mut failed = 0;
    for (name, test) in TESTS {
        if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter.as_str())) {
            continue;
        }
        match test() {
            Ok(()) => println!("test {name} ... ok"),
            Err(why) => {
                failed += 1;
                println!("test {name} ... FAILED\n{why}");
            }
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plays until each figure was within its bound in one of the tries. A try may prove nothing (`None`).
fn each_holds_once(mut play: impl FnMut() -> Outcome<Option<Vec<Row>>>) -> Outcome<()> {
    let mut missed: Option<Vec<String>> = None;
    for number in 1..=TRIES {
        let Some(rows) = play()? else { continue };
        let table = || rows.iter().map(Row::to_string).collect::<Vec<_>>().join("\n");
        let beyond = |row: &&Row| !row.holds() && missed.as_ref().is_none_or(|missed| missed.contains(&row.what));
        let still: Vec<_> = rows.iter().filter(beyond).map(|row| row.what.clone()).collect();
        if still.is_empty() {
            return Ok(());
        }
        println!("try {number} of {TRIES}: not yet within the bound: {}\n{}\n{}", still.join(", "), Row::HEAD, table());
        missed = Some(still);
    }
    let missed = missed.map_or_else(|| "no try proved anything".into(), |missed| missed.join(", "));
    Err(format!("beyond the bound in each of {TRIES} tries: {missed}").into())
}

fn formula() -> Outcome<()> {
    stall::formula_agrees_with_the_played_queue()?;
    Ok(())
}

/// All kinds in one burst, each at an address of its own: the report tells them apart by proxy, and merges them.
fn known_times() -> Outcome<()> {
    let size = Size { viewers: 1_000, window: Duration::from_secs(2), arrivals: Arrivals::Uniform, agents: 2 };
    each_holds_once(|| {
        let mut found = known::trial(&KINDS, Trial { size, floor: true })?;
        let too_short = found.rows.iter().find(|row| row.what.contains("service") && row.reported < row.truth - MICROSECOND);
        if let Some(row) = too_short {
            return Err(format!("a report of a time that nobody can have seen:\n{}\n{row}", Row::HEAD).into());
        }
        let [_, lateness_p99, _] = found.lateness_ms;
        found.rows.iter_mut().for_each(|row| widen(row, lateness_p99));
        println!("{:.0} votes per second: lateness p50, p99, max in ms {:?}", size.rate(), found.lateness_ms);
        println!("lateness of a bare client beside it: p50, p99 {:?}", found.floor_lateness_ms);
        Ok(proved(found.not_passed.as_deref()).then_some(found.rows))
    })
}

/// Reports count whole microseconds, rounded down. In milliseconds.
const MICROSECOND: f64 = 0.001;
/// What an unoptimised agent may take itself for an answer, in milliseconds; the bench's, optimised, is given nothing.
const UNOPTIMISED: f64 = 0.3;
/// The same at p99, which is decided by the two or three slowest of a proxy's 200 votes.
const UNOPTIMISED_P99: f64 = 2.0;

/// Tests play an unoptimised build on a machine that may be busy. A single interruption of an agent decides a p99 here; it
/// delays what the agent reads as it delays what it writes, and of the latter the report itself says how much that was.
fn widen(row: &mut Row, lateness_p99: f64) {
    row.bound += if row.what.ends_with("p99") { UNOPTIMISED_P99 + lateness_p99 } else { UNOPTIMISED };
}

fn stop_of_the_server() -> Outcome<()> {
    let size = Size { viewers: 400, window: Duration::from_millis(1_600), arrivals: Arrivals::Even, agents: 2 };
    each_holds_once(|| {
        let found = stops::of_the_server(size)?;
        println!("the server stood still: {:?}, lateness p99 {:.3} ms", found.stall, found.lateness_p99_ms);
        if found.spare_s < 0.0 {
            println!("the backlog outlasted the window, and the formula does not hold then: try again");
        }
        Ok((proved(found.not_passed.as_deref()) && found.spare_s >= 0.0).then_some(found.rows))
    })
}

/// Whether a run passed. One that calls itself unknown, on a machine as busy as that, claims nothing that could be wrong.
fn proved(not_passed: Option<&str>) -> bool {
    if let Some(reasons) = not_passed {
        println!("the run did not pass, try again: {reasons}");
    }
    not_passed.is_none()
}

fn stop_of_an_agent() -> Outcome<()> {
    let size = Size { viewers: 300, window: Duration::from_secs(2), arrivals: Arrivals::Uniform, agents: 2 };
    each_holds_once(|| {
        let mut found = stops::of_an_agent(size)?;
        println!("stopped for {:.3} s, lateness p99 {:.1} ms: {}", found.stopped_s, found.lateness_p99_ms, found.reasons);
        if found.code != Some(3) || !found.codes.iter().any(|code| code == "stalled") {
            return Err(format!("exit code {:?}, reasons {:?}: {}", found.code, found.codes, found.reasons).into());
        }
        // Somebody was to vote in the first tenth of the stop, and could only after it.
        if found.lateness_max_ms < 0.9 * found.stopped_s * 1e3 {
            return Err(
                format!("an agent stood still for {} s, and was late by {} ms", found.stopped_s, found.lateness_max_ms).into()
            );
        }
        // What an agent sends when it goes on is the reason for the bound at p90 and p99, which the trial has set.
        found.rows.iter_mut().for_each(|row| row.bound += UNOPTIMISED);
        Ok(Some(found.rows))
    })
}
