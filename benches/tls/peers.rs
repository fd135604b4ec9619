//! Other load generators against the same server, where they are installed.

use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Outcome, Target, kib, server};

/// What one run of a peer took.
struct Run {
    cpu_us: f64,
    peak_kib: f64,
    votes: f64,
}

/// Runs each peer shortly and longer: what a longer run costs more is the votes' share, the rest is the handshakes'.
/// Peers verify no certificate, vote without pause and keep no phone's session.
pub(crate) fn measure(target: &Target, sizes: &[u32]) -> Outcome<()> {
    println!("µs of CPU                 viewers   handshake and connect     vote   peak KiB");
    for peer in ["wrk", "h2load"] {
        for viewers in sizes {
            let (short, long) = match (run(peer, target, *viewers, 1), run(peer, target, *viewers, 6)) {
                (Ok(short), Ok(long)) => (short, long),
                (Err(error), _) | (_, Err(error)) => {
                    println!("{peer:<24} {viewers:>8}   {error}");
                    continue;
                }
            };
            let vote = (long.cpu_us - short.cpu_us) / (long.votes - short.votes);
            let handshake = (short.cpu_us - vote * short.votes) / f64::from(*viewers);
            println!("{peer:<24} {viewers:>8} {handshake:>23.1} {vote:>8.2} {:>10.0}", long.peak_kib);
        }
    }
    Ok(())
}

/// Plays `length` times as much as the shortest run.
fn run(peer: &str, target: &Target, viewers: u32, length: u32) -> Outcome<Run> {
    let url = format!("https://{}:{}/vote", server::ADDRESSES[0], target.port);
    let mut command = Command::new(peer);
    match peer {
        "wrk" => command.args(["-t1", &format!("-c{viewers}"), &format!("-d{}s", 4 + 2 * length)]),
        _ => command.args(["--h1", "-t1", &format!("-c{viewers}"), &format!("-n{}", viewers * length)]),
    };
    let mut child = command.arg(url).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let (mut peak_kib, mut cpu_us) = (0.0, 0.0);
    // An ended process that nobody waited for yet still tells its times (proc(5)).
    for _ in 0..6_000 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
        let behind: Vec<_> = stat.rsplit_once(')').ok_or("no name in stat")?.1.split_whitespace().collect();
        let ticks = |place: usize| behind.get(place).and_then(|word| word.parse::<f64>().ok()).ok_or("no times in stat");
        cpu_us = (ticks(11)? + ticks(12)?) * 1e4;
        if behind.first() == Some(&"Z") {
            break;
        }
        peak_kib = kib(child.id(), "VmHWM:").unwrap_or(peak_kib);
        std::thread::sleep(Duration::from_millis(10));
    }
    // Both write less than a pipe holds, so that they end before anybody reads.
    let mut said = String::new();
    child.stdout.take().ok_or("no output")?.read_to_string(&mut said)?;
    child.wait()?;
    let before = |words: &str| said.split_once(words).and_then(|(head, _)| head.split_whitespace().last()?.parse().ok());
    let votes = before(" requests in").or_else(|| before(" succeeded,")).ok_or("it told no number of requests")?;
    Ok(Run { cpu_us, peak_kib, votes })
}
