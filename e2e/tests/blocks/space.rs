//! No space: whoever needs some is told, everything else goes on.

use std::path::Path;
use std::process::Command;

use hioload::{DriverChoice, StoreConfig};
use hioload_e2e::{Running, Web, hash_of};

use crate::kit::{Scene, builder, config, content};

const MIB: u64 = 1 << 20;

/// Puts blocks until there is no space for one more; how many fit.
#[track_caller]
fn fill(web: &mut Web, size: usize, count_max: u64) -> u64 {
    for seed in 0..count_max {
        let answer = web.put(&content(seed, size));
        match answer.status {
            201 => {}
            507 => {
                assert!(answer.text().contains("space"), "{}", answer.text());
                return seed;
            }
            status => panic!("{status}: {}", answer.text()),
        }
    }
    panic!("{count_max} blocks of {size} bytes fit");
}

/// Everything of a full store that needs no space.
#[track_caller]
fn goes_on(dial: impl Fn() -> Web, size: usize, stored: u64) {
    let mut web = dial();
    for seed in 0..stored {
        let content = content(seed, size);
        assert!(web.get(&hash_of(&content)).body == content, "{seed}");
        assert_eq!(
            web.put(&content).status,
            200,
            "what is there needs no space"
        );
    }
    let first = hash_of(&content(0, size));
    assert_eq!(web.ask(&format!("DELETE /{first}"), "", b"").status, 204);
    // Its space comes back when no reader can have it any more.
    hioload_e2e::until("the space of a deleted block", || {
        dial().put(&content(stored, size)).status == 201
    });
    assert!(dial().get(&hash_of(&content(stored, size))).body == content(stored, size));
}

pub(crate) fn a_full_store_says_so_and_takes_deletes(driver: DriverChoice) {
    let scene = Scene::with(driver, |_, store| {
        store.size_max = 2 * MIB;
        store.pools = [0; 8];
    });
    let stored = fill(&mut scene.dial(), 200_000, 100);
    assert_eq!(stored, 7, "blocks of 256 KiB in 2 MiB but for the journal");
    goes_on(|| scene.dial(), 200_000, stored);
    scene.rests();
}

pub(crate) fn a_full_file_system_says_so_and_takes_deletes(driver: DriverChoice) {
    let dir = tempfile::tempdir().expect("a place for files");
    let Some(_mounted) = Mounted::small(dir.path(), 48) else {
        return;
    };
    let store = StoreConfig {
        pools: [0; 8],
        ..config(&dir)
    };
    let server = Running::start(builder(driver, 1, store, |_, _| {}));
    let stored = fill(&mut Web::dial(server.addr()), 400_000, 100);
    assert!(stored >= 16, "{stored} blocks of 512 KiB in 48 MiB");
    goes_on(|| Web::dial(server.addr()), 400_000, stored);
}

/// A file system of its own; gone at the end.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    /// `None`, and said so, where nothing may be mounted.
    fn small(dir: &'a Path, mib: u32) -> Option<Self> {
        let options = format!("size={mib}m");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(dir)
            .output();
        if mount.is_ok_and(|mount| mount.status.success()) {
            return Some(Self(dir));
        }
        eprintln!("NOT RUN on a full file system: nothing may be mounted here");
        None
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

pub(crate) fn space_is_used_again(driver: DriverChoice) {
    let scene = Scene::with(driver, |_, store| {
        store.size_max = 4 * MIB;
        store.pools = [0; 8];
    });
    let mut web = scene.dial();
    // Many times what there is space for, of sizes that split and merge.
    for round in 0..60 {
        let size = [3000, 500_000, 60_000, 130_000][round as usize % 4];
        let contents: Vec<Vec<u8>> = (0..4).map(|n| content(round * 4 + n, size)).collect();
        for content in &contents {
            let mut status = web.put(content).status;
            if status == 507 {
                // What was deleted last may wait for its readers.
                hioload_e2e::until("space", || {
                    status = scene.dial().put(content).status;
                    status == 201
                });
            }
            assert_eq!(status, 201, "round {round}");
        }
        for content in &contents {
            assert!(web.get(&hash_of(content)).body == *content);
            assert_eq!(
                web.ask(&format!("DELETE /{}", hash_of(content)), "", b"")
                    .status,
                204
            );
        }
    }
    drop(web);
    let stats = scene.rests_with(0);
    let space = &stats["controller"]["space"];
    assert_eq!(
        (&stats["controller"]["blocks"], &space["content_bytes"]),
        (&0.into(), &0.into())
    );
    assert_eq!(
        space["used_bytes"]
            .as_u64()
            .map(|used| used + space["free_bytes"].as_u64().expect("free")),
        space["size"].as_u64()
    );
}
