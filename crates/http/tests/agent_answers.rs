//! Answers of every kind over HTTP/1.1: however they are cut, wherever they break off.

mod agent_kit;

use std::cell::Cell;
use std::rc::Rc;

use agent_kit::{Act, Asked, Lab, Seen, ok, outcome, redirect, send};
use hioload_http::client::{
    Config, Failure, Limits, Method, RedirectFault, RedirectPolicy, Request, RequestBody,
    UploadMisuse,
};
use hioload_http::h1::ResponseError;

fn get(url: &str) -> Request {
    Request::new(Method::GET, url.parse().expect("legal"))
}

fn with_body(method: Method, url: &str, body: &[u8]) -> Request {
    Request::new(method, url.parse().expect("legal")).body(RequestBody::Bytes(body.into()))
}

fn lab(answer: impl FnMut(&Asked) -> Vec<Act> + 'static) -> Lab {
    Lab::new(Config::default(), answer)
}

/// A server that says this, and then ends the connection if told to.
fn says(text: &'static [u8], ends: bool) -> Lab {
    lab(move |_| {
        let mut acts = vec![Act::Send(text.to_vec())];
        acts.extend(ends.then_some(Act::Eof));
        acts
    })
}

#[test]
fn every_framing_at_every_split() {
    for (method, text, ends, body, is_kept) in [
        (
            Method::GET,
            &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..],
            false,
            &b"hello"[..],
            true,
        ),
        (
            Method::GET,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nA: b\r\n\r\n",
            false,
            b"hello",
            true,
        ),
        (
            Method::GET,
            b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            false,
            b"",
            true,
        ),
        (
            Method::GET,
            b"HTTP/1.0 200 OK\r\n\r\nto the end",
            true,
            b"to the end",
            false,
        ),
        (
            Method::HEAD,
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
            false,
            b"",
            true,
        ),
        (
            Method::GET,
            b"HTTP/1.1 204 No Content\r\n\r\n",
            false,
            b"",
            true,
        ),
        (
            Method::GET,
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99999999\r\n\r\n",
            false,
            b"",
            true,
        ),
        (
            Method::GET,
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
            false,
            b"hi",
            false,
        ),
    ] {
        for size in 1..=text.len() {
            let mut lab = says(text, ends);
            lab.piece_size = size;
            let seen = lab.ask(Request::new(method.clone(), "http://h/".parse().expect("legal")));
            let status = if text.starts_with(b"HTTP/1.1 103") {
                200
            } else {
                std::str::from_utf8(&text[9..12]).expect("digits").parse().expect("a status")
            };
            let expected = [Seen::Head(status), Seen::End(body.to_vec())];
            assert_eq!(outcome(&seen), expected, "{} by {size}", text.escape_ascii());
            assert_eq!(lab.open_connections(), usize::from(is_kept));
        }
    }
}

#[test]
fn a_streamed_body_comes_as_it_is_cut() {
    let mut lab = says(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n1\r\ne\r\n0\r\n\r\n",
        false,
    );
    let seen = lab.ask(get("http://h/").streamed());
    let body = |text: &str| Seen::Body(text.into());
    let expected = [Seen::Head(200), body("abcd"), body("e"), Seen::End(vec![])];
    assert_eq!(seen, expected);
}

#[test]
fn an_answer_that_breaks_off_at_any_byte_is_never_taken_for_a_whole_one() {
    for text in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
    ] {
        let has_end = !text.ends_with(b"\r\n\r\nhello") || text.windows(6).any(|w| w == b"Length");
        let head_size = text
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .expect("a head")
            + 4;
        for end in 0..text.len() {
            for act in [Act::Eof, Act::Reset] {
                let is_reset = matches!(act, Act::Reset);
                let part = text[..end].to_vec();
                let mut lab = lab(move |_| vec![Act::Send(part.clone()), act.clone()]);
                let seen = lab.ask(get("http://h/"));
                let last = seen.last().expect("an end");
                // To the end of the connection: a good end is the only thing that is taken for one.
                if !has_end && end >= head_size && !is_reset {
                    assert_eq!(last, &Seen::End(text[head_size..end].to_vec()));
                    continue;
                }
                let failure = match (end, is_reset) {
                    (0, _) | (_, true) => Failure::Closed,
                    _ => Failure::Response(ResponseError::Truncated),
                };
                assert_eq!(
                    last,
                    &Seen::Failed(failure),
                    "{} at {end}",
                    text.escape_ascii()
                );
                assert_eq!((lab.open_connections(), lab.agent.request_count()), (0, 0));
                assert_eq!(
                    lab.asked.len(),
                    1,
                    "a fresh connection is no reason to try again"
                );
            }
        }
    }
}

#[test]
fn what_is_no_answer_is_told_and_ends_the_connection() {
    let malformed = Failure::Response(ResponseError::Malformed);
    let too_long = Failure::Response(ResponseError::TooLong);
    let huge = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(20_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(101));
    for (text, failure) in [
        ("SSH-2.0-OpenSSH\r\n\r\n", &malformed),
        ("HTTP/2 200\r\n\r\n", &malformed),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            &malformed,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", &malformed),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            &malformed,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX",
            &malformed,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            &malformed,
        ),
        ("HTTP/1.1 200 OK\nContent-Length: 0\n\n", &malformed),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
            &Failure::Upgraded,
        ),
        (&huge, &too_long),
        (&many, &too_long),
    ] {
        for size in [1, 7, text.len()] {
            let bytes = text.to_owned();
            let mut lab = lab(move |_| send(&bytes));
            lab.piece_size = size;
            let seen = lab.ask(get("http://h/"));
            let last = seen.last().expect("an end");
            assert_eq!(last, &Seen::Failed(failure.clone()), "{:.60}", text);
            assert_eq!(lab.open_connections(), 0);
        }
    }
}

#[test]
fn interim_answers_come_so_often_and_no_more() {
    for (count, is_taken) in [(0, true), (1, true), (16, true), (17, false), (5000, false)] {
        let text = "HTTP/1.1 102 Processing\r\n\r\n".repeat(count)
            + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        for size in [1, 26, 1000, text.len()] {
            let bytes = text.clone();
            let mut lab = lab(move |_| send(&bytes));
            lab.piece_size = size;
            let seen = lab.ask(get("http://h/"));
            let expected = match is_taken {
                true => Seen::End(vec![]),
                false => Seen::Failed(Failure::TooManyInterim),
            };
            assert_eq!(seen.last(), Some(&expected), "{count} by {size}");
        }
    }
}

#[test]
fn a_gathered_body_has_a_limit() {
    for (text, size) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 5),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
            5,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0),
    ] {
        for size_max in [0u64, 1, 4, 5, 6] {
            let mut lab = lab(move |_| send(text));
            let seen = lab.ask(get("http://h/").collected(size_max));
            let is_end = matches!(seen.last(), Some(Seen::End(_)));
            assert_eq!(is_end, size <= size_max, "{size} of {size_max}");
            if !is_end {
                let failure = Failure::BodyTooLong { size_max };
                assert_eq!(seen.last(), Some(&Seen::Failed(failure)));
                let has_head = seen.contains(&Seen::Head(200));
                assert_eq!(
                    has_head,
                    text.contains("chunked"),
                    "a stated length is enough"
                );
            }
        }
    }
}

#[test]
fn an_idle_connection_that_says_something_is_not_used_again() {
    for late in ["HTTP/1.1 408 Too Late\r\nContent-Length: 0\r\n\r\n", "x"] {
        let mut lab = lab(|asked| ok(asked.path()));
        lab.ask(get("http://h/a"));
        lab.send(0, late.as_bytes());
        assert_eq!(lab.open_connections(), 0);
        let seen = lab.ask(get("http://h/b"));
        assert_eq!(seen.last(), Some(&Seen::End(b"/b".to_vec())));
        // In the same breath as the answer before.
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n{late}");
        let mut lab = self::lab(move |_| send(&text));
        assert_eq!(lab.ask(get("http://h/")).last(), Some(&Seen::End(vec![])));
        assert_eq!(lab.open_connections(), 0);
    }
}

#[test]
fn a_stale_connection_is_tried_around_once_and_only_for_what_can_be_said_twice() {
    // The server ends the connection instead of its second answer, after so many bytes of it.
    let stale = |method: Method, body: RequestBody, early: &'static str| {
        let count = Rc::new(Cell::new(0));
        let mut lab = lab(move |asked| {
            if !asked.is_whole {
                return Vec::new();
            }
            count.set(count.get() + 1);
            match count.get() {
                2 => vec![Act::Send(early.into()), Act::Eof],
                _ => ok("fine"),
            }
        });
        lab.ask(get("http://h/first"));
        let request = Request::new(method, "http://h/second".parse().expect("legal")).body(body);
        let key = lab.submit(request);
        (lab.of(key), lab.asked.len(), lab.connects.len())
    };
    let bytes = || RequestBody::Bytes(b"abc".as_slice().into());
    for (method, body) in [
        (Method::GET, RequestBody::None),
        (Method::HEAD, RequestBody::None),
        (Method::DELETE, RequestBody::None),
        (Method::PUT, bytes()),
    ] {
        let (seen, asked, connects) = stale(method.clone(), body, "");
        assert!(matches!(
            seen.last(),
            Some(Seen::End(_)) | Some(Seen::Failed(_))
        ));
        let is_head = method == Method::HEAD;
        assert!(
            is_head || seen.last() == Some(&Seen::End(b"fine".to_vec())),
            "{method}"
        );
        assert_eq!((asked, connects), (3, 2), "{method}: over a new connection");
    }
    for (method, body, early, failure) in [
        (Method::POST, bytes(), "", Failure::Closed),
        (Method::PATCH, bytes(), "", Failure::Closed),
        (
            Method::GET,
            RequestBody::None,
            "H",
            Failure::Response(ResponseError::Truncated),
        ),
        (
            Method::GET,
            RequestBody::None,
            "HTTP/1.1 103 E\r\n\r\n",
            Failure::Response(ResponseError::Truncated),
        ),
    ] {
        let (seen, asked, _) = stale(method.clone(), body, early);
        assert_eq!(seen.last(), Some(&Seen::Failed(failure)), "{method}");
        assert_eq!(asked, 2, "{method} is not sent again");
    }
}

#[test]
fn a_retry_that_fails_is_not_retried() {
    let count = Rc::new(Cell::new(0));
    let mut lab = lab(move |_| {
        count.set(count.get() + 1);
        if count.get() == 1 {
            ok("")
        } else {
            vec![Act::Eof]
        }
    });
    lab.ask(get("http://h/"));
    let seen = lab.ask(get("http://h/"));
    assert_eq!(seen, [Seen::Failed(Failure::Closed)]);
    assert_eq!(lab.asked.len(), 3);
}

#[test]
fn redirects_on_one_host_go_over_one_connection() {
    let mut lab = lab(|asked| match asked.path() {
        "/" => redirect(302, "a/b"),
        "/a/b" => redirect(301, "../c?d"),
        "/c?d" => redirect(307, "http://h/end#x"),
        path => ok(path),
    });
    lab.piece_size = 3;
    let seen = lab.ask(get("http://h/"));
    let to = |status, to: &str| Seen::Redirected(status, to.to_owned());
    let expected = [
        to(302, "http://h/a/b"),
        to(301, "http://h/c?d"),
        to(307, "http://h/end#x"),
        Seen::Head(200),
        Seen::End(b"/end".to_vec()),
    ];
    assert_eq!(outcome(&seen), expected);
    assert_eq!((lab.asked.len(), lab.connects.len()), (4, 1));
}

#[test]
fn secrets_and_bodies_go_where_they_are_meant_to() {
    let mut lab = lab(|asked| match (asked.host.as_str(), asked.path()) {
        _ if !asked.is_whole => Vec::new(),
        ("a", "/308") => redirect(308, "/again"),
        ("a", "/again") => redirect(307, "http://b/other"),
        ("b", "/other") => redirect(303, "http://a/home"),
        _ => ok("home"),
    });
    let request = with_body(Method::POST, "http://a/308", b"secret")
        .field("Authorization", "Basic eDp5")
        .and_then(|r| r.field("cookie", "k=v"))
        .and_then(|r| r.field("Content-Type", "text/plain"))
        .and_then(|r| r.field("X-Mine", "1"))
        .expect("legal");
    let seen = lab.ask(request);
    assert_eq!(seen.last(), Some(&Seen::End(b"home".to_vec())));
    let of = |asked: &Asked| {
        let has = |name: &str| asked.fields.contains_key(name);
        (
            asked.line.clone(),
            asked.body.len(),
            has("authorization") && has("cookie"),
            has("content-type"),
            has("x-mine"),
        )
    };
    let asked: Vec<_> = lab.asked.iter().map(of).collect();
    let expected = [
        ("POST /308", 6, true, true),
        ("POST /again", 6, true, true),
        ("POST /other", 6, false, true),
        ("GET /home", 0, false, false),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|&(line, size, is_private, has_type)| {
            (line.to_owned(), size, is_private, has_type, true)
        })
        .collect();
    assert_eq!(asked, expected);
}

#[test]
fn redirects_that_are_not_followed_fail_or_are_answers() {
    let failing = |status: u16, location: &'static str| {
        let mut lab = lab(move |_| redirect(status, location));
        let seen = lab.ask(get("http://h/"));
        assert_eq!(lab.agent.request_count(), 0);
        seen.last().cloned()
    };
    let fault = |fault| Some(Seen::Failed(Failure::Redirect(fault)));
    assert_eq!(failing(302, "/"), fault(RedirectFault::Loop));
    assert_eq!(failing(302, ""), fault(RedirectFault::WithoutLocation));
    assert_eq!(failing(304, "/"), Some(Seen::End(vec![])));
    let mut lab = lab(|asked| redirect(302, &format!("{}x", asked.path())));
    let seen = lab.ask(get("http://h/"));
    assert_eq!(seen.last().cloned(), fault(RedirectFault::TooMany));
    assert_eq!(lab.asked.len(), 6, "the first and five more");
    let seen = lab.ask(get("http://h/").redirects(RedirectPolicy::NONE));
    assert_eq!(
        outcome(&seen),
        [Seen::Head(302), Seen::End(b"gone".to_vec())]
    );
}

#[test]
fn the_body_of_a_redirect_is_read_only_so_far() {
    let drain_max = Limits::default().drain_size_max as usize;
    for (size, is_chunked, connects) in [
        (drain_max, false, 1),
        (drain_max + 1, false, 2),
        (drain_max, true, 1),
        (drain_max + 1, true, 2),
    ] {
        let mut lab = lab(move |asked| {
            if asked.path() == "/end" {
                return ok("end");
            }
            let head = "HTTP/1.1 302 Found\r\nLocation: /end\r\n";
            let body = "x".repeat(size);
            send(&match is_chunked {
                true => format!(
                    "{head}Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n0\r\n\r\n"
                ),
                false => format!("{head}Content-Length: {size}\r\n\r\n{body}"),
            })
        });
        let seen = lab.ask(get("http://h/"));
        assert_eq!(seen.last(), Some(&Seen::End(b"end".to_vec())));
        assert_eq!(lab.connects.len(), connects, "{size} chunked: {is_chunked}");
    }
}

#[test]
fn a_streamed_body_cannot_be_sent_again() {
    let mut lab = lab(|asked| match asked.path() {
        "/" if asked.is_whole => redirect(307, "/b"),
        _ => Vec::new(),
    });
    let request = Request::new(Method::POST, "http://h/".parse().expect("legal"));
    let key = lab.submit(request.body(RequestBody::Chunked));
    assert_eq!(lab.agent.write_body(lab.now, key, b"abc"), Ok(3));
    lab.run();
    assert_eq!(lab.agent.finish_body(lab.now, key), Ok(()));
    lab.run();
    let fault = Failure::Redirect(RedirectFault::BodyGone);
    assert_eq!(lab.of(key), [Seen::Failed(fault)]);
    assert_eq!(lab.asked[0].body, b"abc");
}

#[test]
fn bodies_are_framed_by_length_or_in_chunks() {
    for (method, body, length, is_chunked) in [
        (Method::GET, RequestBody::None, None, false),
        (Method::DELETE, RequestBody::None, None, false),
        (Method::POST, RequestBody::None, Some("0"), false),
        (
            Method::PUT,
            RequestBody::Bytes(Vec::new().into()),
            Some("0"),
            false,
        ),
        (Method::POST, RequestBody::Stream(0), Some("0"), false),
        (
            Method::PUT,
            RequestBody::Bytes(vec![7; 5000].into()),
            Some("5000"),
            false,
        ),
        (Method::PUT, RequestBody::Stream(5000), Some("5000"), false),
        (Method::PUT, RequestBody::Chunked, None, true),
        (
            Method::GET,
            RequestBody::Bytes(vec![7; 5000].into()),
            Some("5000"),
            false,
        ),
    ] {
        let mut lab = lab(|asked| if asked.is_whole { ok("") } else { Vec::new() });
        let is_handed = matches!(body, RequestBody::Stream(1..) | RequestBody::Chunked);
        let size = match &body {
            RequestBody::Bytes(bytes) => bytes.len(),
            _ => 5000 * usize::from(is_handed),
        };
        let request = Request::new(method, "http://h/".parse().expect("legal")).body(body);
        let key = lab.submit(request);
        if is_handed {
            for part in [7; 5000].chunks(999) {
                assert_eq!(lab.agent.write_body(lab.now, key, part), Ok(part.len()));
                lab.run();
            }
            let finished = lab.agent.finish_body(lab.now, key);
            // One of known length ends by itself, and may be answered by then.
            assert!(finished == Ok(()) || !is_chunked);
            lab.run();
        }
        assert_eq!(lab.of(key).last(), Some(&Seen::End(vec![])));
        let asked = &lab.asked[0];
        assert_eq!(asked.body, vec![7; size]);
        assert_eq!(
            asked.fields.get("content-length").map(String::as_str),
            length
        );
        assert_eq!(asked.fields.contains_key("transfer-encoding"), is_chunked);
        assert_eq!(lab.open_connections(), 1);
    }
}

#[test]
fn a_body_is_taken_as_fast_as_it_is_sent() {
    let config = Config {
        limits: Limits {
            upload_buffer_size: 10,
            ..Limits::default()
        },
        ..Config::default()
    };
    let mut lab = Lab::new(
        config,
        |asked| if asked.is_whole { ok("") } else { Vec::new() },
    );
    lab.is_manual = true;
    let request = Request::new(Method::PUT, "http://h/".parse().expect("legal"));
    let key = lab.submit(request.body(RequestBody::Stream(25)));
    assert_eq!(lab.agent.write_body(lab.now, key, &[1; 25]), Ok(10));
    assert_eq!(lab.agent.body_room(key), 0);
    assert_eq!(lab.agent.write_body(lab.now, key, &[1; 1]), Ok(0));
    let connect = lab.connects[0].clone();
    lab.connect(&connect);
    lab.run();
    assert_eq!(lab.of(key), [Seen::Wanted]);
    assert_eq!(lab.agent.write_body(lab.now, key, &[1; 15]), Ok(10));
    lab.run();
    let too_much = lab.agent.write_body(lab.now, key, &[1; 6]);
    assert_eq!(too_much, Err(UploadMisuse::TooLong));
    assert_eq!(
        lab.agent.finish_body(lab.now, key),
        Err(UploadMisuse::TooShort)
    );
    assert_eq!(lab.agent.write_body(lab.now, key, &[1; 5]), Ok(5));
    lab.run();
    assert_eq!(lab.of(key).last(), Some(&Seen::End(vec![])));
    assert_eq!(lab.asked[0].body.len(), 25);
    let late = lab.agent.write_body(lab.now, key, b"x");
    assert_eq!(late, Err(UploadMisuse::NoUpload));
}

#[test]
fn an_answer_before_the_body_is_through() {
    for status in [413, 302, 200] {
        let mut lab = lab(move |asked| match (asked.path(), asked.is_whole) {
            ("/end", _) => ok("end"),
            (_, false) => send(&format!(
                "HTTP/1.1 {status} X\r\nLocation: /end\r\nContent-Length: 4\r\n\r\nbody"
            )),
            (_, true) => Vec::new(),
        });
        let request = Request::new(Method::POST, "http://h/".parse().expect("legal"));
        let key = lab.submit(request.body(RequestBody::Stream(5000)));
        let seen = lab.of(key);
        match status {
            302 => {
                assert_eq!(seen.last(), Some(&Seen::End(b"end".to_vec())));
                assert_eq!((lab.connects.len(), lab.asked.len()), (2, 1));
            }
            _ => assert_eq!(
                outcome(&seen),
                [Seen::Head(status), Seen::End(b"body".to_vec())]
            ),
        }
        // Half a request cannot be followed by another one.
        assert_eq!(lab.open_connections(), usize::from(status == 302));
        let late = lab.agent.write_body(lab.now, key, b"x");
        assert_eq!(late, Err(UploadMisuse::NoUpload));
    }
}

#[test]
fn an_upload_goes_on_beside_a_good_answer() {
    let mut lab = lab(|asked| match asked.is_whole {
        false => send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"),
        true => send("0\r\n\r\n"),
    });
    let request = Request::new(Method::POST, "http://h/".parse().expect("legal"));
    let key = lab.submit(request.body(RequestBody::Stream(6)));
    assert_eq!(lab.agent.write_body(lab.now, key, b"abc"), Ok(3));
    lab.run();
    assert_eq!(lab.agent.write_body(lab.now, key, b"def"), Ok(3));
    lab.run();
    assert_eq!(lab.of(key).last(), Some(&Seen::End(b"hi".to_vec())));
    assert_eq!(lab.asked[0].body, b"abcdef");
    assert_eq!(lab.open_connections(), 1, "both are complete");
}

#[test]
fn cancelling_works_wherever_a_request_is() {
    let mut lab = lab(|asked| match asked.path() {
        "/half" => send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
        _ => Vec::new(),
    });
    lab.is_manual = true;
    let cancelled = Seen::Failed(Failure::Cancelled);
    let waiting = lab.submit(get("http://h/"));
    assert!(lab.agent.cancel(lab.now, waiting));
    lab.run();
    assert_eq!(lab.of(waiting), std::slice::from_ref(&cancelled));
    assert!(!lab.agent.cancel(lab.now, waiting));
    lab.is_manual = false;
    let connect = lab.connects[0].clone();
    lab.connect(&connect);
    lab.run();
    for path in ["http://h/silent", "http://h/half"] {
        let key = lab.submit(get(path));
        let open = lab.open_connections();
        assert!(lab.agent.cancel(lab.now, key));
        lab.run();
        assert_eq!(lab.of(key).last(), Some(&cancelled));
        assert_eq!(
            lab.open_connections(),
            open - 1,
            "an answer may still come there"
        );
    }
    assert_eq!(lab.agent.request_count(), 0);
}

#[test]
fn a_body_that_is_not_used_is_not_read_on() {
    let config = Config {
        limits: Limits {
            window_size: 8,
            ..Limits::default()
        },
        ..Config::default()
    };
    let mut lab = Lab::new(config, |_| {
        send("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n12345678")
    });
    lab.consumes = false;
    let key = lab.submit(get("http://h/").streamed());
    assert!(!lab.agent.wants_input(lab.conn(0)));
    lab.agent.consumed(lab.now, key, 1);
    assert!(lab.agent.wants_input(lab.conn(0)));
    assert_eq!(
        lab.agent.poll_ready(),
        Some(lab.conn(0)),
        "its owner is told"
    );
    let progress = lab.agent.progress(key).expect("under way");
    assert_eq!((progress.received, progress.total), (8, Some(20)));
}
