//! Whose certificates are trusted.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;

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
    /// The authority made for the run.
    #[error("cannot use the certificate that the coordinator sent for its stage: {0}; start agents of the coordinator's version")]
    Authority(rustls::Error),
    /// The system's certificates.
    #[error("cannot verify the target's certificate: {0}; install the system's CA certificates or name a target.ca_file")]
    System(rustls::Error),
    /// The host of the URL.
    #[error("`{0}` is neither a DNS name nor an address, so that no certificate can be checked against it")]
    Host(String),
}

/// A configuration that verifies by the system's certificates, those of `ca_file`, and `authority` in DER where it is not empty.
pub(super) fn config(ca_file: Option<&str>, authority: &[u8]) -> Result<ClientConfig, TrustError> {
    let provider = Arc::new(ring::default_provider());
    let mut extra = ca_file.map(read_certificates).transpose()?.unwrap_or_default();
    if !authority.is_empty() {
        let authority = CertificateDer::from(authority.to_vec());
        RootCertStore::empty().add(authority.clone()).map_err(TrustError::Authority)?;
        extra.push(authority);
    }
    let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider)).map_err(TrustError::System)?;
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(TrustError::System)?;
    let verifier = Arc::new(Remembering { verifier, good: Mutex::default() });
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// How many chains are remembered: more than a fleet has proxies with certificates of their own.
const MOST_CHAINS: usize = 64;
/// For how many seconds a chain that was found good is not looked at again.
const GOOD_FOR_S: u64 = 60;

/// Verifies each chain of certificates once a minute, instead of once per viewer.
///
/// To verify the same bytes for the same name again would prove nothing that is not known, and its time is the agent's, not a
/// phone's. A chain that differs in one byte, as that of one wrong proxy, is verified on its own, and one that was refused is
/// refused anew each time. That the peer holds the certificate's key is verified in every full handshake.
#[derive(Debug)]
struct Remembering {
    verifier: Verifier,
    good: Mutex<Vec<Good>>,
}

/// What was verified, and found good.
#[derive(Debug)]
struct Good {
    end_entity: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
    ocsp_response: Vec<u8>,
    name: ServerName<'static>,
    minute: u64,
}

impl ServerCertVerifier for Remembering {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let minute = now.as_secs() / GOOD_FOR_S;
        let mut all_good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = all_good.iter().any(|good| {
            good.minute == minute
                && good.end_entity == *end_entity
                && good.intermediates == intermediates
                && good.ocsp_response == ocsp_response
                && good.name == *name
        });
        if !is_known {
            self.verifier.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)?;
            all_good.retain(|good| good.minute == minute);
            if all_good.len() < MOST_CHAINS {
                all_good.push(Good {
                    end_entity: end_entity.clone().into_owned(),
                    intermediates: intermediates.iter().map(|one| one.clone().into_owned()).collect(),
                    ocsp_response: ocsp_response.to_vec(),
                    name: name.to_owned(),
                    minute,
                });
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
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
