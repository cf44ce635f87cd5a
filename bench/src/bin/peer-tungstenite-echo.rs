//! tokio-tungstenite echo server: each text or binary message goes back to its sender.
//!
//! The shape is that of the crate's own echo example. `forward` flushes when no further message
//! is ready, so pipelined messages share a write.

#![forbid(unsafe_code)]

use std::future;
use std::process::ExitCode;

use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::net::TcpStream;

fn main() -> ExitCode {
    hioload_bench::serve(connection)
}

async fn connection(stream: TcpStream) {
    let Ok(websocket) = tokio_tungstenite::accept_async(stream).await else {
        return;
    };
    let (write, read) = websocket.split();
    // An error is the client's end of the connection: there is nobody left to tell.
    let _ = read
        .try_filter(|message| future::ready(message.is_text() || message.is_binary()))
        .forward(write)
        .await;
}
