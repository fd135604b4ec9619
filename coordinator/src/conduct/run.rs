//! The run itself: what comes in is translated for the conductor, what that commands is carried out.

mod guard;
mod live;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use tokio::sync::mpsc;
use voteburst_burst::clock::FleetTime;
use voteburst_proto::convert::{Heard, Sealed};
use voteburst_proto::message::{Check, CheckStatus, Join, Share, Welcome};
use voteburst_proto::{FromAgent, FromCoordinator};

use self::guard::Guard;
use super::{Conducted, Setup};
use crate::clock::Clock;
use crate::collect::{Askers, Collection, Expected};
use crate::conductor::{AgentId, Command, Conductor, Ended, Event, Note, Order, Phase};
use crate::live::{Outlet, planned_until};
use crate::progress::Progress;
use crate::record::{AgentRecord, CheckRecord, StartSpread};
use crate::roster::{Admitted, Refusal, Roster, SessionId};
use crate::service::{Inbound, Limits};

/// One agent's part of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    viewers: Range<u32>,
    tickets: u32,
}

pub(super) struct Run {
    clock: Clock,
    setup: Setup,
    /// Agents that take part.
    expected: u32,
    conductor: Conductor,
    roster: Roster,
    collection: Collection,
    /// Agents that have sent a snapshot since the commit. Those of before are for who watches, and no part of a result.
    counted: BTreeSet<AgentId>,
    pub(super) sessions: BTreeMap<SessionId, mpsc::Sender<FromCoordinator>>,
    /// By position among the shares.
    parts: Vec<Part>,
    /// Which part each agent plays.
    played: BTreeMap<AgentId, u32>,
    preflights: BTreeMap<AgentId, Vec<Check>>,
    /// Votes planned until the end of each second after T0.
    planned_by: Vec<u64>,
    forced: Vec<String>,
    /// The last second that got a line, counted from this instant.
    shown_second: Option<(FleetTime, i64)>,
    /// How it ended; `None` while it goes on.
    pub(super) ended: Option<Ended>,
    live: Option<Outlet>,
    guard: Option<Guard>,
}

impl Run {
    pub(super) fn new(mut setup: Setup, clock: Clock) -> Self {
        let mut planned_by = Vec::new();
        let part = |viewers: Range<u32>| {
            let votes = setup.plan.votes_by_second(&viewers);
            planned_by.resize(planned_by.len().max(votes.len()), 0);
            planned_by.iter_mut().zip(&votes).for_each(|(all, votes)| *all += u64::from(*votes));
            Part { viewers, tickets: votes.iter().sum() }
        };
        let parts: Vec<_> = setup.plan.shares(setup.agents).into_iter().map(part).collect();
        sum_up(&mut planned_by);
        let expected = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        let fronts = setup.live.as_ref().map(|watch| watch.fronts.clone()).unwrap_or_default();
        let guard = Guard::new(&setup.plan, fronts);
        let live = setup.live.take().map(|watch| Outlet::new(watch, live::fixed(&setup, expected, &planned_by)));
        Self {
            clock,
            expected,
            conductor: Conductor::new(expected, setup.plan.hash.to_string(), setup.timings, setup.force, clock.now()),
            roster: Roster::new(setup.token.take()),
            collection: Collection::new(setup.run, Askers::default(), BTreeMap::new()),
            setup,
            counted: BTreeSet::new(),
            sessions: BTreeMap::new(),
            parts,
            played: BTreeMap::new(),
            preflights: BTreeMap::new(),
            planned_by,
            forced: Vec::new(),
            shown_second: None,
            ended: None,
            live,
            guard,
        }
    }

    /// What a fleet of this size may ask of this machine.
    pub(super) fn limits(&self) -> Limits {
        Limits::of(self.expected, self.parts.iter().map(|part| part.tickets).max().unwrap_or(0))
    }

    pub(super) fn hear(&mut self, what: Inbound) {
        match what {
            Inbound::Joined { session, join, out } => {
                let name = format!("{} (process {})", join.host, join.pid);
                let gathering = self.conductor.phase() == Phase::Gathering;
                match self.roster.admit(join, session, gathering) {
                    Ok(admitted) => self.welcome(admitted, name, session, out),
                    Err(refusal) => {
                        let reason = refusal.to_string();
                        let for_now = matches!(refusal, Refusal::Duplicate(_));
                        // A full or closed queue of a session that has just begun: nobody is there to be told.
                        let _ = out.try_send(FromCoordinator::Refused { reason: reason.clone(), for_now });
                        self.show(Progress::AgentRefused { name, reason });
                    }
                }
            }
            Inbound::Said { session, message } => match (self.roster.of_session(session), message) {
                (Some(agent), Heard::Word(word)) => self.understand(agent, word),
                (Some(agent), Heard::Snapshot(snapshot)) => self.keep(agent, *snapshot),
                // What a session says that ended is nobody's word.
                (None, _) => {}
            },
            Inbound::Ended { session, why } => {
                self.sessions.remove(&session);
                if let Some(agent) = self.roster.leave(session) {
                    self.tell_conductor(Event::Lost(agent, why));
                }
            }
            Inbound::Stranger { peer, reason } => self.show(Progress::AgentRefused { name: peer, reason }),
        }
    }

    fn welcome(&mut self, admitted: Admitted, name: String, session: SessionId, out: mpsc::Sender<FromCoordinator>) {
        let (Admitted::New(agent) | Admitted::Again(agent)) = admitted;
        let welcome = Welcome { agent: agent.0, run: self.setup.run, report_every: self.setup.timings.report_every };
        self.sessions.insert(session, out);
        self.say(agent, FromCoordinator::Welcome(welcome));
        if let Admitted::Again(_) = admitted {
            return self.tell_conductor(Event::Rejoined(agent));
        }
        let joined = u32::try_from(self.roster.entries().count()).unwrap_or(u32::MAX);
        self.show(Progress::AgentJoined { agent, name, joined, expected: self.expected });
        self.tell_conductor(Event::Joined(agent));
    }

    fn understand(&mut self, agent: AgentId, message: FromAgent) {
        let event = match message {
            FromAgent::Join(_) => Event::Failed(agent, "joined twice in one session".to_owned()),
            FromAgent::Planned { plan_hash } => Event::Planned(agent, plan_hash),
            FromAgent::Preflight { checks } => {
                let bad = checks.iter().filter(|check| check.status == CheckStatus::Bad).map(in_words).collect();
                self.preflights.insert(agent, checks);
                Event::Preflight(agent, bad)
            }
            FromAgent::Progress(progress) => Event::Progress(agent, progress.connected),
            FromAgent::Ready(ready) => Event::Ready(agent, ready.connected),
            FromAgent::Armed { offset } => Event::Armed(agent, offset),
            // The service passes snapshots on sealed, and only so.
            FromAgent::Snapshot(_) => return,
            FromAgent::Failed { reason } => Event::Failed(agent, reason),
        };
        self.tell_conductor(event);
    }

    fn keep(&mut self, agent: AgentId, snapshot: Sealed) {
        let accepted = self.collection.accept(agent, snapshot);
        if accepted == Ok(true) && self.conductor.t0().is_some() {
            self.counted.insert(agent);
        }
        let event = match accepted {
            // What is kept decides: an agent is let go only when the last of its counts is here.
            Ok(_) => Event::Snapshot(agent, self.collection.newest(agent).is_some_and(|kept| kept.last)),
            Err(problem) => Event::Failed(agent, problem.to_string()),
        };
        self.tell_conductor(event);
    }

    pub(super) fn tell_conductor(&mut self, event: Event) {
        for command in self.conductor.handle(self.clock.now(), event) {
            match command {
                Command::Tell(agent, order) => self.pass_on(agent, order),
                Command::Note(note) => self.note(note),
                Command::Finish(ended) => self.ended = Some(ended),
            }
        }
    }

    fn pass_on(&mut self, agent: AgentId, order: Order) {
        let message = match order {
            Order::Share(part) => self.share(agent, part),
            Order::OpenDoors(at) => FromCoordinator::OpenDoors { at },
            Order::Arm => FromCoordinator::Arm,
            Order::Commit(t0) => FromCoordinator::Commit { t0 },
            Order::Abort(reason) => FromCoordinator::Abort { reason },
            Order::Drain => FromCoordinator::Drain,
            Order::Bye => FromCoordinator::Bye,
        };
        self.say(agent, message);
    }

    fn share(&mut self, agent: AgentId, part: u32) -> FromCoordinator {
        self.played.insert(agent, part);
        let viewers = self.parts[part as usize].viewers.clone();
        FromCoordinator::Share(Share {
            scenario: self.setup.plan.scenario.to_toml(),
            plan_hash: self.setup.plan.hash.to_string(),
            viewers,
            carriers: self.setup.world.carriers.clone(),
            recursion_desired: self.setup.world.recursion_desired,
            port: self.setup.world.port,
            sources: self.setup.world.sources.clone(),
            slot: part,
            authority: self.setup.world.authority.clone(),
        })
    }

    fn say(&self, agent: AgentId, message: FromCoordinator) {
        let out = self.roster.session_of(agent).and_then(|session| self.sessions.get(&session));
        // An agent that takes no words is found by its silence, which is judged in one place.
        if let Some(out) = out
            && let Err(error) = out.try_send(message)
        {
            tracing::debug!(%agent, %error, "a word did not reach its session");
        }
    }

    fn show(&self, progress: Progress) {
        // Nobody need be there to read it.
        let _ = self.setup.progress.send(progress);
    }

    fn note(&mut self, note: Note) {
        let viewers = self.setup.plan.scenario.audience.viewers;
        match note {
            Note::Entered(phase) => self.entered(phase),
            Note::DoorsOverdue(agents) => self.show(Progress::DoorsOverdue { agents }),
            Note::AgentBack(agent) => self.show(Progress::AgentBack { agent }),
            Note::Forced(_, reason) => {
                self.forced.push(reason.clone());
                self.show(Progress::Forced { reason });
            }
            Note::AgentLost(agent, why) => {
                let name = self.roster.entry(agent).map_or_else(String::new, |entry| entry.name());
                let share = self.part_of(agent).map_or(0.0, |part| f64::from(length(&part.viewers)) / f64::from(viewers.max(1)));
                self.show(Progress::AgentLost { agent, name, why, share });
                if self.conductor.phase() == Phase::Gathering {
                    // Its place is free again; a session that is still open ends, so that it may join anew.
                    self.roster.session_of(agent).map(|session| self.sessions.remove(&session));
                    self.roster.forget(agent);
                }
            }
        }
    }

    fn entered(&mut self, phase: Phase) {
        let (connected, viewers) = (self.conductor.connected(), self.setup.plan.scenario.audience.viewers);
        match phase {
            Phase::Planning => self.expect_snapshots(),
            Phase::Arming => self.show(Progress::Ready { connected, viewers }),
            Phase::Committed => {
                let bounds = self.roster.entries().filter_map(|(agent, _)| self.conductor.offset(agent));
                let bound = bounds.map(|offset| u64::try_from(offset.bound_ns).unwrap_or(0)).max().unwrap_or(0);
                self.show(Progress::Armed { bound: Duration::from_nanos(bound) });
                let t0_in = self.conductor.t0().map_or(0, |t0| t0.0 - self.clock.now().0);
                self.show(Progress::Committed { t0_in: Duration::from_nanos(u64::try_from(t0_in).unwrap_or(0)) });
            }
            Phase::Draining => self.show(Progress::Draining),
            Phase::Done => {
                let agents = u32::try_from(self.collection.all().filter(|snapshot| snapshot.last).count()).unwrap_or(u32::MAX);
                self.show(Progress::Merging { agents, expected: self.expected });
            }
            // Doors and burst have a line each second of their own.
            Phase::Gathering | Phase::Doors | Phase::Burst | Phase::Aborted => {}
        }
    }

    /// The agents of the run are known from here on; shares go out in the order of their numbers.
    fn expect_snapshots(&mut self) {
        let expected = self
            .roster
            .entries()
            .zip(&self.parts)
            .map(|((agent, entry), part)| (agent, Expected { incarnation: entry.join.incarnation, tickets: part.tickets }));
        let scenario = &self.setup.plan.scenario;
        let askers = Askers { phones: scenario.audience.phones.len(), carriers: scenario.carriers.list.len() };
        self.collection = Collection::new(self.setup.run, askers, expected.collect());
    }

    fn part_of(&self, agent: AgentId) -> Option<&Part> {
        self.played.get(&agent).and_then(|part| self.parts.get(*part as usize))
    }

    pub(super) fn tick(&mut self) {
        self.tell_conductor(Event::Tick);
        self.watch_limits();
        self.show_live();
        let from = match self.conductor.phase() {
            Phase::Doors => self.conductor.doors_at(),
            Phase::Burst | Phase::Draining => self.conductor.t0(),
            _ => None,
        };
        let Some(from) = from else { return };
        let second = (self.clock.now().0 - from.0).div_euclid(1_000_000_000);
        if second < 0 || self.shown_second.replace((from, second)) == Some((from, second)) {
            return;
        }
        if self.conductor.phase() == Phase::Doors {
            let (connected, viewers) = (self.conductor.connected(), self.setup.plan.scenario.audience.viewers);
            return self.show(Progress::Doors { connected, viewers });
        }
        self.show(self.burst_line(u32::try_from(second).unwrap_or(u32::MAX)));
    }

    fn burst_line(&self, second: u32) -> Progress {
        let planned = planned_until(&self.planned_by, second.into());
        let (mut sent, mut accepted, mut failed, mut ended) = (0, 0, 0, 0);
        for snapshot in self.collection.all() {
            let counts = snapshot.counts;
            sent += counts.sent;
            accepted += counts.accepted;
            failed += counts.failed;
            ended += u64::from(snapshot.ended);
        }
        Progress::Burst { second, planned, sent, accepted, failed, ended }
    }

    /// Whole seconds from the doors to T0; `None` until both are known.
    fn t0_second(&self) -> Option<u32> {
        let (t0, doors) = (self.conductor.t0()?, self.conductor.doors_at()?);
        u32::try_from((t0.0 - doors.0) / 1_000_000_000).ok()
    }

    pub(super) fn into_conducted(self) -> Conducted {
        let agents: Vec<_> = self.roster.entries().map(|(agent, entry)| self.record(agent, &entry.join)).collect();
        let t0 = self.conductor.t0();
        let t0_second = self.t0_second();
        let counted = self.counted;
        Conducted {
            phases: self.conductor.phases().iter().map(Into::into).collect(),
            t0,
            t0_kernel_ns: t0.map(|t0| self.clock.kernel_ns(t0)),
            t0_second,
            start: StartSpread::of(&agents),
            agents,
            snapshots: self
                .collection
                .into_snapshots()
                .into_iter()
                .filter(|kept| counted.contains(&AgentId(kept.agent)))
                .collect(),
            forced: self.forced,
            ended: self.ended.unwrap_or(Ended::Complete),
        }
    }

    fn record(&self, agent: AgentId, join: &Join) -> AgentRecord {
        let part = self.part_of(agent).cloned().unwrap_or(Part { viewers: 0..0, tickets: 0 });
        let newest = self.collection.newest(agent).filter(|_| self.counted.contains(&agent));
        let mut record = AgentRecord {
            id: agent.0,
            host: join.host.clone(),
            pid: join.pid,
            version: join.version.clone(),
            viewers: part.viewers,
            tickets: part.tickets,
            slot: self.played.get(&agent).copied().unwrap_or(agent.0),
            offset_ns: None,
            bound_ns: None,
            offset_moved_ns: None,
            first_send_lateness_ns: None,
            last: false,
            lost: self.conductor.lost(agent).map(ToOwned::to_owned),
            connected_at_t0: None,
            ended: 0,
            cpu_us: 0,
            memory_bytes: 0,
            warnings: Vec::new(),
            preflight: self.preflights.get(&agent).into_iter().flatten().map(CheckRecord::from).collect(),
        };
        record.take_offsets(self.conductor.offset(agent), newest.map(|snapshot| snapshot.offset));
        if let Some(snapshot) = newest {
            record.take_snapshot(&snapshot.head());
        }
        record
    }
}

fn in_words(check: &Check) -> String {
    format!("{}: found {}, needed {}; {}, otherwise {}", check.what, check.found, check.needed, check.fix, check.effect)
}

fn length(viewers: &Range<u32>) -> u32 {
    viewers.end.saturating_sub(viewers.start)
}

fn sum_up(seconds: &mut [u64]) {
    let mut sum = 0;
    for second in seconds {
        sum += *second;
        *second = sum;
    }
}
