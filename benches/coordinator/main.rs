//! What a fleet of 1,000 agents costs the coordinator, over the real wire.
//!
//! `cargo bench --bench coordinator` conducts one run with 1,000 simulated agents of 300 viewers; `-- --agents 200` with
//! fewer, `-- --seconds 10` for a shorter burst. Each side is a process of its own, so that each has its own memory,
//! processor time and file limit:
//!
//! - `coordinator`: the library's `conduct`, and the report from what it collected
//! - `agents`: a gRPC session each, from join to bye, with a cumulative snapshot of 15 proxies each second, and a ping
//!   each second over a connection of its own, as an agent does
//!
//! The snapshots are what agents with 300 votes a second would have counted; nothing is voted.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

mod agents;
mod counted;
mod stand;

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::time::{ClockId, clock_gettime};

/// Whatever goes wrong ends the bench with its words.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Which process this is; the parent when it is not set.
const ROLE: &str = "VOTEBURST_BENCH_ROLE";
/// The goals: cores, MiB, KiB on the wire, milliseconds of an agent's processor time.
const GOALS: (f64, f64, f64, f64) = (0.5, 1_024.0, 64.0, 1.0);
/// The number of the run.
const RUN: u64 = 0xbe9c;

/// How many agents, and for how many seconds they vote.
#[derive(Clone, Copy)]
struct Fleet {
    agents: u32,
    seconds: u32,
}

fn main() -> Outcome<()> {
    voteburst_agent::preflight::raise_file_limit();
    let fleet = Fleet { agents: argument("--agents")?.unwrap_or(1_000), seconds: argument("--seconds")?.unwrap_or(20) };
    match env::var(ROLE).as_deref() {
        Ok("coordinator") => stand::run(fleet),
        Ok("agents") => agents::run(fleet, u16::try_from(argument("--port")?.ok_or("no --port")?)?),
        _ => measure(fleet),
    }
}

fn measure(fleet: Fleet) -> Outcome<()> {
    let mut coordinator = start("coordinator", fleet, 0)?;
    let mut lines = BufReader::new(coordinator.stdout.take().ok_or("no output")?).lines();
    let mut next = || lines.next().ok_or("the coordinator ended early").map(|line| line.map(|line| figures(&line)));
    let port = next()??.get("port").copied().unwrap_or_default();
    let mut agents = start("agents", fleet, port as u16)?;
    let mut said = String::new();
    BufReader::new(agents.stdout.take().ok_or("no output")?).read_line(&mut said)?;
    let (of_agents, of_coordinator) = (figures(&said), next()??);
    for (name, mut child) in [("the agents", agents), ("the coordinator", coordinator)] {
        let status = child.wait()?;
        if !status.success() {
            return Err(format!("{name} ended with {status}").into());
        }
    }
    show(fleet, &of_agents, &of_coordinator);
    Ok(())
}

fn show(fleet: Fleet, agents: &HashMap<String, f64>, coordinator: &HashMap<String, f64>) {
    let get = |figures: &HashMap<String, f64>, key: &str| figures.get(key).copied().unwrap_or(f64::NAN);
    let (a, c) = (|key: &str| get(agents, key), |key: &str| get(coordinator, key));
    println!("{} agents, {} proxies, a snapshot each second for {} s", fleet.agents, counted::PROXIES, fleet.seconds);
    let line = |what: &str, found: f64, unit: &str, goal: f64| {
        println!("  {what:<44} {found:9.3} {unit:<6} {:5.2} of the goal ({goal})", found / goal);
        found <= goal
    };
    let met = [
        line("coordinator, processor during the burst", c("cores"), "cores", GOALS.0),
        line("coordinator, most memory", c("peak_mib"), "MiB", GOALS.1),
        line("snapshot on the wire, largest", a("largest_kib"), "KiB", GOALS.2),
        line("snapshot, agent's processor, median", a("encode_ms"), "ms", GOALS.3),
    ];
    println!(
        "  of the processor, the process itself {:.3} cores; memory before the burst {:.0} MiB",
        c("user_cores"),
        c("idle_mib")
    );
    println!("  a ping during the burst: p50 {:.1} ms, p99 {:.1} ms", a("ping_p50_ms"), a("ping_p99_ms"));
    println!("  last snapshot to bye: p50 {:.1} ms, p99 {:.1} ms", a("bye_p50_ms"), a("bye_p99_ms"));
    println!("  snapshots left out because the one before was still being sent: {} of {}", a("left_out"), a("sent"));
    println!("  from the last bye to the merged tally {:.2} s, to the report {:.2} s", c("merge_s"), c("report_s"));
    println!(
        "  the same snapshot of an agent of 15,000 viewers after 45,000 votes: {:.0} KiB, {:.2} ms",
        a("large_kib"),
        a("large_ms")
    );
    println!("  goals {}", if met.iter().all(|met| *met) { "met" } else { "MISSED" });
}

fn start(role: &str, fleet: Fleet, port: u16) -> Outcome<Child> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["--agents", &fleet.agents.to_string(), "--seconds", &fleet.seconds.to_string(), "--port", &port.to_string()]);
    Ok(command.env(ROLE, role).stdout(Stdio::piped()).spawn()?)
}

/// `key=number` pairs of a line.
fn figures(line: &str) -> HashMap<String, f64> {
    let pairs = line.split_whitespace().filter_map(|pair| pair.split_once('='));
    pairs.filter_map(|(key, value)| Some((key.to_owned(), value.parse().ok()?))).collect()
}

fn argument(name: &str) -> Outcome<Option<u32>> {
    let value = env::args().skip_while(|argument| argument != name).nth(1);
    Ok(value.map(|value| value.parse().map_err(|error| format!("{name} {value}: {error}"))).transpose()?)
}

/// A reading of one of the kernel's clocks, in seconds.
fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The value at a quantile of what was measured; not a number when nothing was.
fn quantile(measured: &mut [f64], quantile: f64) -> f64 {
    measured.sort_by(f64::total_cmp);
    let place = ((measured.len() as f64 * quantile) as usize).min(measured.len().saturating_sub(1));
    measured.get(place).copied().unwrap_or(f64::NAN)
}
