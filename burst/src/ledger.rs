//! The ledger: what voters were told, held against what the ballot box counted.
//!
//! Sets as in Jepsen's `total-queue` checker, with one difference: a vote counted twice is a fault.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::expect::Accounts;
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
    /// How far its clock may be off, in nanoseconds: so much too soon it may have sent a vote that it meant to send in time.
    pub clock_bound_ns: i64,
}

/// The account of every planned vote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// Counted after the window and its grace.
    pub late: Option<u64>,
    /// Counted before the question opened, by more than the clock of the viewer's agent may be off.
    pub early: Option<u64>,
    /// Refused, and counted all the same.
    pub refused_but_counted: Option<u64>,
    /// Unknown to the viewer, but counted.
    pub recovered: Option<u64>,
    /// Ballots that came again after they had been counted: retries that the ballot box recognised or counted twice.
    pub repeated: Option<u64>,
    /// Viewers with a vote that was not counted within its window and grace. Without a ballot box: with one not accepted.
    /// Viewers of lost agents are left out, for nobody knows what they would have been told.
    pub complaints: u64,
    /// Viewers with at least one planned vote, lost agents' left out.
    pub voters: u64,
}

impl Ledger {
    /// Holds what agents reported against what was counted.
    #[must_use]
    pub fn reconcile(plan: &Plan, shares: &[ShareReport], ballots: Option<&[Ballot]>) -> Self {
        Self::with_accounts(plan, shares, ballots).0
    }

    /// The same, with the accounts of each question and of each kind of phone. Votes of lost agents are in neither of these.
    #[must_use]
    pub fn with_accounts(plan: &Plan, shares: &[ShareReport], ballots: Option<&[Ballot]>) -> (Self, Accounts) {
        let mut accounts = Accounts::of(&plan.scenario);
        let mut counted: Option<HashMap<u64, Ballot>> =
            ballots.map(|ballots| ballots.iter().map(|ballot| (ballot.ticket, *ballot)).collect());
        let mut ledger = Self { reconciled: ballots.is_some(), ..Self::default() };
        if let Some(ballots) = ballots {
            ledger.begin_reconciling(ballots);
        }
        for share in shares {
            let tickets = plan.tickets_of(&share.viewers);
            ledger.planned += tickets.len() as u64;
            let mut viewers: HashMap<u32, Vec<(u16, bool, bool)>> = HashMap::new();
            let fates = share.fates.as_ref().filter(|fates| fates.len() == tickets.len());
            for (index, ticket) in tickets.iter().enumerate() {
                let ballot = counted.as_mut().and_then(|counted| counted.remove(&u64::from(ticket.number)));
                let fate = fates.map(|fates| fates[index]);
                let in_time = ledger.enter(plan, ticket, fate, ballot, share.clock_bound_ns);
                if let Some(fate) = fate {
                    viewers.entry(ticket.viewer).or_default().push((ticket.question, fate == Fate::Accepted, in_time));
                }
            }
            if fates.is_none() {
                let accepted = share.accepted_seen.min(tickets.len() as u64);
                ledger.accepted += accepted;
                ledger.unknown += tickets.len() as u64 - accepted;
                ledger.unreported += tickets.len() as u64 - accepted;
            }
            ledger.voters += viewers.len() as u64;
            for (viewer, votes) in viewers {
                ledger.complaints += u64::from(votes.iter().any(|(.., in_time)| !in_time));
                accounts.enter(plan.viewer(viewer).phone, &votes);
            }
        }
        if let (Some(phantom), Some(rest)) = (&mut ledger.phantom, counted) {
            *phantom += rest.values().filter(|ballot| ballot.counted > 0).count() as u64;
        }
        (ledger, accounts)
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
    fn enter(&mut self, plan: &Plan, ticket: &Ticket, fate: Option<Fate>, ballot: Option<Ballot>, clock_ns: i64) -> bool {
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
        // An early vote fails a run whatever else is true, so the agent's own clock must not be what made it early.
        let early = ballot.first_counted_ns.saturating_add(clock_ns) < after(question.opens_at);
        let late = ballot.first_counted_ns >= after(question.opens_at + question.window + question.grace);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Draft;

    /// Fifty viewers, two questions, all told that their votes count.
    struct Show {
        plan: Plan,
        tickets: Vec<Ticket>,
        fates: Vec<Fate>,
        ballots: Vec<Ballot>,
        clock_bound_ns: i64,
    }

    impl Show {
        fn new() -> Self {
            let draft = Draft::read(include_str!("../../scenarios/smoke.toml"), "smoke.toml").unwrap().with_viewers(50);
            let plan = Plan::new(draft.resolve(&|_| Err(std::io::ErrorKind::NotFound.into())).unwrap());
            let tickets = plan.tickets_of(&(0..50));
            let ballots = tickets.iter().map(|ticket| Ballot {
                ticket: ticket.number.into(),
                question: ticket.question,
                choice: ticket.choice,
                receipts: 1,
                counted: 1,
                first_counted_ns: i64::try_from(ticket.planned_ns).unwrap() + 1_000,
            });
            let (fates, ballots) = (vec![Fate::Accepted; tickets.len()], ballots.collect());
            Self { plan, tickets, fates, ballots, clock_bound_ns: 0 }
        }

        /// When the question of this ticket opens, after T0.
        fn opens_at_ns(&self, ticket: usize) -> i64 {
            let question = &self.plan.scenario.questions[usize::from(self.tickets[ticket].question)];
            i64::try_from(question.opens_at.as_nanos()).unwrap()
        }

        fn ledger(&self) -> Ledger {
            let share = ShareReport {
                viewers: 0..50,
                fates: Some(self.fates.clone()),
                accepted_seen: 0,
                clock_bound_ns: self.clock_bound_ns,
            };
            Ledger::reconcile(&self.plan, &[share], Some(&self.ballots))
        }
    }

    fn figures(ledger: &Ledger) -> [u64; 8] {
        [
            ledger.lost,
            ledger.duplicated,
            ledger.phantom,
            ledger.miscounted,
            ledger.late,
            ledger.early,
            ledger.refused_but_counted,
            ledger.recovered,
        ]
        .map(Option::unwrap)
    }

    #[test]
    fn a_clean_show_balances() {
        let show = Show::new();
        let ledger = show.ledger();
        assert_eq!(figures(&ledger), [0; 8]);
        assert_eq!((ledger.planned, ledger.accepted), (show.tickets.len() as u64, show.tickets.len() as u64));
        assert_eq!((ledger.complaints, ledger.voters), (0, 50));
    }

    #[test]
    fn each_fault_is_found_and_nothing_else() {
        type Fault = (&'static str, fn(&mut Show), usize, u64);
        // What is done to the show, and the one figure that must tell it.
        let cases: [Fault; 9] = [
            ("lost", |show| show.ballots.retain(|ballot| ballot.ticket != u64::from(show.tickets[3].number)), 0, 1),
            ("acknowledged without being counted", |show| show.ballots[3].counted = 0, 0, 1),
            ("duplicated", |show| show.ballots[3].counted = 2, 1, 0),
            ("invented", |show| show.ballots.push(Ballot { ticket: 1 << 40, ..show.ballots[0] }), 2, 0),
            ("counted, though never sent", |show| show.fates[3] = Fate::NeverSent, 2, 0),
            ("another choice", |show| show.ballots[3].choice ^= 1, 3, 1),
            ("late", |show| show.ballots[3].first_counted_ns = 60_000_000_000, 4, 1),
            ("early", |show| show.ballots[3].first_counted_ns = -1, 5, 1),
            ("refused but counted", |show| show.fates[3] = Fate::Refused, 6, 0),
        ];
        for (what, fault, figure, complaints) in cases {
            let mut show = Show::new();
            fault(&mut show);
            let ledger = show.ledger();
            let mut expected = [0; 8];
            expected[figure] = 1;
            assert_eq!(figures(&ledger), expected, "{what}");
            assert_eq!(ledger.complaints, complaints, "{what}");
            assert_eq!(ledger.planned, ledger.accepted + ledger.refused + ledger.unknown + ledger.never_sent, "{what}");
        }
    }

    #[test]
    fn a_vote_is_early_only_by_more_than_its_agents_clock_may_be_off() {
        for (before_ns, early) in [(0, 0), (200_000, 0), (200_001, 1)] {
            let mut show = Show { clock_bound_ns: 200_000, ..Show::new() };
            show.ballots[3].first_counted_ns = show.opens_at_ns(3) - before_ns;
            assert_eq!((show.ledger().early, show.ledger().complaints), (Some(early), early), "{before_ns} ns too soon");
        }
    }

    #[test]
    fn an_unknown_vote_is_recovered_when_counted_and_no_fault_when_not() {
        let mut show = Show::new();
        show.fates[3] = Fate::Unknown;
        show.fates[4] = Fate::Unknown;
        show.ballots.remove(4);
        let ledger = show.ledger();
        assert_eq!((ledger.recovered, ledger.lost, ledger.unknown, ledger.complaints), (Some(1), Some(0), 2, 1));
    }

    #[test]
    fn retries_that_came_again_are_repeated_and_not_duplicated() {
        let mut show = Show::new();
        show.ballots[3].receipts = 3;
        assert_eq!((show.ledger().repeated, show.ledger().duplicated), (Some(2), Some(0)));
    }

    #[test]
    fn votes_of_a_lost_agent_are_unknown_but_for_those_it_had_reported() {
        let show = Show::new();
        let here = show.plan.tickets_of(&(0..30)).len();
        let shares = [
            ShareReport {
                viewers: 0..30,
                fates: Some(vec![Fate::Accepted; here]),
                accepted_seen: here as u64,
                clock_bound_ns: 0,
            },
            ShareReport { viewers: 30..50, fates: None, accepted_seen: 7, clock_bound_ns: 0 },
        ];
        let ledger = Ledger::reconcile(&show.plan, &shares, Some(&show.ballots));
        assert_eq!(ledger.accepted, here as u64 + 7);
        assert_eq!(ledger.unreported, (show.tickets.len() - here) as u64 - 7);
        assert_eq!((ledger.phantom, ledger.lost, ledger.voters), (Some(0), Some(0), 30));
    }

    #[test]
    fn without_a_ballot_box_nothing_is_claimed_of_it() {
        let show = Show::new();
        let mut fates = show.fates.clone();
        fates[0] = Fate::Refused;
        let share = ShareReport { viewers: 0..50, fates: Some(fates), accepted_seen: 0, clock_bound_ns: 0 };
        let ledger = Ledger::reconcile(&show.plan, &[share], None);
        assert_eq!((ledger.reconciled, ledger.lost, ledger.complaints), (false, None, 1));
    }
}
