//! The foreign client: tungstenite over a blocking socket with a deadline.

use std::net::{SocketAddr, TcpStream};

use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::Response;
use tungstenite::{Error, Message, WebSocket};

use crate::{Patience, TIME_MAX};

/// A connection of the foreign client.
pub type Foreign = WebSocket<TcpStream>;

pub(crate) fn open(addr: SocketAddr, receive_buffer: Option<usize>) -> TcpStream {
    let kind = socket2::Type::STREAM;
    let socket = socket2::Socket::new(socket2::Domain::for_address(addr), kind, None);
    let socket = socket.expect("a socket");
    if let Some(size) = receive_buffer {
        // Before it connects: the window is negotiated then.
        socket.set_recv_buffer_size(size).expect("a receive buffer");
    }
    socket.connect(&addr.into()).expect("the server listens");
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).expect("an option");
    stream.set_read_timeout(Some(TIME_MAX)).expect("an option");
    stream.set_write_timeout(Some(TIME_MAX)).expect("an option");
    stream
}

/// Connects to `/`.
///
/// # Panics
/// When the server refuses.
#[must_use]
pub fn connect(addr: SocketAddr) -> Foreign {
    connect_to(addr, "/")
}

/// Connects to a path.
///
/// # Panics
/// When the server refuses.
#[must_use]
pub fn connect_to(addr: SocketAddr, path: &str) -> Foreign {
    let url = format!("ws://{addr}{path}");
    let (socket, _) = tungstenite::client(url, open(addr, None)).expect("the handshake");
    socket
}

/// Connects to a path with a small receive buffer, so that it holds the server up soon.
///
/// # Panics
/// When the server refuses.
#[must_use]
pub fn connect_small(addr: SocketAddr, path: &str) -> Foreign {
    let url = format!("ws://{addr}{path}");
    let (socket, _) = tungstenite::client(url, open(addr, Some(8192))).expect("the handshake");
    socket
}

/// Connects to `/` with more headers.
///
/// # Errors
/// The HTTP status, when the server refuses.
///
/// # Panics
/// When something else goes wrong.
pub fn connect_with(
    addr: SocketAddr,
    headers: &[(&'static str, &str)],
) -> Result<(Foreign, Response), u16> {
    let mut request = format!("ws://{addr}/")
        .into_client_request()
        .expect("a request");
    for (name, value) in headers {
        request
            .headers_mut()
            .insert(*name, value.parse().expect("a header"));
    }
    match tungstenite::client(request, open(addr, None)) {
        Ok(both) => Ok(both),
        Err(tungstenite::HandshakeError::Failure(Error::Http(response))) => {
            Err(response.status().as_u16())
        }
        Err(error) => panic!("{error}"),
    }
}

/// Reads up to the close frame and returns its code (1005: none); data before it is skipped.
///
/// # Panics
/// When the connection ends without one.
#[track_caller]
pub fn expect_close(client: &mut Foreign) -> u16 {
    let mut patience = Patience::new();
    loop {
        assert!(!patience.is_over(), "no close frame");
        match client.read() {
            Ok(Message::Close(frame)) => {
                let code = frame.map_or(1005, |frame| frame.code.into());
                // The answer goes out with the next call, which ends with the connection.
                while client.read().is_ok() {}
                return code;
            }
            Ok(_) => {}
            Err(error) => panic!("no close frame: {error}"),
        }
    }
}
