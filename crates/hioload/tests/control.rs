//! A server that is steered from other threads, also while nothing gets through to its workers, and when one of
//! them dies.

mod kit;

use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use hioload::client::{Client, Incoming};
use hioload::streams::{StreamError, StreamUid};
use hioload::{Echo, Handler, Message, RunError, Server, ServerBuilder, Session, Settings};

use kit::{PATIENCE, on_each_driver};

fn build(builder: ServerBuilder) -> Server {
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    builder
        .addr(addr)
        .memory(96 << 20)
        .build()
        .expect("a server")
}

/// Runs it on a thread of its own, which says how it ended.
fn run(server: Server) -> Receiver<Result<(), RunError>> {
    let (told, ended) = mpsc::channel();
    std::thread::spawn(move || told.send(server.run()));
    ended
}

fn connect(addr: SocketAddr) -> Client {
    let builder = Client::builder().read_timeout(Some(PATIENCE));
    builder
        .connect(&format!("ws://{addr}/"))
        .expect("it listens")
}

/// Its only worker takes nothing before it runs: one message fills the inbox.
fn fill_inbox(server: &Server) {
    let uid = StreamUid::new(0, 0, 0, 1).expect("a name");
    let write = || {
        server
            .handle()
            .streams()
            .try_write(uid, Message::text("hello"))
    };
    assert_eq!(write(), Ok(()));
    assert_eq!(write(), Err(StreamError::Busy), "the inbox is full");
}

#[test]
fn a_full_inbox_refuses_neither_settings_nor_the_end() {
    on_each_driver(|driver| {
        let builder = Server::builder().workers(1).ring(1).driver(driver);
        let server = build(builder.handler(|_| Echo));
        let control = server.control();
        fill_inbox(&server);
        let mut settings = Settings::default();
        settings.ws.message_size_max = 10;
        settings.ws.frame_size_max = 10;
        control.set_settings(settings);
        let addr = server.local_addr();
        let ended = run(server);
        let mut client = connect(addr);
        client.send_text("ten letters").expect("taken");
        let answer = client.recv().expect("an end in good order");
        assert!(
            !matches!(answer, Some(Incoming::Text(_))),
            "a letter too many"
        );
        drop(client);
        control.shutdown();
        let outcome = ended.recv_timeout(PATIENCE).expect("it ends");
        outcome.expect("in good order");

        let builder = Server::builder().workers(1).ring(1).driver(driver);
        let server = build(builder.handler(|_| Echo));
        fill_inbox(&server);
        server.control().shutdown();
        let outcome = run(server).recv_timeout(PATIENCE).expect("it ends");
        outcome.expect("in good order");
    });
}

struct Mine;

impl Handler for Mine {
    fn message(&mut self, _: &mut Session<'_>, message: Message<'_>) {
        assert!(message.as_text() != Some("panic"), "as told");
    }
}

#[test]
fn nobody_waits_for_the_connections_of_a_worker_that_died() {
    on_each_driver(|driver| {
        let builder = Server::builder().workers(2).driver(driver);
        let builder = builder.shutdown(Duration::from_secs(3600), 0);
        let server = build(builder.handler(|_| Mine));
        let addr = server.local_addr();
        let ended = run(server);
        let mut client = connect(addr);
        client.send_text("panic").expect("taken");
        let outcome = ended
            .recv_timeout(PATIENCE)
            .expect("long before its time is up");
        let error = outcome.expect_err("one of them died");
        assert!(error.to_string().contains("panicked"), "{error}");
    });
}
