//! A crew against a server that speaks TLS, with a certificate of its own authority.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use support::{Client, Names, Play, Seen, scenario};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use voteburst_burst::outcome::Failure;

const VIEWERS: u32 = 20;

/// A certificate authority's file, gone when the test is.
struct CaFile(PathBuf);

impl Drop for CaFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A server for `vote.test` that counts every vote, and the certificate to trust.
async fn server() -> (u16, Arc<Seen>, CaFile) {
    static FILES: AtomicU32 = AtomicU32::new(0);
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["vote.test".into()]).unwrap();
    let number = FILES.fetch_add(1, Ordering::SeqCst);
    let file = CaFile(std::env::temp_dir().join(format!("voteburst-ca-{}-{number}.pem", std::process::id())));
    std::fs::write(&file.0, cert.pem()).unwrap();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(vec![cert.der().clone()], key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, seen) = (listener.local_addr().unwrap().port(), Arc::new(Seen::default()));
    let theirs = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let number = theirs.connections.fetch_add(1, Ordering::SeqCst);
            let (acceptor, seen) = (acceptor.clone(), Arc::clone(&theirs));
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    Client::new(stream, number, seen).serve().await;
                }
            });
        }
    });
    (port, seen, file)
}

fn encrypted(names: &Names, host: &str, ca_file: &CaFile) -> String {
    let url = format!("url = \"https://{host}/vote\"\nca_file = \"{}\"", ca_file.0.display());
    scenario(VIEWERS, names.address, &[("url = \"http://vote.test/vote\"", &url)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn votes_over_tls_are_counted_like_plain_ones() {
    let names = Names::answering(Some(Ipv4Addr::LOCALHOST), 60).await;
    let (port, seen, ca_file) = server().await;
    let result = Play::whole(&encrypted(&names, "vote.test", &ca_file), port).await;
    assert_eq!(
        [result.total.opened, result.total.closed, result.total.sent, result.total.accepted],
        [VIEWERS, 0, VIEWERS, VIEWERS]
    );
    assert_eq!(result.fates, [0, 0, 0, VIEWERS]);
    assert_eq!(seen.counts(), vec![1; VIEWERS as usize]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_for_another_host_ends_in_the_class_of_tls() {
    let names = Names::answering(Some(Ipv4Addr::LOCALHOST), 60).await;
    let (port, seen, ca_file) = server().await;
    let result = Play::whole(&encrypted(&names, "other.test", &ca_file), port).await;
    assert_eq!(result.failed_only(Failure::Tls), VIEWERS);
    assert_eq!((result.fates, seen.counts().len()), ([VIEWERS, 0, 0, 0], 0));
}
