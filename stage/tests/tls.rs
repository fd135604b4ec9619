//! A proxy that speaks TLS counts, queues and refuses as a plain one does, whichever protocol a client chooses in the handshake.

#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside of test functions")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::ring;
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use support::{PATIENCE, RUN, Worker, service, spec, vote};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use voteburst_burst::ballot::BallotId;
use voteburst_stage::protocol::{Identity, ProxySpec, Report, WorkerSpec};

const HOST: &str = "vote.test";

/// A proxy's identity and clients that trust it, who offer these protocols.
fn identity() -> (Identity, impl Fn(&[&str]) -> TlsConnector) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec![HOST.into()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth();
    let connector = move |protocols: &[&str]| {
        let mut config = config.clone();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    };
    (Identity { certificate: cert.pem(), key: signing_key.serialize_pem() }, connector)
}

#[expect(clippy::disallowed_methods, reason = "a test's client is no target of the agent")]
async fn connect(connector: &TlsConnector, address: SocketAddr) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    let shaken = tokio::time::timeout(PATIENCE, connector.connect(HOST.try_into().unwrap(), stream));
    shaken.await.expect("a handshake in time").unwrap()
}

/// A connection that agreed on HTTP/2; its task returns how it ended.
async fn http2(connector: &TlsConnector, address: SocketAddr) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let stream = connect(connector, address).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    (requests, tokio::spawn(connection))
}

/// Sends a request and returns how its answer begins, and the rest of it.
async fn ask(requests: &SendRequest<Bytes>, method: &str, body: Vec<u8>) -> Result<(u16, String), h2::Error> {
    let whole = async {
        let mut ready = requests.clone().ready().await?;
        let head = http::Request::builder().method(method).uri(format!("https://{HOST}/vote")).body(()).unwrap();
        let (answer, mut stream) = ready.send_request(head, body.is_empty())?;
        if !body.is_empty() {
            stream.send_data(body.into(), true)?;
        }
        let (head, mut body) = answer.await?.into_parts();
        let mut text = Vec::new();
        while let Some(piece) = body.data().await {
            text.extend_from_slice(&piece?);
        }
        Ok((head.status.as_u16(), String::from_utf8(text).unwrap()))
    };
    tokio::time::timeout(PATIENCE, whole).await.expect("an answer in time")
}

fn ballot(ticket: u64) -> Vec<u8> {
    format!(r#"{{"ballot":"{}","question":"final","choice":"ben"}}"#, BallotId { run: RUN, ticket }).into()
}

#[tokio::test]
async fn both_protocols_are_offered_and_their_votes_are_counted_alike() {
    let (identity, connector) = identity();
    let spec = WorkerSpec { identity: Some(identity), service_time: service(Duration::ZERO), ..spec() };
    let mut worker = Worker::open(spec).await;
    let address = worker.listening[0];
    for (ticket, protocols) in [&["http/1.1"][..], &[]].into_iter().enumerate() {
        let mut stream = connect(&connector(protocols), address).await;
        // In pieces, and twice over one connection.
        for again in 0..2 {
            let text = vote(2 * ticket as u64 + again, "");
            let (first, second) = text.split_at(30);
            for piece in [first, second] {
                stream.write_all(piece.as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
            }
            let mut answer = [0; 15];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200 OK");
            let mut rest = vec![0; 256];
            while !rest.ends_with(br#"{"counted":true}"#) {
                let read = stream.read_u8().await.unwrap();
                rest.push(read);
            }
        }
    }
    let (requests, _end) = http2(&connector(&["h2", "http/1.1"]), address).await;
    let counted = (200, r#"{"counted":true}"#.to_owned());
    let (one, two) = tokio::join!(ask(&requests, "POST", ballot(4)), ask(&requests, "POST", ballot(5)));
    assert_eq!((one.unwrap(), two.unwrap()), (counted.clone(), counted));
    assert_eq!(ask(&requests, "GET", Vec::new()).await.unwrap(), (200, "voteburst stage\n".into()));
    assert_eq!(ask(&requests, "DELETE", Vec::new()).await.unwrap().0, 405);
    assert_eq!(ask(&requests, "POST", b"{}".to_vec()).await.unwrap().0, 400);
    assert_eq!(ask(&requests, "POST", vec![b' '; 70_000]).await.unwrap().0, 413);
    let counters = worker.counters().await.swap_remove(0);
    assert_eq!((counters.conn_tot, counters.req_tot), (3, 10), "{counters:?}");
    assert_eq!((counters.hrsp_2xx, counters.hrsp_4xx, counters.hrsp_5xx), (7, 3, 0), "{counters:?}");
    let dir = tempfile::tempdir().unwrap();
    let (ballots, report) = worker.close(dir.path(), Duration::from_secs(5)).await;
    assert_eq!(ballots.iter().map(|ballot| ballot.ticket).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    assert!(matches!(report, Report::Closed { abandoned: 0, .. }), "{report:?}");
}

#[tokio::test]
async fn streams_of_one_connection_wait_in_the_queue_and_are_refused_like_connections() {
    // Two servers take one request each at a time; the queue gives up what would be third.
    let (identity, connector) = identity();
    let (service_time, queue_timeout) = (service(Duration::from_millis(400)), Duration::from_millis(200));
    let spec = WorkerSpec { identity: Some(identity), server_limit: 1, service_time, queue_timeout, ..spec() };
    let mut worker = Worker::open_standing_still(spec).await;
    let (requests, _end) = http2(&connector(&["h2"]), worker.listening[0]).await;
    let asked: Vec<_> = (0..6)
        .map(|ticket| {
            let requests = requests.clone();
            tokio::spawn(async move { ask(&requests, "POST", ballot(ticket)).await.unwrap() })
        })
        .collect();
    worker.counters_when(|counters| counters.req_tot == 6).await;
    for _ in 0..2 {
        worker.advance(queue_timeout).await;
    }
    let mut statuses = Vec::new();
    for asked in asked {
        let (status, body) = asked.await.unwrap();
        assert_eq!(status == 503, body.contains("No server is available"), "{body}");
        statuses.push(status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 503, 503, 503, 503]);
    let counters = worker.counters().await.swap_remove(0);
    assert_eq!((counters.conn_tot, counters.queue_timeouts, counters.queue_peak), (1, 4, 4), "{counters:?}");
}

#[tokio::test]
async fn an_idle_connection_is_ended_politely_in_either_protocol_and_a_silent_one_too() {
    let (identity, connector) = identity();
    let keep_alive_timeout = Duration::from_millis(300);
    let spec = WorkerSpec { identity: Some(identity), service_time: service(Duration::ZERO), keep_alive_timeout, ..spec() };
    let mut worker = Worker::open_standing_still(spec).await;
    let address = worker.listening[0];
    let mut http1 = connect(&connector(&["http/1.1"]), address).await;
    // An answer tells that the proxy has shaken hands as well, without which it would end the connection without a word.
    http1.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"voteburst stage\n") {
        answer.push(http1.read_u8().await.unwrap());
    }
    worker.advance(keep_alive_timeout).await;
    // rustls calls an end without close_notify an error.
    let end = tokio::time::timeout(PATIENCE, http1.read_to_end(&mut Vec::new())).await.expect("closed in time");
    assert_eq!(end.unwrap(), 0);
    let (requests, end) = http2(&connector(&["h2"]), address).await;
    assert_eq!(ask(&requests, "POST", ballot(0)).await.unwrap().0, 200);
    worker.advance(keep_alive_timeout).await;
    tokio::time::timeout(PATIENCE, end).await.expect("closed in time").unwrap().unwrap();
    let refused = ask(&requests, "POST", ballot(1)).await.unwrap_err();
    assert_eq!((refused.is_go_away(), refused.reason()), (true, Some(h2::Reason::NO_ERROR)), "{refused}");
    #[expect(clippy::disallowed_methods, reason = "a test's client is no target of the agent")]
    let mut silent = TcpStream::connect(address).await.unwrap();
    worker.counters_when(|counters| counters.conn_tot == 3).await;
    worker.advance(keep_alive_timeout).await;
    assert_eq!(tokio::time::timeout(PATIENCE, silent.read(&mut [0])).await.expect("closed in time").unwrap(), 0);
    let counters = worker.counters_when(|counters| counters.conn_cur == 0).await;
    assert_eq!((counters.conn_tot, counters.idle_closed, counters.req_tot), (3, 3, 2), "{counters:?}");
}

#[tokio::test]
async fn a_session_is_resumed_at_its_proxy_and_at_no_other() {
    let (identity, connector) = identity();
    let proxy = |number| ProxySpec { number, address: [127, 0, 0, 1].into() };
    let spec = WorkerSpec {
        identity: Some(identity),
        proxies: vec![proxy(0), proxy(1)],
        service_time: service(Duration::ZERO),
        ..spec()
    };
    let worker = Worker::open(spec).await;
    let connector = connector(&["http/1.1"]);
    let mut kinds = Vec::new();
    for proxy in [0, 0, 1] {
        let mut stream = connect(&connector, worker.listening[proxy]).await;
        stream.write_all(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n").await.unwrap();
        // Tickets come before the answer.
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.expect("closed in time").unwrap();
        kinds.push(stream.get_ref().1.handshake_kind().unwrap());
    }
    assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Full]);
}

#[tokio::test]
async fn a_certificate_that_is_none_is_refused_with_words() {
    let identity = Identity { certificate: "none".into(), key: "none".into() };
    let mut worker = Worker::start();
    let report = worker.ask(&voteburst_stage::protocol::Command::Open(WorkerSpec { identity: Some(identity), ..spec() })).await;
    let Report::Failed { address_in_use: false, problem } = report else { panic!("{report:?}") };
    assert!(problem.contains("cannot speak TLS"), "{problem}");
}
