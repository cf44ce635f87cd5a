//! hyper over HTTP/2: every request is answered with 4 KiB from memory, every extended CONNECT is a WebSocket that
//! echoes (RFC 8441).
//!
//! The shape is that of hyper's own server and upgrade examples; fastwebsockets frames what the tunnel carries, as in
//! `peer-fastwebsockets-echo`.

#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::process::ExitCode;

use fastwebsockets::{Role, WebSocket};
use hioload_bench::{CONTENT, TUNNELS_MAX, echo};
use http_body_util::{Either, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::ext::Protocol;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

type Body = Either<Full<Bytes>, Empty<Bytes>>;

fn main() -> ExitCode {
    hioload_bench::serve(connection)
}

async fn connection(stream: TcpStream) {
    // An error is the client's end of the connection: there is nobody left to tell.
    let _ = http2::Builder::new(TokioExecutor::new())
        .enable_connect_protocol()
        .max_concurrent_streams(TUNNELS_MAX)
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .await;
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    if request.extensions().get::<Protocol>().is_none() {
        let content = Bytes::from_static(&CONTENT);
        return Ok(Response::new(Either::Left(Full::new(content))));
    }
    let upgrade = hyper::upgrade::on(&mut request);
    // Unconstrained as in fastwebsockets' example: the budget of cooperative scheduling costs time.
    tokio::spawn(tokio::task::unconstrained(async move {
        if let Ok(upgraded) = upgrade.await {
            let websocket = WebSocket::after_handshake(TokioIo::new(upgraded), Role::Server);
            let _ = echo(websocket).await;
        }
    }));
    Ok(Response::new(Either::Right(Empty::new())))
}
