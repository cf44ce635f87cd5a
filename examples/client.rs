//! Sends its arguments as messages and prints what comes back. Run `hioload echo` or
//! `cargo run --release --example echo`, then `cargo run --release --example client -- hello you`.

use hioload::CloseCode;
use hioload::client::Client;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut client = Client::connect("ws://127.0.0.1:9002")?;
    for message in std::env::args().skip(1) {
        client.send_text(&message)?;
        println!("{:?}", client.recv()?);
    }
    let closing = client.close(CloseCode::NORMAL, "that is all")?;
    println!("closed: {closing}");
    Ok(())
}
