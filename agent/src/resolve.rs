//! What a viewer's phone makes of the name: its own memory first, then its carrier.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, join, select};
use tokio::sync::Mutex;
use tokio::time::timeout;
use voteburst_burst::draw::{Stream, draw};
use voteburst_burst::outcome::Failure;
use voteburst_burst::phone::{CacheScope, Families, PhoneMemory, PhoneModel, PickOrder, Recalled};
use voteburst_burst::plan::Viewer;
use voteburst_burst::scenario::{Dns, Scenario};
use voteburst_burst::tally::LookupFailure;
use voteburst_dns::stub::{AskError, Kind, NotAName, Query, Question, Reply, ask};

use crate::clock::Clock;

/// A name that was not resolved.
#[derive(Debug)]
pub(crate) struct NotResolved {
    pub(crate) class: Failure,
    pub(crate) failure: LookupFailure,
    pub(crate) what: String,
}

/// A name that was resolved: where the phone connects, in the order in which it tries.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// At least one.
    pub(crate) addresses: Vec<IpAddr>,
    /// The first address of the answer and how long that took, in nanoseconds; `None` when the phone's own memory had it.
    pub(crate) answered: Option<(IpAddr, u64)>,
}

/// An address by its number in the agent's book: every viewer may remember a few.
type Short = u16;

/// Resolves the scenario's name for the viewers of one agent.
pub(crate) struct Resolver {
    dns: Dns,
    questions: [Question; 2],
    carriers: Vec<SocketAddr>,
    recursion_desired: bool,
    seed: u64,
    /// Counts queries, for their ids; begins apart from those of other agents.
    queries: Cell<u64>,
    /// Counts connections, for the order in which phones try.
    picks: Cell<u64>,
    /// Every address seen, by its number.
    book: RefCell<Vec<IpAddr>>,
    phones: RefCell<Vec<PhoneMemory<Short>>>,
    /// For each kind of phone, the process that plays all viewers of this kind.
    processes: Vec<Process>,
}

/// A process that plays many viewers.
#[derive(Default)]
struct Process {
    /// Held while asking, so that the others wait.
    memory: Mutex<PhoneMemory<Short>>,
    /// How many lookups have ended.
    ended: Cell<u32>,
    /// What came of the last one; whoever waited for it takes it, remembered or not.
    last: RefCell<Option<Result<Vec<Short>, Failure>>>,
}

impl Resolver {
    /// A resolver for viewers from number `first` on, none of which remembers anything.
    pub(crate) fn new(
        scenario: &Scenario,
        carriers: Vec<SocketAddr>,
        recursion_desired: bool,
        first: u32,
        viewers: usize,
    ) -> Result<Self, NotAName> {
        let dns = scenario.dns.clone();
        Ok(Self {
            questions: [Question::new(&dns.name, Kind::A)?, Question::new(&dns.name, Kind::Aaaa)?],
            dns,
            carriers,
            recursion_desired,
            seed: scenario.seed,
            queries: Cell::new(u64::from(first) << 32),
            picks: Cell::new(u64::from(first) << 32),
            book: RefCell::default(),
            phones: RefCell::new(vec![PhoneMemory::default(); viewers]),
            processes: scenario.audience.phones.iter().map(|_| Process::default()).collect(),
        })
    }

    /// Where the phone of viewer `me`, which is of this model, connects now.
    pub(crate) async fn resolve(
        &self,
        me: u32,
        viewer: Viewer,
        model: &PhoneModel,
        clock: Clock,
    ) -> Result<Resolved, NotResolved> {
        match model.scope {
            CacheScope::None => {
                let (list, _, nanos) = self.ask(viewer, model, clock).await?;
                Ok(self.resolved(&list, list.first().map(|first| (*first, nanos))))
            }
            CacheScope::Device => {
                if let Some(known) = self.recall(model, &self.phones.borrow()[me as usize], now(clock)) {
                    return known;
                }
                let asked = self.ask(viewer, model, clock).await;
                let mut phones = self.phones.borrow_mut();
                self.keep(model, &mut phones[me as usize], asked, now(clock))
            }
            CacheScope::Process => self.resolve_by_process(viewer, model, clock).await,
        }
    }

    /// One lookup at a time. Thousands who waited for one that failed must not ask one after the other, each as long as that.
    async fn resolve_by_process(&self, viewer: Viewer, model: &PhoneModel, clock: Clock) -> Result<Resolved, NotResolved> {
        let process = &self.processes[usize::from(viewer.phone)];
        let ended = process.ended.get();
        let mut memory = process.memory.lock().await;
        if let Some(known) = self.recall(model, &memory, now(clock)) {
            return known;
        }
        if process.ended.get() != ended
            && let Some(last) = &*process.last.borrow()
        {
            return match last {
                Ok(list) => Ok(self.resolved(&memory.order(model, list), None)),
                Err(class) => Err(self.not_asked(*class)),
            };
        }
        let asked = self.ask(viewer, model, clock).await;
        process.ended.set(process.ended.get().wrapping_add(1));
        let last = asked.as_ref().map(|(list, ..)| list.clone()).map_err(|failed| failed.class);
        process.last.replace(Some(last));
        self.keep(model, &mut memory, asked, now(clock))
    }

    /// Keeps in mind what became of a phone's attempts to connect; a process that plays many viewers learns nothing of it.
    pub(crate) fn tried<'a>(
        &self,
        me: u32,
        model: &PhoneModel,
        worked: Option<IpAddr>,
        failed: impl IntoIterator<Item = &'a IpAddr>,
    ) {
        if model.scope != CacheScope::Device || (model.order != PickOrder::KnownFirst && !model.postpones) {
            return;
        }
        let mut phones = self.phones.borrow_mut();
        let memory = &mut phones[me as usize];
        failed.into_iter().for_each(|address| memory.failed(model, self.short(*address)));
        worked.into_iter().for_each(|address| memory.worked(self.short(address)));
    }

    fn recall(&self, model: &PhoneModel, memory: &PhoneMemory<Short>, now: Duration) -> Option<Result<Resolved, NotResolved>> {
        match memory.recall(now) {
            Recalled::Nothing => None,
            Recalled::Failure => Some(Err(self.not_asked(Failure::Dns))),
            Recalled::Answer(list) if model.order == PickOrder::Shuffled => {
                let shuffled = model.arrange(&[], list, self.chance());
                Some(Ok(self.resolved(&memory.order(model, &shuffled), None)))
            }
            Recalled::Answer(list) => Some(Ok(self.resolved(&memory.order(model, list), None))),
        }
    }

    fn not_asked(&self, class: Failure) -> NotResolved {
        let what = format!("{}: the phone knows that a lookup just failed, and does not ask again yet", self.dns.name);
        NotResolved { class, failure: LookupFailure::Remembered, what }
    }

    fn keep(
        &self,
        model: &PhoneModel,
        memory: &mut PhoneMemory<Short>,
        asked: Result<(Vec<Short>, u32, u64), NotResolved>,
        now: Duration,
    ) -> Result<Resolved, NotResolved> {
        match asked {
            Ok((list, ttl_s, nanos)) => {
                memory.remember(model, &list, ttl_s, now);
                Ok(self.resolved(&memory.order(model, &list), list.first().map(|first| (*first, nanos))))
            }
            Err(failed) => {
                memory.remember_failure(model, now);
                Err(failed)
            }
        }
    }

    fn resolved(&self, list: &[Short], answered: Option<(Short, u64)>) -> Resolved {
        let book = self.book.borrow();
        let long = |short: Short| book[usize::from(short)];
        Resolved {
            addresses: list.iter().map(|short| long(*short)).collect(),
            answered: answered.map(|(first, nanos)| (long(first), nanos)),
        }
    }

    /// The number of an address in the book. Answers hold some hundred addresses at most; from 65,536 different ones on, which only a
    /// hostile zone names, the last number stands for all.
    fn short(&self, address: IpAddr) -> Short {
        let mut book = self.book.borrow_mut();
        let index = book.iter().position(|known| *known == address).unwrap_or_else(|| {
            if book.len() <= usize::from(Short::MAX) {
                book.push(address);
            }
            book.len() - 1
        });
        Short::try_from(index).unwrap_or(Short::MAX)
    }

    /// Draws for one arrangement of addresses.
    fn chance(&self) -> impl Fn(usize) -> u64 + use<> {
        let (seed, number) = (self.seed, self.picks.get());
        self.picks.set(number + 1);
        move |end| draw(seed, Stream::PhoneOrder, number << 8 | end as u64)
    }

    /// Asks the carrier: addresses in the order in which this kind of phone tries them, at least one; their TTL; and how long it
    /// took, in nanoseconds.
    async fn ask(&self, viewer: Viewer, model: &PhoneModel, clock: Clock) -> Result<(Vec<Short>, u32, u64), NotResolved> {
        let asked = clock.now();
        let carrier = self.carriers[usize::from(viewer.carrier)];
        let (ipv6, ipv4) = if self.dns.ipv6 && model.families != Families::Ipv4 {
            Box::pin(self.ask_both(carrier, model.resolution_delay)).await
        } else {
            (None, Some(self.query(carrier, 0).await))
        };
        let addresses = |told: &Option<Result<Reply, NotResolved>>| -> Vec<Short> {
            let reply = told.iter().flatten().next();
            reply.iter().flat_map(|reply| &reply.addresses).map(|address| self.short(*address)).collect()
        };
        let list = model.arrange(&addresses(&ipv6), &addresses(&ipv4), self.chance());
        if list.is_empty() {
            // What IPv4 was told stands for both: networks without IPv6 answer such questions in many ways.
            return Err(ipv4.and_then(Result::err).unwrap_or_else(|| NotResolved {
                class: Failure::Dns,
                failure: LookupFailure::NoAddress,
                what: format!("{} at carrier {carrier}: the answer holds no address", self.dns.name),
            }));
        }
        let held = [ipv6, ipv4].into_iter().flatten().flatten().filter(|reply| !reply.addresses.is_empty());
        let ttl_s = held.map(|reply| reply.ttl_s).min().unwrap_or(0);
        Ok((list, ttl_s, u64::try_from(clock.now().since(asked).as_nanos()).unwrap_or(u64::MAX)))
    }

    /// IPv6 and IPv4 in parallel. With a resolution delay IPv4 waits no longer than that for IPv6 (RFC 8305, section 3); IPv6
    /// waits for IPv4 in any case, so that there is an address to fall back on.
    async fn ask_both(
        &self,
        carrier: SocketAddr,
        delay: Option<Duration>,
    ) -> (Option<Result<Reply, NotResolved>>, Option<Result<Reply, NotResolved>>) {
        let (ipv4, ipv6) = (pin!(self.query(carrier, 0)), pin!(self.query(carrier, 1)));
        let Some(delay) = delay else {
            let (ipv4, ipv6) = join(ipv4, ipv6).await;
            return (Some(ipv6), Some(ipv4));
        };
        match select(ipv4, ipv6).await {
            Either::Right((ipv6, ipv4)) => (Some(ipv6), Some(ipv4.await)),
            Either::Left((ipv4, ipv6)) if ipv4.as_ref().is_ok_and(|reply| !reply.addresses.is_empty()) => {
                (timeout(delay, ipv6).await.ok(), Some(ipv4))
            }
            Either::Left((ipv4, ipv6)) => (Some(ipv6.await), Some(ipv4)),
        }
    }

    async fn query(&self, carrier: SocketAddr, question: usize) -> Result<Reply, NotResolved> {
        let number = self.queries.get();
        self.queries.set(number + 1);
        let query = Query {
            id: (draw(self.seed, Stream::QueryId, number) >> 48) as u16,
            each: self.dns.timeout,
            attempts: self.dns.attempts,
            recursion_desired: self.recursion_desired,
            client_subnet: None,
        };
        ask(carrier, &self.questions[question], &query).await.map_err(|error| NotResolved {
            class: if matches!(error, AskError::LocalLimit(_)) { Failure::LocalLimit } else { Failure::Dns },
            failure: failure_of(&error),
            what: format!("{} at carrier {carrier}: {error}", self.dns.name),
        })
    }
}

fn now(clock: Clock) -> Duration {
    Duration::from_nanos(u64::try_from(clock.now().0).unwrap_or(0))
}

fn failure_of(error: &AskError) -> LookupFailure {
    match error {
        AskError::Timeout | AskError::Unreachable(_) => LookupFailure::NoAnswer,
        AskError::NoSuchName { .. } => LookupFailure::NoSuchName,
        AskError::Code(_) => LookupFailure::ErrorCode,
        AskError::Malformed(_) | AskError::AliasLoop(_) | AskError::AliasElsewhere(_) => LookupFailure::Malformed,
        AskError::LocalLimit(_) => LookupFailure::LocalLimit,
    }
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
