//! One viewer's TLS connection, which owns no buffer while it is idle.
//!
//! rustls' buffered connection keeps 4 KiB for what it reads as long as it lives. Its unbuffered one works on what its caller
//! lends it: here a piece of the stack. Only a record that came in part, bytes that the socket did not take, and
//! plain text that nobody has asked for yet are kept, each for as long as that is so.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem::{MaybeUninit, take};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, UnbufferedStatus, WriteTraffic,
};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;

use super::sessions::speaking_as;

/// How much is read from the socket at once: an answer, or a server's first flight with a chain of certificates.
const PIECE: usize = 8 * 1_024;
/// What encryption adds to a record: 5 bytes of header, a nonce of 8 in TLS 1.2 or a type of 1 in TLS 1.3, a tag of 16
/// (RFC 5246, section 6.2.3.3; RFC 8446, section 5.2). A request is one record; for more rustls says what it needs.
const OVERHEAD: usize = 5 + 8 + 16;

/// A TLS connection. rustls' state of a KiB is boxed, for it would otherwise be part of every plain viewer too.
pub(crate) struct TlsStream(Box<Inner>);

struct Inner {
    tcp: TcpStream,
    tls: UnbufferedClientConnection,
    viewer: u32,
    /// The peer has said that it sends no more.
    ended: bool,
    /// Came, but is no whole record or message yet.
    unread: Vec<u8>,
    /// Encrypted, but the socket has not taken it yet.
    unsent: Vec<u8>,
    /// Decrypted, but nobody has asked for it yet.
    plain: Vec<u8>,
}

/// How far rustls came with what it was given.
#[derive(PartialEq, Eq)]
enum Stage {
    /// There is more to do at once.
    Again,
    /// It waits for the peer, or the connection has ended.
    Waits,
    /// It speaks for the application, and has said what there was to say.
    Speaks,
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // rustls' connection has no such words, and keys have no place in a log.
        out.debug_struct("TlsStream").field("tcp", &self.0.tcp).field("viewer", &self.0.viewer).finish_non_exhaustive()
    }
}

impl TlsStream {
    /// Shakes hands.
    pub(super) async fn establish(tcp: TcpStream, tls: UnbufferedClientConnection, viewer: u32) -> io::Result<Self> {
        let (unread, unsent, plain) = (Vec::new(), Vec::new(), Vec::new());
        let mut inner = Box::new(Inner { tcp, tls, viewer, ended: false, unread, unsent, plain });
        inner.digest(&mut [], &[], &mut nowhere())?;
        poll_fn(|cx| inner.poll_handshake(cx)).await?;
        Ok(Self(inner))
    }

    /// Whether the proxy took the offer of HTTP/2.
    pub(super) fn speaks_http2(&self) -> bool {
        self.0.tls.alpn_protocol() == Some(b"h2")
    }

    /// Reads what has come; nothing is the end of the stream.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (inner, before) = (&mut *self.0, out.filled().len());
        loop {
            inner.hand_over(out);
            if out.filled().len() > before || inner.ended {
                return Poll::Ready(Ok(()));
            }
            ready!(inner.poll_incoming(cx, out))?;
        }
    }

    /// Encrypts all of `bytes` and sends what the socket takes; the rest goes with `poll_flush`.
    ///
    /// Once encrypted, bytes belong to the stream and cannot be taken back: they count as written even where the socket took none.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let inner = &mut *self.0;
        ready!(inner.poll_flush(cx))?;
        if inner.digest(&mut [], bytes, &mut nowhere())? != Stage::Speaks {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        if let Poll::Ready(flushed) = inner.poll_flush(cx) {
            flushed?;
        }
        Poll::Ready(Ok(bytes.len()))
    }

    /// Sends what the socket has not taken yet.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }

    /// How many bytes its buffers hold room for.
    #[cfg(test)]
    pub(super) fn buffered(&self) -> usize {
        let Inner { unread, unsent, plain, .. } = &*self.0;
        unread.capacity() + unsent.capacity() + plain.capacity()
    }
}

impl Inner {
    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_flush(cx))?;
            if !self.tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if self.ended {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed in the TLS handshake")));
            }
            ready!(self.poll_incoming(cx, &mut nowhere()))?;
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut sent = 0;
        while sent < self.unsent.len() {
            match Pin::new(&mut self.tcp).poll_write(cx, &self.unsent[sent..])? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(more) => sent += more,
                Poll::Pending => {
                    self.unsent.drain(..sent);
                    return Poll::Pending;
                }
            }
        }
        self.unsent = Vec::new();
        Poll::Ready(Ok(()))
    }

    /// Reads from the socket once.
    fn poll_incoming(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut space = [MaybeUninit::uninit(); PIECE];
        let mut piece = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut piece))?;
        if piece.filled().is_empty() {
            // Without TLS' own end somebody may have cut the answer short (RFC 8446, section 6.1).
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed without a TLS close_notify")));
        }
        let digested = self.digest(piece.filled_mut(), &[], out);
        // An alert that says why goes out if it can; so does the answer to a peer's new keys.
        let flushed = self.poll_flush(cx);
        digested?;
        match flushed {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Gives out what was decrypted earlier.
    fn hand_over(&mut self, out: &mut ReadBuf<'_>) {
        if !self.plain.is_empty() {
            let fits = self.plain.len().min(out.remaining());
            out.put_slice(&self.plain[..fits]);
            self.plain = self.plain.split_off(fits);
        }
    }

    /// Hands rustls what has come and what is to be said.
    fn digest(&mut self, fresh: &mut [u8], say: &[u8], out: &mut ReadBuf<'_>) -> io::Result<Stage> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        if self.unread.is_empty() {
            let (used, stage) = self.steps(fresh, say, out).map_err(invalid)?;
            self.unread = fresh[used..].to_vec();
            return Ok(stage);
        }
        let mut all = take(&mut self.unread);
        all.extend_from_slice(fresh);
        let (used, stage) = self.steps(&mut all, say, out).map_err(invalid)?;
        self.unread = all.split_off(used);
        Ok(stage)
    }

    /// Steps until rustls needs more; how much of `incoming` it used up.
    fn steps(&mut self, incoming: &mut [u8], say: &[u8], out: &mut ReadBuf<'_>) -> Result<(usize, Stage), rustls::Error> {
        let mut used = 0;
        speaking_as(self.viewer, || {
            loop {
                let (more, stage) = self.step(&mut incoming[used..], say, out);
                used += more;
                match stage {
                    Ok(Stage::Again) => {}
                    Ok(stage) => return Ok((used, stage)),
                    Err(error) => {
                        // The alert that tells the peer why, if there is one.
                        let _ = self.step(&mut incoming[used..], &[], out);
                        return Err(error);
                    }
                }
            }
        })
    }

    fn step(&mut self, incoming: &mut [u8], say: &[u8], out: &mut ReadBuf<'_>) -> (usize, Result<Stage, rustls::Error>) {
        let Self { tls, unsent, plain, ended, .. } = self;
        let UnbufferedStatus { mut discard, state, .. } = tls.process_tls_records(incoming);
        let stage = match state {
            Err(error) => Err(error),
            Ok(ConnectionState::ReadTraffic(mut records)) => loop {
                match records.next_record() {
                    Some(Ok(record)) => {
                        discard += record.discard;
                        // What came earlier is handed over first.
                        let fits = if plain.is_empty() { record.payload.len().min(out.remaining()) } else { 0 };
                        out.put_slice(&record.payload[..fits]);
                        plain.extend_from_slice(&record.payload[fits..]);
                    }
                    Some(Err(error)) => break Err(error),
                    None => break Ok(Stage::Again),
                }
            },
            Ok(ConnectionState::EncodeTlsData(record)) => encode(record, unsent),
            Ok(ConnectionState::TransmitTlsData(record)) => {
                // It is in `unsent`, which keeps the order.
                record.done();
                Ok(Stage::Again)
            }
            Ok(ConnectionState::PeerClosed) => {
                *ended = true;
                Ok(Stage::Again)
            }
            Ok(ConnectionState::WriteTraffic(_)) if say.is_empty() => Ok(Stage::Speaks),
            Ok(ConnectionState::WriteTraffic(traffic)) => encrypt(traffic, say, unsent),
            Ok(_) => Ok(Stage::Waits),
        };
        (discard, stage)
    }
}

/// Appends a handshake's record.
fn encode(mut record: EncodeTlsData<'_, ClientConnectionData>, unsent: &mut Vec<u8>) -> Result<Stage, rustls::Error> {
    let begin = unsent.len();
    loop {
        match record.encode(&mut unsent[begin..]) {
            Ok(_) => return Ok(Stage::Again),
            Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => {
                unsent.resize(begin + required_size, 0);
            }
            Err(error) => return Err(rustls::Error::General(error.to_string())),
        }
    }
}

/// Appends what the application says.
fn encrypt(
    mut traffic: WriteTraffic<'_, ClientConnectionData>,
    say: &[u8],
    unsent: &mut Vec<u8>,
) -> Result<Stage, rustls::Error> {
    let begin = unsent.len();
    unsent.resize(begin + say.len() + OVERHEAD, 0);
    loop {
        match traffic.encrypt(say, &mut unsent[begin..]) {
            Ok(length) => {
                unsent.truncate(begin + length);
                return Ok(Stage::Speaks);
            }
            Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => {
                unsent.resize(begin + required_size, 0);
            }
            Err(EncryptError::EncryptExhausted) => return Err(rustls::Error::EncryptError),
        }
    }
}

/// For what is said before anybody asks: it is kept as plain text.
fn nowhere() -> ReadBuf<'static> {
    ReadBuf::new(&mut [])
}
