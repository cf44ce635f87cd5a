//! The simulated disk: every fault does what it says, and a crash takes what was not synced and nothing else.

#[path = "disk/model.rs"]
mod model;
#[path = "disk/rig.rs"]
mod rig;

use std::time::Duration;

use hioload_base::{Prng, Time};
use hioload_reactor::sim::{
    CHANCE_OF, DiskConfig, DiskFault, DiskFaultCounts, SimConfig, SimDisk, SimNet,
};
use hioload_reactor::{Driver, Wait};

use crate::model::Model;
use crate::rig::Rig;

const SECTOR: usize = 512;

fn always(fault: DiskFault) -> Rig {
    Rig::new(1, DiskConfig::calm().with(fault, CHANCE_OF))
}

#[test]
fn reads_and_writes_may_be_short() {
    let mut rig = always(DiskFault::ShortWrite);
    for _ in 0..50 {
        assert!(matches!(rig.write(0, &[7; 100]), Ok(1..100)));
    }
    assert_eq!(rig.write(0, &[7]), Ok(1), "one byte is never short");
    assert_eq!(rig.disk.faults().of(DiskFault::ShortWrite), 50);

    let mut rig = always(DiskFault::ShortRead);
    assert_eq!(rig.write(0, &[7; 100]), Ok(100));
    for _ in 0..50 {
        let bytes = rig.read(0, 200).expect("a short read is no error");
        assert!((1..100).contains(&bytes.len()));
        assert!(bytes.iter().all(|byte| *byte == 7));
    }
    assert_eq!(rig.read(99, 1), Ok(vec![7]));
}

#[test]
fn a_failed_write_leaves_any_of_its_sectors() {
    let mut rig = Rig::calm();
    assert_eq!(rig.write(0, &[1; 64 * SECTOR]), Ok(64 * SECTOR));
    rig.disk.arm(DiskFault::WriteFailed, 0);
    assert_eq!(rig.write(0, &[2; 64 * SECTOR]), Err(libc::EIO));
    let mut bytes = [0; 64 * SECTOR];
    rig.file.peek(0, &mut bytes);
    let new = sectors_of(&bytes, 2);
    assert_eq!(new + sectors_of(&bytes, 1), 64, "each sector old or new");
    assert!((1..64).contains(&new), "{new} of 64 written");
}

/// Sectors that hold nothing but `value`.
fn sectors_of(bytes: &[u8], value: u8) -> usize {
    let sectors = bytes.chunks(SECTOR);
    sectors
        .filter(|sector| sector.iter().all(|byte| *byte == value))
        .count()
}

#[test]
fn a_failed_read_brings_nothing() {
    let mut rig = Rig::calm();
    assert_eq!(rig.write(0, &[1; 10]), Ok(10));
    rig.disk.arm(DiskFault::ReadFailed, 0);
    assert_eq!(rig.read(0, 10), Err(libc::EIO));
    assert_eq!(rig.read(0, 10), Ok(vec![1; 10]));
}

#[test]
fn an_armed_fault_fires_once_at_its_chance() {
    let mut rig = Rig::calm();
    rig.disk.arm(DiskFault::WriteFailed, 2);
    let results: Vec<_> = (0..5).map(|_| rig.write(0, &[1; 10])).collect();
    assert_eq!(results, [Ok(10), Ok(10), Err(libc::EIO), Ok(10), Ok(10)]);
    assert_eq!(rig.disk.faults().of(DiskFault::WriteFailed), 1);
    rig.disk.arm(DiskFault::SyncFailed, 1);
    let results: Vec<_> = (0..3).map(|_| rig.file.sync().is_ok()).collect();
    assert_eq!(results, [true, false, true]);
    assert_eq!(rig.disk.sync_count(), 3);
}

#[test]
fn no_space_changes_nothing() {
    let mut rig = Rig::calm();
    assert_eq!(rig.write(0, &[1; 1000]), Ok(1000));
    rig.disk.arm(DiskFault::NoSpace, 0);
    assert_eq!(rig.write(0, &[2; 1000]), Err(libc::ENOSPC));
    assert_eq!(rig.read(0, 1000), Ok(vec![1; 1000]));
    rig.disk.arm(DiskFault::NoSpace, 0);
    let error = rig.file.grow(5000).expect_err("armed");
    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
    assert_eq!(rig.file.size(), 1000);
    rig.file.grow(5000).expect("space");
    rig.file.grow(10).expect("as long already");
    assert_eq!(rig.file.size(), 5000);
}

#[test]
fn a_full_disk_takes_what_fits() {
    let mut config = DiskConfig::calm();
    config.capacity = 10_000;
    let mut rig = Rig::new(1, config);
    let other = rig.disk.create();
    other.grow(4000).expect("space");
    rig.file.grow(5999).expect("space");
    rig.file.grow(6001).expect_err("one too many");
    assert_eq!(rig.write(5000, &[1; 1001]), Ok(1000));
    assert_eq!(rig.file.size(), 6000);
    assert_eq!(rig.write(6000, &[1; 1]), Err(libc::ENOSPC));
    assert_eq!(rig.write(0, &[1; 6000]), Ok(6000), "what is there is there");
    other.grow(4001).expect_err("the disk is full");
}

#[test]
fn rotten_bits_stay_rotten() {
    let mut rig = Rig::calm();
    let good = vec![0x55; 4096];
    assert_eq!(rig.write(0, &good), Ok(4096));
    rig.disk.arm(DiskFault::BitRot, 0);
    let bad = rig.read(0, 4096).expect("no error: that is the trouble");
    let bits = |bytes: &[u8]| -> u32 {
        let pairs = bytes.iter().zip(&good);
        pairs.map(|(a, b)| (a ^ b).count_ones()).sum()
    };
    assert_eq!(bits(&bad), 1);
    assert_eq!(rig.read(0, 4096).as_ref(), Ok(&bad));
    rig.file.sync().expect("calm");
    rig.restart(3);
    assert_eq!(
        rig.read(0, 4096).as_ref(),
        Ok(&bad),
        "not even a crash mends"
    );
    rig.file.rot(17, 3);
    assert_eq!(bits(&rig.read(0, 4096).expect("calm")), 2);
    assert_eq!(rig.write(0, &good), Ok(4096));
    assert_eq!(rig.read(0, 4096), Ok(good), "writing does");
}

#[test]
fn a_misdirected_read_brings_what_lies_elsewhere() {
    let mut rig = Rig::calm();
    for page in 0..8 {
        assert_eq!(rig.write(page * 4096, &[page as u8; 4096]), Ok(4096));
    }
    for page in 0..8 {
        rig.disk.arm(DiskFault::Misdirected, 0);
        let bytes = rig.read(page * 4096, 4096).expect("no error");
        assert!(bytes[0] < 8 && bytes[0] != page as u8);
        assert_eq!(bytes, vec![bytes[0]; 4096]);
        assert_eq!(rig.read(page * 4096, 4096), Ok(vec![page as u8; 4096]));
    }
}

#[test]
fn operations_take_their_time() {
    let mut rig = Rig::calm();
    let before = rig.now();
    rig.write(0, &[1; 10]).expect("calm");
    let took = rig.now() - before;
    let calm = DiskConfig::calm();
    assert!(took >= calm.latency_min && took <= calm.latency_max + Duration::from_micros(10));

    let mut rig = always(DiskFault::Slow);
    let before = rig.now();
    for _ in 0..10 {
        rig.write(0, &[1; 10]).expect("calm");
    }
    assert!(rig.now() - before > 100 * calm.latency_max);
}

#[test]
fn operations_overtake_each_other() {
    let mut rig = Rig::calm();
    for token in 0..20 {
        rig.submit_write(token, token * 4096, &[1; 4096]);
    }
    let tokens: Vec<u64> = rig.finish().into_iter().map(|(token, _)| token).collect();
    assert_eq!(tokens.len(), 20);
    assert!(!tokens.is_sorted());
}

#[test]
fn what_is_synced_survives_every_crash() {
    for seed in 0..200 {
        let mut rig = Rig::calm();
        rig.write(100, &[1; 5000]).expect("calm");
        rig.file.sync().expect("calm");
        rig.write(8192, &[2; 5000]).expect("calm");
        rig.restart(seed);
        assert_eq!(rig.read(100, 5000), Ok(vec![1; 5000]), "seed {seed}");
    }
}

#[test]
fn what_is_not_synced_may_be_kept_lost_or_torn_by_sectors() {
    let (mut kept, mut lost, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let mut rig = Rig::calm();
        rig.write(0, &[1; 16 * SECTOR]).expect("calm");
        rig.file.sync().expect("calm");
        rig.write(0, &[2; 16 * SECTOR]).expect("calm");
        rig.restart(seed);
        let bytes = rig.read(0, 16 * SECTOR).expect("calm");
        let new = sectors_of(&bytes, 2);
        assert_eq!(new + sectors_of(&bytes, 1), 16, "sectors are never mixed");
        match new {
            16 => kept += 1,
            0 => lost += 1,
            _ => torn += 1,
        }
        let counts = rig.disk.faults();
        assert_eq!(counts.of(DiskFault::Lost), u64::from(new == 0));
        assert_eq!(
            counts.of(DiskFault::Torn),
            u64::from((1..16).contains(&new))
        );
    }
    assert!(kept > 30 && lost > 30 && torn > 30, "{kept} {lost} {torn}");
}

#[test]
fn unsynced_writes_survive_in_any_order() {
    let mut later_only = 0;
    for seed in 0..100 {
        let mut rig = Rig::calm();
        rig.file.grow(1 << 20).expect("calm");
        rig.file.sync().expect("calm");
        rig.write(0, &[1; SECTOR]).expect("calm");
        rig.write(4096, &[2; SECTOR]).expect("calm");
        rig.restart(seed);
        let first = rig.read(0, 1).expect("calm") == [1];
        let second = rig.read(4096, 1).expect("calm") == [2];
        let reordered = rig.disk.faults().of(DiskFault::Reordered);
        assert_eq!(reordered, u64::from(second && !first));
        later_only += reordered;
    }
    assert!(later_only > 10, "{later_only}");
}

#[test]
fn a_sync_covers_what_completed_before_it_and_nothing_else() {
    let mut lost = 0;
    for seed in 0..100 {
        let mut rig = Rig::calm();
        rig.file.grow(1 << 20).expect("calm");
        rig.file.sync().expect("calm");
        rig.submit_write(1, 0, &[9; SECTOR]);
        rig.turn(Wait::None);
        // The disk has it, its completion was not seen.
        rig.file.sync().expect("calm");
        rig.restart(seed);
        lost += u64::from(rig.read(0, 1).expect("calm") == [0]);
    }
    assert!((10..90).contains(&lost), "{lost}");
}

#[test]
fn what_a_failed_sync_was_to_write_no_later_sync_writes() {
    let mut rig = Rig::calm();
    rig.write(0, &[1; SECTOR]).expect("calm");
    rig.file.sync().expect("calm");
    rig.write(0, &[2; SECTOR]).expect("calm");
    rig.disk.arm(DiskFault::SyncFailed, 0);
    let error = rig.file.sync().expect_err("armed");
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    assert_eq!(
        rig.read(0, 1),
        Ok(vec![2]),
        "the cache shows it all the same"
    );
    rig.write(4096, &[3; SECTOR]).expect("calm");
    rig.file
        .sync()
        .expect("and the next sync says that all is well");
    rig.restart(1);
    assert_eq!(rig.read(0, 1), Ok(vec![1]), "but it is not");
    assert_eq!(rig.read(4096, 1), Ok(vec![3]));
}

#[test]
fn a_growth_is_durable_with_the_sync_after_it() {
    let mut lost = 0;
    for seed in 0..50 {
        let mut rig = Rig::calm();
        rig.file.grow(10_000).expect("calm");
        rig.file.sync().expect("calm");
        rig.file.grow(20_000).expect("calm");
        rig.write(15_000, &[1; 100]).expect("calm");
        rig.restart(seed);
        let counted = rig.disk.faults().of(DiskFault::LostGrowth);
        assert_eq!(rig.file.size(), if counted == 1 { 10_000 } else { 20_000 });
        if counted == 1 {
            // What lay behind the end does not come back with it.
            rig.file.grow(20_000).expect("calm");
            assert_eq!(rig.read(15_000, 100), Ok(vec![0; 100]));
        }
        lost += counted;
    }
    assert!((10..40).contains(&lost), "{lost}");
}

#[test]
fn a_crash_fails_what_is_in_flight() {
    let mut rig = Rig::calm();
    rig.write(0, &[1; 4096]).expect("calm");
    rig.file.sync().expect("calm");
    rig.submit_write(1, 8192, &[2; 4096]);
    rig.submit_read(2, 0, 4096);
    rig.turn(Wait::None);
    rig.disk.crash(&mut Prng::new(1));
    let mut results = rig.finish();
    results.sort();
    assert_eq!(results, [(1, Err(libc::EIO)), (2, Err(libc::EIO))]);
    assert_eq!(rig.read(0, 4096), Ok(vec![1; 4096]), "the disk works again");
}

#[test]
fn a_process_that_dies_leaves_any_part_of_what_was_in_flight() {
    let (mut kept, mut missing) = (0, 0);
    for seed in 0..20 {
        let mut rig = Rig::new(seed, DiskConfig::calm());
        rig.file.grow(1 << 20).expect("calm");
        rig.write(0, &[1; SECTOR]).expect("calm");
        rig.submit_write(1, 4096, &[2; 8 * SECTOR]);
        rig.turn(Wait::None);
        rig.submit_write(2, 16_384, &[3; SECTOR]);
        rig.new_driver();
        assert_eq!(
            rig.read(0, 1),
            Ok(vec![1]),
            "the cache outlives the process"
        );
        assert_eq!(rig.read(16_384, 1), Ok(vec![0]), "the disk never had it");
        let bytes = rig.read(4096, 8 * SECTOR).expect("calm");
        kept += sectors_of(&bytes, 2);
        missing += sectors_of(&bytes, 0);
    }
    assert_eq!(kept + missing, 160);
    assert!(kept > 20 && missing > 20, "{kept} {missing}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    let run = |seed: u64| {
        let mut model = Model::new(seed, DiskConfig::stormy());
        model.is_checked = false;
        model.run(300);
        model.fingerprint()
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn every_crash_leaves_what_it_may_and_every_fault_fires() {
    let mut counts = DiskFaultCounts::default();
    for seed in 0..60 {
        // Damage that nobody can foresee: the model checks everything but these.
        let config = DiskConfig::stormy()
            .with(DiskFault::BitRot, 0)
            .with(DiskFault::Misdirected, 0);
        let mut model = Model::new(seed, config);
        model.run(300);
        counts += model.disk().faults();
        let mut model = Model::new(seed, DiskConfig::stormy());
        model.is_checked = false;
        model.run(300);
        counts += model.disk().faults();
    }
    println!("{counts}");
    let never: Vec<&str> = counts.never_fired().map(DiskFault::name).collect();
    assert!(never.is_empty(), "never fired: {never:?}");
}

#[test]
fn a_healed_disk_does_no_wrong() {
    let mut rig = always(DiskFault::WriteFailed);
    assert_eq!(rig.write(0, &[1; 10]), Err(libc::EIO));
    rig.disk.arm(DiskFault::NoSpace, 0);
    rig.disk.heal();
    assert_eq!(rig.write(0, &[1; 10]), Ok(10));
}

#[test]
#[should_panic(expected = "only a crash")]
fn a_crash_has_no_chance_of_its_own() {
    SimDisk::new(1, DiskConfig::calm()).arm(DiskFault::Torn, 0);
}

/// A disk goes to the thread that owns the file, a driver stays on its own.
#[test]
fn a_file_may_be_synced_from_another_thread() {
    let mut rig = Rig::calm();
    rig.write(0, &[1; 10]).expect("calm");
    let file = rig.file.clone();
    let thread = std::thread::spawn(move || file.sync());
    thread.join().expect("no panic").expect("calm");
    rig.restart(1);
    assert_eq!(rig.read(0, 10), Ok(vec![1; 10]));
}

#[test]
fn time_stands_still_without_operations() {
    let net = SimNet::new(1, SimConfig::calm());
    let mut driver = net.driver(rig::config());
    let disk = SimDisk::new(1, DiskConfig::calm());
    driver
        .open_file(hioload_reactor::FileHandle::Sim(disk.create()))
        .expect("room");
    let mut events = Vec::new();
    driver.turn(Wait::None, &mut events).expect("a turn");
    assert!(events.is_empty() && net.now() <= Time::from_nanos(1000));
}
