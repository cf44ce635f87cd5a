//! `hioload streams`: the streams of a running server, through its admin listener.

mod ask;
mod table;

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use self::ask::ask;
use super::exit;

/// Arguments of `hioload streams`.
#[derive(Args, Clone, Debug)]
pub(super) struct StreamsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Clone, Debug)]
enum Command {
    /// List streams: sessions, and whatever else has a UID
    Ls(LsArgs),
    /// Close streams, behind what was written to them
    Close(CloseArgs),
    /// Show counters: streams by kind, lookups, rejections by limit
    Stat(StatArgs),
}

#[derive(Args, Clone, Debug)]
struct Server {
    /// Where the server's admin listener is
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9090")]
    admin: SocketAddr,
    /// Answers as they come, as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Clone, Debug)]
struct LsArgs {
    /// Of this kind only: http, websocket, sse, long-poll, tunnel, client or custom
    #[arg(long)]
    kind: Option<String>,
    /// With this peer only: an address, with or without a port
    #[arg(long, value_name = "ADDR")]
    peer: Option<String>,
    /// Silent for so long only, such as 10s
    #[arg(long, value_name = "TIME")]
    idle: Option<String>,
    /// Autonomous ones only
    #[arg(long)]
    autonomous: bool,
    /// Those only that have a UID already; otherwise all sessions get one
    #[arg(long)]
    named: bool,
    /// So many at most
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
    #[command(flatten)]
    server: Server,
}

#[derive(Args, Clone, Debug)]
struct CloseArgs {
    /// Which ones
    #[arg(required = true, value_name = "UID")]
    uids: Vec<String>,
    #[command(flatten)]
    server: Server,
}

#[derive(Args, Clone, Debug)]
struct StatArgs {
    #[command(flatten)]
    server: Server,
}

/// Runs one of them.
pub(super) fn run(args: &StreamsArgs) -> ExitCode {
    let ended = match &args.command {
        Command::Ls(args) => ls(args),
        Command::Close(args) => close(args),
        Command::Stat(args) => stat(args),
    };
    match ended {
        Ok(code) => code,
        Err(text) => exit::failure(&text),
    }
}

fn ls(args: &LsArgs) -> Result<ExitCode, String> {
    let mut query = format!("/streams?limit={}", args.limit);
    let words = [
        ("kind", &args.kind),
        ("peer", &args.peer),
        ("idle", &args.idle),
    ];
    for (name, value) in words {
        if let Some(value) = value {
            query += &format!("&{name}={}", encode(value));
        }
    }
    for (name, is_set) in [("autonomous", args.autonomous), ("named", args.named)] {
        if is_set {
            query += &format!("&{name}=true");
        }
    }
    let answer = ask(args.server.admin, "GET", &query)?.json()?;
    if args.server.json {
        return say(&format!("{answer:#}"));
    }
    let mut text = table::streams(&answer);
    if answer["is_complete"] != true {
        text += "\nthere are more, or a worker did not answer in time";
    }
    say(&text)
}

fn close(args: &CloseArgs) -> Result<ExitCode, String> {
    let mut code = ExitCode::SUCCESS;
    for uid in &args.uids {
        let answer = ask(
            args.server.admin,
            "DELETE",
            &format!("/streams/{}", encode(uid)),
        )?;
        if answer.is_good() {
            say(&format!("{uid} is closed"))?;
        } else {
            eprintln!("error: {uid}: {}", answer.body.trim());
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

fn stat(args: &StatArgs) -> Result<ExitCode, String> {
    let answer: Value = ask(args.server.admin, "GET", "/streams/stat")?.json()?;
    if args.server.json {
        return say(&format!("{answer:#}"));
    }
    say(&table::figures(&answer["totals"]))
}

fn say(text: &str) -> Result<ExitCode, String> {
    let written = writeln!(std::io::stdout().lock(), "{text}");
    written.map_err(|error| format!("cannot write to stdout: {error}"))?;
    Ok(ExitCode::SUCCESS)
}

/// As a part of a URL's query.
fn encode(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text += &format!("%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded() {
        assert_eq!(encode("127.0.0.1:80"), "127.0.0.1%3A80");
        assert_eq!(encode("1m 30s&x"), "1m%2030s%26x");
    }
}
