//! A connection that speaks HTTP/2 (RFC 9113): several requests at a time, each of which goes the way of all others.

use std::cell::Cell;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, ready};

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{Method as Verb, Request as Head, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};

use crate::clock;
use crate::connection::work_of;
use crate::http::{Answer, BODY_LIMIT, HEAD_LIMIT, Method, Request};
use crate::proxy::Proxy;
use crate::tls::GOODBYE_LIMIT;

/// Requests of one connection at once: HAProxy's default (`tune.h2.max-concurrent-streams`).
const STREAM_LIMIT: u32 = 100;

/// What a connection and its requests know of each other.
struct Busy {
    requests: Cell<u32>,
    /// When the last request ended, or the connection began.
    idle_since: Cell<Instant>,
}

/// Serves a connection to its end.
pub(crate) async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, proxy: &Rc<Proxy>) {
    let keep_alive = proxy.house.spec.keep_alive_timeout;
    let mut builder = Builder::new();
    builder.max_concurrent_streams(STREAM_LIMIT).max_header_list_size(HEAD_LIMIT as u32);
    let mut connection = match timeout(keep_alive, builder.handshake::<_, Bytes>(stream)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::debug!(%error, "a client does not speak HTTP/2"),
        Err(_) => return proxy.idle(),
    };
    let busy = Rc::new(Busy { requests: Cell::new(0), idle_since: Cell::new(clock::now()) });
    while let Some((head, respond)) = next(&mut connection, &busy, proxy).await {
        busy.requests.set(busy.requests.get() + 1);
        let (proxy, busy) = (Rc::clone(proxy), Rc::clone(&busy));
        tokio::task::spawn_local(async move {
            answer(head, respond, &proxy).await;
            busy.requests.set(busy.requests.get() - 1);
            busy.idle_since.set(clock::now());
        });
    }
    if busy.requests.get() > 0 || clock::now() < busy.idle_since.get() + keep_alive {
        return;
    }
    proxy.idle();
    // A vote that is on its way now is none of this connection's, and its client is told so.
    connection.abrupt_shutdown(Reason::NO_ERROR);
    let _ = timeout(GOODBYE_LIMIT, poll_fn(|cx| connection.poll_closed(cx))).await;
}

/// The next request; `None` at the end of the connection, and when it was idle for the keep-alive time.
async fn next(
    connection: &mut Connection<impl AsyncRead + AsyncWrite + Unpin, Bytes>,
    busy: &Busy,
    proxy: &Proxy,
) -> Option<(Head<RecvStream>, SendResponse<Bytes>)> {
    let keep_alive = proxy.house.spec.keep_alive_timeout;
    let mut alarm = pin!(sleep_until(busy.idle_since.get() + keep_alive));
    poll_fn(|cx| {
        if let Poll::Ready(request) = connection.poll_accept(cx) {
            // A connection that broke ends like one that the client closed.
            return Poll::Ready(request.and_then(Result::ok));
        }
        loop {
            ready!(alarm.as_mut().poll(cx));
            // Requests under way put idleness off: it is looked for again when they could have ended that long ago.
            let since = if busy.requests.get() > 0 { clock::now() } else { busy.idle_since.get() };
            if clock::now() >= since + keep_alive {
                return Poll::Ready(None);
            }
            alarm.as_mut().reset(since + keep_alive);
        }
    })
    .await
}

/// Has a request done and answers it.
async fn answer(head: Head<RecvStream>, mut respond: SendResponse<Bytes>, proxy: &Rc<Proxy>) {
    let (head, body) = head.into_parts();
    let answer = match timeout(proxy.house.spec.keep_alive_timeout, read(body)).await {
        Ok(Ok(body)) => {
            let method = match head.method {
                Verb::GET => Method::Get,
                Verb::POST => Method::Post,
                _ => Method::Other,
            };
            let key = head.headers.get("idempotency-key").and_then(|key| key.to_str().ok());
            let (query, idempotency_key) = (head.uri.query().unwrap_or_default(), key.map(|key| key.trim_matches('"')));
            proxy.execute(work_of(&Request { method, query, idempotency_key, body: &body, keep_alive: true }, proxy)).await
        }
        // The client took its request back.
        Ok(Err(None)) => return,
        Ok(Err(Some(answer))) => refuse(answer, proxy),
        Err(_) => refuse(Answer::RequestTimeout, proxy),
    };
    // A client that has left hears nothing.
    let _ = send(&mut respond, answer);
}

fn refuse(answer: Answer, proxy: &Proxy) -> Answer {
    proxy.refused(answer);
    answer
}

/// The body of a request. An error without an answer: there is nobody to answer any more.
async fn read(mut stream: RecvStream) -> Result<Vec<u8>, Option<Answer>> {
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece.map_err(|_| None)?;
        if body.len() + piece.len() > BODY_LIMIT {
            return Err(Some(Answer::TooLarge));
        }
        body.extend_from_slice(&piece);
        stream.flow_control().release_capacity(piece.len()).map_err(|_| None)?;
    }
    Ok(body)
}

fn send(respond: &mut SendResponse<Bytes>, answer: Answer) -> Result<(), h2::Error> {
    let body = answer.body();
    let mut head = Response::builder().status(answer.status().0).header(CONTENT_LENGTH, body.len());
    head = head.header(CONTENT_TYPE, answer.kind());
    if answer.is_haproxys() {
        head = head.header(CACHE_CONTROL, "no-cache");
    }
    // All of it is known to be sound.
    let head = head.body(()).map_err(|_| h2::Error::from(Reason::INTERNAL_ERROR))?;
    respond.send_response(head, false)?.send_data(Bytes::from_static(body.as_bytes()), true)
}
