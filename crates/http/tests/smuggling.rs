//! Requests that two parties could read in two ways: each is refused with its status and one line, and what
//! is hidden behind it is never seen.

use hioload_http::h1::{Event, Limits, Refusal, Server};

const MALFORMED_LENGTH: &str = "Content-Length is no number";
const LENGTHS: &str = "there is more than one Content-Length";
const BOTH: &str = "there are both Content-Length and Transfer-Encoding";
const ENCODINGS: &str = "there is more than one Transfer-Encoding";
const ENCODING: &str = "no Transfer-Encoding but chunked is known here";
const NAME: &str = "the name of a field is malformed";
const VALUE: &str = "the value of a field is malformed";
const LINE_ENDS: &str =
    "a line of the head ends with something else than CRLF, or holds a control character";
const HOSTS: &str = "there is not exactly one Host";
const HOST: &str = "Host is neither a name nor an address";
const TARGET: &str = "the target is neither a path nor an http URL";
const LINE: &str = "the request line is malformed";
const VERSION: &str = "this is neither HTTP/1.1 nor HTTP/1.0";
const CHUNKS: &str = "the chunked body is malformed";
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n";

/// Takes all there is to take, in pieces of `step` bytes; each request is answered when it is complete.
fn refusal(input: &[u8], step: usize) -> Option<Refusal> {
    let (mut server, limits) = (Server::new(), Limits::default());
    let mut kept = Vec::new();
    for piece in input.chunks(step) {
        kept.extend_from_slice(piece);
        let mut whole = std::mem::take(&mut kept);
        let mut rest = &mut whole[..];
        loop {
            match server.handle_input(&limits, &mut rest) {
                Ok(Some(Event::Head(head))) => {
                    assert_ne!(head.path(), "/hidden", "{}", input.escape_ascii());
                }
                Ok(Some(Event::Body(_))) => {}
                Ok(Some(Event::End)) => assert!(server.response_done()),
                Ok(None) => break,
                Err(refusal) => {
                    // Nothing goes on after it.
                    assert!(matches!(server.handle_input(&limits, &mut rest), Ok(None)));
                    assert!(!server.response_done());
                    assert_eq!(server.connection_line(false), "Connection: close\r\n");
                    return Some(refusal);
                }
            }
        }
        kept = rest.to_vec();
    }
    None
}

/// The same refusal in one piece, byte by byte, and in between.
fn check(input: &str, status: u16, reason: &str) {
    let input = format!("{input}{HIDDEN}");
    for step in [input.len(), 1, 2, 7] {
        let refusal = refusal(input.as_bytes(), step).map(|refusal| {
            assert!(!refusal.reason.contains(['\r', '\n']));
            (refusal.status, refusal.reason)
        });
        assert_eq!(refusal, Some((status, reason)), "{input:?} by {step}");
    }
}

#[test]
fn fields_that_frame() {
    for (fields, status, reason) in [
        ("Content-Length: 1\r\nContent-Length: 1\r\n", 400, LENGTHS),
        ("Content-Length: 1\r\nContent-Length: 2\r\n", 400, LENGTHS),
        ("Content-Length: 1\r\ncontent-length: 1\r\n", 400, LENGTHS),
        ("Content-Length: 1, 1\r\n", 400, MALFORMED_LENGTH),
        ("Content-Length: +1\r\n", 400, MALFORMED_LENGTH),
        ("Content-Length: -1\r\n", 400, MALFORMED_LENGTH),
        ("Content-Length: 0x1\r\n", 400, MALFORMED_LENGTH),
        ("Content-Length: 1 1\r\n", 400, MALFORMED_LENGTH),
        ("Content-Length: \"1\"\r\n", 400, MALFORMED_LENGTH),
        ("Content-Length:\r\n", 400, MALFORMED_LENGTH),
        (
            "Content-Length: 99999999999999999999\r\n",
            400,
            MALFORMED_LENGTH,
        ),
        (
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            400,
            BOTH,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
            400,
            BOTH,
        ),
        (
            "Transfer-Encoding: gzip\r\nContent-Length: 1\r\n",
            400,
            BOTH,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            400,
            ENCODINGS,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
            400,
            ENCODINGS,
        ),
        ("Transfer-Encoding: gzip, chunked\r\n", 501, ENCODING),
        ("Transfer-Encoding: chunked, gzip\r\n", 501, ENCODING),
        ("Transfer-Encoding: chunked, chunked\r\n", 501, ENCODING),
        ("Transfer-Encoding: identity\r\n", 501, ENCODING),
        ("Transfer-Encoding: xchunked\r\n", 501, ENCODING),
        ("Transfer-Encoding: chunked;q=1\r\n", 501, ENCODING),
        ("Transfer-Encoding: \"chunked\"\r\n", 501, ENCODING),
        ("Transfer-Encoding:\r\n", 501, ENCODING),
        ("Transfer-Encoding: \x0bchunked\r\n", 400, VALUE),
    ] {
        check(
            &format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n"),
            status,
            reason,
        );
    }
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(old, 400, "HTTP/1.0 has no Transfer-Encoding");
}

#[test]
fn lines_of_the_head() {
    for (fields, reason) in [
        ("Transfer-Encoding : chunked\r\n", NAME),
        ("Transfer-Encoding\t: chunked\r\n", NAME),
        ("Transfer Encoding: chunked\r\n", NAME),
        ("Transfer-Encoding\0: chunked\r\n", NAME),
        (": chunked\r\n", NAME),
        ("no colon\r\n", NAME),
        (" X: a\r\n", NAME),
        ("X: a\r\n b\r\n", NAME),
        ("X: a\r\n\tContent-Length: 5\r\n", NAME),
        ("X: a\0\r\n", VALUE),
        ("X: a\x7f\r\n", VALUE),
        ("X: a\rY: b\r\n", VALUE),
        ("X: a\r\r\n", VALUE),
        ("X: a\nY: b\r\n", LINE_ENDS),
        ("X:\nY: b\r\n", LINE_ENDS),
        ("X: a\n", LINE_ENDS),
    ] {
        check(
            &format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n"),
            400,
            reason,
        );
    }
    for (head, reason) in [
        ("GET / HTTP/1.1\n\n", LINE_ENDS),
        ("GET / HTTP/1.1\nHost: h\n\n", LINE_ENDS),
        ("GET / HTTP/1.1\r\nHost: h\r\n\n", LINE_ENDS),
        ("\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", LINE_ENDS),
    ] {
        check(head, 400, reason);
    }
}

#[test]
fn hosts() {
    for (fields, reason) in [
        ("", HOSTS),
        ("Host: h\r\nHost: h\r\n", HOSTS),
        ("Host: h\r\nhost: i\r\n", HOSTS),
        ("Host: a b\r\n", HOST),
        ("Host: a@b\r\n", HOST),
        ("Host: a/b\r\n", HOST),
        ("Host: a:b\r\n", HOST),
        ("Host: http://h\r\n", HOST),
    ] {
        check(&format!("GET / HTTP/1.1\r\n{fields}\r\n"), 400, reason);
    }
    let two = "GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n";
    check(two, 400, HOSTS);
}

#[test]
fn request_lines() {
    for (line, status, reason) in [
        ("GET a HTTP/1.1", 400, TARGET),
        ("GET * HTTP/1.1", 400, TARGET),
        ("GET h:80 HTTP/1.1", 400, TARGET),
        ("GET http:///a HTTP/1.1", 400, TARGET),
        ("GET http://u@h/ HTTP/1.1", 400, TARGET),
        ("GET /a#b HTTP/1.1", 400, TARGET),
        ("CONNECT h:80 HTTP/1.1", 501, "this is no proxy"),
        ("GET / HTTP/2.0", 505, VERSION),
        ("GET / HTTP/1.2", 505, VERSION),
        ("GET / HTTP/0.9", 505, VERSION),
        ("PRI * HTTP/2.0", 505, VERSION),
        ("GET / FOO", 400, LINE),
        ("GET / http/1.1", 400, LINE),
        ("GET / HTTP/11", 400, LINE),
        ("GET / HTTP/x.1", 400, LINE),
        ("GET  / HTTP/1.1", 400, LINE),
        ("GET /  HTTP/1.1", 400, LINE),
        ("GET /a b HTTP/1.1", 400, LINE),
        ("GET /a\x01 HTTP/1.1", 400, LINE),
        ("GET\t/ HTTP/1.1", 400, LINE),
        ("G@T / HTTP/1.1", 400, LINE),
        (" GET / HTTP/1.1", 400, LINE),
        ("GET /", 400, LINE),
        ("\0\0\0\0", 400, LINE),
        ("GET / HTTP/1.1 ", 400, LINE_ENDS),
        ("GET / HTTP/1.1x", 400, LINE_ENDS),
    ] {
        check(&format!("{line}\r\nHost: h\r\n\r\n"), status, reason);
    }
    check(
        "PUT / HTTP/1.1\r\nHost: h\r\nExpect: a miracle\r\nContent-Length: 1\r\n\r\n",
        417,
        "nothing but 100-continue can be expected",
    );
}

#[test]
fn chunks() {
    for (body, reason) in [
        ("x\r\n", CHUNKS),
        ("\r\n", CHUNKS),
        ("-1\r\n", CHUNKS),
        ("+1\r\n", CHUNKS),
        (" 1\r\n", CHUNKS),
        ("0x1\r\n", CHUNKS),
        ("1\nx", CHUNKS),
        ("1 1\r\nx", CHUNKS),
        ("1\r\nx0\r\n", CHUNKS),
        ("1\r\nx\n0\r\n\r\n", CHUNKS),
        ("1;\nx\r\n", CHUNKS),
        ("0\r\nno colon\r\n\r\n", CHUNKS),
        ("0\r\nX : y\r\n\r\n", CHUNKS),
        ("0\r\nX: y\n\r\n", CHUNKS),
        (
            "ffffffffffffffff\r\n",
            "the size line of a chunk is too long",
        ),
    ] {
        let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        check(&format!("{head}{body}"), 400, reason);
    }
}

#[test]
fn what_looks_odd_and_is_legal() {
    for input in [
        "GET / HTTP/1.1\r\nHost:\r\nContent-Length: 0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]:80\r\nConnection: x,, keep-alive\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.0\r\nExpect: a miracle\r\n\r\n",
        "BREW / HTTP/1.1\r\nHost: h\r\nX:\r\nY: \t a\tb \r\n\r\n",
        "GET http://h?q HTTP/1.1\r\nHost: other\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: , CHUNKED ,\r\n\r\n0\r\n\r\n",
    ] {
        for step in [input.len(), 1] {
            assert_eq!(refusal(input.as_bytes(), step), None, "{input:?}");
        }
    }
}
