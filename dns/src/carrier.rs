//! A carrier: a caching resolver on the wire, with the cache of [`voteburst_burst::cache`].
//!
//! Put unbound or an ISP's resolver in its place and nothing else changes.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
use crate::server::{Answers, Running, Said};
use crate::stub::{self, AskError, Kind, Question};

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
    /// Of those, that had to be asked upstream or waited for such an answer.
    pub misses: u64,
    /// Queries sent upstream.
    pub asked: u64,
    /// Queries that no upstream answered.
    pub failures: u64,
}

/// A running carrier. It ends when dropped.
pub struct Carrier {
    running: Running<Resolver>,
    shared: Arc<Shared>,
}

type Key = (LowerName, Kind);
/// What an upstream said, or the code that the asker gets.
type Upstream = Result<(Vec<IpAddr>, u32), ResponseCode>;

struct Shared {
    upstreams: Vec<SocketAddr>,
    recursion_desired: bool,
    each: Duration,
    seed: u64,
    opened: Opened,
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
        let shared = Shared { upstreams, recursion_desired, each, seed, opened: Opened::now(), state: Mutex::new(state) };
        let shared = Arc::new(shared);
        let running = Running::start(bind, Resolver(Arc::clone(&shared))).await;
        Ok(Self { running: running.map_err(|source| CarrierProblem::Bind { bind, source })?, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.running.address
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
    Nothing(broadcast::Sender<Upstream>),
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
        let (tell, _) = broadcast::channel(1);
        state.in_flight.insert(key.clone(), tell.clone());
        Found::Nothing(tell)
    }

    async fn ask(&self, key: &Key) -> Upstream {
        let Ok(question) = Question::new(&Name::from(key.0.clone()).to_ascii(), key.1) else { return Err(ResponseCode::FormErr) };
        let number = self.state().counters.asked;
        // The high half of a draw: ids upstream must not follow from those downstream.
        let id = (draw(self.seed, Stream::QueryId, number) >> 48) as u16;
        let mut worst = ResponseCode::ServFail;
        for upstream in &self.upstreams {
            match stub::ask(*upstream, &question, id, self.each, UPSTREAM_ATTEMPTS, self.recursion_desired).await {
                Ok(reply) => return Ok((reply.addresses, reply.ttl_s)),
                Err(AskError::NoSuchName) => return Err(ResponseCode::NXDomain),
                Err(error) => {
                    tracing::debug!(%upstream, %error, "an upstream did not answer");
                    worst = ResponseCode::ServFail;
                }
            }
        }
        Err(worst)
    }

    /// The answer that belongs to a query with this id.
    async fn resolve(&self, key: Key, id: u16) -> Result<CachedAnswer, ResponseCode> {
        match self.look(&key, id) {
            Found::Answer(answer) => Ok(answer),
            Found::Waiting(mut waiting) => {
                let (addresses, ttl_s) = waiting.recv().await.unwrap_or(Err(ResponseCode::ServFail))?;
                let now = self.opened.elapsed();
                // Whoever asked has stored it; a TTL of 0 is in no cache and goes on as it came.
                match self.state().cache.lookup(&key, id, now) {
                    Lookup::Hit(answer) => Ok(answer),
                    Lookup::Miss => Ok(CachedAnswer { addresses, ttl_s }),
                }
            }
            Found::Nothing(tell) => {
                let said = self.ask(&key).await;
                let now = self.opened.elapsed();
                let mut state = self.state();
                state.in_flight.remove(&key);
                let answer = match said.clone() {
                    Ok((addresses, ttl_s)) => Ok(state.cache.store(key, addresses, ttl_s, id, now)),
                    Err(code) => {
                        state.counters.failures += 1;
                        Err(code)
                    }
                };
                drop(state);
                // Nobody may be waiting.
                let _ = tell.send(said);
                answer
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
                Said { answers: answer.addresses.iter().copied().map(record).collect(), ..said }
            }
        }
    }
}
