//! The exchange of one message, over UDP and TCP.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_proto::op::{Message, MessageType, Query as Asked, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::timeout;

use super::{AskError, Query, Question};
use crate::server::EDNS_BYTES;

/// The TC bit within the third byte (RFC 1035, section 4.1.1).
const TRUNCATED: u8 = 0b10;

/// Sends a question until an answer to it comes, whatever that says.
pub(crate) async fn exchange(server: SocketAddr, question: &Question, query: &Query) -> Result<Message, AskError> {
    let bytes = question.with(query)?;
    let local = match server {
        SocketAddr::V4(_) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
        SocketAddr::V6(_) => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
    };
    let socket = UdpSocket::bind(local).await.map_err(AskError::LocalLimit)?;
    // Connected, so that the kernel drops what others send and tells when nobody listens.
    socket.connect(server).await.map_err(from_io)?;
    let mut last = AskError::Timeout;
    for _ in 0..query.attempts.max(1) {
        match timeout(query.each, over_udp(&socket, question, query.id, &bytes)).await.unwrap_or(Err(AskError::Timeout)) {
            Ok(Some(message)) => return Ok(message),
            Ok(None) => {}
            Err(error @ (AskError::Timeout | AskError::Unreachable(_))) => {
                last = error;
                continue;
            }
            Err(error) => return Err(error),
        }
        // Boxed and apart from the above, as it is rare and this future is part of what each waiting viewer owns.
        let over_tcp = Box::pin(timeout(query.each, over_tcp(server, question, query.id, &bytes)));
        match over_tcp.await.unwrap_or(Err(AskError::Timeout)) {
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
        // On the stack and not across an await: this future is part of what each waiting viewer owns. Without EDNS an answer
        // has at most 512 bytes (RFC 1035, section 4.2.1).
        let mut buffer = [0; EDNS_BYTES as usize];
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
    let asked = |query: &Asked| query.query_type() == question.asked.query_type() && query.name() == question.asked.name();
    let about = match message.queries.as_slice() {
        // A server that could not or would not read the question may leave it out; what it found wrong is worth more than
        // silence. No other answer can do without.
        [] => !matches!(message.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain),
        [query] => asked(query),
        _ => false,
    };
    Ok((about && message.metadata.message_type == MessageType::Response).then_some(message))
}

fn from_io(error: io::Error) -> AskError {
    // EMFILE, ENFILE, EADDRNOTAVAIL, ENOBUFS: this machine's limits, never the server's fault.
    match error.raw_os_error() {
        Some(24 | 23 | 99 | 105) => AskError::LocalLimit(error),
        _ => AskError::Unreachable(error),
    }
}
