//! What a whole rehearsal takes of one machine: both ends, agents and stage, and the coordinator between them.
//!
//! `cargo bench --bench scale` plays 300,000 viewers, fifteen proxies and votes scattered over 60 seconds by the real command;
//! `-- --viewers 20000` fewer, `-- --seconds 10` shorter doors and bursts. What it prints of the kernel's memory is the
//! machine's growth since before the start: run nothing else beside it.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::env;
use std::error::Error;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

/// Whatever goes wrong ends the bench with its words.
type Outcome<T> = Result<T, Box<dyn Error>>;

/// Microseconds of a tick, the unit of processor time in /proc (proc(5): `USER_HZ`, 100).
const TICK_US: f64 = 10_000.0;
/// Bytes of a page, the unit of TCP's memory in /proc/net/sockstat.
const PAGE: f64 = 4_096.0;

/// The command under way; ended when dropped.
struct Run(Child);

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whose processor time is told apart: agents, the stage's workers, the command itself.
const ROLES: [&str; 3] = ["agents", "stage", "coordinator"];

/// Counters as they stand.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    /// Ticks of each role.
    cpu: [f64; 3],
    /// Processes of each role.
    processes: [u32; 3],
    /// Ticks of the machine, and those of them that its host took.
    machine: [f64; 2],
}

fn main() -> Outcome<()> {
    let viewers = argument("--viewers")?.unwrap_or(300_000);
    let seconds = argument("--seconds")?.unwrap_or(60);
    let dir = tempfile::tempdir()?;
    fs::write(dir.path().join("scale.toml"), scenario(viewers, seconds))?;
    let kernel_before = kernel_bytes()?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_voteburst"));
    command.current_dir(dir.path()).args(["run", "scale.toml", "--out", "run"]);
    let mut run = Run(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?);
    let pid = run.0.id();
    let mut said = BufReader::new(run.0.stderr.take().ok_or("no standard error of the run")?).lines();
    let (mut told, mut opened) = (String::new(), None);
    let (mut first, mut last) = (None, None);
    for line in said.by_ref() {
        let line = line?;
        if line.contains("doors open") {
            opened.get_or_insert_with(now);
        } else if line.contains("ready: ") {
            println!(
                "{viewers} viewers; connected {:.1} s after doors opened for {seconds} s",
                now() - opened.unwrap_or_else(now)
            );
        } else if line.contains("committed: ") {
            idle(pid, viewers, kernel_before)?;
            first = Some(sample(pid)?);
        } else if line.contains("burst ") {
            // Who has ended took the record of its time along.
            last = Some(sample(pid)?).filter(|now| first.is_some_and(|first: Sample| first.processes == now.processes)).or(last);
        }
        told = told + &line + "\n";
    }
    run.0.wait()?;
    let report = fs::read(dir.path().join("run/report.json")).map_err(|error| format!("{error}:\n{told}"))?;
    let report: Value = serde_json::from_slice(&report)?;
    burst(&report, &first.ok_or("nothing was fired")?, &last.ok_or("the burst ended before it was looked at")?)
}

/// Memory while everybody is connected and nobody votes.
fn idle(pid: u32, viewers: u32, kernel_before: f64) -> Outcome<()> {
    let mut pss = [0.0; 3];
    for (process, role) in processes(pid)? {
        let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
        pss[role] += field(&rollup, "Pss:", 0).ok_or("no Pss in smaps_rollup")? * 1_024.0;
    }
    let each = |bytes: f64| bytes / 1_024.0 / f64::from(viewers);
    for (role, bytes) in ROLES.iter().zip(pss) {
        println!("memory of {role}: {:.2} KiB for each viewer, {:.0} MiB (PSS)", each(bytes), bytes / 1_048_576.0);
    }
    println!(
        "memory of the kernel: {:.2} KiB for each connection, both ends (slab and TCP pages)",
        each(kernel_bytes()? - kernel_before)
    );
    Ok(())
}

/// What the burst took, and how late it was.
fn burst(report: &Value, first: &Sample, last: &Sample) -> Outcome<()> {
    let number = |path: &str| report.pointer(path).and_then(Value::as_f64).ok_or_else(|| format!("no {path} in the report"));
    let accepted = number("/votes/accepted")?;
    println!("connected at T0: {:.3} %", number("/connected_at_t0")? * 100.0);
    println!("votes accepted: {accepted} of {} planned", number("/votes/planned")?);
    for (role, name) in ROLES.iter().enumerate() {
        let us = (last.cpu[role] - first.cpu[role]) * TICK_US / accepted.max(1.0);
        println!("processor time of {name}, {} processes: {us:.1} µs for each vote", first.processes[role]);
    }
    let lateness = |of: &str| number(&format!("/latency_ms/lateness/{of}"));
    let [p50, p90, p99, max] = [lateness("p50")?, lateness("p90")?, lateness("p99")?, lateness("max")?];
    println!("lateness in ms: p50 {p50:.3}, p90 {p90:.3}, p99 {p99:.3}, max {max:.1}");
    let stolen = (last.machine[1] - first.machine[1]) / (last.machine[0] - first.machine[0]).max(1.0);
    println!("stolen by the host meanwhile: {:.1} %", stolen * 100.0);
    println!("verdict: {}", report.pointer("/verdict/outcome").and_then(Value::as_str).unwrap_or("?"));
    Ok(())
}

/// The command, and its children by what they are started as.
fn processes(pid: u32) -> Outcome<Vec<(u32, usize)>> {
    let mut found = vec![(pid, 2)];
    for entry in fs::read_dir("/proc")? {
        let Some(process) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // Others come and go meanwhile.
        let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) else { continue };
        if after_name(&stat, 1) != Some(f64::from(pid)) {
            continue;
        }
        let words = fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
        match words.split('\0').nth(1) {
            Some("agent") => found.push((process, 0)),
            Some("stage-worker") => found.push((process, 1)),
            _ => {}
        }
    }
    Ok(found)
}

fn sample(pid: u32) -> Outcome<Sample> {
    let mut sample = Sample::default();
    for (process, role) in processes(pid)? {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        sample.cpu[role] += after_name(&stat, 11).unwrap_or(0.0) + after_name(&stat, 12).unwrap_or(0.0);
        sample.processes[role] += 1;
    }
    let stat = fs::read_to_string("/proc/stat")?;
    sample.machine = [(0..8).filter_map(|at| field(&stat, "cpu ", at)).sum(), field(&stat, "cpu ", 7).unwrap_or(0.0)];
    Ok(sample)
}

/// Slab, and the pages of what TCP's sockets queue, of the whole machine.
fn kernel_bytes() -> Outcome<f64> {
    let slab = field(&fs::read_to_string("/proc/meminfo")?, "Slab:", 0).ok_or("no Slab in meminfo")?;
    let tcp = field(&fs::read_to_string("/proc/net/sockstat")?, "TCP:", 9).ok_or("no memory of TCP in sockstat")?;
    Ok(slab * 1_024.0 + tcp * PAGE)
}

/// The field at `at`, from 0, behind this word at the beginning of a line.
fn field(text: &str, word: &str, at: usize) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(word))?.split_ascii_whitespace().nth(at)?.parse().ok()
}

/// The field at `at` behind a process's name in its stat, whose state is at 0 (proc(5)).
fn after_name(stat: &str, at: usize) -> Option<f64> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(at)?.parse().ok()
}

fn argument(name: &str) -> Outcome<Option<u32>> {
    let mut words = env::args().skip_while(|word| word != name).skip(1);
    Ok(words.next().map(|word| word.parse()).transpose()?)
}

fn now() -> f64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn scenario(viewers: u32, seconds: u32) -> String {
    format!(
        r#"name = "scale"
seed = 11
[audience]
viewers = {viewers}
doors_open = "{seconds}s"
[target]
url = "http://vote.show.test/vote"
body = '{{"ballot":"{{ballot}}","question":"{{question}}","choice":"{{choice}}"}}'
[[questions]]
id = "winner"
window = "{seconds}s"
grace = "1s"
arrivals = {{ shape = "uniform" }}
choices = {{ anna = 0.6, ben = 0.4 }}
[agents]
max_viewers = 18_750
[stage]
zone = "multivalue"
ttl = "15s"
proxies = 15
connection_limit = 36_000
web_servers = 6
web_server_coefficient = 300
keep_alive_timeout = "5min"
service_time = {{ distribution = "constant", mean = "30ms" }}
"#
    )
}
