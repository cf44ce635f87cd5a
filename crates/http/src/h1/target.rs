//! What a request is for: the forms of a target, and the hosts in them and in `Host`.
//!
//! Knows no method but the two that have a form of their own. A path is taken as it is: what it means, and
//! whether its escapes are sound, is for whoever serves it.
//!
//! Spec: RFC 9112 3.2; RFC 9110 4.2, 7.2; RFC 3986 3.2.2.

use super::refusal::Refusal;

const TARGET: Refusal = Refusal::new(400, "the target is neither a path nor an http URL");
const PROXY: Refusal = Refusal::new(501, "this is no proxy");

/// A path, a URL, or `*` for the server as a whole.
pub(super) fn check_target(method: &str, target: &str) -> Result<(), Refusal> {
    // RFC 9112 3.2.3: the authority alone is for tunnels.
    if method == "CONNECT" {
        return Err(PROXY);
    }
    let is_form = match after_scheme(target) {
        // RFC 9110 4.2.1, 4.2.4: without a host, or with a user before it, it is invalid.
        Some(rest) => {
            let host = &rest.as_bytes()[..authority_len(rest)];
            !host.is_empty() && !host.starts_with(b":") && is_host(host)
        }
        None => target.starts_with('/') || (method == "OPTIONS" && target == "*"),
    };
    // RFC 9112 3.2.1: a fragment is never sent.
    let is_text = target.is_ascii() && !target.as_bytes().contains(&b'#');
    if is_form && is_text {
        Ok(())
    } else {
        Err(TARGET)
    }
}

/// A URL has its path after the authority; every server has to take it (RFC 9112 3.2.2).
pub(crate) fn origin_form(target: &str) -> &str {
    match after_scheme(target) {
        Some(rest) => match &rest[authority_len(rest)..] {
            "" => "/",
            path => path,
        },
        None => target,
    }
}

/// What follows `http://`.
fn after_scheme(target: &str) -> Option<&str> {
    ["http://", "https://"].iter().find_map(|scheme| {
        let start = target.get(..scheme.len())?;
        start
            .eq_ignore_ascii_case(scheme)
            .then(|| &target[scheme.len()..])
    })
}

fn authority_len(rest: &str) -> usize {
    rest.find(['/', '?', '#']).unwrap_or(rest.len())
}

/// A name or an address, and maybe a port. Nothing at all is what a client sends that knows no host.
pub(crate) fn is_host(value: &[u8]) -> bool {
    let name_len = if value.starts_with(b"[") {
        let is_address = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-:".contains(byte);
        match value.iter().position(|&byte| byte == b']') {
            Some(end) if end > 1 && value[1..end].iter().all(is_address) => end + 1,
            _ => return false,
        }
    } else {
        // Unreserved, escapes and delimiters within a name.
        let is_name =
            |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(byte);
        value
            .iter()
            .position(|byte| !is_name(byte))
            .unwrap_or(value.len())
    };
    match &value[name_len..] {
        [] => true,
        [b':', port @ ..] => port.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_targets() {
        for (method, target, outcome) in [
            ("GET", "/", Ok("/")),
            ("GET", "/a?b/c?d", Ok("/a?b/c?d")),
            ("GET", "//a/b", Ok("//a/b")),
            ("GET", "http://h", Ok("/")),
            ("GET", "HTTP://h:80/a", Ok("/a")),
            ("GET", "https://[::1]:8/a?b", Ok("/a?b")),
            ("GET", "http://h?q", Ok("?q")),
            ("OPTIONS", "*", Ok("*")),
            ("GET", "*", Err(TARGET)),
            ("GET", "", Err(TARGET)),
            ("GET", "a", Err(TARGET)),
            ("GET", "h:80", Err(TARGET)),
            ("GET", "ftp://h/", Err(TARGET)),
            ("GET", "http:/a", Err(TARGET)),
            ("GET", "http://", Err(TARGET)),
            ("GET", "http:///a", Err(TARGET)),
            ("GET", "http://?q", Err(TARGET)),
            ("GET", "http://:80/", Err(TARGET)),
            ("GET", "http://user@h/", Err(TARGET)),
            ("GET", "http://h:x/", Err(TARGET)),
            ("GET", "http://h#f", Err(TARGET)),
            ("GET", "/a#b", Err(TARGET)),
            ("GET", "/\u{e9}", Err(TARGET)),
            ("CONNECT", "h:80", Err(PROXY)),
            ("CONNECT", "/", Err(PROXY)),
        ] {
            let seen = check_target(method, target).map(|()| origin_form(target));
            assert_eq!(seen, outcome, "{method} {target}");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        for (host, is_good) in [
            ("", true),
            ("h", true),
            ("a-b.example.com:8080", true),
            ("under_score", true),
            ("h:", true),
            ("127.0.0.1:1", true),
            ("[::1]", true),
            ("[::ffff:1.2.3.4]:80", true),
            ("[]", false),
            ("[::1", false),
            ("[::1]x", false),
            ("[::1]80", false),
            ("[a b]", false),
            ("a b", false),
            ("a/b", false),
            ("a@b", false),
            ("a\\b", false),
            ("h:8x", false),
            ("h:8:8", false),
            ("::1", false),
            ("\u{e9}", false),
        ] {
            assert_eq!(is_host(host.as_bytes()), is_good, "{host}");
        }
    }
}
