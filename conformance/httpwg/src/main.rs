//! httpwg's cases of RFC 9113, one after the other, each on a connection of its own: `ADDRESS PATH FRAME_TIMEOUT_MS`.
//!
//! The suite's own program asks for `/` and nothing else; some cases want a path that takes a POST. Each case is named before it
//! begins, for one may end without a word: `Running test: NAME`, then `Test passed: NAME` or `Test failed: NAME`.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use buffet::IntoHalves;
use buffet::net::TcpStream;
use eyre::{Context, OptionExt};
use httpwg::{Config, Conn};
use tokio::task::LocalSet;

fn main() -> eyre::Result<()> {
    let mut args = std::env::args().skip(1);
    let mut next = || {
        args.next()
            .ok_or_eyre("usage: ADDRESS PATH FRAME_TIMEOUT_MS")
    };
    let addr: SocketAddr = next()?.parse().wrap_err("an address with a port")?;
    let path = next()?;
    let timeout = Duration::from_millis(next()?.parse().wrap_err("milliseconds")?);
    let config = Config {
        path,
        timeout,
        ..Config::default()
    };
    buffet::start(run(addr, Rc::new(config)))
}

// Of sections and cases by their names.
httpwg_macros::gen_catalog!(catalog);

async fn run(addr: SocketAddr, config: Rc<Config>) -> eyre::Result<()> {
    let mut cases = LocalSet::new();
    for (rfc, sections) in catalog::<TcpStream>() {
        for (section, tests) in sections {
            for (test, case) in tests {
                let name = format!("{rfc} :: {section} :: {test}");
                let stream = TcpStream::connect(addr).await.wrap_err("connecting")?;
                let connection = Conn::new(config.clone(), stream);
                cases.spawn_local(async move {
                    eprintln!("Running test: {name}");
                    match case(connection).await {
                        Ok(()) => eprintln!("Test passed: {name}"),
                        Err(error) => eprintln!("Test failed: {name}\n{error:?}"),
                    }
                });
                (&mut cases).await;
            }
        }
    }
    Ok(())
}
