//! The client's side against responses, however they are cut up.

use hioload_http::h1::{Client, ClientEvent, Limits, ResponseError};

type Seen = (u16, Vec<u8>, bool);

fn converse(
    input: &[u8],
    step: usize,
    heads: &[bool],
    ends: bool,
) -> Result<(Vec<Seen>, bool), ResponseError> {
    let mut client = Client::new();
    heads.iter().for_each(|&is_head| client.sent(is_head));
    let (mut kept, mut seen): (Vec<u8>, Vec<Seen>) = (Vec::new(), Vec::new());
    for piece in input.chunks(step) {
        kept.extend_from_slice(piece);
        let mut whole = std::mem::take(&mut kept);
        let mut rest = &mut whole[..];
        while let Some(event) = client.handle_input(&Limits::default(), &mut rest)? {
            match event {
                ClientEvent::Head(head) => seen.push((head.status(), Vec::new(), false)),
                ClientEvent::Body(bytes) => {
                    seen.last_mut().expect("a head").1.extend_from_slice(bytes);
                }
                ClientEvent::End => seen.last_mut().expect("a head").2 = true,
            }
        }
        kept = rest.to_vec();
    }
    if ends && let Some(ClientEvent::End) = client.handle_eof()? {
        seen.last_mut().expect("a head").2 = true;
    }
    Ok((seen, client.is_reusable()))
}

#[test]
fn every_framing_at_every_split() {
    let input = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\
        HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n\
        HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n\
        HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\nHTTP/1.0 500 Oh\r\n\r\nall the rest";
    let heads = [false, true, false, false, false, false];
    let expected: Vec<Seen> = vec![
        (200, b"hello".to_vec(), true),
        (200, Vec::new(), true),
        (204, Vec::new(), true),
        (304, Vec::new(), true),
        (200, b"ab".to_vec(), true),
        (500, b"all the rest".to_vec(), true),
    ];
    for step in 1..=input.len() {
        let seen = converse(input, step, &heads, true);
        assert_eq!(seen, Ok((expected.clone(), false)), "{step}");
    }
}

#[test]
fn what_is_no_response_is_told() {
    for (input, error) in [
        (
            &b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"[..],
            ResponseError::Malformed,
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            ResponseError::Malformed,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            ResponseError::Malformed,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            ResponseError::Malformed,
        ),
        (
            b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            ResponseError::Malformed,
        ),
        (
            b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
            ResponseError::Malformed,
        ),
        (
            b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
            ResponseError::Malformed,
        ),
        (
            b"HTTP/1.1 099 Oh\r\nContent-Length: 0\r\n\r\n",
            ResponseError::Malformed,
        ),
        (
            b"HTTP/1.1 600 Oh\r\nContent-Length: 0\r\n\r\n",
            ResponseError::Malformed,
        ),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", ResponseError::Malformed),
        (b"ICY 200 OK\r\n\r\n", ResponseError::Malformed),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na",
            ResponseError::Truncated,
        ),
        (b"HTTP/1.1 200 OK\r\n", ResponseError::Truncated),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            ResponseError::Truncated,
        ),
        (b"", ResponseError::Truncated),
    ] {
        assert_eq!(
            converse(input, 1000, &[false], true),
            Err(error),
            "{}",
            input.escape_ascii()
        );
    }
    let unasked = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(
        converse(unasked, 1000, &[], false),
        Err(ResponseError::Malformed)
    );
    assert_eq!(
        converse(b"", 1000, &[], true),
        Ok((Vec::new(), false)),
        "nothing was due"
    );
}

#[test]
fn a_connection_is_used_again_unless_somebody_wants_it_closed() {
    for (head, is_reusable) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            false,
        ),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
            true,
        ),
    ] {
        let seen = converse(head.as_bytes(), 1000, &[false], false);
        assert_eq!(
            seen.map(|(_, reusable)| reusable),
            Ok(is_reusable),
            "{head:?}"
        );
    }
}

#[test]
fn what_follows_a_change_of_protocol_is_left_alone() {
    let mut bytes = *b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n\x81\x00";
    let (mut client, mut rest) = (Client::new(), &mut bytes[..]);
    let limits = Limits::default();
    client.sent(false);
    let head = client.handle_input(&limits, &mut rest);
    assert!(matches!(head, Ok(Some(ClientEvent::Head(head))) if head.status() == 101));
    let end = client.handle_input(&limits, &mut rest);
    assert!(matches!(end, Ok(Some(ClientEvent::End))));
    assert!(matches!(client.handle_input(&limits, &mut rest), Ok(None)));
    assert_eq!(rest, b"\x81\x00");
    assert!(!client.is_reusable());
}

#[test]
fn limits_hold_at_their_ends() {
    let limits = Limits {
        head_size_max: 60,
        headers_max: 2,
        ..Limits::default()
    };
    let outcome = |input: String| {
        let (mut client, mut bytes) = (Client::new(), input.into_bytes());
        client.sent(false);
        let event = client.handle_input(&limits, &mut &mut bytes[..]);
        event.map(|event| event.is_some())
    };
    let sized = |size: usize| {
        let head = "HTTP/1.1 200 OK\r\nX: ";
        format!("{head}{}\r\n\r\n", "x".repeat(size - head.len() - 4))
    };
    assert_eq!(outcome(sized(60)), Ok(true));
    assert_eq!(outcome(sized(61)), Err(ResponseError::TooLong));
    let fields = |count| format!("HTTP/1.1 200 OK\r\n{}\r\n", "A:b\r\n".repeat(count));
    assert_eq!(outcome(fields(2)), Ok(true));
    assert_eq!(outcome(fields(3)), Err(ResponseError::TooLong));
}

#[test]
fn interim_responses_are_counted_until_the_next_response_is_due() {
    let mut client = Client::new();
    let limits = Limits::default();
    client.sent(false);
    let mut bytes = *b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
    let (early, both) = bytes.split_at_mut(28);
    assert!(matches!(
        client.handle_input(&limits, &mut &mut *early),
        Ok(None)
    ));
    assert_eq!((client.interim_count(), client.is_continued()), (1, false));
    assert!(matches!(
        client.handle_input(&limits, &mut &mut *both),
        Ok(None)
    ));
    assert_eq!((client.interim_count(), client.is_continued()), (2, true));
    let mut bytes = *b"HTTP/1.1 204 No Content\r\n\r\n";
    let mut rest = &mut bytes[..];
    while let Ok(Some(_)) = client.handle_input(&limits, &mut rest) {
        if client.waiting() == 0 {
            break;
        }
        assert_eq!(client.interim_count(), 2, "under way");
    }
    assert_eq!((client.interim_count(), client.is_continued()), (0, false));
}
