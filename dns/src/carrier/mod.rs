//! A carrier: a caching resolver on the wire, with the caches of [`voteburst_burst::cache`].
//!
//! Put unbound or an ISP's resolver in its place and nothing else changes. It hands out addresses under the very name that
//! was asked for: a phone makes the same of an answer with or without its chain of aliases, of which the least TTL is kept.

mod caches;
mod resolver;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::rr::LowerName;
use voteburst_burst::cache::CacheModel;
use voteburst_burst::scenario::Subnet;

pub use self::caches::CarrierCounters;
use self::resolver::Resolver;
use crate::name::{NotAName, absolute};
use crate::server::Running;
use crate::stub::{AskError, Kind};

/// What a carrier is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarrierSpec {
    /// Whom it asks, in turn until one answers. An error code (SERVFAIL, REFUSED, …) is no answer, NXDOMAIN is one.
    pub upstreams: Vec<SocketAddr>,
    /// Whether these are resolvers, that are to ask others.
    pub recursion_desired: bool,
    /// How each of its caches works.
    pub cache: CacheModel,
    /// How many caches it has that share nothing; each query meets one by chance. 0 counts as 1.
    pub caches: u16,
    /// The network that it says its phones are in (EDNS client subnet, RFC 7871): one for all, so that no answer has to be
    /// kept apart from others by its scope. What a phone says of itself is not handed on.
    pub client_subnet: Option<Subnet>,
    /// How long each upstream is waited for, each time.
    pub each: Duration,
    /// How often each upstream is asked, in all; 0 counts as 1. RFC 9520, section 3.1, allows three times.
    pub attempts: u32,
    /// What cache a query meets, shuffled orders, ids and ages are drawn from.
    pub seed: u64,
}

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

/// Why a carrier's caches are still empty.
#[derive(Debug, thiserror::Error)]
pub enum WarmProblem {
    /// The name is none.
    #[error(transparent)]
    Name(#[from] NotAName),
    /// Nobody answered.
    #[error(
        "a carrier's caches cannot be filled with `{name}`: the last server asked, {server}, gave no answer: {source}; \
         correct the servers in the scenario, or let caches start cold"
    )]
    Unanswered {
        /// What was asked for.
        name: String,
        /// Who was asked last.
        server: SocketAddr,
        /// What came of it.
        source: AskError,
    },
}

/// A running carrier. It ends when dropped.
pub struct Carrier {
    running: Running<Resolver>,
    resolver: Resolver,
}

impl Carrier {
    /// Listens on `bind`; port 0 takes a free one.
    ///
    /// # Errors
    /// No upstream, an address that cannot be listened on.
    pub async fn start(bind: SocketAddr, spec: CarrierSpec) -> Result<Self, CarrierProblem> {
        if spec.upstreams.is_empty() {
            return Err(CarrierProblem::NoUpstream);
        }
        let resolver = Resolver::new(spec);
        let running = Running::start(bind, resolver.clone()).await;
        Ok(Self { running: running.map_err(|source| CarrierProblem::Bind { bind, source })?, resolver })
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
        self.resolver.serve_only(absolute(name)?.into());
        Ok(())
    }

    /// Fills each of its caches with an answer of its own, whose age is drawn uniformly from [0, TTL): so a cache looks, at any
    /// instant, through which a name is asked for all day.
    ///
    /// Asks for one cache after the other, so that the name's servers meet no burst before the burst.
    ///
    /// # Errors
    /// A name that is none; at the first question to which no upstream gives an answer. That there is no such name is one.
    pub async fn warm(&self, name: &str, kind: Kind) -> Result<(), WarmProblem> {
        let key = (LowerName::from(absolute(name)?), kind);
        let unanswered = |(server, source)| WarmProblem::Unanswered { name: name.into(), server, source };
        self.resolver.warm(&key).await.map_err(unanswered)
    }

    /// What it counted so far.
    #[must_use]
    pub fn counters(&self) -> CarrierCounters {
        self.resolver.counters()
    }

    /// Ends it and waits until it is gone. Who still waits for an answer gets SERVFAIL.
    pub async fn shutdown(self) {
        self.resolver.stop_asking().await;
        self.running.shutdown().await;
    }
}
