use std::cell::Cell;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use voteburst_burst::phone::Racing;

use super::*;
use crate::allow::AllowList;
use crate::dial::{Dialler, Tls};

const VOTE: &[u8] =
    b"POST /vote?q=1 HTTP/1.1\r\nHost: vote.test\r\nConnection: keep-alive\r\nX-Ballot: b\r\nContent-Length: 2\r\n\r\n{}";

/// A proxy that terminates TLS and agrees to these protocols, and the dialler of lean phones to it.
async fn proxy(protocols: &[&str]) -> (TlsAcceptor, TcpListener, Dialler) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["vote.test".into()]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // A port is bound once at a time, so no two tests write the same file.
    let ca_file = std::env::temp_dir().join(format!("voteburst-full-{}-{port}.pem", std::process::id()));
    std::fs::write(&ca_file, cert.pem()).unwrap();
    let tls = Tls::new("vote.test", ca_file.to_str(), &[]).unwrap();
    std::fs::remove_file(&ca_file).unwrap();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut config = builder.with_single_cert(vec![cert.der().clone()], key).unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let connect_timeout = Duration::from_secs(20);
    let dialler = Dialler { sources: Vec::new(), allowed: AllowList::default(), port, connect_timeout, tls: Some(tls) };
    (TlsAcceptor::from(Arc::new(config)), listener, dialler)
}

/// Both ends of a new connection.
async fn connect(
    (acceptor, listener, _): &(TlsAcceptor, TcpListener, Dialler),
    dialler: &Dialler,
) -> (Conn, TlsStream<TcpStream>) {
    let address: IpAddr = listener.local_addr().unwrap().ip();
    let addresses = [address];
    let accept = async { acceptor.accept(listener.accept().await.unwrap().0).await.unwrap() };
    let (opened, accepted) = tokio::join!(dialler.open(0, Racing::Sequential, &addresses), accept);
    (opened.unwrap().conn, accepted)
}

fn http2(conn: Conn) -> Http2 {
    let Conn::Http2(http2) = conn else { panic!("no HTTP/2 was agreed on: {conn:?}") };
    *http2
}

#[tokio::test]
async fn full_phones_speak_http2_and_lean_ones_do_not_where_the_proxy_speaks_both() {
    let local = LocalSet::new();
    local
        .run_until(async {
            let proxy = proxy(&["h2", "http/1.1"]).await;
            let (lean, server) = connect(&proxy, &proxy.2).await;
            assert!(matches!(lean, Conn::Tls(_)), "{lean:?}");
            assert_eq!(server.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
            let (full, server) = connect(&proxy, &proxy.2.offering_http2()).await;
            assert_eq!(server.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            assert!(matches!(full, Conn::Http2(_)), "{full:?}");
        })
        .await;
}

#[tokio::test]
async fn a_full_phone_speaks_http1_to_a_proxy_that_knows_nothing_else() {
    for protocols in [&["http/1.1"][..], &[]] {
        let proxy = proxy(protocols).await;
        let (full, _server) = connect(&proxy, &proxy.2.offering_http2()).await;
        assert!(matches!(full, Conn::Tls(_)), "{full:?}");
    }
}

#[tokio::test]
async fn votes_go_one_after_another_over_one_connection_until_the_proxy_ends_it() {
    let local = LocalSet::new();
    local
        .run_until(async {
            let proxy = proxy(&["h2"]).await;
            let (full, server) = connect(&proxy, &proxy.2.offering_http2()).await;
            let mut full = http2(full);
            let serve = tokio::task::spawn_local(async move {
                let mut server = h2::server::handshake(server).await.unwrap();
                for status in [200, 503] {
                    let (request, mut answer) = server.accept().await.unwrap().unwrap();
                    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/vote"));
                    assert_eq!(request.headers()["x-ballot"], "b");
                    let head = http::Response::builder().status(status).body(()).unwrap();
                    answer.send_response(head, false).unwrap().send_data(Bytes::from_static(b"ok"), true).unwrap();
                }
                server.graceful_shutdown();
                assert!(server.accept().await.is_none());
            });
            let sent = Cell::new(0);
            for status in [200, 503] {
                let answer = full.ask(VOTE, || sent.set(sent.get() + 1)).await.unwrap();
                assert_eq!(answer.status, status);
            }
            assert_eq!(sent.get(), 2);
            poll_fn(|cx| full.poll_ended(cx)).await;
            let broken = full.ask(VOTE, || sent.set(3)).await.unwrap_err();
            assert_eq!((broken.class(false), broken.class(true)), (Failure::StaleKeepAlive, Failure::Reset), "{broken}");
            assert_eq!(sent.get(), 2, "what was never sent is not called sent");
            serve.await.unwrap();
        })
        .await;
}

#[test]
fn a_vote_says_the_same_in_http2() {
    let (head, body) = translate(VOTE).unwrap();
    assert_eq!(head.uri(), "https://vote.test/vote?q=1");
    let fields: Vec<_> = head.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!((fields, &body[..]), (vec![("x-ballot", &b"b"[..]), ("content-length", b"2")], &b"{}"[..]));
    for no_request in [&b"POST /vote HTTP/1.1\r\n\r\n"[..], b"POST /vote HTTP/1.1\r\nHost: a", b"\0\r\n\r\n"] {
        assert!(matches!(translate(no_request), Err(Broken::Request(_))));
    }
}
