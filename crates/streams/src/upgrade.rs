//! Custom protocols: how an application takes over a connection that asked for it.
//!
//! ```text
//!  request (Upgrade: token, or :protocol) ─▶ detect ─▶ handshake ─▶ 101 or 200 ─▶ ready ─▶ raw bytes both ways
//! ```
//!
//! A protocol is chosen by what the request declares, once, before anything of it was answered. Bytes in the
//! middle of a connection never are: any of them may look like any protocol.

use std::fmt;

use crate::StreamUid;

/// A request that asks for another protocol.
#[derive(Clone, Copy)]
pub struct UpgradeRequest<'a> {
    /// What it asks for: a token of `Upgrade` (RFC 9110 7.8), or `:protocol` (RFC 8441).
    pub token: &'a str,
    /// Its method.
    pub method: &'a str,
    /// Its path.
    pub path: &'a str,
    /// Its fields, by name.
    pub field: &'a dyn Fn(&str) -> Option<&'a [u8]>,
}

impl fmt::Debug for UpgradeRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} for {}", self.method, self.path, self.token)
    }
}

/// The request is answered with this status instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpgradeRefusal {
    /// From 400 to 599.
    pub status: u16,
}

/// A protocol of the application.
pub trait Upgrade {
    /// This request is for us. Looks at what it declares, and changes nothing.
    fn detect(&self, request: &UpgradeRequest<'_>) -> bool;

    /// Answers the request: fields for the response may be pushed, as (name, value).
    ///
    /// # Errors
    /// [`UpgradeRefusal`]: the request is refused and the connection stays as it is.
    fn handshake(
        &mut self,
        request: &UpgradeRequest<'_>,
        fields: &mut Vec<(String, String)>,
    ) -> Result<(), UpgradeRefusal>;

    /// The stream is open: from here on it carries our bytes.
    fn ready(&mut self, uid: StreamUid);
}

/// The protocols there are, asked in the order they were added.
pub struct Upgrades<P: ?Sized = dyn Upgrade> {
    protocols: Vec<Box<P>>,
}

impl<P: ?Sized> Default for Upgrades<P> {
    fn default() -> Self {
        let protocols = Vec::new();
        Self { protocols }
    }
}

impl<P: ?Sized> fmt::Debug for Upgrades<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upgrades({})", self.protocols.len())
    }
}

impl<P: ?Sized + Upgrade> Upgrades<P> {
    /// Adds a protocol.
    pub fn add(&mut self, protocol: Box<P>) {
        self.protocols.push(protocol);
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.protocols.is_empty()
    }

    /// The place of the first protocol that the request is for.
    #[must_use]
    pub fn detect(&self, request: &UpgradeRequest<'_>) -> Option<usize> {
        let mut protocols = self.protocols.iter();
        protocols.position(|protocol| protocol.detect(request))
    }

    /// The protocol in this place.
    pub fn get_mut(&mut self, place: usize) -> Option<&mut P> {
        self.protocols
            .get_mut(place)
            .map(|protocol| &mut **protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes one token, and wants a key.
    struct Lines {
        token: &'static str,
        ready: Vec<StreamUid>,
    }

    impl Upgrade for Lines {
        fn detect(&self, request: &UpgradeRequest<'_>) -> bool {
            request.token.eq_ignore_ascii_case(self.token)
        }

        fn handshake(
            &mut self,
            request: &UpgradeRequest<'_>,
            fields: &mut Vec<(String, String)>,
        ) -> Result<(), UpgradeRefusal> {
            let Some(key) = (request.field)("lines-key") else {
                return Err(UpgradeRefusal { status: 400 });
            };
            fields.push(("lines-accept".to_owned(), key.len().to_string()));
            Ok(())
        }

        fn ready(&mut self, uid: StreamUid) {
            self.ready.push(uid);
        }
    }

    #[test]
    fn what_a_request_declares_decides() {
        let mut upgrades: Upgrades = Upgrades::default();
        assert!(upgrades.is_empty());
        for token in ["lines", "other"] {
            let ready = Vec::new();
            upgrades.add(Box::new(Lines { token, ready }));
        }
        let field = |name: &str| (name == "lines-key").then_some(&b"abc"[..]);
        let request = |token| UpgradeRequest {
            token,
            method: "GET",
            path: "/",
            field: &field,
        };
        assert!(upgrades.detect(&request("websocket")).is_none());
        assert_eq!(upgrades.detect(&request("Other")), Some(1));
        let found = upgrades.get_mut(1).expect("there are two");
        let mut fields = Vec::new();
        assert_eq!(found.handshake(&request("Other"), &mut fields), Ok(()));
        assert_eq!(fields, [("lines-accept".to_owned(), "3".to_owned())]);
        let bare = UpgradeRequest {
            field: &|_| None,
            ..request("lines")
        };
        let place = upgrades.detect(&bare).expect("declared");
        let protocol = upgrades.get_mut(place).expect("it was found");
        let refused = protocol.handshake(&bare, &mut fields);
        assert_eq!(refused, Err(UpgradeRefusal { status: 400 }));
    }
}
