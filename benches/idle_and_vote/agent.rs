//! A crew with everything on.

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use voteburst_agent::clock::Clock;
use voteburst_agent::crew::{Assignment, Crew};
use voteburst_agent::{AllowList, sources};
use voteburst_burst::outcome::Fate;
use voteburst_burst::plan::Plan;
use voteburst_burst::scenario::Scenario;

use super::{Outcome, bursts, per_vote, processor_us, server};

/// The longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the agent is watched before anybody votes.
const AT_REST: Duration = Duration::from_secs(2);

/// Plays the bursts and prints its figures.
pub(crate) fn run(viewers: u32, port: u16) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(play(viewers, port))
}

/// The plan: every viewer votes on every question at its very beginning.
pub(crate) fn plan(viewers: u32, port: u16) -> Outcome<Plan> {
    let mut text = format!(
        r#"
name = "bench"
seed = 1
[audience]
viewers = {viewers}
doors_open = "3s"
[carriers]
resolvers = ["{}"]
[target]
url = "http://vote.test/vote"
headers = {{ content-type = "application/json" }}
body = '{{"question":"{{question}}","choice":"{{choice}}","ballot":"{{ballot}}"}}'
"#,
        server::names(port)
    );
    let (bursts, apart) = bursts(viewers);
    for burst in 0..bursts {
        // All vote at its very beginning: a window that stays open lets none be dropped by a machine that is busy elsewhere.
        let (opens_at, window) = ((apart * burst).as_millis(), apart.as_millis().max(2_000));
        write!(text, "[[questions]]\nid = \"q{burst}\"\nopens_at = \"{opens_at}ms\"\nwindow = \"{window}ms\"\n")?;
        text += "arrivals = { shape = \"all-at-once\" }\nchoices = { anna = 0.5, ben = 0.5 }\n";
    }
    let no_files = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    Ok(Plan::new(Scenario::parse(&text, "bench.toml", &no_files).map_err(|problem| problem.to_string())?))
}

async fn play(viewers: u32, port: u16) -> Outcome<()> {
    let clock = Clock::start();
    let plan = Arc::new(plan(viewers, port)?);
    let votes = plan.tickets;
    let assignment = Assignment {
        plan,
        viewers: 0..viewers,
        run: 1,
        carriers: vec![server::names(port)],
        recursion_desired: false,
        authority: Vec::new(),
        port,
        sources: sources::automatic(std::process::id() % 12_600, viewers, &sources::local_ports()),
        allowed: AllowList::default(),
    };
    let crew = Crew::muster(assignment, clock)?;
    crew.open_doors(clock.now());
    timeout(PATIENCE, crew.entered()).await??;
    // Let what connecting left behind settle.
    sleep(Duration::from_millis(500)).await;
    if crew.status().connected != viewers {
        return Err(format!("not all viewers are connected: {:?}", crew.status()).into());
    }
    let before = processor_us()?;
    sleep(AT_REST).await;
    let rest_ms = (processor_us()?.0 - before.0) / 1e3 / AT_REST.as_secs_f64();
    let (idle_kib, before) = (resident_kib()?, processor_us()?);
    crew.fire(clock.now().after(Duration::from_millis(50)));
    timeout(PATIENCE, crew.done()).await??;
    let costs = per_vote(before, votes)?;
    let voted_kib = resident_kib()?;
    let snapshot = crew.snapshot().await?;
    let accepted = snapshot.fates.iter().filter(|fate| **fate == Fate::Accepted as u8).count();
    if accepted != votes as usize {
        return Err(format!("{accepted} of {votes} votes accepted: {:?}", snapshot.tally.total().total()).into());
    }
    let late = snapshot.tally.total().lateness;
    let late = |quantile| late.quantile_ms(quantile).unwrap_or(0.0) * 1_000.0;
    println!(
        "idle_kib={idle_kib} voted_kib={voted_kib} rest_ms={rest_ms} {costs} late_p50_us={} late_p99_us={}",
        late(0.5),
        late(0.99)
    );
    Ok(())
}

/// Resident memory of this process, in KiB.
fn resident_kib() -> Outcome<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS in /proc/self/status")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}
