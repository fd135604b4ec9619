//! Whether reports tell the truth: known service times, a server that stands still, an agent that does.
//!
//! `cargo bench --bench truth` prints for each figure what is true, what was reported and the bound, and `NO` where it is missed.
//! `-- known` or `-- stops` plays one part only. `tests/truth` plays the same small and asserts it.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

mod trials;

use std::env;
use std::time::Duration;

use trials::Outcome;
use trials::figures::Row;
use trials::known::{self, KINDS, Trial};
use trials::play::{Arrivals, Size};
use trials::{server, stall, stops};

fn main() -> Outcome<()> {
    if server::served()? {
        return Ok(());
    }
    let asked: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |part: &str| asked.is_empty() || asked.iter().any(|word| word == part);
    if wanted("known") {
        known_times()?;
    }
    if wanted("server") {
        stop_of_the_server()?;
    }
    if wanted("agent") {
        stop_of_an_agent()?;
    }
    Ok(())
}

fn table(rows: &[Row]) {
    println!("{}", Row::HEAD);
    rows.iter().for_each(|row| println!("{row}"));
    println!("  all within their bounds: {}\n", if rows.iter().all(Row::holds) { "yes" } else { "NO" });
}

fn verdict(not_passed: Option<&str>) {
    if let Some(reasons) = not_passed {
        println!("  verdict: not pass: {reasons}");
    }
}

fn known_times() -> Outcome<()> {
    let size = Size { viewers: 4_000, window: Duration::from_secs(4), arrivals: Arrivals::Uniform, agents: 2 };
    println!(
        "Known service times, {} votes at {:.0} per second over {} agents; times in ms",
        size.viewers,
        size.rate(),
        size.agents
    );
    println!("floor: what the least client reports above its own truth, in the same run\n");
    for kind in KINDS {
        let found = known::trial(&[kind], Trial { size, floor: true })?;
        let [p50, p99, max] = found.lateness_ms;
        println!("{}: lateness p50 {p50:.3}, p99 {p99:.3}, max {max:.3}", kind.name);
        if let Some([p50, p99]) = found.floor_lateness_ms {
            println!("  lateness of the floor: p50 {p50:.3}, p99 {p99:.3}");
        }
        verdict(found.not_passed.as_deref());
        table(&found.rows);
    }
    Ok(())
}

fn stop_of_the_server() -> Outcome<()> {
    let compared = stall::formula_agrees_with_the_played_queue()?;
    println!("The formula agrees with a queue that is played, {compared} figures");
    let size = Size { viewers: 4_000, window: Duration::from_millis(1_600), arrivals: Arrivals::Even, agents: 2 };
    let found = stops::of_the_server(size)?;
    println!(
        "The server stands still for {:.6} s within {:.1} s of votes, {:.0} per second; each vote of the backlog took {:.1} µs",
        found.stall.length_s,
        found.stall.window_s,
        size.rate(),
        found.stall.each_s * 1e6
    );
    println!(
        "  {:.1} % of the votes had to wait; the backlog was gone {:.3} s before the window closed; lateness p99 {:.3} ms",
        found.stall.share_waiting() * 100.0,
        found.spare_s,
        found.lateness_p99_ms
    );
    verdict(found.not_passed.as_deref());
    table(&found.rows);
    Ok(())
}

fn stop_of_an_agent() -> Outcome<()> {
    let size = Size { viewers: 3_000, window: Duration::from_secs(3), arrivals: Arrivals::Uniform, agents: 2 };
    let found = stops::of_an_agent(size)?;
    println!(
        "One of {} agents stands still for {:.3} s within {:?}, {:.0} votes per second",
        size.agents,
        found.stopped_s,
        size.window,
        size.rate()
    );
    println!("  exit code {:?}, reasons {:?}: {}", found.code, found.codes, found.reasons);
    println!("  lateness p99 {:.1} ms, max {:.1} ms", found.lateness_p99_ms, found.lateness_max_ms);
    table(&found.rows);
    Ok(())
}
