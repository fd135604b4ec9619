//! `voteburst check --calibrate`: plays the plan's peak, and a fifth more, against a target that does nothing, and says what
//! this machine can do. The only check that proves rather than predicts.
//!
//! In reading order: [`rounds`] (what is played), this file (who plays it), [`crew`] (an agent) and [`target`] (what it votes
//! on), which are processes of their own led over pipes ([`child`]); [`figures`] (what it says of the machine), [`words`].
//!
//! There are as many agent processes as a run would have, each with a null target of its own, for one process may not open as
//! many files as the whole audience has connections. Carriers and zone are the rehearsal's own kind. Nothing is kept.

mod child;
mod crew;
mod figures;
mod requests;
mod rounds;
mod target;
mod words;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use voteburst_agent::clock::Clock;
use voteburst_burst::plan::Plan;
use voteburst_burst::scenario::{Scenario, Scheme};
use voteburst_burst::zone::{Member, Zone, ZonePolicy};
use voteburst_dns::authority::Authority;

use self::child::{Child, Counted, Entered, Order, Report, Share};
use self::crew::kernel_ns_of;
use self::figures::{Calibrated, Played};
use self::rounds::{Peak, ROUNDS};
use crate::carriers::Carriers;
use crate::problem::Problem;
use crate::rehearsal::{executable, run_number};
use crate::run::runtime;
use crate::say;
use crate::signal::Signals;

/// From the order to open the doors until they open, so that the order is everywhere before.
const DOORS_LEAD: Duration = Duration::from_millis(500);
/// How long the last viewers may take once the doors are closed.
const LAST_IN: Duration = Duration::from_secs(6);
/// The least time from the order to fire until T0.
const FIRE_LEAD: Duration = Duration::from_secs(1);
/// How long a process may be silent beyond what it was told to wait for: it may have a large plan to derive.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many addresses a live target is taken to have.
const LIVE_FRONTS: u16 = 8;
/// The most addresses: those of one block, 127.15.x.11 and on. Stages leave 127.0.0.0/12 to others.
const MOST_FRONTS: u16 = 200;
/// TTL of the zone, in seconds: what DNS makes of the load is not the question here.
const TTL_S: u32 = 60;

/// An agent of a calibration (started by voteburst itself).
pub(crate) fn agent() -> Result<ExitCode, Problem> {
    crew::play()?;
    Ok(ExitCode::SUCCESS)
}

/// A null target of a calibration (started by voteburst itself).
pub(crate) fn target() -> Result<ExitCode, Problem> {
    target::serve().map_err(|error| {
        Problem::unknown(format!(
            "the null target: {error}\n  needed: a free port on loopback, and an open file for each viewer\n  fix:    raise `ulimit -n`, or calibrate with fewer viewers (--viewers)"
        ))
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Calibrates this machine for a plan that `agents` local agents would play.
///
/// # Errors
/// A plan without votes or a machine without room for the processes (nothing was started); a process that was lost, or Ctrl-C.
pub(crate) fn calibrate(plan: &Plan, agents: u32) -> Result<ExitCode, Problem> {
    let peak = Peak::of(plan);
    if peak.per_s == 0 {
        return Err(Problem::usage(
            "--calibrate: found a plan in which nobody votes\n  needed: at least one vote\n  fix:    raise the questions' turnout, or leave --calibrate out",
        ));
    }
    let scenario = &plan.scenario;
    say::note(&announcement(scenario, &peak, agents));
    let found = runtime()?.block_on(async {
        let mut interrupts = Signals::watch("\nending the calibration")?.listen();
        tokio::select! {
            found = measure(scenario, peak, agents) => found,
            // All processes end with what is dropped here.
            _ = interrupts.recv() => Err(Problem::unknown("the calibration was interrupted: it says nothing of this machine")),
        }
    })?;
    say::result(&words::of(&found));
    Ok(ExitCode::from(if found.carries().all { 0 } else { 2 }))
}

fn announcement(scenario: &Scenario, peak: &Peak, agents: u32) -> String {
    let first = ROUNDS[0];
    let doors = rounds::doors(scenario).as_secs_f64();
    let sure = doors + f64::from(first.lasts_s) + 3.0;
    let longest = doors + ROUNDS[ROUNDS.len() - 1].counted_by_ms() as f64 / 1_000.0 + 3.0;
    format!(
        "calibrating: {} viewers on {agents} agent{} enter over {doors:.1} s and cast {:.0} votes/s for {} s against a null target here\n             about {sure:.0} s when this machine carries that, at most {longest:.0} s of smaller rates when it does not",
        scenario.audience.viewers,
        if agents == 1 { "" } else { "s" },
        first.rate(peak),
        first.lasts_s
    )
}

async fn measure(scenario: &Scenario, peak: Peak, agents: u32) -> Result<Calibrated, Problem> {
    let addresses = addresses(scenario);
    let authority = authority(scenario, &addresses).await?;
    let (plan, votes) = rounds::plan(scenario, &peak, authority.address())?;
    let carriers = Carriers::start(&plan.scenario, None, Ipv4Addr::LOCALHOST.into()).await?;
    let mut cast = Cast::start(&plan, agents, &addresses, &carriers.addresses, &executable()?).await?;
    let doors = rounds::doors(scenario);
    let entered = cast.enter(doors).await?;
    say::note(&format!("  {} of {} viewers connected", entered.connected, scenario.audience.viewers));
    let rounds = cast.play(scenario, &votes).await?;
    cast.end();
    carriers.stop().await;
    authority.shutdown().await;
    Ok(Calibrated {
        viewers: scenario.audience.viewers,
        agents,
        cores: std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX)),
        stage: scenario.stage.is_some(),
        tls: matches!(scenario.target.scheme, Scheme::Https),
        peak,
        doors,
        entered,
        rounds,
        thresholds: scenario.thresholds.clone(),
    })
}

/// As many addresses as the scenario's fleet has, so that agents keep as many figures apart as in the rehearsal.
fn addresses(scenario: &Scenario) -> Vec<Ipv4Addr> {
    let fronts = scenario.stage.as_ref().map_or(LIVE_FRONTS, |stage| stage.fronts()).clamp(1, MOST_FRONTS);
    // Drawn, so that two calibrations at the same time seldom ask for the same ones.
    let [block, ..] = run_number().to_be_bytes();
    (0..fronts).map(|front| Ipv4Addr::new(127, 15, block, 11 + u8::try_from(front).unwrap_or(u8::MAX - 11))).collect()
}

async fn authority(scenario: &Scenario, addresses: &[Ipv4Addr]) -> Result<Authority, Problem> {
    let member = |address: &Ipv4Addr| Member::new(address.to_string(), IpAddr::V4(*address));
    let members = addresses.iter().map(member).collect();
    let zone = Zone::new(ZonePolicy::Multivalue, members, TTL_S, Duration::from_secs(u64::from(TTL_S)), scenario.seed);
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    Authority::start(loopback, &scenario.dns.name, zone.map_err(Problem::usage)?).await.map_err(Problem::usage)
}

/// Everybody who plays: agents, and a null target for each. They end when this is dropped.
struct Cast {
    clock: Clock,
    /// Before the agents: a connection that its target ends leaves no TIME_WAIT behind, which would be in the rehearsal's way.
    targets: Vec<Child>,
    agents: Vec<Child>,
    /// When the doors opened, as the kernel counts.
    doors_ns: i64,
}

impl Cast {
    async fn start(
        plan: &Plan,
        agents: u32,
        addresses: &[Ipv4Addr],
        carriers: &[SocketAddr],
        exe: &Path,
    ) -> Result<Self, Problem> {
        let mut cast = Self { clock: Clock::start(), targets: Vec::new(), agents: Vec::new(), doors_ns: 0 };
        let scenario = plan.scenario.to_toml();
        for (slot, viewers) in (0..).zip(plan.shares(agents)) {
            let mut target = Child::start(exe, "calibrate-target", "a null target")?;
            target.tell(&Order::Open { addresses: addresses.to_vec() }).await?;
            let port = match target.hear(PATIENCE).await? {
                Report::Open { port } => port,
                other => return Err(target.confused(&other)),
            };
            let mut agent = Child::start(exe, "calibrate-agent", "an agent")?;
            let carriers = carriers.to_vec();
            let share = Share { scenario: scenario.clone(), first: viewers.start, end: viewers.end, carriers, port, slot };
            agent.tell(&Order::Muster(share)).await?;
            cast.targets.push(target);
            cast.agents.push(agent);
        }
        for agent in &mut cast.agents {
            match agent.hear(PATIENCE).await? {
                Report::Mustered => {}
                other => return Err(agent.confused(&other)),
            }
        }
        Ok(cast)
    }

    /// Now, as the kernel counts.
    fn now_ns(&self) -> i64 {
        kernel_ns_of(self.clock, self.clock.now())
    }

    async fn enter(&mut self, doors: Duration) -> Result<Entered, Problem> {
        let within = doors + LAST_IN;
        self.doors_ns = self.now_ns() + nanos(DOORS_LEAD);
        for agent in &mut self.agents {
            agent.tell(&Order::OpenDoors { at_ns: self.doors_ns, within }).await?;
        }
        let mut entered = Vec::new();
        for agent in &mut self.agents {
            match agent.hear(DOORS_LEAD + within + PATIENCE).await? {
                Report::Entered(found) => entered.push(found),
                other => return Err(agent.confused(&other)),
            }
        }
        Ok(Entered::of_all(&entered))
    }

    /// Plays round after round until one is carried. `votes` are planned for each.
    async fn play(&mut self, scenario: &Scenario, votes: &[u32]) -> Result<Vec<Played>, Problem> {
        // T0 begins a second of the tally, so that the seconds of a round are seconds of the tally.
        let second = (self.now_ns() + nanos(FIRE_LEAD) - self.doors_ns) / 1_000_000_000 + 1;
        let at_ns = self.doors_ns + second * 1_000_000_000;
        let second = u32::try_from(second).unwrap_or(u32::MAX);
        let mut target_before = self.spent().await?;
        for agent in &mut self.agents {
            agent.tell(&Order::Fire { at_ns, second }).await?;
        }
        let (mut rounds, mut before) = (Vec::new(), Counted::default());
        for (round, planned) in ROUNDS.into_iter().zip(votes) {
            let counted = self.counted(round.counted_by_ms()).await?;
            let target = self.spent().await?;
            let played = Played {
                round,
                planned: *planned,
                counted: counted.since(&before),
                target_us: target.saturating_sub(target_before),
            };
            let problem = played.problem(&scenario.thresholds);
            say::note(&format!("  {} % of the peak: {}", round.percent, problem.as_deref().unwrap_or("in time")));
            rounds.push(played);
            if problem.is_none() {
                break;
            }
            (before, target_before) = (counted, target);
        }
        Ok(rounds)
    }

    async fn counted(&mut self, by_ms: u64) -> Result<Counted, Problem> {
        let mut counted = Vec::new();
        for agent in &mut self.agents {
            match agent.hear(Duration::from_millis(by_ms) + PATIENCE).await? {
                Report::Counted(found) => counted.push(found),
                other => return Err(agent.confused(&other)),
            }
        }
        Ok(Counted::of_all(&counted))
    }

    /// Processor time of all null targets since they began, in microseconds.
    async fn spent(&mut self) -> Result<u64, Problem> {
        let mut spent = 0;
        for target in &mut self.targets {
            target.tell(&Order::Spend).await?;
            match target.hear(PATIENCE).await? {
                Report::Spent { cpu_us } => spent += cpu_us,
                other => return Err(target.confused(&other)),
            }
        }
        Ok(spent)
    }

    /// Ends the null targets, and then the agents.
    fn end(self) {
        drop(self.targets);
        drop(self.agents);
    }
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
