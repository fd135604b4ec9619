//! One vote: from a ticket that is due to its fate, over as many attempts as the app makes.

use std::cell::Cell;
use std::future::{Future as _, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;
use voteburst_burst::clock::LocalTime;
use voteburst_burst::outcome::{Failure, Fate};
use voteburst_burst::plan::Ticket;

use crate::dial::Conn;
use crate::hold::{self, Held, NotHeld};
use crate::record::Place;
use crate::response::{Answer, Reader};
use crate::viewers::{Until, pause};
use crate::worker::{Due, Worker};

/// How much of an answer is read at once; on the stack, so that a viewer owns no buffer.
const PIECE: usize = 8 * 1_024;

/// Why an attempt was not the accepted one.
enum Stop {
    /// It failed, and was counted; what that says of the vote.
    Failed(Failure, Fate),
    /// The agent drains, so it did not begin.
    Drained,
}

/// Acts on a ticket until it has its fate, and puts that on record.
///
/// Every attempt carries the same ballot id. Over all attempts the greatest fate stands: a vote that once got no
/// answer stays unknown, whatever a later attempt is told, unless one is accepted.
pub(crate) async fn cast(worker: &Worker, me: u32, held: &mut Option<Held>, due: Due) {
    let mut vote = Vote { worker, me, ticket: worker.tickets[due.index], due, attempt: 1, lateness_ns: Some(due.lateness_ns) };
    let mut fate = Fate::NeverSent;
    let mut now = due.begun;
    loop {
        match vote.attempt(held, now).await {
            Ok(()) => fate = Fate::Accepted,
            Err(Stop::Drained) => {}
            Err(Stop::Failed(class, said)) => {
                fate = fate.max(said);
                if let Some(again) = vote.before_next(class, held).await {
                    now = again;
                    continue;
                }
            }
        }
        break;
    }
    worker.end(&vote.due, fate);
}

struct Vote<'a> {
    worker: &'a Worker,
    me: u32,
    ticket: Ticket,
    due: Due,
    attempt: u32,
    /// How late the viewer began, until it is known where to count that.
    lateness_ns: Option<u64>,
}

impl Vote<'_> {
    /// One attempt, over the connection that is held or a new one.
    async fn attempt(&mut self, held: &mut Option<Held>, mut now: LocalTime) -> Result<(), Stop> {
        // Our own lateness must not be charged to the vote: it is sent after the close, and counted as what it then is.
        let late = if self.attempt == 1 { self.due.lateness_ns } else { 0 };
        if self.is_closed(LocalTime(now.0.saturating_sub_unsigned(late))) {
            return Err(self.fail(place(held), Failure::WindowClosed, now));
        }
        if held.is_none() {
            // Boxed, for few votes need it and every idle viewer would carry its state.
            match Box::pin(self.open()).await.ok_or(Stop::Drained)? {
                Ok(opened) => *held = Some(opened),
                Err(failed) => return Err(self.fail(failed.place, failed.class, self.worker.clock.now())),
            }
            now = self.worker.clock.now();
            if self.is_closed(now) {
                return Err(self.fail(place(held), Failure::WindowClosed, now));
            }
            if self.worker.is_draining() {
                return Err(Stop::Drained);
            }
        }
        self.count_lateness(place(held));
        let (sent, outcome) = match held {
            // Boxed, so that lean viewers carry none of it.
            Some(held) if matches!(held.conn, Conn::Http2(_)) => Box::pin(exchange_http2(self, held, now)).await,
            Some(held) => exchange(self, held, now).await,
            None => return Err(Stop::Drained),
        };
        self.conclude(held, sent, outcome)
    }

    /// A new connection; `None` once the agent drains. Of proxies that say nothing each address of an answer takes the connect
    /// timeout, longer in all than anybody waits for an agent that drains, whose counts would then be lost.
    async fn open(&self) -> Option<Result<Held, NotHeld>> {
        let mut opening = pin!(hold::open(self.worker, self.me));
        let opened = poll_fn(|cx| {
            if self.worker.is_draining() {
                return Poll::Ready(None);
            }
            self.worker.park(self.me, false, cx);
            opening.as_mut().poll(cx).map(Some)
        });
        opened.await
    }

    /// Counts how an exchange ended and lets go of the connection when it is of no more use.
    fn conclude(
        &mut self,
        held: &mut Option<Held>,
        sent: Option<LocalTime>,
        outcome: Result<Answer, Failure>,
    ) -> Result<(), Stop> {
        let now = self.worker.clock.now();
        let place = place(held);
        if let (Some(proxy), Some(sent)) = (place, sent) {
            let mut record = self.worker.record.borrow_mut();
            record.ended(proxy, now);
            if outcome.is_ok() {
                record.answered(proxy, nanos(now, sent));
            }
        }
        if outcome.is_ok_and(|answer| answer.keep) {
            held.iter_mut().for_each(|held| held.fresh = false);
        } else {
            hold::close(self.worker, held, false);
        }
        match outcome {
            Ok(answer) if self.worker.plan.scenario.target.accepted.contains(&answer.status) => {
                if let Some(proxy) = place {
                    self.worker.record.borrow_mut().accepted(proxy, self.due.planned, now);
                }
                Ok(())
            }
            Ok(answer) => Err(self.fail(place, Failure::of_status(answer.status), now)),
            Err(class) => {
                self.fail(place, class, now);
                // Whether bytes left decides: what went wrong on this machine after that may still have been counted.
                let said = match (class.fate(), sent) {
                    (Fate::NeverSent, Some(_)) => Fate::Unknown,
                    (Fate::Unknown, None) => Fate::NeverSent,
                    (said, _) => said,
                };
                Err(Stop::Failed(class, said))
            }
        }
    }

    /// Waits as the app does before it tries again, and returns when that was; `None` when it does not.
    async fn before_next(&mut self, class: Failure, held: &Option<Held>) -> Option<LocalTime> {
        if self.worker.is_draining() || !self.worker.tries_again(class, self.attempt) {
            return None;
        }
        let now = self.worker.clock.now();
        let wait = self.worker.backoff(&self.ticket, self.attempt);
        if self.is_closed(now.after(wait)) {
            self.fail(place(held), Failure::WindowClosed, now);
            return None;
        }
        Box::pin(pause(self.worker, self.me, wait, Until::Drained)).await;
        if self.worker.is_draining() {
            return None;
        }
        self.attempt += 1;
        Some(self.worker.clock.now())
    }

    fn is_closed(&self, now: LocalTime) -> bool {
        now >= self.worker.closes_at(&self.ticket)
    }

    fn fail(&mut self, place: Place, class: Failure, now: LocalTime) -> Stop {
        self.count_lateness(place);
        self.worker.record.borrow_mut().failed(place, class, now);
        Stop::Failed(class, class.fate())
    }

    fn count_lateness(&mut self, place: Place) {
        if let Some(lateness_ns) = self.lateness_ns.take() {
            self.worker.record.borrow_mut().late(place, self.due.planned, lateness_ns);
        }
    }
}

fn place(held: &Option<Held>) -> Place {
    held.as_ref().map(|held| held.proxy)
}

fn nanos(later: LocalTime, earlier: LocalTime) -> u64 {
    u64::try_from(later.since(earlier).as_nanos()).unwrap_or(u64::MAX)
}

/// Sends the request and reads its answer. Returns when the first byte left, if any did, and how it ended.
async fn exchange(vote: &Vote<'_>, held: &mut Held, now: LocalTime) -> (Option<LocalTime>, Result<Answer, Failure>) {
    let reader = Reader::new(vote.worker.to_head);
    let mut exchange = Exchange { vote, now, sent: None, sending: Sending::Nothing, reader };
    let outcome = poll_fn(|cx| exchange.poll(held, cx)).await;
    vote.worker.end_wait(vote.me);
    (exchange.sent, outcome)
}

/// The same over HTTP/2.
async fn exchange_http2(vote: &Vote<'_>, held: &mut Held, now: LocalTime) -> (Option<LocalTime>, Result<Answer, Failure>) {
    let Vote { worker, me, ticket, due, attempt, .. } = vote;
    let Held { conn: Conn::Http2(http2), proxy, fresh, watched } = held else {
        return (None, Err(Failure::BadResponse));
    };
    *watched = false;
    let mut request = Vec::new();
    worker.render(&mut request, ticket, *attempt);
    worker.record.borrow_mut().log.intend(due.index);
    worker.begin_wait(*me, now);
    let sent = Cell::new(None);
    let mut asking = pin!(http2.ask(&request, || {
        let now = worker.clock.now();
        sent.set(Some(now));
        worker.record.borrow_mut().sent(*proxy, due.lateness_ns, now);
    }));
    let outcome = poll_fn(|cx| match asking.as_mut().poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(outcome.map_err(|broken| broken.class(*fresh))),
        Poll::Pending if worker.is_overdue(*me) => Poll::Ready(Err(Failure::NoAnswer)),
        Poll::Pending => {
            worker.park(*me, false, cx);
            Poll::Pending
        }
    })
    .await;
    worker.end_wait(*me);
    (sent.get(), outcome)
}

/// How much of the request has been handed to the kernel.
enum Sending {
    Nothing,
    /// What is left, for the socket took only a part; rare, since a vote is smaller than a socket's buffer.
    Rest(Vec<u8>),
    /// TLS may hold records back.
    Flush,
    All,
}

struct Exchange<'a> {
    vote: &'a Vote<'a>,
    /// When this attempt began.
    now: LocalTime,
    sent: Option<LocalTime>,
    sending: Sending,
    reader: Reader,
}

impl Exchange<'_> {
    fn poll(&mut self, held: &mut Held, cx: &mut Context<'_>) -> Poll<Result<Answer, Failure>> {
        let watched = std::mem::take(&mut held.watched);
        let polled = match self.poll_send(held, cx) {
            Poll::Ready(Ok(())) if watched => Poll::Pending,
            Poll::Ready(Ok(())) => self.poll_answer(held, cx),
            Poll::Ready(Err(class)) => Poll::Ready(Err(class)),
            Poll::Pending => Poll::Pending,
        };
        if polled.is_pending() {
            if self.vote.worker.is_overdue(self.vote.me) {
                return Poll::Ready(Err(Failure::NoAnswer));
            }
            self.vote.worker.park(self.vote.me, false, cx);
        }
        polled
    }

    fn poll_send(&mut self, held: &mut Held, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            self.sending = match std::mem::replace(&mut self.sending, Sending::All) {
                Sending::Nothing => self.begin(held, cx)?,
                Sending::Rest(mut rest) => match held.conn.poll_write(cx, &rest) {
                    Poll::Ready(written) => {
                        let written = written.map_err(|error| self.broken(held, &error))?;
                        rest.drain(..written);
                        if written > 0 && self.sent.is_none() {
                            self.note_sent(held, self.vote.worker.clock.now());
                        }
                        if rest.is_empty() { Sending::Flush } else { Sending::Rest(rest) }
                    }
                    Poll::Pending => {
                        self.sending = Sending::Rest(rest);
                        return Poll::Pending;
                    }
                },
                Sending::Flush => match held.conn.poll_flush(cx) {
                    Poll::Ready(flushed) => {
                        flushed.map_err(|error| self.broken(held, &error))?;
                        Sending::All
                    }
                    Poll::Pending => {
                        self.sending = Sending::Flush;
                        return Poll::Pending;
                    }
                },
                Sending::All => return Poll::Ready(Ok(())),
            };
        }
    }

    /// Renders the request, notes the intent and hands the bytes to the kernel.
    fn begin(&mut self, held: &mut Held, cx: &mut Context<'_>) -> Result<Sending, Failure> {
        let Vote { worker, me, ticket, due, attempt, .. } = self.vote;
        let mut request = worker.request.borrow_mut();
        request.clear();
        worker.render(&mut request, ticket, *attempt);
        worker.record.borrow_mut().log.intend(due.index);
        worker.begin_wait(*me, self.now);
        match held.conn.poll_write(cx, &request) {
            Poll::Ready(Ok(written)) if written > 0 => {
                self.note_sent(held, self.now);
                Ok(if written == request.len() { Sending::Flush } else { Sending::Rest(request[written..].to_vec()) })
            }
            Poll::Ready(Ok(_)) => Err(Failure::Reset),
            Poll::Ready(Err(error)) => Err(self.broken(held, &error)),
            Poll::Pending => Ok(Sending::Rest(request.clone())),
        }
    }

    fn note_sent(&mut self, held: &Held, now: LocalTime) {
        self.sent = Some(now);
        self.vote.worker.record.borrow_mut().sent(held.proxy, self.vote.due.lateness_ns, now);
    }

    fn poll_answer(&mut self, held: &mut Held, cx: &mut Context<'_>) -> Poll<Result<Answer, Failure>> {
        loop {
            let mut space = [MaybeUninit::uninit(); PIECE];
            let mut piece = ReadBuf::uninit(&mut space);
            match ready!(held.conn.poll_read(cx, &mut piece)) {
                Ok(0) if self.is_stale(held) => return Poll::Ready(Err(Failure::StaleKeepAlive)),
                Ok(0) => return Poll::Ready(self.reader.end().map_err(|_| Failure::Reset)),
                Ok(_) => match self.reader.feed(piece.filled(), &mut self.vote.worker.known_head.borrow_mut()) {
                    Ok(Some(answer)) => return Poll::Ready(Ok(answer)),
                    Ok(None) => {}
                    Err(_) => return Poll::Ready(Err(Failure::BadResponse)),
                },
                Err(error) => return Poll::Ready(Err(self.broken(held, &error))),
            }
        }
    }

    /// The class of a connection that broke.
    fn broken(&self, held: &Held, error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::TimedOut => Failure::NoAnswer,
            // rustls cannot make sense of what came.
            io::ErrorKind::InvalidData => Failure::BadResponse,
            _ if crate::dial::is_local_limit(error) => Failure::LocalLimit,
            _ if self.is_stale(held) => Failure::StaleKeepAlive,
            _ => Failure::Reset,
        }
    }

    /// Whether a connection that ends now was closed by the proxy as the vote was written.
    fn is_stale(&self, held: &Held) -> bool {
        !held.fresh && self.reader.untouched()
    }
}
