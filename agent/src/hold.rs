//! A viewer's connection: opened by way of its phone, held, closed, and each of these counted.

use std::sync::atomic::Ordering;

use voteburst_burst::outcome::Failure;
use voteburst_burst::tally::ProxyIndex;

use crate::dial::Conn;
use crate::record::Place;
use crate::worker::Worker;

/// An open connection.
pub(crate) struct Held {
    pub(crate) conn: Conn,
    /// Whose it is.
    pub(crate) proxy: ProxyIndex,
    /// Opened for the attempt under way: an end of it is then no stale keep-alive.
    pub(crate) fresh: bool,
    /// In this very turn of its viewer's task the connection was found to have nothing to read, so that the runtime
    /// already wakes the viewer when something comes. Spares every vote a look that would find nothing.
    pub(crate) watched: bool,
}

/// A connection that did not come about.
pub(crate) struct NotHeld {
    pub(crate) class: Failure,
    pub(crate) place: Place,
    pub(crate) what: String,
}

/// Asks the viewer's phone for an address and connects to it.
pub(crate) async fn open(worker: &Worker, me: u32) -> Result<Held, NotHeld> {
    let viewer = worker.viewers.start + me;
    let nature = worker.plan.viewer(viewer);
    let resolved = worker.resolver.resolve(me, nature, worker.plan.scenario.audience.phones[usize::from(nature.phone)].model, worker.clock, |first| {
        worker.record.borrow_mut().resolved(first, worker.clock.now());
    });
    let address = resolved.await.map_err(|failed| NotHeld { class: failed.class, place: None, what: failed.what })?;
    let proxy = worker.record.borrow_mut().tally.index(address);
    match worker.dialler.open(viewer, &[address]).await {
        Ok(conn) => {
            worker.record.borrow_mut().opened(proxy, worker.clock.now());
            worker.counters.connected.fetch_add(1, Ordering::Relaxed);
            Ok(Held { conn, proxy, fresh: true, watched: false })
        }
        Err(error) => {
            Err(NotHeld { class: error.class, place: Some(proxy), what: error.to_string() })
        }
    }
}

/// Closes a connection. `idle`: the proxy did so while no vote was in flight.
pub(crate) fn close(worker: &Worker, held: &mut Option<Held>, idle: bool) {
    if let Some(held) = held.take() {
        worker.record.borrow_mut().closed(held.proxy, idle, worker.clock.now());
        worker.counters.connected.fetch_sub(1, Ordering::Relaxed);
    }
}
