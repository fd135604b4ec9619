//! The full phone: speaks HTTP/2 where the proxy agrees to it in the TLS handshake (ALPN, RFC 7301; RFC 9113).
//!
//! Its connections are opened by the same dialler and counted by the same record as those of lean phones, so DNS, address
//! choice and figures of proxies mean the same. A proxy that speaks HTTP/1.1 only is spoken to as lean phones do.
//!
//! Deliberately absent: requests beside the vote, and a second one over the connection before the first was answered.

#[cfg(test)]
mod tests;

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::uri::Scheme;
use http::{HeaderName, Request, Uri};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;
use voteburst_burst::outcome::Failure;

use crate::dial::Conn;
use crate::response::{Answer, MOST_BODY, MOST_HEAD};

/// The most header fields of a vote.
const MOST_FIELDS: usize = 64;

/// A connection that speaks HTTP/2. Its frames are read and written by a task of its own, for the proxy speaks unasked.
#[derive(Debug)]
pub(crate) struct Http2 {
    requests: SendRequest<Bytes>,
    driver: JoinHandle<()>,
}

/// An exchange that did not end with an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// The scenario's request cannot be said in HTTP/2.
    #[error("found a request that HTTP/2 has no words for ({0}); write a plain request, or take client = \"lean\"")]
    Request(String),
    /// The connection or the stream ended; `heard`: after the head of an answer.
    #[error("the exchange over HTTP/2 broke: {error}")]
    Exchange {
        /// What h2 says.
        error: h2::Error,
        /// Whether part of the answer had come.
        heard: bool,
    },
    /// An answer larger than any vote gets.
    #[error("found a body of more than {MOST_BODY} bytes")]
    LongBody,
}

impl Broken {
    /// The stable class. `fresh`: the connection was opened for this very attempt.
    pub(crate) fn class(&self, fresh: bool) -> Failure {
        let Self::Exchange { error, heard } = self else { return Failure::BadResponse };
        if let Some(io) = error.get_io() {
            match io.kind() {
                io::ErrorKind::TimedOut => return Failure::NoAnswer,
                io::ErrorKind::InvalidData => return Failure::BadResponse,
                _ if crate::dial::is_local_limit(io) => return Failure::LocalLimit,
                _ => {}
            }
        }
        let polite = error.is_go_away() && error.reason() == Some(Reason::NO_ERROR);
        if !fresh && !heard && (polite || error.is_io()) {
            return Failure::StaleKeepAlive;
        }
        if error.is_io() || error.is_remote() { Failure::Reset } else { Failure::BadResponse }
    }
}

impl Http2 {
    /// Begins to speak HTTP/2 over a connection whose TLS handshake agreed on it. Must be called on the viewers' thread.
    pub(crate) async fn begin(conn: Conn) -> io::Result<Self> {
        let mut builder = h2::client::Builder::new();
        let head = u32::try_from(MOST_HEAD).unwrap_or(u32::MAX);
        let begun = builder.enable_push(false).max_header_list_size(head).handshake(Wire(conn)).await;
        let (requests, connection) = begun.map_err(io::Error::other)?;
        let driver = tokio::task::spawn_local(async move {
            // Whoever waits for an answer is told the error too, and an idle viewer needs to know only that it ended.
            let _ = connection.await;
        });
        Ok(Self { requests, driver })
    }

    /// Ready when the connection has ended.
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.driver.is_finished() {
            return Poll::Ready(());
        }
        Pin::new(&mut self.driver).poll(cx).map(|_| ())
    }

    /// Sends a request, given as the bytes of HTTP/1.1, and reads its answer; `sent` is called once it is on its way.
    pub(crate) async fn ask(&mut self, request: &[u8], sent: impl FnOnce()) -> Result<Answer, Broken> {
        let (head, body) = translate(request)?;
        let broken = |heard| move |error| Broken::Exchange { error, heard };
        let mut ready = self.requests.clone().ready().await.map_err(broken(false))?;
        let (answer, mut stream) = ready.send_request(head, body.is_empty()).map_err(broken(false))?;
        sent();
        if !body.is_empty() {
            stream.send_data(body, true).map_err(broken(false))?;
        }
        let (head, body) = answer.await.map_err(broken(false))?.into_parts();
        drain(body).await?;
        Ok(Answer { status: head.status.as_u16(), keep: !self.driver.is_finished() })
    }
}

impl Drop for Http2 {
    /// A viewer that lets go of its connection closes it at once, as a lean one does.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Reads a body to its end and gives the proxy leave to send on.
async fn drain(mut body: RecvStream) -> Result<(), Broken> {
    let mut length = 0;
    while let Some(piece) = body.data().await {
        let broken = |error| Broken::Exchange { error, heard: true };
        let piece = piece.map_err(broken)?;
        length += piece.len() as u64;
        if length > MOST_BODY {
            return Err(Broken::LongBody);
        }
        body.flow_control().release_capacity(piece.len()).map_err(broken)?;
    }
    Ok(())
}

/// The same request in HTTP/2: the host becomes the authority, and fields that speak of the connection are left out
/// (RFC 9113, sections 8.2.2 and 8.3.1).
fn translate(request: &[u8]) -> Result<(Request<()>, Bytes), Broken> {
    fn no(error: impl ToString) -> Broken {
        Broken::Request(error.to_string())
    }
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(length) = parsed.parse(request).map_err(no)? else {
        return Err(no("its head has no end"));
    };
    let host = parsed.headers.iter().find(|field| field.name.eq_ignore_ascii_case(HOST.as_str()));
    let host = host.ok_or_else(|| no("it names no host"))?.value;
    let uri = Uri::builder().scheme(Scheme::HTTPS).authority(host).path_and_query(parsed.path.unwrap_or("/"));
    let mut head = Request::builder().method(parsed.method.unwrap_or("GET")).uri(uri.build().map_err(no)?);
    for field in &*parsed.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(no)?;
        if ![HOST, CONNECTION, TRANSFER_ENCODING].contains(&name) && !["keep-alive", "upgrade"].contains(&name.as_str()) {
            head = head.header(name, field.value);
        }
    }
    Ok((head.body(()).map_err(no)?, Bytes::copy_from_slice(&request[length..])))
}

/// A connection as h2 wants it.
struct Wire(Conn);

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.0.poll_read(cx, buffer))?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The socket is closed as it is dropped, right after.
        self.poll_flush(cx)
    }
}
