//! A crew with everything on: it enters, is closed and comes back, then votes.

use std::fmt::Write as _;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use voteburst_agent::clock::Clock;
use voteburst_agent::crew::{Assignment, Crew};
use voteburst_agent::{AllowList, sources};
use voteburst_burst::outcome::Fate;
use voteburst_burst::plan::Plan;
use voteburst_burst::scenario::Scenario;

use super::{APART, BURSTS, Outcome, Speech, Target, processor_us, resident_kib, server};

/// The longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Plays and prints its figures.
pub(crate) fn run(viewers: u32, target: &Target, speech: Speech) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(play(viewers, target, speech))
}

/// The plan: every viewer votes on every question at its very beginning.
pub(crate) fn plan(viewers: u32, target: &Target, speech: Speech) -> Outcome<Plan> {
    let host = server::HOST;
    let url = match speech {
        Speech::Plain => format!("url = \"http://{host}/vote\""),
        _ => format!("url = \"https://{host}/vote\"\nca_file = \"{}\"", target.ca_file),
    };
    let client = if speech == Speech::Http2 { "full" } else { "lean" };
    let mut text = format!(
        r#"
name = "bench"
seed = 1
[audience]
viewers = {viewers}
doors_open = "{}ms"
phones = [
  {{ kind = "android-okhttp", share = 0.6, client = "{client}" }},
  {{ kind = "ios-urlsession", share = 0.4, client = "{client}" }},
]
[carriers]
resolvers = ["{}"]
[target]
{url}
headers = {{ content-type = "application/json" }}
body = '{{"question":"{{question}}","choice":"{{choice}}","ballot":"{{ballot}}"}}'
connect_timeout = "10s"
"#,
        // Both ends of a handshake take about half a millisecond.
        (viewers / 2).max(500),
        server::names(target.port),
    );
    for burst in 0..BURSTS {
        let (opens_at, window) = ((APART * burst).as_millis(), APART.as_millis());
        write!(text, "[[questions]]\nid = \"q{burst}\"\nopens_at = \"{opens_at}ms\"\nwindow = \"{window}ms\"\n")?;
        text += "arrivals = { shape = \"all-at-once\" }\nchoices = { anna = 0.5, ben = 0.5 }\n";
    }
    let no_files = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    Ok(Plan::new(Scenario::parse(&text, "bench.toml", &no_files).map_err(|problem| problem.to_string())?))
}

async fn play(viewers: u32, target: &Target, speech: Speech) -> Outcome<()> {
    let clock = Clock::start();
    let plan = Arc::new(plan(viewers, target, speech)?);
    let votes = plan.tickets;
    let assignment = Assignment {
        plan,
        viewers: 0..viewers,
        run: 1,
        carriers: vec![server::names(target.port)],
        recursion_desired: false,
        authority: Vec::new(),
        port: if speech == Speech::Plain { target.plain_port } else { target.port },
        sources: sources::automatic(std::process::id() % 12_600, viewers, &sources::local_ports()),
        allowed: AllowList::default(),
    };
    let crew = Crew::muster(assignment, clock)?;
    let each = |before: f64, count: u32| Ok::<_, Box<dyn std::error::Error>>((processor_us()? - before) / f64::from(count));
    let before = processor_us()?;
    crew.open_doors(clock.now());
    timeout(PATIENCE, crew.entered()).await??;
    let entered_us = each(before, viewers)?;
    settle(&crew, viewers).await?;
    let idle_kib = resident_kib()?;
    let before = processor_us()?;
    UdpSocket::bind((server::ADDRESSES[0], 0))?.send_to(server::CLOSE, server::names(target.port))?;
    timeout(PATIENCE, until(|| crew.status().connected < viewers)).await?;
    timeout(PATIENCE, until(|| crew.status().connected == viewers)).await?;
    let back_us = each(before, viewers)?;
    settle(&crew, viewers).await?;
    let back_kib = resident_kib()?;
    let before = processor_us()?;
    crew.fire(clock.now().after(Duration::from_millis(50)));
    timeout(PATIENCE, crew.done()).await??;
    let vote_us = each(before, votes)?;
    let voted_kib = resident_kib()?;
    let snapshot = crew.snapshot().await?;
    let accepted = snapshot.fates.iter().filter(|fate| **fate == Fate::Accepted as u8).count();
    let opened = snapshot.tally.total().total().opened;
    if accepted != votes as usize || u64::from(opened) != 2 * u64::from(viewers) {
        return Err(format!("{accepted} of {votes} votes accepted, {opened} connections of {viewers} viewers").into());
    }
    println!(
        "entered_us={entered_us:.2} back_us={back_us:.2} vote_us={vote_us:.3} \
         idle_kib={idle_kib} back_kib={back_kib} voted_kib={voted_kib}"
    );
    Ok(())
}

/// Lets what connecting left behind settle.
async fn settle(crew: &Crew, viewers: u32) -> Outcome<()> {
    sleep(Duration::from_millis(500)).await;
    match crew.status().connected == viewers {
        true => Ok(()),
        false => Err(format!("not all viewers are connected: {:?}", crew.status()).into()),
    }
}

async fn until(reached: impl Fn() -> bool) {
    while !reached() {
        sleep(Duration::from_millis(5)).await;
    }
}
