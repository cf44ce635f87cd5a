//! Our figures beside those that the store's first design was measured with.

use super::super::rows::Series;

/// What it said of itself, in MB/s.
const SEED_WRITE: f64 = 725.0;
const SEED_READ: f64 = 1100.0;

/// Contents of 512 KiB: written, and read.
pub(super) fn table(series: &[Series]) -> String {
    let find = |name| series.iter().find(|series| series.name() == name);
    let put = find("put-512k");
    let durable = put.and_then(Series::ours);
    let relaxed = put.and_then(|put| put.beside("relaxed, MB/s"));
    let get = find("get-512k-uncached").and_then(Series::ours);
    let shown = |figure: Option<f64>| {
        figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.0} MB/s"))
    };
    format!(
        "\n| contents of 512 KiB | synced | unsynced | the seed (unsynced, 8 cores) |\n\
         |---|---:|---:|---:|\n\
         | write, one worker | {} | {} | {SEED_WRITE} MB/s |\n\
         | read, one worker, verified | {} | – | {SEED_READ} MB/s |\n",
        shown(durable),
        shown(relaxed),
        shown(get),
    )
}
