//! Where one request ends and the next begins: all that a null target has to know of HTTP/1.1 (RFC 9112, sections 2 and 6.3).

/// The longest header that is waited for.
const LONGEST_HEAD: usize = 64 << 10;

/// A stream of requests that may be cut anywhere.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// The beginning of a header whose end has not come yet; empty for whoever sends it in one piece, as agents do.
    head: Vec<u8>,
    /// Bytes of a body that have not come yet.
    body: usize,
}

/// A header without end, or a length that is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotHttp;

impl Requests {
    /// Takes the next bytes in and returns how many requests ended in them.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Result<usize, NotHttp> {
        let mut ended = 0;
        while !bytes.is_empty() {
            if self.body > 0 {
                let part = self.body.min(bytes.len());
                (self.body, bytes) = (self.body - part, &bytes[part..]);
            } else {
                let Some(rest) = self.head_in(bytes)? else { return Ok(ended) };
                bytes = rest;
            }
            ended += usize::from(self.body == 0);
        }
        Ok(ended)
    }

    /// Reads on to the end of a header and returns what is behind it; `None` when it does not end here.
    fn head_in<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, NotHttp> {
        if self.head.is_empty()
            && let Some(end) = end_of_head(bytes)
        {
            self.body = content_length(&bytes[..end])?;
            return Ok(Some(&bytes[end..]));
        }
        let known = self.head.len();
        self.head.extend_from_slice(bytes);
        if let Some(end) = end_of_head(&self.head) {
            self.body = content_length(&self.head[..end])?;
            self.head = Vec::new();
            // The end was not in what was known before, so it lies in the new bytes.
            return Ok(Some(&bytes[end - known..]));
        }
        if self.head.len() > LONGEST_HEAD { Err(NotHttp) } else { Ok(None) }
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

fn content_length(head: &[u8]) -> Result<usize, NotHttp> {
    const NAME: &[u8] = b"content-length:";
    let is_length = |line: &&[u8]| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME);
    let Some(line) = head.split(|byte| *byte == b'\n').find(is_length) else { return Ok(0) };
    std::str::from_utf8(&line[NAME.len()..]).ok().and_then(|text| text.trim().parse().ok()).ok_or(NotHttp)
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &[u8] = b"POST /vote HTTP/1.1\r\nHost: v\r\nContent-Length: 4\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nhost: v\r\n\r\nPOST / HTTP/1.1\r\ncontent-length:2\r\n\r\nab";

    #[test]
    fn requests_are_counted_wherever_the_stream_is_cut() {
        for first in 0..=THREE.len() {
            for second in first..=THREE.len() {
                let mut requests = Requests::default();
                let pieces = [&THREE[..first], &THREE[first..second], &THREE[second..]];
                let ended: usize = pieces.map(|piece| requests.take(piece).unwrap()).iter().sum();
                assert_eq!(ended, 3, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn a_request_is_not_answered_before_its_last_byte() {
        let mut requests = Requests::default();
        assert_eq!(requests.take(&THREE[..THREE.len() - 1]), Ok(2));
        assert_eq!(requests.take(b"b"), Ok(1));
    }

    #[test]
    fn what_is_no_http_is_refused() {
        assert_eq!(Requests::default().take(b"POST / HTTP/1.1\r\ncontent-length: many\r\n\r\n"), Err(NotHttp));
        assert_eq!(Requests::default().take(&vec![b'x'; LONGEST_HEAD + 1]), Err(NotHttp));
    }
}
