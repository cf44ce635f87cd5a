//! Streams of a running server: listed, counted, closed.
//!
//! ```text
//!   GET /streams?kind=websocket&peer=127.0.0.1&idle=10s&autonomous=true&limit=100   the first that match
//!   GET /streams/stat                                                               counters of each worker
//!   DELETE /streams/UID                                                             close one
//! ```
//!
//! A list gives UIDs to sessions that have none, unless `named=true` asks for those only that have one already.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hyper::StatusCode;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};
use serde_json::{Map, Value, json};

use super::Answer;
use crate::control::Control;
use crate::streams::{
    Filter, Kind, PeerFilter, Refusal, Rejected, StreamError, StreamRow, StreamStats, StreamUid,
};

/// How long workers may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Streams told of unless more are asked for, and at most.
const LIMIT: usize = 1000;
const LIMIT_MAX: usize = 1_000_000;

/// What a list is asked for.
#[derive(Debug, PartialEq)]
struct Query {
    filter: Filter,
    limit: usize,
    named_only: bool,
}

/// `GET /streams`.
pub(super) fn list(control: &Control, query: &str) -> Answer {
    let query = match parse(query) {
        Ok(query) => query,
        Err(why) => return Answer::text(StatusCode::BAD_REQUEST, format!("{why}\n")),
    };
    let streams = control.streams();
    let all_named = query.named_only || streams.name_all(TIMEOUT);
    let list = streams.list(&query.filter, query.limit, TIMEOUT);
    let rows: Vec<Value> = list.streams.iter().map(row_json).collect();
    Answer::json(&json!({ "streams": rows, "is_complete": list.is_complete && all_named }))
}

/// `GET /streams/stat`.
pub(super) fn stat(control: &Control) -> Answer {
    let workers = control.streams().stats(TIMEOUT);
    let mut total = StreamStats::default();
    for worker in &workers {
        total += *worker;
    }
    let by_worker: Vec<Value> = workers.iter().map(stats_json).collect();
    Answer::json(&json!({ "totals": stats_json(&total), "by_worker": by_worker }))
}

/// `DELETE /streams/UID`.
pub(super) fn close(control: &Control, uid: &str) -> Answer {
    let uid: StreamUid = match uid.parse() {
        Ok(uid) => uid,
        Err(error) => return Answer::text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    match control.streams().close(uid, TIMEOUT) {
        Ok(()) => Answer::json(&json!({ "closed": uid.to_string() })),
        Err(error) => {
            let status = match error {
                StreamError::Refused(Refusal::Gone) => StatusCode::NOT_FOUND,
                StreamError::Refused(_) => StatusCode::CONFLICT,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            };
            Answer::text(status, format!("{error}\n"))
        }
    }
}

fn parse(query: &str) -> Result<Query, String> {
    let mut parsed = Query {
        filter: Filter::default(),
        limit: LIMIT,
        named_only: false,
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value);
        let wrong = |why: &dyn std::fmt::Display| format!("{name}={value}: {why}");
        match name {
            "kind" => parsed.filter.kind = Some(value.parse::<Kind>().map_err(|e| wrong(&e))?),
            "peer" => parsed.filter.peer = peer(&value).ok_or_else(|| wrong(&"no address"))?,
            "idle" => {
                let text: StrDeserializer<'_, Error> = value.as_str().into_deserializer();
                let idle = hioload_control::duration::deserialize(text).map_err(|e| wrong(&e))?;
                parsed.filter.idle_min = Some(idle);
            }
            "autonomous" => parsed.filter.autonomous_only = truth(&value).map_err(|e| wrong(&e))?,
            "named" => parsed.named_only = truth(&value).map_err(|e| wrong(&e))?,
            "limit" => {
                let limit = value.parse().ok().filter(|limit| *limit <= LIMIT_MAX);
                let why = format!("a number up to {LIMIT_MAX} is wanted");
                parsed.limit = limit.ok_or_else(|| wrong(&why))?;
            }
            _ => {
                return Err(format!(
                    "{name}: ask for kind, peer, idle, autonomous, named or limit"
                ));
            }
        }
    }
    Ok(parsed)
}

fn truth(value: &str) -> Result<bool, &'static str> {
    match value {
        "" | "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("true or false is wanted"),
    }
}

fn peer(value: &str) -> Option<PeerFilter> {
    let exact = value.parse::<SocketAddr>().map(PeerFilter::Exact);
    exact
        .or_else(|_| value.parse::<IpAddr>().map(PeerFilter::Ip))
        .ok()
}

/// Undoes percent-encoding; what is none stays as it is, and fits nothing.
fn decode(value: &str) -> String {
    let mut parts = value.split('%');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(u8::is_ascii) {
            Some(byte) => {
                text.push(char::from(byte));
                text.push_str(&part[2..]);
            }
            None => {
                text.push('%');
                text.push_str(part);
            }
        }
    }
    text
}

fn row_json(row: &StreamRow) -> Value {
    json!({
        "uid": row.uid.to_string(),
        "worker": row.uid.worker(),
        "kind": row.kind.name(),
        "peer": row.peer.map(|peer| peer.to_string()),
        "is_autonomous": row.is_autonomous,
        "owner": row.owner.map(|owner| owner.to_string()),
        "age_seconds": row.age.as_secs_f64(),
        "idle_seconds": row.idle.as_secs_f64(),
        "bytes_in": row.bytes_in,
        "bytes_out": row.bytes_out,
    })
}

fn stats_json(stats: &StreamStats) -> Value {
    let active: Map<String, Value> = Kind::ALL
        .iter()
        .map(|kind| (kind.name().to_owned(), stats.active[kind.index()].into()))
        .collect();
    let rejected: Map<String, Value> = Rejected::NAMES
        .iter()
        .zip(stats.rejected)
        .map(|(name, count)| ((*name).to_owned(), count.into()))
        .collect();
    json!({
        "created": stats.created,
        "destroyed": stats.destroyed,
        "active": active,
        "autonomous": stats.autonomous,
        "detached": stats.detached,
        "attached": stats.attached,
        "local_hits": stats.local_hits,
        "cross_worker_lookups": stats.cross_worker_lookups,
        "misses": stats.misses,
        "rejected": rejected,
        "idle_closed": stats.idle_closed,
        "writes_taken": stats.writes_taken,
        "writes_refused": stats.writes_refused,
        "commands_full": stats.commands_full,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_what_is_wanted() {
        let query = parse("kind=sse&peer=127.0.0.1%3A80&idle=1m%2030s&autonomous&limit=5");
        let filter = Filter {
            kind: Some(Kind::Sse),
            peer: PeerFilter::Exact(([127, 0, 0, 1], 80).into()),
            idle_min: Some(Duration::from_secs(90)),
            autonomous_only: true,
        };
        let expected = Query {
            filter,
            limit: 5,
            named_only: false,
        };
        assert_eq!(query, Ok(expected));
        let any = parse("peer=%3A%3A1").expect("an address");
        assert_eq!(
            any.filter.peer,
            PeerFilter::Ip(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]))
        );
        for wrong in [
            "kind=x",
            "peer=x",
            "idle=x",
            "limit=-1",
            "limit=1000001",
            "named=2",
            "x=1",
        ] {
            let why = parse(wrong).expect_err(wrong);
            assert!(
                why.contains(wrong.split('=').next().unwrap_or(wrong)),
                "{why}"
            );
        }
    }

    #[test]
    fn what_is_no_encoding_stays() {
        for (text, decoded) in [
            ("a", "a"),
            ("%41b", "Ab"),
            ("%", "%"),
            ("%4", "%4"),
            ("%zz", "%zz"),
            ("%ff", "%ff"),
        ] {
            assert_eq!(decode(text), decoded);
        }
    }
}
