//! The authoritative server of a zone: answers by [`voteburst_burst::zone`], over UDP and TCP.

mod answers;
mod log;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_proto::rr::{LowerName, Name};
use voteburst_burst::zone::{Moment, Zone};

use self::answers::Policy;
use self::log::Log;
pub use self::log::{LOG_LENGTH, QueryRecord};
use crate::clock::Opened;
use crate::name::{NotAName, absolute};
use crate::server::Running;
use crate::stub::MOST_ALIASES;

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityProblem {
    /// The name, or an alias, is none.
    #[error(transparent)]
    Name(#[from] NotAName),
    /// A chain of aliases without an end.
    #[error(
        "the alias `{0}` stands twice in the chain from the name on: needed other names, each once, or nobody finds an address"
    )]
    AliasLoop(String),
    /// More aliases than resolvers follow.
    #[error("a chain of {0} aliases: needed at most {MOST_ALIASES}, for resolvers follow no more")]
    Aliases(usize),
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
///
/// It answers for one name and for the aliases behind it. The last of these is the top of its zone: it has the addresses, a
/// SOA, and one server `ns.<last>`, which is this one.
pub struct Authority {
    running: Running<Policy>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The name, then its aliases in order; the last holds the addresses. Never empty.
    names: Vec<LowerName>,
    /// The name of this server.
    server: LowerName,
    /// Where this server listens.
    ip: IpAddr,
    opened: Opened,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    zone: Arc<Zone>,
    /// T0, after the authority was opened.
    t0: Option<Duration>,
    queries: u64,
    log: Log,
}

impl Authority {
    /// Serves `zone` under `name` on `bind`; port 0 takes a free one.
    ///
    /// # Errors
    /// A name that is none, an address that cannot be listened on.
    pub async fn start(bind: SocketAddr, name: &str, zone: Zone) -> Result<Self, AuthorityProblem> {
        Self::start_aliased(bind, name, &[], zone).await
    }

    /// Serves `zone` under the last of `aliases`. `name` is an alias (CNAME) of the first, that of the second, and so on; an
    /// answer holds the chain from the name asked for to the addresses, with the zone's TTL on all of it.
    ///
    /// # Errors
    /// A name that is none, aliases that form a loop or are more than [`MOST_ALIASES`], an address that cannot be listened on.
    pub async fn start_aliased(bind: SocketAddr, name: &str, aliases: &[String], zone: Zone) -> Result<Self, AuthorityProblem> {
        if aliases.len() > MOST_ALIASES {
            return Err(AuthorityProblem::Aliases(aliases.len()));
        }
        let mut last = absolute(name)?;
        let mut names = vec![LowerName::from(&last)];
        for alias in aliases {
            last = absolute(alias)?;
            let alias = LowerName::from(&last);
            if names.contains(&alias) {
                return Err(AuthorityProblem::AliasLoop(last.to_ascii()));
            }
            names.push(alias);
        }
        let state = Mutex::new(State { zone: Arc::new(zone), t0: None, queries: 0, log: Log::default() });
        let shared = Shared { names, server: server_of(&last)?, ip: bind.ip(), opened: Opened::now(), state };
        let shared = Arc::new(shared);
        let running = Running::start(bind, Policy(Arc::clone(&shared))).await;
        Ok(Self { running: running.map_err(|source| AuthorityProblem::Bind { bind, source })?, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// Queries so far that were answered with addresses, of either family: each was one draw of the zone's.
    #[must_use]
    pub fn queries(&self) -> u64 {
        self.shared.state().queries
    }

    /// The last queries for the name and its aliases, of whatever type, oldest first, at most [`LOG_LENGTH`].
    #[must_use]
    pub fn query_log(&self) -> Vec<QueryRecord> {
        self.shared.state().log.all()
    }

    /// Answers by another zone from now on. Queries and time go on counting from the start.
    pub fn set_zone(&self, zone: Zone) {
        self.shared.state().zone = Arc::new(zone);
    }

    /// T0 is this long from now; the changes of the zone's members count from there. The last call stands.
    pub fn set_t0_in(&self, wait: Duration) {
        let t0 = self.shared.opened.elapsed().saturating_add(wait);
        self.shared.state().t0 = Some(t0);
    }

    /// Time since it was opened, by which its log counts.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.shared.opened.elapsed()
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
}

impl State {
    fn moment(&self, now: Duration) -> Moment {
        Moment { now, since_t0: self.t0.and_then(|t0| now.checked_sub(t0)) }
    }
}

/// The name of the server of `zone`.
fn server_of(zone: &Name) -> Result<LowerName, NotAName> {
    let refuse = |error: hickory_proto::ProtoError| NotAName { name: format!("ns.{zone}"), why: error.to_string() };
    zone.prepend_label("ns").map(LowerName::from).map_err(refuse)
}
