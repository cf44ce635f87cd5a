//! The engine without its thread: on a driver that somebody else turns.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use hioload::http_client::{Config, ConnectStage, Engine, Event, Failure, Method, Request, Trust};
use hioload_reactor::poll::PollDriver;
use hioload_reactor::{Driver as _, DriverConfig, Wait};

fn driver() -> PollDriver {
    let config = DriverConfig {
        sockets_max: 64,
        recv_buffer_size: 4096,
        file_ops_max: 0,
        ..DriverConfig::default()
    };
    PollDriver::new(config).expect("a driver")
}

/// Turns the driver until all requests have ended, and says how.
fn run(driver: &mut PollDriver, engine: &mut Engine) -> Vec<Result<Vec<u8>, Failure>> {
    let (mut ends, mut completions) = (Vec::new(), Vec::new());
    loop {
        let mut sink = |event: Event<'_>| match event {
            Event::End { body, .. } => ends.push(Ok(body)),
            Event::Failed { failure, .. } => ends.push(Err(failure)),
            _ => {}
        };
        engine.settle(driver, &mut sink);
        if engine.agent().request_count() == 0 {
            return ends;
        }
        assert_eq!(
            engine.poll_resolve(),
            None,
            "addresses need no name service"
        );
        let due = engine.poll_timeout().expect("everything has a time-out");
        let wait = Wait::For(due - driver.now());
        driver.turn(wait, &mut completions).expect("a turn");
        for completion in completions.drain(..) {
            let other = engine.handle(driver, completion, &mut sink);
            assert!(other.is_none(), "{other:?}");
        }
    }
}

#[test]
fn requests_on_a_driver_of_ones_own() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut head = [0; 4096];
                while stream.read(&mut head).is_ok_and(|size| size > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    let mut driver = driver();
    let mut engine = Engine::new(Config::default(), Trust::default(), driver.now());
    let url = format!("http://{address}/").parse().expect("legal");
    let request = Request::new(Method::GET, url);
    for _ in 0..3 {
        for _ in 0..20 {
            engine.submit(driver.now(), request.clone()).expect("room");
        }
        let ends = run(&mut driver, &mut engine);
        assert_eq!(ends, vec![Ok(b"hello".to_vec()); 20]);
    }
    assert!(engine.agent().connection_count() <= 6);
    engine.submit(driver.now(), request.clone()).expect("room");
    engine.shutdown(driver.now());
    assert_eq!(run(&mut driver, &mut engine), [Err(Failure::Cancelled)]);
    assert!(engine.submit(driver.now(), request).is_err());
    let mut completions = Vec::new();
    while !engine.is_idle() {
        engine.settle(&mut driver, &mut |_| {});
        driver.turn(Wait::None, &mut completions).expect("a turn");
        for completion in completions.drain(..) {
            engine.handle(&mut driver, completion, &mut |_| {});
        }
    }
}

#[test]
fn names_are_looked_up_by_whoever_owns_the_engine() {
    let mut driver = driver();
    let mut engine = Engine::new(Config::default(), Trust::default(), driver.now());
    let url = "http://name.test/".parse().expect("legal");
    let request = Request::new(Method::GET, url);
    engine.submit(driver.now(), request).expect("room");
    engine.settle(&mut driver, &mut |_| {});
    let lookup = engine.poll_resolve().expect("a name");
    assert_eq!(lookup.origin.to_string(), "name.test:80");
    engine.resolved(&mut driver, lookup.conn, Err("no such name".to_owned()));
    let ends = run(&mut driver, &mut engine);
    let stage = match &ends[..] {
        [Err(Failure::Connect { stage, .. })] => *stage,
        other => panic!("{other:?}"),
    };
    assert_eq!(stage, ConnectStage::Resolve);
    assert!(engine.is_idle());
}
