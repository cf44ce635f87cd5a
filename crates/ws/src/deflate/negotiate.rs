//! Negotiation of permessage-deflate: pure functions from text to parameters.
//!
//! Spec: RFC 7692 5 (extension negotiation), 7.1 (the four parameters).

use super::{WINDOW_BITS_MAX, WINDOW_BITS_MIN};
use crate::list;

const NAME: &str = "permessage-deflate";
const SERVER_NO_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";

/// The parameters in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeflateParams {
    /// The server compresses each message by itself.
    pub server_no_context_takeover: bool,
    /// The client compresses each message by itself.
    pub client_no_context_takeover: bool,
    /// The server's window, 9 to 15 bits.
    pub server_max_window_bits: u8,
    /// The client's window, 8 to 15 bits.
    pub client_max_window_bits: u8,
}

/// How a server takes offers. The default keeps no context either way: no memory per connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeflatePolicy {
    /// Whether the server gives context takeover up even if the client did not ask for that.
    pub server_no_context_takeover: bool,
    /// Whether the client has to give it up.
    pub client_no_context_takeover: bool,
    /// The largest window the server compresses with, 9 to 15 bits.
    pub server_max_window_bits: u8,
    /// The largest window the client is to compress with, 9 to 15 bits, if it can be told; if not,
    /// it is 15.
    pub client_max_window_bits: u8,
}

impl Default for DeflatePolicy {
    fn default() -> DeflatePolicy {
        DeflatePolicy {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            server_max_window_bits: WINDOW_BITS_MAX,
            client_max_window_bits: WINDOW_BITS_MAX,
        }
    }
}

/// What a client offers. The default asks for nothing and can be told a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeflateOffer {
    /// The server is to compress each message by itself.
    pub server_no_context_takeover: bool,
    /// The client is going to compress each message by itself.
    pub client_no_context_takeover: bool,
    /// The largest window of the server, 8 to 15 bits; `None` leaves it to the server.
    pub server_max_window_bits: Option<u8>,
    /// The largest window of the client, 9 to 15 bits, which the server may make smaller; `None`
    /// forbids that.
    pub client_max_window_bits: Option<u8>,
}

impl Default for DeflateOffer {
    fn default() -> DeflateOffer {
        DeflateOffer {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: None,
            client_max_window_bits: Some(WINDOW_BITS_MAX),
        }
    }
}

impl DeflateOffer {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(NAME.as_bytes());
        write_flag(out, SERVER_NO_TAKEOVER, self.server_no_context_takeover);
        write_flag(out, CLIENT_NO_TAKEOVER, self.client_no_context_takeover);
        if let Some(bits) = self.server_max_window_bits {
            write_bits(out, SERVER_BITS, bits);
        }
        match self.client_max_window_bits {
            // RFC 7692 7.1.2.2: without a value it only says that a value would be obeyed.
            Some(WINDOW_BITS_MAX) => write_flag(out, CLIENT_BITS, true),
            Some(bits) => write_bits(out, CLIENT_BITS, bits),
            None => {}
        }
    }
}

/// An offer that the server takes: what holds, and what the response says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    pub(crate) params: DeflateParams,
    /// Whether the client named the server's window, so that the response has to.
    names_server_bits: bool,
}

impl Agreement {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let params = &self.params;
        out.extend_from_slice(NAME.as_bytes());
        write_flag(out, SERVER_NO_TAKEOVER, params.server_no_context_takeover);
        write_flag(out, CLIENT_NO_TAKEOVER, params.client_no_context_takeover);
        if self.names_server_bits || params.server_max_window_bits < WINDOW_BITS_MAX {
            write_bits(out, SERVER_BITS, params.server_max_window_bits);
        }
        // Less than 15 only if the client said that it may be told.
        if params.client_max_window_bits < WINDOW_BITS_MAX {
            write_bits(out, CLIENT_BITS, params.client_max_window_bits);
        }
    }
}

fn write_flag(out: &mut Vec<u8>, name: &str, is_set: bool) {
    if is_set {
        out.extend_from_slice(b"; ");
        out.extend_from_slice(name.as_bytes());
    }
}

fn write_bits(out: &mut Vec<u8>, name: &str, bits: u8) {
    write_flag(out, name, true);
    out.extend_from_slice(format!("={bits}").as_bytes());
}

/// The element of an extension header breaks the grammar of RFC 6455 9.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The response has parameters that do not fit the offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadAnswer;

/// The server's answer to one element of `Sec-WebSocket-Extensions`; `None` declines it.
pub(crate) fn answer_offer(
    offer: &str,
    policy: Option<&DeflatePolicy>,
) -> Result<Option<Agreement>, Malformed> {
    let Some(asked) = read(offer)? else {
        return Ok(None);
    };
    let Some(policy) = policy else {
        return Ok(None);
    };

    let clamp = |bits: u8| bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX);
    let server_bits_asked = match asked.server_bits {
        Bits::Absent => WINDOW_BITS_MAX,
        // RFC 7692 7.1.2.1: it MUST have a value. 8 is legal, but more than our compressor can do.
        Bits::Bare | Bits::Value(..WINDOW_BITS_MIN) => return Ok(None),
        Bits::Value(bits) => bits,
    };
    let client_max_window_bits = match asked.client_bits {
        // RFC 7692 7.1.2.2: not offered means that the response MUST NOT have it.
        Bits::Absent => WINDOW_BITS_MAX,
        Bits::Bare => clamp(policy.client_max_window_bits),
        Bits::Value(bits) => bits.min(clamp(policy.client_max_window_bits)),
    };
    let params = DeflateParams {
        // RFC 7692 7.1.1.1: whoever takes an offer with it MUST answer with it.
        server_no_context_takeover: asked.server_no_takeover || policy.server_no_context_takeover,
        client_no_context_takeover: asked.client_no_takeover || policy.client_no_context_takeover,
        // RFC 7692 7.1.2.1: the same value or a smaller one.
        server_max_window_bits: server_bits_asked.min(clamp(policy.server_max_window_bits)),
        client_max_window_bits,
    };
    let names_server_bits = asked.server_bits != Bits::Absent;
    Ok(Some(Agreement {
        params,
        names_server_bits,
    }))
}

/// The client's check of the server's answer to `offer`.
pub(crate) fn check_answer(answer: &str, offer: &DeflateOffer) -> Result<DeflateParams, BadAnswer> {
    let answer = read(answer)
        .map_err(|Malformed| BadAnswer)?
        .ok_or(BadAnswer)?;
    // RFC 7692 7.1.1.1: an offer with it is taken with it or not at all.
    if offer.server_no_context_takeover && !answer.server_no_takeover {
        return Err(BadAnswer);
    }
    let server_max_window_bits = match (answer.server_bits, offer.server_max_window_bits) {
        (Bits::Absent, None) => WINDOW_BITS_MAX,
        // RFC 7692 7.1.2.1: no larger than what was asked for.
        (Bits::Value(bits), max) if bits <= max.unwrap_or(WINDOW_BITS_MAX) => bits,
        _ => return Err(BadAnswer),
    };
    let client_max_window_bits = match (answer.client_bits, offer.client_max_window_bits) {
        (Bits::Absent, max) => max.unwrap_or(WINDOW_BITS_MAX),
        // RFC 7692 7.1.2.2: only if it was offered, and no larger. Smaller than our compressor's
        // smallest cannot be obeyed.
        (Bits::Value(bits), Some(max)) if (WINDOW_BITS_MIN..=max).contains(&bits) => bits,
        _ => return Err(BadAnswer),
    };
    Ok(DeflateParams {
        server_no_context_takeover: answer.server_no_takeover,
        client_no_context_takeover: answer.client_no_takeover || offer.client_no_context_takeover,
        server_max_window_bits,
        client_max_window_bits,
    })
}

/// One element of an extension header, read by the rules that offers and answers share.
#[derive(Clone, Copy, Debug, Default)]
struct Parameters {
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_bits: Bits,
    client_bits: Bits,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Bits {
    #[default]
    Absent,
    /// The name without a value.
    Bare,
    Value(u8),
}

/// `None`: another extension, or parameters that RFC 7692 7.1 says to decline.
fn read(element: &str) -> Result<Option<Parameters>, Malformed> {
    let mut parts = list::split(element, ';');
    let name = parts
        .next()
        .filter(|name| list::is_token(name))
        .ok_or(Malformed)?;
    let mut is_acceptable = name.eq_ignore_ascii_case(NAME);
    let mut parameters = Parameters::default();
    for part in parts {
        // All of it is read, so that a malformed header is told from one that is declined.
        let (name, value) = list::parameter(part).ok_or(Malformed)?;
        is_acceptable = is_acceptable && parameters.add(name, value).is_some();
    }
    Ok(is_acceptable.then_some(parameters))
}

impl Parameters {
    /// `None` for an unknown name, an invalid value, or a name for the second time (RFC 7692 7.1).
    fn add(&mut self, name: &str, value: Option<&str>) -> Option<()> {
        let is_flag = |flag: bool| !flag && value.is_none();
        match name {
            SERVER_NO_TAKEOVER if is_flag(self.server_no_takeover) => {
                self.server_no_takeover = true;
            }
            CLIENT_NO_TAKEOVER if is_flag(self.client_no_takeover) => {
                self.client_no_takeover = true;
            }
            SERVER_BITS if self.server_bits == Bits::Absent => self.server_bits = bits(value)?,
            CLIENT_BITS if self.client_bits == Bits::Absent => self.client_bits = bits(value)?,
            _ => return None,
        }
        Some(())
    }
}

/// A decimal number from 8 to 15 without leading zeros (RFC 7692 7.1.2.1, 7.1.2.2).
fn bits(value: Option<&str>) -> Option<Bits> {
    let Some(value) = value else {
        return Some(Bits::Bare);
    };
    const VALUES: [&str; 8] = ["8", "9", "10", "11", "12", "13", "14", "15"];
    let index = VALUES.iter().position(|legal| *legal == value)?;
    Some(Bits::Value(8 + index as u8))
}
