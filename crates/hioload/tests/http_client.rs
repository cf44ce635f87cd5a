//! The HTTP client over real sockets: hostile servers by hand, and hyper over both versions.

#[path = "http_client/embedded.rs"]
mod embedded;
#[path = "http_client/events.rs"]
mod events;
#[path = "http_client/hostile.rs"]
mod hostile;
#[path = "http_client/live.rs"]
mod live;
#[path = "http_client/peers.rs"]
mod peers;
#[path = "http_client/placement.rs"]
mod placement;
#[path = "http_client/racing.rs"]
mod racing;
#[path = "http_client/secure.rs"]
mod secure;
