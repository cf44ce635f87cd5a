//! Streams and figures as people read them.

use std::fmt::Write as _;

use serde_json::Value;

/// One line a stream.
pub(super) fn streams(answer: &Value) -> String {
    let mut text = format!(
        "{:<16}  {:<9}  {:<21}  {:>9}  {:>9}  {:>10}  {:>10}  of",
        "uid", "kind", "peer", "age", "idle", "in", "out"
    );
    for stream in answer["streams"].as_array().into_iter().flatten() {
        let word = |name: &str| stream[name].as_str().unwrap_or("-").to_owned();
        let number = |name: &str| stream[name].to_string();
        let seconds = |name: &str| format!("{:.1}s", stream[name].as_f64().unwrap_or(0.0));
        let owner = match stream["is_autonomous"] == true {
            true => "itself".to_owned(),
            false => word("owner"),
        };
        let _ = write!(
            text,
            "\n{:<16}  {:<9}  {:<21}  {:>9}  {:>9}  {:>10}  {:>10}  {owner}",
            word("uid"),
            word("kind"),
            word("peer"),
            seconds("age_seconds"),
            seconds("idle_seconds"),
            number("bytes_in"),
            number("bytes_out"),
        );
    }
    text
}

/// One line a figure; those that are made of others, one a part.
pub(super) fn figures(figures: &Value) -> String {
    let mut lines = Vec::new();
    for (name, value) in figures.as_object().into_iter().flatten() {
        match value.as_object() {
            Some(parts) => {
                let parts = parts
                    .iter()
                    .map(|(part, value)| (format!("{name} {part}"), value));
                lines.extend(parts.map(|(name, value)| format!("{name:<22}  {value}")));
            }
            None => lines.push(format!("{name:<22}  {value}")),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stream_is_a_line() {
        let text = streams(&json!({ "streams": [{
            "uid": "0100007000000001", "kind": "sse", "peer": null, "is_autonomous": true,
            "owner": null, "age_seconds": 61.25, "idle_seconds": 0.04, "bytes_in": 5, "bytes_out": 70,
        }]}));
        let line = text.lines().nth(1).expect("one stream");
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(
            words,
            [
                "0100007000000001",
                "sse",
                "-",
                "61.2s",
                "0.0s",
                "5",
                "70",
                "itself"
            ]
        );
    }

    #[test]
    fn figures_are_lines() {
        let text = figures(&json!({ "created": 3, "active": { "sse": 2 } }));
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            ["active sse              2", "created                 3"]
        );
    }
}
