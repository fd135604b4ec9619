//! What watching costs a burst: the same rehearsal with lines alone, on the terminal view, and with readers of the live page.
//!
//! `cargo bench --bench views` plays each way of watching four times, interleaved; `-- --rounds 1` once, `-- --viewers 20000`
//! more, `-- --seconds 20` longer. The stage and the agents are the command's own, all on this machine: run nothing else beside it.
//!
//! The ways are in [`play::WATCHED`]. Lines are played twice in each round: what the second differs by from the first is what chance
//! makes of any figure here. Every other way is held against both of its round. The terminal is a pseudo-terminal of
//! script(1), whose output the bench takes and throws away, as it does with what the server sends: a terminal and a browser
//! draw with processor time of their own, on a machine of their user's.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

mod play;
mod reader;
mod spent;

use std::env;
use std::error::Error;

use play::{WATCHED, play};

/// Whatever goes wrong ends the bench with its words.
type Outcome<T> = Result<T, Box<dyn Error>>;

/// A figure of a run: its name, its unit, and the digits it is worth.
const FIGURES: [(&str, &str, usize); 5] = [
    ("coordinator, burst", "ms of processor time in a second", 2),
    ("coordinator, doors", "ms of processor time in a second", 2),
    ("agents, burst", "µs of processor time for a vote", 1),
    ("lateness p50", "ms", 3),
    ("lateness p99", "ms", 3),
];

/// What a run came to, in the order of [`FIGURES`].
type Figures = [f64; FIGURES.len()];

/// A round in which the host took more than this share of the machine's time during any burst is left out of the medians.
const MOST_STOLEN: f64 = 0.1;

fn main() -> Outcome<()> {
    let rounds = argument("--rounds")?.unwrap_or(4);
    let viewers = argument("--viewers")?.unwrap_or(10_000);
    let seconds = argument("--seconds")?.unwrap_or(10);
    println!("{viewers} viewers, one vote each in {seconds} s, {rounds} rounds");
    let mut kept = Vec::new();
    for round in 0..rounds as usize {
        let (mut played, mut stolen) = ([Figures::default(); WATCHED.len()], 0.0);
        // Each round begins with another one, so that none is always the first.
        for turn in 0..WATCHED.len() {
            let way = (round + turn) % WATCHED.len();
            let run = play(WATCHED[way], viewers, seconds)?;
            print!("round {}, {:22}", round + 1, WATCHED[way].name());
            FIGURES.iter().zip(run.figures).for_each(|((_, _, digits), figure)| print!(" {figure:9.digits$}"));
            println!("   {} (stolen {:.1} %)", run.seen, run.stolen * 100.0);
            played[way] = run.figures;
            stolen = f64::max(stolen, run.stolen);
        }
        if stolen <= MOST_STOLEN {
            kept.push(played);
        } else {
            println!("round {} is left out: the host took {:.0} % of a burst", round + 1, stolen * 100.0);
        }
    }
    if kept.is_empty() {
        return Err("no round was left; try again on a host that has less to do".into());
    }
    medians(&kept);
    Ok(())
}

/// Says what all rounds came to.
fn medians(rounds: &[[Figures; WATCHED.len()]]) {
    for (index, (name, unit, digits)) in FIGURES.into_iter().enumerate() {
        println!("\n{name}, {unit}: median [least .. most]; ratio to the lines of the same round");
        let lines = |round: &[Figures; WATCHED.len()]| (round[0][index] + round[1][index]) / 2.0;
        for (way, watched) in WATCHED.iter().enumerate() {
            let [least, middle, most] = spread(rounds.iter().map(|round| round[way][index]).collect());
            let [low, ratio, high] = spread(rounds.iter().map(|round| round[way][index] / lines(round)).collect());
            print!("  {:22} {middle:9.digits$} [{least:.digits$} .. {most:.digits$}]", watched.name());
            println!("  {ratio:.3} [{low:.3} .. {high:.3}]");
        }
    }
}

/// The least, the median and the most.
fn spread(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_unstable_by(f64::total_cmp);
    let (last, half) = (values.len() - 1, values.len() / 2);
    let middle = if values.len() % 2 == 1 { values[half] } else { (values[half - 1] + values[half]) / 2.0 };
    [values[0], middle, values[last]]
}

/// The number behind this word, at least 1.
fn argument(name: &str) -> Outcome<Option<u32>> {
    let mut words = env::args().skip_while(|word| word != name).skip(1);
    let number = words.next().map(|word| word.parse::<u32>()).transpose()?;
    if number == Some(0) {
        return Err(format!("{name}: found 0, needed at least 1").into());
    }
    Ok(number)
}
