//! The only place that opens a socket to a target.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use voteburst_burst::outcome::Failure;

use crate::allow::AllowList;

/// One viewer's connection. The encrypted one is boxed, for its state of about 1 KiB would otherwise be part of
/// every plain viewer too.
#[derive(Debug)]
pub(crate) enum Conn {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Conn {
    /// Reads what has come; `Ready(Ok(0))` is the end of the stream.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        let before = buffer.filled().len();
        ready!(match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        })?;
        Poll::Ready(Ok(buffer.filled().len() - before))
    }

    /// Writes some bytes.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    /// Pushes out what a TLS stream may hold back.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }
}

/// A connection that did not come about.
#[derive(Debug, thiserror::Error)]
#[error("connection to {address} failed ({class}): {what}")]
pub(crate) struct DialError {
    /// The address that was tried.
    pub(crate) address: IpAddr,
    /// The stable class.
    pub(crate) class: Failure,
    /// The kernel's or rustls' words.
    pub(crate) what: String,
}

/// Certificates that cannot be trusted because they cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The scenario's `ca_file`.
    #[error("cannot read certificates from {file}: {what}; needed a PEM file with at least one CERTIFICATE on every agent")]
    CaFile {
        /// As written in the scenario.
        file: String,
        /// What went wrong.
        what: String,
    },
    /// The system's certificates.
    #[error("cannot verify the target's certificate: {0}; install the system's CA certificates or name a target.ca_file")]
    System(rustls::Error),
    /// The host of the URL.
    #[error("`{0}` is neither a DNS name nor an address, so that no certificate can be checked against it")]
    Host(String),
}

/// How TLS is spoken, shared by all viewers.
pub(crate) struct Tls {
    connector: TlsConnector,
    host: ServerName<'static>,
}

impl Tls {
    /// Trusts the system's certificates, and those of `ca_file`.
    pub(crate) fn new(host: &str, ca_file: Option<&str>) -> Result<Self, TrustError> {
        let provider = Arc::new(ring::default_provider());
        let mut config = Self::verified(provider, ca_file)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A shared store would let one viewer's phone resume the session of another's, which no phone can.
        config.resumption = Resumption::disabled();
        let host = ServerName::try_from(host.to_owned()).map_err(|_| TrustError::Host(host.into()))?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), host })
    }

    fn verified(provider: Arc<CryptoProvider>, ca_file: Option<&str>) -> Result<ClientConfig, TrustError> {
        let extra = ca_file.map(read_certificates).transpose()?.unwrap_or_default();
        let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider)).map_err(TrustError::System)?;
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(TrustError::System)?;
        Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
    }
}

fn read_certificates(file: &str) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let refuse = |what: String| TrustError::CaFile { file: file.into(), what };
    let read = CertificateDer::pem_file_iter(Path::new(file)).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| refuse(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(|error| refuse(error.to_string()))?;
    }
    if certificates.is_empty() { Err(refuse("found no CERTIFICATE in it".into())) } else { Ok(certificates) }
}

/// Opens connections for the viewers of one agent.
pub(crate) struct Dialler {
    /// Where connections come from, by viewer; empty: the kernel chooses.
    pub(crate) sources: Vec<IpAddr>,
    /// Where they may go.
    pub(crate) allowed: AllowList,
    /// The port of every proxy.
    pub(crate) port: u16,
    /// How long a connection may take, TLS included.
    pub(crate) connect_timeout: Duration,
    /// TLS, when the target speaks it.
    pub(crate) tls: Option<Tls>,
}

impl Dialler {
    /// Opens a connection to the first of the addresses that a name resolved to, in the order of the answer.
    ///
    /// `addresses` must not be empty. All of the list is taken so that phones which race addresses can be added here.
    pub(crate) async fn open(&self, viewer: u32, addresses: &[IpAddr]) -> Result<Conn, DialError> {
        let address = addresses[0];
        let failed = |class, what: String| DialError { address, class, what };
        if !self.allowed.allows(address) {
            let what = "the address is not on this agent's allow-list; start the agent with --allow for its network".into();
            return Err(failed(Failure::NotAllowed, what));
        }
        match timeout(self.connect_timeout, self.connect(viewer, address)).await {
            Ok(Ok(conn)) => Ok(conn),
            Ok(Err((class, error))) => Err(failed(class, error.to_string())),
            Err(_) => Err(failed(Failure::ConnectTimeout, format!("nothing within {:?}", self.connect_timeout))),
        }
    }

    async fn connect(&self, viewer: u32, address: IpAddr) -> Result<Conn, (Failure, io::Error)> {
        let target = SocketAddr::new(address, self.port);
        let socket = self.socket(viewer, target).map_err(|error| (Failure::LocalLimit, error))?;
        let stream = socket.connect(target).await.map_err(|error| (class_of(&error), error))?;
        match &self.tls {
            None => Ok(Conn::Plain(stream)),
            Some(tls) => {
                let handshake = tls.connector.connect(tls.host.clone(), stream).await;
                Ok(Conn::Tls(Box::new(handshake.map_err(|error| (Failure::Tls, error))?)))
            }
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

#[cfg(test)]
mod tests {
    use rustix::io::Errno;
    use tokio::net::TcpListener;

    use super::*;

    fn dialler(port: u16, sources: &[&str]) -> Dialler {
        Dialler {
            sources: sources.iter().map(|source| source.parse().unwrap()).collect(),
            allowed: AllowList::default(),
            port,
            connect_timeout: Duration::from_millis(300),
            tls: None,
        }
    }

    #[tokio::test]
    async fn viewers_connect_from_the_sources_in_turn() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dialler = dialler(listener.local_addr().unwrap().port(), &["127.64.1.1", "127.64.1.2"]);
        let mut seen = Vec::new();
        for viewer in 0..3 {
            let _conn = dialler.open(viewer, &["127.0.0.1".parse().unwrap()]).await.unwrap();
            seen.push(listener.accept().await.unwrap().1.ip().to_string());
        }
        assert_eq!(seen, ["127.64.1.1", "127.64.1.2", "127.64.1.1"]);
    }

    #[tokio::test]
    async fn an_address_outside_the_allow_list_is_never_dialled() {
        let error = dialler(80, &[]).open(0, &["192.0.2.1".parse().unwrap()]).await.unwrap_err();
        assert_eq!(error.class, Failure::NotAllowed);
        assert!(error.to_string().contains("allow-list"), "{error}");
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_refuses() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let error = dialler(free, &[]).open(0, &["127.0.0.1".parse().unwrap()]).await.unwrap_err();
        assert_eq!((error.class, error.address.to_string()), (Failure::Refused, "127.0.0.1".into()));
    }

    #[tokio::test]
    async fn a_source_address_of_another_machine_is_a_local_limit() {
        let error = dialler(80, &["192.0.2.1"]).open(0, &["127.0.0.1".parse().unwrap()]).await.unwrap_err();
        assert_eq!(error.class, Failure::LocalLimit);
    }

    #[test]
    fn errors_of_connect_have_their_class() {
        for (errno, class) in [
            (Errno::CONNREFUSED, Failure::Refused),
            (Errno::CONNRESET, Failure::Refused),
            (Errno::HOSTUNREACH, Failure::Refused),
            (Errno::NETUNREACH, Failure::Refused),
            (Errno::TIMEDOUT, Failure::ConnectTimeout),
            (Errno::MFILE, Failure::LocalLimit),
            (Errno::NOBUFS, Failure::LocalLimit),
            (Errno::ADDRNOTAVAIL, Failure::LocalLimit),
            (Errno::AGAIN, Failure::LocalLimit),
            (Errno::PERM, Failure::LocalLimit),
        ] {
            assert_eq!(class_of(&errno.into()), class, "{errno:?}");
        }
    }

    #[test]
    fn a_ca_file_that_is_missing_or_empty_is_named() {
        let empty = std::env::temp_dir().join(format!("voteburst-empty-{}.pem", std::process::id()));
        std::fs::write(&empty, "no certificate\n").unwrap();
        for file in ["/nonexistent/ca.pem", empty.to_str().unwrap()] {
            let error = Tls::new("vote.test", Some(file)).err().unwrap();
            assert!(error.to_string().contains(file), "{error}");
        }
        std::fs::remove_file(empty).unwrap();
    }
}
