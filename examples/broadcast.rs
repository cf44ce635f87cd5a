//! Sends every message to everybody else. Run with `cargo run --release --example broadcast`, then
//! connect several WebSocket clients to ws://127.0.0.1:9002.

use hioload::{Broadcast, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let addr = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:9002".to_owned());
    let server = Server::builder()
        .addr(addr.parse()?)
        .workers(1)
        .handler(|_| Broadcast::new("everybody"))
        .build()?;
    println!("listening on {}", server.local_addr());
    server.run()?;
    Ok(())
}
