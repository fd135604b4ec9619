//! The life of a viewer: it enters, holds a connection, acts on its tickets.
//!
//! One viewer is one task and at most one connection. Idle, it owns neither buffer nor timer: whatever is rare
//! (looking up, connecting, pausing) is boxed for as long as it lasts.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::io::ReadBuf;
use tokio::time::timeout;
use voteburst_burst::clock::LocalTime;
use voteburst_burst::draw::Stream;

use crate::hold::{self, Held, NotHeld};
use crate::opening::Leave;
use crate::vote::cast;
use crate::worker::Worker;

/// The longest pause before a viewer tries again to connect ahead of its vote, draws not counted.
const LONGEST_PAUSE_S: u32 = 8;

/// A connection that is not there after this long had its SYN dropped, which TCP sends again only now (RFC 6298, section 2): a proxy
/// at its limit answers none. Whoever waits for that needs no leave, or the viewers of one full proxy would keep those of all others out.
const UNANSWERED: Duration = Duration::from_secs(1);

/// What ends a pause early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// A ticket that is due, or the agent drains.
    Due,
    /// The agent drains.
    Drained,
}

/// What a viewer that held a connection and waited was woken by.
enum Woken {
    /// A ticket is due.
    Due,
    /// The proxy closed the connection, or said something that nobody asked for.
    Closed,
}

/// Lets every viewer in when the plan says so, counted from `doors`.
pub(crate) async fn keep_doors(worker: Rc<Worker>, doors: LocalTime) {
    let entry = |me: u32| (doors.after(worker.plan.viewer(worker.viewers.start + me).enters_after), me);
    let mut entries: Vec<_> = (0..worker.viewers.end - worker.viewers.start).map(entry).collect();
    entries.sort_unstable();
    for (at, me) in entries {
        let wait = at.since(worker.clock.now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        if worker.is_draining() {
            return;
        }
        tokio::task::spawn_local(enter(Rc::clone(&worker), me));
    }
}

/// One viewer's task. A panic in it would leave tickets without a fate, so it breaks the whole worker down.
async fn enter(worker: Rc<Worker>, me: u32) {
    let outcome = std::panic::AssertUnwindSafe(live(&worker, me)).catch_unwind().await;
    if let Err(panic) = outcome {
        let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
        let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
        worker.break_down(format!("viewer {} panicked: {}", worker.viewers.start + me, words.unwrap_or_default()));
    }
}

async fn live(worker: &Worker, me: u32) {
    let mut held = Box::pin(connect_ahead(worker, me, true)).await;
    loop {
        if !worker.is_draining()
            && let Some(due) = worker.take(me)
        {
            cast(worker, me, &mut held, due).await;
            continue;
        }
        if let Woken::Closed = idle(worker, me, held.as_mut()).await {
            hold::close(worker, &mut held, true);
            if worker.wants_connection(me) {
                held = Box::pin(connect_ahead(worker, me, false)).await;
            }
        }
    }
}

/// Waits for a ticket, and for the proxy to close the connection.
async fn idle(worker: &Worker, me: u32, mut held: Option<&mut Held>) -> Woken {
    let woken = poll_fn(|cx| {
        // The connection first: a viewer whose connection is known to be closed opens another one for its vote.
        if let Some(held) = held.as_mut()
            && has_spoken(held, cx)
        {
            return Poll::Ready(Woken::Closed);
        }
        if worker.is_due(me) && !worker.is_draining() {
            held.iter_mut().for_each(|held| held.watched = true);
            return Poll::Ready(Woken::Due);
        }
        worker.park(me, true, cx);
        Poll::Pending
    })
    .await;
    worker.unpark(me);
    woken
}

/// Whether anything came on an idle connection: its end, an error, or bytes such as HAProxy's unasked 408.
fn has_spoken(held: &mut Held, cx: &mut Context<'_>) -> bool {
    let mut space = [MaybeUninit::uninit(); 64];
    held.conn.poll_read(cx, &mut ReadBuf::uninit(&mut space)).is_ready()
}

/// Opens a connection that no vote waits for yet. Gives up as soon as one does, or when the burst has begun.
///
/// `entering`: the viewer opens its app, which counts as its first try. Otherwise a proxy has closed its
/// connection, and it pauses first: thousands that are closed at once must not come back as one storm.
async fn connect_ahead(worker: &Worker, me: u32, entering: bool) -> Option<Held> {
    if !entering {
        pause(worker, me, Duration::from_secs_f64(chance(worker, me, 0)), Until::Due).await;
    }
    let mut first = entering;
    for failures in 0_u32.. {
        let opened = match leave(worker, me).await {
            Some(leave) => Some(open(worker, me, leave).await),
            None => None,
        };
        if std::mem::take(&mut first) {
            worker.tried();
        }
        match opened {
            None => return None,
            Some(Ok(held)) => return Some(Held { fresh: false, ..held }),
            Some(Err(failed)) => worker.record.borrow_mut().trouble(failed.class, failed.what),
        }
        if !worker.before_t0() || worker.is_draining() {
            return None;
        }
        let seconds = f64::from(2_u32.pow(failures.min(3)).min(LONGEST_PAUSE_S)) + chance(worker, me, failures + 1);
        pause(worker, me, Duration::from_secs_f64(seconds), Until::Due).await;
        if worker.is_due(me) {
            return None;
        }
    }
    None
}

/// Opens a connection, and gives the leave for it back when it is there or will not be for a while.
async fn open(worker: &Worker, me: u32, leave: Leave<'_>) -> Result<Held, NotHeld> {
    let mut opening = pin!(hold::open(worker, me));
    if let Ok(opened) = timeout(UNANSWERED, opening.as_mut()).await {
        return opened;
    }
    drop(leave);
    opening.await
}

/// A draw in [0, 1) that differs from pause to pause.
fn chance(worker: &Worker, me: u32, number: u32) -> f64 {
    let viewer = u64::from(worker.viewers.start + me);
    // Tickets' backoffs use numbers below 2^40.
    worker.chance(Stream::Backoff, (1 << 63) | (viewer << 24) | u64::from(number.min(0x00ff_ffff)))
}

/// Leave to open a connection ahead of a vote; `None` when a vote is due or the agent drains.
async fn leave<'a>(worker: &'a Worker, me: u32) -> Option<Leave<'a>> {
    let mut leave = pin!(worker.opening.leave());
    let mut waits = false;
    let given = poll_fn(|cx| {
        if worker.is_due(me) || worker.is_draining() {
            return Poll::Ready(None);
        }
        worker.park(me, true, cx);
        let given = leave.as_mut().poll(cx).map(Some);
        if given.is_pending() && !std::mem::replace(&mut waits, true) {
            worker.opening.begin_wait(worker.clock.now());
        }
        given
    })
    .await;
    if waits {
        worker.opening.end_wait(worker.clock.now());
    }
    worker.unpark(me);
    given
}

/// Pauses.
pub(crate) async fn pause(worker: &Worker, me: u32, pause: Duration, until: Until) {
    let mut sleep = pin!(tokio::time::sleep(pause));
    poll_fn(|cx| {
        if worker.is_draining() || (until == Until::Due && worker.is_due(me)) {
            return Poll::Ready(());
        }
        worker.park(me, until == Until::Due, cx);
        sleep.as_mut().poll(cx)
    })
    .await;
    worker.unpark(me);
}
