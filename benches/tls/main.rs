//! What TLS viewers cost: memory idle, processor time of a full handshake, of one that resumes a session, and of a vote.
//!
//! `cargo bench --bench tls` plays 1,000 and 9,000 viewers on one agent; `-- --viewers 4000` fewer, `-- --rounds 3` more often,
//! `-- --peers` also wrk and h2load where they are installed. Every role is a process of its own:
//!
//! - `server`: rustls on eight addresses, TLS 1.3, a certificate on P-256 below an intermediate one, tickets on
//! - `agent`: a crew with everything on (plan, phones, pace, tally, lateness, vote log), the same of full phones, which
//!   speak HTTP/2, and the same without TLS
//! - `floor`: the least client of rustls: its own buffered connection, every certificate verified, blocking
//! - `bare`: rustls' handshakes alone, from memory to memory, of which the client's part is counted
//!
//! Viewers enter (full handshakes), are closed by the server and come back (resumed ones), then vote. The server counts
//! which handshakes were which, and the bench fails when a viewer that came back did not resume.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

mod agent;
mod bare;
mod floor;
mod peers;
mod server;

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Whatever goes wrong ends the bench with its words.
type Outcome<T> = Result<T, Box<dyn Error>>;

/// Which process this is; the parent when it is not set.
const ROLE: &str = "VOTEBURST_BENCH_ROLE";
/// How many bursts are played.
const BURSTS: u32 = 10;
/// From one burst to the next.
const APART: Duration = Duration::from_millis(700);
/// The goals: KiB per idle viewer, microseconds of a full handshake and of a resumed one.
const GOALS: (f64, f64, f64) = (12.0, 230.0, 140.0);
/// The smaller audience, which tells apart what a viewer costs and what an agent does.
const FEW: u32 = 1_000;

/// What an agent's viewers speak.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speech {
    /// HTTP/1.1 without TLS.
    Plain,
    /// HTTP/1.1 over TLS.
    Tls,
    /// HTTP/2 over TLS.
    Http2,
}

/// Where the server listens, and whose certificate to trust.
struct Target {
    port: u16,
    plain_port: u16,
    ca_file: String,
}

fn main() -> Outcome<()> {
    voteburst_agent::preflight::raise_file_limit();
    let viewers = argument("--viewers")?;
    let target = || -> Outcome<Target> {
        let port = |name| -> Outcome<u16> { Ok(argument::<u16>(name)?.ok_or("no port")?) };
        Ok(Target { port: port("--port")?, plain_port: port("--plain-port")?, ca_file: ca_file()? })
    };
    match env::var(ROLE).as_deref() {
        Ok("server") => server::run(&ca_file()?),
        Ok("agent") => agent::run(viewers.unwrap_or(FEW), &target()?, Speech::Tls),
        Ok("full") => agent::run(viewers.unwrap_or(FEW), &target()?, Speech::Http2),
        Ok("plain") => agent::run(viewers.unwrap_or(FEW), &target()?, Speech::Plain),
        Ok("bare") => bare::run(&ca_file()?),
        Ok("floor") => floor::run(viewers.unwrap_or(FEW), &target()?),
        _ => compare(viewers.unwrap_or(9_000), argument("--rounds")?.unwrap_or(1)),
    }
}

fn compare(viewers: u32, rounds: u32) -> Outcome<()> {
    let few = FEW.min(viewers / 2).max(1);
    let mut all: HashMap<(&str, u32), Vec<Figures>> = HashMap::new();
    for _ in 0..rounds.max(1) {
        for role in ["agent", "full", "plain", "floor"] {
            for count in [few, viewers] {
                all.entry((role, count)).or_default().push(play(role, count)?);
            }
        }
    }
    println!("TLS 1.3, certificate on P-256 and one intermediate; median of {} rounds", rounds.max(1));
    println!("µs of CPU                 viewers   enter (full)   come back (resumed)     vote");
    let roles =
        [("agent", "agent"), ("full", "agent, full phones"), ("plain", "agent without TLS"), ("floor", "floor, rustls alone")];
    for (role, words) in roles {
        for count in [few, viewers] {
            let of = |key| median(&all[&(role, count)], key);
            let (entered, back, vote) = (of("entered_us"), of("back_us"), of("vote_us"));
            println!("{words:<24} {count:>8} {entered:>14.1} {back:>21.1} {vote:>8.2}");
        }
    }
    let (bare_full, bare_resumed) = bare(rounds)?;
    println!("{:<24} {:>8} {bare_full:>14.1} {bare_resumed:>21.1}", "rustls, no socket", "");
    let slope = |role, key| (median(&all[&(role, viewers)], key) - median(&all[&(role, few)], key)) / f64::from(viewers - few);
    println!("KiB per connection, slope from {few} to {viewers}");
    let (idle, back, voted) = (slope("agent", "idle_kib"), slope("agent", "back_kib"), slope("agent", "voted_kib"));
    println!("agent                    idle {idle:.2}, having come back {back:.2}, having voted {voted:.2}");
    let (of_full, of_full_voted) = (slope("full", "idle_kib"), slope("full", "voted_kib"));
    println!("agent, full phones       idle {of_full:.2}, having voted {of_full_voted:.2}");
    println!("agent without TLS        idle {:.2}", slope("plain", "idle_kib"));
    println!("floor, rustls alone      idle {:.2}", slope("floor", "idle_kib"));
    let full = median(&all[&("agent", viewers)], "entered_us");
    let resumed = median(&all[&("agent", viewers)], "back_us");
    // Goals hold on the machine they were set on; how many times a bare handshake it is holds on any.
    println!("agent / rustls without a socket: full {:.2}, resumed {:.2}", full / bare_full, resumed / bare_resumed);
    let met = idle.max(back).max(voted) <= GOALS.0 && full <= GOALS.1 && resumed <= GOALS.2;
    println!("goals ({} KiB, {} µs full, {} µs resumed) {}", GOALS.0, GOALS.1, GOALS.2, if met { "met" } else { "MISSED" });
    if env::args().any(|argument| argument == "--peers") {
        let (mut server, target) = serve()?;
        peers::measure(&target, &[few, viewers])?;
        end(&mut server)?;
    }
    Ok(())
}

type Figures = HashMap<String, f64>;

/// Runs a role against a server of its own and returns what it printed: `key=number` pairs.
fn play(role: &str, viewers: u32) -> Outcome<Figures> {
    let (mut server, target) = serve()?;
    let mut client = start(role, viewers, &target)?;
    let line = first_line(&mut client)?;
    let status = client.wait()?;
    let handshakes = end(&mut server)?;
    if !status.success() {
        return Err(format!("{role} with {viewers} viewers ended with {status}").into());
    }
    let expected = if role == "plain" { 0.0 } else { f64::from(viewers) };
    if [handshakes.get("full"), handshakes.get("resumed")] != [Some(&expected); 2] {
        return Err(format!("{role} with {viewers} viewers, who all enter and come back once, made {handshakes:?}").into());
    }
    Ok(figures(&line))
}

/// Microseconds of a full handshake and of a resumed one by themselves.
fn bare(rounds: u32) -> Outcome<(f64, f64)> {
    let mut all = Vec::new();
    for _ in 0..rounds.max(1) {
        let target = Target { port: 0, plain_port: 0, ca_file: ca_path()? };
        let mut child = start("bare", 0, &target)?;
        all.push(figures(&first_line(&mut child)?));
        child.wait()?;
    }
    Ok((median(&all, "entered_us"), median(&all, "back_us")))
}

/// Where a server leaves the certificate to trust.
fn ca_path() -> Outcome<String> {
    let ca_file = env::temp_dir().join(format!("voteburst-bench-{}.pem", std::process::id()));
    Ok(ca_file.to_str().ok_or("the directory for temporary files has no name in UTF-8")?.to_owned())
}

/// Starts a server.
fn serve() -> Outcome<(Child, Target)> {
    let ca_file = ca_path()?;
    let mut server = start("server", 0, &Target { port: 0, plain_port: 0, ca_file: ca_file.clone() })?;
    let line = figures(&first_line(&mut server)?);
    let port = |key| line.get(key).map(|port| *port as u16).ok_or("the server named no port");
    Ok((server, Target { port: port("port")?, plain_port: port("plain_port")?, ca_file }))
}

/// Ends a server, whose standard input's end is its own, and returns what it counted.
fn end(server: &mut Child) -> Outcome<Figures> {
    drop(server.stdin.take());
    let mut rest = String::new();
    server.stdout.take().ok_or("no output")?.read_to_string(&mut rest)?;
    server.wait()?;
    Ok(figures(&rest))
}

fn start(role: &str, viewers: u32, target: &Target) -> Outcome<Child> {
    let mut command = Command::new(env::current_exe()?);
    let numbers = [viewers, target.port.into(), target.plain_port.into()].map(|number| number.to_string());
    for (name, number) in ["--viewers", "--port", "--plain-port"].iter().zip(&numbers) {
        command.args([name, number.as_str()]);
    }
    command.args(["--ca-file", &target.ca_file]).env(ROLE, role);
    Ok(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?)
}

/// Reads a line and no more, for the rest is read later.
fn first_line(child: &mut Child) -> Outcome<String> {
    let mut line = String::new();
    BufReader::with_capacity(1, child.stdout.as_mut().ok_or("no output")?).read_line(&mut line)?;
    Ok(line)
}

fn figures(line: &str) -> Figures {
    let pairs = line.split_whitespace().filter_map(|pair| pair.split_once('='));
    pairs.filter_map(|(key, value)| Some((key.to_owned(), value.parse().ok()?))).collect()
}

fn median(figures: &[Figures], key: &str) -> f64 {
    let mut values: Vec<_> = figures.iter().filter_map(|of| of.get(key).copied()).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn word(name: &str) -> Option<String> {
    env::args().skip_while(|argument| argument != name).nth(1)
}

fn argument<T: std::str::FromStr<Err: std::fmt::Display>>(name: &str) -> Outcome<Option<T>> {
    Ok(word(name).map(|value| value.parse().map_err(|error| format!("{name} {value}: {error}"))).transpose()?)
}

fn ca_file() -> Outcome<String> {
    Ok(word("--ca-file").ok_or("no --ca-file")?)
}

/// Processor time of this process since it began, in microseconds.
fn processor_us() -> Outcome<f64> {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Ok(time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3)
}

/// Resident memory of this process, in KiB.
fn resident_kib() -> Outcome<f64> {
    kib(std::process::id(), "VmRSS:")
}

/// A line of a process' status, in KiB (proc(5)).
fn kib(process: u32, name: &str) -> Outcome<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line =
        status.lines().find_map(|line| line.strip_prefix(name)).ok_or_else(|| format!("no {name} of process {process}"))?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}
