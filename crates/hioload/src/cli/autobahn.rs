//! `hioload autobahn-client`: every case of an Autobahn fuzzing server, over a reactor driver.
//!
//! ```text
//!   /getCaseCount ─▶ N      /runCase?case=1…N: echo until closed      /updateReports
//! ```
//!
//! What the suite does to a client is its own affair: a case that ends in an error goes into the
//! suite's report. Only what keeps the suite from being run is an error here.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use hioload::Message;
use hioload::client::{
    ClientError, ClientEvent, ClientOptions, ClientSession, DeflateOffer, Limits, Url,
};
use hioload_base::Time;
use hioload_mem::Segment;
use hioload_reactor::{Completion, Completions, Connect, Driver, Op, Reject, SocketId, Wait};

use super::driver::{self, DriverArg};
use super::exit;

/// Messages of the suite have up to 16 MiB.
const MESSAGE_SIZE_MAX: usize = 32 << 20;

/// A case in which nothing happens for so long is over.
const PATIENCE: Duration = Duration::from_secs(60);

/// Arguments of `hioload autobahn-client`.
#[derive(Args, Clone, Debug)]
pub(crate) struct AutobahnArgs {
    /// The fuzzing server
    #[arg(long, value_name = "ADDR")]
    connect: SocketAddr,

    /// The name under which the suite files its verdicts
    #[arg(long, default_value = "hioload")]
    agent: String,

    /// Offer to compress each message by itself
    #[arg(long)]
    no_takeover: bool,

    /// How I/O is done
    #[arg(long, value_enum, default_value_t = DriverArg::Auto)]
    driver: DriverArg,
}

/// Runs all cases.
pub(crate) fn run(args: &AutobahnArgs) -> ExitCode {
    let mut driver = match driver::open(args.driver, 16) {
        Ok(driver) => driver,
        Err(error) => return exit::usage(&error),
    };
    match run_all(&mut *driver, args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::failure(&error),
    }
}

fn run_all(driver: &mut dyn Driver, args: &AutobahnArgs) -> Result<(), String> {
    let mut case_count = None;
    converse(driver, args, "/getCaseCount", |_, message| {
        case_count = message
            .as_text()
            .and_then(|text| text.trim().parse::<u32>().ok());
    })?;
    let case_count = case_count.ok_or("the server does not say how many cases it has")?;
    for case in 1..=case_count {
        let path = format!("/runCase?case={case}&agent={}", args.agent);
        converse(driver, args, &path, |session, message| {
            // Refused after a close only; then there is nobody to answer.
            let _ = session.send(message);
        })?;
    }
    converse(
        driver,
        args,
        &format!("/updateReports?agent={}", args.agent),
        |_, _| {},
    )
}

/// One connection from its connect to its end.
struct Exchange<'a> {
    driver: &'a mut dyn Driver,
    socket: SocketId,
    session: ClientSession,
    is_sending: bool,
    is_ended: bool,
    is_closed: bool,
}

/// Connects to `path`, gives every message to `answer`, and returns when the connection is over.
fn converse(
    driver: &mut dyn Driver,
    args: &AutobahnArgs,
    path: &str,
    mut answer: impl FnMut(&mut ClientSession, Message<'_>),
) -> Result<(), String> {
    let addr = args.connect;
    let url: Url = format!("ws://{addr}{path}")
        .parse()
        .map_err(|error: ClientError| error.to_string())?;
    let limits = Limits {
        message_size_max: MESSAGE_SIZE_MAX,
        frame_size_max: MESSAGE_SIZE_MAX,
        fragments_max: 1 << 20,
        ..Limits::default()
    };
    let options = ClientOptions {
        deflate: Some(DeflateOffer {
            client_no_context_takeover: args.no_takeover,
            ..DeflateOffer::default()
        }),
        // Short messages are a part of what is tested.
        deflate_size_min: 0,
        limits,
        output_size_max: 4 * MESSAGE_SIZE_MAX,
        ..ClientOptions::default()
    };
    let session = ClientSession::new(&url, options).map_err(|error| error.to_string())?;
    let connect = Op::Connect(Connect::new(addr));
    let op = driver
        .submit(connect)
        .map_err(|reject: Reject| format!("{addr}: {reject}"))?;
    let mut exchange = Exchange {
        driver,
        socket: SocketId::from_key(op.key),
        session,
        is_sending: false,
        is_ended: false,
        is_closed: false,
    };
    exchange
        .run(&mut answer)
        .map_err(|error| format!("ws://{addr}{path}: {error}"))
}

impl Exchange<'_> {
    fn run(
        &mut self,
        answer: &mut dyn FnMut(&mut ClientSession, Message<'_>),
    ) -> Result<(), String> {
        let mut events = Completions::new();
        let mut active: Time = self.driver.now();
        while !self.is_closed {
            let turn = self
                .driver
                .turn(Wait::For(Duration::from_secs(1)), &mut events);
            turn.map_err(|error| error.to_string())?;
            let now = self.driver.now();
            if !events.is_empty() {
                active = now;
            } else if now - active > PATIENCE {
                self.close();
            }
            for event in events.drain(..) {
                self.handle(event, answer)?;
            }
        }
        Ok(())
    }

    fn handle(
        &mut self,
        event: Completion,
        answer: &mut dyn FnMut(&mut ClientSession, Message<'_>),
    ) -> Result<(), String> {
        match event {
            Completion::Connected { socket } => {
                // Refused only when the socket is closing: its end is on the way.
                let _ = self.driver.submit(Op::Recv { socket });
                self.flush();
            }
            Completion::ConnectFailed { errno, .. } => {
                self.is_closed = true;
                return Err(std::io::Error::from_raw_os_error(errno).to_string());
            }
            Completion::Received { mut buffer, .. } => {
                self.take(&mut buffer, answer);
                self.flush();
            }
            Completion::Sent {
                result, payload, ..
            } => {
                self.is_sending = false;
                match result {
                    Ok(taken) if taken < payload.len() => {
                        let mut rest = payload.pieces()[0].clone();
                        rest.advance(taken);
                        self.send(rest);
                    }
                    Ok(_) => self.flush(),
                    Err(_) => self.close(),
                }
            }
            // RFC 6455 7.1.1: the server closes first as a rule.
            Completion::RecvEnded { .. } => self.close(),
            Completion::Closed { .. } => self.is_closed = true,
            _ => {}
        }
        Ok(())
    }

    /// Gives input to the session and messages to `answer`.
    fn take(
        &mut self,
        mut input: &mut [u8],
        answer: &mut dyn FnMut(&mut ClientSession, Message<'_>),
    ) {
        loop {
            match self.session.handle_input(&mut input) {
                Ok(None) => break,
                Ok(Some(ClientEvent::Message(kind, payload))) => {
                    let message = Message {
                        kind,
                        payload: &payload,
                    };
                    answer(&mut self.session, message);
                }
                Ok(Some(_)) => {}
                // The server is told by what is in the output; it expected this.
                Err(_) => {
                    self.is_ended = true;
                    break;
                }
            }
        }
    }

    /// Sends what the session has to say, once the send before is through.
    fn flush(&mut self) {
        if self.is_sending {
            return;
        }
        if self.session.output().is_empty() {
            // An offence was told: the connection is to be failed (RFC 6455 7.1.7).
            if self.is_ended {
                self.close();
            }
            return;
        }
        let output = self.session.take_output();
        self.send(Segment::from_vec(output));
    }

    fn send(&mut self, bytes: Segment) {
        let op = Op::Send {
            socket: self.socket,
            payload: bytes.into(),
        };
        self.is_sending = self.driver.submit(op).is_ok();
    }

    fn close(&mut self) {
        // Refused when it is closing already.
        let _ = self.driver.submit(Op::Close {
            socket: self.socket,
        });
    }
}
