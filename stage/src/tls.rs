//! TLS in front of a proxy, as HAProxy terminates it with `bind … ssl crt … alpn h2,http/1.1`.
//!
//! Each proxy has keys for its session tickets of its own, as HAProxy has unless `tls-ticket-keys` names a file: a phone
//! that comes back to the same proxy resumes its session, one that comes to another shakes hands in full. Workers that
//! share a proxy do not share them.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::connection::{self, Wire};
use crate::http2;
use crate::protocol::Identity;
use crate::proxy::Proxy;

/// How long a client may take to make room for the last word of a connection.
pub(crate) const GOODBYE_LIMIT: Duration = Duration::from_secs(1);

/// An identity that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No PEM.
    #[error("{0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// Key and certificate do not fit each other, or there is no randomness.
    #[error("{0}")]
    Tls(#[from] rustls::Error),
}

/// One proxy's side of TLS.
pub(crate) fn config(identity: &Identity) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let mut config = builder.with_safe_default_protocol_versions()?.with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = ring::Ticketer::new()?;
    Ok(Arc::new(config))
}

/// Shakes hands within the keep-alive time and serves the connection to its end, in the protocol that both agreed on.
pub(crate) async fn serve(config: &Arc<ServerConfig>, stream: TcpStream, proxy: &Rc<Proxy>) {
    let acceptor = TlsAcceptor::from(Arc::clone(config));
    // Boxed: the handshake is over soon, and an idle connection must not carry its state.
    let shaken = Box::pin(timeout(proxy.house.spec.keep_alive_timeout, acceptor.accept(stream))).await;
    let mut stream = match shaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "a client did not shake hands"),
        Err(_) => return proxy.idle(),
    };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        return Box::pin(http2::serve(stream, proxy)).await;
    }
    connection::serve(&mut stream, proxy).await;
    // Without TLS' own end the client would have to think that somebody cut the connection (RFC 8446, section 6.1).
    let _: Result<io::Result<()>, _> = Box::pin(timeout(GOODBYE_LIMIT, stream.shutdown())).await;
}

impl Wire for TlsStream<TcpStream> {
    fn write_now(&mut self, _: &[u8]) -> usize {
        // What rustls has encrypted cannot be taken back, so it is written by who can wait for the socket.
        0
    }
}
