//! One run from listening to results: the loop that feeds the conductor and does what it says.

mod run;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use voteburst_burst::clock::FleetTime;
use voteburst_burst::ledger::ShareReport;
use voteburst_burst::plan::Plan;
use voteburst_burst::tally::Tally;
use voteburst_proto::convert::Sealed;

use self::run::Run;
use crate::clock::Clock;
use crate::collect;
use crate::conductor::{Ended, Event, Timings};
use crate::live::Watch;
use crate::progress::Progress;
use crate::record::{self, AgentRecord, PhaseRecord, RunRecord, StartSpread};
use crate::service::{self, Bound};
use crate::trust::Token;

/// How often time is looked at; every bound is met to within this.
const TICK: Duration = Duration::from_millis(100);
/// Words of agents that may wait to be heard. Few, for each may be a large snapshot, and who waits holds back its sender.
const WAITING_WORDS: usize = 64;
/// How long agents have to take their last word once the run is over.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// What agents must know of the world beside the plan.
#[derive(Clone, Debug, Default)]
pub struct WorldInfo {
    /// Where the plan's carriers listen, by their index.
    pub carriers: Vec<SocketAddr>,
    /// Whether these are resolvers of the real world, which answer only queries that desire recursion.
    pub recursion_desired: bool,
    /// The target's port.
    pub port: u16,
    /// Addresses for agents to connect from; empty: each agent picks its own.
    pub sources: Vec<IpAddr>,
    /// Whose certificates the target shows, in DER, when an authority was made for this run; empty otherwise.
    pub authority: Vec<u8>,
}

/// Everything a run needs.
#[derive(Debug)]
pub struct Setup {
    /// What will happen.
    pub plan: Arc<Plan>,
    /// Number of this run, part of every ballot id: drawn anew for each.
    pub run: u64,
    /// Agents to wait for. No more of them take part than there are viewers.
    pub agents: u32,
    /// What agents must know of the world.
    pub world: WorldInfo,
    /// What agents must show to join; `None` admits everybody who reaches the listener.
    pub token: Option<Token>,
    /// Bounds of every wait.
    pub timings: Timings,
    /// Go on although machines are not as needed.
    pub force: bool,
    /// Where lines for the user go; nobody need listen.
    pub progress: mpsc::UnboundedSender<Progress>,
    /// Where the run is watched, if it is.
    pub live: Option<Watch>,
}

/// What a run came to.
#[derive(Debug)]
pub struct Conducted {
    /// How it ended.
    pub ended: Ended,
    /// Every phase and when it began.
    pub phases: Vec<PhaseRecord>,
    /// The instant of T0 on the fleet's clock; `None` when nothing was fired.
    pub t0: Option<FleetTime>,
    /// T0 as the kernel of this machine counts it (`CLOCK_MONOTONIC`), in nanoseconds: what a stage's ballots are held against.
    pub t0_kernel_ns: Option<i64>,
    /// The second of every tally that begins at T0.
    pub t0_second: Option<u32>,
    /// The agents by number.
    pub agents: Vec<AgentRecord>,
    /// The newest snapshot of each agent that sent one.
    pub snapshots: Vec<Sealed>,
    /// How closely they started together.
    pub start: StartSpread,
    /// What was not as needed before the run, which was forced all the same.
    pub forced: Vec<String>,
}

impl Conducted {
    /// The run as it is kept. `started` is the wall clock's time as text; `stage` and `carriers` are their own counters.
    #[must_use]
    pub fn record(
        &self,
        plan: &Plan,
        run: u64,
        started: &str,
        stage: Option<serde_json::Value>,
        carriers: Option<serde_json::Value>,
    ) -> RunRecord {
        let scenario = &plan.scenario;
        RunRecord {
            schema: record::SCHEMA,
            name: scenario.name.clone(),
            started: started.to_owned(),
            run: format!("{run:016x}"),
            plan_hash: plan.hash.to_string(),
            viewers: scenario.audience.viewers,
            tickets: plan.tickets,
            seed: scenario.seed,
            zone: scenario.stage.as_ref().map(|stage| stage.zone.to_string()),
            fronts: Vec::new(),
            zone_seen: None,
            phases: self.phases.clone(),
            t0_ns: self.t0.map(|t0| t0.0),
            t0_kernel_ns: self.t0_kernel_ns,
            t0_second: self.t0_second,
            start: self.start,
            agents: self.agents.clone(),
            ended: self.ended.clone(),
            forced: self.forced.clone(),
            stage,
            carriers,
            baselines: Vec::new(),
        }
    }

    /// The fleet's tally.
    #[must_use]
    pub fn tally(&self) -> Tally {
        collect::merge(&self.snapshots)
    }

    /// What each agent reported of its share, for the ledger.
    #[must_use]
    pub fn shares(&self) -> Vec<ShareReport> {
        record::share_reports(&self.agents, &self.snapshots)
    }
}

/// Why there is no result at all.
#[derive(Debug, thiserror::Error)]
pub enum ConductProblem {
    /// The listener died.
    #[error("the coordinator's listener died: {0}; the run cannot go on")]
    Listener(String),
}

/// Conducts one run. The first interrupt ends it in an orderly way, the second at once.
///
/// Agents that burst when the listener dies finish on their own, but nobody hears of it.
///
/// # Errors
/// When the listener dies. Everything else that goes wrong is told in [`Conducted::ended`].
pub async fn conduct(
    bound: Bound,
    setup: Setup,
    mut interrupts: mpsc::UnboundedReceiver<()>,
    clock: Clock,
) -> Result<Conducted, ConductProblem> {
    let (inbound_sender, mut inbound) = mpsc::channel(WAITING_WORDS);
    let (stop, stopped) = oneshot::channel::<()>();
    // Nobody need be there to read progress.
    let _ = setup.progress.send(Progress::Listening(bound.address));
    let mut run = Run::new(setup, clock);
    let mut server = tokio::spawn(service::serve(bound, clock, run.limits(), inbound_sender, async move {
        // A dropped sender means the same as a sent word: the run is over.
        let _ = stopped.await;
    }));
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while run.ended.is_none() {
        tokio::select! {
            Some(what) = inbound.recv() => run.hear(what),
            Some(()) = interrupts.recv() => run.tell_conductor(Event::Interrupt),
            _ = tick.tick() => run.tick(),
            died = &mut server => return Err(ConductProblem::Listener(format!("{died:?}"))),
        }
    }
    run.show_live();
    run.sessions.clear();
    drop(stop);
    drop(inbound);
    // Last words go out with the closing of sessions; who does not take them in time is left behind.
    if tokio::time::timeout(CLOSE_WITHIN, &mut server).await.is_err() {
        server.abort();
    }
    Ok(run.into_conducted())
}
