//! From method and path to a call.

use crate::Hash;

/// Bytes of a reference's name at most.
pub const NAME_SIZE_MAX: usize = 128;
/// Bytes of a reference's value at most.
pub const VALUE_SIZE_MAX: usize = 1024;

/// Paths of the API and the methods each knows.
pub const ROUTES: &[(&str, &str)] = &[
    ("/", "PUT"),
    ("/blocks", "GET, HEAD, POST"),
    ("/blocks/{hash}", "GET, HEAD, PUT, DELETE"),
    ("/{hash}", "GET, HEAD, PUT, DELETE"),
    ("/blocks/{hash}/refs", "GET, HEAD"),
    ("/blocks/{hash}/refs/{name}", "GET, HEAD, PUT, DELETE"),
    ("/blocks:missing", "POST"),
    ("/blocks:delete", "POST"),
    ("/stats", "GET, HEAD"),
    ("/openapi.json", "GET, HEAD"),
];

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call<'a> {
    /// Store the body; under `expected`, if the client names it.
    Put {
        /// The name the client states.
        expected: Option<Hash>,
    },
    /// The block, or what is known of it.
    Get {
        /// Which.
        hash: Hash,
    },
    /// Delete the block.
    Delete {
        /// Which.
        hash: Hash,
    },
    /// A page of the names there are; its query is a [`ListQuery`](super::ListQuery).
    List,
    /// The names of a block's references.
    References {
        /// Of which block.
        hash: Hash,
    },
    /// The value of a reference.
    GetReference {
        /// Of which block.
        hash: Hash,
        /// Its name.
        name: &'a str,
    },
    /// Set a reference to the body.
    PutReference {
        /// Of which block.
        hash: Hash,
        /// Its name.
        name: &'a str,
    },
    /// Drop a reference.
    DeleteReference {
        /// Of which block.
        hash: Hash,
        /// Its name.
        name: &'a str,
    },
    /// Which of the blocks named in the body are not here.
    Missing,
    /// Delete the blocks named in the body.
    DeleteMany,
    /// Figures.
    Stats,
    /// The description of this API.
    OpenApi,
}

/// Why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// HTTP status.
    pub status: u16,
    /// One line for a person.
    pub reason: &'static str,
    /// `Allow`, with 405.
    pub allow: Option<&'static str>,
}

/// What a request asks for; `None` when its path is none of this API's.
///
/// # Errors
/// The path is of this API and the method is not for it (405), or a name in it is malformed (400).
pub fn route<'a>(method: &str, path: &'a str) -> Option<Result<Call<'a>, Refused>> {
    match path {
        // Anything else there is the business of other services.
        "/" => return (method == "PUT").then_some(Ok(Call::Put { expected: None })),
        "/blocks" => {
            return Some(match method {
                "GET" | "HEAD" => Ok(Call::List),
                "POST" => Ok(Call::Put { expected: None }),
                _ => Err(not_allowed("GET, HEAD, POST")),
            });
        }
        "/blocks:missing" => return Some(only(method, &["POST"], "POST", Call::Missing)),
        "/blocks:delete" => return Some(only(method, &["POST"], "POST", Call::DeleteMany)),
        "/stats" => return Some(only(method, READ, "GET, HEAD", Call::Stats)),
        "/openapi.json" => return Some(only(method, READ, "GET, HEAD", Call::OpenApi)),
        _ => {}
    }
    let Some(rest) = path.strip_prefix("/blocks/") else {
        let hash = Hash::from_hex(path.strip_prefix('/')?).ok()?;
        return Some(block(method, hash));
    };
    let (hash, rest) = match rest.split_once('/') {
        Some((hash, rest)) => (hash, Some(rest)),
        None => (rest, None),
    };
    let Ok(hash) = Hash::from_hex(hash) else {
        return Some(Err(bad(
            "a block is named by the 64 hexadecimal digits of its SHA-256",
        )));
    };
    Some(match rest {
        None => block(method, hash),
        Some("refs") => only(method, READ, "GET, HEAD", Call::References { hash }),
        Some(rest) => match rest.strip_prefix("refs/") {
            Some(name) => reference(method, hash, name),
            None => Err(Refused {
                status: 404,
                reason: "a block has references under refs/ and nothing else",
                allow: None,
            }),
        },
    })
}

const READ: &[&str] = &["GET", "HEAD"];

fn only<'a>(
    method: &str,
    methods: &[&str],
    allow: &'static str,
    call: Call<'a>,
) -> Result<Call<'a>, Refused> {
    if methods.contains(&method) {
        Ok(call)
    } else {
        Err(not_allowed(allow))
    }
}

fn block(method: &str, hash: Hash) -> Result<Call<'static>, Refused> {
    match method {
        "GET" | "HEAD" => Ok(Call::Get { hash }),
        "PUT" => Ok(Call::Put {
            expected: Some(hash),
        }),
        "DELETE" => Ok(Call::Delete { hash }),
        _ => Err(not_allowed("GET, HEAD, PUT, DELETE")),
    }
}

fn reference<'a>(method: &str, hash: Hash, name: &'a str) -> Result<Call<'a>, Refused> {
    // Names go into the index as they are: only characters that nobody escapes (RFC 3986 2.3).
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if name.is_empty() || name.len() > NAME_SIZE_MAX || !name.bytes().all(is_plain) {
        return Err(bad(
            "a reference is named by 1 to 128 letters, digits and -._~",
        ));
    }
    match method {
        "GET" | "HEAD" => Ok(Call::GetReference { hash, name }),
        "PUT" => Ok(Call::PutReference { hash, name }),
        "DELETE" => Ok(Call::DeleteReference { hash, name }),
        _ => Err(not_allowed("GET, HEAD, PUT, DELETE")),
    }
}

fn bad(reason: &'static str) -> Refused {
    Refused {
        status: 400,
        reason,
        allow: None,
    }
}

fn not_allowed(allow: &'static str) -> Refused {
    Refused {
        status: 405,
        reason: "the method is not for this path",
        allow: Some(allow),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn every_route_leads_somewhere_and_other_methods_are_told_so() {
        for (path, methods) in ROUTES {
            let path = path.replace("{hash}", HEX).replace("{name}", "n-1");
            for method in methods.split(", ") {
                let call = route(method, &path).expect("a path of the API");
                assert!(call.is_ok(), "{method} {path}");
            }
            if path != "/" {
                let refused = route("PATCH", &path).expect("known").expect_err("PATCH");
                assert_eq!((refused.status, refused.allow), (405, Some(*methods)));
            }
        }
    }

    #[test]
    fn names_are_judged_before_anything_is_looked_up() {
        let hash = Hash::from_hex(HEX).expect("hex");
        let upper = format!("/blocks/{}", HEX.to_ascii_uppercase());
        assert_eq!(route("GET", &upper), Some(Ok(Call::Get { hash })));
        for path in [
            "/blocks/",
            "/blocks/abc",
            &format!("/blocks/{}0", HEX),
            &format!("/blocks/{}/", &HEX[1..]),
        ] {
            let refused = route("GET", path).expect("known").expect_err(path);
            assert_eq!(refused.status, 400, "{path}");
        }
        let of = |name: &str| format!("/blocks/{HEX}/refs/{name}");
        for (name, is_good) in [
            ("", false),
            ("a", true),
            (&*"n".repeat(NAME_SIZE_MAX), true),
            (&*"n".repeat(NAME_SIZE_MAX + 1), false),
            ("a/b", false),
            ("a%20b", false),
            ("ä", false),
            ("user-1.host~", true),
            ("user:1", false),
        ] {
            let path = of(name);
            assert_eq!(
                route("PUT", &path).expect("known").is_ok(),
                is_good,
                "{name}"
            );
        }
        let other = format!("/blocks/{HEX}/other");
        let refused = route("GET", &other);
        assert_eq!(refused.expect("known").expect_err("404").status, 404);
    }

    #[test]
    fn other_paths_are_not_ours() {
        for (method, path) in [
            ("GET", "/"),
            ("GET", "/chat"),
            ("GET", "/blocksx"),
            ("GET", "/abc"),
        ] {
            assert_eq!(route(method, path), None, "{method} {path}");
        }
    }
}
