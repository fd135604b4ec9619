//! The plan: what exactly will happen, derived from the scenario alone.
//!
//! Every agent derives the plan itself and must come to the same hash, so nothing that matters can differ
//! between the scenario that was read and the one that is played.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::draw::{Stream, draw, unit};
use crate::scenario::Scenario;

/// Version of the wire protocol and of the rules by which a plan is derived. Part of every plan hash.
pub const PROTOCOL: u32 = 2;

/// One planned vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Its number in the plan: question × viewers + viewer. Not every number is taken, for not everybody votes.
    pub number: u32,
    /// Who votes.
    pub viewer: u32,
    /// On which question, by position in the scenario.
    pub question: u16,
    /// For which choice, by position in the question.
    pub choice: u16,
    /// When, in nanoseconds after T0.
    pub planned_ns: u64,
}

/// What is fixed about one viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// The kind of phone, by position in the scenario's audience.
    pub phone: u8,
    /// The carrier, by position in the scenario.
    pub carrier: u16,
    /// When the viewer opens the app, after the doors open.
    pub enters_after: Duration,
}

/// Identifies a plan: SHA-256 over protocol version, canonical scenario and every ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlanHash(pub [u8; 32]);

impl fmt::Display for PlanHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What will happen: the scenario, and the counts and the hash of its tickets.
///
/// The tickets themselves are derived where they are needed ([`Plan::tickets_of`]): an agent keeps its own share only.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The scenario it was derived from.
    pub scenario: Scenario,
    /// The identity of this plan.
    pub hash: PlanHash,
    /// The identity of its tickets alone, whatever they are played on: equal for the same burst under different zones.
    pub tickets_hash: PlanHash,
    /// How many votes are planned.
    pub tickets: u32,
    /// How many of them for each question and each of its choices.
    pub choices: Vec<Vec<u32>>,
    phone_bounds: Vec<f64>,
    carrier_bounds: Vec<f64>,
    choice_bounds: Vec<Vec<f64>>,
}

impl Plan {
    /// Derives the plan. The same scenario gives the same plan on every machine.
    #[must_use]
    pub fn new(scenario: Scenario) -> Self {
        let phone_bounds = bounds(scenario.audience.phones.iter().map(|phone| phone.share));
        let carrier_bounds = bounds(scenario.carriers.list.iter().map(|carrier| carrier.share));
        let choice_bounds =
            scenario.questions.iter().map(|question| bounds(question.choices.iter().map(|choice| choice.share))).collect();
        let choices = scenario.questions.iter().map(|question| vec![0; question.choices.len()]).collect();
        let mut plan = Self {
            scenario,
            hash: PlanHash([0; 32]),
            tickets_hash: PlanHash([0; 32]),
            tickets: 0,
            choices,
            phone_bounds,
            carrier_bounds,
            choice_bounds,
        };
        plan.count_and_hash();
        plan
    }

    /// What is fixed about a viewer, by number from 0.
    #[must_use]
    pub fn viewer(&self, viewer: u32) -> Viewer {
        let Scenario { seed, audience, .. } = &self.scenario;
        let part = |stream| unit(draw(*seed, stream, u64::from(viewer)));
        Viewer {
            phone: u8::try_from(pick(&self.phone_bounds, part(Stream::Phone))).unwrap_or(u8::MAX),
            carrier: u16::try_from(pick(&self.carrier_bounds, part(Stream::Carrier))).unwrap_or(u16::MAX),
            enters_after: audience.doors_open.mul_f64(part(Stream::Doors)),
        }
    }

    /// Cuts the audience into contiguous ranges of viewers whose sizes differ by one at most.
    ///
    /// No more agents than viewers get a share; at least one does.
    #[must_use]
    pub fn shares(&self, agents: u32) -> Vec<Range<u32>> {
        let viewers = u64::from(self.scenario.audience.viewers);
        let agents = u64::from(agents).clamp(1, viewers.max(1));
        let edge = |agent: u64| u32::try_from(viewers * agent / agents).unwrap_or(u32::MAX);
        (0..agents).map(|agent| edge(agent)..edge(agent + 1)).collect()
    }

    /// The tickets of these viewers in plan order: by planned instant, then by number.
    #[must_use]
    pub fn tickets_of(&self, viewers: &Range<u32>) -> Vec<Ticket> {
        let mut tickets: Vec<_> = (0..self.scenario.questions.len())
            .flat_map(|question| viewers.clone().filter_map(move |viewer| self.ticket(question, viewer)))
            .collect();
        tickets.sort_unstable_by_key(|ticket| (ticket.planned_ns, ticket.number));
        tickets
    }

    /// How many votes these viewers are to cast in each second from T0 on, up to the last in which any is due.
    #[must_use]
    pub fn votes_by_second(&self, viewers: &Range<u32>) -> Vec<u32> {
        let mut seconds = Vec::new();
        for question in 0..self.scenario.questions.len() {
            for ticket in viewers.clone().filter_map(|viewer| self.ticket(question, viewer)) {
                // Arrivals lie within their windows, and windows are bounded when a scenario is read.
                let second = (ticket.planned_ns / 1_000_000_000) as usize;
                if seconds.len() <= second {
                    seconds.resize(second + 1, 0);
                }
                seconds[second] += 1;
            }
        }
        seconds
    }

    /// The second after T0 in which these viewers cast the most votes, and how many; `None` when none of them votes.
    #[must_use]
    pub fn busiest_second(&self, viewers: &Range<u32>) -> Option<(u64, u32)> {
        let seconds = self.votes_by_second(viewers).into_iter().enumerate().filter(|(_, votes)| *votes > 0);
        // The first of several that are equally busy.
        seconds.map(|(second, votes)| (second as u64, votes)).rev().max_by_key(|(_, votes)| *votes)
    }

    /// From T0 to the close of the last window.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.scenario.questions.iter().map(|question| question.opens_at + question.window).max().unwrap_or_default()
    }

    /// The vote of a viewer on a question; `None` when it does not vote on that.
    pub(crate) fn ticket(&self, question: usize, viewer: u32) -> Option<Ticket> {
        let Scenario { seed, audience, questions, .. } = &self.scenario;
        let number = u32::try_from(question as u64 * u64::from(audience.viewers) + u64::from(viewer)).ok()?;
        let asked = &questions[question];
        if unit(draw(*seed, Stream::Turnout, u64::from(number))) >= asked.turnout {
            return None;
        }
        let choice = pick(&self.choice_bounds[question], unit(draw(*seed, Stream::Choice, u64::from(number))));
        let offset = asked.arrivals.offset_ns(*seed, u64::from(number), viewer, asked.window);
        Some(Ticket {
            number,
            viewer,
            question: u16::try_from(question).ok()?,
            choice: u16::try_from(choice).ok()?,
            planned_ns: u64::try_from(asked.opens_at.as_nanos()).ok()? + offset,
        })
    }

    fn count_and_hash(&mut self) {
        let mut hash = Sha256::new();
        hash.update(PROTOCOL.to_be_bytes());
        hash.update(self.scenario.to_toml());
        let mut tickets = Sha256::new();
        for question in 0..self.scenario.questions.len() {
            for viewer in 0..self.scenario.audience.viewers {
                let Some(ticket) = self.ticket(question, viewer) else { continue };
                self.tickets += 1;
                self.choices[question][usize::from(ticket.choice)] += 1;
                tickets.update(ticket.number.to_be_bytes());
                tickets.update(ticket.choice.to_be_bytes());
                tickets.update(ticket.planned_ns.to_be_bytes());
            }
        }
        self.tickets_hash = PlanHash(tickets.finalize().into());
        hash.update(self.tickets_hash.0);
        self.hash = PlanHash(hash.finalize().into());
    }
}

/// Upper ends of the intervals that shares cut out of [0, 1).
fn bounds(shares: impl Iterator<Item = f64>) -> Vec<f64> {
    shares
        .scan(0.0, |sum, share| {
            *sum += share;
            Some(*sum)
        })
        .collect()
}

/// The interval that a number in [0, 1) falls into; the last one takes what rounding left over.
fn pick(bounds: &[f64], part: f64) -> usize {
    bounds.partition_point(|bound| *bound <= part).min(bounds.len().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scenario::Draft;

    fn plan(viewers: u32, seed: u32) -> Plan {
        let draft = Draft::read(include_str!("../../scenarios/smoke.toml"), "smoke.toml").unwrap();
        let no_files = |_: &str| Err(std::io::ErrorKind::NotFound.into());
        Plan::new(draft.with_viewers(viewers).with_seed(seed).resolve(&no_files).unwrap())
    }

    #[test]
    fn the_same_scenario_and_seed_give_the_same_plan_and_another_seed_gives_another() {
        let (one, again, other) = (plan(800, 7), plan(800, 7), plan(800, 8));
        assert_eq!(one.hash, again.hash);
        assert_eq!(one.tickets_of(&(0..800)), again.tickets_of(&(0..800)));
        assert_eq!(one.choices, again.choices);
        assert_ne!(one.hash, other.hash);
    }

    #[test]
    fn another_zone_is_another_plan_of_the_same_votes() {
        let under = |zone| {
            let draft = Draft::read(include_str!("../../scenarios/smoke.toml"), "smoke.toml").unwrap().with_zone(zone);
            Plan::new(draft.resolve(&|_| Err(std::io::ErrorKind::NotFound.into())).unwrap())
        };
        let (one, other) = (under(crate::zone::ZonePolicy::SingleAWeighted), under(crate::zone::ZonePolicy::Multivalue));
        assert_ne!(one.hash, other.hash);
        assert_eq!(one.tickets_hash, other.tickets_hash);
    }

    #[test]
    fn counts_are_those_of_the_tickets() {
        let plan = plan(1_000, 7);
        let tickets = plan.tickets_of(&(0..1_000));
        assert_eq!(plan.tickets as usize, tickets.len());
        for (question, choices) in plan.choices.iter().enumerate() {
            for (choice, count) in choices.iter().enumerate() {
                let of_choice =
                    |ticket: &&Ticket| (usize::from(ticket.question), usize::from(ticket.choice)) == (question, choice);
                assert_eq!(tickets.iter().filter(of_choice).count(), *count as usize);
            }
        }
        // Everybody votes on the first question; on the second half do: 500 with a standard deviation of 16.
        assert_eq!(plan.choices[0].iter().sum::<u32>(), 1_000);
        assert!((420..=580).contains(&plan.choices[1].iter().sum::<u32>()), "{:?}", plan.choices);
    }

    proptest! {
        #[test]
        fn however_the_audience_is_shared_the_tickets_are_the_same(viewers in 1_u32..300, agents in 1_u32..40) {
            let plan = plan(viewers, 3);
            let shares = plan.shares(agents);
            prop_assert_eq!(shares.first().unwrap().start, 0);
            prop_assert_eq!(shares.last().unwrap().end, viewers);
            prop_assert!(shares.windows(2).all(|pair| pair[0].end == pair[1].start));
            let sizes: Vec<usize> = shares.iter().map(ExactSizeIterator::len).collect();
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{:?}", sizes);
            let mut together: Vec<Ticket> = shares.iter().flat_map(|share| plan.tickets_of(share)).collect();
            together.sort_unstable_by_key(|ticket| (ticket.planned_ns, ticket.number));
            prop_assert_eq!(together, plan.tickets_of(&(0..viewers)));
        }
    }

    #[test]
    fn tickets_lie_within_their_windows_and_carry_distinct_numbers() {
        let plan = plan(1_000, 7);
        let tickets = plan.tickets_of(&(0..1_000));
        for ticket in &tickets {
            let question = &plan.scenario.questions[usize::from(ticket.question)];
            let planned = Duration::from_nanos(ticket.planned_ns);
            assert!(planned >= question.opens_at && planned < question.opens_at + question.window, "{ticket:?}");
        }
        let mut numbers: Vec<u32> = tickets.iter().map(|ticket| ticket.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), tickets.len());
        assert_eq!(plan.duration(), Duration::from_secs(7));
    }

    #[test]
    fn viewers_fall_on_carriers_by_their_shares() {
        let plan = plan(20_000, 7);
        let mut counts = vec![0_u32; plan.scenario.carriers.list.len()];
        for viewer in 0..20_000 {
            counts[usize::from(plan.viewer(viewer).carrier)] += 1;
        }
        for (count, carrier) in counts.iter().zip(&plan.scenario.carriers.list) {
            // Five standard deviations of a binomial count.
            let (mean, five) = (20_000.0 * carrier.share, 5.0 * (20_000.0 * carrier.share * (1.0 - carrier.share)).sqrt());
            assert!((f64::from(*count) - mean).abs() < five, "{counts:?}");
        }
    }

    #[test]
    fn picking_covers_every_interval_and_nothing_else() {
        let bounds = bounds([0.2, 0.0, 0.8].into_iter());
        assert_eq!([0.0, 0.19, 0.2, 0.99].map(|part| pick(&bounds, part)), [0, 0, 2, 2]);
        assert_eq!(pick(&[0.3, 0.999_99], 0.999_999), 1);
    }
}
