//! Which request goes over which connection, and what time does to both.

mod agent_kit;

use std::time::Duration;

use agent_kit::{Act, Asked, Lab, Seen, ok, outcome, send};
use hioload_base::Time;
use hioload_http::client::{
    Agent, Config, ConnectStage, Event, Failure, Limits, Method, Offer, Phase, Protocol, Request,
    RequestBody,
};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn get(url: &str) -> Request {
    Request::new(Method::GET, url.parse().expect("legal"))
}

fn put(url: &str, body: RequestBody) -> Request {
    Request::new(Method::PUT, url.parse().expect("legal")).body(body)
}

fn with_limits(change: impl FnOnce(&mut Limits)) -> Config {
    let mut config = Config::default();
    change(&mut config.limits);
    config
}

fn silent(_: &Asked) -> Vec<Act> {
    Vec::new()
}

fn timeout(phase: Phase) -> Seen {
    Seen::Failed(Failure::Timeout(phase))
}

#[test]
fn a_connection_that_does_not_stand_in_time() {
    let mut lab = Lab::new(Config::default(), silent);
    lab.is_manual = true;
    let keys = [lab.submit(get("http://h/a")), lab.submit(get("http://h/b"))];
    lab.advance(20 * SECOND - MS);
    assert_eq!(lab.events, []);
    lab.advance(2 * MS);
    for key in keys {
        assert_eq!(lab.of(key), [timeout(Phase::Connect)]);
    }
    assert_eq!((lab.closed_count, lab.agent.connection_count()), (2, 0));
}

#[test]
fn a_connection_that_is_refused_fails_who_waits_for_it() {
    let mut lab = Lab::new(Config::default(), silent);
    lab.is_manual = true;
    let here = lab.submit(get("http://h/"));
    let there = lab.submit(get("http://other/"));
    let connect = lab.connects[0].clone();
    let stage = ConnectStage::Tcp;
    lab.agent
        .connect_failed(lab.now, connect.conn, stage, "refused");
    lab.run();
    let failure = Failure::Connect {
        to: connect.origin,
        stage,
        detail: "refused".into(),
    };
    assert_eq!(failure.to_string(), "no connection to h:80: refused");
    assert_eq!(lab.of(here), [Seen::Failed(failure)]);
    assert_eq!(lab.of(there), []);
    assert_eq!(lab.agent.connection_count(), 1);
}

#[test]
fn a_head_that_drips_is_late_however_often_something_comes() {
    let mut lab = Lab::new(Config::default(), silent);
    let key = lab.submit(get("http://h/"));
    for byte in b"HTTP/" {
        lab.advance(SECOND - MS);
        assert_eq!(lab.of(key), []);
        lab.send(0, &[*byte]);
    }
    lab.advance(6 * MS);
    assert_eq!(lab.of(key), [timeout(Phase::Read)]);
    assert_eq!(lab.open_connections(), 0);
}

#[test]
fn a_body_may_pause_for_so_long() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n";
    let mut lab = Lab::new(Config::default(), move |_| send(head));
    let key = lab.submit(get("http://h/").read_timeout(2 * SECOND));
    for _ in 0..5 {
        lab.advance(2 * SECOND - MS);
        lab.send(0, b"x");
    }
    lab.advance(2 * SECOND);
    assert_eq!(lab.of(key).last(), Some(&timeout(Phase::Read)));
    // All of it has a limit, too, whatever comes.
    let key = lab.submit(get("http://h/").total_timeout(3 * SECOND));
    for _ in 0..5 {
        lab.send(1, b"x");
        lab.advance(SECOND - MS);
    }
    assert_eq!(lab.of(key).last(), Some(&timeout(Phase::Total)));
}

#[test]
fn an_interim_answer_gives_new_time() {
    let mut lab = Lab::new(Config::default(), silent);
    let key = lab.submit(get("http://h/"));
    for _ in 0..3 {
        lab.advance(5 * SECOND - MS);
        lab.send(0, b"HTTP/1.1 102 Processing\r\n\r\n");
    }
    lab.send(0, b"HTTP/1.1 204 N\r\n\r\n");
    assert_eq!(lab.of(key), [Seen::Head(204), Seen::End(vec![])]);
}

#[test]
fn nobody_is_late_while_it_is_our_turn() {
    let config = with_limits(|limits| limits.window_size = 2);
    let mut lab = Lab::new(config, |asked| match asked.path() {
        "/down" => send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"),
        _ if asked.is_whole => ok(""),
        _ => Vec::new(),
    });
    lab.consumes = false;
    let down = lab.submit(get("http://h/down").streamed());
    let up = lab.submit(put("http://h/up", RequestBody::Chunked));
    lab.advance(60 * SECOND);
    assert_eq!(lab.of(down).len(), 2, "head and body");
    assert_eq!(lab.of(up), []);
    lab.agent.consumed(lab.now, down, 2);
    assert_eq!(lab.agent.write_body(lab.now, up, b"x"), Ok(1));
    lab.run();
    lab.advance(4 * SECOND);
    assert_eq!(lab.agent.finish_body(lab.now, up), Ok(()));
    lab.run();
    lab.advance(SECOND + MS);
    assert_eq!(
        lab.of(down).last(),
        Some(&timeout(Phase::Read)),
        "now it is the peer's"
    );
    assert_eq!(lab.of(up).last(), Some(&Seen::End(vec![])));
}

#[test]
fn a_peer_that_takes_nothing_is_late() {
    let mut now = Time::ZERO;
    let mut agent = Agent::new(Config::default(), now);
    let body = RequestBody::Bytes(vec![0; 1 << 20].into());
    let key = agent.submit(now, put("http://h/", body)).expect("room");
    let connect = agent.poll_connect().expect("a connection");
    agent.connected(now, connect.conn, Protocol::Http1);
    // Whoever sends asks for more only when all was sent: once, here, after a while.
    for _ in 0..2 {
        agent.poll_output(now, connect.conn, &mut Vec::new(), 4096);
        now += 4 * SECOND;
        agent.handle_timeout(now);
        assert!(agent.poll_event().is_none());
    }
    now += SECOND + MS;
    agent.handle_timeout(now);
    let Some(Event::Failed { request, failure }) = agent.poll_event() else {
        panic!("nothing happened");
    };
    assert_eq!((request, failure), (key, Failure::Timeout(Phase::Read)));
}

#[test]
fn a_body_waits_for_leave_and_not_for_ever() {
    let request =
        || put("http://h/", RequestBody::Bytes(b"body".as_slice().into())).expect_continue();
    // Leave is given.
    let mut lab = Lab::new(Config::default(), |asked| match asked.is_whole {
        false => send("HTTP/1.1 100 Continue\r\n\r\n"),
        true => ok("fine"),
    });
    assert_eq!(
        lab.ask(request()).last(),
        Some(&Seen::End(b"fine".to_vec()))
    );
    assert_eq!(lab.asked[0].fields["expect"], "100-continue");
    // It is refused, and the body is never sent: then the connection cannot be used again.
    let mut lab = Lab::new(Config::default(), |_| {
        send("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")
    });
    assert_eq!(
        outcome(&lab.ask(request())),
        [Seen::Head(417), Seen::End(vec![])]
    );
    assert_eq!((lab.asked.len(), lab.open_connections()), (0, 0));
    // Nothing is said.
    let mut lab = Lab::new(Config::default(), |asked| match asked.is_whole {
        false => Vec::new(),
        true => ok("late"),
    });
    let key = lab.submit(request());
    lab.advance(SECOND - MS);
    assert_eq!(lab.asked.len(), 0);
    lab.advance(2 * MS);
    assert_eq!(lab.of(key).last(), Some(&Seen::End(b"late".to_vec())));
}

#[test]
fn idle_connections_grow_old() {
    let mut lab = Lab::new(Config::default(), |_| ok(""));
    lab.ask(get("http://h/"));
    lab.advance(29 * SECOND);
    lab.ask(get("http://h/"));
    assert_eq!(lab.connects.len(), 1);
    lab.advance(30 * SECOND - MS);
    assert_eq!(lab.open_connections(), 1);
    lab.advance(2 * MS);
    assert_eq!(
        (lab.open_connections(), lab.agent.connection_count()),
        (0, 0)
    );
    lab.ask(get("http://h/"));
    assert_eq!(lab.connects.len(), 2);
    assert!(lab.agent.poll_timeout().is_some(), "it will grow old, too");
}

#[test]
fn so_many_connections_to_an_origin_and_no_more() {
    for max in [1usize, 2, 6] {
        let config = with_limits(|limits| limits.connections_per_origin_max = max);
        let mut lab = Lab::new(config, silent);
        let keys: Vec<_> = (0..max + 2).map(|_| lab.submit(get("http://h/"))).collect();
        assert_eq!(lab.connects.len(), max);
        // In the order in which they came, over the connections that there are.
        for number in 0..max {
            lab.send(number, b"HTTP/1.1 204 N\r\n\r\n");
        }
        assert_eq!(
            (lab.connects.len(), lab.asked.len()),
            (max, (2 * max).min(max + 2))
        );
        assert_eq!(lab.of(keys[0]).len(), 2);
    }
}

#[test]
fn other_origins_are_other_connections() {
    let config = with_limits(|limits| limits.connections_per_origin_max = 1);
    let mut lab = Lab::new(config, |_| ok(""));
    for url in [
        "http://h/",
        "http://H:80/x",
        "http://h:81/",
        "http://i/",
        "https://h:80/",
        "https://h/",
    ] {
        lab.ask(get(url));
    }
    let offers: Vec<_> = lab
        .connects
        .iter()
        .map(|connect| {
            (
                connect.origin.to_string(),
                connect.origin.is_tls,
                connect.offer,
            )
        })
        .collect();
    let expected = [
        ("h:80", false, Offer::Http1),
        ("h:81", false, Offer::Http1),
        ("i:80", false, Offer::Http1),
        ("h:80", true, Offer::Any),
        ("h:443", true, Offer::Any),
    ]
    .map(|(origin, is_tls, offer)| (origin.to_owned(), is_tls, offer));
    assert_eq!(offers, expected);
}

#[test]
fn the_oldest_idle_connection_makes_room() {
    let config = with_limits(|limits| limits.connections_max = 2);
    let mut lab = Lab::new(config, |asked| match asked.path() {
        "/stay" => Vec::new(),
        _ => ok(""),
    });
    lab.ask(get("http://a/"));
    lab.advance(SECOND);
    lab.ask(get("http://b/"));
    lab.ask(get("http://c/"));
    assert_eq!((lab.connects.len(), lab.closed_count), (3, 1));
    lab.ask(get("http://b/"));
    assert_eq!(lab.connects.len(), 3, "a went, b stayed");
    // Nobody is idle: who comes waits.
    let stay = [
        lab.submit(get("http://b/stay")),
        lab.submit(get("http://c/stay")),
    ];
    let key = lab.submit(get("http://d/"));
    assert_eq!((lab.of(key), lab.connects.len()), (vec![], 3));
    lab.agent.cancel(lab.now, stay[0]);
    lab.run();
    assert_eq!(lab.of(key), [Seen::Head(200), Seen::End(vec![])]);
}

#[test]
fn the_connection_used_last_is_used_next() {
    let mut lab = Lab::new(Config::default(), silent);
    lab.submit(get("http://h/"));
    lab.submit(get("http://h/"));
    lab.send(1, b"HTTP/1.1 204 N\r\n\r\n");
    lab.advance(SECOND);
    lab.send(0, b"HTTP/1.1 204 N\r\n\r\n");
    lab.submit(get("http://h/"));
    assert_eq!(lab.asked[2].conn, 0);
}

#[test]
fn so_many_requests_and_no_more() {
    let config = with_limits(|limits| limits.requests_max = 2);
    let mut agent = Agent::new(config, Time::ZERO);
    for _ in 0..2 {
        assert!(agent.submit(Time::ZERO, get("http://h/")).is_ok());
    }
    assert!(agent.submit(Time::ZERO, get("http://h/")).is_err());
    agent.shutdown(Time::ZERO);
    assert_eq!(agent.request_count(), 0);
    assert!(
        agent.submit(Time::ZERO, get("http://h/")).is_err(),
        "it is shut"
    );
}

#[test]
fn a_limit_of_nothing_is_no_trap() {
    let config = with_limits(|limits| {
        limits.interim_max = 0;
        limits.retries_max = 0;
        limits.drain_size_max = 0;
        limits.idle_timeout = Duration::ZERO;
        limits.continue_timeout = Duration::ZERO;
    });
    let mut lab = Lab::new(config, |asked| match asked.path() {
        "/a" if asked.is_whole => agent_kit::redirect(307, "/b"),
        _ if asked.is_whole => ok("b"),
        _ => Vec::new(),
    });
    let body = RequestBody::Bytes(b"x".as_slice().into());
    let key = lab.submit(put("http://h/a", body).expect_continue());
    lab.advance(MS);
    lab.advance(MS);
    assert_eq!(lab.of(key).last(), Some(&Seen::End(b"b".to_vec())));
    lab.advance(MS);
    assert_eq!(lab.agent.connection_count(), 0);
}

/// One thing that happens to an agent.
#[derive(Clone, Debug)]
enum Step {
    Submit(usize, usize),
    Write(usize, usize),
    Finish(usize),
    Cancel(usize),
    Consume(usize, usize),
    Say(usize, usize),
    Eof(usize),
    Reset(usize),
    Advance(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4usize, 0..6usize).prop_map(|(site, kind)| Step::Submit(site, kind)),
        2 => (0..8usize, 0..40usize).prop_map(|(which, size)| Step::Write(which, size)),
        1 => (0..8usize).prop_map(Step::Finish),
        1 => (0..8usize).prop_map(Step::Cancel),
        2 => (0..8usize, 0..20usize).prop_map(|(which, size)| Step::Consume(which, size)),
        6 => (0..8usize, 0..14usize).prop_map(|(conn, what)| Step::Say(conn, what)),
        1 => (0..8usize).prop_map(Step::Eof),
        1 => (0..8usize).prop_map(Step::Reset),
        2 => (0..8000u64).prop_map(Step::Advance),
    ]
}

const SAYINGS: [&str; 14] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhel",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    "3\r\nabc\r\n0\r\n\r\n",
    "HTTP/1.1 302 F\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 307 F\r\nLocation: http://b/y\r\nContent-Length: 2\r\n\r\n..",
    "HTTP/1.1 303 F\r\nLocation: //c\r\nConnection: close\r\n\r\n",
    "HTTP/1.1 302 F\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\nto the end",
    "HTTP/1.1 101 S\r\nUpgrade: x\r\n\r\n",
    "garb\0age\r\n\r\n",
    "HT",
];

fn request(site: usize, kind: usize) -> Request {
    let url = ["http://a/", "http://b/", "https://a/", "http://a/x"][site];
    match kind {
        0 => get(url),
        1 => get(url).streamed(),
        2 => put(url, RequestBody::Bytes(vec![1; 30].into())),
        3 => put(url, RequestBody::Stream(30)).streamed(),
        4 => put(url, RequestBody::Chunked).expect_continue(),
        _ => get(url).collected(4).total_timeout(3 * SECOND),
    }
}

proptest! {
    /// Whatever happens, in whatever order: each request ends once, after its head came at most once; nothing is left
    /// over; and the limits hold all the time.
    #[test]
    fn every_request_ends_exactly_once(
        steps in prop::collection::vec(step(), 0..60),
        piece_size in 1..40usize,
    ) {
        let config = with_limits(|limits| {
            limits.connections_max = 3;
            limits.connections_per_origin_max = 2;
            limits.window_size = 10;
            limits.upload_buffer_size = 16;
            limits.drain_size_max = 1;
        });
        let mut lab = Lab::new(config, silent);
        lab.piece_size = piece_size;
        lab.consumes = false;
        let mut keys = Vec::new();
        for step in steps {
            let key = |which: usize| keys.get(which % keys.len().max(1)).copied();
            match step {
                Step::Submit(site, kind) => keys.push(lab.submit(request(site, kind))),
                Step::Write(which, size) => {
                    if let Some(key) = key(which) {
                        let room = lab.agent.body_room(key);
                        if let Ok(taken) = lab.agent.write_body(lab.now, key, &vec![1; size]) {
                            prop_assert!(taken <= room);
                        }
                    }
                }
                Step::Finish(which) => {
                    let _ = key(which).map(|key| lab.agent.finish_body(lab.now, key));
                }
                Step::Cancel(which) => {
                    let _ = key(which).map(|key| lab.agent.cancel(lab.now, key));
                }
                Step::Consume(which, size) => {
                    if let Some(key) = key(which) {
                        lab.agent.consumed(lab.now, key, size);
                    }
                }
                Step::Say(conn, what) if conn < lab.peers() => {
                    lab.act(conn, Act::Send(SAYINGS[what].into()));
                }
                Step::Eof(conn) if conn < lab.peers() => lab.act(conn, Act::Eof),
                Step::Reset(conn) if conn < lab.peers() => lab.act(conn, Act::Reset),
                Step::Say(..) | Step::Eof(_) | Step::Reset(_) => {}
                Step::Advance(ms) => lab.advance(Duration::from_millis(ms)),
            }
            lab.run();
            prop_assert!(lab.agent.connection_count() <= 3);
        }
        lab.agent.shutdown(lab.now);
        lab.run();
        prop_assert_eq!((lab.agent.request_count(), lab.agent.connection_count()), (0, 0));
        for key in keys {
            let seen = lab.of(key);
            let is_end = |seen: &&Seen| matches!(seen, Seen::End(_) | Seen::Failed(_));
            prop_assert_eq!(seen.iter().filter(is_end).count(), 1, "{:?}", seen);
            prop_assert!(seen.last().as_ref().is_some_and(is_end));
            let heads = seen.iter().filter(|seen| matches!(seen, Seen::Head(_))).count();
            prop_assert!(heads <= 1, "{:?}", seen);
        }
        prop_assert_eq!(lab.agent.poll_timeout(), None, "no timer is left");
    }
}
