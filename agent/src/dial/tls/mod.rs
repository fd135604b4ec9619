//! How TLS is spoken with a target: one configuration for all viewers, one remembered session for each of them.

mod sessions;
mod stream;
#[cfg(test)]
mod tests;
mod trust;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use self::sessions::{Sessions, speaking_as};
pub(super) use self::stream::TlsStream;
pub use self::trust::TrustError;
use super::Conn;
use crate::full::Http2;

/// What a full TLS handshake may take of an agent's only thread, DNS and connect included.
///
/// For planning: doors that open for `n` viewers of one agent need at least `n` times this, else handshakes queue behind
/// one another and run into the connect timeout. `cargo bench --bench tls` measures it, with room for a slower machine
/// and for certificates signed with RSA. A handshake that resumes a session takes less.
pub const HANDSHAKE_CPU: Duration = Duration::from_micros(230);

/// How TLS is spoken, shared by all viewers of an agent.
#[derive(Clone)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    host: ServerName<'static>,
}

impl Tls {
    /// Trusts the system's certificates, those of `ca_file`, and `authority` in DER where it is not empty.
    pub(crate) fn new(host: &str, ca_file: Option<&str>, authority: &[u8]) -> Result<Self, TrustError> {
        let mut config = trust::config(ca_file, authority)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::store(Arc::new(Sessions::default()));
        let host = ServerName::try_from(host.to_owned()).map_err(|_| TrustError::Host(host.into()))?;
        Ok(Self { config: Arc::new(config), host })
    }

    /// The same with an offer of HTTP/2, which a proxy may take or leave (ALPN, RFC 7301).
    pub(super) fn offering_http2(&self) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols.insert(0, b"h2".to_vec());
        Self { config: Arc::new(config), host: self.host.clone() }
    }

    /// Speaks TLS over a viewer's new connection, and resumes that viewer's session if it has one.
    pub(super) async fn handshake(&self, viewer: u32, tcp: TcpStream) -> io::Result<Conn> {
        let begin = || UnbufferedClientConnection::new(Arc::clone(&self.config), self.host.clone());
        let tls = speaking_as(viewer, begin).map_err(io::Error::other)?;
        let stream = TlsStream::establish(tcp, tls, viewer).await?;
        if stream.speaks_http2() {
            // Boxed, for lean viewers come by here too.
            return Ok(Conn::Http2(Box::new(Box::pin(Http2::begin(Conn::Tls(stream))).await?)));
        }
        Ok(Conn::Tls(stream))
    }
}
