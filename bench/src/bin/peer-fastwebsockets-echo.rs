//! fastwebsockets echo server: hyper serves the upgrade, then each message goes back to its sender.
//!
//! The shape is that of the crate's own echo example.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use fastwebsockets::WebSocketError;
use fastwebsockets::upgrade::{self, UpgradeFut};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

fn main() -> ExitCode {
    hioload_bench::serve(connection)
}

async fn connection(stream: TcpStream) {
    // An error is the client's end of the connection: there is nobody left to tell.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service_fn(accept))
        .with_upgrades()
        .await;
}

async fn accept(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, upgrade) = upgrade::upgrade(&mut request)?;
    // Unconstrained as in the crate's example: the budget of cooperative scheduling costs time.
    tokio::spawn(tokio::task::unconstrained(async move {
        let _ = echo(upgrade).await;
    }));
    Ok(response)
}

async fn echo(upgrade: UpgradeFut) -> Result<(), WebSocketError> {
    hioload_bench::echo(upgrade.await?).await
}
