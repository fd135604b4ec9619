//! The carrier between two sides of the wire: phones that ask it, upstreams that it asks.

use std::mem;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{LowerName, Name, RecordType};
use hickory_server::server::Request;
use tokio::task::JoinSet;
use voteburst_burst::cache::{CachedAnswer, Said as Cached};
use voteburst_burst::draw::{Stream, draw};

use super::caches::{Ask, Caches, Heard, Key, Met, Then};
use super::{CarrierCounters, CarrierSpec};
use crate::clock::Opened;
use crate::server::{Answers, Said, holding, negative};
use crate::stub::{self, AskError, Kind, Query, Question};

/// What both the server and the handle of a carrier hold.
#[derive(Clone)]
pub(super) struct Resolver {
    shared: Arc<Shared>,
    /// Questions upstream. Not part of what they share: they end when the carrier and its server are dropped.
    asking: Arc<Mutex<JoinSet<()>>>,
}

struct Shared {
    spec: CarrierSpec,
    opened: Opened,
    /// The only name that is answered, once it is set.
    only: OnceLock<LowerName>,
    caches: Mutex<Caches>,
}

/// A question in flight. When dropped, however that comes about, nobody waits for it any longer.
struct InFlight {
    shared: Arc<Shared>,
    ask: Ask,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.shared.caches().close(&self.ask);
    }
}

impl InFlight {
    async fn run(self) {
        let heard = self.shared.ask(&self.ask.key, self.ask.number).await;
        let now = self.shared.opened.elapsed();
        self.shared.caches().heard(&self.ask, heard.ok(), now);
    }
}

/// Nothing that holds one of our locks can leave what it guards half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn caches(&self) -> MutexGuard<'_, Caches> {
        lock(&self.caches)
    }

    /// Asks one upstream after the other until one gives an answer, or the last has given none.
    async fn ask(&self, key: &Key, number: u64) -> Result<Heard, (SocketAddr, AskError)> {
        let spec = &self.spec;
        let mut last = None;
        for &upstream in &spec.upstreams {
            let query = Query {
                // The high part of a draw: ids upstream must not follow from those downstream.
                id: (draw(spec.seed, Stream::QueryId, number) >> 48) as u16,
                each: spec.each,
                attempts: spec.attempts,
                recursion_desired: spec.recursion_desired,
                client_subnet: spec.client_subnet,
            };
            let asked = match Question::about(Name::from(key.0.clone()), key.1.record_type()) {
                Ok(question) => stub::ask(upstream, &question, &query).await,
                Err(error) => Err(error),
            };
            let heard = match asked {
                Ok(reply) => Ok((Cached::Addresses(reply.addresses), reply.ttl_s)),
                Err(AskError::NoSuchName { ttl_s }) => Ok((Cached::NoSuchName, ttl_s)),
                Err(error) => Err(error),
            };
            match heard {
                Ok((said, ttl_s)) => return Ok(Heard { said, ttl_s, at: self.opened.elapsed() }),
                Err(error) => {
                    tracing::debug!(%upstream, %error, "an upstream gave no answer");
                    last = Some((upstream, error));
                }
            }
        }
        // There is at least one, or there is no carrier.
        Err(last.unwrap_or_else(|| (SocketAddr::from(([0; 4], 0)), AskError::Timeout)))
    }
}

impl Resolver {
    pub(super) fn new(spec: CarrierSpec) -> Self {
        let caches = Mutex::new(Caches::new(spec.cache, spec.caches, spec.seed));
        let shared = Shared { spec, opened: Opened::now(), only: OnceLock::new(), caches };
        Self { shared: Arc::new(shared), asking: Arc::default() }
    }

    pub(super) fn serve_only(&self, name: LowerName) {
        // A second name is ignored, as documented.
        let _ = self.shared.only.set(name);
    }

    pub(super) fn counters(&self) -> CarrierCounters {
        self.shared.caches().counters()
    }

    pub(super) async fn warm(&self, key: &Key) -> Result<(), (SocketAddr, AskError)> {
        let count = self.shared.caches().count();
        for cache in 0..count {
            let number = self.shared.caches().number();
            let heard = self.shared.ask(key, number).await?;
            self.shared.caches().keep_aged(cache, key.clone(), heard);
        }
        Ok(())
    }

    pub(super) async fn stop_asking(&self) {
        let mut asking = mem::take(&mut *lock(&self.asking));
        asking.shutdown().await;
    }

    /// The answer that belongs to a query with this id; none when nobody upstream gave one.
    async fn resolve(&self, key: &Key, id: u16) -> Option<CachedAnswer> {
        let Met { cache, ask, then } = self.shared.caches().meet(key, id, self.shared.opened.elapsed());
        if let Some(ask) = ask {
            self.start(ask);
        }
        match then {
            Then::Answer(answer) => answer,
            Then::Wait(mut waiting) => {
                let heard = waiting.recv().await.unwrap_or(None);
                self.shared.caches().waited(cache, key, heard, id, self.shared.opened.elapsed())
            }
        }
    }

    /// Asks in a task of its own: who asked first may be answered from the cache, or gone.
    fn start(&self, ask: Ask) {
        let in_flight = InFlight { shared: Arc::clone(&self.shared), ask };
        let mut asking = lock(&self.asking);
        while let Some(ended) = asking.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "a question upstream died; who waited for it got SERVFAIL");
            }
        }
        asking.spawn(in_flight.run());
    }
}

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
        if self.shared.only.get().is_some_and(|only| only != info.query.name()) {
            return Said { code: ResponseCode::Refused, ..said };
        }
        let owner = info.query.original().name().clone();
        let key = (info.query.name().clone(), kind);
        let Some(answer) = self.resolve(&key, request.metadata.id).await else {
            return Said { code: ResponseCode::ServFail, ..said };
        };
        let (code, addresses) = match answer.said {
            Cached::Addresses(addresses) => (ResponseCode::NoError, addresses),
            Cached::NoSuchName => (ResponseCode::NXDomain, Vec::new()),
        };
        let answers: Vec<_> = addresses.iter().map(|address| holding(owner.clone(), answer.ttl_s, *address)).collect();
        // Without addresses the SOA tells how long that may be kept (RFC 2308, section 3).
        let authorities = if answers.is_empty() { vec![negative(owner, answer.ttl_s)] } else { Vec::new() };
        Said { code, answers, authorities, ..said }
    }
}
