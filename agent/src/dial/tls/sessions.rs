//! What each viewer's phone remembers of its TLS session, so that it resumes its own when it reconnects.
//!
//! An app keeps its sessions by host and port for as long as it runs: Conscrypt below OkHttp (`ClientSessionContext`, which
//! removes what may be used once), Secure Transport below URLSession (Apple, Technical Q&A QA1727: one cache in each
//! process). So a viewer's first handshake is a full one, and every later one resumes if the proxy agrees.
//! TLS 1.3 tickets are used once (RFC 8446, appendix C.4), sessions of TLS 1.2 as long as they last.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

thread_local! {
    /// Whose connection rustls is working on.
    static SPEAKING: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Lets rustls work on a viewer's connection.
///
/// rustls asks the store of a configuration by the server's name alone, which all viewers share. It does so only while
/// it is being called, on the caller's thread. A configuration for each viewer would serve too, but every connection
/// would then keep half a KiB of it.
pub(super) fn speaking_as<T>(viewer: u32, act: impl FnOnce() -> T) -> T {
    let before = SPEAKING.replace(Some(viewer));
    let done = act();
    SPEAKING.set(before);
    done
}

/// The newest session of each viewer with the one host that an agent's viewers talk to.
///
/// Of several tickets the newest is kept. Phones keep more, which shows only where a resumed handshake breaks off
/// before it brought the next ticket; each would be another KiB of every viewer.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    kept: Mutex<HashMap<u32, Kept>>,
}

#[derive(Debug)]
enum Kept {
    Ticket(Box<Tls13ClientSessionValue>),
    Session(Box<Tls12ClientSessionValue>),
}

impl Sessions {
    fn kept(&self) -> MutexGuard<'_, HashMap<u32, Kept>> {
        // No more than one entry is touched at a time, so a panic elsewhere leaves nothing half done.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, session: Kept) {
        if let Some(viewer) = SPEAKING.get() {
            self.kept().insert(viewer, session);
        }
    }
}

impl ClientSessionStore for Sessions {
    /// Nothing: a phone offers the key shares that it always offers.
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.keep(Kept::Session(Box::new(value)));
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        match self.kept().get(&SPEAKING.get()?) {
            Some(Kept::Session(session)) => Some(Tls12ClientSessionValue::clone(session)),
            _ => None,
        }
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        if let Some(viewer) = SPEAKING.get() {
            self.kept().remove(&viewer);
        }
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.keep(Kept::Ticket(Box::new(value)));
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let viewer = SPEAKING.get()?;
        let mut kept = self.kept();
        if !matches!(kept.get(&viewer)?, Kept::Ticket(_)) {
            return None;
        }
        match kept.remove(&viewer) {
            Some(Kept::Ticket(ticket)) => Some(*ticket),
            _ => None,
        }
    }
}
