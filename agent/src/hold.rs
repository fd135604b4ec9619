//! A viewer's connection: opened by way of its phone, held, closed, and each of these counted.

use std::sync::atomic::Ordering;

use voteburst_burst::outcome::Failure;
use voteburst_burst::scenario::{Client, Phone};
use voteburst_burst::tally::{Asker, ProxyIndex};

use crate::dial::{Conn, DialError, Opened};
use crate::record::Place;
use crate::resolve::Resolved;
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

/// Asks the viewer's phone for addresses and connects to one of them.
pub(crate) async fn open(worker: &Worker, me: u32) -> Result<Held, NotHeld> {
    let viewer = worker.viewers.start + me;
    let nature = worker.plan.viewer(viewer);
    let asker = Asker { carrier: nature.carrier, phone: nature.phone };
    let Phone { model, client, .. } = &worker.plan.scenario.audience.phones[usize::from(nature.phone)];
    let dialler = match client {
        Client::Lean => &worker.dialler,
        Client::Full => &worker.full_dialler,
    };
    let addresses = match worker.resolver.resolve(me, nature, model, worker.clock).await {
        Ok(Resolved { addresses, answered }) => {
            worker.record.borrow_mut().resolved(asker, answered, worker.clock.now());
            addresses
        }
        Err(failed) => {
            worker.record.borrow_mut().unresolved(asker, failed.failure);
            return Err(NotHeld { class: failed.class, place: None, what: failed.what });
        }
    };
    let dialled = dialler.open(viewer, model.racing, &addresses).await;
    let now = worker.clock.now();
    let mut record = worker.record.borrow_mut();
    match dialled {
        Ok(Opened { conn, address, others }) => {
            worker.resolver.tried(me, model, Some(address), &others.failed);
            others.seen.iter().for_each(|other| record.also_ran(*other, now));
            let proxy = record.opened(asker, address, now);
            worker.counters.connected.fetch_add(1, Ordering::Relaxed);
            Ok(Held { conn, proxy, fresh: true, watched: false })
        }
        Err(error) => {
            let DialError { address, others, .. } = &error;
            worker.resolver.tried(me, model, None, others.failed.iter().chain([address]));
            others.seen.iter().for_each(|other| record.also_ran(*other, now));
            let place = Some(record.tally.index(*address));
            Err(NotHeld { class: error.class, place, what: error.to_string() })
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
