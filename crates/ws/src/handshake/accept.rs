//! The server's verdict on a legal handshake, and the response: 101, or the fields of a 200 (RFC 8441).

use super::accept_value;
use super::head;
use super::refusal::Refusal;
use super::request::Request;
use crate::deflate::{DeflateParams, DeflatePolicy, negotiate};
use crate::list;

/// Which pages may connect. A request without an `Origin` passes: browsers always send one, and
/// other clients could send any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OriginPolicy {
    /// All.
    #[default]
    Any,
    /// Those with one of these origins, such as `https://example.com`.
    List(Vec<String>),
    /// Those whose origin has the same host and port as the `Host` header.
    SameHost,
}

/// What a server takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcceptPolicy {
    /// The subprotocols spoken here. A client that offers none of them gets none.
    pub protocols: Vec<String>,
    /// Which pages may connect.
    pub origins: OriginPolicy,
    /// Whether and how permessage-deflate is taken.
    pub deflate: Option<DeflatePolicy>,
}

/// What was agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The index of the chosen subprotocol in [`AcceptPolicy::protocols`].
    pub protocol: Option<usize>,
    /// The parameters of permessage-deflate, when it is in use.
    pub deflate: Option<DeflateParams>,
}

/// Holds a request against the policy and appends the 101 response to `out`.
///
/// # Errors
/// [`Refusal`]; `out` is as it was.
pub fn accept(
    request: &Request<'_>,
    policy: &AcceptPolicy,
    out: &mut Vec<u8>,
) -> Result<Accepted, Refusal> {
    let start = out.len();
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: ",
    );
    out.extend_from_slice(&accept_value(request.key().as_bytes()));
    out.extend_from_slice(b"\r\n");
    let accepted = agree(request, policy, out);
    match accepted {
        Ok(_) => out.extend_from_slice(b"\r\n"),
        Err(_) => out.truncate(start),
    }
    accepted
}

/// Holds a request of HTTP/2 ([`Request::extended`]) against the policy and appends the fields of the
/// response to `out`, as lines; its status is 200 (RFC 8441 5).
///
/// # Errors
/// [`Refusal`]; `out` is as it was.
pub fn accept_extended(
    request: &Request<'_>,
    policy: &AcceptPolicy,
    out: &mut Vec<u8>,
) -> Result<Accepted, Refusal> {
    let start = out.len();
    let accepted = agree(request, policy, out);
    if accepted.is_err() {
        out.truncate(start);
    }
    accepted
}

/// What is agreed, said in whole lines.
fn agree(
    request: &Request<'_>,
    policy: &AcceptPolicy,
    out: &mut Vec<u8>,
) -> Result<Accepted, Refusal> {
    if !is_origin_welcome(request, &policy.origins) {
        // RFC 6455 4.2.2, 4: 403.
        return Err(Refusal::new(403, "this origin may not connect here"));
    }
    // RFC 6455 4.1, 10: the client's order is its preference.
    let protocol = request
        .protocols()
        .find_map(|offered| policy.protocols.iter().position(|spoken| spoken == offered));
    if let Some(protocol) = protocol {
        out.extend_from_slice(b"Sec-WebSocket-Protocol: ");
        out.extend_from_slice(policy.protocols[protocol].as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    let deflate = choose_extensions(request, policy, out)?;
    Ok(Accepted { protocol, deflate })
}

fn choose_extensions(
    request: &Request<'_>,
    policy: &AcceptPolicy,
    out: &mut Vec<u8>,
) -> Result<Option<DeflateParams>, Refusal> {
    // RFC 6455 9.1: a header that breaks the grammar MUST fail the connection.
    let malformed = Refusal::new(400, "Sec-WebSocket-Extensions is malformed");
    let mut chosen = None;
    for value in request.headers().values("Sec-WebSocket-Extensions") {
        let value = head::text(value).map_err(|_| malformed)?;
        for offer in list::split(value, ',') {
            let answer = negotiate::answer_offer(offer, policy.deflate.as_ref());
            // RFC 7692 5: the first offer that is acceptable.
            chosen = chosen.or(answer.map_err(|_| malformed)?);
        }
    }
    Ok(chosen.map(|agreement| {
        out.extend_from_slice(b"Sec-WebSocket-Extensions: ");
        agreement.write(out);
        out.extend_from_slice(b"\r\n");
        agreement.params
    }))
}

fn is_origin_welcome(request: &Request<'_>, policy: &OriginPolicy) -> bool {
    let Some(origin) = request.origin() else {
        return true;
    };
    match policy {
        OriginPolicy::Any => true,
        OriginPolicy::List(list) => list.iter().any(|one| one.eq_ignore_ascii_case(origin)),
        OriginPolicy::SameHost => origin.split_once("://").is_some_and(|(scheme, authority)| {
            let port = if scheme.eq_ignore_ascii_case("https") {
                ":443"
            } else {
                ":80"
            };
            without_port(authority, port).eq_ignore_ascii_case(without_port(request.host(), port))
        }),
    }
}

/// Without the scheme's own port, which both sides may or may not write.
fn without_port<'a>(authority: &'a str, port: &str) -> &'a str {
    authority.strip_suffix(port).unwrap_or(authority)
}
