//! `GET /blocks`: which blocks there are, a page at a time, in the order of their names.
//!
//! Limits: [`LIST_MAX`] blocks of one page.

use std::io::Write as _;

use super::Refused;
use crate::fault::Fault;
use crate::hash::Hash;
use crate::index::{EachBlock, IndexError};
use crate::record::Record;

/// Blocks of one page when nothing else is asked for.
pub const LIST_DEFAULT: u64 = 1000;
/// Blocks of one page at most.
pub const LIST_MAX: u64 = 10_000;

/// Which page is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// Blocks after this one; from the first on if there is none.
    pub after: Option<Hash>,
    /// Blocks at most.
    pub limit: u64,
}

impl ListQuery {
    /// Reads `after=HASH&limit=N`, either part of it, or nothing.
    ///
    /// # Errors
    /// 400: it says something else.
    pub fn parse(query: Option<&str>) -> Result<Self, Refused> {
        let mut parsed = Self {
            after: None,
            limit: LIST_DEFAULT,
        };
        let fields = query.unwrap_or_default().split('&');
        for field in fields.filter(|field| !field.is_empty()) {
            match field.split_once('=') {
                Some(("after", text)) => {
                    let hash = Hash::from_hex(text);
                    parsed.after = Some(hash.map_err(|_| bad("after= is 64 hexadecimal digits"))?);
                }
                Some(("limit", text)) => {
                    let limit = text.parse().ok();
                    let limit = limit.filter(|limit| (1..=LIST_MAX).contains(limit));
                    parsed.limit = limit.ok_or(bad("limit= is a number from 1 to 10000"))?;
                }
                _ => return Err(bad("a list knows after=HASH and limit=N")),
            }
        }
        Ok(parsed)
    }

    /// Where a walk for this page begins; `None` behind the last name there could be.
    #[must_use]
    pub fn from(&self) -> Option<Hash> {
        self.after.map_or(Some(Hash::MIN), |after| after.next())
    }
}

fn bad(reason: &'static str) -> Refused {
    Refused {
        status: 400,
        reason,
        allow: None,
    }
}

/// A page as JSON, written row by row.
///
/// ```
/// use hioload_blocks::Hash;
/// use hioload_blocks::api::ListWriter;
///
/// let mut page = ListWriter::new();
/// page.block(&Hash::MIN, 7, 1_700_000_000_000, false);
/// let json = String::from_utf8(page.finish(None))?;
/// assert!(json.starts_with("{\"blocks\":[{\"hash\":\"0000") && json.ends_with("\"next\":null}"));
/// # Ok::<(), std::string::FromUtf8Error>(())
/// ```
#[derive(Debug)]
pub struct ListWriter {
    out: Vec<u8>,
    block_count: u64,
    unreadable_count: u64,
}

impl Default for ListWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl ListWriter {
    /// A page without blocks.
    #[must_use]
    pub fn new() -> Self {
        Self {
            out: b"{\"blocks\":[".to_vec(),
            block_count: 0,
            unreadable_count: 0,
        }
    }

    /// Adds a block.
    pub fn block(&mut self, hash: &Hash, length: u32, created_ms: u64, is_damaged: bool) {
        // Thousands of rows a page: the machinery of format strings would take longer than the walk.
        let out = &mut self.out;
        if self.block_count > 0 {
            out.push(b',');
        }
        self.block_count += 1;
        out.extend_from_slice(b"{\"hash\":\"");
        out.extend_from_slice(&hash.to_hex());
        out.extend_from_slice(b"\",\"length\":");
        number(out, length.into());
        out.extend_from_slice(b",\"created_ms\":");
        number(out, created_ms);
        out.extend_from_slice(match is_damaged {
            true => &b",\"is_damaged\":true}"[..],
            false => &b",\"is_damaged\":false}"[..],
        });
    }

    /// Adds a row of the index that cannot be read: its block has no name any more.
    pub fn unreadable(&mut self) {
        self.unreadable_count += 1;
    }

    /// The page. `next`: where the walk would go on.
    #[must_use]
    pub fn finish(mut self, next: Option<Hash>) -> Vec<u8> {
        let unreadable = self.unreadable_count;
        write!(self.out, "],\"unreadable\":{unreadable},\"next\":").expect(FINE);
        // Said as the block before it, which the next query names.
        match next.map(|next| next.previous().unwrap_or(Hash::MIN)) {
            Some(after) => write!(self.out, "\"{after}\"}}"),
            None => write!(self.out, "null}}"),
        }
        .expect(FINE);
        self.out
    }
}

/// A page that comes about in several walks, so that nobody has to wait for all of it.
#[derive(Debug)]
pub struct Listing {
    page: ListWriter,
    /// Where the next walk begins; `None` when there is nothing behind.
    from: Option<Hash>,
    /// Rows that the page still takes.
    left: u64,
}

impl Listing {
    /// The page that is wanted, nothing of it yet.
    #[must_use]
    pub fn new(query: &ListQuery) -> Self {
        Self {
            page: ListWriter::new(),
            from: query.from(),
            left: query.limit,
        }
    }

    /// Walks at most `count_max` rows further: `walk` takes where from and how many, and says where to go on. Returns how many there were.
    ///
    /// # Errors
    /// What `walk` returned: the page comes to nothing.
    pub fn walk(
        &mut self,
        count_max: u64,
        walk: impl FnOnce(&Hash, u64, EachBlock<'_>) -> Result<Option<Hash>, Fault>,
    ) -> Result<u64, Fault> {
        let count_max = count_max.min(self.left);
        let Some(from) = self.from.filter(|_| count_max > 0) else {
            return Ok(0);
        };
        let (page, mut count) = (&mut self.page, 0);
        let mut note = |row: Result<(&Hash, &Record), IndexError>| {
            count += 1;
            match row {
                Ok((hash, record)) => {
                    page.block(hash, record.length, record.created, record.is_damaged());
                }
                Err(_) => page.unreadable(),
            }
            Ok(())
        };
        self.from = walk(&from, count_max, &mut note)?;
        self.left = self.left.saturating_sub(count);
        Ok(count)
    }

    /// The page, once, when nothing is to be added to it.
    pub fn take_page(&mut self) -> Option<Vec<u8>> {
        let is_over = self.left == 0 || self.from.is_none();
        is_over.then(|| std::mem::take(&mut self.page).finish(self.from))
    }
}

/// Adds the decimal digits of `value`.
fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

const FINE: &str = "invariant: a vector takes everything";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_bounded_and_told_what_they_may_say() {
        let hash = Hash::of(b"a");
        let query = |after, limit| Ok(ListQuery { after, limit });
        let most = format!("limit={LIST_MAX}");
        let more = format!("limit={}", LIST_MAX + 1);
        for (text, told) in [
            (None, query(None, LIST_DEFAULT)),
            (Some(""), query(None, LIST_DEFAULT)),
            (Some("limit=1"), query(None, 1)),
            (Some(&*most), query(None, LIST_MAX)),
            (
                Some(&*format!("limit=7&after={hash}")),
                query(Some(hash), 7),
            ),
            (
                Some(&*format!("after={hash}&")),
                query(Some(hash), LIST_DEFAULT),
            ),
            (Some(&*more), Err("limit=")),
            (Some("limit=0"), Err("limit=")),
            (Some("limit=-1"), Err("limit=")),
            (Some("limit="), Err("limit=")),
            (Some("after="), Err("after=")),
            (Some("after=abc"), Err("after=")),
            (Some("before=abc"), Err("a list knows")),
            (Some("limit"), Err("a list knows")),
        ] {
            let parsed = ListQuery::parse(text);
            match (parsed, told) {
                (Ok(parsed), Ok(told)) => assert_eq!(parsed, told, "{text:?}"),
                (Err(refused), Err(part)) => {
                    assert_eq!(refused.status, 400, "{text:?}");
                    assert!(refused.reason.starts_with(part), "{text:?}: {refused:?}");
                }
                other => panic!("{text:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_page_goes_on_where_the_one_before_ended() {
        let last = Hash::from_bytes([0xFF; 32]);
        for after in [Hash::MIN, Hash::of(b"a")] {
            let page = ListWriter::new().finish(after.next());
            let page: serde_json::Value = serde_json::from_slice(&page).expect("JSON");
            let next = page["next"].as_str().expect("a hash");
            assert_eq!(Hash::from_hex(next), Ok(after));
        }
        let query = |after| ListQuery { after, limit: 1 }.from();
        assert_eq!(query(None), Some(Hash::MIN));
        assert_eq!(query(Some(Hash::of(b"a"))), Hash::of(b"a").next());
        assert_eq!(query(Some(last)), None);
    }

    #[test]
    fn a_page_in_many_walks_is_the_page_in_one() {
        let hash = |number: u8| Hash::from_bytes([number; 32]);
        let page_of = |query: &ListQuery, step: u64| {
            let mut listing = Listing::new(query);
            loop {
                let walked = listing.walk(step, |from, count, each| {
                    assert!(count <= step, "{count} of {step}");
                    let mut rows = (1..=100).map(hash).filter(|hash| hash >= from);
                    let record = Record::blank();
                    for hash in rows.by_ref().take(count as usize) {
                        each(Ok((&hash, &record))).expect("it is noted");
                    }
                    Ok(rows.next())
                });
                assert!(walked.expect("no fault") <= step);
                if let Some(page) = listing.take_page() {
                    return String::from_utf8(page).expect("text");
                }
            }
        };
        for limit in [1, 10, 99, 100, 101, LIST_MAX] {
            for after in [None, Some(hash(50)), Some(hash(100)), Some(hash(0xFF))] {
                let query = ListQuery { after, limit };
                let whole = page_of(&query, LIST_MAX);
                for step in [1, 7, 100] {
                    assert_eq!(page_of(&query, step), whole, "{query:?} by {step}");
                }
            }
        }
    }

    #[test]
    fn rows_read_back() {
        let mut page = ListWriter::default();
        page.block(&Hash::of(b"a"), 1, 2, true);
        page.unreadable();
        page.block(&Hash::of(b"b"), u32::MAX, u64::MAX, false);
        page.block(&Hash::of(b"c"), 10, 0, false);
        let page: serde_json::Value = serde_json::from_slice(&page.finish(None)).expect("JSON");
        let told = serde_json::json!({
            "blocks": [
                {"hash": Hash::of(b"a").to_string(), "length": 1, "created_ms": 2, "is_damaged": true},
                {"hash": Hash::of(b"b").to_string(), "length": u32::MAX, "created_ms": u64::MAX, "is_damaged": false},
                {"hash": Hash::of(b"c").to_string(), "length": 10, "created_ms": 0, "is_damaged": false},
            ],
            "unreadable": 1,
            "next": null,
        });
        assert_eq!(page, told);
    }
}
