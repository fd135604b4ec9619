//! Who decides: a pure state machine from gathering to done. It is told what happened and when, and answers what to do.
//!
//! Two phases stand before the burst. Nobody is told T0 unless every agent said in time that it is armed; until then
//! anything amiss ends the run with nothing fired. From the commit on agents need nobody, so from there on nothing
//! stops the run but the user: an agent that is lost makes it smaller, and its verdict unknown.
//!
//! T0 lies a whole number of seconds after the doors-open instant. Every agent counts its seconds from that instant,
//! so second boundaries of the tallies fall on second boundaries of the burst and no bar of the timeline mixes the
//! wait before T0 with the peak after it.

mod event;
#[cfg(test)]
mod tests;
mod timings;

use std::collections::BTreeMap;
use std::time::Duration;

use voteburst_burst::clock::{FleetTime, Offset};

pub use event::{AgentId, Command, Ended, Event, Note, Order, Phase};
pub use timings::Timings;

use crate::live::AgentState;

/// How far an agent has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Joined,
    Planned,
    Fit,
    Ready,
    Armed,
    Finished,
}

#[derive(Clone, Debug)]
struct Loss {
    why: String,
    at: FleetTime,
    /// It said itself that it will not come back.
    for_good: bool,
}

#[derive(Clone, Debug)]
struct Member {
    step: Step,
    heard: FleetTime,
    connected: u32,
    offset: Option<Offset>,
    lost: Option<Loss>,
}

/// The state of one run.
#[derive(Clone, Debug)]
pub struct Conductor {
    expected: u32,
    plan_hash: String,
    timings: Timings,
    force: bool,
    members: BTreeMap<AgentId, Member>,
    phases: Vec<(Phase, FleetTime)>,
    doors_at: Option<FleetTime>,
    t0: Option<FleetTime>,
    /// How it will have ended, when not by itself.
    cut_short: Option<Ended>,
}

impl Conductor {
    /// A run that begins to gather agents at `now`.
    ///
    /// With `force`, machines that are not as needed do not stop it.
    #[must_use]
    pub fn new(expected: u32, plan_hash: String, timings: Timings, force: bool, now: FleetTime) -> Self {
        let phases = vec![(Phase::Gathering, now)];
        Self { expected, plan_hash, timings, force, members: BTreeMap::new(), phases, doors_at: None, t0: None, cut_short: None }
    }

    /// Where the run stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phases.last().map_or(Phase::Gathering, |(phase, _)| *phase)
    }

    /// Every phase the run went through and when it began.
    #[must_use]
    pub fn phases(&self) -> &[(Phase, FleetTime)] {
        &self.phases
    }

    /// When second 0 of every tally began; `None` before that was ordered.
    #[must_use]
    pub fn doors_at(&self) -> Option<FleetTime> {
        self.doors_at
    }

    /// When the burst begins; `None` before the commit.
    #[must_use]
    pub fn t0(&self) -> Option<FleetTime> {
        self.t0
    }

    /// Connections open now, over all agents that are not lost.
    #[must_use]
    pub fn connected(&self) -> u32 {
        let there = self.members.values().filter(|member| member.lost.is_none());
        // Agents may claim what they like.
        there.map(|member| member.connected).fold(0, u32::saturating_add)
    }

    /// The offset with which an agent armed.
    #[must_use]
    pub fn offset(&self, agent: AgentId) -> Option<Offset> {
        self.members.get(&agent).and_then(|member| member.offset)
    }

    /// Why an agent is lost; `None` while it is not.
    #[must_use]
    pub fn lost(&self, agent: AgentId) -> Option<&str> {
        self.members.get(&agent).and_then(|member| member.lost.as_ref()).map(|loss| loss.why.as_str())
    }

    /// How far an agent has come.
    #[must_use]
    pub fn state(&self, agent: AgentId) -> AgentState {
        let state = |member: &Member| match member.step {
            _ if member.lost.is_some() => AgentState::Lost,
            Step::Joined | Step::Planned => AgentState::Joined,
            Step::Fit => AgentState::Fit,
            Step::Ready => AgentState::Ready,
            Step::Armed => AgentState::Armed,
            Step::Finished => AgentState::Done,
        };
        self.members.get(&agent).map_or(AgentState::Lost, state)
    }

    /// Connections that an agent had open when it last said so, which it does until the commit.
    #[must_use]
    pub fn connected_of(&self, agent: AgentId) -> u32 {
        self.members.get(&agent).map_or(0, |member| member.connected)
    }

    /// Takes note of what happened at `now` and answers what to do.
    pub fn handle(&mut self, now: FleetTime, event: Event) -> Vec<Command> {
        let mut todo = Vec::new();
        if self.over() {
            return todo;
        }
        if let Some(agent) = event.speaker() {
            self.hear(now, agent, &event, &mut todo);
        }
        match event {
            Event::Joined(agent) => self.join(now, agent),
            Event::Planned(agent, hash) if hash == self.plan_hash => self.step(agent, Step::Joined, Step::Planned),
            Event::Planned(agent, hash) => {
                let reason = format!(
                    "{agent} came to plan {hash:.12}…, needed {:.12}…: start agents of the coordinator's version",
                    self.plan_hash
                );
                self.abort(now, reason, &mut todo);
            }
            Event::Preflight(agent, bad) => self.preflight(now, agent, &bad, &mut todo),
            Event::Progress(agent, connected) => self.connect(agent, connected),
            Event::Ready(agent, connected) => {
                self.connect(agent, connected);
                self.step(agent, Step::Fit, Step::Ready);
            }
            Event::Armed(agent, offset) => self.armed(agent, offset),
            Event::Snapshot(agent, true) => self.finished(agent, &mut todo),
            Event::Failed(agent, why) => self.lose(now, agent, why, true, &mut todo),
            Event::Lost(agent, why) => self.lose(now, agent, why, false, &mut todo),
            Event::Interrupt => self.interrupt(now, &mut todo),
            // Only a burst can be stopped for what it does; a drain that is under way has its reason.
            Event::Broken(stopped) if self.phase() == Phase::Burst => self.drain(now, Ended::Stopped(stopped), &mut todo),
            Event::Broken(_) | Event::Rejoined(_) | Event::Snapshot(_, false) | Event::Tick => {}
        }
        self.find_silent(now, &mut todo);
        self.advance(now, &mut todo);
        todo
    }

    fn over(&self) -> bool {
        self.phase() >= Phase::Done
    }

    fn committed(&self) -> bool {
        self.t0.is_some()
    }

    fn enter(&mut self, phase: Phase, now: FleetTime, todo: &mut Vec<Command>) {
        self.phases.push((phase, now));
        todo.push(Command::Note(Note::Entered(phase)));
    }

    fn tell_all(&self, order: &Order, todo: &mut Vec<Command>) {
        todo.extend(
            self.members.iter().filter(|(_, member)| !gone(member)).map(|(agent, _)| Command::Tell(*agent, order.clone())),
        );
    }

    fn hear(&mut self, now: FleetTime, agent: AgentId, event: &Event, todo: &mut Vec<Command>) {
        let Some(member) = self.members.get_mut(&agent) else { return };
        member.heard = now;
        if member.lost.take_if(|loss| !loss.for_good).is_none() {
            return;
        }
        todo.push(Command::Note(Note::AgentBack(agent)));
        // It may have missed the order to drain while it was away.
        if self.phase() == Phase::Draining && matches!(event, Event::Rejoined(_)) {
            todo.push(Command::Tell(agent, Order::Drain));
        }
    }

    fn join(&mut self, now: FleetTime, agent: AgentId) {
        if self.phase() == Phase::Gathering {
            let member = Member { step: Step::Joined, heard: now, connected: 0, offset: None, lost: None };
            self.members.insert(agent, member);
        }
    }

    /// Steps are taken one by one; a word said twice or out of turn changes nothing.
    fn step(&mut self, agent: AgentId, from: Step, to: Step) {
        if let Some(member) = self.members.get_mut(&agent).filter(|member| member.step == from) {
            member.step = to;
        }
    }

    fn connect(&mut self, agent: AgentId, connected: u32) {
        if let Some(member) = self.members.get_mut(&agent) {
            member.connected = connected;
        }
    }

    fn preflight(&mut self, now: FleetTime, agent: AgentId, bad: &[String], todo: &mut Vec<Command>) {
        if !bad.is_empty() {
            let reason = format!("{agent} cannot hold its share: {}", bad.join("; "));
            if !self.force {
                return self.abort(now, reason, todo);
            }
            todo.push(Command::Note(Note::Forced(agent, reason)));
        }
        self.step(agent, Step::Planned, Step::Fit);
    }

    fn armed(&mut self, agent: AgentId, offset: Offset) {
        // Who arms without having been asked knows nothing of this run's order.
        if self.phase() != Phase::Arming {
            return;
        }
        if let Some(member) = self.members.get_mut(&agent).filter(|member| member.step < Step::Armed) {
            (member.step, member.offset) = (Step::Armed, Some(offset));
        }
    }

    fn finished(&mut self, agent: AgentId, todo: &mut Vec<Command>) {
        if !self.committed() {
            return;
        }
        if let Some(member) = self.members.get_mut(&agent) {
            member.step = Step::Finished;
            todo.push(Command::Tell(agent, Order::Bye));
        }
    }

    fn lose(&mut self, now: FleetTime, agent: AgentId, why: String, for_good: bool, todo: &mut Vec<Command>) {
        let Some(member) = self.members.get_mut(&agent) else { return };
        // After its last snapshot an agent may go as it likes, and the first reason given for a loss is the true one.
        if member.step == Step::Finished || gone(member) {
            return;
        }
        if let Some(known) = &mut member.lost {
            known.for_good |= for_good;
            return;
        }
        member.lost = Some(Loss { why: why.clone(), at: now, for_good });
        if self.phase() == Phase::Gathering {
            self.members.remove(&agent);
        }
        todo.push(Command::Note(Note::AgentLost(agent, why.clone())));
        if self.phase() > Phase::Gathering && !self.committed() {
            self.abort(now, format!("{agent} was lost before the burst: {why}"), todo);
        }
    }

    fn find_silent(&mut self, now: FleetTime, todo: &mut Vec<Command>) {
        let limit = self.timings.silence;
        let silent = self.members.iter().filter(|(_, member)| member.lost.is_none() && now > member.heard.after(limit));
        let silent: Vec<_> = silent.map(|(agent, _)| *agent).collect();
        for agent in silent {
            if !self.over() {
                self.lose(now, agent, format!("nothing heard for {} s", limit.as_secs_f32()), false, todo);
            }
        }
    }

    fn interrupt(&mut self, now: FleetTime, todo: &mut Vec<Command>) {
        if !self.committed() {
            return self.abort(now, format!("interrupted while {}", self.phase().doing()), todo);
        }
        if self.cut_short.is_some() || self.phase() == Phase::Draining {
            self.cut_short.get_or_insert_with(|| interrupted(Phase::Draining));
            return self.finish(now, todo);
        }
        self.drain(now, interrupted(self.phase()), todo);
    }

    fn drain(&mut self, now: FleetTime, ended: Ended, todo: &mut Vec<Command>) {
        self.cut_short = Some(ended);
        self.tell_all(&Order::Drain, todo);
        self.enter(Phase::Draining, now, todo);
    }

    fn abort(&mut self, now: FleetTime, reason: String, todo: &mut Vec<Command>) {
        self.tell_all(&Order::Abort(reason.clone()), todo);
        self.enter(Phase::Aborted, now, todo);
        todo.push(Command::Finish(Ended::Aborted { reason }));
    }

    fn finish(&mut self, now: FleetTime, todo: &mut Vec<Command>) {
        // Nobody listens any more to those who are still at it.
        let late = self.behind(Step::Finished).into_iter();
        todo.extend(late.map(|agent| Command::Tell(agent, Order::Abort("the run is over".to_owned()))));
        self.enter(Phase::Done, now, todo);
        todo.push(Command::Finish(self.cut_short.clone().unwrap_or(Ended::Complete)));
    }

    fn advance(&mut self, now: FleetTime, todo: &mut Vec<Command>) {
        let since = self.phases.last().map_or(now, |(_, since)| *since);
        let over_time = |bound: Duration| now > since.after(bound);
        match self.phase() {
            Phase::Gathering if self.members.len() >= self.expected as usize => {
                self.enter(Phase::Planning, now, todo);
                todo.extend(self.members.keys().zip(0..).map(|(agent, part)| Command::Tell(*agent, Order::Share(part))));
            }
            Phase::Gathering if over_time(self.timings.gather) => {
                let (joined, expected, gather) = (self.members.len(), self.expected, self.timings.gather.as_secs_f32());
                self.abort(
                    now,
                    format!(
                        "{joined} of {expected} agents joined within {gather} s: start the others, or raise agents.gather_timeout"
                    ),
                    todo,
                );
            }
            Phase::Planning if self.all_at(Step::Fit) => {
                let at = now.after(self.timings.doors_lead);
                self.doors_at = Some(at);
                self.enter(Phase::Doors, now, todo);
                self.tell_all(&Order::OpenDoors(at), todo);
            }
            Phase::Planning if over_time(self.timings.plan) => {
                self.give_up(now, Step::Fit, "did not get ready for its share", self.timings.plan, todo)
            }
            Phase::Doors if self.all_at(Step::Ready) => self.arm(now, todo),
            Phase::Doors if over_time(self.timings.doors_lead + self.timings.doors) => {
                todo.push(Command::Note(Note::DoorsOverdue(self.behind(Step::Ready))));
                self.arm(now, todo);
            }
            Phase::Arming if self.all_at(Step::Armed) => self.commit(now, todo),
            Phase::Arming if over_time(self.timings.arm) => self.give_up(now, Step::Armed, "did not arm", self.timings.arm, todo),
            Phase::Committed if self.t0.is_some_and(|t0| now >= t0) => self.enter(Phase::Burst, now, todo),
            Phase::Committed | Phase::Burst | Phase::Draining => self.close(now, todo),
            _ => {}
        }
    }

    fn arm(&mut self, now: FleetTime, todo: &mut Vec<Command>) {
        self.enter(Phase::Arming, now, todo);
        self.tell_all(&Order::Arm, todo);
    }

    fn commit(&mut self, now: FleetTime, todo: &mut Vec<Command>) {
        let t0 = whole_seconds_after(self.doors_at.unwrap_or(now), now.after(self.timings.commit_lead));
        self.t0 = Some(t0);
        self.enter(Phase::Committed, now, todo);
        self.tell_all(&Order::Commit(t0), todo);
    }

    /// Ends the burst or the run when nothing more is to come, or when what is to come takes too long.
    fn close(&mut self, now: FleetTime, todo: &mut Vec<Command>) {
        if self.nothing_more_comes(now) {
            return self.finish(now, todo);
        }
        let still: Vec<_> = self.behind(Step::Finished);
        let burst_over = self.t0.is_some_and(|t0| now > t0.after(self.timings.burst));
        let (phase, since) = self.phases.last().copied().unwrap_or((Phase::Burst, now));
        if phase == Phase::Burst && burst_over {
            let reason = format!("{} still voting {} s after T0", names(&still), self.timings.burst.as_secs_f32());
            self.drain(now, Ended::Partial { reason }, todo);
        } else if phase == Phase::Draining && now > since.after(self.timings.drain) {
            for agent in still {
                self.lose(
                    now,
                    agent,
                    format!("no last snapshot within {} s of draining", self.timings.drain.as_secs_f32()),
                    true,
                    todo,
                );
            }
            self.finish(now, todo);
        }
    }

    /// All who are there have finished, and who was lost has had its time to come back.
    fn nothing_more_comes(&self, now: FleetTime) -> bool {
        self.members.values().filter(|member| member.step < Step::Finished).all(|member| {
            let waited = |loss: &Loss| loss.for_good || now > loss.at.after(self.timings.rejoin);
            member.lost.as_ref().is_some_and(waited)
        })
    }

    fn give_up(&mut self, now: FleetTime, step: Step, what: &str, within: Duration, todo: &mut Vec<Command>) {
        let reason = format!("{} {what} within {} s", names(&self.behind(step)), within.as_secs_f32());
        self.abort(now, reason, todo);
    }

    fn all_at(&self, step: Step) -> bool {
        self.members.values().all(|member| member.step >= step)
    }

    /// Who is there and has not come so far.
    fn behind(&self, step: Step) -> Vec<AgentId> {
        self.members.iter().filter(|(_, member)| member.step < step && !gone(member)).map(|(agent, _)| *agent).collect()
    }
}

fn interrupted(phase: Phase) -> Ended {
    Ended::Partial { reason: format!("interrupted while {}", phase.doing()) }
}

fn gone(member: &Member) -> bool {
    member.lost.as_ref().is_some_and(|loss| loss.for_good)
}

/// The first instant not before `earliest` that lies a whole number of seconds after `from`.
fn whole_seconds_after(from: FleetTime, earliest: FleetTime) -> FleetTime {
    let nanos = earliest.0.saturating_sub(from.0).max(0);
    let seconds = nanos.div_euclid(SECOND_NS) + i64::from(nanos.rem_euclid(SECOND_NS) > 0);
    FleetTime(from.0.saturating_add(seconds.saturating_mul(SECOND_NS)))
}

const SECOND_NS: i64 = 1_000_000_000;

fn names(agents: &[AgentId]) -> String {
    agents.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
