//! tokio-rustls under tokio-tungstenite: an echo server over TLS 1.3, each text or binary message back to its sender.
//!
//! The accept loop of both crates' own examples. A certificate is made at start; the primitives are ring's, which
//! hioload uses as well: what is compared is the way between the socket and the primitives.

#![forbid(unsafe_code)]

use std::future;
use std::process::ExitCode;
use std::sync::{Arc, LazyLock};

use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

static ACCEPTOR: LazyLock<TlsAcceptor> = LazyLock::new(acceptor);

fn main() -> ExitCode {
    hioload_bench::serve(connection)
}

fn acceptor() -> TlsAcceptor {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()])
        .expect("invariant: a name of a host");
    let key = PrivateKeyDer::Pkcs8(pair.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("invariant: ring has what the versions need")
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key)
        .expect("invariant: the key was made for the certificate");
    TlsAcceptor::from(Arc::new(config))
}

async fn connection(stream: TcpStream) {
    let Ok(stream) = ACCEPTOR.accept(stream).await else {
        return;
    };
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
