//! Lists and tokens of HTTP header values (RFC 9110 5.6).

/// Whether `text` is a token: what names of headers, subprotocols and extensions are made of.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

fn is_token_byte(byte: u8) -> bool {
    // RFC 9110 5.6.2
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Splits at `separator`, trims, and leaves empty elements out, which a recipient must accept
/// (RFC 9110 5.6.1.2). Quotes need no care: a separator is no part of a token, not even of a quoted
/// one, so that what is left of it is malformed.
pub(crate) fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    text.split(separator)
        .map(trim)
        .filter(|element| !element.is_empty())
}

/// Without optional whitespace around it (RFC 9110 5.6.3).
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Whether the list has this token, letter case aside.
pub(crate) fn has_token(list: &str, token: &str) -> bool {
    split(list, ',').any(|element| element.eq_ignore_ascii_case(token))
}

/// A parameter `name`, `name=token` or `name="token"`, or `None` when it is none of them. Escapes
/// stay in the value: nothing that anybody means needs them.
pub(crate) fn parameter(text: &str) -> Option<(&str, Option<&str>)> {
    let Some((name, value)) = text.split_once('=') else {
        return is_token(text).then_some((text, None));
    };
    // RFC 6455 9.1: no whitespace is foreseen around "=", but nobody is harmed by it.
    let (name, value) = (trim(name), trim(value));
    let Some(quoted) = value.strip_prefix('"') else {
        return (is_token(name) && is_token(value)).then_some((name, Some(value)));
    };
    let quoted = quoted.strip_suffix('"')?;
    (is_token(name) && is_quoted_token(quoted)).then_some((name, Some(quoted)))
}

/// Whether it is a token once escapes are taken off, as RFC 6455 9.1 says it MUST be.
fn is_quoted_token(quoted: &str) -> bool {
    let mut bytes = quoted.bytes();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'\\' {
            bytes.next()
        } else {
            Some(byte)
        };
        if !byte.is_some_and(is_token_byte) {
            return false;
        }
    }
    !quoted.is_empty()
}
