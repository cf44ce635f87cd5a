//! Where an answer sends a client, and whether it goes there.
//!
//! ```text
//!   follow(status, Location) ─▶ None: the answer is for the caller
//!                            ├▶ Hop: where to, with which method, without which fields
//!                            └▶ RedirectFault: it must not, or cannot, be followed
//! ```
//!
//! Knows no connection and no bytes. Invariants: no more hops than the limit; the same method is never sent to the same
//! URL twice; what was said in private to one origin is not said to another.
//!
//! Spec: RFC 9110 10.2.2, 15.4; RFC 3986 5.

use std::fmt;

use super::method::Method;
use super::url::{Scheme, Url, UrlFault};

/// Bytes of a `Location`.
pub const LOCATION_SIZE_MAX: usize = 2048;

/// Whether answers are followed, and how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedirectPolicy {
    /// Hops at most; 0: a redirect is an answer as any other.
    pub hops_max: u8,
    /// From `https` to `http`, too.
    pub may_downgrade: bool,
}

impl RedirectPolicy {
    /// Nothing is followed: the caller sees the answer.
    pub const NONE: Self = Self {
        hops_max: 0,
        may_downgrade: false,
    };
}

impl Default for RedirectPolicy {
    fn default() -> Self {
        Self {
            hops_max: super::limits::HOPS.default as u8,
            may_downgrade: false,
        }
    }
}

/// Why a redirect is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RedirectFault {
    /// It would be one more than allowed.
    TooMany,
    /// It leads to where the request has been.
    Loop,
    /// It does not say where to.
    WithoutLocation,
    /// It names several places.
    SeveralLocations,
    /// What it names is longer than [`LOCATION_SIZE_MAX`].
    LocationTooLong,
    /// What it names cannot be gone to.
    Location(UrlFault),
    /// From `https` to `http`.
    Downgrade,
    /// The body would have to be sent again, and is gone.
    BodyGone,
}

impl fmt::Display for RedirectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => f.write_str("redirected more often than allowed"),
            Self::Loop => f.write_str("redirected to where the request has been"),
            Self::WithoutLocation => f.write_str("redirected without a Location"),
            Self::SeveralLocations => f.write_str("redirected to several places at once"),
            Self::LocationTooLong => {
                f.write_str("redirected to a Location of more than 2048 bytes")
            }
            Self::Location(fault) => write!(f, "redirected to a place that cannot be: {fault}"),
            Self::Downgrade => f.write_str("redirected from https to http"),
            Self::BodyGone => {
                f.write_str("redirected after a body was sent that cannot be sent again")
            }
        }
    }
}

impl std::error::Error for RedirectFault {}

/// The next request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Where to.
    pub url: Url,
    /// With which method.
    pub method: Method,
    /// Neither the body goes along nor the fields that describe it.
    pub drops_body: bool,
    /// Another origin: what was meant for the first one alone does not go along.
    pub drops_credentials: bool,
}

/// The way of one request.
#[derive(Clone, Debug)]
pub struct Redirects {
    policy: RedirectPolicy,
    /// Where it has been; the last one is where it is.
    path: Vec<(Method, Url)>,
}

impl Redirects {
    /// A request that is sent for the first time.
    #[must_use]
    pub fn new(policy: RedirectPolicy, method: Method, url: Url) -> Self {
        Self {
            policy,
            path: vec![(method, url)],
        }
    }

    /// Where the request is now.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.current().1
    }

    /// Hops so far.
    #[must_use]
    pub fn hop_count(&self) -> usize {
        self.path.len() - 1
    }

    /// What an answer asks for. `None`: nothing, or nothing that is to be followed.
    ///
    /// # Errors
    /// It asks to be followed, and is not.
    pub fn follow<'a>(
        &mut self,
        status: u16,
        locations: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Option<Hop>, RedirectFault> {
        // RFC 9110 15.4: 300 leaves the choice to people, 304 is about a cache, 305 and 306 are withdrawn.
        if self.policy.hops_max == 0 || !matches!(status, 301 | 302 | 303 | 307 | 308) {
            return Ok(None);
        }
        let (from_method, from) = self.current();
        let to = resolve(from, locations)?;
        if self.hop_count() >= usize::from(self.policy.hops_max) {
            return Err(RedirectFault::TooMany);
        }
        if from.scheme().is_tls() && !to.scheme().is_tls() && !self.policy.may_downgrade {
            return Err(RedirectFault::Downgrade);
        }
        let becomes_get = match status {
            303 => !matches!(from_method.as_str(), "GET" | "HEAD"),
            // RFC 9110 15.4.2, 15.4.3: what clients have always done.
            301 | 302 => from_method.as_str() == "POST",
            _ => false,
        };
        let method = match becomes_get {
            true => Method::GET,
            false => from_method.clone(),
        };
        let is_known =
            |(old, url): &(Method, Url)| *old == method && url.resource() == to.resource();
        if self.path.iter().any(is_known) {
            return Err(RedirectFault::Loop);
        }
        let hop = Hop {
            drops_credentials: from.origin() != to.origin(),
            drops_body: becomes_get,
            method: method.clone(),
            url: to.clone(),
        };
        self.path.push((method, to));
        Ok(Some(hop))
    }

    fn current(&self) -> &(Method, Url) {
        self.path.last().expect("invariant: never empty")
    }
}

fn resolve<'a>(
    from: &Url,
    mut locations: impl Iterator<Item = &'a [u8]>,
) -> Result<Url, RedirectFault> {
    let location = locations.next().ok_or(RedirectFault::WithoutLocation)?;
    if locations.any(|other| other != location) {
        return Err(RedirectFault::SeveralLocations);
    }
    if location.len() > LOCATION_SIZE_MAX {
        return Err(RedirectFault::LocationTooLong);
    }
    if location.is_empty() {
        return Err(RedirectFault::WithoutLocation);
    }
    let location =
        std::str::from_utf8(location).map_err(|_| RedirectFault::Location(UrlFault::Characters))?;
    let mut to = from.join(location).map_err(RedirectFault::Location)?;
    // A request for a resource is not led into another protocol.
    if to.scheme().is_websocket() && !matches!(from.scheme(), Scheme::Ws | Scheme::Wss) {
        return Err(RedirectFault::Location(UrlFault::Scheme));
    }
    to.inherit_fragment(from);
    Ok(to)
}
