use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, server};

use super::*;

/// A server of TLS for `vote.test`, with a certificate of its own.
struct Server {
    acceptor: TlsAcceptor,
    listener: TcpListener,
    ca_file: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.ca_file);
    }
}

impl Server {
    async fn new() -> Self {
        static FILES: AtomicU32 = AtomicU32::new(0);
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["vote.test".into()]).unwrap();
        let (number, process) = (FILES.fetch_add(1, Ordering::SeqCst), std::process::id());
        let ca_file = std::env::temp_dir().join(format!("voteburst-tls-{process}-{number}.pem"));
        std::fs::write(&ca_file, cert.pem()).unwrap();
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(vec![cert.der().clone()], key).unwrap()));
        Self { acceptor, listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), ca_file }
    }

    /// Trust in this server.
    fn tls(&self) -> Tls {
        Tls::new("vote.test", self.ca_file.to_str(), &[]).unwrap()
    }

    async fn tcp(&self) -> (TcpStream, TcpStream) {
        let connect = tokio::net::TcpSocket::new_v4().unwrap().connect(self.listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(connect, self.listener.accept());
        (client.unwrap(), accepted.unwrap().0)
    }

    /// A connection, and the server's end of it.
    async fn connected(&self, tls: &Tls) -> io::Result<(TlsStream, server::TlsStream<TcpStream>)> {
        let (client, server) = self.tcp().await;
        let (conn, accepted) = tokio::join!(tls.handshake(0, client), self.acceptor.accept(server));
        Ok((stream(conn?), accepted?))
    }
}

fn stream(conn: Conn) -> TlsStream {
    match conn {
        Conn::Tls(stream) => stream,
        Conn::Plain(_) | Conn::Http2(_) => panic!("the connection is no TLS for HTTP/1.1"),
    }
}

/// One read into a small buffer.
async fn read(stream: &mut TlsStream) -> io::Result<Vec<u8>> {
    let mut space = [0; 100];
    let mut out = ReadBuf::new(&mut space);
    std::future::poll_fn(|cx| stream.poll_read(cx, &mut out)).await?;
    Ok(out.filled().to_vec())
}

async fn read_exactly(stream: &mut TlsStream, length: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < length {
        let more = read(stream).await.unwrap();
        assert!(!more.is_empty(), "the stream ended after {} bytes", all.len());
        all.extend(more);
    }
    all
}

async fn write(stream: &mut TlsStream, bytes: &[u8]) {
    let written = std::future::poll_fn(|cx| stream.poll_write(cx, bytes)).await.unwrap();
    assert_eq!(written, bytes.len());
    std::future::poll_fn(|cx| stream.poll_flush(cx)).await.unwrap();
}

/// Bytes that differ from place to place, so that none can be lost or doubled unseen.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place / 251 + place % 251) as u8).collect()
}

#[tokio::test]
async fn a_connection_that_has_spoken_both_ways_owns_no_buffer() {
    let server = Server::new().await;
    let (mut client, mut theirs) = server.connected(&server.tls()).await.unwrap();
    write(&mut client, b"a vote").await;
    let mut vote = [0; 6];
    theirs.read_exact(&mut vote).await.unwrap();
    theirs.write_all(&pattern(40_000)).await.unwrap();
    assert_eq!((vote.as_slice(), read_exactly(&mut client, 40_000).await), (&b"a vote"[..], pattern(40_000)));
    assert_eq!(client.buffered(), 0);
}

/// Sends what comes from one end to the other byte by byte, and lets the reader look after each.
async fn trickle(mut from: TcpStream, mut to: TcpStream) {
    let (mut from_read, mut from_write) = from.split();
    let (mut to_read, mut to_write) = to.split();
    let slowly = async {
        while let Ok(byte) = from_read.read_u8().await {
            to_write.write_u8(byte).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = slowly => {}
        _ = tokio::io::copy(&mut to_read, &mut from_write) => {}
    }
}

#[tokio::test]
async fn records_that_come_byte_by_byte_are_put_together() {
    let server = Server::new().await;
    let (client, relay_in) = server.tcp().await;
    let (relay_out, theirs) = server.tcp().await;
    client.set_nodelay(true).unwrap();
    relay_in.set_nodelay(true).unwrap();
    tokio::spawn(trickle(relay_out, relay_in));
    let tls = server.tls();
    let (conn, accepted) = tokio::join!(tls.handshake(0, client), server.acceptor.accept(theirs));
    let (mut client, mut theirs) = (stream(conn.unwrap()), accepted.unwrap());
    theirs.write_all(&pattern(20_000)).await.unwrap();
    assert_eq!(read_exactly(&mut client, 20_000).await, pattern(20_000));
    assert_eq!(client.buffered(), 0);
}

#[tokio::test]
async fn what_the_socket_does_not_take_goes_with_the_flush() {
    let server = Server::new().await;
    let (mut client, mut theirs) = server.connected(&server.tls()).await.unwrap();
    // More than the buffers of both sockets hold, while nobody reads.
    let vote = pattern(16 << 20);
    let written = std::future::poll_fn(|cx| client.poll_write(cx, &vote)).await.unwrap();
    assert_eq!(written, vote.len());
    assert!(client.buffered() > 0, "the sockets took all of {written} bytes");
    let mut came = vec![0; vote.len()];
    let (flushed, read) = tokio::join!(std::future::poll_fn(|cx| client.poll_flush(cx)), theirs.read_exact(&mut came));
    flushed.unwrap();
    read.unwrap();
    assert!(came == vote, "other bytes came than were sent");
    assert_eq!(client.buffered(), 0);
}

#[tokio::test]
async fn an_end_counts_only_when_tls_says_so() {
    let server = Server::new().await;
    let (mut client, mut theirs) = server.connected(&server.tls()).await.unwrap();
    theirs.shutdown().await.unwrap();
    assert!(read(&mut client).await.unwrap().is_empty());
    let (mut client, theirs) = server.connected(&server.tls()).await.unwrap();
    drop(theirs.into_inner().0);
    assert_eq!(read(&mut client).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_wrong_certificate_is_refused_between_good_ones() {
    let (right, wrong) = (Server::new().await, Server::new().await);
    let tls = right.tls();
    for _ in 0..2 {
        right.connected(&tls).await.unwrap();
        let (client, theirs) = wrong.tcp().await;
        let (conn, accepted) = tokio::join!(tls.handshake(1, client), wrong.acceptor.accept(theirs));
        let words = conn.unwrap_err().to_string();
        assert!(words.contains("invalid peer certificate"), "{words}");
        // The server is told why, as a phone tells it.
        let words = accepted.err().unwrap().to_string();
        assert!(words.contains("fatal alert"), "{words}");
    }
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_or_hangs_up_is_named() {
    let server = Server::new().await;
    for (answer, kind) in
        [(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], io::ErrorKind::InvalidData), (&b""[..], io::ErrorKind::UnexpectedEof)]
    {
        let (client, mut theirs) = server.tcp().await;
        theirs.write_all(answer).await.unwrap();
        theirs.shutdown().await.unwrap();
        assert_eq!(server.tls().handshake(0, client).await.unwrap_err().kind(), kind);
    }
}
