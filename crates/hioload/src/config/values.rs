//! Values of settings as people write them, where a number or a text alone would not do.
//!
//! Each has one spelling to write (`Display`) and reads it back (`FromStr`); `Serialize` and
//! `Deserialize` go through these.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use hioload_base::ByteSize;
use hioload_live::Policy;
use hioload_ws::handshake::OriginPolicy;
use serde::de::value::StrDeserializer;
use serde::de::{self, Deserializer, IntoDeserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::blocks::{Data, Durable, Verify};
use super::tls::{PemFile, TlsPair, Words};

/// Serialized as text; read from a text, a number or a truth value.
macro_rules! as_text {
    ($($name:ident),+) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Scalar).and_then(|text| text.parse().map_err(de::Error::custom))
            }
        }
    )+};
}

as_text!(
    Addr, AdminAddr, Numa, Size, Threshold, Span, Driver, Overrun, Level, Data, Durable, Verify,
    PemFile, TlsPair, Words
);

/// Any scalar, as the text it was written as.
struct Scalar;

impl Visitor<'_> for Scalar {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a number")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }
}

/// Where a listener is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addr(pub SocketAddr);

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Addr {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| {
            "this is no IP address with a port; write 127.0.0.1:9002, 0.0.0.0:9002 (all interfaces) \
             or [::1]:9002"
        })
    }
}

/// Where the admin listener is bound, if anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdminAddr(pub Option<SocketAddr>);

impl fmt::Display for AdminAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(addr) => addr.fmt(f),
            None => f.write_str("off"),
        }
    }
}

impl FromStr for AdminAddr {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self(None));
        }
        let addr = text.parse().map_err(
            |_| "this is neither `off` nor an IP address with a port such as 127.0.0.1:9090",
        )?;
        Ok(Self(Some(addr)))
    }
}

/// A NUMA node, or none in particular.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numa(pub Option<u32>);

impl fmt::Display for Numa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(node) => node.fmt(f),
            None => f.write_str("auto"),
        }
    }
}

impl FromStr for Numa {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" | "-1" => Ok(Self(None)),
            text => text.parse().map(|node| Self(Some(node))).map_err(
                |_| "this is neither `auto` nor the number of a node (`lscpu` lists them)",
            ),
        }
    }
}

/// A size that follows from other settings unless it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub Option<ByteSize>);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(size) => size.fmt(f),
            None => f.write_str("auto"),
        }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" {
            return Ok(Self(None));
        }
        text.parse()
            .map(|size| Self(Some(size)))
            .map_err(|error: hioload_base::ByteSizeError| {
                format!("this is neither `auto` nor a size: {error}")
            })
    }
}

/// A size from which on something is done, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold(pub Option<ByteSize>);

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(size) => size.fmt(f),
            None => f.write_str("off"),
        }
    }
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self(None));
        }
        text.parse()
            .map(|size| Self(Some(size)))
            .map_err(|error: hioload_base::ByteSizeError| {
                format!("this is neither `off` nor a size: {error}")
            })
    }
}

/// A length of time that may be unbounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Option<Duration>);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(span) => hioload_control::duration::serialize(span, f),
            None => f.write_str("off"),
        }
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self(None));
        }
        let text: StrDeserializer<'_, de::value::Error> = text.into_deserializer();
        hioload_control::duration::deserialize(text)
            .map(|span| Self(Some(span)))
            .map_err(|error| format!("this is neither `off` nor a duration: {error}"))
    }
}

/// A choice among words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$word_doc])* $variant,)+
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),+ })
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("there is no `{text}` here; choose one of {}", [$($word),+].join(", "))),
                }
            }
        }
    };
}

pub(super) use words;

words! {
    /// How I/O is done.
    Driver {
        /// io_uring where the system allows it, otherwise poll.
        Auto = "auto",
        /// io_uring (Linux 6.1 or later).
        Uring = "uring",
        /// epoll, kqueue or IOCP.
        Poll = "poll",
    }
}

words! {
    /// What becomes of a subscriber that does not keep up.
    Overrun {
        /// It is disconnected (1013).
        Disconnect = "disconnect",
        /// It misses what it did not read.
        Skip = "skip",
        /// It gets the latest publication only.
        Latest = "latest",
    }
}

words! {
    /// What is logged.
    Level {
        /// Nothing.
        Off = "off",
        /// What went wrong for good.
        Error = "error",
        /// What is not as it should be.
        Warn = "warn",
        /// Start, choices made, reload, shutdown.
        Info = "info",
        /// Sessions as they come and go.
        Debug = "debug",
        /// Messages.
        Trace = "trace",
    }
}

impl Overrun {
    pub(super) fn policy(self) -> Policy {
        match self {
            Self::Disconnect => Policy::Disconnect,
            Self::Skip => Policy::Skip,
            Self::Latest => Policy::Latest,
        }
    }
}

/// Which pages may connect, or change blocks: `any`, `same-host`, or a list of origins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// All.
    Any,
    /// Those of the host they connect to.
    SameHost,
    /// These, such as `https://example.com`.
    List(Vec<String>),
}

impl Origins {
    pub(super) fn policy(&self) -> OriginPolicy {
        match self {
            Self::Any => OriginPolicy::Any,
            Self::SameHost => OriginPolicy::SameHost,
            Self::List(origins) => OriginPolicy::List(origins.clone()),
        }
    }
}

impl Serialize for Origins {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Any => serializer.serialize_str("any"),
            Self::SameHost => serializer.serialize_str("same-host"),
            Self::List(origins) => origins.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Origins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Origins;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`any`, `same-host`, or a list such as [\"https://example.com\"]")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Origins, E> {
                match text {
                    "any" => Ok(Origins::Any),
                    "same-host" => Ok(Origins::SameHost),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Origins, A::Error> {
                let mut origins = Vec::new();
                while let Some(origin) = list.next_element()? {
                    origins.push(origin);
                }
                Ok(Origins::List(origins))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// Truth values, also as `on` and `off`.
pub(super) mod switch {
    use super::{Deserializer, Scalar, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(value: &bool, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(*value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<bool, D::Error> {
        match &*deserializer.deserialize_any(Scalar)? {
            "true" | "on" => Ok(true),
            "false" | "off" => Ok(false),
            other => Err(de::Error::custom(format!(
                "`{other}` is neither true (on) nor false (off)"
            ))),
        }
    }
}

/// Modules for values that may be left out: `with` for fields of `Option`, with `default` and `skip_serializing_if`.
macro_rules! given {
    ($($name:ident: $value:ty, $with:path;)+) => {$(
        pub(super) mod $name {
            use super::{Deserializer, Serializer};
            use $with as with;

            pub(crate) fn serialize<S: Serializer>(
                value: &Option<$value>,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                match value {
                    Some(value) => with::serialize(value, serializer),
                    None => serializer.serialize_none(),
                }
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Option<$value>, D::Error> {
                with::deserialize(deserializer).map(Some)
            }
        }
    )+};
}

given! {
    given_duration: std::time::Duration, hioload_control::duration;
    given_switch: bool, super::switch;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back<T: Serialize + for<'de> Deserialize<'de>>(text: &str) -> Result<String, String> {
        let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let value: T = serde_json::from_value(value).map_err(|error| error.to_string())?;
        Ok(serde_json::to_string(&value).expect("plain data"))
    }

    #[test]
    fn values_read_back_as_they_are_written() {
        for (read, text) in [
            (back::<Addr>(r#""[::1]:9002""#), r#""[::1]:9002""#),
            (back::<AdminAddr>(r#""off""#), r#""off""#),
            (back::<AdminAddr>(r#""127.0.0.1:1""#), r#""127.0.0.1:1""#),
            (back::<Numa>("0"), r#""0""#),
            (back::<Numa>("-1"), r#""auto""#),
            (back::<Size>("1048576"), r#""1MiB""#),
            (back::<Size>(r#""auto""#), r#""auto""#),
            (back::<Threshold>("16384"), r#""16KiB""#),
            (back::<Threshold>(r#""off""#), r#""off""#),
            (back::<Span>(r#""90s""#), r#""1m 30s""#),
            (back::<Span>(r#""off""#), r#""off""#),
            (back::<Driver>(r#""poll""#), r#""poll""#),
            (back::<Overrun>(r#""latest""#), r#""latest""#),
            (back::<Data>(r#""off""#), r#""off""#),
            (back::<Data>(r#""/var/x""#), r#""/var/x""#),
            (back::<Durable>(r#""group:2""#), r#""group:2""#),
            (back::<Verify>(r#""full""#), r#""full""#),
            (back::<Level>(r#""warn""#), r#""warn""#),
            (back::<Origins>(r#""any""#), r#""any""#),
            (back::<Origins>(r#"["a"]"#), r#"["a"]"#),
        ] {
            assert_eq!(read, Ok(text.to_owned()));
        }
    }

    #[test]
    fn refusals_say_what_is_wanted() {
        for (read, part) in [
            (back::<Addr>(r#""localhost:9002""#), "write 127.0.0.1:9002"),
            (back::<Addr>("9002"), "write 127.0.0.1:9002"),
            (back::<AdminAddr>(r#""on""#), "neither `off` nor"),
            (back::<Numa>("-2"), "`lscpu` lists them"),
            (back::<Size>(r#""3furlongs""#), "KiB, MiB"),
            (back::<Threshold>(r#""auto""#), "neither `off` nor a size"),
            (back::<Span>("10"), "250ms, 10s"),
            (back::<Driver>(r#""epoll""#), "auto, uring, poll"),
            (back::<Overrun>(r#""drop""#), "disconnect, skip, latest"),
            (back::<Level>(r#""loud""#), "off, error, warn"),
            (back::<Data>(r#""""#), "neither `off` nor a directory"),
            (back::<Durable>(r#""sometimes""#), "`durable`, `relaxed`"),
            (back::<Verify>(r#""some""#), "full, checksum"),
            (back::<Origins>(r#""all""#), "`same-host`"),
            (back::<Size>("[1]"), "a text or a number"),
        ] {
            let refusal = read.expect_err(part);
            assert!(refusal.contains(part), "{refusal}");
        }
    }
}
