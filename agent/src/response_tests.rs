use proptest::prelude::*;

use super::*;

const VOTED: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{\"counted\":true}";
const CHUNKED: &[u8] =
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0b\r\n, universe!\r\n0\r\nx-trailer: 1\r\n\r\n";
/// HAProxy's own answer to a vote that waited too long for a server (2.6, errors of `timeout queue`).
const QUEUE_TIMEOUT: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 107\r\ncache-control: no-cache\r\ncontent-type: text/html\r\n\r\n\
<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n";

const GOOD: [(&str, &[u8], u16, bool); 10] = [
    ("a length", VOTED, 200, true),
    ("chunks with extension and trailer", CHUNKED, 200, true),
    ("the 503 of a queue timeout", QUEUE_TIMEOUT, 503, true),
    ("no body at all", b"HTTP/1.1 204 No Content\r\n\r\n", 204, true),
    ("an empty body", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, true),
    ("an announced close", b"HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 2\r\n\r\nok", 200, false),
    ("an interim answer first", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: 1\r\n\r\nx", 201, true),
    ("the same length twice", b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx", 200, true),
    ("HTTP/1.0 closes unless it says otherwise", b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx", 200, false),
    ("HTTP/1.0 kept alive", b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\nx", 200, true),
];

#[test]
fn a_whole_answer_is_understood_wherever_it_is_cut_in_two() {
    // Shared, so that every answer comes after another one and after itself.
    let mut known = KnownHead::default();
    for (name, bytes, status, keep) in GOOD {
        for cut in 0..=bytes.len() {
            let mut reader = Reader::new(false);
            assert!(reader.untouched());
            let first = reader.feed(&bytes[..cut], &mut known).unwrap();
            let answer = if cut == bytes.len() {
                first
            } else {
                assert_eq!(first, None, "{name} cut at {cut}");
                reader.feed(&bytes[cut..], &mut known).unwrap()
            };
            assert_eq!(answer, Some(Answer { status, keep }), "{name} cut at {cut}");
        }
    }
}

#[test]
fn a_whole_answer_is_understood_byte_by_byte() {
    let mut known = KnownHead::default();
    for (name, bytes, status, keep) in GOOD {
        let mut reader = Reader::new(false);
        let answers: Vec<_> = bytes.iter().filter_map(|byte| reader.feed(&[*byte], &mut known).unwrap()).collect();
        assert_eq!(answers, [Answer { status, keep }], "{name}");
    }
}

#[test]
fn a_head_that_is_known_is_not_mistaken_for_another_one() {
    let mut known = KnownHead::default();
    for (length, status, body) in
        [(1, 200, "x"), (1, 200, "y"), (12, 200, "twelve bytes"), (12, 503, "twelve bytes"), (1, 200, "x")]
    {
        let bytes = format!("HTTP/1.1 {status} Told\r\ncontent-length: {length}\r\n\r\n{body}");
        let answer = Reader::new(false).feed(bytes.as_bytes(), &mut known).unwrap();
        assert_eq!(answer, Some(Answer { status, keep: true }), "{bytes}");
    }
    // Known, and yet not whole until its body is; and nothing to the one who asked for the head alone.
    let head = b"HTTP/1.1 200 Told\r\ncontent-length: 1\r\n\r\n";
    assert_eq!(Reader::new(false).feed(head, &mut known), Ok(None));
    assert_eq!(Reader::new(true).feed(head, &mut known), Ok(Some(Answer { status: 200, keep: true })));
}

#[test]
fn a_body_without_length_ends_with_the_connection() {
    let mut reader = Reader::new(false);
    assert_eq!(reader.feed(b"HTTP/1.1 200 OK\r\n\r\nsome", &mut KnownHead::default()).unwrap(), None);
    assert_eq!(reader.feed(b" more", &mut KnownHead::default()).unwrap(), None);
    assert_eq!(reader.end(), Ok(Answer { status: 200, keep: false }));
}

#[test]
fn the_answer_to_head_has_no_body_whatever_length_it_tells() {
    let mut reader = Reader::new(true);
    assert_eq!(
        reader.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n", &mut KnownHead::default()).unwrap(),
        Some(Answer { status: 200, keep: true })
    );
}

#[test]
fn bytes_behind_the_answer_spoil_the_connection_but_not_the_answer() {
    let bytes = [VOTED, b"HTTP/1.1 408 Request Time-out\r\n"].concat();
    assert_eq!(Reader::new(false).feed(&bytes, &mut KnownHead::default()).unwrap(), Some(Answer { status: 200, keep: false }));
}

#[test]
fn an_answer_that_ends_early_is_cut() {
    for (name, bytes, ..) in GOOD {
        for cut in 0..bytes.len() {
            let mut reader = Reader::new(false);
            reader.feed(&bytes[..cut], &mut KnownHead::default()).unwrap();
            assert_eq!(reader.end(), Err(BadAnswer::Cut), "{name} cut at {cut}");
        }
    }
}

#[test]
fn what_is_no_answer_is_refused_with_its_reason() {
    let head = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n").into_bytes();
    let cases: Vec<(&str, Vec<u8>, BadAnswer)> = vec![
        ("garbage", b"\x00\x01\x02garbage\r\n\r\n".to_vec(), BadAnswer::Head),
        ("TLS on a plain port", b"\x15\x03\x01\x00\x02\x02\x16".to_vec(), BadAnswer::Head),
        ("HTTP/2", b"HTTP/2 200\r\n\r\n".to_vec(), BadAnswer::Head),
        ("a negative length", head("content-length: -1\r\n"), BadAnswer::Length),
        ("a signed length", head("content-length: +1\r\n"), BadAnswer::Length),
        ("an empty length", head("content-length: \r\n"), BadAnswer::Length),
        ("a length beyond 64 bits", head("content-length: 99999999999999999999\r\n"), BadAnswer::Length),
        ("two lengths", head("content-length: 1\r\ncontent-length: 2\r\n"), BadAnswer::Length),
        ("length and chunks", head("content-length: 1\r\ntransfer-encoding: chunked\r\n"), BadAnswer::Length),
        ("a huge length", head("content-length: 1048577\r\n"), BadAnswer::LongBody),
        ("a huge chunk", [head("transfer-encoding: chunked\r\n"), b"100001\r\n".to_vec()].concat(), BadAnswer::LongBody),
        (
            "a chunk size that is no number",
            [head("transfer-encoding: chunked\r\n"), b"zz\r\n".to_vec()].concat(),
            BadAnswer::Chunk,
        ),
        (
            "a chunk size line without end",
            [head("transfer-encoding: chunked\r\n"), b"1;".to_vec(), vec![b'x'; 300]].concat(),
            BadAnswer::Chunk,
        ),
        ("a chunk that does not end", [head("transfer-encoding: chunked\r\n"), b"1\r\nxy".to_vec()].concat(), BadAnswer::Chunk),
        ("a head without end", [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'y'; MOST_HEAD]].concat(), BadAnswer::LongHead),
        ("65 fields", head(&"a: b\r\n".repeat(65)), BadAnswer::LongHead),
        ("a switch of protocols", b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec(), BadAnswer::Upgrade),
    ];
    for (name, bytes, reason) in cases {
        assert_eq!(Reader::new(false).feed(&bytes, &mut KnownHead::default()), Err(reason), "{name}");
    }
}

#[test]
fn a_body_without_length_is_bounded() {
    let mut reader = Reader::new(false);
    reader.feed(b"HTTP/1.1 200 OK\r\n\r\n", &mut KnownHead::default()).unwrap();
    let piece = vec![0; 64 * 1_024];
    let refused = (0..17).find_map(|count| reader.feed(&piece, &mut KnownHead::default()).err().map(|reason| (count, reason)));
    assert_eq!(refused, Some((16, BadAnswer::LongBody)));
}

proptest! {
    #[test]
    fn bytes_from_a_hostile_server_never_panic_and_never_pile_up(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..400), 0..40), begun in any::<bool>()) {
        let mut reader = Reader::new(false);
        if begun {
            reader.feed(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", &mut KnownHead::default()).unwrap();
        }
        for piece in pieces {
            if !matches!(reader.feed(&piece, &mut KnownHead::default()), Ok(None)) {
                break;
            }
            prop_assert!(reader.kept.len() <= MOST_HEAD);
        }
    }
}
