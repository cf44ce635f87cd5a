//! The client against a server's end made of the protocol crate alone, in memory and over a
//! socket: what it says, what it takes, and what it makes of a server that misbehaves.

#[path = "client/blocking.rs"]
mod blocking;
#[path = "client/fake.rs"]
mod fake;
#[path = "client/machine.rs"]
mod machine;
