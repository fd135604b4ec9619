//! The coordinator's side: one run by the library, and what it took.

use std::fs;
use std::sync::Arc;

use rustix::time::ClockId;
use tokio::sync::mpsc;
use voteburst_burst::plan::Plan;
use voteburst_burst::scenario::Scenario;
use voteburst_coordinator::clock::Clock;
use voteburst_coordinator::conductor::{Ended, Timings};
use voteburst_coordinator::journal::Evidence;
use voteburst_coordinator::progress::Progress;
use voteburst_coordinator::report::Report;
use voteburst_coordinator::{Setup, WorldInfo, bind, conduct};

use super::{Fleet, Outcome, RUN, seconds};

/// Viewers of each agent.
pub(crate) const VIEWERS: u32 = 300;

/// Conducts the run and prints its figures.
pub(crate) fn run(fleet: Fleet) -> Outcome<()> {
    // As the command does.
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(conducted(fleet))
}

async fn conducted(fleet: Fleet) -> Outcome<()> {
    let plan = Arc::new(plan(fleet)?);
    let (progress, lines) = mpsc::unbounded_channel();
    let (_interrupts, interrupted) = mpsc::unbounded_channel();
    let world = WorldInfo { port: 80, carriers: vec![([127, 0, 0, 1], 53).into()], ..WorldInfo::default() };
    let timings = Timings::of(&plan);
    let setup = Setup {
        plan: Arc::clone(&plan),
        run: RUN,
        agents: fleet.agents,
        world,
        token: None,
        timings,
        force: false,
        progress,
        live: None,
    };
    let bound = bind(([127, 0, 0, 1], 0).into()).await?;
    println!("port={}", bound.address.port());
    let watched = tokio::spawn(watch(lines, fleet.seconds));
    let conducted = conduct(bound, setup, interrupted, Clock::of_this_process()).await?;
    let burst = watched.await?;
    if conducted.ended != Ended::Complete || conducted.agents.iter().any(|agent| !agent.last || agent.lost.is_some()) {
        let lost = conducted.agents.iter().find_map(|agent| agent.lost.clone());
        return Err(format!("the run did not go as it should: {:?}, first loss {lost:?}", conducted.ended).into());
    }
    let over = seconds(ClockId::Monotonic);
    let accepted = conducted.tally().total().total().accepted;
    let merge_s = seconds(ClockId::Monotonic) - over;
    let wanted = super::agents::VOTES_PER_SECOND * fleet.seconds * fleet.agents;
    if accepted != wanted {
        return Err(format!("{accepted} votes in the merged tally: needed {wanted}").into());
    }
    let record = conducted.record(&plan, RUN, "2026-01-01T00:00:00Z", None, None);
    let evidence = Evidence::new(record, plan, conducted.snapshots, None);
    let report = Report::of_evidence(&evidence);
    if report.agents.len() != fleet.agents as usize {
        return Err(format!("{} agents in the report", report.agents.len()).into());
    }
    let report_s = seconds(ClockId::Monotonic) - over;
    let peak_mib = memory_mib("VmHWM:")?;
    println!("{burst} merge_s={merge_s:.3} report_s={report_s:.3} peak_mib={peak_mib:.1}");
    Ok(())
}

/// The processor's time from the first second after T0 until the last one, as figures.
async fn watch(mut lines: mpsc::UnboundedReceiver<Progress>, burst_seconds: u32) -> String {
    let reading = || (seconds(ClockId::Monotonic), seconds(ClockId::ProcessCPUTime), user_seconds());
    let (mut first, mut last, mut idle_mib) = (None, reading(), f64::NAN);
    while let Some(line) = lines.recv().await {
        match line {
            Progress::Committed { .. } => idle_mib = memory_mib("VmRSS:").unwrap_or(f64::NAN),
            Progress::Burst { second, .. } if second >= 1 && second < burst_seconds => {
                last = reading();
                first.get_or_insert(last);
            }
            Progress::AgentRefused { name, reason } => println!("refused {name}: {reason}"),
            _ => {}
        }
    }
    let first = first.unwrap_or(last);
    let wall = last.0 - first.0;
    format!("cores={:.4} user_cores={:.4} idle_mib={idle_mib:.1}", (last.1 - first.1) / wall, (last.2 - first.2) / wall)
}

fn plan(fleet: Fleet) -> Outcome<Plan> {
    let viewers = VIEWERS * fleet.agents;
    let mut text = format!(
        r#"
name = "bench"
seed = 1
[audience]
viewers = {viewers}
doors_open = "3s"
phones = [{{ kind = "android-okhttp", share = 0.5 }}, {{ kind = "ios-urlsession", share = 0.4 }}, {{ kind = "browser-chromium", share = 0.1 }}]
[carriers]
resolvers = ["127.0.0.1:53"]
[target]
url = "http://vote.test/vote"
headers = {{ content-type = "application/json" }}
body = '{{"question":"{{question}}","choice":"{{choice}}","ballot":"{{ballot}}"}}'
"#
    );
    for question in 0..fleet.seconds.div_ceil(5) {
        let opens_at = question * 5;
        text += &format!("[[questions]]\nid = \"q{question}\"\nopens_at = \"{opens_at}s\"\nwindow = \"5s\"\n");
        text += "arrivals = { shape = \"all-at-once\" }\nchoices = { anna = 0.5, ben = 0.5 }\n";
    }
    let no_files = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    Ok(Plan::new(Scenario::parse(&text, "bench.toml", &no_files).map_err(|problem| problem.to_string())?))
}

/// Processor time of this process in its own code. `utime` is the twelfth word behind the name, in ticks of 10 ms (proc(5)).
fn user_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat.rsplit_once(')').and_then(|(_, behind)| behind.split_whitespace().nth(11)?.parse::<f64>().ok());
    ticks.map_or(f64::NAN, |ticks| ticks / 100.0)
}

fn memory_mib(key: &str) -> Outcome<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)).ok_or("a key is missing in /proc/self/status")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<f64>()? / 1_024.0)
}
