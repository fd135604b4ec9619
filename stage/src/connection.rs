//! One client connection: requests in, answers out, one after the other.
//!
//! An idle connection owns no buffer: bytes are read into one on the stack, and only a request that is not complete
//! yet is kept.

use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};

use crate::clock;
use crate::http::{self, Answer, Method, Reading, Request};
use crate::proxy::{Proxy, Work};

/// Bytes read at once: a vote with its head fits.
const READ_SIZE: usize = 4096;
/// How long a client may take to make room for an answer before it is given up.
const SEND_LIMIT: Duration = Duration::from_secs(10);
/// After a refusal, how long and how many bytes of the client's are still read, so that the close does not turn into a
/// reset that destroys the answer under way (RFC 9112, section 9.6).
const LINGER_TIME: Duration = Duration::from_millis(500);
const LINGER_BYTES: usize = 1 << 20;

/// What a connection does next.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Have this done, answer, and serve on or not.
    Work(Work, bool),
    /// Answer this and close.
    Refuse(Answer),
    /// The client has closed or broken the connection.
    Gone,
    /// Nothing came for the keep-alive time.
    Idle,
}

/// What a connection's bytes go over: a socket, or TLS over one.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin {
    /// Writes what can be written at once, without a task to wake; how much that was.
    fn write_now(&mut self, bytes: &[u8]) -> usize;
}

impl Wire for TcpStream {
    fn write_now(&mut self, bytes: &[u8]) -> usize {
        self.try_write(bytes).unwrap_or(0)
    }
}

/// Serves a connection to its end.
pub(crate) async fn serve(stream: &mut impl Wire, proxy: &Rc<Proxy>) {
    let keep_alive = proxy.house.spec.keep_alive_timeout;
    let mut connection = Connection { stream, stash: Vec::new() };
    let mut idle_at = clock::now() + keep_alive;
    let mut alarm = pin!(sleep_until(idle_at));
    loop {
        // The alarm is moved only when it rings too early: once per keep-alive time, not once per request.
        let step = poll_fn(|cx| {
            if let Poll::Ready(step) = connection.poll_step(cx, proxy) {
                return Poll::Ready(step);
            }
            loop {
                ready!(alarm.as_mut().poll(cx));
                if clock::now() >= idle_at {
                    return Poll::Ready(Step::Idle);
                }
                alarm.as_mut().reset(idle_at);
            }
        });
        match step.await {
            Step::Work(work, serves_on) => {
                let answer = proxy.execute(work).await;
                if !connection.send(proxy.house.answers.bytes(answer, serves_on)).await || !serves_on {
                    return;
                }
                idle_at = clock::now() + keep_alive;
            }
            Step::Refuse(answer) => return connection.refuse(answer, proxy).await,
            Step::Idle if connection.stash.is_empty() => return proxy.idle(),
            Step::Idle => return connection.refuse(Answer::RequestTimeout, proxy).await,
            Step::Gone => return,
        }
    }
}

struct Connection<'s, W> {
    stream: &'s mut W,
    /// Bytes received and not used yet; empty, and without memory, between requests.
    stash: Vec<u8>,
}

impl<W: Wire> Connection<'_, W> {
    fn poll_step(&mut self, cx: &mut Context<'_>, proxy: &Proxy) -> Poll<Step> {
        if let Some(step) = self.take_step(proxy) {
            return Poll::Ready(step);
        }
        loop {
            let mut space = [MaybeUninit::uninit(); READ_SIZE];
            let mut buffer = ReadBuf::uninit(&mut space);
            let read = ready!(Pin::new(&mut *self.stream).poll_read(cx, &mut buffer));
            let bytes = buffer.filled();
            if read.is_err() || bytes.is_empty() {
                return Poll::Ready(Step::Gone);
            }
            if !self.stash.is_empty() {
                self.stash.extend_from_slice(bytes);
            } else if let Some((step, used)) = step_of(bytes, proxy) {
                self.stash.extend_from_slice(&bytes[used..]);
                return Poll::Ready(step);
            } else {
                self.stash.extend_from_slice(bytes);
                continue;
            }
            if let Some(step) = self.take_step(proxy) {
                return Poll::Ready(step);
            }
        }
    }

    fn take_step(&mut self, proxy: &Proxy) -> Option<Step> {
        if self.stash.is_empty() {
            return None;
        }
        let (step, used) = step_of(&self.stash, proxy)?;
        if used == self.stash.len() {
            self.stash = Vec::new();
        } else {
            self.stash.drain(..used);
        }
        Some(step)
    }

    /// Sends an answer; false if the client can't be reached.
    async fn send(&mut self, answer: &[u8]) -> bool {
        // An answer fits into an empty socket buffer, so this is all but always the only call.
        let sent = self.stream.write_now(answer);
        if sent == answer.len() {
            return true;
        }
        let rest = async {
            self.stream.write_all(&answer[sent..]).await?;
            // TLS may hold a record back.
            self.stream.flush().await
        };
        matches!(timeout(SEND_LIMIT, rest).await, Ok(Ok(())))
    }

    async fn refuse(&mut self, answer: Answer, proxy: &Proxy) {
        proxy.refused(answer);
        if !self.send(proxy.house.answers.bytes(answer, false)).await || self.stream.shutdown().await.is_err() {
            return;
        }
        // Boxed by `timeout` on this rare path only; its buffer must not be part of every connection.
        let _ = timeout(LINGER_TIME, Box::pin(linger(self.stream))).await;
    }
}

async fn linger(stream: &mut (impl AsyncRead + Unpin)) {
    let mut left = LINGER_BYTES;
    let mut scrap = vec![0; READ_SIZE];
    while left > 0 {
        match stream.read(&mut scrap).await {
            Ok(read) if read > 0 => left = left.saturating_sub(read),
            _ => return,
        }
    }
}

/// The step that the request at the beginning of `bytes` asks for, and the bytes it takes up; `None` if it is not complete.
fn step_of(bytes: &[u8], proxy: &Proxy) -> Option<(Step, usize)> {
    match http::read(bytes) {
        Reading::Incomplete => None,
        Reading::Refused(answer) => Some((Step::Refuse(answer), bytes.len())),
        Reading::Complete(request, used) => {
            // The body of an answer to an unknown method may not be expected (HEAD): closing keeps the framing right.
            let serves_on = request.keep_alive && request.method != Method::Other;
            Some((Step::Work(work_of(&request, proxy), serves_on), used))
        }
    }
}

pub(crate) fn work_of(request: &Request<'_>, proxy: &Proxy) -> Work {
    match request.method {
        Method::Get => Work::Reply(Answer::Greeting),
        Method::Post => match proxy.house.ballots.borrow().read(request) {
            Ok(vote) => Work::Count(vote),
            Err(answer) => Work::Reply(answer),
        },
        Method::Other => Work::Reply(Answer::MethodNotAllowed),
    }
}
