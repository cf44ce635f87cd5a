//! One channel for each path, for WebSocket clients and for readers of events alike. Run with
//! `cargo run --release --example events`, read with `curl -N -H 'Accept: text/event-stream'
//! http://127.0.0.1:9002/news`, or in a browser with `new EventSource("http://127.0.0.1:9002/news")`, and publish with
//! `hioload pub ws://127.0.0.1:9002/news hello`.
//!
//! ```text
//!   WebSocket: open ─▶ subscribe ─▶ message ─▶ publish
//!   events:    open ─▶ subscribe (goes on behind Last-Event-ID by itself)
//! ```

use std::time::Duration;

use hioload::{
    CloseCode, Handler, HistoryConfig, Message, Recovered, Recovery, Server, Session, Settings,
};

struct News;

impl Handler for News {
    fn open(&mut self, session: &mut Session<'_>) {
        let channel = session.path().to_owned();
        if session.subscribe(&channel).is_err() {
            session.close(CloseCode::TRY_AGAIN, "no room in the channel");
        }
    }

    fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
        // Never from a reader of events: it has nothing to say.
        let channel = session.path().to_owned();
        let _ = session.publish(&channel, message);
    }

    fn recovered(&mut self, session: &mut Session<'_>, channel: &str, recovery: Recovery) {
        // A reader of events has been told by an event `gap`.
        if session.reads_events() && recovery.outcome != Recovered::Tail {
            println!("{channel}: a reader is back: {:?}", recovery.outcome);
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut settings = Settings::default();
    // What a reader can miss without losing anything.
    settings.channel.history = HistoryConfig {
        count: 10_000,
        size: 1 << 20,
        age: Duration::from_secs(600),
    };
    settings.events.history = true;
    let server = Server::builder()
        .addr("127.0.0.1:9002".parse()?)
        .settings(settings)
        .handler(|_| News)
        .build()?;
    println!("listening on {}", server.local_addr());
    server.run()?;
    Ok(())
}
