//! Entity tags in conditions (RFC 9110 8.8.3, 13.1.2): `*`, or a list of tags, weak ones too.

/// The condition is `*`: any representation at all.
#[must_use]
pub fn is_any(field: &[u8]) -> bool {
    field.trim_ascii() == b"*"
}

/// Whether the list names `tag` (what stands between the quotes), by weak comparison. `*` names
/// everything. What is malformed ends the list.
///
/// ```
/// use hioload_http::lists_tag;
///
/// assert!(lists_tag(b"\"a\", W/\"b\"", b"b"));
/// assert!(!lists_tag(b"\"a, b\"", b"b"));
/// ```
#[must_use]
pub fn lists_tag(field: &[u8], tag: &[u8]) -> bool {
    if is_any(field) {
        return true;
    }
    let mut rest = field;
    loop {
        rest = rest.trim_ascii_start();
        while let Some(more) = rest.strip_prefix(b",") {
            rest = more.trim_ascii_start();
        }
        let quoted = rest.strip_prefix(b"W/").unwrap_or(rest);
        let Some(open) = quoted.strip_prefix(b"\"") else {
            return false;
        };
        let Some(end) = open.iter().position(|&byte| byte == b'"') else {
            return false;
        };
        if &open[..end] == tag {
            return true;
        }
        rest = &open[end + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_tags() {
        for (field, names_a) in [
            (&b"*"[..], true),
            (b" * ", true),
            (b"\"a\"", true),
            (b"W/\"a\"", true),
            (b"\"b\" , ,W/\"a\"", true),
            (b"\"b\"", false),
            (b"\"a", false),
            (b"a", false),
            (b"", false),
            (b"\"b\" junk \"a\"", false),
            (b"\"A\"", false),
        ] {
            assert_eq!(lists_tag(field, b"a"), names_a, "{}", field.escape_ascii());
        }
    }
}
