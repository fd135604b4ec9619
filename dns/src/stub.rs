//! One query, one answer, as it is: order and TTLs kept, nothing cached, nothing shared with queries in flight.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{RData, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::timeout;

pub use crate::name::NotAName;
use crate::name::absolute;

/// The largest UDP answer that is read. Without EDNS 512 bytes are the most (RFC 1035, section 4.2.1).
const MOST_UDP_BYTES: usize = 1_232;

/// The TC bit within the third byte (RFC 1035, section 4.1.1).
const TRUNCATED: u8 = 0b10;

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// IPv4.
    A,
    /// IPv6.
    Aaaa,
}

/// A question, written once for any number of queries.
#[derive(Clone, Debug)]
pub struct Question {
    query: Query,
    kind: Kind,
    /// The query as bytes, its id still 0 and without RD.
    bytes: Vec<u8>,
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The addresses in the order of the answer; empty when the name has none of the kind asked for.
    pub addresses: Vec<IpAddr>,
    /// The least TTL of the answer's records, or, without addresses, how long that may be kept; in seconds.
    pub ttl_s: u32,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nothing came in time.
    #[error("no answer in time: the server is down or too busy, or packets are lost; a longer timeout or more attempts may help")]
    Timeout,
    /// Nobody listens there, or there is no way to it.
    #[error("the server cannot be reached: {0}; needed a DNS server that listens at this address and port")]
    Unreachable(io::Error),
    /// The server says that there is no such name.
    #[error("the server says that there is no such name (NXDOMAIN)")]
    NoSuchName,
    /// The server answered with another error code.
    #[error("the server answered {0}")]
    Code(ResponseCode),
    /// The answer makes no sense.
    #[error("the answer makes no sense: {0}; needed a DNS server at this address and port")]
    Malformed(String),
    /// This machine has no descriptor or port left.
    #[error(
        "this machine has no descriptor or port left for a query: {0}; raise its limit of open files or widen its port range"
    )]
    LocalLimit(io::Error),
}

impl Question {
    /// A question for `name`, which is taken as absolute.
    ///
    /// # Errors
    /// When it is no DNS name.
    pub fn new(name: &str, kind: Kind) -> Result<Self, NotAName> {
        let query = Query::query(absolute(name)?, kind.record_type());
        let mut message = Message::new(0, MessageType::Query, OpCode::Query);
        message.add_query(query.clone());
        let bytes = message.to_vec().map_err(|error| NotAName { name: name.into(), why: error.to_string() })?;
        Ok(Self { query, kind, bytes })
    }

    fn with(&self, id: u16, recursion_desired: bool) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[..2].copy_from_slice(&id.to_be_bytes());
        // RD is the lowest bit of the third byte (RFC 1035, section 4.1.1).
        bytes[2] |= u8::from(recursion_desired);
        bytes
    }
}

impl Kind {
    fn record_type(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
        }
    }
}

/// Asks a server, over UDP and, when the answer is truncated, once more over TCP.
///
/// Every query leaves from a socket of its own, so that no two share anything. `timeout` holds for each of `attempts`
/// attempts, which all carry the same id; answers to another id or question are passed over.
///
/// # Errors
/// One of [`AskError`]; after the last attempt for what may get better by itself, at once for what will not.
pub async fn ask(
    server: SocketAddr,
    question: &Question,
    id: u16,
    each: Duration,
    attempts: u32,
    recursion_desired: bool,
) -> Result<Reply, AskError> {
    let bytes = question.with(id, recursion_desired);
    let local = match server {
        SocketAddr::V4(_) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
        SocketAddr::V6(_) => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
    };
    let socket = UdpSocket::bind(local).await.map_err(AskError::LocalLimit)?;
    // Connected, so that the kernel drops what others send and tells when nobody listens.
    socket.connect(server).await.map_err(from_io)?;
    let mut last = AskError::Timeout;
    for _ in 0..attempts.max(1) {
        let reply = match timeout(each, over_udp(&socket, question, id, &bytes)).await {
            Err(_) => Err(AskError::Timeout),
            Ok(Ok(Some(message))) => read(question, &message),
            Ok(Ok(None)) => timeout(each, over_tcp(server, question, id, &bytes))
                .await
                .map_or(Err(AskError::Timeout), |answer| read(question, &answer?)),
            Ok(Err(error)) => Err(error),
        };
        match reply {
            Err(error @ (AskError::Timeout | AskError::Unreachable(_))) => last = error,
            other => return other,
        }
    }
    Err(last)
}

/// The answer, or nothing when it is truncated.
async fn over_udp(socket: &UdpSocket, question: &Question, id: u16, bytes: &[u8]) -> Result<Option<Message>, AskError> {
    socket.send(bytes).await.map_err(from_io)?;
    loop {
        // Linux tells that nobody listens by EPOLLERR alone: whoever waits for packets only takes it for silence.
        if socket.ready(Interest::READABLE | Interest::ERROR).await.map_err(from_io)?.is_error() {
            told(socket)?;
        }
        // On the stack and not across an await: this future is part of what each waiting viewer owns.
        let mut buffer = [0; MOST_UDP_BYTES];
        let length = match socket.try_recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(from_io(error)),
        };
        match matching(&buffer[..length], question, id) {
            Ok(None) => {}
            Ok(Some(message)) => return Ok((!message.metadata.truncation).then_some(message)),
            // A truncated packet may end within a record; it is to be ignored and asked for again (RFC 2181, section 9).
            Err(_) if buffer[2] & TRUNCATED != 0 => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// The error that the kernel noted for the socket. Without one, waits for the next from now on.
fn told(socket: &UdpSocket) -> Result<(), AskError> {
    let noted = || socket.take_error()?.map_or_else(|| Err(io::ErrorKind::WouldBlock.into()), Err);
    match socket.try_io(Interest::ERROR, noted) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(from_io(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

async fn over_tcp(server: SocketAddr, question: &Question, id: u16, bytes: &[u8]) -> Result<Message, AskError> {
    let socket = if server.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let mut stream = socket.map_err(AskError::LocalLimit)?.connect(server).await.map_err(from_io)?;
    let length = u16::try_from(bytes.len()).map_err(|error| AskError::Malformed(error.to_string()))?;
    let framed = [&length.to_be_bytes(), bytes].concat();
    stream.write_all(&framed).await.map_err(from_io)?;
    let length = stream.read_u16().await.map_err(from_io)?;
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await.map_err(from_io)?;
    matching(&answer, question, id)?.ok_or_else(|| AskError::Malformed("it answers another question".into()))
}

/// The message if it answers this very query. A packet with another id or question may be a late or forged one.
fn matching(bytes: &[u8], question: &Question, id: u16) -> Result<Option<Message>, AskError> {
    if bytes.get(..2) != Some(&id.to_be_bytes()) {
        return Ok(None);
    }
    let message = Message::from_vec(bytes).map_err(|error| AskError::Malformed(error.to_string()))?;
    let asked = |query: &Query| query.query_type() == question.query.query_type() && query.name() == question.query.name();
    let matches =
        message.metadata.message_type == MessageType::Response && message.queries.len() == 1 && message.queries.iter().all(asked);
    Ok(matches.then_some(message))
}

fn read(question: &Question, message: &Message) -> Result<Reply, AskError> {
    match message.metadata.response_code {
        ResponseCode::NoError => {}
        ResponseCode::NXDomain => return Err(AskError::NoSuchName),
        code => return Err(AskError::Code(code)),
    }
    let mut owner = question.query.name();
    let (mut addresses, mut ttl_s) = (Vec::new(), u32::MAX);
    for record in &message.answers {
        if record.name != *owner {
            // Servers put chains in order (RFC 1034, section 4.3.2); what stands outside of it does not answer the question.
            continue;
        }
        match (&record.data, question.kind) {
            (RData::CNAME(target), _) => owner = &target.0,
            (RData::A(address), Kind::A) => addresses.push(IpAddr::V4(address.0)),
            (RData::AAAA(address), Kind::Aaaa) => addresses.push(IpAddr::V6(address.0)),
            _ => continue,
        }
        ttl_s = ttl_s.min(ttl(record.ttl));
    }
    if addresses.is_empty() {
        let negative = message.authorities.iter().find_map(|record| match &record.data {
            RData::SOA(soa) => Some(ttl(record.ttl).min(soa.minimum)),
            _ => None,
        });
        ttl_s = negative.unwrap_or(0);
    }
    Ok(Reply { addresses, ttl_s })
}

/// A TTL with its highest bit set counts as 0 (RFC 2181, section 8).
fn ttl(found: u32) -> u32 {
    if found > i32::MAX as u32 { 0 } else { found }
}

fn from_io(error: io::Error) -> AskError {
    // EMFILE, ENFILE, EADDRNOTAVAIL, ENOBUFS: this machine's limits, never the server's fault.
    match error.raw_os_error() {
        Some(24 | 23 | 99 | 105) => AskError::LocalLimit(error),
        _ => AskError::Unreachable(error),
    }
}
