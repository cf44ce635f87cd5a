//! `docs/limits.md`: the limit tables that the rooms export.

use std::fmt::Write as _;

use hioload_base::Limit;

/// A room and its table.
type Table = (&'static str, &'static [Limit]);

/// What each room keeps to by itself.
const LIBRARY: &[Table] = &[
    ("ws", hioload_ws::LIMITS),
    ("live", hioload_live::LIMITS),
    ("streams", hioload_streams::LIMITS),
    ("mem", hioload_mem::LIMITS),
    ("http", hioload_http::h1::LIMITS),
    ("h2", hioload_http::h2::LIMITS),
    ("events", hioload_http::sse::LIMITS),
    ("net", hioload_net::LIMITS),
    ("client", hioload_http::client::LIMITS),
    ("blocks", hioload_blocks::LIMITS),
    ("index", hioload_blocks::INDEX_LIMITS),
];

/// What the configuration of a server keeps to.
const SERVER: &[Table] = &[
    ("server", hioload::config::LIMITS),
    ("store", hioload::config::BLOCKS_LIMITS),
];

const INTRODUCTION: &str = "\
# Limits

Generated from the tables beside the code that enforces them: `UPDATE_DOCS=1 cargo test -p hioload --test pages`.

A server is configured by the keys of its own tables, at the end, and by those keys of the library that
[configuration.md](configuration.md) lists. What a room of the library has as its default when it is used by itself may
be another value, and its name may be the same: of a server, its own row holds.
";

const TITLES: [(&str, &[Table]); 2] = [("Library", LIBRARY), ("Server", SERVER)];

pub(crate) fn to_markdown() -> String {
    let mut text = INTRODUCTION.to_owned();
    for (title, tables) in TITLES {
        let _ = writeln!(text, "\n## {title}");
        for (room, limits) in tables {
            text += &section(room, limits);
        }
    }
    text
}

fn section(room: &str, limits: &[Limit]) -> String {
    let mut text = format!(
        "\n### {room}\n\n\
         | limit | unit | default | from | to | why | when it is reached |\n\
         |---|---|---:|---:|---:|---|---|\n"
    );
    for limit in limits {
        text += &format!(
            "| `{}` | {} | {} | {} | {} | {} | {} |\n",
            limit.name,
            limit.unit,
            limit.default,
            limit.min,
            number(limit.max),
            limit.reason,
            limit.reached,
        );
    }
    text
}

/// An upper bound that only the type sets is none.
fn number(max: u64) -> String {
    if max == u64::MAX {
        "–".to_owned()
    } else {
        max.to_string()
    }
}

#[test]
fn no_name_stands_for_two_limits() {
    for (title, tables) in TITLES {
        let limits = tables.iter().flat_map(|(_, limits)| *limits);
        let mut names: Vec<_> = limits.map(|limit| limit.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "{title}");
    }
}
