//! HTTP/1.1 as far as a vote needs it: one request out of a buffer, and the answers as bytes made once.

/// The largest head that is read: HAProxy's default buffer (`tune.bufsize`, 16384 bytes).
pub(crate) const HEAD_LIMIT: usize = 16_384;
/// The most header fields that are read: HAProxy's default (`tune.http.maxhdr`).
const FIELD_LIMIT: usize = 101;
/// The largest body that is read, far above any vote.
pub(crate) const BODY_LIMIT: usize = 65_536;

/// The methods the stage tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
    Other,
}

/// One complete request, borrowed from the bytes it came in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request<'b> {
    pub(crate) method: Method,
    /// What stands behind the `?` of the request target; empty without one.
    pub(crate) query: &'b str,
    pub(crate) idempotency_key: Option<&'b str>,
    pub(crate) body: &'b [u8],
    /// Whether the connection serves on after the answer (RFC 9112, section 9.3).
    pub(crate) keep_alive: bool,
}

/// What the bytes received so far are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reading<'b> {
    /// The beginning of a request.
    Incomplete,
    /// A request, and the number of bytes it takes up.
    Complete(Request<'b>, usize),
    /// No request the stage can take: answered with this, then the connection is closed.
    Refused(Answer),
}

/// Reads the request at the beginning of `bytes`.
pub(crate) fn read(bytes: &[u8]) -> Reading<'_> {
    let mut fields = [const { std::mem::MaybeUninit::uninit() }; FIELD_LIMIT];
    let mut head = httparse::Request::new(&mut []);
    let head_length = match head.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete(length)) if length <= HEAD_LIMIT => length,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_LIMIT => return Reading::Incomplete,
        _ => return Reading::Refused(Answer::BadRequest),
    };
    let framing = match Framing::of(&head) {
        Ok(framing) => framing,
        Err(answer) => return Reading::Refused(answer),
    };
    let Some(body) = bytes.get(head_length..head_length + framing.body_length) else { return Reading::Incomplete };
    let method = match head.method {
        Some("GET") => Method::Get,
        Some("POST") => Method::Post,
        _ => Method::Other,
    };
    let query = head.path.and_then(|target| target.split_once('?')).map_or("", |(_, query)| query);
    let request = Request { method, query, idempotency_key: framing.idempotency_key, body, keep_alive: framing.keep_alive };
    Reading::Complete(request, head_length + framing.body_length)
}

/// What the header fields say about where the request ends and what follows it.
struct Framing<'b> {
    body_length: usize,
    keep_alive: bool,
    idempotency_key: Option<&'b str>,
}

impl<'b> Framing<'b> {
    fn of(head: &httparse::Request<'_, 'b>) -> Result<Self, Answer> {
        let mut framing = Self { body_length: 0, keep_alive: head.version == Some(1), idempotency_key: None };
        let mut length = None;
        for field in head.headers.iter() {
            if field.name.eq_ignore_ascii_case("content-length") {
                let digits = std::str::from_utf8(field.value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
                let told: usize = digits.and_then(|text| text.parse().ok()).ok_or(Answer::BadRequest)?;
                // Two different lengths are how requests get smuggled (RFC 9112, section 6.3).
                if length.replace(told).is_some_and(|before| before != told) {
                    return Err(Answer::BadRequest);
                }
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                return Err(Answer::LengthRequired);
            } else if field.name.eq_ignore_ascii_case("connection") {
                if has_token(field.value, b"close") {
                    framing.keep_alive = false;
                } else if has_token(field.value, b"keep-alive") {
                    framing.keep_alive = true;
                }
            } else if field.name.eq_ignore_ascii_case("idempotency-key") {
                framing.idempotency_key = std::str::from_utf8(field.value).ok().map(|key| key.trim_matches('"'));
            }
        }
        framing.body_length = length.unwrap_or(0);
        if framing.body_length > BODY_LIMIT { Err(Answer::TooLarge) } else { Ok(framing) }
    }
}

fn has_token(value: &[u8], token: &[u8]) -> bool {
    value.split(|&byte| byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(token))
}

/// Everything the stage ever answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The vote was counted, now or by an earlier attempt with the same ballot.
    Counted,
    /// The answer to a GET.
    Greeting,
    NoBallot,
    BadBallot,
    ForeignBallot,
    UnknownQuestion,
    UnknownChoice,
    Unreadable,
    /// Neither GET nor POST.
    MethodNotAllowed,
    /// The request waited for the whole queue timeout.
    QueueTimeout,
    BadRequest,
    RequestTimeout,
    LengthRequired,
    TooLarge,
}

impl Answer {
    const ALL: [Self; 14] = [
        Self::Counted,
        Self::Greeting,
        Self::NoBallot,
        Self::BadBallot,
        Self::ForeignBallot,
        Self::UnknownQuestion,
        Self::UnknownChoice,
        Self::Unreadable,
        Self::MethodNotAllowed,
        Self::QueueTimeout,
        Self::BadRequest,
        Self::RequestTimeout,
        Self::LengthRequired,
        Self::TooLarge,
    ];

    /// The hundred of the status code, as HAProxy's `hrsp_*` counters sort answers.
    pub(crate) fn class(self) -> u16 {
        self.status().0 / 100
    }

    /// Code and reason.
    pub(crate) fn status(self) -> (u16, &'static str) {
        match self {
            Self::Counted | Self::Greeting => (200, "OK"),
            Self::NoBallot
            | Self::BadBallot
            | Self::ForeignBallot
            | Self::UnknownQuestion
            | Self::UnknownChoice
            | Self::Unreadable => (400, "Bad Request"),
            Self::BadRequest => (400, "Bad request"),
            Self::MethodNotAllowed => (405, "Method Not Allowed"),
            Self::RequestTimeout => (408, "Request Time-out"),
            Self::LengthRequired => (411, "Length Required"),
            Self::TooLarge => (413, "Payload Too Large"),
            Self::QueueTimeout => (503, "Service Unavailable"),
        }
    }

    pub(crate) fn body(self) -> &'static str {
        match self {
            Self::Counted => r#"{"counted":true}"#,
            Self::Greeting => "voteburst stage\n",
            Self::NoBallot => r#"{"error":"no ballot: needed in the body as `ballot` or in the header idempotency-key"}"#,
            Self::BadBallot => r#"{"error":"bad ballot: needed 16 hexadecimal digits, a dash and 16 more"}"#,
            Self::ForeignBallot => r#"{"error":"ballot of another run: this stage counts one run only"}"#,
            Self::UnknownQuestion => r#"{"error":"unknown question: needed `question`, an id of the scenario"}"#,
            Self::UnknownChoice => r#"{"error":"unknown choice: needed `choice`, an id or index of the question's choices"}"#,
            Self::Unreadable => r#"{"error":"unreadable vote: needed a JSON object or form fields"}"#,
            Self::MethodNotAllowed => r#"{"error":"method not allowed: POST a vote, or GET"}"#,
            Self::LengthRequired => r#"{"error":"length required: the stage reads bodies by content-length only"}"#,
            Self::TooLarge => r#"{"error":"body too large: at most 65536 bytes"}"#,
            // The texts of HAProxy, byte for byte.
            Self::QueueTimeout => {
                "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n"
            }
            Self::BadRequest => "<html><body><h1>400 Bad request</h1>\nYour browser sent an invalid request.\n</body></html>\n",
            Self::RequestTimeout => {
                "<html><body><h1>408 Request Time-out</h1>\nYour browser didn't send a complete request in time.\n</body></html>\n"
            }
        }
    }

    /// Whether it is an answer that HAProxy makes by itself.
    pub(crate) fn is_haproxys(self) -> bool {
        matches!(self, Self::QueueTimeout | Self::BadRequest | Self::RequestTimeout)
    }

    /// The media type of the body.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            _ if self.is_haproxys() => "text/html",
            _ if self.body().starts_with('{') => "application/json",
            _ => "text/plain",
        }
    }

    fn render(self, keep_alive: bool) -> Vec<u8> {
        let (code, reason) = self.status();
        let body = self.body();
        let length = body.len();
        let head = match self {
            // HAProxy writes the refusals that it makes while parsing as raw text, with capitals and always closing.
            Self::BadRequest | Self::RequestTimeout => {
                format!("Content-length: {length}\r\nCache-Control: no-cache\r\nConnection: close\r\nContent-Type: text/html\r\n")
            }
            Self::QueueTimeout => {
                let close = if keep_alive { "" } else { "connection: close\r\n" };
                format!("content-length: {length}\r\ncache-control: no-cache\r\ncontent-type: text/html\r\n{close}")
            }
            _ => {
                let kind = self.kind();
                let close = if keep_alive { "" } else { "connection: close\r\n" };
                format!("content-length: {length}\r\ncontent-type: {kind}\r\n{close}")
            }
        };
        format!("HTTP/1.1 {code} {reason}\r\n{head}\r\n{body}").into_bytes()
    }
}

/// Every answer as the bytes that go out, made once per worker.
#[derive(Debug)]
pub(crate) struct Answers {
    keeping: Vec<Vec<u8>>,
    closing: Vec<Vec<u8>>,
}

impl Answers {
    pub(crate) fn render() -> Self {
        let all = |keep_alive| Answer::ALL.iter().map(|answer| answer.render(keep_alive)).collect();
        Self { keeping: all(true), closing: all(false) }
    }

    pub(crate) fn bytes(&self, answer: Answer, keep_alive: bool) -> &[u8] {
        let table = if keep_alive { &self.keeping } else { &self.closing };
        &table[answer as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(bytes: &[u8]) -> (Request<'_>, usize) {
        match read(bytes) {
            Reading::Complete(request, used) => (request, used),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_is_incomplete_until_its_last_byte_and_then_leaves_the_next_one_alone() {
        let first = b"POST /vote?a=b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nIdempotency-Key: \"k\"\r\n\r\nabc";
        for cut in 0..first.len() {
            assert_eq!(read(&first[..cut]), Reading::Incomplete, "{cut} bytes");
        }
        let mut both = first.to_vec();
        both.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
        let (request, used) = complete(&both);
        assert_eq!(used, first.len());
        let wanted = Request { method: Method::Post, query: "a=b", idempotency_key: Some("k"), body: b"abc", keep_alive: true };
        assert_eq!(request, wanted);
        assert_eq!(complete(&both[used..]).0.method, Method::Get);
    }

    #[test]
    fn the_connection_header_and_the_version_decide_whether_it_serves_on() {
        for (head, keeps) in [
            ("GET / HTTP/1.1\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nConnection: Close\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nconnection: x, close\r\n\r\n", false),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
        ] {
            assert_eq!(complete(head.as_bytes()).0.keep_alive, keeps, "{head}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused_with_its_reason() {
        let long = format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(HEAD_LIMIT));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(FIELD_LIMIT + 1));
        for (text, answer) in [
            ("nonsense\r\n\r\n", Answer::BadRequest),
            ("\x16\x03\x01\x02\x00\x01", Answer::BadRequest),
            ("POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", Answer::BadRequest),
            ("POST / HTTP/1.1\r\ncontent-length: 1x\r\n\r\n", Answer::BadRequest),
            ("POST / HTTP/1.1\r\ncontent-length:\r\n\r\n", Answer::BadRequest),
            ("POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", Answer::BadRequest),
            ("POST / HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n", Answer::BadRequest),
            ("POST / HTTP/1.1\r\ncontent-length: 65537\r\n\r\n", Answer::TooLarge),
            ("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", Answer::LengthRequired),
            (long.as_str(), Answer::BadRequest),
            (many.as_str(), Answer::BadRequest),
        ] {
            assert_eq!(read(text.as_bytes()), Reading::Refused(answer), "{}", &text[..text.len().min(80)]);
        }
    }

    #[test]
    fn the_queue_timeout_is_answered_as_haproxy_does_byte_for_byte() {
        let wanted = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 107\r\ncache-control: no-cache\r\n\
                      content-type: text/html\r\n\r\n<html><body><h1>503 Service Unavailable</h1>\n\
                      No server is available to handle this request.\n</body></html>\n";
        let answers = Answers::render();
        assert_eq!(String::from_utf8_lossy(answers.bytes(Answer::QueueTimeout, true)), wanted);
        assert_eq!(answers.bytes(Answer::QueueTimeout, true).len(), 214);
    }

    #[test]
    fn haproxys_own_refusals_have_its_lengths_and_every_answer_stands_in_its_place() {
        assert_eq!((Answer::BadRequest.body().len(), Answer::RequestTimeout.body().len()), (90, 110));
        for (place, answer) in Answer::ALL.into_iter().enumerate() {
            assert_eq!(answer as usize, place);
            let text = String::from_utf8(answer.render(false)).unwrap();
            assert!(text.to_ascii_lowercase().contains("connection: close\r\n"), "{text}");
            assert!(text.to_ascii_lowercase().contains(&format!("content-length: {}\r\n", answer.body().len())), "{text}");
        }
    }
}
