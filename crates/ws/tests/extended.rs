//! The client's end of the handshake over HTTP/2 (RFC 8441).

use hioload_ws::deflate::DeflateOffer;
use hioload_ws::handshake::{ClientRequest, HandshakeError};
use hioload_ws::{HEADERS_MAX, Misuse};

fn request() -> ClientRequest<'static> {
    ClientRequest {
        host: "example.com:8443",
        path: "/chat?room=1",
        protocols: &["soup", "wamp"],
        origin: Some("https://example.com"),
        headers: &[("Authorization", "Bearer x")],
        deflate: Some(DeflateOffer::default()),
        ..ClientRequest::default()
    }
}

fn check(
    request: &ClientRequest<'_>,
    status: u16,
    fields: &[(&str, &str)],
) -> Result<(Option<usize>, bool), HandshakeError> {
    let fields = fields
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let established = request.check_extended(status, fields)?;
    Ok((established.protocol, established.deflate.is_some()))
}

#[test]
fn the_request_has_neither_key_nor_upgrade() {
    let mut lines = Vec::new();
    request().encode_extended(&mut lines).expect("clean");
    let text = String::from_utf8(lines).expect("text");
    let names: Vec<_> = text
        .split_terminator("\r\n")
        .map(|line| line.split_once(": ").expect("a field").0)
        .collect();
    assert_eq!(
        names,
        [
            "sec-websocket-version",
            "origin",
            "sec-websocket-protocol",
            "Authorization",
            "sec-websocket-extensions",
        ]
    );
    assert!(text.contains("sec-websocket-protocol: soup, wamp\r\n"));
    assert!(text.contains("sec-websocket-extensions: permessage-deflate"));
}

#[test]
fn parts_are_checked_as_over_http_1() {
    for bad in [
        ClientRequest {
            host: "",
            ..request()
        },
        ClientRequest {
            path: "chat",
            ..request()
        },
        ClientRequest {
            path: "/a#b",
            ..request()
        },
        ClientRequest {
            origin: Some("a\r\nb"),
            ..request()
        },
        ClientRequest {
            protocols: &["a b"],
            ..request()
        },
        ClientRequest {
            headers: &[("a", "b\r\nc: d")],
            ..request()
        },
    ] {
        let mut lines = b"before".to_vec();
        assert_eq!(bad.encode_extended(&mut lines), Err(Misuse::HeaderText));
        assert_eq!(lines, b"before");
    }
}

#[test]
fn responses() {
    let deflate = ("sec-websocket-extensions", "permessage-deflate");
    let protocol = |value| ("sec-websocket-protocol", value);
    for (status, fields, outcome) in [
        (200, vec![], Ok((None, false))),
        (299, vec![protocol("wamp"), deflate], Ok((Some(1), true))),
        // What says yes over HTTP/1.1 says nothing here.
        (101, vec![], Err(HandshakeError::Status(101))),
        (199, vec![], Err(HandshakeError::Status(199))),
        (300, vec![], Err(HandshakeError::Status(300))),
        (403, vec![], Err(HandshakeError::Status(403))),
        (200, vec![protocol("other")], Err(HandshakeError::Protocol)),
        (
            200,
            vec![protocol("wamp"), protocol("wamp")],
            Err(HandshakeError::Protocol),
        ),
        (
            200,
            vec![("sec-websocket-extensions", "x-other")],
            Err(HandshakeError::Extension),
        ),
        (200, vec![deflate, deflate], Err(HandshakeError::Extension)),
        (200, vec![("a", "b"); HEADERS_MAX], Ok((None, false))),
        (
            200,
            vec![("a", "b"); HEADERS_MAX + 1],
            Err(HandshakeError::HeadTooBig),
        ),
    ] {
        assert_eq!(
            check(&request(), status, &fields),
            outcome,
            "{status} {fields:?}"
        );
    }
    let plain = ClientRequest {
        deflate: None,
        ..request()
    };
    assert_eq!(
        check(&plain, 200, &[deflate]),
        Err(HandshakeError::Extension)
    );
}
