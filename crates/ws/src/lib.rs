//! RFC 6455 WebSocket and RFC 7692 permessage-deflate as pure state machines.
