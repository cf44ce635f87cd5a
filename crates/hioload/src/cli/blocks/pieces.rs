//! Files, directories and stdin as blocks: read, cut and hashed on a thread of their own.
//!
//! ```text
//!   paths ─▶ Source… ─▶ cut at 512 KiB, hashed ─▶ Batch ─▶ (one waits) ─▶ whoever stores them
//! ```
//!
//! Limits: [`BATCH_SIZE`] bytes and [`BATCH_COUNT`] blocks of a batch; three batches are in memory at most.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use hioload_blocks::{BLOCK_SIZE_MAX, Hash};

use super::progress::{count, size};

/// Bytes of contents in one batch, and blocks: each is asked for, and stored, together.
const BATCH_SIZE: usize = 16 << 20;
const BATCH_COUNT: usize = 1000;

/// Something to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Stdin,
    /// A file, and its bytes when it was found.
    File(PathBuf, u64),
    /// It cannot be read; says why.
    Not(String),
    /// It is passed over; says why.
    Skipped(String),
}

/// What became of something that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Block {
        hash: Hash,
        content: Vec<u8>,
        /// Whose, as it is printed.
        of: Arc<str>,
    },
    /// It has no bytes, and so no block.
    Empty(Arc<str>),
    /// Something to know.
    Note(String),
    /// It cannot be read; says why.
    Failed(String),
}

/// The files behind these words: `-` for stdin, directories with all that is in them in the order of names.
pub(super) fn find(paths: &[PathBuf]) -> Vec<Source> {
    let mut sources = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            sources.push(Source::Stdin);
            continue;
        }
        // Named by a person, a link is followed.
        match fs::metadata(path) {
            Ok(metadata) => add(path, &metadata, &mut sources),
            Err(error) => sources.push(not(path, &error)),
        }
    }
    sources
}

fn add(path: &Path, metadata: &fs::Metadata, sources: &mut Vec<Source>) {
    if metadata.is_dir() {
        return add_directory(path, sources);
    }
    let shown = printable(path);
    sources.push(if metadata.is_file() {
        Source::File(path.to_owned(), metadata.len())
    } else if metadata.is_symlink() {
        Source::Skipped(format!("{shown} is a symbolic link: left out"))
    } else {
        Source::Skipped(format!(
            "{shown} is neither a file nor a directory: left out"
        ))
    });
}

fn add_directory(path: &Path, sources: &mut Vec<Source>) {
    let entries = fs::read_dir(path).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => return sources.push(not(path, &error)),
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        // Links could lead anywhere, and in circles.
        match entry.metadata() {
            Ok(metadata) => add(&path, &metadata, sources),
            Err(error) => sources.push(not(&path, &error)),
        }
    }
}

fn not(path: &Path, error: &io::Error) -> Source {
    Source::Not(format!("{}: {error}", printable(path)))
}

/// A path on one line.
fn printable(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = !text.contains(char::is_control);
    if is_plain {
        return text.into_owned();
    }
    let escape = |letter: char| match letter.is_control() {
        true => letter.escape_default().to_string(),
        false => letter.to_string(),
    };
    text.chars().map(escape).collect()
}

/// Reads the sources on a thread of its own, as far ahead as one batch.
pub(super) fn read(sources: Vec<Source>) -> Receiver<Vec<Item>> {
    let (sender, batches) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut batches = Batches {
            sender,
            batch: Vec::new(),
            size: 0,
        };
        for source in sources {
            // Nobody wants more.
            if !batches.read(source) {
                return;
            }
        }
        batches.send();
    });
    batches
}

struct Batches {
    sender: SyncSender<Vec<Item>>,
    batch: Vec<Item>,
    size: usize,
}

impl Batches {
    /// False when nobody takes batches any more.
    fn read(&mut self, source: Source) -> bool {
        match source {
            Source::Stdin => self.cut(&mut io::stdin().lock(), "-"),
            Source::File(path, _) => {
                let shown = printable(&path);
                match File::open(&path) {
                    Ok(mut file) => self.cut(&mut file, &shown),
                    Err(error) => self.push(Item::Failed(format!("{shown}: {error}"))),
                }
            }
            Source::Not(why) => self.push(Item::Failed(why)),
            Source::Skipped(why) => self.push(Item::Note(why)),
        }
    }

    fn cut(&mut self, from: &mut dyn Read, shown: &str) -> bool {
        let of: Arc<str> = shown.into();
        let (mut blocks, mut bytes) = (0, 0);
        loop {
            let mut content = Vec::new();
            let read = from.take(BLOCK_SIZE_MAX.into()).read_to_end(&mut content);
            if let Err(error) = read {
                return self.push(Item::Failed(format!("{shown}: {error}")));
            }
            if content.is_empty() {
                break;
            }
            blocks += 1;
            bytes += content.len() as u64;
            let hash = Hash::of(&content);
            let of = Arc::clone(&of);
            if !self.push(Item::Block { hash, content, of }) {
                return false;
            }
        }
        match blocks {
            0 => self.push(Item::Empty(of)),
            1 => true,
            _ => {
                let (bytes, blocks) = (size(bytes), count(blocks, "block"));
                self.push(Item::Note(format!("{shown}: {bytes}, cut into {blocks}")))
            }
        }
    }

    fn push(&mut self, item: Item) -> bool {
        if let Item::Block { content, .. } = &item {
            self.size += content.len();
        }
        self.batch.push(item);
        let is_full = self.size >= BATCH_SIZE || self.batch.len() >= BATCH_COUNT;
        !is_full || self.send()
    }

    fn send(&mut self) -> bool {
        self.size = 0;
        let batch = std::mem::take(&mut self.batch);
        self.sender.send(batch).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(sources: Vec<Source>) -> Vec<Item> {
        read(sources).iter().flatten().collect()
    }

    #[test]
    fn contents_are_cut_at_the_largest_block() {
        let place = tempfile::tempdir().expect("a place for files");
        let max = BLOCK_SIZE_MAX as usize;
        for (length, lengths) in [
            (0, vec![]),
            (1, vec![1]),
            (max, vec![max]),
            (max + 1, vec![max, 1]),
            (3 * max, vec![max; 3]),
        ] {
            let path = place.path().join("file");
            let whole: Vec<u8> = (0..length).map(|n| (n / 7) as u8).collect();
            fs::write(&path, &whole).expect("a file");
            let (mut found, mut back) = (Vec::new(), Vec::new());
            let mut notes = Vec::new();
            for item in items(vec![Source::File(path, 0)]) {
                match item {
                    Item::Block { hash, content, .. } => {
                        assert_eq!(hash, Hash::of(&content));
                        found.push(content.len());
                        back.extend(content);
                    }
                    other => notes.push(other),
                }
            }
            assert_eq!((found, &back), (lengths.clone(), &whole));
            match lengths.len() {
                0 => assert!(matches!(&notes[..], [Item::Empty(_)])),
                1 => assert!(notes.is_empty()),
                _ => assert!(matches!(&notes[..], [Item::Note(_)]), "{notes:?}"),
            }
        }
    }

    #[test]
    fn batches_are_bounded() {
        let place = tempfile::tempdir().expect("a place for files");
        let path = place.path().join("small");
        fs::write(&path, b"x").expect("a file");
        let sources = vec![Source::File(path, 1); 2 * BATCH_COUNT + 1];
        let counts: Vec<usize> = read(sources).iter().map(|batch| batch.len()).collect();
        assert_eq!(counts, [BATCH_COUNT, BATCH_COUNT, 1]);
        let path = place.path().join("large");
        fs::write(&path, vec![0; 2 * BATCH_SIZE]).expect("a file");
        let batches = read(vec![Source::File(path, 0)]);
        let blocks = BATCH_SIZE / BLOCK_SIZE_MAX as usize;
        // The last has the note that it was cut.
        let counts: Vec<usize> = batches.iter().map(|batch| batch.len()).collect();
        assert_eq!(counts, [blocks, blocks, 1]);
    }

    #[test]
    fn paths_are_printed_on_one_line() {
        assert_eq!(printable(Path::new("a b/ä")), "a b/ä");
        assert_eq!(printable(Path::new("a\nb\t")), "a\\nb\\t");
    }
}
