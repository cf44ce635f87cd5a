//! tokio-tungstenite broadcast hub: each message goes to all clients but its sender.
//!
//! ```text
//! reader ── (sender id, message) ──▶ broadcast channel ──▶ writer of every client ──▶ socket
//! ```
//!
//! The straightforward hub on `tokio::sync::broadcast`: the payload is shared, a writer feeds what
//! its queue holds and flushes when the queue is empty. A receiver that lags more than
//! [`QUEUE_SIZE`] messages skips the oldest; nothing holds a publisher back.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::SinkExt as _;
use futures_util::stream::{SplitSink, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::broadcast::{self, Receiver, Sender, error::TryRecvError};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Messages the channel holds for its slowest receiver.
const QUEUE_SIZE: usize = 1024;

/// A message and the number of the client that sent it.
type Publication = (u64, Message);

static HUB: LazyLock<Sender<Publication>> = LazyLock::new(|| broadcast::channel(QUEUE_SIZE).0);

/// Number of the next client. Only uniqueness matters, so no ordering is needed.
static NEXT_CLIENT: AtomicU64 = AtomicU64::new(0);

fn main() -> ExitCode {
    hioload_bench::serve(connection)
}

async fn connection(stream: TcpStream) {
    let Ok(websocket) = tokio_tungstenite::accept_async(stream).await else {
        return;
    };
    let client = NEXT_CLIENT.fetch_add(1, Ordering::Relaxed);
    let (sink, mut messages) = websocket.split();
    let writer = tokio::spawn(write(client, sink, HUB.subscribe()));
    while let Some(Ok(message)) = messages.next().await {
        if message.is_text() || message.is_binary() {
            // Refused only when nobody listens; this client's own receiver does.
            let _ = HUB.send((client, message));
        }
    }
    writer.abort();
}

async fn write(
    client: u64,
    mut sink: SplitSink<WebSocketStream<TcpStream>, Message>,
    mut queue: Receiver<Publication>,
) -> Result<(), Error> {
    loop {
        let (sender, message) = match queue.try_recv() {
            Ok(publication) => publication,
            Err(TryRecvError::Lagged(_)) => continue,
            Err(TryRecvError::Closed) => return Ok(()),
            Err(TryRecvError::Empty) => {
                sink.flush().await?;
                match queue.recv().await {
                    Ok(publication) => publication,
                    Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    Err(broadcast::error::RecvError::Closed) => return Ok(()),
                }
            }
        };
        if sender != client {
            sink.feed(message).await?;
        }
    }
}
