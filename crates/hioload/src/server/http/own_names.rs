//! Names of fields that are this server's own, or nobody's standard.

use hioload_http::KnownName;
use hioload_http::hpack::Name;

/// The content was not what its name says when it was last read.
pub(super) static DAMAGED: KnownName =
    KnownName::new("Hioload-Damaged", Name::new("hioload-damaged"));

/// What the server promises of a change that it has made.
pub(super) static DURABILITY: KnownName =
    KnownName::new("Hioload-Durability", Name::new("hioload-durability"));

/// What a client that polls asks for next.
pub(super) static NEXT: KnownName = KnownName::new("Hioload-Next", Name::new("hioload-next"));

/// Keeps nginx from collecting events before it passes them on.
pub(super) static X_ACCEL_BUFFERING: KnownName =
    KnownName::new("X-Accel-Buffering", Name::new("x-accel-buffering"));
