//! The authoritative server of a zone: answers by [`voteburst_burst::zone`], over UDP and TCP.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType};
use hickory_server::server::Request;
use voteburst_burst::zone::Zone;

use crate::clock::Opened;
use crate::name::{NotAName, absolute};
use crate::server::{Answers, Running, Said, negative};

/// How many queries the log keeps; older ones are dropped.
pub const LOG_LENGTH: usize = 100_000;
/// TTL of negative answers, in seconds (RFC 2308: the lesser of the SOA's own TTL and its last field).
const NEGATIVE_TTL_S: u32 = 5;

/// One query as it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryRecord {
    /// When, after the authority was opened.
    pub at: Duration,
    /// Who asked.
    pub peer: SocketAddr,
    /// Which type was asked for, such as `A` or `AAAA`.
    pub kind: &'static str,
    /// The addresses answered, in order; none unless the type was `A`.
    pub addresses: Vec<Ipv4Addr>,
    /// The set ids of the records answered, in the same order.
    pub set_ids: Vec<String>,
}

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityProblem {
    /// The name is none.
    #[error(transparent)]
    Name(#[from] NotAName),
    /// The address cannot be listened on.
    #[error(
        "the zone cannot be served on {bind}: {source}; needed an address of this machine whose port is free for UDP and TCP"
    )]
    Bind {
        /// Where.
        bind: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A running authority. It ends when dropped.
pub struct Authority {
    running: Running<Policy>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: LowerName,
    opened: Opened,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    zone: Arc<Zone>,
    queries: u64,
    log: VecDeque<QueryRecord>,
}

impl Authority {
    /// Serves `zone` under `name` on `bind`; port 0 takes a free one.
    ///
    /// # Errors
    /// A name that is none, an address that cannot be listened on.
    pub async fn start(bind: SocketAddr, name: &str, zone: Zone) -> Result<Self, AuthorityProblem> {
        let name = absolute(name)?.into();
        let state = Mutex::new(State { zone: Arc::new(zone), queries: 0, log: VecDeque::new() });
        let shared = Arc::new(Shared { name, opened: Opened::now(), state });
        let running = Running::start(bind, Policy(Arc::clone(&shared))).await;
        Ok(Self { running: running.map_err(|source| AuthorityProblem::Bind { bind, source })?, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// Queries for IPv4 addresses of the name so far: each was one draw of the zone's.
    #[must_use]
    pub fn queries(&self) -> u64 {
        self.shared.state().queries
    }

    /// The last queries for the name, of whatever type, oldest first, at most [`LOG_LENGTH`].
    #[must_use]
    pub fn query_log(&self) -> Vec<QueryRecord> {
        self.shared.state().log.iter().cloned().collect()
    }

    /// Answers by another zone from now on. Queries and time go on counting from the start.
    pub fn set_zone(&self, zone: Zone) {
        self.shared.state().zone = Arc::new(zone);
    }

    /// Ends it and waits until it is gone.
    pub async fn shutdown(self) {
        self.running.shutdown().await;
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can leave the state half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn addresses(&self, peer: SocketAddr, owner: &Name) -> Vec<Record> {
        let at = self.opened.elapsed();
        let mut state = self.state();
        let query = state.queries;
        state.queries += 1;
        let answer = state.zone.answer(query, at);
        let set_ids = answer.members.iter().map(|member| state.zone.members()[*member].set_id.clone()).collect();
        state.record(QueryRecord { at, peer, kind: RecordType::A.into(), addresses: answer.addresses.clone(), set_ids });
        drop(state);
        answer
            .addresses
            .into_iter()
            .map(|address| Record::from_rdata(owner.clone(), answer.ttl_s, RData::A(A(address))))
            .collect()
    }

    /// Notes a query for the name that is answered without addresses.
    fn note(&self, peer: SocketAddr, kind: RecordType) {
        let at = self.opened.elapsed();
        self.state().record(QueryRecord { at, peer, kind: kind.into(), addresses: Vec::new(), set_ids: Vec::new() });
    }

    fn soa(&self) -> Record {
        negative(self.name.clone().into(), NEGATIVE_TTL_S)
    }
}

impl State {
    fn record(&mut self, record: QueryRecord) {
        if self.log.len() == LOG_LENGTH {
            self.log.pop_front();
        }
        self.log.push_back(record);
    }
}

struct Policy(Arc<Shared>);

impl Answers for Policy {
    async fn answer(&self, request: &Request) -> Said {
        let said = Said { authoritative: true, ..Said::default() };
        let Ok(info) = request.request_info() else { return Said { code: ResponseCode::FormErr, ..said } };
        if *info.query.name() != self.0.name {
            return Said { code: ResponseCode::NXDomain, authorities: vec![self.0.soa()], ..said };
        }
        let kind = info.query.query_type();
        if kind != RecordType::A {
            self.0.note(info.src, kind);
        }
        match kind {
            // The owner as it was written in the question: some resolvers check its capitals (draft-vixie-dnsext-dns0x20).
            RecordType::A => Said { answers: self.0.addresses(info.src, info.query.original().name()), ..said },
            RecordType::SOA => Said { answers: vec![self.0.soa()], ..said },
            // The name exists, with nothing of this kind: dual-stack phones must not be left waiting.
            _ => Said { authorities: vec![self.0.soa()], ..said },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_drops_its_oldest_queries() {
        let members = vec![voteburst_burst::zone::Member {
            set_id: "proxy-0".into(),
            address: Ipv4Addr::LOCALHOST,
            weight: 1,
            healthy: true,
        }];
        let zone = Zone::new(voteburst_burst::zone::ZonePolicy::Simple, members, 5, Duration::from_secs(1), 0).unwrap();
        let mut state = State { zone: Arc::new(zone), queries: 0, log: VecDeque::new() };
        let peer = SocketAddr::from(([127, 0, 0, 1], 53));
        for second in 0..LOG_LENGTH as u64 + 3 {
            let at = Duration::from_secs(second);
            state.record(QueryRecord { at, peer, kind: "A", addresses: vec![], set_ids: vec![] });
        }
        assert_eq!((state.log.len(), state.log[0].at), (LOG_LENGTH, Duration::from_secs(3)));
    }
}
