//! The ledger: what voters were told, held against what the ballot box counted.
//!
//! Sets as in Jepsen's `total-queue` checker, with one difference: a vote counted twice is a fault.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::outcome::Fate;
use crate::plan::{Plan, Ticket};

/// What the ballot box holds under one ballot id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ballot {
    /// The ticket it names.
    pub ticket: u64,
    /// The question, by position in the scenario.
    pub question: u16,
    /// The choice, by position in the question.
    pub choice: u16,
    /// How often it came.
    pub receipts: u32,
    /// How often it was counted.
    pub counted: u32,
    /// When it was first counted, in nanoseconds after T0.
    pub first_counted_ns: i64,
}

/// What one agent reported of its share.
#[derive(Clone, Debug)]
pub struct ShareReport {
    /// Its viewers.
    pub viewers: Range<u32>,
    /// One fate per ticket in plan order; `None` when the agent was lost before it could say.
    pub fates: Option<Vec<Fate>>,
    /// Votes accepted by its last snapshot: all that is known of a lost agent.
    pub accepted_seen: u64,
}

/// The account of every planned vote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Votes planned: the sum of the next four.
    pub planned: u64,
    /// Votes whose viewers were told that they count.
    pub accepted: u64,
    /// Votes answered otherwise.
    pub refused: u64,
    /// Votes of which nobody can say: sent without an answer, or of a lost agent.
    pub unknown: u64,
    /// Votes of which no byte left.
    pub never_sent: u64,
    /// Of the unknown ones, those of agents that were lost before they reported.
    pub unreported: u64,
    /// Whether a ballot box was there to reconcile with. Without one the fields below, but for complaints, are `None`.
    pub reconciled: bool,
    /// Accepted, but not counted.
    pub lost: Option<u64>,
    /// Counted more than once.
    pub duplicated: Option<u64>,
    /// Counted, but never planned; or planned and certainly never sent.
    pub phantom: Option<u64>,
    /// Counted for another question or choice than the viewer's.
    pub miscounted: Option<u64>,
    /// Counted after the window closed.
    pub late: Option<u64>,
    /// Counted before the question opened.
    pub early: Option<u64>,
    /// Refused, and counted all the same.
    pub refused_but_counted: Option<u64>,
    /// Unknown to the viewer, but counted.
    pub recovered: Option<u64>,
    /// Ballots that came again after they had been counted: retries that the ballot box recognised or counted twice.
    pub repeated: Option<u64>,
    /// Viewers with a vote that was not counted within its window. Without a ballot box: with one not accepted.
    /// Viewers of lost agents are left out, for nobody knows what they would have been told.
    pub complaints: u64,
    /// Viewers with at least one planned vote, lost agents' left out.
    pub voters: u64,
}

impl Ledger {
    /// Holds what agents reported against what was counted.
    #[must_use]
    pub fn reconcile(plan: &Plan, shares: &[ShareReport], ballots: Option<&[Ballot]>) -> Self {
        let mut counted: Option<HashMap<u64, Ballot>> =
            ballots.map(|ballots| ballots.iter().map(|ballot| (ballot.ticket, *ballot)).collect());
        let mut ledger = Self { reconciled: ballots.is_some(), ..Self::default() };
        if let Some(ballots) = ballots {
            ledger.begin_reconciling(ballots);
        }
        for share in shares {
            let tickets = plan.tickets_of(&share.viewers);
            ledger.planned += tickets.len() as u64;
            let mut viewers: HashMap<u32, bool> = HashMap::new();
            let fates = share.fates.as_ref().filter(|fates| fates.len() == tickets.len());
            for (index, ticket) in tickets.iter().enumerate() {
                let ballot = counted.as_mut().and_then(|counted| counted.remove(&u64::from(ticket.number)));
                let fate = fates.map(|fates| fates[index]);
                let in_time = ledger.enter(plan, ticket, fate, ballot);
                if fate.is_some() {
                    *viewers.entry(ticket.viewer).or_insert(true) &= in_time;
                }
            }
            if fates.is_none() {
                let accepted = share.accepted_seen.min(tickets.len() as u64);
                ledger.accepted += accepted;
                ledger.unknown += tickets.len() as u64 - accepted;
                ledger.unreported += tickets.len() as u64 - accepted;
            }
            ledger.voters += viewers.len() as u64;
            ledger.complaints += viewers.values().filter(|in_time| !**in_time).count() as u64;
        }
        if let (Some(phantom), Some(rest)) = (&mut ledger.phantom, counted) {
            *phantom += rest.values().filter(|ballot| ballot.counted > 0).count() as u64;
        }
        ledger
    }

    fn begin_reconciling(&mut self, ballots: &[Ballot]) {
        self.repeated = Some(ballots.iter().map(|ballot| u64::from(ballot.receipts.saturating_sub(1))).sum());
        for figure in [
            &mut self.lost,
            &mut self.duplicated,
            &mut self.phantom,
            &mut self.miscounted,
            &mut self.late,
            &mut self.early,
            &mut self.refused_but_counted,
            &mut self.recovered,
        ] {
            *figure = Some(0);
        }
    }

    /// Enters one ticket; tells whether its vote stands within the window.
    fn enter(&mut self, plan: &Plan, ticket: &Ticket, fate: Option<Fate>, ballot: Option<Ballot>) -> bool {
        match fate {
            Some(Fate::Accepted) => self.accepted += 1,
            Some(Fate::Refused) => self.refused += 1,
            Some(Fate::Unknown) => self.unknown += 1,
            Some(Fate::NeverSent) => self.never_sent += 1,
            None => {}
        }
        if !self.reconciled {
            return fate == Some(Fate::Accepted);
        }
        let Some(ballot) = ballot.filter(|ballot| ballot.counted > 0) else {
            add(&mut self.lost, fate == Some(Fate::Accepted));
            return false;
        };
        let question = &plan.scenario.questions[usize::from(ticket.question)];
        let after = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        let early = ballot.first_counted_ns < after(question.opens_at);
        let late = ballot.first_counted_ns >= after(question.opens_at + question.window);
        let right = (ballot.question, ballot.choice) == (ticket.question, ticket.choice);
        add(&mut self.duplicated, ballot.counted > 1);
        add(&mut self.miscounted, !right);
        add(&mut self.early, early);
        add(&mut self.late, late);
        add(&mut self.phantom, fate == Some(Fate::NeverSent));
        add(&mut self.refused_but_counted, fate == Some(Fate::Refused));
        add(&mut self.recovered, fate == Some(Fate::Unknown));
        right && !early && !late
    }
}

fn add(figure: &mut Option<u64>, one: bool) {
    if let Some(figure) = figure {
        *figure += u64::from(one);
    }
}
