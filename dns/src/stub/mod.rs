//! One query, one answer, as it is: order and TTLs kept, nothing cached, nothing shared with queries in flight.

mod question;
mod read;
mod wire;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::Name;
use tokio::time::timeout;
use voteburst_burst::scenario::Subnet;

pub use self::question::{Kind, Question};
use self::read::{Chain, Step};
pub(crate) use self::wire::exchange;
pub use crate::name::NotAName;

/// The most aliases that are followed for one question. Loops must be caught (RFC 1034, section 3.6.2), and no name that
/// works needs more: unbound gives up after 11 (unbound.conf(5), `max-query-restarts`).
pub const MOST_ALIASES: usize = 8;

/// How a question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// The id of the message, by which an answer is known.
    pub id: u16,
    /// How long an answer is waited for, each time.
    pub each: Duration,
    /// How often it is sent, in all; 0 counts as 1.
    pub attempts: u32,
    /// Whether the server is to ask others: true for a resolver, false for an authority.
    pub recursion_desired: bool,
    /// The network on whose behalf it is asked (RFC 7871). Without one the query has no EDNS at all.
    pub client_subnet: Option<Subnet>,
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The addresses in the order of the answer; empty when the name has none of the kind asked for.
    pub addresses: Vec<IpAddr>,
    /// The least TTL of aliases and addresses, or, without addresses, how long that may be kept; in seconds.
    pub ttl_s: u32,
    /// Whether the server said that it speaks with authority (the AA bit), not out of a cache.
    pub authoritative: bool,
    /// The names that the name is an alias of (CNAME), in order and absolute, the owner of the addresses last.
    pub aliases: Vec<String>,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nothing came in time.
    #[error("no answer in time: the server is down or too busy, or packets are lost; a longer timeout or more attempts may help")]
    Timeout,
    /// Nobody listens there, or there is no way to it, or it hung up before it had answered.
    #[error("the server cannot be reached: {0}; needed a DNS server that listens at this address and port, over UDP and TCP")]
    Unreachable(io::Error),
    /// The server says that there is no such name.
    #[error("the server says that there is no such name (NXDOMAIN)")]
    NoSuchName {
        /// How long that may be kept, in seconds (RFC 2308, section 5); 0 when the server does not say.
        ttl_s: u32,
    },
    /// The server answered with another error code.
    #[error("the server answered {0}")]
    Code(ResponseCode),
    /// The answer makes no sense.
    #[error("the answer makes no sense: {0}; needed a DNS server at this address and port")]
    Malformed(String),
    /// Aliases lead back to where they came from, or on and on.
    #[error(
        "the name's aliases never end: {}; needed at most {MOST_ALIASES} with addresses after the last; correct the CNAME records",
        .0.join(" -> ")
    )]
    AliasLoop(Vec<String>),
    /// The answer ends in an alias of whose zone the server knows nothing.
    #[error(
        "the name is an alias of {0}, for which this server does not answer; needed a recursive server, or an authority for both"
    )]
    AliasElsewhere(String),
    /// This machine has no descriptor or port left.
    #[error(
        "this machine has no descriptor or port left for a query: {0}; raise its limit of open files or widen its port range"
    )]
    LocalLimit(io::Error),
}

/// Asks a server, over UDP and, when the answer is truncated, once more over TCP.
///
/// Every query leaves from a socket of its own, so that no two share anything. `query.each` holds for each of its attempts,
/// and again for an answer over TCP; all attempts carry the same id, and answers to another id or question are passed over.
/// An answer that ends in an alias without addresses makes the same server be asked for that alias (RFC 1034, section
/// 5.3.3), for as long in all as the first question had.
///
/// # Errors
/// One of [`AskError`]; after the last attempt for what may get better by itself, at once for what will not.
pub async fn ask(server: SocketAddr, question: &Question, query: &Query) -> Result<Reply, AskError> {
    // A statement of its own, for the message is large and nothing of it is to wait for what follows.
    let begun = begin(question, &exchange(server, question, query).await?)?;
    match begun {
        Begun::Said(reply) => Ok(reply),
        // Boxed, as it is rare and this future is part of what each waiting viewer owns.
        Begun::On(start) => Box::pin(follow(server, start, query)).await,
    }
}

/// What came of the first answer.
enum Begun {
    Said(Reply),
    /// The chain so far, and the name to ask for next.
    On(Box<(Chain, Name)>),
}

fn begin(question: &Question, message: &Message) -> Result<Begun, AskError> {
    let mut chain = Chain::new(question);
    Ok(match chain.read(message)? {
        Step::Said(reply) => Begun::Said(reply),
        Step::On(name) => Begun::On(Box::new((chain, name))),
    })
}

/// Asks for the alias in which an answer ended, until there is an end.
async fn follow(server: SocketAddr, start: Box<(Chain, Name)>, query: &Query) -> Result<Reply, AskError> {
    let (mut chain, mut name) = *start;
    let following = async {
        let mut query = *query;
        // Each answer adds an alias to the chain or ends this, and the chain is bounded.
        loop {
            let elsewhere = name.to_ascii();
            let question = Question::about(name, chain.kind.record_type())?;
            query.id = query.id.wrapping_add(1);
            let message = exchange(server, &question, &query).await?;
            match chain.read(&message) {
                Ok(Step::Said(reply)) if reply.addresses.is_empty() && read::refers(&message) => {
                    return Err(AskError::AliasElsewhere(elsewhere));
                }
                Ok(Step::Said(reply)) => return Ok(reply),
                Ok(Step::On(next)) => name = next,
                Err(AskError::Code(ResponseCode::Refused | ResponseCode::NotAuth)) => {
                    return Err(AskError::AliasElsewhere(elsewhere));
                }
                Err(error) => return Err(error),
            }
        }
    };
    timeout(query.each.saturating_mul(query.attempts.max(1)), following).await.unwrap_or(Err(AskError::Timeout))
}
