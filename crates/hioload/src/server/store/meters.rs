//! The store's figures as metrics: each worker writes its own, the first one the controller's too.

use hioload_blocks::{ControllerStats, LocalStats};
use hioload_control::{Builder, Counter, CounterId, Gauge, GaugeId, Meter};

/// Counts up for ever, or shows what is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
}
use Kind::{Counter as Counts, Gauge as Shows};

/// A figure: kind, name, help.
type Row = (Kind, &'static str, &'static str);

macro_rules! figures {
    ($rows:ident, $values:ident($stats:ident: $of:ty): $($kind:ident $name:literal $help:literal = $value:expr;)+) => {
        const $rows: &[Row] = &[$(($kind, $name, $help)),+];

        fn $values($stats: &$of) -> impl Iterator<Item = u64> {
            [$($value),+].into_iter()
        }
    };
}

figures! { LOCAL, local_values(stats: LocalStats):
    Shows "puts" "PUTs of blocks under way." = stats.puts;
    Shows "gets" "GETs of blocks under way." = stats.gets;
    Shows "requests_queued" "Requests that wait for the controller's queue." = stats.requests_queued;
    Shows "reads_in_flight" "Reads of the data file under way." = stats.reads_in_flight;
    Shows "writes_in_flight" "Writes to the data file under way." = stats.writes_in_flight;
    Shows "memory_bytes" "Buffers of contents under way." = stats.write_memory + stats.gather_memory + stats.read_memory;
    Shows "pool_free" "Blocks that workers have at hand." = stats.pools.iter().map(|pool| pool.free).sum();
    Counts "pool_refills" "Requests for more blocks at hand." = stats.pools.iter().map(|pool| pool.refills).sum();
    Counts "pool_waits" "PUTs that had to wait for a block." = stats.pools.iter().map(|pool| pool.waits).sum();
    Counts "stored" "Contents stored that were not there." = stats.stored;
    Counts "present" "Contents that were there already." = stats.present;
    Counts "puts_failed" "PUTs that stored nothing." = stats.puts_failed;
    Counts "received_bytes" "Contents received." = stats.bytes_received;
    Counts "sent_bytes" "Contents given out." = stats.bytes_sent;
    Counts "found" "GETs of blocks that are there." = stats.found;
    Counts "missing" "GETs of blocks that are not." = stats.missing;
    Counts "reads" "Reads of the data file." = stats.reads;
    Counts "writes" "Writes to the data file." = stats.writes;
    Counts "write_errors" "Writes that failed." = stats.write_errors;
    Counts "suspicious_reads" "Reads that failed or brought something else than was stored." = stats.suspicious_reads;
    Counts "memory_waits" "Times a read or write waited for memory or a place in the disk's queue." = stats.memory_waits;
    Counts "cache_hits" "GETs answered from the cache." = stats.cache_hits;
    Counts "cache_misses" "GETs of blocks small enough for the cache that were not in it." = stats.cache_misses;
    Counts "shared_reads" "GETs of contents that another GET read for them." = stats.shared_reads;
    Shows "cache_bytes" "Contents in the cache." = stats.cache_bytes;
    Counts "reply_ns_sum" "Nanoseconds that requests waited for the controller." = stats.reply_ns.sum;
    Counts "replies" "Replies of the controller." = stats.reply_ns.count;
}

figures! { CONTROLLER, controller_values(stats: ControllerStats):
    Shows "blocks" "Blocks stored." = stats.blocks;
    Shows "poisoned" "1 after a failed sync or commit: nothing is changed any more." = u64::from(stats.is_poisoned);
    Shows "damaged" "Damaged blocks known." = stats.damaged;
    Shows "file_bytes" "The data file." = stats.space.size;
    Shows "used_bytes" "Blocks in use, leased or not free yet." = stats.space.used_bytes();
    Shows "free_bytes" "Free space in the data file." = stats.space.free_bytes;
    Shows "content_bytes" "Contents stored." = stats.space.content_bytes;
    Shows "fragmentation_ppm" "Free space that is not in whole megabytes, in millionths." = (stats.space.fragmentation * 1e6) as u64;
    Counts "batches" "Batches of changes." = stats.batch.count;
    Counts "changes" "Changes in all batches." = stats.batch.sum;
    Counts "syncs" "Syncs of the data file." = stats.sync_ns.count;
    Counts "sync_ns_sum" "Nanoseconds of all syncs." = stats.sync_ns.sum;
    Counts "commits" "Commits of the index." = stats.commit_ns.count;
    Counts "journaled" "Batches made durable by the journal." = stats.journaled;
    Counts "index_syncs" "Syncs of the index." = stats.index_sync_ns.count;
    Counts "index_sync_ns_sum" "Nanoseconds of all syncs of the index." = stats.index_sync_ns.sum;
    Counts "commit_ns_sum" "Nanoseconds of all commits." = stats.commit_ns.sum;
    Counts "repaired" "Damaged contents that came again." = stats.repaired;
    Counts "released" "Blocks deleted." = stats.released;
    Counts "releases_refused" "Deletes refused because of references or promises." = stats.releases_refused;
    Counts "leases_refused" "Times blocks that PUTs waited for were refused for want of space." = stats.leases_refused;
    Counts "recalls" "Times a worker was asked for the blocks it has at hand." = stats.recalls;
    Counts "recalled" "Blocks that were returned then." = stats.recalled;
    Counts "parks" "Times the controller slept." = stats.pause.parks;
}

/// Places of the metrics.
#[derive(Clone, Debug)]
pub(in crate::server) struct StoreCatalogue {
    local: Vec<Id>,
    controller: Vec<Id>,
}

#[derive(Clone, Copy, Debug)]
enum Id {
    Counter(CounterId),
    Gauge(GaugeId),
}

enum Place {
    Counter(Counter),
    Gauge(Gauge),
}

/// The metrics of one worker.
pub(in crate::server) struct StoreMeters {
    local: Vec<Place>,
    controller: Vec<Place>,
}

impl StoreCatalogue {
    pub(in crate::server) fn build(builder: &mut Builder) -> Self {
        let mut ids = |rows: &[Row]| {
            let id = |(kind, name, help): &Row| {
                let name = format!("hioload_blocks_{name}");
                let ours = "invariant: each name is given once";
                match kind {
                    Counts => Id::Counter(builder.counter(&name, help).expect(ours)),
                    Shows => Id::Gauge(builder.gauge(&name, help).expect(ours)),
                }
            };
            rows.iter().map(id).collect()
        };
        Self {
            local: ids(LOCAL),
            controller: ids(CONTROLLER),
        }
    }

    pub(in crate::server) fn meters(&self, meter: &Meter) -> StoreMeters {
        let place = |id: &Id| match *id {
            Id::Counter(id) => Place::Counter(meter.counter(id)),
            Id::Gauge(id) => Place::Gauge(meter.gauge(id)),
        };
        StoreMeters {
            local: self.local.iter().map(place).collect(),
            controller: self.controller.iter().map(place).collect(),
        }
    }
}

impl StoreMeters {
    pub(super) fn publish_local(&self, stats: &LocalStats) {
        publish(&self.local, local_values(stats));
    }

    pub(super) fn publish_controller(&self, stats: &ControllerStats) {
        publish(&self.controller, controller_values(stats));
    }
}

fn publish(places: &[Place], values: impl Iterator<Item = u64>) {
    for (place, value) in places.iter().zip(values) {
        match place {
            Place::Counter(counter) => counter.publish(value),
            Place::Gauge(gauge) => gauge.set(value.cast_signed()),
        }
    }
}
