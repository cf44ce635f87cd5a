//! Hashes on the command line: each is one, or `-` for those on stdin, the first word of each line.

use std::io::BufRead;
use std::str::FromStr;

use hioload_blocks::Hash;

use super::stop::Stop;

/// A word that should be a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Of(Hash),
    Stdin,
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "-" {
            return Ok(Self::Stdin);
        }
        let hash = Hash::from_hex(text);
        let told = |_| "a block is named by the 64 hexadecimal digits of its SHA-256".to_owned();
        hash.map(Self::Of).map_err(told)
    }
}

/// The hashes that are meant, in their order.
pub(super) fn resolve(names: &[Name]) -> Result<Vec<Hash>, Stop> {
    let mut hashes = Vec::new();
    for name in names {
        match name {
            Name::Of(hash) => hashes.push(*hash),
            Name::Stdin => read(std::io::stdin().lock(), &mut hashes)?,
        }
    }
    Ok(hashes)
}

fn read(lines: impl BufRead, hashes: &mut Vec<Hash>) -> Result<(), Stop> {
    for (number, line) in lines.lines().enumerate() {
        let line = line.map_err(|error| Stop::Failed(format!("stdin: {error}")))?;
        match line.split_ascii_whitespace().next() {
            // What `put` prints for a content without bytes.
            None | Some("-") => {}
            Some(word) => {
                let hash = Hash::from_hex(word);
                let told =
                    |_| Stop::Usage(format!("stdin, line {}: `{word}` is no hash", number + 1));
                hashes.push(hash.map_err(told)?);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_hashes_or_stdin() {
        let hash = Hash::of(b"a");
        assert_eq!(hash.to_string().parse(), Ok(Name::Of(hash)));
        assert_eq!("-".parse(), Ok(Name::Stdin));
        assert!("abc".parse::<Name>().is_err());
    }

    #[test]
    fn a_list_of_what_was_put_is_a_list_of_names() {
        let (a, b) = (Hash::of(b"a"), Hash::of(b"b"));
        let mut hashes = Vec::new();
        let text = format!("{a}  1  x y\n\n-  0  empty\n{b}\n");
        read(text.as_bytes(), &mut hashes).expect("a list");
        assert_eq!(hashes, [a, b]);
        let error = read(&b"\nabc  1  x\n"[..], &mut hashes).expect_err("no hash");
        assert!(
            matches!(&error, Stop::Usage(told) if told.contains("line 2: `abc`")),
            "{error:?}"
        );
    }
}
