//! Limits that stop a burst: held against the sum of the agents' newest snapshots while it is on.
//!
//! Snapshots are added up a few at each tick, as [`crate::live::Rounds`] does, so that a large fleet delays nobody's word. A look
//! is done when all are in the sum: once a second up to [`AGENTS_PER_S`] agents, every 16 s for 1,000. A limit stops the burst
//! when it is broken at two looks in a row, with samples that are large enough each time
//! ([`voteburst_burst::expect::Measure::enough`]) and with something new at the second, so that neither the first handful of votes nor one bad second does.

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use voteburst_burst::clock::FleetTime;
use voteburst_burst::expect::{Expected, Measure, Sample, Seen, Stopped, Value, Votes, voters};
use voteburst_burst::plan::Plan;
use voteburst_burst::tally::{ProxyTally, Tally};
use voteburst_proto::convert::Sealed;

use super::{Run, length};
use crate::conductor::{AgentId, Event, Phase};
use crate::progress::Progress;

/// Agents whose snapshots are decoded in a second.
const AGENTS_PER_S: usize = 64;
/// Of those, in a tick.
const AGENTS_PER_TICK: usize = 7;
/// Least time from the beginning of a look to that of the next, in nanoseconds.
const EVERY_NS: i64 = 1_000_000_000;
/// At how many looks in a row a limit is broken before it stops the burst.
const LOOKS: u32 = 2;

const _: () = assert!(AGENTS_PER_TICK * 10 >= AGENTS_PER_S);

/// The snapshots that are in the sum.
#[derive(Debug, Default)]
struct Sum {
    tally: Tally,
    /// Of the snapshots' numbers: what differs holds something new.
    seqs: u64,
    ended: u64,
    accepted: u64,
    connected: u64,
    /// Viewers of agents that told how many were connected at T0.
    told: u64,
}

/// A limit that stops the burst, and at how many looks in a row it was broken.
#[derive(Debug)]
struct Watched {
    expected: Expected,
    broken: u32,
}

/// Watches the limits that stop a burst.
#[derive(Debug)]
pub(super) struct Guard {
    limits: Vec<Watched>,
    fronts: Vec<IpAddr>,
    voters: u64,
    /// The agent to go on with; `None` between two looks.
    next: Option<u32>,
    began: Option<FleetTime>,
    sum: Sum,
    /// [`Sum::seqs`] of the last look.
    looked_at: u64,
}

impl Guard {
    /// A guard for the limits of a plan that are to stop it; `None` when there are none. `fronts` are all proxies known so far.
    pub(super) fn new(plan: &Plan, fronts: Vec<IpAddr>) -> Option<Self> {
        let limits = plan.scenario.thresholds.limits.iter().filter(|limit| limit.abort);
        let limits: Vec<_> = limits.map(|expected| Watched { expected: *expected, broken: 0 }).collect();
        if limits.is_empty() {
            return None;
        }
        let voters = voters(plan, &(0..plan.scenario.audience.viewers));
        Some(Self { limits, fronts, voters, next: None, began: None, sum: Sum::default(), looked_at: 0 })
    }

    /// Goes on with a look; tells what broke when it is done and something did. `viewers` tells the size of an agent's share.
    pub(super) fn tick<'a>(
        &mut self,
        plan: &Plan,
        times: Times,
        snapshots: impl Iterator<Item = &'a Sealed>,
        viewers: impl Fn(u32) -> u64,
    ) -> Option<Stopped> {
        if self.next.is_none() {
            if self.began.is_some_and(|began| times.now.0 - began.0 < EVERY_NS) {
                return None;
            }
            (self.next, self.began, self.sum) = (Some(0), Some(times.now), Sum::default());
        }
        let next = self.next?;
        let mut rest = snapshots.skip_while(|snapshot| snapshot.agent < next).peekable();
        for snapshot in rest.by_ref().take(AGENTS_PER_TICK) {
            self.add(snapshot, &viewers);
        }
        self.next = rest.peek().map(|snapshot| snapshot.agent);
        if self.next.is_some() { None } else { self.judge(plan, times) }
    }

    fn add(&mut self, snapshot: &Sealed, viewers: impl Fn(u32) -> u64) {
        snapshot.add_to(&mut self.sum.tally);
        self.sum.seqs = self.sum.seqs.wrapping_add(snapshot.seq);
        self.sum.ended += u64::from(snapshot.ended);
        self.sum.accepted += snapshot.counts.accepted;
        // Taking the head out of the bytes is work that few scenarios ask for.
        let asked = self.limits.iter().any(|limit| limit.expected.expectation.measure() == Measure::Connected);
        if let Some(connected) = asked.then(|| snapshot.head().connected_at_t0).flatten() {
            self.sum.connected += u64::from(connected);
            self.sum.told += viewers(snapshot.agent);
        }
    }

    fn judge(&mut self, plan: &Plan, times: Times) -> Option<Stopped> {
        let sum = std::mem::take(&mut self.sum);
        if std::mem::replace(&mut self.looked_at, sum.seqs) == sum.seqs {
            // Nobody has said anything since: the same evidence must not be held against a limit twice.
            return None;
        }
        let nothing = ProxyTally::default();
        let mut proxies = sum.tally.proxies();
        let missing = self.fronts.iter().filter(|front| !proxies.iter().any(|(known, _)| known == *front));
        let missing: Vec<_> = missing.map(|front| (*front, &nothing)).collect();
        proxies.extend(missing);
        let questions = plan.scenario.questions.len();
        let seen = Seen {
            scenario: &plan.scenario,
            proxies: &proxies,
            total: &sum.tally.total(),
            lookups: &sum.tally.lookups,
            t0_second: times.t0_second,
            votes: Some(Votes::so_far(plan.tickets.into(), self.voters, questions, sum.ended, sum.accepted)),
            connected: (sum.told > 0).then(|| sum.connected as f64 / sum.told as f64),
            ledger: None,
            accounts: None,
        };
        let t_s = (times.now.0 - times.t0.0) as f64 / 1e9;
        let mut stopped = None;
        for limit in &mut self.limits {
            let found = limit.expected.expectation.broken_by(&seen);
            limit.broken = if found.is_some() { limit.broken + 1 } else { 0 };
            if let Some(found) = found.filter(|_| limit.broken >= LOOKS && stopped.is_none()) {
                stopped = Some(told(&limit.expected, found, t_s));
            }
        }
        stopped
    }
}

impl Run {
    /// Drains a burst that breaks a limit which the scenario says to stop for.
    pub(super) fn watch_limits(&mut self) {
        let (Phase::Burst, Some(t0), Some(t0_second)) = (self.conductor.phase(), self.conductor.t0(), self.t0_second()) else {
            return;
        };
        let Some(mut guard) = self.guard.take() else { return };
        let times = Times { now: self.clock.now(), t0, t0_second };
        let viewers = |agent| self.part_of(AgentId(agent)).map_or(0, |part| length(&part.viewers).into());
        let stopped = guard.tick(&self.setup.plan, times, self.collection.all(), viewers);
        self.guard = Some(guard);
        if let Some(stopped) = stopped {
            self.show(Progress::Stopped(stopped.clone()));
            self.tell_conductor(Event::Broken(stopped));
        }
    }
}

/// When it is, in a burst.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) now: FleetTime,
    pub(super) t0: FleetTime,
    pub(super) t0_second: u32,
}

fn told(expected: &Expected, found: Sample, t_s: f64) -> Stopped {
    let expectation = expected.expectation;
    let figure = match found.value {
        Value::Figure(figure) => expectation.measure().unit().in_words(figure),
        Value::Beyond => "beyond every bound".to_owned(),
    };
    let measured = found.at.map_or_else(|| figure.clone(), |at| format!("{figure} at {at}"));
    Stopped { limit: expectation.to_string(), effect: expectation.effect(), t_s, measured }
}
