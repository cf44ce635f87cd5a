//! `hioload sub`: messages become lines.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;
use hioload::HttpClient;
use hioload::client::{Client, ClientError, Closing, DeflateOffer, Incoming};
use hioload::http_client::{Events, EventsError, HttpError, Method, Request};

use super::trust::Trust;
use super::{exit, ws_url};

/// First pause before connecting again, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How long a stream of events may be silent: servers send a comment every 15 seconds or so.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// Arguments of `hioload sub`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SubArgs {
    /// The server, such as ws://127.0.0.1:9002, or with --sse http://127.0.0.1:9002 or https://
    url: String,

    /// Read server-sent events; with --reconnect, nothing is missed in between that the server keeps
    #[arg(long, conflicts_with = "deflate")]
    sse: bool,

    /// Print binary messages as hexadecimal digits instead of their length
    #[arg(long)]
    hex: bool,

    /// End after so many messages
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,

    /// Connect again when the connection ends, with growing pauses up to 30 seconds
    #[arg(long)]
    reconnect: bool,

    /// Offer compression
    #[arg(long)]
    deflate: bool,

    /// A header of the request, such as "Authorization: Bearer ..."; may be repeated
    #[arg(long, value_name = "NAME: VALUE", value_parser = super::header)]
    header: Vec<(String, String)>,

    #[command(flatten)]
    trust: Trust,
}

/// Why receiving is over.
enum End {
    /// All that was asked for has come, or nobody reads what is printed.
    Done,
    /// The connection ended in good order.
    Closed(Closing),
    Failed(ClientError),
}

/// Prints what comes.
pub(crate) fn run(args: &SubArgs) -> ExitCode {
    if args.sse {
        return events(args);
    }
    let mut left = args.count;
    let mut backoff = Backoff::new();
    loop {
        let end = receive(args, &mut left, &mut backoff);
        let text = match end {
            End::Done => return ExitCode::SUCCESS,
            End::Failed(
                error @ (ClientError::Url { .. } | ClientError::Misuse(_) | ClientError::Setup(_)),
            ) => {
                return exit::usage(&error);
            }
            End::Failed(error) if !args.reconnect => return exit::failure(&error),
            End::Failed(error) => error.to_string(),
            End::Closed(closing) => format!("closed by the server ({closing})"),
        };
        if !args.reconnect {
            eprintln!("{text}");
            return ExitCode::SUCCESS;
        }
        let pause = backoff.pause();
        eprintln!("{text}; connecting again in {:.1} s", pause.as_secs_f64());
        thread::sleep(pause);
    }
}

/// A stream of events that has begun; `None`: the server wants no requests.
fn connect(args: &SubArgs) -> Result<Option<Events>, EventsError> {
    let text = http_url(&args.url);
    let url = text.parse().map_err(|fault| {
        let url = text.clone();
        EventsError::Http(HttpError::Url { url, fault })
    })?;
    let mut request = Request::new(Method::GET, url).read_timeout(SILENCE_MAX);
    for (name, value) in &args.header {
        let added = request.field(name, value);
        request = added.map_err(|error| EventsError::Http(HttpError::Request(error)))?;
    }
    let client = HttpClient::builder().roots(args.trust.roots()).build();
    let client = client.map_err(EventsError::Http)?;
    let mut events = client.events_of(request, "")?.resume(args.reconnect);
    Ok(events.connect()?.then_some(events))
}

/// Prints events; what is no message is told beside.
fn events(args: &SubArgs) -> ExitCode {
    let mut client = match connect(args) {
        Ok(Some(client)) => client,
        Ok(None) => return ExitCode::SUCCESS,
        Err(
            error @ (EventsError::Scheme { .. }
            | EventsError::Http(HttpError::Url { .. } | HttpError::Request(_))),
        ) => return exit::usage(&error),
        Err(error) => return exit::failure(&error),
    };
    let mut left = args.count;
    let mut stdout = io::stdout().lock();
    while left != Some(0) {
        let event = match client.next_event() {
            Ok(Some(event)) => event,
            Ok(None) => return ExitCode::SUCCESS,
            Err(error @ EventsError::Ended) => {
                eprintln!("{error}");
                return ExitCode::SUCCESS;
            }
            Err(error) => return exit::failure(&error),
        };
        let incoming = match (&*event.name, event.as_binary()) {
            ("gap" | "close", _) => {
                eprintln!("{}: {}", event.name, event.data);
                continue;
            }
            (_, Some(payload)) => Incoming::Binary(payload),
            _ => Incoming::Text(event.data),
        };
        let Some(line) = to_line(&incoming, args.hex) else {
            continue;
        };
        let printed = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
        if printed.is_err() {
            return ExitCode::SUCCESS;
        }
        left = left.map(|left| left - 1);
    }
    ExitCode::SUCCESS
}

/// A URL as people type it: `host:port` means `http://host:port`.
fn http_url(text: &str) -> String {
    if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    }
}

/// Receives over one connection.
fn receive(args: &SubArgs, left: &mut Option<u64>, backoff: &mut Backoff) -> End {
    let mut builder = args.trust.apply(Client::builder());
    for (name, value) in &args.header {
        builder = builder.header(name, value);
    }
    if args.deflate {
        builder = builder.deflate(DeflateOffer::default());
    }
    let mut client = match builder.connect(&ws_url(&args.url)) {
        Ok(client) => client,
        Err(error) => return End::Failed(error),
    };
    backoff.reset();
    let mut stdout = io::stdout().lock();
    while *left != Some(0) {
        let line = match client.recv() {
            Ok(Some(incoming)) => to_line(&incoming, args.hex),
            Ok(None) => {
                let closing = client.closing().cloned();
                return End::Closed(closing.expect("invariant: closed in good order"));
            }
            Err(error) => return End::Failed(error),
        };
        let Some(line) = line else { continue };
        if writeln!(stdout, "{line}")
            .and_then(|()| stdout.flush())
            .is_err()
        {
            return End::Done;
        }
        *left = left.map(|left| left - 1);
    }
    End::Done
}

/// A message as a line; `None` for what is no message.
fn to_line(incoming: &Incoming, is_hex: bool) -> Option<String> {
    match incoming {
        Incoming::Text(text) => Some(text.clone()),
        Incoming::Binary(payload) if is_hex => {
            let mut line = String::with_capacity(payload.len() * 2);
            for byte in payload {
                write!(line, "{byte:02x}").expect("invariant: strings take everything");
            }
            Some(line)
        }
        Incoming::Binary(payload) => Some(format!("binary message of {} bytes", payload.len())),
        Incoming::Pong(_) => None,
    }
}

/// Pauses that double, each with up to a quarter off: clients of a server that comes back do not
/// all come at once.
struct Backoff {
    next: Duration,
}

impl Backoff {
    fn new() -> Self {
        Self { next: PAUSE_MIN }
    }

    fn reset(&mut self) {
        self.next = PAUSE_MIN;
    }

    fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(PAUSE_MAX);
        // Without randomness they come at once: no reason to fail.
        let share = getrandom::u32().unwrap_or(0) >> 24;
        pause - pause * share / 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_lines() {
        let line = |incoming, is_hex| to_line(&incoming, is_hex);
        assert_eq!(line(Incoming::Text("hi".into()), true), Some("hi".into()));
        assert_eq!(
            line(Incoming::Binary(vec![0, 255]), true),
            Some("00ff".into())
        );
        let length = "binary message of 2 bytes".to_owned();
        assert_eq!(line(Incoming::Binary(vec![0, 255]), false), Some(length));
        assert_eq!(line(Incoming::Pong(vec![]), false), None);
    }

    #[test]
    fn pauses_grow_to_their_limit_and_start_again() {
        let mut backoff = Backoff::new();
        let mut bound = PAUSE_MIN;
        for _ in 0..12 {
            let pause = backoff.pause();
            assert!(
                pause <= bound && pause >= bound * 3 / 4,
                "{pause:?} of {bound:?}"
            );
            bound = (bound * 2).min(PAUSE_MAX);
        }
        assert_eq!(bound, PAUSE_MAX);
        backoff.reset();
        assert!(backoff.pause() <= PAUSE_MIN);
    }
}
