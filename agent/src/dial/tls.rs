//! How TLS is spoken with a target, and whose certificates are trusted.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Conn;

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

    /// Speaks TLS over a new connection.
    pub(super) async fn handshake(&self, stream: TcpStream) -> io::Result<Conn> {
        Ok(Conn::Tls(Box::new(self.connector.connect(self.host.clone(), stream).await?)))
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
