//! Lists and tokens of HTTP header values (RFC 9110 5.6).

/// Whether `text` is a token: what names of headers, subprotocols and extensions are made of.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

fn is_token_byte(byte: u8) -> bool {
    // RFC 9110 5.6.2
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Splits at `separator` where it is outside of quotes, trims, and leaves empty elements out,
/// which a recipient must accept (RFC 9110 5.6.1.2).
pub(crate) fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = unquoted_position(text, separator);
        rest = end.map(|end| &text[end + 1..]);
        Some(trim(&text[..end.unwrap_or(text.len())]))
    })
    .filter(|element| !element.is_empty())
}

fn unquoted_position(text: &str, separator: u8) -> Option<usize> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        if is_escaped {
            is_escaped = false;
            return false;
        }
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\\' if is_quoted => is_escaped = true,
            _ => return byte == separator && !is_quoted,
        }
        false
    })
}

/// Without optional whitespace around it (RFC 9110 5.6.3).
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Whether the list has this token, letter case aside.
pub(crate) fn has_token(list: &str, token: &str) -> bool {
    split(list, b',').any(|element| element.eq_ignore_ascii_case(token))
}

/// A parameter `name`, `name=token` or `name="token"`, or `None` when it is none of them.
pub(crate) fn parameter(text: &str) -> Option<(&str, Option<&str>)> {
    let Some((name, value)) = text.split_once('=') else {
        return is_token(text).then_some((text, None));
    };
    // RFC 6455 9.1: no whitespace is foreseen around "=", but nobody is harmed by it.
    let (name, value) = (trim(name), trim(value));
    // RFC 6455 9.1: the value MUST be a token after the quotes were taken off. A token needs no
    // escape inside of quotes, so that one with escapes is taken for malformed.
    let value = match value.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"')?,
        None => value,
    };
    (is_token(name) && is_token(value)).then_some((name, Some(value)))
}
