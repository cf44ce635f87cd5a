//! Heads of anything: a request is complete at one length only, what is accepted gets an answer
//! that our client understands, a refusal is a legal response, and so is any response checked.
//!
//! Input: 1 byte of choices, then what the peer sends.

use hioload_ws::deflate::{DeflateOffer, DeflatePolicy};
use hioload_ws::handshake::{
    AcceptPolicy, ClientRequest, HandshakeLimits, OriginPolicy, Request, accept,
};

/// Checks one input; panics when something is wrong.
pub(crate) fn run(data: &[u8]) {
    let Some((&bits, head)) = data.split_first() else {
        return;
    };
    let limits = HandshakeLimits {
        head_size_max: if bits & 1 == 0 { 8192 } else { 300 },
        headers_max: if bits & 2 == 0 { 64 } else { 8 },
    };
    if bits & 4 == 0 {
        check_request(bits, head, &limits);
    } else {
        check_response(bits, head, &limits);
    }
}

fn check_request(bits: u8, head: &[u8], limits: &HandshakeLimits) {
    match Request::parse(head, limits) {
        Ok(None) => assert!(head.len() < limits.head_size_max),
        Ok(Some((request, size))) => {
            assert!(size <= head.len() && size <= limits.head_size_max);
            assert!(request.path().starts_with('/') && !request.host().is_empty());
            for len in 0..size {
                let partial = Request::parse(&head[..len], limits);
                assert!(matches!(partial, Ok(None)), "{len} of {size}");
            }
            check_accept(bits, &request);
        }
        Err(refusal) => check_refusal(|out| refusal.to_response(out)),
    }
}

fn check_accept(bits: u8, request: &Request<'_>) {
    let deflate = DeflatePolicy {
        server_no_context_takeover: bits & 8 != 0,
        client_no_context_takeover: bits & 16 != 0,
        server_max_window_bits: 9 + bits % 7,
        client_max_window_bits: 9 + bits / 7 % 7,
    };
    let policy = AcceptPolicy {
        protocols: vec!["chat".into(), "b".into()],
        origins: if bits & 32 == 0 {
            OriginPolicy::Any
        } else {
            OriginPolicy::SameHost
        },
        deflate: (bits & 64 == 0).then_some(deflate),
    };
    let mut out = b"kept".to_vec();
    match accept(request, &policy, &mut out) {
        Ok(accepted) => {
            let text = std::str::from_utf8(&out[4..]).expect("ASCII");
            assert!(text.starts_with("HTTP/1.1 101 ") && text.ends_with("\r\n\r\n"));
            assert_eq!(text.matches("\r\n\r\n").count(), 1);
            assert_eq!(
                text.contains("permessage-deflate"),
                accepted.deflate.is_some()
            );
            let bits = |bits: u8| (8..=15).contains(&bits);
            assert!(accepted.deflate.is_none_or(|params| {
                params.server_max_window_bits > 8
                    && bits(params.server_max_window_bits)
                    && bits(params.client_max_window_bits)
            }));
            let protocol = accepted
                .protocol
                .map(|index| policy.protocols[index].as_str());
            assert!(protocol.is_none_or(|chosen| request.protocols().any(|one| one == chosen)));
        }
        Err(refusal) => {
            assert_eq!(out, b"kept");
            check_refusal(|out| refusal.to_response(out));
        }
    }
}

fn check_refusal(write: impl Fn(&mut Vec<u8>)) {
    let mut out = Vec::new();
    write(&mut out);
    let text = std::str::from_utf8(&out).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains(&format!("Content-Length: {}", body.len())));
}

fn check_response(bits: u8, head: &[u8], limits: &HandshakeLimits) {
    let request = ClientRequest {
        host: "server.example.com",
        path: "/chat",
        key: *b"the sample nonce",
        protocols: &["chat", "b"],
        deflate: (bits & 8 == 0).then_some(DeflateOffer {
            server_no_context_takeover: bits & 16 != 0,
            client_no_context_takeover: bits & 32 != 0,
            server_max_window_bits: (bits & 64 != 0).then_some(12),
            client_max_window_bits: (bits & 128 != 0).then_some(12),
        }),
        ..ClientRequest::default()
    };
    let Ok(Some((established, size))) = request.check_response(head, limits) else {
        return;
    };
    assert!(size <= head.len() && size <= limits.head_size_max);
    assert!(established.protocol.is_none_or(|index| index < 2));
    assert!(established.deflate.is_none() || request.deflate.is_some());
    for len in 0..size {
        assert_eq!(
            request.check_response(&head[..len], limits),
            Ok(None),
            "{len} of {size}"
        );
    }
}
