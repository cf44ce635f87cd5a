//! What a peer can do to hurt, each attack against the limit that is there for it: as much as the limit allows is taken
//! and somebody else's request is answered; one more ends the attack with the reason counted; and without the limit there
//! is no end, so that it is this limit that holds, not another one.

#[path = "../h2_kit/mod.rs"]
mod h2_kit;

mod frames;
mod heads;
mod silence;
mod streams;
mod target;
mod usage;
