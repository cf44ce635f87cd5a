//! WebSocket over HTTP/1.1 in, the same over HTTP/2 out (RFC 8441): lets a suite that knows only the former test a
//! server's latter.
//!
//! ```text
//! suite ── Upgrade ──▶ h2-bridge ── extended CONNECT, a stream each of one connection ──▶ server
//! ```
//!
//! Frames of WebSocket pass as bytes that nobody looks at, so whatever the suite does wrong on purpose arrives as it
//! is. An end of either side is an end of the other: FIN is END_STREAM, RST_STREAM is a reset.
//!
//! `h2-bridge --connect ADDR` prints `listening on ADDR` and serves until it is killed.

#![forbid(unsafe_code)]

mod request;
mod tunnel;

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use std::rc::Rc;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::{LocalSet, spawn_local};

use crate::request::Request;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Window of the connection and of each stream: the suite's messages have up to 16 MiB.
const WINDOW: u32 = 64 << 20;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [flag, server] = &args[..] else {
        eprintln!("usage: h2-bridge --connect ADDR");
        return ExitCode::from(2);
    };
    if flag != "--connect" {
        eprintln!("unknown argument {flag}");
        return ExitCode::from(2);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = runtime
        .map_err(Into::into)
        .and_then(|runtime| LocalSet::new().block_on(&runtime, serve(server)));
    if let Err(error) = result {
        eprintln!("h2-bridge: {error}");
    }
    ExitCode::FAILURE
}

async fn serve(server: &str) -> Outcome<()> {
    let bridge = Rc::new(Bridge {
        server: server.to_owned(),
        connection: Mutex::new(None),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "listening on {}", listener.local_addr()?)?;
    stdout.flush()?;
    drop(stdout);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let bridge = Rc::clone(&bridge);
        spawn_local(async move {
            if let Err(error) = bridge.carry(stream).await {
                eprintln!("h2-bridge: {error}");
            }
        });
    }
}

struct Bridge {
    server: String,
    /// The connection that all tunnels share, while it lives.
    connection: Mutex<Option<SendRequest<Bytes>>>,
}

impl Bridge {
    /// One WebSocket, from its request to its end.
    async fn carry(&self, mut client: TcpStream) -> Outcome<()> {
        let (request, early) = Request::read(&mut client).await?;
        let connect = request.connect(&self.server)?;
        let (answer, send) = self.connection().await?.send_request(connect, false)?;
        let answer = answer.await?;
        request.answer(&mut client, &answer).await?;
        if answer.status() == http::StatusCode::OK {
            tunnel::pump(client, early, answer.into_body(), send).await?;
        }
        Ok(())
    }

    /// The connection, ready for a stream more.
    async fn connection(&self) -> Outcome<SendRequest<Bytes>> {
        let mut shared = self.connection.lock().await;
        if let Some(connection) = shared.take()
            && let Ok(ready) = connection.ready().await
        {
            *shared = Some(ready.clone());
            return Ok(ready);
        }
        let stream = TcpStream::connect(&self.server).await?;
        stream.set_nodelay(true)?;
        let (send, mut connection) = h2::client::Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .handshake(stream)
            .await?;
        let mut pings = connection.ping_pong().ok_or("a fresh connection")?;
        spawn_local(async move {
            // Tunnels tell of its end, too.
            let _ = connection.await;
        });
        // Settings come before the answer to a ping.
        pings.ping(h2::Ping::opaque()).await?;
        if !send.is_extended_connect_protocol_enabled() {
            return Err("the server takes no extended CONNECT (RFC 8441 3)".into());
        }
        let ready = send.ready().await?;
        *shared = Some(ready.clone());
        Ok(ready)
    }
}
