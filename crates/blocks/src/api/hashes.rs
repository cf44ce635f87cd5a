//! Lists of hashes in bodies: JSON in, JSON out, or one hash a line.

use std::fmt;

use crate::Hash;

/// Hashes in one body at most.
pub const HASHES_MAX: usize = 10_000;

/// Why a body is no list of hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashesError {
    /// Neither JSON of the right shape nor lines.
    Syntax {
        /// Which entry, from 0.
        place: usize,
    },
    /// More than [`HASHES_MAX`].
    TooMany,
}

impl fmt::Display for HashesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { place } => write!(
                f,
                "entry {place} is no hash of 64 hexadecimal digits; send {{\"hashes\": [\"…\"]}}, a list, or one a line"
            ),
            Self::TooMany => write!(f, "more than {HASHES_MAX} hashes; send several requests"),
        }
    }
}

impl std::error::Error for HashesError {}

/// The hashes of a body: `{"hashes": ["…"]}`, `["…"]`, or lines.
///
/// # Errors
/// The first entry that is no hash, or too many of them.
pub fn parse_hashes(body: &[u8]) -> Result<Vec<Hash>, HashesError> {
    let body = body.trim_ascii();
    let list = body.strip_prefix(b"{").map_or(Some(body), object);
    let list = list.ok_or(HashesError::Syntax { place: 0 })?;
    match list.strip_prefix(b"[") {
        Some(list) => {
            let list = list
                .strip_suffix(b"]")
                .ok_or(HashesError::Syntax { place: 0 })?;
            entries(list, b',', |entry| {
                entry.strip_prefix(b"\"")?.strip_suffix(b"\"")
            })
        }
        None => entries(list, b'\n', |entry| Some(entry)),
    }
}

/// The list inside `"hashes": […] }`.
fn object(body: &[u8]) -> Option<&[u8]> {
    let body = body.strip_suffix(b"}")?.trim_ascii();
    let body = body.strip_prefix(b"\"hashes\"")?.trim_ascii_start();
    Some(body.strip_prefix(b":")?.trim_ascii())
}

fn entries(
    list: &[u8],
    separator: u8,
    inner: impl Fn(&[u8]) -> Option<&[u8]>,
) -> Result<Vec<Hash>, HashesError> {
    let list = list.trim_ascii();
    if list.is_empty() {
        return Ok(Vec::new());
    }
    let mut hashes = Vec::new();
    for (place, entry) in list.split(|&byte| byte == separator).enumerate() {
        if place == HASHES_MAX {
            return Err(HashesError::TooMany);
        }
        let hash = inner(entry.trim_ascii()).and_then(|entry| Hash::from_hex(entry).ok());
        hashes.push(hash.ok_or(HashesError::Syntax { place })?);
    }
    Ok(hashes)
}

/// Appends `"name":["…",…]`.
pub fn write_hashes<'a>(name: &str, hashes: impl IntoIterator<Item = &'a Hash>, out: &mut Vec<u8>) {
    use std::io::Write as _;

    let fine = "invariant: a vector takes everything";
    write!(out, "\"{name}\":[").expect(fine);
    for (place, hash) in hashes.into_iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        write!(out, "{comma}\"{hash}\"").expect(fine);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_in_three_shapes() {
        let (a, b) = (Hash::of(b"a"), Hash::of(b"b"));
        for body in [
            format!("{{\"hashes\": [\"{a}\", \"{b}\"]}}"),
            format!(" [\"{a}\"\n,\"{b}\"] "),
            format!("{a}\n{b}\n"),
            format!("{a}\r\n{b}"),
        ] {
            assert_eq!(parse_hashes(body.as_bytes()), Ok(vec![a, b]), "{body}");
        }
        for body in ["", "[]", "{\"hashes\":[]}", "\n"] {
            assert_eq!(parse_hashes(body.as_bytes()), Ok(vec![]), "{body}");
        }
    }

    #[test]
    fn what_is_no_hash_is_told_with_its_place() {
        let a = Hash::of(b"a");
        for (body, place) in [
            (format!("[\"{a}\",\"x\"]"), 1),
            (format!("[\"{a}\",]"), 1),
            (format!("[\"{a}\""), 0),
            (format!("[{a}]"), 0),
            ("{\"hash\":[]}".to_owned(), 0),
            ("null".to_owned(), 0),
            (format!("{a}\n\n{a}"), 1),
        ] {
            let told = parse_hashes(body.as_bytes());
            assert_eq!(told, Err(HashesError::Syntax { place }), "{body}");
        }
    }

    #[test]
    fn a_list_is_bounded() {
        let line = format!("{}\n", Hash::of(b"a"));
        let most = parse_hashes(line.repeat(HASHES_MAX).as_bytes());
        assert_eq!(most.map(|hashes| hashes.len()), Ok(HASHES_MAX));
        let more = parse_hashes(line.repeat(HASHES_MAX + 1).as_bytes());
        assert_eq!(more, Err(HashesError::TooMany));
    }

    #[test]
    fn written_lists_read_back() {
        let hashes = [Hash::of(b"a"), Hash::of(b"b")];
        let mut out = b"{".to_vec();
        write_hashes("hashes", &hashes, &mut out);
        out.push(b'}');
        assert_eq!(parse_hashes(&out), Ok(hashes.to_vec()));
    }
}
