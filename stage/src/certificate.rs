//! The certificates of one stage: an authority made for it alone, and what that signed for its proxies.

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use crate::protocol::Identity;

/// A throwaway authority's certificate, and what all proxies of the stage prove themselves by.
///
/// The authority's key is gone as soon as it has signed once: nobody else can be certified by it. Keys are on P-256, as
/// those of most public certificates are.
#[derive(Debug)]
pub(crate) struct Certificates {
    /// The authority, in DER: what a client has to trust.
    pub(crate) authority: Vec<u8>,
    /// The same in PEM.
    pub(crate) authority_pem: String,
    /// The proxies' certificate and key.
    pub(crate) identity: Identity,
}

impl Certificates {
    /// Makes them for a host name.
    ///
    /// # Errors
    /// The system has no randomness, or the name is none that a certificate can hold.
    pub(crate) fn make(host: &str) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "voteburst stage, for one run");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority_key = KeyPair::generate()?;
        let authority = params.self_signed(&authority_key)?;
        let mut proxy = CertificateParams::new(vec![host.to_owned()])?;
        proxy.distinguished_name.push(DnType::CommonName, "voteburst stage");
        proxy.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        proxy.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = proxy.signed_by(&key, &Issuer::new(params, authority_key))?.pem();
        Ok(Self {
            authority: authority.der().to_vec(),
            authority_pem: authority.pem(),
            identity: Identity { certificate, key: key.serialize_pem() },
        })
    }
}
