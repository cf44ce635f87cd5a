//! `GET /stats`: the figures of all parts of the store, as JSON.

use hioload_blocks::{Class, ControllerStats, LocalStats, Tally};
use serde_json::{Value, json};

use super::board::Board;
use crate::server::hub::Hub;

impl Hub {
    /// The body of `GET /stats`.
    pub(in crate::server) fn store_stats(&mut self) -> Vec<u8> {
        let Some(store) = &self.store else {
            return b"{}".to_vec();
        };
        to_json(store.board()).to_string().into_bytes()
    }
}

/// All figures.
pub(crate) fn to_json(board: &Board) -> Value {
    let workers = board.workers();
    json!({
        "controller": controller(&board.controller()),
        "totals": worker(&total(&workers)),
        "by_worker": workers.iter().map(worker).collect::<Vec<Value>>(),
    })
}

fn controller(stats: &ControllerStats) -> Value {
    let damaged: Vec<Value> = stats
        .damaged_list
        .iter()
        .map(|block| {
            json!({
                "hash": block.hash.to_string(),
                "offset": block.offset,
                "damage": block.damage.map(|damage| damage.to_string()),
                "found_ms": block.found_ms,
            })
        })
        .collect();
    let space = &stats.space;
    json!({
        "durability": stats.durability.to_string(),
        "is_poisoned": stats.is_poisoned,
        "blocks": stats.blocks,
        "space": {
            "size": space.size,
            "size_max": space.size_max,
            "used_bytes": space.used_bytes(),
            "free_bytes": space.free_bytes,
            "content_bytes": space.content_bytes,
            "largest_free": space.largest_free,
            "fragmentation": space.fragmentation,
            "stored": by_class(&space.stored),
            "leased": by_class(&space.leased),
            "retired": by_class(&space.retired),
            "suspect": by_class(&space.suspect),
            "journal": by_class(&space.journal),
            "free": by_class(&space.free),
            "grown": space.grown,
            "grow_refusals": space.grow_refusals,
        },
        "cycles": stats.cycles,
        "cycles_idle": stats.cycles_idle,
        "queue_depth": tally(&stats.queue_depth),
        "batch": tally(&stats.batch),
        "sync_ns": tally(&stats.sync_ns),
        "commit_ns": tally(&stats.commit_ns),
        "index_sync_ns": tally(&stats.index_sync_ns),
        "journaled": stats.journaled,
        "pause": {
            "spins": stats.pause.spins,
            "yields": stats.pause.yields,
            "parks": stats.pause.parks,
        },
        "lookups": stats.lookups,
        "leases": stats.leases,
        "leases_refused": stats.leases_refused,
        "leases_refused_late": stats.leases_refused_late,
        "recalls": stats.recalls,
        "recalled": stats.recalled,
        "stored": stats.stored,
        "present": stats.present,
        "repaired": stats.repaired,
        "released": stats.released,
        "releases_refused": stats.releases_refused,
        "batches_failed": stats.batches_failed,
        "batches_index_full": stats.batches_index_full,
        "rows_corrupt": stats.rows_corrupt,
        "promises": stats.promises,
        "epoch": stats.epoch,
        "damaged": stats.damaged,
        "damaged_list": damaged,
    })
}

/// Figures of one worker, or of several.
macro_rules! local_figures {
    ($($name:ident),+ $(,)?) => {
        fn worker(stats: &LocalStats) -> Value {
            let pools = stats.pools.iter().zip(Class::ALL).map(|(pool, class)| {
                let figures = json!({
                    "free": pool.free,
                    "target": pool.target,
                    "refills": pool.refills,
                    "waits": pool.waits,
                    "refusals": pool.refusals,
                });
                (class.size().to_string(), figures)
            });
            let mut figures = serde_json::Map::new();
            figures.insert("pools".to_owned(), Value::Object(pools.collect()));
            $(figures.insert(stringify!($name).to_owned(), stats.$name.into());)+
            figures.insert("reply_ns".to_owned(), tally(&stats.reply_ns));
            Value::Object(figures)
        }

        fn total(workers: &[LocalStats]) -> LocalStats {
            let mut total = LocalStats::default();
            for stats in workers {
                for (sum, pool) in total.pools.iter_mut().zip(&stats.pools) {
                    sum.free += pool.free;
                    sum.target += pool.target;
                    sum.refills += pool.refills;
                    sum.waits += pool.waits;
                    sum.refusals += pool.refusals;
                }
                $(total.$name += stats.$name;)+
                total.reply_ns.merge(&stats.reply_ns);
            }
            total
        }
    };
}

local_figures!(
    puts,
    gets,
    calls,
    requests_queued,
    reads_in_flight,
    writes_in_flight,
    write_memory,
    gather_memory,
    read_memory,
    stored,
    present,
    unwritten,
    puts_failed,
    bytes_received,
    bytes_sent,
    found,
    missing,
    reads,
    writes,
    short_ops,
    write_errors,
    suspicious_reads,
    damaged,
    memory_waits,
    cache_hits,
    cache_misses,
    shared_reads,
    cache_evictions,
    cache_bytes,
    cache_entries,
);

/// Counts by size of block in bytes; what is beyond the classes is whole megabytes.
fn by_class(counts: &[u64]) -> Value {
    let size = |order: usize| (4096u64 << order).to_string();
    let pairs = counts.iter().enumerate();
    Value::Object(
        pairs
            .map(|(order, count)| (size(order), json!(count)))
            .collect(),
    )
}

fn tally(tally: &Tally) -> Value {
    json!({
        "count": tally.count,
        "mean": tally.mean(),
        "p50": tally.quantile_bound(1, 2),
        "p99": tally.quantile_bound(99, 100),
        "max": tally.max,
    })
}
