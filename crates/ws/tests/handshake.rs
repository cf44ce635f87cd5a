//! The handshake from both ends: what is taken, and the answer that each kind of bad input gets.

use hioload_ws::Misuse;
use hioload_ws::deflate::{DeflateOffer, DeflateParams, DeflatePolicy};
use hioload_ws::handshake::{
    AcceptPolicy, Accepted, ClientRequest, Established, HandshakeError, HandshakeLimits,
    OriginPolicy, Refusal, Request, accept,
};

const LIMITS: HandshakeLimits = HandshakeLimits {
    head_size_max: 8192,
    headers_max: 64,
};

/// The lines of a legal request, which a test takes out, replaces or adds to.
const LINES: [(&str, &str); 5] = [
    ("Host", "server.example.com"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
];

fn head(start: &str, change: impl Fn(&mut Vec<(String, String)>)) -> String {
    let mut lines: Vec<(String, String)> = LINES
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    change(&mut lines);
    let lines: String = lines
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("{start}\r\n{lines}\r\n")
}

fn plain(start: &str) -> String {
    head(start, |_| {})
}

fn with(name: &str, value: &str) -> String {
    head("GET /chat HTTP/1.1", |lines| {
        lines.push((name.into(), value.into()));
    })
}

fn replaced(name: &str, value: &str) -> String {
    head("GET /chat HTTP/1.1", |lines| {
        for line in lines.iter_mut().filter(|line| line.0 == name) {
            line.1 = value.into();
        }
    })
}

fn without(name: &str) -> String {
    head("GET /chat HTTP/1.1", |lines| {
        lines.retain(|line| line.0 != name);
    })
}

/// Feeds the head at every length, as a slow client does: nothing is complete before all of it is.
/// Returns the status of the refusal, if there is one.
fn status(head: &str) -> Option<u16> {
    let mut refused = None;
    for len in 0..=head.len() {
        match Request::parse(&head.as_bytes()[..len], &LIMITS) {
            Ok(None) => assert!(len < head.len() && refused.is_none(), "{len} of {head}"),
            Ok(Some((_, size))) => {
                assert_eq!((size, len), (head.len(), head.len()));
                return None;
            }
            Err(refusal) => {
                assert_eq!(
                    *refused.get_or_insert(refusal.status),
                    refusal.status,
                    "{head}"
                );
            }
        }
    }
    refused
}

fn answer(head: &str, policy: &AcceptPolicy) -> (Result<Accepted, Refusal>, String) {
    let (request, _) = Request::parse(head.as_bytes(), &LIMITS)
        .expect("legal")
        .expect("complete");
    let mut out = Vec::new();
    let result = accept(&request, policy, &mut out);
    (result, String::from_utf8(out).expect("ASCII"))
}

/// RFC 6455 1.3 has this key and this answer.
#[test]
fn the_sample_of_the_rfc() {
    let head = with("Origin", "http://example.com");
    assert_eq!(status(&head), None);
    let (accepted, response) = answer(&head, &AcceptPolicy::default());
    assert_eq!(
        accepted,
        Ok(Accepted {
            protocol: None,
            deflate: None
        })
    );
    assert_eq!(
        response,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
}

#[test]
fn parts_of_a_request() {
    let mut head = head("GET /chat?a=1?b HTTP/1.1", |lines| {
        lines.push(("origin".into(), "https://x.example".into()));
        lines.push(("X-Token".into(), " secret\t".into()));
    });
    let size = head.len();
    head.push_str("\u{1}frame");
    let (request, parsed) = Request::parse(head.as_bytes(), &LIMITS)
        .expect("legal")
        .expect("complete");
    assert_eq!(parsed, size, "what follows the head is left alone");
    assert_eq!((request.path(), request.query()), ("/chat", Some("a=1?b")));
    assert_eq!(request.host(), "server.example.com");
    assert_eq!(request.origin(), Some("https://x.example"));
    assert_eq!(request.key(), "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(request.header("x-token"), Some("secret"));
    assert_eq!(request.header("x-other"), None);
}

#[test]
fn request_lines() {
    for (start, expected) in [
        ("GET / HTTP/1.1", None),
        ("GET http://server.example.com/chat HTTP/1.1", None),
        ("GET https://server.example.com?a HTTP/1.1", None),
        ("GET chat HTTP/1.1", Some(400)),
        ("GET * HTTP/1.1", Some(400)),
        ("GET ftp://server.example.com/ HTTP/1.1", Some(400)),
        ("GET http:///chat HTTP/1.1", Some(400)),
        ("GET /chat#part HTTP/1.1", Some(400)),
        ("POST /chat HTTP/1.1", Some(405)),
        ("CONNECT /chat HTTP/1.1", Some(405)),
        ("get /chat HTTP/1.1", Some(405)),
        ("GET /chat HTTP/1.0", Some(505)),
        ("GET /chat HTTP/2.0", Some(505)),
        ("GET /chat", Some(400)),
        ("GET /chat HTTP/1.1 more", Some(400)),
    ] {
        assert_eq!(status(&plain(start)), expected, "{start}");
    }
    for garbage in [
        "\u{16}\u{3}\u{1}",
        "\u{0}",
        "{\"json\":1}",
        "PRI * HTTP/2.0\r\n\r\n",
    ] {
        let refused = Request::parse(garbage.as_bytes(), &LIMITS);
        assert!(refused.is_err(), "{garbage:?} is refused at once");
    }
}

#[test]
fn each_required_header() {
    assert_eq!(status(&without("Host")), Some(400));
    assert_eq!(status(&without("Upgrade")), Some(426));
    assert_eq!(status(&without("Connection")), Some(400));
    assert_eq!(status(&without("Sec-WebSocket-Key")), Some(400));
    assert_eq!(status(&without("Sec-WebSocket-Version")), Some(400));
    for (name, value) in LINES {
        let twice = status(&with(name, value));
        let is_list = name == "Upgrade" || name == "Connection";
        assert_eq!(twice, (!is_list).then_some(400), "{name} twice");
    }
    let origin = with("Origin", "http://a");
    let origins = origin.replace("Origin: http://a", "Origin: http://a\r\nOrigin: http://a");
    assert_eq!(status(&origins), Some(400));
}

#[test]
fn values_of_required_headers() {
    for (name, value, expected) in [
        ("Upgrade", "WebSocket", None),
        ("Upgrade", "h2c, websocket", None),
        ("Upgrade", "websockets", Some(426)),
        ("Connection", "keep-alive, upgrade", None),
        ("Connection", "keep-alive", Some(400)),
        ("Connection", "Upgraded", Some(400)),
        ("Sec-WebSocket-Version", "8", Some(426)),
        ("Sec-WebSocket-Version", "13, 8", Some(426)),
        ("Sec-WebSocket-Version", "013", Some(426)),
        ("Sec-WebSocket-Key", "", Some(400)),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ", Some(400)),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZWU=", Some(400)),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZSEh", Some(400)),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25j_Q==", Some(400)),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZR==", None),
        ("Host", "", Some(400)),
        ("Host", "a/b", Some(400)),
        ("Host", "user@host", Some(400)),
        ("Host", "a, b", Some(400)),
        ("Host", "[::1]:9002", None),
    ] {
        assert_eq!(status(&replaced(name, value)), expected, "{name}: {value}");
    }
}

#[test]
fn a_body_is_refused() {
    assert_eq!(status(&with("Content-Length", "0")), None);
    assert_eq!(status(&with("Content-Length", "5")), Some(400));
    assert_eq!(status(&with("Transfer-Encoding", "chunked")), Some(400));
}

#[test]
fn malformed_headers() {
    for line in [
        "X : a",
        " X: a",
        "X",
        "X\u{0}: a",
        ": a",
        "X: a\u{0}",
        "X\u{e9}: a",
    ] {
        let head = plain("GET / HTTP/1.1").replace("Host:", &format!("{line}\r\nHost:"));
        assert_eq!(status(&head), Some(400), "{line}");
    }
    assert_eq!(
        status(&with("Sec-WebSocket-Protocol", "a\u{e9}")),
        Some(400)
    );
    assert_eq!(
        status(&with("X-Any", "caf\u{e9}")),
        None,
        "not ours to judge"
    );
}

#[test]
fn head_size_limit() {
    let head = plain("GET / HTTP/1.1");
    for (head_size_max, expected) in [
        (0, Err(431)),
        (1, Err(431)),
        (head.len() - 1, Err(431)),
        (head.len(), Ok(true)),
        (head.len() + 1, Ok(true)),
    ] {
        let limits = HandshakeLimits {
            head_size_max,
            ..LIMITS
        };
        let parse = |bytes: &[u8]| {
            Request::parse(bytes, &limits)
                .map(|parsed| parsed.is_some())
                .map_err(|r| r.status)
        };
        assert_eq!(parse(head.as_bytes()), expected, "{head_size_max}");
        // What fills the limit and is not complete never will be.
        let partial = &head.as_bytes()[..head_size_max.min(head.len() - 1)];
        let expected = if partial.len() < head_size_max {
            Ok(false)
        } else {
            Err(431)
        };
        assert_eq!(parse(partial), expected, "{head_size_max}, partial");
    }
}

#[test]
fn header_count_limit() {
    for (headers_max, expected) in [(0, Some(431)), (4, Some(431)), (5, None), (6, None)] {
        let limits = HandshakeLimits {
            headers_max,
            ..LIMITS
        };
        let head = plain("GET / HTTP/1.1");
        let refusal = Request::parse(head.as_bytes(), &limits)
            .err()
            .map(|r| r.status);
        assert_eq!(refusal, expected, "{headers_max}");
    }
    let head = |count| {
        head("GET / HTTP/1.1", |lines| {
            lines.extend((0..count).map(|n| (format!("X-{n}"), String::new())));
        })
    };
    let limits = HandshakeLimits {
        headers_max: 1000,
        ..LIMITS
    };
    assert!(Request::parse(head(59).as_bytes(), &limits).is_ok());
    assert_eq!(
        Request::parse(head(60).as_bytes(), &limits)
            .err()
            .map(|r| r.status),
        Some(431)
    );
}

#[test]
fn subprotocols() {
    let policy = AcceptPolicy {
        protocols: vec!["a".into(), "b".into()],
        ..Default::default()
    };
    for (offered, chosen) in [
        ("b", Some(1)),
        ("b, a", Some(1)),
        ("c,a ,b", Some(0)),
        ("c", None),
        ("A", None),
    ] {
        let head = with("Sec-WebSocket-Protocol", offered);
        let (accepted, response) = answer(&head, &policy);
        assert_eq!(
            accepted.map(|accepted| accepted.protocol),
            Ok(chosen),
            "{offered}"
        );
        let line = chosen.map(|index| format!("Sec-WebSocket-Protocol: {}\r\n", ["a", "b"][index]));
        assert_eq!(
            response.contains("Sec-WebSocket-Protocol"),
            chosen.is_some()
        );
        assert!(line.is_none_or(|line| response.contains(&line)));
    }
    let two_lines = with("Sec-WebSocket-Protocol", "c\r\nSec-WebSocket-Protocol: b");
    assert_eq!(
        answer(&two_lines, &policy)
            .0
            .map(|accepted| accepted.protocol),
        Ok(Some(1))
    );
    for bad in ["a,a", "a b", "a/b", "\"a\""] {
        assert_eq!(
            status(&with("Sec-WebSocket-Protocol", bad)),
            Some(400),
            "{bad}"
        );
    }
    let many = |count| {
        (0..count)
            .map(|n| format!("p{n}"))
            .collect::<Vec<_>>()
            .join(",")
    };
    assert_eq!(status(&with("Sec-WebSocket-Protocol", &many(32))), None);
    assert_eq!(
        status(&with("Sec-WebSocket-Protocol", &many(33))),
        Some(400)
    );
}

#[test]
fn origins() {
    let list = OriginPolicy::List(vec!["https://good.example".into()]);
    let same = OriginPolicy::SameHost;
    for (policy, origin, is_welcome) in [
        (&OriginPolicy::Any, "https://evil.example", true),
        (&list, "https://good.example", true),
        (&list, "https://good.example.evil.example", false),
        (&list, "http://good.example", false),
        (&list, "null", false),
        (&same, "http://server.example.com", true),
        (&same, "https://SERVER.example.com:443", true),
        (&same, "http://server.example.com:8080", false),
        (&same, "http://evil.example", false),
        (&same, "null", false),
    ] {
        let policy = AcceptPolicy {
            origins: policy.clone(),
            ..Default::default()
        };
        let (accepted, response) = answer(&with("Origin", origin), &policy);
        let refused = accepted.err().map(|refusal| refusal.status);
        assert_eq!(refused, (!is_welcome).then_some(403), "{origin}");
        assert_eq!(response.is_empty(), !is_welcome);
        assert!(
            answer(&plain("GET / HTTP/1.1"), &policy).0.is_ok(),
            "not a browser"
        );
    }
}

#[test]
fn refusals_as_responses() {
    let response = |head: &str| {
        let refusal = Request::parse(head.as_bytes(), &LIMITS).expect_err("not legal");
        let mut out = Vec::new();
        refusal.to_response(&mut out);
        String::from_utf8(out).expect("text")
    };
    assert_eq!(
        response("POST / HTTP/1.1\r\n\r\n"),
        "HTTP/1.1 405 Method Not Allowed\r\nConnection: close\r\nAllow: GET\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: 31\r\n\r\n\
         a WebSocket handshake is a GET\n"
    );
    let version = response(&replaced("Sec-WebSocket-Version", "8"));
    assert!(version.starts_with("HTTP/1.1 426 Upgrade Required\r\n"));
    for line in [
        "Sec-WebSocket-Version: 13",
        "Upgrade: websocket",
        "Connection: Upgrade, close",
    ] {
        assert!(version.contains(&format!("\r\n{line}\r\n")), "{line}");
    }
    assert!(response(&without("Upgrade")).contains("\r\nUpgrade: websocket\r\n"));
}

/// What the server answers to an offer, and what it then does.
fn negotiated(offer: &str, policy: DeflatePolicy) -> Result<Option<(String, DeflateParams)>, u16> {
    let policy = AcceptPolicy {
        deflate: Some(policy),
        ..Default::default()
    };
    let (accepted, response) = answer(&with("Sec-WebSocket-Extensions", offer), &policy);
    let params = accepted.map_err(|refusal| refusal.status)?.deflate;
    let line = response
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: permessage-deflate"));
    assert_eq!(line.is_some(), params.is_some());
    Ok(params.map(|params| (line.unwrap_or_default().to_owned(), params)))
}

const OPEN: DeflatePolicy = DeflatePolicy {
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};

#[test]
fn deflate_offers() {
    let small = DeflatePolicy {
        server_max_window_bits: 11,
        client_max_window_bits: 10,
        ..OPEN
    };
    let default = DeflatePolicy::default();
    for (offer, policy, response, params) in [
        ("", OPEN, "", (false, false, 15, 15)),
        (
            "",
            default,
            "; server_no_context_takeover; client_no_context_takeover",
            { (true, true, 15, 15) },
        ),
        (
            "; server_no_context_takeover",
            OPEN,
            "; server_no_context_takeover",
            { (true, false, 15, 15) },
        ),
        (
            "; client_no_context_takeover",
            OPEN,
            "; client_no_context_takeover",
            { (false, true, 15, 15) },
        ),
        ("; client_max_window_bits", OPEN, "", (false, false, 15, 15)),
        (
            "; client_max_window_bits",
            small,
            { "; server_max_window_bits=11; client_max_window_bits=10" },
            (false, false, 11, 10),
        ),
        (
            "; client_max_window_bits=9",
            small,
            { "; server_max_window_bits=11; client_max_window_bits=9" },
            (false, false, 11, 9),
        ),
        (
            "; client_max_window_bits=8",
            OPEN,
            "; client_max_window_bits=8",
            (false, false, 15, 8),
        ),
        // Not offered, so the response must not have it.
        (
            "",
            small,
            "; server_max_window_bits=11",
            (false, false, 11, 15),
        ),
        (
            "; server_max_window_bits=9",
            OPEN,
            "; server_max_window_bits=9",
            (false, false, 9, 15),
        ),
        (
            "; server_max_window_bits=15",
            OPEN,
            "; server_max_window_bits=15",
            { (false, false, 15, 15) },
        ),
        (
            "; server_max_window_bits=\"12\"",
            OPEN,
            "; server_max_window_bits=12",
            { (false, false, 12, 15) },
        ),
        (
            "; server_max_window_bits=12",
            small,
            "; server_max_window_bits=11",
            { (false, false, 11, 15) },
        ),
    ] {
        let params = DeflateParams {
            server_no_context_takeover: params.0,
            client_no_context_takeover: params.1,
            server_max_window_bits: params.2,
            client_max_window_bits: params.3,
        };
        let expected = Ok(Some((response.to_owned(), params)));
        assert_eq!(
            negotiated(&format!("permessage-deflate{offer}"), policy),
            expected,
            "{offer}"
        );
    }
}

#[test]
fn declined_offers_fall_through_to_the_next() {
    for declined in [
        "x-webkit-deflate-frame",
        "permessage-deflate; unknown",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=true",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=9; client_max_window_bits",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=09",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=+9",
        "permessage-deflate; client_max_window_bits=a",
        // Legal by the grammar, and nothing that anybody sends.
        "permessage-deflate; client_max_window_bits=\"1\\0\"",
    ] {
        assert_eq!(negotiated(declined, OPEN), Ok(None), "{declined}");
        let next = format!("{declined}, permessage-deflate; server_max_window_bits=10");
        let chosen = negotiated(&next, OPEN).map(|chosen| chosen.map(|(line, _)| line));
        assert_eq!(
            chosen,
            Ok(Some("; server_max_window_bits=10".into())),
            "{next}"
        );
        // The same in two header lines.
        let lines = next.replace(", ", "\r\nSec-WebSocket-Extensions: ");
        assert!(
            negotiated(&lines, OPEN).is_ok_and(|chosen| chosen.is_some()),
            "{lines}"
        );
    }
    let two = "permessage-deflate; server_max_window_bits=9, permessage-deflate";
    let first = negotiated(two, OPEN).map(|chosen| chosen.map(|(line, _)| line));
    assert_eq!(
        first,
        Ok(Some("; server_max_window_bits=9".into())),
        "the first one is taken"
    );
    let none = AcceptPolicy::default();
    let offer = with("Sec-WebSocket-Extensions", "permessage-deflate");
    assert_eq!(
        answer(&offer, &none).0.map(|accepted| accepted.deflate),
        Ok(None)
    );
}

#[test]
fn malformed_extensions_fail_the_handshake() {
    for bad in [
        "permessage deflate",
        "permessage-deflate; a b",
        "permessage-deflate; a=",
        "permessage-deflate; =9",
        "permessage-deflate; a=\"b",
        "permessage-deflate; a=\"b c\"",
        "permessage-deflate; a=\"b\\\"",
        "permessage-deflate; a=\"b\\\"c\"",
        "permessage-deflate; a=\"b\\,c\"",
        "permessage-deflate; a=\"\"",
        "good, bad/extension",
        "\"quoted\"",
    ] {
        assert_eq!(negotiated(bad, OPEN), Err(400), "{bad}");
    }
    let empties = negotiated(",, permessage-deflate ;; client_max_window_bits ,", OPEN);
    assert!(
        empties.is_ok_and(|chosen| chosen.is_some()),
        "empty elements are skipped"
    );
}

const REQUEST: ClientRequest<'_> = ClientRequest {
    host: "server.example.com",
    path: "/chat",
    key: *b"the sample nonce",
    protocols: &[],
    origin: None,
    headers: &[],
    deflate: None,
};

#[test]
fn our_client_and_our_server_agree() {
    let policies = [None, Some(OPEN), Some(DeflatePolicy::default()), {
        Some(DeflatePolicy {
            server_max_window_bits: 9,
            client_max_window_bits: 12,
            ..OPEN
        })
    }];
    let bits = [None, Some(9), Some(12), Some(15)];
    for deflate in policies {
        for (server_max_window_bits, client_max_window_bits) in bits
            .iter()
            .flat_map(|server| bits.iter().map(|client| (*server, *client)))
        {
            for flags in 0..4 {
                let request = ClientRequest {
                    protocols: &["b", "a"],
                    origin: Some("http://server.example.com"),
                    headers: &[("Authorization", "Bearer x")],
                    deflate: Some(DeflateOffer {
                        server_no_context_takeover: flags & 1 != 0,
                        client_no_context_takeover: flags & 2 != 0,
                        server_max_window_bits,
                        client_max_window_bits,
                    }),
                    ..REQUEST
                };
                let policy = AcceptPolicy {
                    protocols: vec!["a".into()],
                    origins: OriginPolicy::SameHost,
                    deflate,
                };
                agree(&request, &policy);
            }
        }
    }
}

fn agree(request: &ClientRequest<'_>, policy: &AcceptPolicy) {
    let mut head = Vec::new();
    request.encode(&mut head).expect("legal");
    let (parsed, size) = Request::parse(&head, &LIMITS)
        .expect("legal")
        .expect("complete");
    assert_eq!(
        (size, parsed.header("authorization")),
        (head.len(), Some("Bearer x"))
    );
    let mut response = Vec::new();
    let accepted = accept(&parsed, policy, &mut response).expect("welcome");
    assert_eq!(accepted.deflate.is_some(), policy.deflate.is_some());
    response.extend_from_slice(b"\x81\x00");
    let head_size = response.len() - 2;
    for len in 0..head_size {
        assert_eq!(request.check_response(&response[..len], &LIMITS), Ok(None));
    }
    let established = request.check_response(&response, &LIMITS).expect("legal");
    let (established, size) = established.expect("complete");
    assert_eq!(size, head_size);
    assert_eq!(established.protocol, Some(1));
    // What the client may use is never more than the server agreed to.
    match (accepted.deflate, established.deflate) {
        (None, None) => {}
        (Some(server), Some(client)) => {
            assert_eq!(server.server_max_window_bits, client.server_max_window_bits);
            assert_eq!(
                server.server_no_context_takeover,
                client.server_no_context_takeover
            );
            assert!(client.client_max_window_bits <= server.client_max_window_bits);
            assert_eq!(
                server.client_no_context_takeover,
                client.client_no_context_takeover
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_client_writes_only_legal_requests() {
    let evil = "x\r\nEvil: 1";
    for request in [
        ClientRequest {
            host: evil,
            ..REQUEST
        },
        ClientRequest {
            host: "",
            ..REQUEST
        },
        ClientRequest {
            path: "/a b",
            ..REQUEST
        },
        ClientRequest {
            path: "a",
            ..REQUEST
        },
        ClientRequest {
            path: "/a#b",
            ..REQUEST
        },
        ClientRequest {
            path: "/\r\n",
            ..REQUEST
        },
        ClientRequest {
            origin: Some(evil),
            ..REQUEST
        },
        ClientRequest {
            protocols: &["a,b"],
            ..REQUEST
        },
        ClientRequest {
            headers: &[("a b", "")],
            ..REQUEST
        },
        ClientRequest {
            headers: &[("a", "x\r\ny")],
            ..REQUEST
        },
    ] {
        let mut out = Vec::new();
        assert_eq!(
            request.encode(&mut out),
            Err(Misuse::HeaderText),
            "{request:?}"
        );
        assert!(out.is_empty());
    }
}

#[test]
fn responses_the_client_refuses() {
    const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: \
                        Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let check = |response: &str| {
        REQUEST
            .check_response(response.as_bytes(), &LIMITS)
            .map(|parsed| parsed.expect("complete").0)
    };
    assert_eq!(
        check(GOOD),
        Ok(Established {
            protocol: None,
            deflate: None
        })
    );
    for (from, to, error) in [
        ("HTTP/1.1", "HTTP/1.0", HandshakeError::Malformed),
        ("HTTP/1.1", "SSH-2.0", HandshakeError::Malformed),
        ("101", "200", HandshakeError::Status(200)),
        ("101", "302", HandshakeError::Status(302)),
        ("websocket", "h2c", HandshakeError::Upgrade),
        (": Upgrade", ": close", HandshakeError::Connection),
        ("s3pP", "S3pP", HandshakeError::Accept),
        ("Sec-WebSocket-Accept", "X", HandshakeError::Accept),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Protocol: a\r\n\r\n",
            HandshakeError::Protocol,
        ),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
            { HandshakeError::Extension },
        ),
    ] {
        assert_eq!(check(&GOOD.replacen(from, to, 1)), Err(error), "{to}");
    }
    let limits = HandshakeLimits {
        head_size_max: GOOD.len() - 1,
        ..LIMITS
    };
    let too_big = REQUEST.check_response(GOOD.as_bytes(), &limits);
    assert_eq!(too_big, Err(HandshakeError::HeadTooBig));
}

#[test]
fn extension_answers_the_client_refuses() {
    let answered = |offer: DeflateOffer, answer: &str| {
        let request = ClientRequest {
            deflate: Some(offer),
            ..REQUEST
        };
        let response = format!(
            "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: \
             s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Extensions: {answer}\r\n\r\n"
        );
        request
            .check_response(response.as_bytes(), &LIMITS)
            .map(|_| ())
    };
    let offer = DeflateOffer {
        server_max_window_bits: Some(12),
        client_max_window_bits: Some(12),
        ..DeflateOffer::default()
    };
    let good = "permessage-deflate; server_max_window_bits=12";
    assert_eq!(answered(offer, good), Ok(()));
    assert_eq!(
        answered(offer, &format!("{good}; client_no_context_takeover")),
        Ok(())
    );
    assert_eq!(
        answered(offer, &format!("{good}; client_max_window_bits=9")),
        Ok(())
    );
    for bad in [
        "permessage-deflate".to_owned(),
        "permessage-deflate; server_max_window_bits=13".into(),
        "permessage-deflate; server_max_window_bits".into(),
        format!("{good}; client_max_window_bits"),
        format!("{good}; client_max_window_bits=13"),
        format!("{good}; client_max_window_bits=8"),
        format!("{good}; unknown"),
        format!("{good}; server_max_window_bits=12"),
        format!("{good}, {good}"),
        "permessage-bzip2".into(),
        "a b".into(),
    ] {
        assert_eq!(
            answered(offer, &bad),
            Err(HandshakeError::Extension),
            "{bad}"
        );
    }
    let strict = DeflateOffer {
        server_no_context_takeover: true,
        ..DeflateOffer::default()
    };
    assert_eq!(
        answered(strict, "permessage-deflate"),
        Err(HandshakeError::Extension)
    );
    let fixed = DeflateOffer {
        client_max_window_bits: None,
        ..DeflateOffer::default()
    };
    let told = "permessage-deflate; client_max_window_bits=10";
    assert_eq!(answered(fixed, told), Err(HandshakeError::Extension));
}

mod over_http2 {
    use hioload_ws::deflate::DeflatePolicy;
    use hioload_ws::handshake::{
        AcceptPolicy, HandshakeLimits, OriginPolicy, Request, accept_extended,
    };

    const LEGAL: [(&str, &str); 2] = [("host", "example.com"), ("sec-websocket-version", "13")];

    fn answer(more: &[(&str, &str)], policy: &AcceptPolicy) -> Result<String, u16> {
        let fields: Vec<_> = LEGAL.iter().chain(more).collect();
        answer_to("/chat", &fields, policy)
    }

    fn answer_to(
        target: &str,
        fields: &[&(&str, &str)],
        policy: &AcceptPolicy,
    ) -> Result<String, u16> {
        let limits = HandshakeLimits::default();
        let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes()));
        let request =
            Request::extended(target, fields, &limits).map_err(|refusal| refusal.status)?;
        let mut out = b"before".to_vec();
        let accepted = accept_extended(&request, policy, &mut out);
        let text = String::from_utf8(out.split_off(6)).expect("text");
        match accepted {
            Ok(_) => Ok(text),
            Err(refusal) => {
                assert_eq!(text, "", "a refusal leaves nothing");
                Err(refusal.status)
            }
        }
    }

    #[test]
    fn neither_key_nor_upgrade_is_needed() {
        assert_eq!(answer(&[], &AcceptPolicy::default()), Ok(String::new()));
    }

    #[test]
    fn what_is_agreed_is_said_in_lines() {
        let policy = AcceptPolicy {
            protocols: vec!["chat".into()],
            deflate: Some(DeflatePolicy::default()),
            ..AcceptPolicy::default()
        };
        let offer = [
            ("sec-websocket-protocol", "other, chat"),
            ("sec-websocket-extensions", "permessage-deflate"),
        ];
        let lines = answer(&offer, &policy).expect("agreed");
        let (protocol, extensions) = lines.split_once("\r\n").expect("two lines");
        assert_eq!(protocol, "Sec-WebSocket-Protocol: chat");
        assert!(extensions.starts_with("Sec-WebSocket-Extensions: permessage-deflate"));
        assert!(extensions.ends_with("\r\n"), "{extensions:?}");
    }

    #[test]
    fn the_other_rules_hold() {
        let policy = AcceptPolicy {
            origins: OriginPolicy::List(vec!["https://a.example".into()]),
            deflate: Some(DeflatePolicy::default()),
            ..AcceptPolicy::default()
        };
        for (more, status) in [
            (("origin", "https://b.example"), 403),
            (("origin", "https://a.example"), 200),
            (("sec-websocket-version", "13"), 400),
            (("host", "two"), 400),
            (("sec-websocket-protocol", "a, a"), 400),
            (("sec-websocket-extensions", "a; \"b"), 400),
            (("content-length", "1"), 400),
        ] {
            let outcome = answer(&[more], &policy);
            assert_eq!(
                outcome.map_or_else(|status| status, |_| 200),
                status,
                "{more:?}"
            );
        }
        let host = ("host", "example.com");
        let version = ("sec-websocket-version", "12");
        let plain = AcceptPolicy::default();
        assert_eq!(answer_to("/", &[&host], &plain), Err(400));
        assert_eq!(answer_to("/", &[&host, &version], &plain), Err(426));
        assert_eq!(answer_to("/", &[&LEGAL[1]], &plain), Err(400));
        assert_eq!(answer_to("/#a", &[&LEGAL[0], &LEGAL[1]], &plain), Err(400));
        let many: Vec<_> = std::iter::repeat_n(&("x", "y"), 65).collect();
        assert_eq!(answer_to("/", &many, &plain), Err(431));
    }
}
