//! The only place that opens a socket to a target.

mod race;
#[cfg(test)]
mod tests;
mod tls;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use voteburst_burst::outcome::Failure;
use voteburst_burst::phone::Racing;

use self::race::Attempt;
pub(crate) use self::tls::Tls;
use self::tls::TlsStream;
pub use self::tls::{HANDSHAKE_CPU, TrustError};
use crate::allow::AllowList;
use crate::full::Http2;

/// One viewer's connection.
#[derive(Debug)]
pub(crate) enum Conn {
    Plain(TcpStream),
    Tls(TlsStream),
    /// A full phone's; votes go by its own way, and reading only tells its end.
    Http2(Box<Http2>),
}

impl Conn {
    /// Reads what has come; `Ready(Ok(0))` is the end of the stream.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        let before = buffer.filled().len();
        ready!(match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => stream.poll_read(cx, buffer),
            Self::Http2(http2) => http2.poll_ended(cx).map(Ok),
        })?;
        Poll::Ready(Ok(buffer.filled().len() - before))
    }

    /// Writes some bytes.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => stream.poll_write(cx, bytes),
            Self::Http2(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    /// Pushes out what a TLS stream may hold back.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) | Self::Http2(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => stream.poll_flush(cx),
        }
    }
}

/// A connection that came about.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) conn: Conn,
    /// Whose it is.
    pub(crate) address: IpAddr,
    /// Where else the phone tried.
    pub(crate) others: Others,
}

/// What became of the other addresses that a phone tried.
#[derive(Debug, Default)]
pub(crate) struct Others {
    /// Those that failed: the phone learns of them.
    pub(crate) failed: Vec<IpAddr>,
    /// Those to which a packet went, whether they failed or were dropped because another one won: their proxies see an attempt.
    pub(crate) seen: Vec<IpAddr>,
}

/// A connection that did not come about. The first address that was tried stands for all, for it is where the phone wanted to
/// go; an address that is not allowed comes before any other, for somebody must act on it.
#[derive(Debug, thiserror::Error)]
#[error("connection to {address} failed ({class}): {what}")]
pub(crate) struct DialError {
    /// The address that was tried.
    pub(crate) address: IpAddr,
    /// The stable class.
    pub(crate) class: Failure,
    /// The kernel's or rustls' words; of the other addresses too.
    pub(crate) what: String,
    /// Where else the phone tried.
    pub(crate) others: Others,
}

/// Opens connections for the viewers of one agent.
#[derive(Clone)]
pub(crate) struct Dialler {
    /// Where connections come from, by viewer; empty: the kernel chooses.
    pub(crate) sources: Vec<IpAddr>,
    /// Where they may go.
    pub(crate) allowed: AllowList,
    /// The port of every proxy.
    pub(crate) port: u16,
    /// How long a connection may take.
    pub(crate) connect_timeout: Duration,
    /// TLS, when the target speaks it.
    pub(crate) tls: Option<Tls>,
}

impl Dialler {
    /// The same for full phones, which offer HTTP/2 where TLS is spoken.
    pub(crate) fn offering_http2(&self) -> Self {
        Self { tls: self.tls.as_ref().map(Tls::offering_http2), ..self.clone() }
    }

    /// Opens a connection to one of the addresses that a name resolved to, which are tried in this order and as `racing` says.
    ///
    /// `addresses` must not be empty. Each address has the connect timeout to itself. TLS is spoken with the first that connects:
    /// within what is left of that when the answer held one address, else within the same time again. Where TLS fails no other
    /// address is tried, for a certificate that is wrong at one proxy must not hide behind the others.
    pub(crate) async fn open(&self, viewer: u32, racing: Racing, addresses: &[IpAddr]) -> Result<Opened, DialError> {
        if let [address] = addresses {
            // Most answers hold one address: no more is owned for them than a connection needs.
            let conn = self.connect(viewer, *address).await.map_err(|failed| failed.after(Others::default()))?;
            return Ok(Opened { conn, address: *address, others: Others::default() });
        }
        let race::Won { stream, address, others } = Box::pin(self.race(viewer, racing, addresses)).await?;
        match timeout(self.connect_timeout, self.secure(viewer, stream)).await {
            Ok(Ok(conn)) => Ok(Opened { conn, address, others }),
            Ok(Err((class, error))) => Err(Attempt { address, class, what: error.to_string() }.after(others)),
            Err(_) => Err(self.timed_out(address).after(others)),
        }
    }

    /// One address, from the first packet to the end of the TLS handshake.
    async fn connect(&self, viewer: u32, address: IpAddr) -> Result<Conn, Attempt> {
        let target = self.permitted(address)?;
        let whole = async { self.secure(viewer, self.stream(viewer, target).await?).await };
        match timeout(self.connect_timeout, whole).await {
            Ok(Ok(conn)) => Ok(conn),
            Ok(Err((class, error))) => Err(Attempt { address, class, what: error.to_string() }),
            Err(_) => Err(self.timed_out(address)),
        }
    }

    fn permitted(&self, address: IpAddr) -> Result<SocketAddr, Attempt> {
        if self.allowed.allows(address) {
            return Ok(SocketAddr::new(address, self.port));
        }
        let what = "the address is not on this agent's allow-list; start the agent with --allow for its network".into();
        Err(Attempt { address, class: Failure::NotAllowed, what })
    }

    fn timed_out(&self, address: IpAddr) -> Attempt {
        Attempt { address, class: Failure::ConnectTimeout, what: format!("nothing within {:?}", self.connect_timeout) }
    }

    async fn stream(&self, viewer: u32, target: SocketAddr) -> Result<TcpStream, (Failure, io::Error)> {
        let socket = self.socket(viewer, target).map_err(|error| (Failure::LocalLimit, error))?;
        socket.connect(target).await.map_err(|error| (class_of(&error), error))
    }

    async fn secure(&self, viewer: u32, stream: TcpStream) -> Result<Conn, (Failure, io::Error)> {
        match &self.tls {
            None => Ok(Conn::Plain(stream)),
            Some(tls) => tls.handshake(viewer, stream).await.map_err(|error| (Failure::Tls, error)),
        }
    }

    fn socket(&self, viewer: u32, target: SocketAddr) -> io::Result<TcpSocket> {
        let socket = Socket::new(Domain::for_address(target), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        let mine: Vec<_> = self.sources.iter().filter(|source| source.is_ipv4() == target.is_ipv4()).collect();
        if !mine.is_empty() {
            // Without this option `bind` would reserve a port for itself alone, and further source addresses would
            // not multiply the ports (ip(7), Linux 4.2).
            setsockopt(&socket, IpBindAddressNoPort, &true)?;
            let source = *mine[viewer as usize % mine.len()];
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        Ok(TcpSocket::from_std_stream(socket.into()))
    }
}

/// The class of a connection that was not established.
///
/// A network that says a host cannot be reached refuses in the host's name. Descriptors, ports, buffers and local
/// firewalls are this machine's own limits (connect(2), socket(2)).
fn class_of(error: &io::Error) -> Failure {
    use io::ErrorKind::{AddrNotAvailable, OutOfMemory, PermissionDenied, TimedOut};
    match error.kind() {
        TimedOut => Failure::ConnectTimeout,
        AddrNotAvailable | OutOfMemory | PermissionDenied => Failure::LocalLimit,
        _ if is_local_limit(error) => Failure::LocalLimit,
        _ => Failure::Refused,
    }
}

/// Whether this machine ran out of descriptors, buffers or memory.
pub(crate) fn is_local_limit(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let limits = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL, Errno::AGAIN];
    error.raw_os_error().is_some_and(|code| limits.iter().any(|limit| limit.raw_os_error() == code))
}
