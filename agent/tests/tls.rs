//! A crew against a server that speaks TLS, with a certificate of its own authority.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::{HandshakeKind, ServerConfig, ServerConnection};
use support::{Client, Names, OK, Play, Seen, scenario};
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

/// How a server speaks TLS.
#[derive(Clone, Copy, Default)]
struct Manner {
    /// TLS 1.2 instead of what both ends like best.
    old: bool,
    /// Sessions live in tickets instead of the server's memory.
    tickets: bool,
    /// Every connection ends with its first vote.
    once: bool,
}

impl Manner {
    fn config(self, certificate: CertifiedKey<KeyPair>) -> ServerConfig {
        let CertifiedKey { cert, signing_key } = certificate;
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let versions = if self.old { &[&rustls::version::TLS12][..] } else { rustls::ALL_VERSIONS };
        let builder = builder.with_protocol_versions(versions).unwrap().with_no_client_auth();
        let mut config = builder.with_single_cert(vec![cert.der().clone()], key).unwrap();
        if self.tickets {
            config.ticketer = ring::Ticketer::new().unwrap();
        }
        config
    }
}

/// A connection's handshake as the server saw it, and who voted over it.
#[derive(Debug, PartialEq, Eq)]
struct Shaken {
    resumed: bool,
    /// Which connection's session that was; rustls tells it for TLS 1.3 only.
    of: Option<u32>,
    viewer: u32,
}

/// A server for `vote.test` that counts every vote.
struct Server {
    port: u16,
    seen: Arc<Seen>,
    /// By number of the connection.
    shaken: Arc<Mutex<BTreeMap<u32, Shaken>>>,
    ca_file: CaFile,
}

async fn server(manner: Manner) -> Server {
    static FILES: AtomicU32 = AtomicU32::new(0);
    let certificate = generate_simple_self_signed(vec!["vote.test".into()]).unwrap();
    let number = FILES.fetch_add(1, Ordering::SeqCst);
    let ca_file = CaFile(std::env::temp_dir().join(format!("voteburst-ca-{}-{number}.pem", std::process::id())));
    std::fs::write(&ca_file.0, certificate.cert.pem()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(manner.config(certificate)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, seen) = (listener.local_addr().unwrap().port(), Arc::new(Seen::default()));
    let shaken = Arc::new(Mutex::new(BTreeMap::new()));
    let (theirs, noted) = (Arc::clone(&seen), Arc::clone(&shaken));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let number = theirs.connections.fetch_add(1, Ordering::SeqCst);
            let (acceptor, seen, noted) = (acceptor.clone(), Arc::clone(&theirs), Arc::clone(&noted));
            tokio::spawn(async move {
                // The session carries the number of the connection that began it.
                let named = |tls: &mut ServerConnection| tls.set_resumption_data(&number.to_be_bytes());
                let Ok(stream) = acceptor.accept_with(stream, named).await else { return };
                let tls = stream.get_ref().1;
                let resumed = tls.handshake_kind() == Some(HandshakeKind::Resumed);
                let of = tls.received_resumption_data().map(|data| u32::from_be_bytes(data.try_into().unwrap()));
                let mut client = Client::new(stream, number, seen);
                if !manner.once {
                    return client.serve().await;
                }
                let Some(request) = client.request().await else { return };
                let viewer = request.split_once("\"viewer\":").unwrap().1.split_once(',').unwrap().0.parse().unwrap();
                client.seen.ballot(&request);
                noted.lock().unwrap().insert(number, Shaken { resumed, of, viewer });
                client.answer(&OK.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n")).await.unwrap();
            });
        }
    });
    Server { port, seen, shaken, ca_file }
}

fn encrypted(names: &Names, host: &str, ca_file: &CaFile) -> String {
    let url = format!("url = \"https://{host}/vote\"\nca_file = \"{}\"", ca_file.0.display());
    scenario(VIEWERS, names.address, &[("url = \"http://vote.test/vote\"", &url)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn votes_over_tls_are_counted_like_plain_ones() {
    let names = Names::answering(Some(Ipv4Addr::LOCALHOST), 60).await;
    let Server { port, seen, ca_file, .. } = server(Manner::default()).await;
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
    let Server { port, seen, ca_file, .. } = server(Manner::default()).await;
    let result = Play::whole(&encrypted(&names, "other.test", &ca_file), port).await;
    assert_eq!(result.failed_only(Failure::Tls), VIEWERS);
    assert_eq!((result.fates, seen.counts().len()), ([VIEWERS, 0, 0, 0], 0));
}

/// Each manner in which a server keeps sessions: a viewer's first handshake is a full one, its later ones resume its own session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_that_comes_back_resumes_its_own_session_and_nobody_elses() {
    for (old, tickets) in [(false, false), (false, true), (true, false), (true, true)] {
        let names = Names::answering(Some(Ipv4Addr::LOCALHOST), 60).await;
        let Server { port, shaken, ca_file, .. } = server(Manner { old, tickets, once: true }).await;
        let mut text = encrypted(&names, "vote.test", &ca_file);
        for question in ["q2", "q3"] {
            let opens_at = if question == "q2" { "300ms" } else { "600ms" };
            text += &format!("[[questions]]\nid = \"{question}\"\nopens_at = \"{opens_at}\"\nwindow = \"300ms\"\n");
            text += "arrivals = { shape = \"all-at-once\" }\nchoices = { anna = 0.5, ben = 0.5 }\n";
        }
        let text = text.replace("window = \"10s\"", "window = \"300ms\"");
        let result = Play::whole(&text, port).await;
        assert_eq!(result.fates, [0, 0, 0, 3 * VIEWERS]);
        let shaken = shaken.lock().unwrap();
        for viewer in 0..VIEWERS {
            let its: Vec<_> = shaken.iter().filter(|(_, shaken)| shaken.viewer == viewer).collect();
            let resumed: Vec<_> = its.iter().map(|(_, shaken)| shaken.resumed).collect();
            assert_eq!(resumed, [false, true, true], "viewer {viewer}, old {old}, tickets {tickets}: {its:?}");
            let of: Vec<_> = its.iter().filter_map(|(_, shaken)| shaken.of).collect();
            let its_own: Vec<_> = its[..2].iter().map(|(number, _)| **number).collect();
            assert_eq!(of, if old { Vec::new() } else { its_own }, "viewer {viewer}, tickets {tickets}: {its:?}");
        }
    }
}
