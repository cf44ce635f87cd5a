//! Every limit of TLS: unit, default, reason, and what happens when it is reached.
//!
//! [`LIMITS`] has the rows that can be configured, and those that RFC 8446 or rustls fix: they are there to be known.

use hioload_base::Limit;

/// Plain bytes of one record (RFC 8446 5.1).
pub(super) const RECORD_PLAIN_MAX: usize = 1 << 14;
/// Bytes of one record behind its header: 2^14 + 2048 in TLS 1.2 (RFC 5246 6.2.3); TLS 1.3 allows 256 more than
/// plain.
pub(super) const RECORD_WIRE_MAX: usize = (1 << 14) + 2048;
/// Bytes in front of a record: type, version, length.
pub(super) const HEADER_SIZE: usize = 5;

/// What a record is longer than its plain bytes, at most: header 5, explicit nonce 8, tag 16 (TLS 1.2); header
/// 5, type 1, tag 16 (TLS 1.3), and a key update in front of it.
pub const RECORD_OVERHEAD: usize = 64;

/// Plain bytes that one [`Event::Data`](super::Event::Data) holds at most, but for the last record's.
pub const DATA_SIZE: usize = 64 << 10;

/// Bytes of user memory that an idle session holds: measured, and held by a test.
pub const SESSION_SIZE: usize = 4 << 10;

/// Bytes kept of records that are not complete.
pub const SPILL_SIZE: Limit = fixed(
    "tls.spill_size_max",
    "bytes",
    (64 << 10) + HEADER_SIZE as u64 + RECORD_WIRE_MAX as u64,
    "one handshake message of 64 KiB and one record: a client's chain of certificates, at the worst",
    "the session fails (decode_error)",
);

/// Bytes of one record behind its header.
const RECORD: Limit = fixed(
    "tls.record_size_max",
    "bytes",
    RECORD_WIRE_MAX as u64,
    "RFC 5246 6.2.3, RFC 8446 5.2: both ends hold one record whole",
    "record_overflow, the session fails before the record is read",
);

/// Sessions that may be resumed by their id.
pub(super) const CACHE: Limit = Limit {
    name: "tls.cache_entries",
    unit: "sessions",
    default: 1024,
    min: 1,
    max: 1 << 20,
    reason: "TLS 1.2 clients without tickets, and a client's own tickets; tickets of a server are not kept by it",
    reached: "the oldest is forgotten: a full handshake",
};

/// Certificate chains of one acceptor.
pub const CHAINS: Limit = Limit {
    name: "tls.chains_max",
    unit: "chains",
    default: 1024,
    min: 1,
    max: 1 << 16,
    reason: "each is read, parsed and held at start and at each reload",
    reached: "refused at start; a reload keeps what was",
};

/// Bytes of one file with certificates or keys.
pub const FILE_SIZE: Limit = Limit {
    name: "tls.file_size_max",
    unit: "bytes",
    default: 4 << 20,
    min: 1,
    max: 4 << 20,
    reason: "a bundle of all public roots is below 1 MiB: more is the wrong file",
    reached: "refused at start; a reload keeps what was",
};

/// Protocols offered in one handshake.
pub const ALPN_COUNT: Limit = Limit {
    name: "tls.alpn_max",
    unit: "protocols",
    default: 2,
    min: 0,
    max: 16,
    reason: "compared with the peer's one by one",
    reached: "refused at start",
};

/// Tickets given to a client after a full handshake.
pub(super) const TICKETS: Limit = fixed(
    "tls.tickets",
    "tickets",
    2,
    "RFC 8446 C.4: a ticket is for one use; two serve a client that opens two connections at once",
    "the client asks for a full handshake",
);

/// The rows of `docs/limits.md`.
pub const LIMITS: &[Limit] = &[
    RECORD, SPILL_SIZE, CACHE, TICKETS, CHAINS, FILE_SIZE, ALPN_COUNT,
];

/// A row that nothing configures.
const fn fixed(
    name: &'static str,
    unit: &'static str,
    value: u64,
    reason: &'static str,
    reached: &'static str,
) -> Limit {
    Limit {
        name,
        unit,
        default: value,
        min: value,
        max: value,
        reason,
        reached,
    }
}
