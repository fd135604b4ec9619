//! What there is to hold expectations against, in mid-burst or in the end: counts, from which each measure takes its samples.

use std::net::IpAddr;
use std::ops::Range;

use super::{Entry, Expectation, Measure, Quantile, Scope, Spread, Timing, Window};
use crate::ledger::Ledger;
use crate::outcome::Failure;
use crate::plan::Plan;
use crate::scenario::Scenario;
use crate::skew::Skew;
use crate::tally::{Latency, Lookups, PhoneGroup, ProxyTally, Second};

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// In the unit of its measure.
    Figure(f64),
    /// Greater than every figure: a quantile of votes that were never accepted.
    Beyond,
}

/// One figure, and of what.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The proxy, question or kind of phone; `None` of all.
    pub at: Option<String>,
    /// The figure.
    pub value: Value,
    /// How many events it is taken from.
    pub events: u64,
}

/// The votes of some viewers on some questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Votes planned, of agents that told what became of them.
    pub planned: u64,
    /// Of those, votes whose viewers were told that they count.
    pub accepted: u64,
    /// Viewers with such a vote.
    pub voters: u64,
    /// Of those, viewers with a vote that was not counted in time; without a ballot box, not accepted.
    pub complaints: u64,
}

/// Accounts of each question and of each kind of phone, by position in the scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Of each question.
    pub questions: Vec<Account>,
    /// Of each kind of phone.
    pub phones: Vec<Account>,
}

impl Accounts {
    /// Nothing yet of any of them.
    #[must_use]
    pub fn of(scenario: &Scenario) -> Self {
        let none = |length| vec![Account::default(); length];
        Self { questions: none(scenario.questions.len()), phones: none(scenario.audience.phones.len()) }
    }

    /// Enters all votes of one viewer: of each its question, whether it was accepted, and whether it was counted in time.
    pub(crate) fn enter(&mut self, phone: u8, votes: &[(u16, bool, bool)]) {
        if let Some(account) = self.phones.get_mut(usize::from(phone)) {
            account.planned += votes.len() as u64;
            account.accepted += votes.iter().filter(|(_, accepted, _)| *accepted).count() as u64;
            account.voters += 1;
            account.complaints += u64::from(votes.iter().any(|(.., in_time)| !in_time));
        }
        for (question, accepted, in_time) in votes {
            // A viewer has at most one vote on a question.
            if let Some(account) = self.questions.get_mut(usize::from(*question)) {
                account.planned += 1;
                account.accepted += u64::from(*accepted);
                account.voters += 1;
                account.complaints += u64::from(!in_time);
            }
        }
    }
}

/// The votes of all, as far as their fates are known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Votes {
    /// Votes that response times are held against: those that have their fate, in the end all that agents reported.
    pub judged: u64,
    /// Share of planned votes that were accepted; in mid-burst, that still can be.
    pub accepted: Option<f64>,
    /// Share of voters with a vote that was not counted in time; in mid-burst, the least it will be as viewers see it.
    pub complaints: Option<f64>,
}

impl Votes {
    /// The votes of a run that is over. `None` for shares of nothing.
    #[must_use]
    pub fn of(ledger: &Ledger) -> Self {
        Self {
            judged: ledger.planned.saturating_sub(ledger.unreported),
            accepted: share(ledger.accepted, ledger.planned),
            complaints: share(ledger.complaints, ledger.voters),
        }
    }

    /// The votes of a burst that is on: so many planned for so many voters on so many questions, so many with their fate, and of
    /// those so many accepted.
    ///
    /// What ended without being accepted stays so. Each viewer has at most one such vote per question, and complains once.
    #[must_use]
    pub fn so_far(planned: u64, voters: u64, questions: usize, ended: u64, accepted: u64) -> Self {
        let not = ended.saturating_sub(accepted);
        Self {
            judged: ended,
            accepted: share(planned.saturating_sub(not), planned),
            complaints: share(not.div_ceil(questions.max(1) as u64), voters),
        }
    }
}

fn share(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

/// Everything that expectations can be held against.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// For the names of questions and phones.
    pub scenario: &'a Scenario,
    /// Every proxy of the zone; those that got nothing count in a skew.
    pub proxies: &'a [(IpAddr, &'a ProxyTally)],
    /// All of it added up, with what has no proxy.
    pub total: &'a ProxyTally,
    /// What phones made of DNS.
    pub lookups: &'a Lookups,
    /// The second of every tally that begins at T0.
    pub t0_second: u32,
    /// What became of the votes; `None` when none could be cast, for then nothing was tried.
    pub votes: Option<Votes>,
    /// Share of viewers connected at T0, when enough agents told.
    pub connected: Option<f64>,
    /// The account of votes; `None` in mid-burst.
    pub ledger: Option<&'a Ledger>,
    /// The same by question and by kind of phone; `None` in mid-burst.
    pub accounts: Option<&'a Accounts>,
}

impl Seen<'_> {
    /// The figures of an expectation's measure at each place of its scope; none where there was nothing to measure.
    #[must_use]
    pub fn samples(&self, expectation: &Expectation) -> Vec<Sample> {
        // A burst in which no vote could be cast has tried nothing but the doors.
        let Some(votes) = self.votes else { return Vec::new() };
        match (expectation.measure(), expectation.scope()) {
            (Measure::Timing(timing, quantile), Scope::Proxy) => {
                self.at_proxies(|proxy| latency(timing_of(proxy, timing), quantile, None))
            }
            (Measure::Timing(timing, quantile), _) => {
                let of = (timing == Timing::Response).then_some(votes.judged);
                total(latency(timing_of(self.total, timing), quantile, of))
            }
            (Measure::Failures(class), Scope::Proxy) => self.at_proxies(|proxy| failures(proxy, class)),
            (Measure::Failures(class), _) => total(failures(self.total, class)),
            (Measure::PeakOpen, _) => self.at_proxies(|proxy| {
                let peak = proxy.open_by_second().into_iter().max()?;
                Some((Value::Figure(peak as f64), peak.unsigned_abs()))
            }),
            (Measure::Accepted, Scope::Question | Scope::Phone) => {
                self.accounts_at(expectation.scope(), |account| (account.accepted, account.planned))
            }
            (Measure::Complaints, Scope::Question | Scope::Phone) => {
                self.accounts_at(expectation.scope(), |account| (account.complaints, account.voters))
            }
            (Measure::Accepted, _) => total(votes.accepted.map(|share| (Value::Figure(share), votes.judged))),
            (Measure::Complaints, _) => total(votes.complaints.map(|share| (Value::Figure(share), votes.judged))),
            (Measure::Connected, _) => total(self.connected.map(|share| (Value::Figure(share), 0))),
            (Measure::Skew(Spread::Connections, window), Scope::Phone) => self.skews_of_phones(window),
            (Measure::Skew(spread, window), _) => {
                let (from, count): (_, fn(&Second) -> u32) = match spread {
                    Spread::Votes => (self.t0_second, |second| second.sent),
                    Spread::Connections => (0, |second| second.opened),
                };
                let seconds =
                    |proxy: &ProxyTally| proxy.seconds.iter().skip(from as usize).map(|second| count(second).into()).collect();
                let counts: Vec<Vec<u64>> = self.proxies.iter().map(|(_, proxy)| seconds(proxy)).collect();
                total(skew(&counts, window))
            }
            (Measure::Ledger(entry), _) => {
                let count = self.ledger.and_then(|ledger| entry_of(ledger, entry));
                total(count.map(|count| (Value::Figure(count as f64), count)))
            }
        }
    }

    fn at_proxies(&self, sample: impl Fn(&ProxyTally) -> Option<(Value, u64)>) -> Vec<Sample> {
        let samples = self.proxies.iter().filter_map(|(address, proxy)| {
            sample(proxy).map(|(value, events)| Sample { at: Some(address.to_string()), value, events })
        });
        samples.collect()
    }

    fn accounts_at(&self, scope: Scope, parts: impl Fn(&Account) -> (u64, u64)) -> Vec<Sample> {
        let Some(accounts) = self.accounts else { return Vec::new() };
        let (accounts, names): (_, Vec<_>) = match scope {
            Scope::Phone => (&accounts.phones, self.phone_names().collect()),
            _ => (&accounts.questions, self.scenario.questions.iter().map(|question| question.id.clone()).collect()),
        };
        let samples = names.into_iter().zip(accounts).filter_map(|(name, account)| {
            let (part, of) = parts(account);
            Some(Sample { at: Some(name), value: Value::Figure(share(part, of)?), events: of })
        });
        samples.collect()
    }

    fn phone_names(&self) -> impl Iterator<Item = String> {
        self.scenario.audience.phones.iter().map(|phone| phone.name.clone())
    }

    fn skews_of_phones(&self, window: Window) -> Vec<Sample> {
        let opened = |group: &PhoneGroup, address: &IpAddr| {
            group.opened.get(address).map(|seconds| seconds.iter().copied().map(u64::from).collect()).unwrap_or_default()
        };
        let samples = self.phone_names().zip(0_u8..).filter_map(|(name, phone)| {
            let group = self.lookups.phones.get(&phone)?;
            let counts: Vec<Vec<u64>> = self.proxies.iter().map(|(address, _)| opened(group, address)).collect();
            skew(&counts, window).map(|(value, events)| Sample { at: Some(name), value, events })
        });
        samples.collect()
    }
}

fn total(found: Option<(Value, u64)>) -> Vec<Sample> {
    found.map(|(value, events)| Sample { at: None, value, events }).into_iter().collect()
}

fn timing_of(tally: &ProxyTally, timing: Timing) -> &Latency {
    match timing {
        Timing::Response => &tally.response,
        Timing::Service => &tally.service,
        Timing::Lateness => &tally.lateness,
    }
}

/// A quantile over the values counted, or over so many of which the others are greater than any.
fn latency(latency: &Latency, quantile: Quantile, of: Option<u64>) -> Option<(Value, u64)> {
    let all = of.unwrap_or_else(|| latency.len()).max(latency.len());
    if all == 0 {
        return None;
    }
    let quantile = quantile.share() * all as f64 / latency.len().max(1) as f64;
    let figure = (quantile <= 1.0).then(|| latency.quantile_ms(quantile)).flatten();
    Some((figure.map_or(Value::Beyond, Value::Figure), all))
}

fn failures(tally: &ProxyTally, class: Option<Failure>) -> Option<(Value, u64)> {
    let total = tally.total();
    let all = total.failed_total() + u64::from(total.accepted);
    let failed = class.map_or_else(|| total.failed_total(), |class| total.failed[class as usize].into());
    Some((Value::Figure(share(failed, all)?), all))
}

fn skew(counts: &[Vec<u64>], window: Window) -> Option<(Value, u64)> {
    let skew = Skew::of(counts)?;
    let figure = match window {
        Window::Total => Some(skew.total),
        Window::Peak1s => skew.peak_1s,
        Window::Peak5s => skew.peak_5s,
    };
    // For each proxy, as the rule for windows has it.
    let events = counts.iter().flatten().sum::<u64>() / counts.len().max(1) as u64;
    Some((Value::Figure(figure?), events))
}

fn entry_of(ledger: &Ledger, entry: Entry) -> Option<u64> {
    match entry {
        Entry::Lost => ledger.lost,
        Entry::Duplicated => ledger.duplicated,
        Entry::Phantom => ledger.phantom,
        Entry::Miscounted => ledger.miscounted,
        Entry::Late => ledger.late,
        Entry::Early => ledger.early,
        Entry::RefusedButCounted => ledger.refused_but_counted,
        Entry::Recovered => ledger.recovered,
        Entry::Repeated => ledger.repeated,
        Entry::Refused => Some(ledger.refused),
        Entry::Unknown => Some(ledger.unknown),
        Entry::NeverSent => Some(ledger.never_sent),
    }
}

/// How many of these viewers have a vote in the plan.
#[must_use]
pub fn voters(plan: &Plan, viewers: &Range<u32>) -> u64 {
    let votes = |viewer: &u32| (0..plan.scenario.questions.len()).any(|question| plan.ticket(question, *viewer).is_some());
    viewers.clone().filter(votes).count() as u64
}
