//! What an idle viewer costs in memory and a vote in processor time, beside the bare floor, in the same run.
//!
//! `cargo bench --bench idle_and_vote` plays 15,000 viewers on one agent; `-- --viewers 2000` fewer, `-- --rounds 1` once.
//! Every role is a process of its own, so that each has its own memory, processor time and file limit:
//!
//! - `server`: one epoll thread on eight addresses that answers every vote, and every DNS query with one of them
//! - `agent`: a crew with everything on (plan, phones, pace, tally, lateness, vote log)
//! - `floor`: the least a client can do: epoll, preformatted bytes, no look at the answer but its end
//! - wrk and h2load, where installed (`apt install wrk nghttp2-client`), see `peers.rs`
//!
//! Agent and floor play the same bursts: every viewer votes at the same instant, several times in a row.
//! The costs of the kernel's sockets count for both, so their ratio says what the agent adds.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

mod agent;
mod floor;
mod peers;
mod server;

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Whatever goes wrong ends the bench with its words.
type Outcome<T> = Result<T, Box<dyn Error>>;

/// Which process this is; the parent when it is not set.
const ROLE: &str = "VOTEBURST_BENCH_ROLE";
/// How long all bursts take together.
const PLAYED: Duration = Duration::from_secs(7);
/// The goals of issue and design: KiB per idle viewer, microseconds per vote, times the floor.
const GOALS: (f64, f64, f64) = (4.0, 12.0, 1.3);
/// The smaller audience, which tells apart what a viewer costs and what an agent does.
const FEW: u32 = 1_000;

fn main() -> Outcome<()> {
    voteburst_agent::preflight::raise_file_limit();
    match env::var(ROLE).as_deref() {
        Ok("server") => server::run(),
        Ok("agent") => agent::run(argument("--viewers")?.unwrap_or(FEW), port()?),
        Ok("floor") => floor::run(argument("--viewers")?.unwrap_or(FEW), port()?),
        _ => compare(argument("--viewers")?.unwrap_or(15_000), argument("--rounds")?.unwrap_or(3)),
    }
}

/// How many bursts are played, and the time from one to the next: more where viewers are few, so that what an agent does each
/// second whoever votes is not shared out among few votes.
fn bursts(viewers: u32) -> (u32, Duration) {
    let bursts = (150_000 / viewers.max(1)).clamp(10, 100);
    (bursts, PLAYED / bursts)
}

fn compare(viewers: u32, rounds: u32) -> Outcome<()> {
    let few = FEW.min(viewers / 2).max(1);
    let (mut small, mut agents, mut floors, mut small_floors) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (here, missing): (Vec<&str>, Vec<&str>) = peers::NAMES.into_iter().partition(|name| peers::installed(name));
    let mut others = Vec::new();
    for _ in 0..rounds.max(1) {
        for (role, viewers, figures) in [
            ("agent", few, &mut small),
            ("agent", viewers, &mut agents),
            ("floor", viewers, &mut floors),
            ("floor", few, &mut small_floors),
        ] {
            figures.push(play(role, viewers)?);
        }
        others.push(play_peers(&here, [few, viewers])?);
    }
    let slope = |key: &str| (median(&agents, key) - median(&small, key)) / f64::from(viewers - few);
    let (agent, floor) = (median(&agents, "cpu_us"), median(&floors, "cpu_us"));
    let (before, after, ratio) = (slope("idle_kib"), slope("voted_kib"), agent / floor);
    println!(
        "{viewers} viewers on one agent, {} bursts of {viewers} votes, median of {} rounds",
        bursts(viewers).0,
        rounds.max(1)
    );
    println!("  idle viewer      {before:6.2} KiB  (having voted: {after:.2} KiB; slope from {few} viewers; goal {})", GOALS.0);
    let parts = |of: &[Figures]| format!("of which the process itself {:.1}", median(of, "user_us"));
    println!("  vote, agent      {agent:6.2} µs of CPU  ({}; goal {})", parts(&agents), GOALS.1);
    println!("  vote, floor      {floor:6.2} µs of CPU  ({})", parts(&floors));
    println!("  agent / floor    {ratio:6.2}  (goal {})", GOALS.2);
    let (agent_few, floor_few) = (median(&small, "cpu_us"), median(&small_floors, "cpu_us"));
    println!(
        "  with {few} viewers, {} bursts: agent {agent_few:.2} µs, floor {floor_few:.2} µs, ratio {:.2}",
        bursts(few).0,
        agent_few / floor_few
    );
    println!("  an agent at rest {:6.2} ms of CPU per second", median(&agents, "rest_ms"));
    for name in &here {
        let [few_us, many_us] = [few, viewers].map(|connections| median(&others, &format!("{name}-{connections}")));
        println!("  {name:6}  {many_us:6.2} µs of CPU per vote  ({few} connections: {few_us:.2})");
    }
    for name in &missing {
        println!("  {name}: NOT INSTALLED, so not compared");
    }
    let millis = |key| median(&agents, key) / 1_000.0;
    println!(
        "  lateness of a vote when all are due at once: p50 {:.1} ms, p99 {:.1} ms",
        millis("late_p50_us"),
        millis("late_p99_us")
    );
    let met = before <= GOALS.0 && after <= GOALS.0 && agent <= GOALS.1 && ratio <= GOALS.2;
    println!("  goals {}", if met { "met" } else { "MISSED" });
    Ok(())
}

type Figures = HashMap<String, f64>;

/// What the peers cost, by `name-connections`, each against a server of its own.
fn play_peers(names: &[&str], audiences: [u32; 2]) -> Outcome<Figures> {
    let mut figures = Figures::new();
    for name in names {
        for connections in audiences {
            let mut server = start("server", 0, 0)?;
            let port = figure(&last_line(&mut server)?, "port")? as u16;
            let cost = peers::cpu_us(name, connections, port);
            drop(server.stdin.take());
            server.wait()?;
            figures.insert(format!("{name}-{connections}"), cost?);
        }
    }
    Ok(figures)
}

/// Runs a role against a server of its own and returns what it printed: `key=number` pairs.
fn play(role: &str, viewers: u32) -> Outcome<Figures> {
    let mut server = start("server", 0, 0)?;
    let port = figure(&last_line(&mut server)?, "port")? as u16;
    let mut client = start(role, viewers, port)?;
    let line = last_line(&mut client)?;
    let status = client.wait()?;
    // The server ends when its standard input does.
    drop(server.stdin.take());
    server.wait()?;
    if !status.success() {
        return Err(format!("{role} with {viewers} viewers ended with {status}").into());
    }
    line.split_whitespace()
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| Ok((key.to_owned(), value.parse()?)))
        .collect()
}

fn start(role: &str, viewers: u32, port: u16) -> Outcome<Child> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["--viewers", &viewers.to_string(), "--port", &port.to_string()]).env(ROLE, role);
    Ok(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?)
}

fn last_line(child: &mut Child) -> Outcome<String> {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().ok_or("no output")?).read_line(&mut line)?;
    Ok(line)
}

fn figure(line: &str, key: &str) -> Outcome<f64> {
    let value = line.split_whitespace().find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
    Ok(value.ok_or_else(|| format!("no {key} in `{line}`"))?.parse()?)
}

fn median(figures: &[Figures], key: &str) -> f64 {
    let mut values: Vec<_> = figures.iter().filter_map(|of| of.get(key).copied()).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn argument(name: &str) -> Outcome<Option<u32>> {
    let value = env::args().skip_while(|argument| argument != name).nth(1);
    Ok(value.map(|value| value.parse().map_err(|error| format!("{name} {value}: {error}"))).transpose()?)
}

fn port() -> Outcome<u16> {
    Ok(u16::try_from(argument("--port")?.ok_or("no --port")?)?)
}

/// Processor time of this process since it began, and the user's part of it, in microseconds.
fn processor_us() -> Outcome<(f64, f64)> {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name in parentheses may hold spaces; utime is the twelfth word behind it, in ticks of 10 ms (proc(5)).
    let behind = stat.rsplit_once(')').ok_or("no name in /proc/self/stat")?.1;
    let ticks: f64 = behind.split_whitespace().nth(11).ok_or("no utime in /proc/self/stat")?.parse()?;
    Ok((time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3, ticks * 1e4))
}

/// `cpu_us` per vote since an earlier reading of the processor's time, and the user's part of it.
fn per_vote(before: (f64, f64), votes: u32) -> Outcome<String> {
    let after = processor_us()?;
    let each = |micros: f64| micros / f64::from(votes);
    Ok(format!("cpu_us={:.3} user_us={:.3}", each(after.0 - before.0), each(after.1 - before.1)))
}
