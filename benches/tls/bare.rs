//! What a handshake takes by itself: rustls on both sides in one thread, no socket, and only the client's part counted.

use std::io::Write as _;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection};

use super::{Outcome, floor, processor_us, server};

/// Handshakes of each kind.
const ROUNDS: u32 = 2_000;

/// Shakes hands and prints what a full handshake took, and one that resumes.
pub(crate) fn run(ca_file: &str) -> Outcome<()> {
    let theirs = Arc::new(server::config(ca_file)?);
    let config = floor::config(ca_file)?;
    let (mut full_us, mut resumed_us) = (0.0, 0.0);
    for _ in 0..ROUNDS {
        let own = floor::with_store(&config);
        full_us += shake(&own, &theirs, HandshakeKind::Full)?;
        resumed_us += shake(&own, &theirs, HandshakeKind::Resumed)?;
    }
    println!("entered_us={:.2} back_us={:.2}", full_us / f64::from(ROUNDS), resumed_us / f64::from(ROUNDS));
    Ok(())
}

/// One handshake to its end, the session's tickets included; the client's processor time in microseconds.
fn shake(config: &Arc<ClientConfig>, theirs: &Arc<ServerConfig>, kind: HandshakeKind) -> Outcome<f64> {
    let mut server = ServerConnection::new(Arc::clone(theirs))?;
    let (mut up, mut down) = (Vec::new(), Vec::new());
    let mut before = processor_us()?;
    let mut client = ClientConnection::new(Arc::clone(config), ServerName::try_from(server::HOST)?)?;
    let mut spent = 0.0;
    loop {
        while client.wants_write() {
            client.write_tls(&mut up)?;
        }
        spent += processor_us()? - before;
        if up.is_empty() {
            break;
        }
        server.read_tls(&mut up.as_slice())?;
        server.process_new_packets()?;
        server.writer().flush()?;
        up.clear();
        while server.wants_write() {
            server.write_tls(&mut down)?;
        }
        before = processor_us()?;
        let mut rest = down.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest)?;
            client.process_new_packets()?;
        }
        down.clear();
    }
    if client.is_handshaking() || client.handshake_kind() != Some(kind) {
        return Err(format!("needed a handshake of kind {kind:?}, found {:?}", client.handshake_kind()).into());
    }
    Ok(spent)
}
