//! A store in a running server, over several connections.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use hioload::http_client::{Method, RequestBody};
use hioload_blocks::Hash;
use serde_json::Value;

use super::access::{Access, Entry, Head, Intake, Page, Source, Trouble};
use super::server::{Answer, CallError, Server};

/// How often, and how long apart, a server is asked whether it knows of damage it cut an answer for.
const DAMAGE_LOOKS: u32 = 10;
const DAMAGE_PAUSE: Duration = Duration::from_millis(50);

/// A server's store.
pub(super) struct Remote {
    server: Server,
    /// Requests at a time.
    count: usize,
}

impl Remote {
    pub(super) fn new(server: Server, count: usize) -> Self {
        Self { server, count }
    }

    /// Does all jobs, several at a time; results are in the order of the jobs.
    fn each<T: Sync, R: Send>(&self, jobs: &[T], work: impl Fn(&Server, &T) -> R + Sync) -> Vec<R> {
        if jobs.len() < 2 || self.count < 2 {
            return jobs.iter().map(|job| work(&self.server, job)).collect();
        }
        let left = Mutex::new(jobs.iter().enumerate());
        let done = Mutex::new(Vec::with_capacity(jobs.len()));
        thread::scope(|scope| {
            for _ in 0..self.count.min(jobs.len()) {
                scope.spawn(|| {
                    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
                    while let Some((place, job)) = next() {
                        let result = work(&self.server, job);
                        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                        done.push((place, result));
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_unstable_by_key(|(place, _)| *place);
        done.into_iter().map(|(_, result)| result).collect()
    }

    fn json(&self, target: &str) -> Result<Value, Trouble> {
        let answer = self.server.call(&self.server.request(Method::GET, target));
        json_of(&answer.map_err(lost)?)
    }
}

impl Access for Remote {
    fn heads(&mut self, hashes: &[Hash]) -> Vec<Result<Head, Trouble>> {
        self.each(hashes, head)
    }

    fn contents(&mut self, hashes: &[Hash], source: Source) -> Vec<Result<Vec<u8>, Trouble>> {
        self.each(hashes, |server, hash| content(server, hash, source))
    }

    fn delete(&mut self, hashes: &[Hash], with_references: bool) -> Vec<Result<(), Trouble>> {
        if with_references {
            let why = "references are dropped by force in a directory only";
            return vec![Err(Trouble::Lost(why.to_owned())); hashes.len()];
        }
        self.each(hashes, |server, hash| {
            let answer = server.call(&server.request(Method::DELETE, &path(hash)));
            let answer = answer.map_err(lost)?;
            if answer.status == 204 {
                Ok(())
            } else {
                Err(refused(&answer))
            }
        })
    }

    fn page(&mut self, after: Option<Hash>, limit: u64) -> Result<Page, Trouble> {
        let after = after.map(|after| format!("&after={after}"));
        let target = format!("/blocks?limit={limit}{}", after.unwrap_or_default());
        let value = self.json(&target)?;
        page_of(&value).ok_or_else(|| unknown("that is no list of blocks"))
    }

    fn figures(&mut self) -> Result<Value, Trouble> {
        self.json("/stats")
    }
}

impl Intake for Remote {
    fn missing(&mut self, hashes: &[Hash]) -> Result<Vec<Hash>, Trouble> {
        let lines: String = hashes.iter().map(|hash| format!("{hash}\n")).collect();
        let server = &self.server;
        let request = server.request(Method::POST, "/blocks:missing");
        let request = request.body(RequestBody::Bytes(lines.as_bytes().into()));
        let answer = server.call_briefly(&request);
        let answer = answer.map_err(lost)?;
        if answer.busy_for().is_some() {
            // A PUT of what is there is answered as well.
            return Ok(hashes.to_vec());
        }
        let value = json_of(&answer)?;
        let missing = value["missing"].as_array();
        let missing = missing.and_then(|list| list.iter().map(hash_of).collect());
        missing.ok_or_else(|| unknown("that is no list of hashes"))
    }

    fn put(&mut self, contents: &[(Hash, &[u8])]) -> Vec<Result<bool, Trouble>> {
        self.each(contents, |server, (hash, content)| {
            let request = server.request(Method::PUT, &path(hash));
            let answer = server.call(&request.body(RequestBody::Bytes((*content).into())));
            let answer = answer.map_err(lost)?;
            match answer.status {
                201 => Ok(true),
                200 => Ok(false),
                // Neither goes away by putting something else.
                503 | 507 => Err(Trouble::Lost(answer.line())),
                _ => Err(refused(&answer)),
            }
        })
    }
}

fn path(hash: &Hash) -> String {
    format!("/blocks/{hash}")
}

fn head(server: &Server, hash: &Hash) -> Result<Head, Trouble> {
    let answer = server.call(&server.request(Method::HEAD, &path(hash)));
    let answer = answer.map_err(lost)?;
    match (answer.status, answer.length) {
        (200, Some(length)) => Ok(Head {
            length,
            is_damaged: answer.is_damaged,
        }),
        // A HEAD says nothing but this.
        (404, _) => Err(Trouble::Missing),
        _ => Err(refused(&answer)),
    }
}

fn content(server: &Server, hash: &Hash, source: Source) -> Result<Vec<u8>, Trouble> {
    let mut request = server.request(Method::GET, &path(hash));
    if source == Source::Medium {
        let marked = request.field("Cache-Control", "no-cache");
        request = marked.expect("invariant: a legal field");
    }
    let answer = match server.call(&request) {
        Ok(answer) => answer,
        Err(error) if error.is_begun => return Err(cut(server, hash, error)),
        Err(error) => return Err(lost(error)),
    };
    match answer.status {
        200 if Hash::of(&answer.body) == *hash => Ok(answer.body),
        200 => Err(Trouble::Damaged(
            "the content that came has another hash".to_owned(),
        )),
        500 if answer.is_damaged => {
            let line = answer.line();
            // What it is, without what to do, which is said anyway.
            let line = line.strip_prefix("the block is damaged: ").unwrap_or(&line);
            let what = line.split_once(';').map_or(line, |(what, _)| what);
            Err(Trouble::Damaged(what.to_owned()))
        }
        _ => Err(refused(&answer)),
    }
}

/// A server that finds damage when a part of the content is out can do no more than cut the connection. It
/// knows then.
fn cut(server: &Server, hash: &Hash, error: CallError) -> Trouble {
    for look in 0..DAMAGE_LOOKS {
        if look > 0 {
            thread::sleep(DAMAGE_PAUSE);
        }
        match head(server, hash) {
            Ok(Head {
                is_damaged: true, ..
            }) => {
                return Trouble::Damaged("the server found it so while it sent it".to_owned());
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    lost(error)
}

fn lost(error: CallError) -> Trouble {
    Trouble::Lost(error.text)
}

fn refused(answer: &Answer) -> Trouble {
    let line = answer.line();
    match answer.status {
        404 if line == Trouble::Missing.to_string() => Trouble::Missing,
        // What the path of a WebSocket answers.
        404 | 405 | 426 => Trouble::Lost(format!(
            "this server keeps no blocks ({line}): is it `hioload serve`, without --data off?"
        )),
        status => Trouble::Refused(format!("{line} (status {status})")),
    }
}

fn unknown(what: &str) -> Trouble {
    Trouble::Lost(format!("the server's answer is not understood: {what}"))
}

fn json_of(answer: &Answer) -> Result<Value, Trouble> {
    if answer.status != 200 {
        return Err(refused(answer));
    }
    serde_json::from_slice(&answer.body).map_err(|error| unknown(&error.to_string()))
}

fn hash_of(value: &Value) -> Option<Hash> {
    Hash::from_hex(value.as_str()?).ok()
}

fn page_of(value: &Value) -> Option<Page> {
    let entry = |value: &Value| {
        Some(Entry {
            hash: hash_of(&value["hash"])?,
            length: value["length"].as_u64()?,
            created_ms: value["created_ms"].as_u64()?,
            is_damaged: value["is_damaged"].as_bool()?,
        })
    };
    let entries = value["blocks"].as_array()?;
    let next = match &value["next"] {
        Value::Null => None,
        next => Some(hash_of(next)?),
    };
    Some(Page {
        entries: entries.iter().map(entry).collect::<Option<_>>()?,
        unreadable: value["unreadable"].as_u64()?,
        next,
    })
}

#[cfg(test)]
mod tests {
    use super::super::server::tests::serve;
    use super::*;

    #[test]
    fn a_server_too_busy_to_say_what_is_missing_is_sent_everything() {
        let busy = |after| {
            format!("HTTP/1.1 503 Busy\r\nRetry-After: {after}\r\nContent-Length: 0\r\n\r\n")
        };
        let (shortly, long) = (busy(0), busy(60));
        let hashes = [1, 2].map(|n| Hash::of(&[n]));
        for answers in [&[&*shortly, &*shortly][..], &[&*shortly, &*long], &[&*long]] {
            let (server, thread) = serve(&[answers]);
            let missing = Remote::new(server, 1).missing(&hashes);
            assert_eq!(missing, Ok(hashes.to_vec()));
            let requests = thread.join().expect("no panic");
            assert_eq!(requests.len(), answers.len(), "{answers:?}");
        }
    }
}
