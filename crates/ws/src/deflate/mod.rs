//! permessage-deflate: how it is agreed, and the two engines.
//!
//! One [`Deflater`] and one [`Inflater`] without context takeover serve any number of sessions, so
//! that an idle connection costs nothing; a session that agreed on takeover has its own.
//!
//! The engine is zlib-rs by way of `flate2`. It cannot compress with a window of 256 bytes
//! (8 bits), as zlib cannot in a raw stream; [`WINDOW_BITS_MIN`] is what it can.
//!
//! Spec: RFC 7692; RFC 1951.

mod deflater;
mod inflater;
pub(crate) mod negotiate;

pub use deflater::Deflater;
pub use inflater::Inflater;
pub use negotiate::{DeflateOffer, DeflateParams, DeflatePolicy};

/// The largest window, as the logarithm of its size in bytes.
pub const WINDOW_BITS_MAX: u8 = 15;

/// The smallest window the compressor has.
pub const WINDOW_BITS_MIN: u8 = 9;

/// What a flush ends in. The sender takes it off, the receiver puts it back (RFC 7692 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];
