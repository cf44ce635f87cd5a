//! `hioload pub`: lines become messages.

use std::io::{BufRead as _, IsTerminal as _};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use clap::Args;
use hioload::client::{Client, ClientError, DeflateOffer};
use hioload::{CloseCode, Message};

use super::trust::Trust;
use super::{exit, ws_url};

/// How often the server's pings and messages are looked after while there is nothing to send.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Long enough to take what has come already.
const GLANCE: Duration = Duration::from_millis(1);

/// Lines read ahead.
const LINES_MAX: usize = 1024;

/// Arguments of `hioload pub`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PubArgs {
    /// The server, such as ws://127.0.0.1:9002
    url: String,

    /// The message; `-`, or nothing: each line of stdin is one
    message: Option<String>,

    /// Send binary messages instead of text
    #[arg(long)]
    binary: bool,

    /// Offer compression
    #[arg(long)]
    deflate: bool,

    /// A header of the request, such as "Authorization: Bearer ..."; may be repeated
    #[arg(long, value_name = "NAME: VALUE", value_parser = super::header)]
    header: Vec<(String, String)>,

    #[command(flatten)]
    trust: Trust,
}

/// Sends, and closes when there is no more.
pub(crate) fn run(args: &PubArgs) -> ExitCode {
    match publish(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ (ClientError::Url { .. } | ClientError::Setup(_))) => exit::usage(&error),
        Err(error) => exit::failure(&error),
    }
}

fn publish(args: &PubArgs) -> Result<(), ClientError> {
    let mut builder = args.trust.apply(Client::builder());
    for (name, value) in &args.header {
        builder = builder.header(name, value);
    }
    if args.deflate {
        builder = builder.deflate(DeflateOffer::default());
    }
    let mut client = builder.connect(&ws_url(&args.url))?;
    match args.message.as_deref() {
        None | Some("-") => {
            if std::io::stdin().is_terminal() {
                eprintln!("connected; each line is a message, Ctrl-D ends");
            }
            publish_lines(&mut client, args.binary, &read_lines())?;
        }
        Some(message) => send(&mut client, args.binary, message)?,
    }
    client.close(CloseCode::NORMAL, "").map(drop)
}

fn send(client: &mut Client, is_binary: bool, line: &str) -> Result<(), ClientError> {
    let message = if is_binary {
        Message::binary(line.as_bytes())
    } else {
        Message::text(line)
    };
    client.send(message)
}

/// Sends lines as they come. In between, what the server sends is taken and dropped: pings want
/// their answer, and a client that does not read is thrown out.
fn publish_lines(
    client: &mut Client,
    is_binary: bool,
    lines: &Receiver<String>,
) -> Result<(), ClientError> {
    loop {
        match lines.recv_timeout(LOOK_INTERVAL) {
            Ok(line) => send(client, is_binary, &line)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        loop {
            match client.recv_timeout(GLANCE) {
                Ok(Some(_)) => {}
                Ok(None) => return Err(ClientError::Lost(None)),
                Err(ClientError::Timeout { .. }) => break,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Lines of stdin, read by a thread: waiting for them must not keep the connection waiting.
fn read_lines() -> Receiver<String> {
    let (sender, receiver) = mpsc::sync_channel(LINES_MAX);
    let read = move |sender: SyncSender<String>| {
        for line in std::io::stdin().lock().lines() {
            let line = match line {
                Ok(line) => line,
                Err(error) => {
                    eprintln!("error: stdin: {error}");
                    return;
                }
            };
            if sender.send(line).is_err() {
                return;
            }
        }
    };
    thread::spawn(move || read(sender));
    receiver
}
