//! What a viewer's phone makes of the name: its own memory first, then its carrier.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::sync::Mutex;
use voteburst_burst::draw::{Stream, draw};
use voteburst_burst::outcome::Failure;
use voteburst_burst::phone::{CacheScope, PhoneMemory, PhoneModel, Recalled};
use voteburst_burst::plan::Viewer;
use voteburst_burst::scenario::Dns;
use voteburst_dns::stub::{AskError, Kind, NotAName, Query, Question, ask};

use crate::clock::Clock;

/// A name that was not resolved.
#[derive(Debug)]
pub(crate) struct NotResolved {
    pub(crate) class: Failure,
    pub(crate) what: String,
}

/// Resolves the scenario's name for the viewers of one agent.
pub(crate) struct Resolver {
    name: String,
    question: Question,
    carriers: Vec<SocketAddr>,
    timeout: Duration,
    attempts: u32,
    recursion_desired: bool,
    seed: u64,
    /// Counts queries, for their ids; begins apart from those of other agents.
    queries: Cell<u64>,
    phones: RefCell<Vec<PhoneMemory<IpAddr>>>,
    /// The memory of a load tool, which asks once for all: held while asking, so that the others wait.
    process: Mutex<PhoneMemory<IpAddr>>,
}

impl Resolver {
    /// A resolver for viewers from number `first` on, none of which remembers anything.
    pub(crate) fn new(
        dns: &Dns,
        carriers: Vec<SocketAddr>,
        recursion_desired: bool,
        seed: u64,
        first: u32,
        viewers: usize,
    ) -> Result<Self, NotAName> {
        Ok(Self {
            question: Question::new(&dns.name, Kind::A)?,
            name: dns.name.clone(),
            carriers,
            timeout: dns.timeout,
            attempts: dns.attempts,
            recursion_desired,
            seed,
            queries: Cell::new(u64::from(first) << 32),
            phones: RefCell::new(vec![PhoneMemory::default(); viewers]),
            process: Mutex::default(),
        })
    }

    /// The address that the phone of viewer `me` would connect to. `answered` is told the first address of each
    /// answer that came over the wire.
    pub(crate) async fn resolve(
        &self,
        me: u32,
        viewer: Viewer,
        model: PhoneModel,
        clock: Clock,
        answered: impl Fn(IpAddr),
    ) -> Result<IpAddr, NotResolved> {
        let now = || Duration::from_nanos(u64::try_from(clock.now().0).unwrap_or(0));
        match model.scope {
            CacheScope::None => Ok(self.ask(viewer, answered).await?.0),
            CacheScope::Device => {
                let known = match self.phones.borrow()[me as usize].recall(now()) {
                    Recalled::Answer(list) => Some(list[0]),
                    _ => None,
                };
                if let Some(known) = known {
                    return Ok(known);
                }
                let (first, ttl_s) = self.ask(viewer, answered).await?;
                self.phones.borrow_mut()[me as usize].remember(&model, &[first], ttl_s, now());
                Ok(first)
            }
            CacheScope::Process => {
                let mut memory = self.process.lock().await;
                if let Recalled::Answer(list) = memory.recall(now()) {
                    return Ok(list[0]);
                }
                let (first, ttl_s) = self.ask(viewer, answered).await?;
                memory.remember(&model, &[first], ttl_s, now());
                Ok(first)
            }
        }
    }

    async fn ask(&self, viewer: Viewer, answered: impl Fn(IpAddr)) -> Result<(IpAddr, u32), NotResolved> {
        let number = self.queries.get();
        self.queries.set(number + 1);
        let id = (draw(self.seed, Stream::QueryId, number) >> 48) as u16;
        let carrier = self.carriers[usize::from(viewer.carrier)];
        let query = Query {
            id,
            each: self.timeout,
            attempts: self.attempts,
            recursion_desired: self.recursion_desired,
            client_subnet: None,
        };
        let asked = ask(carrier, &self.question, &query).await;
        let reply = asked.map_err(|error| NotResolved {
            class: if matches!(error, AskError::LocalLimit(_)) { Failure::LocalLimit } else { Failure::Dns },
            what: format!("{} at carrier {carrier}: {error}", self.name),
        })?;
        let first = *reply.addresses.first().ok_or_else(|| NotResolved {
            class: Failure::Dns,
            what: format!("{} at carrier {carrier}: the answer holds no address", self.name),
        })?;
        answered(first);
        Ok((first, reply.ttl_s))
    }
}
