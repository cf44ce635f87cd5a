//! The `h2` crate alone: every request is answered with 4 KiB from memory, every extended CONNECT is a WebSocket that
//! echoes (RFC 8441).
//!
//! The shape is that of the crate's own server example. Without hyper between, a tunnel needs neither a channel nor a
//! task of its own for what it sends.

#![forbid(unsafe_code)]

mod tunnel;

use std::process::ExitCode;

use bytes::Bytes;
use fastwebsockets::{Role, WebSocket};
use h2::ext::Protocol;
use h2::server::SendResponse;
use h2::{Error, RecvStream};
use hioload_bench::{CONTENT, TUNNELS_MAX, echo};
use http::{Request, Response};
use tokio::net::TcpStream;

use crate::tunnel::Tunnel;

fn main() -> ExitCode {
    hioload_bench::serve(connection)
}

async fn connection(stream: TcpStream) {
    // An error is the client's end of the connection: there is nobody left to tell.
    let _ = serve(stream).await;
}

async fn serve(stream: TcpStream) -> Result<(), Error> {
    let mut connection = h2::server::Builder::new()
        .enable_connect_protocol()
        .max_concurrent_streams(TUNNELS_MAX)
        .handshake(stream)
        .await?;
    while let Some(request) = connection.accept().await {
        let (request, response) = request?;
        if request.extensions().get::<Protocol>().is_some() {
            // Unconstrained as in fastwebsockets' example: the budget of cooperative scheduling costs time.
            tokio::spawn(tokio::task::unconstrained(async move {
                let _ = open(request, response).await;
            }));
        } else {
            content(response)?;
        }
    }
    Ok(())
}

fn content(mut response: SendResponse<Bytes>) -> Result<(), Error> {
    response
        .send_response(Response::new(()), false)?
        .send_data(Bytes::from_static(&CONTENT), true)
}

async fn open(
    request: Request<RecvStream>,
    mut response: SendResponse<Bytes>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let send = response.send_response(Response::new(()), false)?;
    let tunnel = Tunnel::new(request.into_body(), send);
    let websocket = WebSocket::after_handshake(tunnel, Role::Server);
    Ok(echo(websocket).await?)
}
