//! An agent's whole life: join, plan, preflight, open the doors, arm, fire, report, go.
//!
//! The script up to the commit stands here, in the order in which it is played; [`burst`] is what comes after. Until the
//! commit the coordinator's word is law and its loss the end; from the commit on the crew needs nobody.

mod burst;
mod line;
mod problem;
mod snapshot;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};
use voteburst_burst::clock::{FleetTime, LocalTime, Offset};
use voteburst_burst::plan::{PROTOCOL, Plan};
use voteburst_burst::scenario::Scenario;
use voteburst_proto::message::{Join, Progress, Ready, Share, Welcome};
use voteburst_proto::{FromAgent, FromCoordinator};

use self::line::{Line, Place};
use crate::allow::AllowList;
use crate::clock::Clock;
use crate::crew::{Assignment, Crew};
use crate::offset::Pinger;
use crate::preflight::{self, Load};
use crate::sources;

pub use problem::SessionError;

/// What an agent is told by whoever starts it, for a coordinator cannot be the one to say it.
#[derive(Clone, Debug)]
pub struct JoinOptions {
    /// The join token.
    pub token: Option<String>,
    /// Where votes may go, whatever the coordinator says.
    pub allowed: AllowList,
    /// Addresses to connect from, in place of the coordinator's or automatic ones.
    pub sources: Option<Vec<IpAddr>>,
    /// Sets automatic source addresses apart from those of other agents on this machine, in place of the coordinator's number.
    pub slot: Option<u32>,
    /// How long to look for a coordinator that is not there: at the start, and at the end with the last snapshot.
    pub patience: Duration,
}

/// No token, loopback only, automatic sources, and ten seconds for a coordinator that is started beside the agent.
impl Default for JoinOptions {
    fn default() -> Self {
        Self { token: None, allowed: AllowList::default(), sources: None, slot: None, patience: Duration::from_secs(10) }
    }
}

/// Joins the coordinator at `endpoint` (`HOST:PORT`) and plays one run to its end.
///
/// # Errors
/// Whatever ended the run before its time, in words for whoever started the agent. After a commit the burst is
/// fired to its end all the same.
pub async fn join(endpoint: &str, options: JoinOptions, clock: Clock) -> Result<(), SessionError> {
    let join = introduce(&options);
    let incarnation = join.incarnation;
    let place = Place::new(endpoint, join)?;
    let (line, welcome) = place.join(clock, options.patience).await?;
    let mut reports = tokio::time::interval(welcome.report_every);
    reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let pinger = Pinger::start(place.second_channel(), clock);
    let mut session = Session { line, welcome, incarnation, options, clock, pinger, reports, seq: 0, heard_early: None };
    let result = session.play().await;
    if let Err(error) = &result
        && error.is_news()
    {
        session.give_up(error).await;
    }
    result
}

fn introduce(options: &JoinOptions) -> Join {
    Join {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        // Names help people only; a machine without one is told apart by its process.
        host: std::fs::read_to_string("/proc/sys/kernel/hostname")
            .map_or_else(|_| "unnamed".to_owned(), |name| name.trim().to_owned()),
        pid: std::process::id(),
        // Keys of a hasher are random per process: enough to tell a restart from a reconnect.
        incarnation: RandomState::new().hash_one(std::process::id()),
        token: options.token.clone(),
        allowed: options.allowed.networks().iter().map(ToString::to_string).collect(),
    }
}

struct Session {
    line: Line,
    welcome: Welcome,
    incarnation: u64,
    options: JoinOptions,
    clock: Clock,
    pinger: Pinger,
    reports: Interval,
    /// Number of the last snapshot. One count for the whole session: a number that comes again would be taken for an old one.
    seq: u64,
    /// A word that came while something else was waited for.
    heard_early: Option<FromCoordinator>,
}

/// A crew with its doors open.
struct Cast {
    crew: Crew,
    viewers: u32,
    /// When they opened.
    doors: LocalTime,
}

impl Session {
    async fn play(&mut self) -> Result<(), SessionError> {
        let share = match self.next("a share").await? {
            FromCoordinator::Share(share) => share,
            other => return Err(out_of_turn(&other, "a share")),
        };
        let plan = self.derive(&share).await?;
        let mut cast = self.muster(share, plan).await?;
        let at = match self.next("the doors' opening").await? {
            FromCoordinator::OpenDoors { at } => at,
            other => return Err(out_of_turn(&other, "the doors' opening")),
        };
        let offset = self.pinger.latest().ok_or(SessionError::NoClock)?;
        cast.doors = offset.to_local(at);
        cast.crew.open_doors(cast.doors);
        self.let_in(&cast).await?;
        let offset = self.arm(&cast).await?;
        let t0 = self.commit(&cast).await?;
        burst::fire(self, cast, offset, t0).await
    }

    /// Derives the plan from the share's scenario and compares its hash with the coordinator's.
    async fn derive(&mut self, share: &Share) -> Result<Arc<Plan>, SessionError> {
        let text = share.scenario.clone();
        let derived = tokio::task::spawn_blocking(move || {
            let no_traces = |_: &str| Err(io::Error::other("a share holds its traces itself"));
            Scenario::parse(&text, "share.toml", &no_traces).map(Plan::new).map_err(Box::new)
        });
        let plan = self.meanwhile(derived, None).await?.map_err(panicked)??;
        let found = plan.hash.to_string();
        self.line.say(FromAgent::Planned { plan_hash: found.clone() }).await;
        if found != share.plan_hash {
            return Err(SessionError::OtherPlan { found, needed: share.plan_hash.clone() });
        }
        Ok(Arc::new(plan))
    }

    /// Looks at the machine, compares clocks a first time and puts the crew together.
    async fn muster(&mut self, share: Share, plan: Arc<Plan>) -> Result<Cast, SessionError> {
        let viewers = share.viewers.end - share.viewers.start;
        let sources = self.sources(&share, viewers);
        let (load, looked_from) = (Load::of_share(&plan, &share.viewers), sources.clone());
        let checks = tokio::task::spawn_blocking(move || preflight::check(&load, &looked_from));
        let assignment = Assignment {
            plan,
            viewers: share.viewers,
            run: self.welcome.run,
            carriers: share.carriers,
            recursion_desired: share.recursion_desired,
            port: share.port,
            sources,
            authority: share.authority,
            allowed: self.options.allowed.clone(),
        };
        let clock = self.clock;
        let mustered = tokio::task::spawn_blocking(move || Crew::muster(assignment, clock));
        let crew = self.meanwhile(mustered, None).await?.map_err(panicked)??;
        self.measure(None).await?;
        let checks = self.meanwhile(checks, None).await?.map_err(panicked)?;
        self.line.say(FromAgent::Preflight { checks }).await;
        Ok(Cast { crew, viewers, doors: self.clock.now() })
    }

    fn sources(&self, share: &Share, viewers: u32) -> Vec<IpAddr> {
        let told = self.options.sources.as_ref().unwrap_or(&share.sources);
        let slot = self.options.slot.unwrap_or(share.slot);
        sources::choose(slot, viewers, told, self.options.allowed.is_loopback(), &sources::local_ports())
    }

    /// Reports until every viewer has tried to connect, or until the coordinator will not wait for that.
    async fn let_in(&mut self, cast: &Cast) -> Result<(), SessionError> {
        let entered = cast.crew.entered();
        tokio::pin!(entered);
        loop {
            tokio::select! {
                done = &mut entered => break done?,
                word = self.line.hear() => {
                    self.heard_early = Some(lawful(word?)?);
                    return Ok(());
                }
                _ = self.reports.tick() => self.show(&cast.crew).await?,
            }
        }
        let connected = cast.crew.status().connected;
        let failed = cast.viewers.saturating_sub(connected);
        self.line.say(FromAgent::Ready(Ready { connected, failed })).await;
        Ok(())
    }

    async fn arm(&mut self, cast: &Cast) -> Result<Offset, SessionError> {
        match self.next_of(Some(&cast.crew), "the order to arm").await? {
            FromCoordinator::Arm => {}
            other => return Err(out_of_turn(&other, "the order to arm")),
        }
        let offset = self.measure(Some(&cast.crew)).await?;
        self.line.say(FromAgent::Armed { offset }).await;
        Ok(offset)
    }

    async fn commit(&mut self, cast: &Cast) -> Result<FleetTime, SessionError> {
        match self.next_of(Some(&cast.crew), "the commit").await? {
            FromCoordinator::Commit { t0 } => Ok(t0),
            other => Err(out_of_turn(&other, "the commit")),
        }
    }

    async fn measure(&mut self, crew: Option<&Crew>) -> Result<Offset, SessionError> {
        let measured = self.pinger.measure();
        self.meanwhile(measured, crew).await?.ok_or(SessionError::NoClock)
    }

    async fn next(&mut self, due: &'static str) -> Result<FromCoordinator, SessionError> {
        self.next_of(None, due).await
    }

    /// The next word, while reports go on.
    async fn next_of(&mut self, crew: Option<&Crew>, due: &'static str) -> Result<FromCoordinator, SessionError> {
        if let Some(word) = self.heard_early.take() {
            return lawful(word);
        }
        tracing::debug!(due, "waiting for the coordinator");
        loop {
            tokio::select! {
                word = self.line.hear() => return lawful(word?),
                _ = self.reports.tick() => match crew {
                    Some(crew) => self.show(crew).await?,
                    None => self.report(None),
                },
            }
        }
    }

    /// Waits for something of our own, while reports go on and the coordinator may end it all.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>, crew: Option<&Crew>) -> Result<T, SessionError> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                word = self.line.hear(), if self.heard_early.is_none() => self.heard_early = Some(lawful(word?)?),
                _ = self.reports.tick() => self.report(crew),
            }
        }
    }

    fn report(&self, crew: Option<&Crew>) {
        let progress = crew.map_or_else(Progress::default, |crew| {
            let status = crew.status();
            Progress { connected: status.connected, tried: status.tried }
        });
        self.line.say_if_free(|| FromAgent::Progress(progress));
    }

    /// Reports with a snapshot, so that whoever watches sees which proxies viewers come to while the doors are open.
    ///
    /// Not while clocks are compared: what an answer waits here would be taken for its way.
    async fn show(&mut self, crew: &Crew) -> Result<(), SessionError> {
        self.report(Some(crew));
        let Some(offset) = self.pinger.latest().filter(|_| self.line.is_free()) else { return Ok(()) };
        let counted = crew.snapshot().await?;
        let snapshot = self.snapshot(crew, counted, offset, None, false);
        self.line.say_if_free(|| FromAgent::Snapshot(Box::new(snapshot)));
        Ok(())
    }

    /// Tells the coordinator why, and waits a moment for it to hang up, so that the reason is not lost with the line.
    async fn give_up(&mut self, error: &SessionError) {
        self.line.say(FromAgent::Failed { reason: error.to_string() }).await;
        let hung_up = async { while self.line.hear().await.is_ok() {} };
        // A coordinator that does not hang up knows the reason all the same.
        let _ = tokio::time::timeout(Duration::from_secs(2), hung_up).await;
    }
}

/// Words that end the run at any time are no words to go on with.
fn lawful(word: FromCoordinator) -> Result<FromCoordinator, SessionError> {
    match ended_by(word) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(word) => Ok(word),
    }
}

fn ended_by(word: FromCoordinator) -> ControlFlow<SessionError, FromCoordinator> {
    match word {
        FromCoordinator::Abort { reason } => ControlFlow::Break(SessionError::Aborted(reason)),
        FromCoordinator::Refused { reason, for_now } => ControlFlow::Break(SessionError::Refused { reason, for_now }),
        word => ControlFlow::Continue(word),
    }
}

fn out_of_turn(found: &FromCoordinator, needed: &'static str) -> SessionError {
    SessionError::OutOfTurn { found: format!("{found:?}").chars().take(80).collect(), needed }
}

fn panicked(error: tokio::task::JoinError) -> SessionError {
    SessionError::Panicked(error.to_string())
}
