//! `Repr-Digest`: the digest of a representation (RFC 9530 3), base64 (RFC 4648 4) between colons.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Appends the value for a SHA-256.
///
/// ```
/// let mut value = String::new();
/// hioload_http::write_repr_digest(&[0; 32], &mut value);
/// assert_eq!(value, "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:");
/// ```
pub fn write_repr_digest(sha256: &[u8; 32], out: &mut String) {
    out.push_str("sha-256=:");
    STANDARD.encode_string(sha256, out);
    out.push(':');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_as_others_write_it() {
        // The SHA-256 of nothing; `openssl dgst -sha256 -binary | base64`.
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let text = std::str::from_utf8(pair).expect("ASCII");
            *byte = u8::from_str_radix(text, 16).expect("hex");
        }
        let mut value = String::new();
        write_repr_digest(&bytes, &mut value);
        assert_eq!(
            value,
            "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
        );
    }
}
