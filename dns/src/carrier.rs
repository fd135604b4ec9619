//! A carrier: a caching resolver on the wire, with the cache of [`voteburst_burst::cache`].
//!
//! Put unbound or an ISP's resolver in its place and nothing else changes.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType};
use hickory_server::server::Request;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use voteburst_burst::cache::{Cache, CacheModel, CachedAnswer, Lookup};
use voteburst_burst::draw::{Stream, draw};

use crate::clock::Opened;
use crate::name::NotAName;
use crate::server::{Answers, Running, Said, negative};
use crate::stub::{self, AskError, Kind, Question, Reply};

/// How often an upstream is asked before the next one is tried.
const UPSTREAM_ATTEMPTS: u32 = 2;

/// Why there is no carrier.
#[derive(Debug, thiserror::Error)]
pub enum CarrierProblem {
    /// The address cannot be listened on.
    #[error("a carrier cannot listen on {bind}: {source}; needed an address of this machine whose port is free for UDP and TCP")]
    Bind {
        /// Where.
        bind: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// It has nobody to ask.
    #[error("a carrier without upstream servers: needed at least one to ask")]
    NoUpstream,
}

/// What a carrier counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarrierCounters {
    /// Queries of phones.
    pub queries: u64,
    /// Of those, answered from the cache.
    pub hits: u64,
    /// Of those, that were asked upstream or waited for such an answer.
    pub misses: u64,
    /// Questions sent upstream, however often each had to be repeated.
    pub asked: u64,
    /// Of the queries, those that got an error because no upstream could be asked; a name that does not exist is none.
    pub failures: u64,
}

/// A running carrier. It ends when dropped.
pub struct Carrier {
    running: Running<Resolver>,
    shared: Arc<Shared>,
}

type Key = (LowerName, Kind);
/// What an upstream said and when, or the code that the asker gets.
type Upstream = Result<(Reply, Duration), ResponseCode>;

struct Shared {
    upstreams: Vec<SocketAddr>,
    recursion_desired: bool,
    each: Duration,
    seed: u64,
    opened: Opened,
    /// The only name that is answered, once it is set.
    only: OnceLock<LowerName>,
    state: Mutex<State>,
}

struct State {
    cache: Cache<Key>,
    /// Identical questions in flight share one query upstream, as they do in real resolvers.
    in_flight: HashMap<Key, broadcast::Sender<Upstream>>,
    counters: CarrierCounters,
}

impl Carrier {
    /// Listens on `bind` (port 0 takes a free one) and asks `upstreams` in turn, `each` time for so long.
    ///
    /// # Errors
    /// No upstream, an address that cannot be listened on.
    pub async fn start(
        bind: SocketAddr,
        upstreams: Vec<SocketAddr>,
        recursion_desired: bool,
        model: CacheModel,
        each: Duration,
        seed: u64,
    ) -> Result<Self, CarrierProblem> {
        if upstreams.is_empty() {
            return Err(CarrierProblem::NoUpstream);
        }
        let state = State { cache: Cache::new(model, seed), in_flight: HashMap::new(), counters: CarrierCounters::default() };
        let shared = Shared {
            upstreams,
            recursion_desired,
            each,
            seed,
            opened: Opened::now(),
            only: OnceLock::new(),
            state: Mutex::new(state),
        };
        let shared = Arc::new(shared);
        let running = Running::start(bind, Resolver(Arc::clone(&shared))).await;
        Ok(Self { running: running.map_err(|source| CarrierProblem::Bind { bind, source })?, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// Answers REFUSED to every other name from now on: a carrier that others can reach must be no resolver for the world.
    /// The first name stands.
    ///
    /// # Errors
    /// When it is no DNS name.
    pub fn serve_only(&self, name: &str) -> Result<(), NotAName> {
        let name = crate::name::absolute(name)?;
        // A second name is ignored, as documented.
        let _ = self.shared.only.set(name.into());
        Ok(())
    }

    /// What it counted so far.
    #[must_use]
    pub fn counters(&self) -> CarrierCounters {
        self.shared.state().counters
    }

    /// Ends it and waits until it is gone.
    pub async fn shutdown(self) {
        self.running.shutdown().await;
    }
}

/// What the cache has for a query: an answer, or somebody who is waiting for one, or nothing.
enum Found {
    Answer(CachedAnswer),
    Waiting(broadcast::Receiver<Upstream>),
    /// The number of the question that is now to be asked.
    Nothing(u64),
}

/// Keeps others waiting for the same answer; when dropped, however that comes about, nobody waits any longer.
struct Asking<'a> {
    shared: &'a Shared,
    key: &'a Key,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.shared.state().in_flight.remove(self.key);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can leave the state half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, key: &Key, id: u16) -> Found {
        let now = self.opened.elapsed();
        let mut state = self.state();
        state.counters.queries += 1;
        if let Lookup::Hit(answer) = state.cache.lookup(key, id, now) {
            state.counters.hits += 1;
            return Found::Answer(answer);
        }
        state.counters.misses += 1;
        if let Some(asked) = state.in_flight.get(key) {
            return Found::Waiting(asked.subscribe());
        }
        state.counters.asked += 1;
        let number = state.counters.asked;
        state.in_flight.insert(key.clone(), broadcast::channel(1).0);
        Found::Nothing(number)
    }

    async fn ask(&self, key: &Key, number: u64) -> Upstream {
        let Ok(question) = Question::new(&Name::from(key.0.clone()).to_ascii(), key.1) else { return Err(ResponseCode::FormErr) };
        // The high part of a draw: ids upstream must not follow from those downstream.
        let id = (draw(self.seed, Stream::QueryId, number) >> 48) as u16;
        for upstream in &self.upstreams {
            match stub::ask(*upstream, &question, id, self.each, UPSTREAM_ATTEMPTS, self.recursion_desired).await {
                Ok(reply) => return Ok((reply, self.opened.elapsed())),
                Err(AskError::NoSuchName) => return Err(ResponseCode::NXDomain),
                Err(error) => tracing::debug!(%upstream, %error, "an upstream did not answer"),
            }
        }
        Err(ResponseCode::ServFail)
    }

    /// The answer that belongs to a query with this id.
    async fn resolve(&self, key: Key, id: u16) -> Result<CachedAnswer, ResponseCode> {
        let said = match self.look(&key, id) {
            Found::Answer(answer) => return Ok(answer),
            Found::Waiting(mut waiting) => waiting.recv().await.unwrap_or(Err(ResponseCode::ServFail)),
            Found::Nothing(number) => {
                let asking = Asking { shared: self, key: &key };
                let said = self.ask(&key, number).await;
                let mut state = self.state();
                if let Ok((reply, came)) = &said {
                    // Kept before the entry in flight goes, so that nobody in between asks anew.
                    state.cache.store(key.clone(), reply.addresses.clone(), reply.ttl_s, id, *came);
                }
                if let Some(tell) = state.in_flight.get(&key) {
                    // Nobody may be waiting.
                    let _ = tell.send(said.clone());
                }
                drop(state);
                drop(asking);
                said
            }
        };
        let mut state = self.state();
        match said {
            // Storing it once more changes nothing: the same answer, from the same instant on. It is what clamps the TTL and
            // turns the order for each who waited, also when the TTL is too short for the cache.
            Ok((reply, came)) => Ok(state.cache.store(key, reply.addresses, reply.ttl_s, id, came)),
            Err(code) => {
                state.counters.failures += u64::from(code != ResponseCode::NXDomain);
                Err(code)
            }
        }
    }
}

struct Resolver(Arc<Shared>);

impl Answers for Resolver {
    async fn answer(&self, request: &Request) -> Said {
        let said = Said { recursion: true, ..Said::default() };
        let Ok(info) = request.request_info() else { return Said { code: ResponseCode::FormErr, ..said } };
        let kind = match info.query.query_type() {
            RecordType::A => Kind::A,
            RecordType::AAAA => Kind::Aaaa,
            // A phone asks for addresses; everything else is somebody looking around.
            _ => return Said { code: ResponseCode::NotImp, ..said },
        };
        if self.0.only.get().is_some_and(|only| only != info.query.name()) {
            return Said { code: ResponseCode::Refused, ..said };
        }
        let owner = info.query.original().name().clone();
        match self.0.resolve((info.query.name().clone(), kind), request.metadata.id).await {
            Err(code) => Said { code, ..said },
            Ok(answer) => {
                let record = |address: IpAddr| {
                    let data = match address {
                        IpAddr::V4(address) => RData::A(A(address)),
                        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
                    };
                    Record::from_rdata(owner.clone(), answer.ttl_s, data)
                };
                let answers: Vec<Record> = answer.addresses.iter().copied().map(record).collect();
                let authorities = if answers.is_empty() { vec![negative(owner.clone(), answer.ttl_s)] } else { Vec::new() };
                Said { answers, authorities, ..said }
            }
        }
    }
}
