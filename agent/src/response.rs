//! Reads one HTTP/1.1 answer out of whatever pieces it comes in (RFC 9112).
//!
//! The common case, a whole answer in one piece, copies nothing; only a head cut in two is kept for the next piece.

use std::mem::MaybeUninit;

use httparse::{ParserConfig, Response, Status};

/// The longest head of an answer, in bytes.
pub(crate) const MOST_HEAD: usize = 16 * 1_024;
/// The longest body of an answer, in bytes.
pub(crate) const MOST_BODY: u64 = 1_024 * 1_024;
/// The most header fields of an answer.
const MOST_FIELDS: usize = 64;
/// The longest line that tells the size of a chunk, extensions and line end included, in bytes.
const MOST_SIZE_LINE: usize = 256;

/// A whole answer, as far as a vote cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// Whether another vote may go over the same connection.
    pub(crate) keep: bool,
}

/// These bytes are no HTTP/1.1 answer, or a larger one than any vote gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadAnswer {
    /// The head does not parse.
    #[error("found no HTTP/1.1 head")]
    Head,
    /// The head does not end, or has too many fields.
    #[error("found a head of more than {MOST_HEAD} bytes or {MOST_FIELDS} fields")]
    LongHead,
    /// Lengths that are no numbers, contradict each other, or come with chunks.
    #[error("found no single valid length of the body")]
    Length,
    /// A body that is too long.
    #[error("found a body of more than {MOST_BODY} bytes")]
    LongBody,
    /// Chunks that do not follow the grammar.
    #[error("found an invalid chunk")]
    Chunk,
    /// The server wants to speak another protocol.
    #[error("found a switch of protocols that nobody asked for")]
    Upgrade,
    /// The connection ended within the answer.
    #[error("found the end of the connection within the answer")]
    Cut,
}

/// Where the reader stands.
#[derive(Debug, PartialEq, Eq)]
enum At {
    Head,
    Length(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailer,
    UntilClose,
    Done,
}

/// The last head that was read, and what it says.
///
/// Servers answer votes with the same bytes over and over, at least for the second that a Date stands for. What a head
/// says depends on its bytes alone, and comparing them costs a small part of parsing them.
#[derive(Debug, Default)]
pub(crate) struct KnownHead {
    /// Up to and with the empty line; empty when none was read.
    bytes: Vec<u8>,
    says: Option<Head>,
}

impl KnownHead {
    /// How long the head is that `rest` begins with, and what it says; `None` when it is another one than the last.
    fn recall(&self, rest: &[u8]) -> Option<(usize, Head)> {
        let says = self.says.filter(|_| rest.starts_with(&self.bytes))?;
        Some((self.bytes.len(), says))
    }

    fn remember(&mut self, head: &[u8], says: Head) {
        self.bytes.clear();
        self.bytes.extend_from_slice(head);
        self.says = Some(says);
    }
}

/// What the head of a final answer says.
#[derive(Clone, Copy, Debug)]
struct Head {
    status: u16,
    framing: Framing,
}

/// Reads one answer.
#[derive(Debug)]
pub(crate) struct Reader {
    at: At,
    /// The beginning of a head or of a line of chunk framing that was cut in two; mostly empty.
    kept: Vec<u8>,
    body: u64,
    answer: Answer,
    bodiless: bool,
}

impl Reader {
    /// A reader for the answer to one request. `to_head`: the request's method was HEAD, whose answers have no body.
    pub(crate) fn new(to_head: bool) -> Self {
        Self { at: At::Head, kept: Vec::new(), body: 0, answer: Answer { status: 0, keep: true }, bodiless: to_head }
    }

    /// Whether not one byte of an answer has come.
    pub(crate) fn untouched(&self) -> bool {
        self.at == At::Head && self.kept.is_empty()
    }

    /// Takes the next piece. Returns the answer once it is whole.
    ///
    /// Bytes behind the answer belong to nothing that was asked, so that connection is not to be used again.
    pub(crate) fn feed(&mut self, piece: &[u8], known: &mut KnownHead) -> Result<Option<Answer>, BadAnswer> {
        if piece.is_empty() {
            return Ok(None);
        }
        if self.kept.is_empty() {
            let used = self.advance(piece, known)?;
            if self.at != At::Done {
                self.kept.extend_from_slice(&piece[used..]);
            } else if used < piece.len() {
                self.answer.keep = false;
            }
        } else {
            let mut joined = std::mem::take(&mut self.kept);
            joined.extend_from_slice(piece);
            return self.feed(&joined, known);
        }
        Ok((self.at == At::Done).then_some(self.answer))
    }

    /// The connection has ended.
    pub(crate) fn end(&mut self) -> Result<Answer, BadAnswer> {
        match self.at {
            At::UntilClose => Ok(Answer { keep: false, ..self.answer }),
            _ => Err(BadAnswer::Cut),
        }
    }

    /// Reads as far as whole elements reach and returns how many bytes that were.
    fn advance(&mut self, piece: &[u8], known: &mut KnownHead) -> Result<usize, BadAnswer> {
        let mut used = 0;
        while self.at != At::Done {
            let Some(step) = self.step(&piece[used..], known)? else { break };
            used += step;
        }
        Ok(used)
    }

    /// Reads one element; `None` when it is not whole yet.
    fn step(&mut self, rest: &[u8], known: &mut KnownHead) -> Result<Option<usize>, BadAnswer> {
        match self.at {
            At::Head => self.head(rest, known),
            At::Length(left) => {
                let step = take(left, rest);
                self.at = if step == left { At::Done } else { At::Length(left - step) };
                Ok(some_bytes(step, rest))
            }
            At::ChunkSize => self.chunk_size(rest),
            At::ChunkData(left) => {
                let step = take(left, rest);
                self.at = if step == left { At::ChunkEnd } else { At::ChunkData(left - step) };
                Ok(some_bytes(step, rest))
            }
            At::ChunkEnd => match rest {
                [b'\r', b'\n', ..] => {
                    self.at = At::ChunkSize;
                    Ok(Some(2))
                }
                [] | [b'\r'] => Ok(None),
                _ => Err(BadAnswer::Chunk),
            },
            At::Trailer => self.trailer(rest),
            At::UntilClose => {
                self.grow(rest.len() as u64)?;
                Ok(some_bytes(rest.len() as u64, rest))
            }
            At::Done => Ok(None),
        }
    }

    fn head(&mut self, rest: &[u8], known: &mut KnownHead) -> Result<Option<usize>, BadAnswer> {
        let (length, Head { status, framing }) = match known.recall(rest) {
            Some(recalled) => recalled,
            None => match parse(rest)? {
                (Some(length), Some(head)) => {
                    known.remember(&rest[..length], head);
                    (length, head)
                }
                // Not whole yet, or an interim answer.
                (length, _) => return Ok(length),
            },
        };
        self.answer = Answer { status, keep: framing.keep };
        self.at = match framing.body {
            // RFC 9112, section 6.3: these have no body whatever their fields say.
            _ if self.bodiless || matches!(status, 204 | 304) => At::Done,
            Body::Chunked => At::ChunkSize,
            Body::Length(0) => At::Done,
            Body::Length(length) => {
                self.grow(length)?;
                At::Length(length)
            }
            Body::UntilClose => At::UntilClose,
        };
        Ok(Some(length))
    }

    fn chunk_size(&mut self, rest: &[u8]) -> Result<Option<usize>, BadAnswer> {
        match httparse::parse_chunk_size(rest).map_err(|_| BadAnswer::Chunk)? {
            Status::Complete((length, size)) => {
                self.grow(size)?;
                self.at = if size == 0 { At::Trailer } else { At::ChunkData(size) };
                Ok(Some(length))
            }
            Status::Partial if rest.len() < MOST_SIZE_LINE => Ok(None),
            Status::Partial => Err(BadAnswer::Chunk),
        }
    }

    fn trailer(&mut self, rest: &[u8]) -> Result<Option<usize>, BadAnswer> {
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            return if rest.len() < MOST_HEAD { Ok(None) } else { Err(BadAnswer::LongHead) };
        };
        // Trailer fields say nothing that a vote needs; they only have to end, within the limits of a body.
        self.grow(end as u64)?;
        if matches!(&rest[..end], b"\r" | b"") {
            self.at = At::Done;
        }
        Ok(Some(end + 1))
    }

    fn grow(&mut self, by: u64) -> Result<(), BadAnswer> {
        self.body = self.body.saturating_add(by);
        if self.body > MOST_BODY { Err(BadAnswer::LongBody) } else { Ok(()) }
    }
}

fn take(left: u64, rest: &[u8]) -> u64 {
    left.min(rest.len() as u64)
}

fn some_bytes(step: u64, rest: &[u8]) -> Option<usize> {
    // `step` is at most the length of `rest`.
    (!rest.is_empty()).then(|| usize::try_from(step).unwrap_or(rest.len()))
}

/// The length of the head that `rest` begins with, if it is whole, and what it says, if it announces no other answer.
fn parse(rest: &[u8]) -> Result<(Option<usize>, Option<Head>), BadAnswer> {
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut response = Response::new(&mut []);
    let length = match ParserConfig::default().parse_response_with_uninit_headers(&mut response, rest, &mut fields) {
        Ok(Status::Complete(length)) if length <= MOST_HEAD => length,
        Ok(Status::Partial) if rest.len() < MOST_HEAD => return Ok((None, None)),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(BadAnswer::LongHead),
        Err(_) => return Err(BadAnswer::Head),
    };
    match response.code.ok_or(BadAnswer::Head)? {
        101 => Err(BadAnswer::Upgrade),
        // Interim answers announce the real one (RFC 9110, section 15.2).
        100..=199 => Ok((Some(length), None)),
        status => Ok((Some(length), Some(Head { status, framing: Framing::of(&response)? }))),
    }
}

#[derive(Clone, Copy, Debug)]
enum Body {
    Length(u64),
    Chunked,
    UntilClose,
}

#[derive(Clone, Copy, Debug)]
struct Framing {
    body: Body,
    keep: bool,
}

impl Framing {
    /// How the body ends (RFC 9112, section 6.3) and whether the connection lasts (section 9.3).
    fn of(response: &Response<'_, '_>) -> Result<Self, BadAnswer> {
        let (mut length, mut chunked, mut coded) = (None, false, false);
        let (mut close, mut keep_alive) = (false, false);
        for field in response.headers.iter() {
            if field.name.eq_ignore_ascii_case("content-length") {
                let told = number(field.value)?;
                if length.is_some_and(|known| known != told) {
                    return Err(BadAnswer::Length);
                }
                length = Some(told);
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                coded = true;
                chunked = words(field.value).last().is_some_and(|word| word.eq_ignore_ascii_case(b"chunked"));
            } else if field.name.eq_ignore_ascii_case("connection") {
                for word in words(field.value) {
                    close |= word.eq_ignore_ascii_case(b"close");
                    keep_alive |= word.eq_ignore_ascii_case(b"keep-alive");
                }
            }
        }
        let body = match (length, coded, chunked) {
            // Both at once is how smuggled answers look: refuse.
            (Some(_), true, _) => return Err(BadAnswer::Length),
            (None, true, true) => Body::Chunked,
            (Some(length), false, _) => Body::Length(length),
            (None, _, _) => Body::UntilClose,
        };
        let lasts = if response.version == Some(0) { keep_alive && !close } else { !close };
        // A body that lasts until the close says so by itself: `Reader::end`.
        Ok(Self { body, keep: lasts })
    }
}

fn number(value: &[u8]) -> Result<u64, BadAnswer> {
    let digits = value.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(BadAnswer::Length);
    }
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or(BadAnswer::Length)
}

fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
