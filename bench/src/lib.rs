//! What the peer servers share: command line, runtime, accept loop.
//!
//! Each peer is one binary, one process, one thread: `peer-NAME --addr HOST:PORT`. It prints
//! `listening on ADDR` when it accepts connections (port 0 lets the kernel choose) and serves
//! until it is killed. Peers are written the way their own documentation shows, with the defaults
//! of their crates: a bar taken from a badly written peer is worth nothing.
//!
//! Nothing here may depend on hioload, and nothing of hioload depends on this package.

#![forbid(unsafe_code)]

use std::future::Future;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use fastwebsockets::{FragmentCollector, OpCode, WebSocket, WebSocketError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// Address used when `--addr` is not given: a port chosen by the kernel.
const ADDR_DEFAULT: &str = "127.0.0.1:0";

/// Pause after `accept` was refused, typically for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Runs one peer: parses the command line, binds, announces the address, and spawns
/// `connection` for every client on a single-threaded runtime.
///
/// Returns only when start-up fails; exit code 2 for a wrong command line, 1 for the environment.
pub fn serve<F, Task>(connection: F) -> ExitCode
where
    F: Fn(TcpStream) -> Task,
    Task: Future<Output = ()> + Send + 'static,
{
    let addr = match parse_addr(std::env::args().skip(1)) {
        Ok(addr) => addr,
        Err(message) => {
            eprintln!("{message}\nusage: peer-NAME [--addr HOST:PORT]");
            return ExitCode::from(2);
        }
    };
    match run(addr, connection) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("cannot serve on {addr}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What a peer over HTTP/2 answers a request with: 4 KiB.
pub static CONTENT: [u8; 4096] = [7; 4096];

/// Streams that a peer over HTTP/2 lets a connection open at a time.
pub const TUNNELS_MAX: u32 = 1000;

/// Sends each text or binary message back. Fragments are collected, which checks UTF-8 as every other server of the
/// comparison does.
///
/// # Errors
///
/// Whatever ends the connection but a close frame.
pub async fn echo<S>(websocket: WebSocket<S>) -> Result<(), WebSocketError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut websocket = FragmentCollector::new(websocket);
    loop {
        let frame = websocket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => websocket.write_frame(frame).await?,
            _ => {}
        }
    }
}

/// The accept loop never ends by itself.
enum Never {}

fn run<F, Task>(addr: SocketAddr, connection: F) -> io::Result<Never>
where
    F: Fn(TcpStream) -> Task,
    Task: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // `TcpListener::bind` asks for a backlog of 1024, too short for a storm of connects.
        let socket = match addr {
            SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
            SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        let listener = socket.listen(4096)?;
        announce(&listener)?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    // A client that is gone already is noticed by its task.
                    let _ = stream.set_nodelay(true);
                    tokio::spawn(connection(stream));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    })
}

fn announce(listener: &TcpListener) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on {}", listener.local_addr()?)?;
    stdout.flush()
}

fn parse_addr(mut args: impl Iterator<Item = String>) -> Result<SocketAddr, String> {
    let mut addr = ADDR_DEFAULT.to_owned();
    while let Some(arg) = args.next() {
        if arg == "--addr" {
            addr = args.next().ok_or("--addr needs a value")?;
        } else if let Some(value) = arg.strip_prefix("--addr=") {
            value.clone_into(&mut addr);
        } else {
            return Err(format!("unknown argument {arg}"));
        }
    }
    addr.parse()
        .map_err(|error| format!("--addr {addr}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<SocketAddr, String> {
        parse_addr(args.iter().map(|&arg| arg.to_owned()))
    }

    #[test]
    fn both_spellings_of_the_address_are_taken() {
        let expected: SocketAddr = "127.0.0.1:9".parse().expect("a valid address");
        assert_eq!(parse(&["--addr", "127.0.0.1:9"]), Ok(expected));
        assert_eq!(parse(&["--addr=127.0.0.1:9"]), Ok(expected));
        assert_eq!(parse(&[]).map(|addr| addr.port()), Ok(0));
    }

    #[test]
    fn a_wrong_command_line_is_refused() {
        for args in [&["--addr"][..], &["--addr", "nowhere"], &["--port", "1"]] {
            assert!(parse(args).is_err(), "{args:?}");
        }
    }
}
