//! Answers votes over TLS, in HTTP/1.1 or HTTP/2, and without, DNS queries, and one wish: to close every connection.

use std::fs;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Outcome;

/// The addresses it listens on, like a fleet of proxies.
pub(crate) const ADDRESSES: [Ipv4Addr; 8] = {
    let mut addresses = [Ipv4Addr::LOCALHOST; 8];
    let mut host = 0;
    while host < 8 {
        addresses[host] = Ipv4Addr::new(127, 0, 0, 21 + host as u8);
        host += 1;
    }
    addresses
};
/// Its answer to every vote.
pub(crate) const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{\"counted\":true}";
/// The same over HTTP/2.
const BODY: &[u8] = b"{\"counted\":true}";
/// The wish, in place of a DNS query.
pub(crate) const CLOSE: &[u8] = b"close";
/// The name in its certificate.
pub(crate) const HOST: &str = "vote.test";

/// How many handshakes were full ones, and how many resumed a session.
#[derive(Default)]
struct Handshakes {
    full: AtomicU32,
    resumed: AtomicU32,
}

/// Serves until its standard input ends. The certificate to trust is written to `ca_file`.
pub(crate) fn run(ca_file: &str) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(ca_file))
}

async fn serve(ca_file: &str) -> Outcome<()> {
    let acceptor = TlsAcceptor::from(Arc::new(config(ca_file)?));
    let (encrypted, port, names) = bind_with_names().await?;
    let (plain, plain_port) = bind(0)?;
    let (closing, _) = watch::channel(());
    let handshakes = Arc::new(Handshakes::default());
    for listener in encrypted {
        tokio::spawn(accept(listener, Some(acceptor.clone()), closing.clone(), Arc::clone(&handshakes)));
    }
    for listener in plain {
        tokio::spawn(accept(listener, None, closing.clone(), Arc::clone(&handshakes)));
    }
    tokio::spawn(answer_queries(names, closing));
    println!("port={port} plain_port={plain_port}");
    tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await?;
    let count = |counter: &AtomicU32| counter.load(Ordering::Relaxed);
    println!("full={} resumed={}", count(&handshakes.full), count(&handshakes.resumed));
    Ok(())
}

/// A server's certificate on P-256 and the one between it and the root, as public authorities issue them; tickets on.
pub(crate) fn config(ca_file: &str) -> Outcome<ServerConfig> {
    let authority = |name: &str| -> Outcome<CertificateParams> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(params)
    };
    let (root_key, between_key, key) = (KeyPair::generate()?, KeyPair::generate()?, KeyPair::generate()?);
    let (root, between) = (authority("bench root")?, authority("bench authority")?);
    fs::write(ca_file, root.self_signed(&root_key)?.pem())?;
    let between_cert = between.signed_by(&between_key, &Issuer::new(root, root_key))?;
    let mut names = vec![HOST.to_owned()];
    names.extend(ADDRESSES.map(|address| address.to_string()));
    let cert = CertificateParams::new(names)?.signed_by(&key, &Issuer::new(between, between_key))?;
    let chain: Vec<CertificateDer<'static>> = vec![cert.der().clone(), between_cert.der().clone()];
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?.with_no_client_auth();
    let mut config = builder.with_single_cert(chain, PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
    config.ticketer = ring::Ticketer::new()?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// All addresses on one port.
fn bind(port: u16) -> Outcome<(Vec<TcpListener>, u16)> {
    let mut port = port;
    let mut listeners = Vec::new();
    for address in ADDRESSES {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((address, port).into())?;
        let listener = socket.listen(4_096)?;
        port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok((listeners, port))
}

/// The same, and DNS on the first address.
async fn bind_with_names() -> Outcome<(Vec<TcpListener>, u16, UdpSocket)> {
    for _ in 0..100 {
        if let Ok((listeners, port)) = bind(0)
            && let Ok(names) = UdpSocket::bind((ADDRESSES[0], port)).await
        {
            return Ok((listeners, port, names));
        }
    }
    Err("found no port that is free on all addresses".into())
}

async fn accept(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    closing: watch::Sender<()>,
    handshakes: Arc<Handshakes>,
) -> io::Result<()> {
    loop {
        let (client, _) = listener.accept().await?;
        client.set_nodelay(true)?;
        let (acceptor, closing, handshakes) = (acceptor.clone(), closing.subscribe(), Arc::clone(&handshakes));
        tokio::spawn(async move {
            // How a connection ends shows in the client's figures.
            let _ = match acceptor {
                None => answer_votes(client, closing).await,
                Some(acceptor) => answer_encrypted(acceptor, client, closing, &handshakes).await,
            };
        });
    }
}

async fn answer_encrypted(
    acceptor: TlsAcceptor,
    client: TcpStream,
    closing: watch::Receiver<()>,
    handshakes: &Handshakes,
) -> io::Result<()> {
    let client = acceptor.accept(client).await?;
    let resumed = client.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
    (if resumed { &handshakes.resumed } else { &handshakes.full }).fetch_add(1, Ordering::Relaxed);
    if client.get_ref().1.alpn_protocol() == Some(b"h2") {
        return answer_http2(client, closing).await.map_err(io::Error::other);
    }
    answer_votes(client, closing).await
}

/// Answers votes over HTTP/2.
async fn answer_http2(client: TlsStream<TcpStream>, mut closing: watch::Receiver<()>) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(client).await?;
    loop {
        let (request, mut respond) = tokio::select! {
            _ = closing.changed() => {
                connection.abrupt_shutdown(h2::Reason::NO_ERROR);
                return poll_fn(|cx| connection.poll_closed(cx)).await;
            }
            accepted = connection.accept() => match accepted {
                Some(accepted) => accepted?,
                None => return Ok(()),
            }
        };
        // The connection has to go on for the body to come.
        tokio::spawn(async move {
            let mut body = request.into_body();
            while let Some(Ok(piece)) = body.data().await {
                body.flow_control().release_capacity(piece.len())?;
            }
            respond.send_response(http::Response::new(()), false)?.send_data(Bytes::from_static(BODY), true)
        });
    }
}

/// Answers votes, which always come in one piece over loopback.
async fn answer_votes<S: AsyncRead + AsyncWrite + Unpin>(mut client: S, mut closing: watch::Receiver<()>) -> io::Result<()> {
    let mut request = [0; 2_048];
    loop {
        tokio::select! {
            _ = closing.changed() => return client.shutdown().await,
            read = client.read(&mut request) => {
                if read? == 0 {
                    return client.shutdown().await;
                }
            }
        }
        client.write_all(ANSWER).await?;
        client.flush().await?;
    }
}

/// Answers each query with the next address and a TTL of ten minutes (RFC 1035, section 4.1).
async fn answer_queries(names: UdpSocket, closing: watch::Sender<()>) -> io::Result<()> {
    let mut packet = [0; 512];
    let mut queries = 0;
    loop {
        let (length, peer) = names.recv_from(&mut packet).await?;
        if &packet[..length] == CLOSE {
            closing.send_replace(());
            continue;
        }
        let Some(name) = packet[..length].get(12..).and_then(|rest| rest.iter().position(|byte| *byte == 0)) else { continue };
        let mut reply = packet[..12 + name + 5].to_vec();
        (reply[2], reply[3]) = (0x84, 0);
        reply[4..12].copy_from_slice(&[0, 1, 0, 1, 0, 0, 0, 0]);
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 2, 88, 0, 4]);
        reply.extend(ADDRESSES[queries % ADDRESSES.len()].octets());
        queries += 1;
        names.send_to(&reply, peer).await?;
    }
}

/// Where the DNS queries go, and the wish.
pub(crate) fn names(port: u16) -> SocketAddr {
    (ADDRESSES[0], port).into()
}
