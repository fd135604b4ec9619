//! The least that a client of rustls can do: its own buffered connection on a blocking socket, one after another, no plan, no record.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::client::{ClientSessionMemoryCache, Resumption};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use voteburst_burst::ballot::BallotId;
use voteburst_burst::scenario::template::Fill;

use super::{BURSTS, Outcome, Speech, Target, agent, processor_us, resident_kib, server};

/// After how many writes it looks for answers, as often as the agent's runtime does.
const WRITES: usize = 61;

type Connection = StreamOwned<ClientConnection, TcpStream>;

/// Connects, votes once, comes back, votes on; prints its figures.
pub(crate) fn run(viewers: u32, target: &Target) -> Outcome<()> {
    let mut request = Vec::new();
    let fill = Fill { question: "q0", choice: "anna", viewer: 0, ballot: BallotId { run: 1, ticket: 0 }, attempt: 1 };
    agent::plan(1, target, Speech::Tls)?.scenario.target.request.render(&mut request, &fill);
    let config = config(&target.ca_file)?;
    let configs: Vec<_> = (0..viewers).map(|_| with_store(&config)).collect();
    let before = processor_us()?;
    let mut connections = connect(&configs, target)?;
    let full_us = (processor_us()? - before) / f64::from(viewers);
    // The tickets come with the first answer.
    vote(&mut connections, &request)?;
    let idle_kib = resident_kib()?;
    drop(connections);
    let before = processor_us()?;
    let mut connections = connect(&configs, target)?;
    let resumed_us = (processor_us()? - before) / f64::from(viewers);
    let before = processor_us()?;
    for _ in 0..BURSTS {
        vote(&mut connections, &request)?;
    }
    let vote_us = (processor_us()? - before) / f64::from(viewers * BURSTS);
    println!("entered_us={full_us:.2} back_us={resumed_us:.2} vote_us={vote_us:.3} idle_kib={idle_kib}");
    Ok(())
}

/// A client that trusts this certificate.
pub(crate) fn config(ca_file: &str) -> Outcome<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(Path::new(ca_file))? {
        roots.add(certificate?)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let mut config = builder.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The same with a store of sessions of its own, as each phone has one.
pub(crate) fn with_store(config: &ClientConfig) -> Arc<ClientConfig> {
    let mut own = config.clone();
    own.resumption = Resumption::store(Arc::new(ClientSessionMemoryCache::new(1)));
    Arc::new(own)
}

fn connect(configs: &[Arc<ClientConfig>], target: &Target) -> Outcome<Vec<Connection>> {
    let name = ServerName::try_from(server::HOST)?;
    let mut connections = Vec::with_capacity(configs.len());
    for (number, config) in configs.iter().enumerate() {
        let tcp = TcpStream::connect((server::ADDRESSES[number % server::ADDRESSES.len()], target.port))?;
        tcp.set_nodelay(true)?;
        let mut connection = StreamOwned::new(ClientConnection::new(Arc::clone(config), name.clone())?, tcp);
        while connection.conn.is_handshaking() {
            connection.conn.complete_io(&mut connection.sock)?;
        }
        connections.push(connection);
    }
    Ok(connections)
}

/// One vote over every connection.
fn vote(connections: &mut [Connection], request: &[u8]) -> Outcome<()> {
    let mut answer = [0; 512];
    for some in connections.chunks_mut(WRITES) {
        for connection in &mut *some {
            connection.write_all(request)?;
            connection.flush()?;
        }
        for connection in some {
            let length = connection.read(&mut answer)?;
            if length != server::ANSWER.len() {
                return Err(format!("an answer of {length} bytes").into());
            }
        }
    }
    Ok(())
}
