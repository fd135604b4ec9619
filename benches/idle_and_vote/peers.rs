//! Other load generators on the same server, where they are installed.
//!
//! Each runs as two processes on two of the server's addresses: with all 15,000 connections between one pair of addresses
//! the ports would run out and connecting would cost more than voting. Each runs twice, and what the longer run had more of
//! is told, so that starting and connecting do not count. They vote as fast as answers come, not in bursts.

use std::fs;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use tempfile::NamedTempFile;

use super::{Outcome, server};

/// The peers, in the order in which they are told.
pub(crate) const NAMES: [&str; 2] = ["wrk", "h2load"];
/// How long the two runs take, in seconds.
const SECONDS: [u32; 2] = [2, 5];
/// What is sent: as long as the agent's.
const BODY: &str = r#"{"question":"q0","choice":"anna","ballot":"00000000000000010000000000000000"}"#;

/// Whether a peer is found on the path.
pub(crate) fn installed(name: &str) -> bool {
    let mut command = Command::new(name);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Microseconds of processor time per vote over this many connections.
pub(crate) fn cpu_us(name: &str, connections: u32, port: u16) -> Outcome<f64> {
    let mut file = NamedTempFile::new()?;
    if name == "wrk" {
        write!(file, "wrk.method = 'POST'\nwrk.body = '{BODY}'\nwrk.headers['content-type'] = 'application/json'\n")?;
    } else {
        write!(file, "{BODY}")?;
    }
    let path = file.path().to_str().ok_or("a temporary path that is no text")?;
    let mut runs = [(0.0, 0.0); 2];
    for (run, seconds) in runs.iter_mut().zip(SECONDS) {
        let before = children_us()?;
        let started: Result<Vec<_>, _> =
            (0..2).map(|half| start(name, connections / 2, seconds, path, server::ADDRESSES[half], port)).collect();
        for child in started? {
            let output = child.wait_with_output()?;
            run.1 += votes(name, &String::from_utf8_lossy(&output.stdout))?;
        }
        run.0 = children_us()? - before;
    }
    Ok((runs[1].0 - runs[0].0) / (runs[1].1 - runs[0].1))
}

fn start(name: &str, connections: u32, seconds: u32, file: &str, to: std::net::Ipv4Addr, port: u16) -> std::io::Result<Child> {
    let (url, connections) = (format!("http://{to}:{port}/vote"), connections.to_string());
    let mut command = Command::new(name);
    if name == "wrk" {
        command.args(["-t1", "-c", &connections, "-d", &format!("{seconds}s"), "-s", file]);
    } else {
        command.args(["--h1", "-t1", "-c", &connections, "-D", &seconds.to_string(), "-d", file]);
        command.args(["-H", "content-type: application/json"]);
    }
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
}

/// How many votes a peer says were answered: `123 requests in 2.00s` or `status codes: 123 2xx, …`.
fn votes(name: &str, said: &str) -> Outcome<f64> {
    let (before, behind) = if name == "wrk" { ("", " requests in") } else { ("status codes:", " 2xx") };
    let number = said.lines().find_map(|line| line.trim().strip_prefix(before)?.split_once(behind)).map(|(number, _)| number);
    let number = number.ok_or_else(|| format!("{name} did not tell its requests: {said}"))?;
    Ok(number.trim().parse()?)
}

/// Processor time of all children that ended and were waited for, in microseconds (proc(5): cutime and cstime).
fn children_us() -> Outcome<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let behind = stat.rsplit_once(')').ok_or("no name in /proc/self/stat")?.1;
    let ticks: Result<Vec<f64>, _> = behind.split_whitespace().skip(13).take(2).map(str::parse).collect();
    Ok(ticks?.iter().sum::<f64>() * 1e4)
}
