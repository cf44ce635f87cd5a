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
#[derive(Default)]
pub struct Upgrades {
    protocols: Vec<Box<dyn Upgrade>>,
}

impl fmt::Debug for Upgrades {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upgrades({})", self.protocols.len())
    }
}

impl Upgrades {
    /// Adds a protocol.
    pub fn add(&mut self, protocol: impl Upgrade + 'static) {
        self.protocols.push(Box::new(protocol));
    }

    /// The first protocol that the request is for.
    pub fn detect(&mut self, request: &UpgradeRequest<'_>) -> Option<&mut dyn Upgrade> {
        let mut protocols = self.protocols.iter_mut();
        let found = protocols.find(|protocol| protocol.detect(request))?;
        Some(&mut **found)
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
        let mut upgrades = Upgrades::default();
        for token in ["lines", "other"] {
            let ready = Vec::new();
            upgrades.add(Lines { token, ready });
        }
        let field = |name: &str| (name == "lines-key").then_some(&b"abc"[..]);
        let request = |token| UpgradeRequest {
            token,
            method: "GET",
            path: "/",
            field: &field,
        };
        assert!(upgrades.detect(&request("websocket")).is_none());
        let found = upgrades.detect(&request("Other")).expect("it is declared");
        let mut fields = Vec::new();
        assert_eq!(found.handshake(&request("Other"), &mut fields), Ok(()));
        assert_eq!(fields, [("lines-accept".to_owned(), "3".to_owned())]);
        let bare = UpgradeRequest {
            field: &|_| None,
            ..request("lines")
        };
        let refused = upgrades
            .detect(&bare)
            .expect("declared")
            .handshake(&bare, &mut fields);
        assert_eq!(refused, Err(UpgradeRefusal { status: 400 }));
    }
}
