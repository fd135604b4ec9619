//! All viewers of an agent: mustered, let in, fired, drained.
//!
//! They live on a thread of their own with a runtime of its own, so that nothing an agent says to its coordinator
//! delays a vote. What is asked of it here travels over a channel; what is seen often is read from counters.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::runtime;
use tokio::sync::{mpsc, oneshot, watch};
use voteburst_burst::clock::LocalTime;
use voteburst_burst::generator::Stalls;
use voteburst_burst::plan::Plan;
use voteburst_burst::scenario::Scheme;
use voteburst_burst::tally::Tally;
use voteburst_dns::stub::NotAName;

use crate::allow::AllowList;
use crate::clock::{Clock, thread_cpu_ns};
use crate::dial::{Dialler, Tls, TrustError};
use crate::opening::keep_ramp;
use crate::pace::{Alarm, Pace};
use crate::resolve::Resolver;
use crate::slice;
use crate::viewers::keep_doors;
use crate::watch::sample::VIEWERS;
use crate::watch::stall::HEARTBEAT;
use crate::worker::{Counters, Milestones, Parts, Worker};

/// What an agent has to play.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// The plan, whose hash was compared.
    pub plan: Arc<Plan>,
    /// The share, by number of viewer.
    pub viewers: Range<u32>,
    /// The run, part of every ballot id.
    pub run: u64,
    /// Where the plan's carriers listen, by their index.
    pub carriers: Vec<SocketAddr>,
    /// Whether queries ask for recursion, as resolvers of the real world demand.
    pub recursion_desired: bool,
    /// The port of every proxy.
    pub port: u16,
    /// Addresses to connect from, in turn; empty: the kernel chooses.
    pub sources: Vec<IpAddr>,
    /// Whose certificates are trusted besides, in DER: an authority made for this run; empty: nobody's.
    pub authority: Vec<u8>,
    /// Where votes may go.
    pub allowed: AllowList,
}

/// A crew that could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum MusterError {
    /// A share beyond the audience.
    #[error("viewers {}..{} are not part of an audience of {audience}; coordinator and agent must run the same version", .viewers.start, .viewers.end)]
    Viewers {
        /// The share.
        viewers: Range<u32>,
        /// How many viewers the plan has.
        audience: u32,
    },
    /// Fewer carriers than the plan names.
    #[error("found addresses of {found} carriers, the plan needs {needed}; coordinator and agent must run the same version")]
    Carriers {
        /// How many came.
        found: usize,
        /// How many the plan has.
        needed: usize,
    },
    /// A name that DNS cannot carry.
    #[error("dns.name cannot be asked for: {0}")]
    Name(#[from] NotAName),
    /// The target's certificate could not be checked.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// No thread, no runtime, no timer.
    #[error("cannot start the worker: {0}; look at the limits on processes and open files (ulimit -u, ulimit -n)")]
    Worker(#[from] io::Error),
}

/// The worker ended before its time. Whatever its viewers did since the last snapshot is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent's worker ended early: {0}; its votes since the last snapshot are unknown, please report this")]
pub struct CrewLost(pub String);

/// How a crew is doing, at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrewStatus {
    /// How many viewers the share has.
    pub viewers: u32,
    /// How many of them have ended their first attempt to connect.
    pub tried: u32,
    /// Connections open now.
    pub connected: u32,
    /// Tickets that have their fate.
    pub tickets_ended: u32,
    /// Tickets of the share.
    pub tickets: u32,
}

/// Everything a crew has counted since its doors opened.
#[derive(Clone, Debug, PartialEq)]
pub struct CrewSnapshot {
    /// The tally.
    pub tally: Tally,
    /// Tickets that have their fate.
    pub ended: u32,
    /// How late the viewer began to act whose vote left first, in nanoseconds; `None` before.
    pub first_send_lateness_ns: Option<u64>,
    /// Connections open at T0; `None` before.
    pub connected_at_t0: Option<u32>,
    /// The [`Fate`](voteburst_burst::outcome::Fate) number of each ticket of the share, in plan order. Empty until all is done.
    pub fates: Vec<u8>,
    /// What a reader of the report should know, in words.
    pub warnings: Vec<String>,
    /// When the worker did not come round in time, from T0 on.
    pub stalls: Stalls,
    /// Lookups and connections ahead of votes that failed for want of descriptors, ports or memory on this machine.
    pub local_limits: u64,
    /// Connections ahead of votes that were not made, for the name led outside of the allow-list.
    pub not_allowed: u64,
}

enum Command {
    OpenDoors(LocalTime),
    Fire(LocalTime),
    Drain,
    Snapshot(oneshot::Sender<CrewSnapshot>),
    /// Does something to the worker that no order of a session does.
    #[cfg(test)]
    Meddle(fn(&Worker)),
}

/// All viewers of an agent. Dropping it closes their connections.
#[derive(Debug)]
pub struct Crew {
    commands: mpsc::UnboundedSender<Command>,
    milestones: watch::Receiver<Milestones>,
    counters: Arc<Counters>,
    lost: Arc<Mutex<Option<String>>>,
    viewers: u32,
    tickets: u32,
}

impl Crew {
    /// Starts the worker with all viewers outside the doors.
    ///
    /// # Errors
    /// A share or carriers that do not fit the plan, certificates that cannot be read, no thread or timer to be had.
    pub fn muster(assignment: Assignment, clock: Clock) -> Result<Self, MusterError> {
        check(&assignment)?;
        let scenario = &assignment.plan.scenario;
        let tls = match scenario.target.scheme {
            Scheme::Http => None,
            Scheme::Https => {
                let target = &scenario.target;
                Some(Tls::new(&target.host, target.ca_file.as_deref(), &assignment.authority)?)
            }
        };
        let viewers = u32::try_from(assignment.viewers.len()).unwrap_or(u32::MAX);
        let (commands, orders) = mpsc::unbounded_channel();
        let (reached, milestones) = watch::channel(Milestones { entered: viewers == 0, done: false });
        let counters = Arc::new(Counters::default());
        let lost = Arc::new(Mutex::new(None));
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let deck = Deck { assignment, clock, tls, counters: Arc::clone(&counters), reached, orders, lost: Arc::clone(&lost) };
        thread::Builder::new().name(VIEWERS.into()).spawn(move || deck.work(&started))?;
        // The worker answers once its tickets are derived and its timer is set up, or drops the channel in a panic.
        let tickets = start.recv().map_err(|_| MusterError::Worker(io::Error::other("it panicked at its start")))??;
        Ok(Self { commands, milestones, counters, lost, viewers, tickets })
    }

    /// Second 0 of the tally begins at this instant; each viewer enters some time after it, as the plan says.
    pub fn open_doors(&self, at: LocalTime) {
        self.command(Command::OpenDoors(at));
    }

    /// How the crew is doing; costs a few loads.
    #[must_use]
    pub fn status(&self) -> CrewStatus {
        CrewStatus {
            viewers: self.viewers,
            tried: self.counters.tried.load(Ordering::Relaxed),
            connected: self.counters.connected.load(Ordering::Relaxed),
            tickets_ended: self.counters.ended.load(Ordering::Relaxed),
            tickets: self.tickets,
        }
    }

    /// Returns when every viewer's first attempt to connect has ended, well or not, or when the crew drains.
    ///
    /// # Errors
    /// The worker ended early.
    pub async fn entered(&self) -> Result<(), CrewLost> {
        self.reached(|reached| reached.entered).await
    }

    /// The burst begins at T0, which may lie ahead. From here on the crew needs nothing from anyone.
    pub fn fire(&self, t0: LocalTime) {
        self.command(Command::Fire(t0));
    }

    /// From now on no vote begins; those in flight end within their timeouts.
    pub fn drain(&self) {
        self.command(Command::Drain);
    }

    /// Returns when every ticket has ended, or no vote is in flight after [`Crew::drain`].
    ///
    /// # Errors
    /// The worker ended early.
    pub async fn done(&self) -> Result<(), CrewLost> {
        self.reached(|reached| reached.done).await
    }

    /// Everything counted so far.
    ///
    /// # Errors
    /// The worker ended early.
    pub async fn snapshot(&self) -> Result<CrewSnapshot, CrewLost> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Snapshot(reply));
        answer.await.map_err(|_| self.lost())
    }

    fn command(&self, command: Command) {
        // A worker that has ended is reported by whoever waits for it.
        let _ = self.commands.send(command);
    }

    async fn reached(&self, goal: impl Fn(&Milestones) -> bool) -> Result<(), CrewLost> {
        let mut milestones = self.milestones.clone();
        milestones.wait_for(goal).await.map(|_| ()).map_err(|_| self.lost())
    }

    fn lost(&self) -> CrewLost {
        let why = self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone();
        CrewLost(why.unwrap_or_else(|| "its thread panicked".into()))
    }
}

fn check(assignment: &Assignment) -> Result<(), MusterError> {
    let Assignment { plan, viewers, carriers, .. } = assignment;
    let audience = plan.scenario.audience.viewers;
    if viewers.start > viewers.end || viewers.end > audience {
        return Err(MusterError::Viewers { viewers: viewers.clone(), audience });
    }
    let needed = plan.scenario.carriers.list.len();
    if carriers.len() < needed {
        return Err(MusterError::Carriers { found: carriers.len(), needed });
    }
    Ok(())
}

/// What the worker's thread starts from.
struct Deck {
    assignment: Assignment,
    clock: Clock,
    tls: Option<Tls>,
    counters: Arc<Counters>,
    reached: watch::Sender<Milestones>,
    orders: mpsc::UnboundedReceiver<Command>,
    lost: Arc<Mutex<Option<String>>>,
}

impl Deck {
    fn work(self, started: &std::sync::mpsc::SyncSender<Result<u32, MusterError>>) {
        if let Err(error) = slice::shorten() {
            tracing::debug!(%error, "the viewers' thread keeps the slice that all have");
        }
        let runtime = runtime::Builder::new_current_thread().enable_all().build_local(runtime::LocalOptions::default());
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = started.send(Err(error.into()));
                return;
            }
        };
        runtime.block_on(async {
            let Self { assignment, clock, tls, counters, reached, orders, lost } = self;
            let put_together = put_together(assignment, clock, tls, counters, reached);
            let alarm = Alarm::new(clock).map_err(MusterError::from);
            match (put_together, alarm) {
                (Ok(worker), Ok(alarm)) => {
                    let tickets = u32::try_from(worker.tickets.len()).unwrap_or(u32::MAX);
                    let _ = started.send(Ok(tickets));
                    if let Err(why) = serve(Rc::new(worker), alarm, orders).await {
                        *lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                    }
                }
                (Err(error), _) | (_, Err(error)) => {
                    let _ = started.send(Err(error));
                }
            }
        });
    }
}

fn put_together(
    assignment: Assignment,
    clock: Clock,
    tls: Option<Tls>,
    counters: Arc<Counters>,
    milestones: watch::Sender<Milestones>,
) -> Result<Worker, MusterError> {
    let Assignment { plan, viewers, run, carriers, recursion_desired, port, sources, allowed, .. } = assignment;
    let scenario = &plan.scenario;
    let resolver = Resolver::new(scenario, carriers, recursion_desired, viewers.start, viewers.len())?;
    let dialler = Dialler { sources, allowed, port, connect_timeout: scenario.target.connect_timeout, tls };
    let tickets = plan.tickets_of(&viewers);
    Ok(Worker::new(Parts { clock, plan, viewers, run, dialler, resolver, counters, milestones }, tickets))
}

/// Does as it is told until nobody is left to tell. The error says why it cannot go on.
async fn serve(worker: Rc<Worker>, alarm: Alarm, mut orders: mpsc::UnboundedReceiver<Command>) -> Result<(), String> {
    let watched = Rc::clone(&worker);
    tokio::task::spawn_local(async move { watched.watch_patience().await });
    let (mut alarm, mut open) = (Some(alarm), false);
    loop {
        let order = tokio::select! {
            () = worker.broke.notified() => return Err(worker.broken.take().unwrap_or_default()),
            order = orders.recv() => order,
        };
        match order {
            None => return Ok(()),
            Some(Command::OpenDoors(at)) if !open => {
                open = true;
                open_doors(&worker, at);
            }
            Some(Command::OpenDoors(_)) => {}
            Some(Command::Fire(t0)) => {
                if !std::mem::replace(&mut open, true) {
                    // Viewers who never were let in could not vote.
                    open_doors(&worker, worker.clock.now());
                }
                if let Some(alarm) = alarm.take() {
                    worker.t0.set(Some(t0));
                    worker.note_done();
                    tokio::task::spawn_local(fire(Rc::clone(&worker), alarm, t0));
                }
            }
            Some(Command::Drain) => worker.drain(),
            Some(Command::Snapshot(reply)) => {
                // Whoever asked may have gone.
                let _ = reply.send(snapshot(&worker));
            }
            #[cfg(test)]
            Some(Command::Meddle(meddle)) => meddle(&worker),
        }
    }
}

fn open_doors(worker: &Rc<Worker>, at: LocalTime) {
    worker.record.borrow_mut().open_doors(at);
    tokio::task::spawn_local(keep_doors(Rc::clone(worker), at));
    tokio::task::spawn_local(keep_ramp(Rc::clone(worker)));
}

/// Releases every ticket when it is due, and comes round all the same until they have ended, so that a stall shows.
async fn fire(worker: Rc<Worker>, alarm: Alarm, t0: LocalTime) {
    let mut pace = Pace::new(t0);
    worker.record.borrow_mut().watch_stalls(worker.clock.now(), thread_cpu_ns());
    let mut at = t0;
    loop {
        if at <= worker.clock.now() {
            // More than is released at once was due: let those act who were.
            tokio::task::yield_now().await;
        } else if let Err(error) = alarm.until(at).await {
            return worker.break_down(format!("the timer of the pacer failed: {error}"));
        }
        if worker.is_draining() {
            return;
        }
        if worker.connected_at_t0.get().is_none() {
            worker.connected_at_t0.set(Some(worker.counters.connected.load(Ordering::Relaxed)));
        }
        let now = worker.clock.now();
        worker.record.borrow_mut().turn(at, now);
        worker.release(pace.release(&worker.tickets, now), now);
        let (next, beat) = (pace.next_at(&worker.tickets), now.after(HEARTBEAT));
        if next.is_none() && worker.is_done() {
            return;
        }
        at = next.map_or(beat, |next| next.min(beat));
    }
}

fn snapshot(worker: &Worker) -> CrewSnapshot {
    let record = worker.record.borrow();
    CrewSnapshot {
        tally: record.tally.clone(),
        ended: record.log.ended(),
        first_send_lateness_ns: record.first_send_lateness_ns,
        connected_at_t0: worker.connected_at_t0.get(),
        fates: if worker.is_done() { record.log.fates() } else { Vec::new() },
        warnings: record.warnings().into_iter().chain(worker.opening.told(worker.clock.now())).collect(),
        stalls: record.stalls.as_ref().map_or_else(Stalls::default, |watch| watch.stalls().clone()),
        local_limits: record.local_limits(),
        not_allowed: record.not_allowed(),
    }
}

#[cfg(test)]
#[path = "crew_tests.rs"]
mod tests;
