//! RFC 6455 WebSocket and RFC 7692 permessage-deflate as pure state machines.
#![forbid(unsafe_code)]

mod close;
mod control;
pub mod deflate;
mod frame;
pub mod handshake;
mod limits;
mod mask;
mod offence;
mod session;
pub mod utf8;

pub use close::{CloseCode, CloseFrame};
pub use control::{CONTROL_FRAME_SIZE_MAX, CONTROL_PAYLOAD_SIZE_MAX, ControlFrame, ControlPayload};
pub use frame::{HEADER_SIZE_MAX, Header, Kind, Opcode, Outgoing, encode_header, header_size};
pub use limits::Limits;
pub use mask::mask;
pub use offence::{Misuse, Offence, OffenceKind};
pub use session::{Event, Role, Session};
