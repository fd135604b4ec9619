//! A crew of full phones against a server that speaks HTTP/2: what becomes of a vote, by what is answered.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use support::{Names, Play, Result, scenario};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use voteburst_burst::outcome::Failure;

const VIEWERS: u32 = 20;

/// What a server does with a vote once it has read it.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Answers(u16),
    Resets,
    SaysNothing,
    Leaves,
}

/// Votes that were read, by their body.
type Votes = Arc<Mutex<BTreeMap<Vec<u8>, u32>>>;

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, manner: Manner, votes: Votes) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let mut unanswered: Vec<SendResponse<Bytes>> = Vec::new();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/vote"));
        // The body may still be on its way; reading it needs the connection to go on.
        let (votes, mut body) = (Arc::clone(&votes), request.into_body());
        let read = tokio::spawn(async move {
            let mut vote = Vec::new();
            while let Some(Ok(piece)) = body.data().await {
                vote.extend_from_slice(&piece);
            }
            *votes.lock().unwrap().entry(vote).or_default() += 1;
        });
        match manner {
            Manner::Answers(status) => {
                let head = http::Response::builder().status(status).body(()).unwrap();
                tokio::spawn(async move {
                    read.await.unwrap();
                    respond.send_response(head, true).unwrap();
                });
            }
            Manner::Resets => respond.send_reset(Reason::INTERNAL_ERROR),
            Manner::SaysNothing => unanswered.push(respond),
            Manner::Leaves => return,
        }
    }
}

/// Plays a crew of full phones against such a server.
async fn play(manner: Manner) -> (Result, Vec<u32>) {
    let names = Names::answering(Some(Ipv4Addr::LOCALHOST), 60).await;
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["vote.test".into()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut config = builder.with_single_cert(vec![cert.der().clone()], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, acceptor, votes) = (listener.local_addr().unwrap().port(), TlsAcceptor::from(Arc::new(config)), Votes::default());
    let theirs = Arc::clone(&votes);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(acceptor.clone(), stream, manner, Arc::clone(&theirs)));
        }
    });
    let phones = format!("viewers = {VIEWERS}\nphones = [{{ kind = \"android-okhttp\", share = 1.0, client = \"full\" }}]");
    let changes = [("http://vote.test", "https://vote.test"), ("viewers = 20", &*phones)];
    let text = scenario(VIEWERS, names.address, &changes);
    let result = Play::whole_trusting(&text, port, cert.der()).await;
    let counts = votes.lock().unwrap().values().copied().collect();
    (result, counts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn votes_of_full_phones_are_counted_like_those_of_lean_ones() {
    let (result, counts) = play(Manner::Answers(200)).await;
    assert_eq!(
        [result.total.opened, result.total.closed, result.total.sent, result.total.accepted],
        [VIEWERS, 0, VIEWERS, VIEWERS]
    );
    assert_eq!(result.histograms, [u64::from(VIEWERS); 3]);
    assert_eq!((result.fates, counts), ([0, 0, 0, VIEWERS], vec![1; VIEWERS as usize]));
}

/// Each answer has its class and leaves its fate; only a refused vote leaves the connection open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_that_is_not_accepted_has_the_class_and_fate_of_its_answer() {
    for (manner, class, fates, closed) in [
        (Manner::Answers(503), Failure::Status5xx, [0, VIEWERS, 0, 0], 0),
        (Manner::Resets, Failure::Reset, [0, 0, VIEWERS, 0], VIEWERS),
        (Manner::SaysNothing, Failure::NoAnswer, [0, 0, VIEWERS, 0], VIEWERS),
        (Manner::Leaves, Failure::StaleKeepAlive, [0, 0, VIEWERS, 0], VIEWERS),
    ] {
        let (result, _) = play(manner).await;
        assert_eq!(result.failed_only(class), VIEWERS, "{manner:?}");
        assert_eq!((result.fates, result.total.sent, result.total.closed), (fates, VIEWERS, closed), "{manner:?}");
    }
}
