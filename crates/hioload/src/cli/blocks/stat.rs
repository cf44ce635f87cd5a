//! `hioload blocks stat`: how much is stored, and what is known to be damaged.

use clap::Args;
use serde_json::Value;

use super::Verdict;
use super::place::Place;
use super::progress::size;
use super::stop::{Stop, say};

/// Arguments of `hioload blocks stat`.
#[derive(Args, Clone, Debug)]
pub(super) struct StatArgs {
    #[command(flatten)]
    place: Place,

    /// All figures there are, as JSON
    #[arg(long)]
    json: bool,
}

/// Prints the figures.
pub(super) fn run(args: &StatArgs) -> Result<Verdict, Stop> {
    let figures = args.place.open()?.figures()?;
    let text = if args.json {
        format!("{figures:#}")
    } else {
        lines(&figures).join("\n")
    };
    say(&text)?;
    Ok(Verdict::Fine)
}

fn lines(figures: &Value) -> Vec<String> {
    let controller = &figures["controller"];
    let space = &controller["space"];
    let bytes = |name: &str| size(space[name].as_u64().unwrap_or(0));
    let fragmentation = space["fragmentation"].as_f64().unwrap_or(0.0) * 100.0;
    let mut lines = Vec::new();
    if let Some(id) = figures["store"].as_str() {
        lines.push(format!("store       {id}"));
    }
    lines.push(format!("blocks      {}", controller["blocks"]));
    lines.push(format!("contents    {}", bytes("content_bytes")));
    lines.push(format!(
        "data file   {}: {} in use, {} free",
        bytes("size"),
        bytes("used_bytes"),
        bytes("free_bytes")
    ));
    lines.push(format!(
        "free space  largest piece {}, fragmentation {fragmentation:.1} %",
        bytes("largest_free")
    ));
    if let Some(durability) = controller["durability"].as_str() {
        lines.push(format!("durability  {durability}"));
    }
    if controller["is_poisoned"] == true {
        lines.push(
            "poisoned    a sync failed: nothing is stored until the server starts again".to_owned(),
        );
    }
    lines.push(format!("damaged     {}", controller["damaged"]));
    let damaged = controller["damaged_list"].as_array();
    for block in damaged.into_iter().flatten() {
        let hash = block["hash"].as_str().unwrap_or_default();
        let what = block["damage"].as_str().unwrap_or("found earlier");
        lines.push(format!("  {hash}  {what}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_lines() {
        let figures = serde_json::json!({
            "controller": {
                "blocks": 3,
                "durability": "durable",
                "is_poisoned": true,
                "space": { "size": 2_097_152, "used_bytes": 8192, "free_bytes": 2_088_960,
                    "content_bytes": 5000, "largest_free": 1_048_576, "fragmentation": 0.123 },
                "damaged": 1,
                "damaged_list": [{ "hash": "ab", "damage": null }],
            }
        });
        let text = lines(&figures).join("\n");
        for part in [
            "blocks      3\n",
            "contents    4.88 KiB\n",
            "2.00 MiB: 8.00 KiB in use",
            "largest piece 1.00 MiB, fragmentation 12.3 %",
            "poisoned",
            "damaged     1\n  ab  found earlier",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
