//! The logging layer. A program of its own: a subscriber to events is for the whole process.

use std::io::Write;
use std::sync::{Arc, Mutex};

use hioload::layer::Logging;
use hioload::{DriverChoice, Echo};
use hioload_e2e::{Opcode, Running, Wire, close_body, until};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text")
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn sessions_are_logged_with_path_and_reason() {
    let lines = Lines::default();
    let writer = lines.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let builder = Running::builder(DriverChoice::Poll, 1)
        .layer(Logging)
        .handler(|_| Echo);
    let server = Running::start(builder);
    let mut wire = Wire::open(server.addr(), "/room");
    wire.frame(Opcode::Text, b"secret");
    assert_eq!(wire.next().payload, b"secret");
    wire.frame(Opcode::Close, &close_body(4000, ""));
    assert_eq!(wire.closed(), Some(4000));
    until("the close", || {
        lines.text().contains("closed by the peer (4000)")
    });
    let text = lines.text();
    let line = |part: &str| {
        let found: Vec<&str> = text.lines().filter(|line| line.contains(part)).collect();
        assert_eq!(found.len(), 1, "{part}: {text}");
        found[0]
    };
    let opened = line(" open ");
    assert!(
        opened.contains("INFO") && opened.contains("/room"),
        "{opened}"
    );
    let message = line("message");
    assert!(
        message.contains("TRACE") && message.contains("size=6"),
        "{message}"
    );
    let session = |line: &str| {
        let at = line.find("session=").expect("a session");
        line[at..].split(' ').next().map(str::to_owned)
    };
    assert_eq!(session(opened), session(line("closed by the peer")));
    assert!(!text.contains("secret"), "payload has no place in a log");
}
