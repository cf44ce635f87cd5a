//! Opening and making stores: what belongs together, who may have it, and what a damaged directory says.

use std::fs;
use std::path::Path;

use hioload_base::Time;
use hioload_blocks::{
    Block, Class, Controller, ControllerConfig, DATA_FILE, Disk, FileOptions, Flags, FormatError,
    Hash, INDEX_FILE, Index, LOCK_FILE, MACRO, MdbxOptions, MetaKey, Next, Record, Refer, Replies,
    Reply, Request, RequestId, Store, StoreError, StoreOptions, Sums,
};
use tempfile::TempDir;

const OPTIONS: StoreOptions = StoreOptions {
    creates: true,
    index: MdbxOptions {
        map_size_max: 16 << 20,
        growth_step: 1 << 20,
        reserve_size: 256 << 10,
        readers_max: 8,
    },
    file: FileOptions {
        is_direct: false,
        writes_zeros: false,
    },
    gives_up_journal: false,
};

const EXISTING: StoreOptions = StoreOptions {
    creates: false,
    ..OPTIONS
};

fn place() -> TempDir {
    tempfile::tempdir().expect("a place for files")
}

fn open(path: &Path) -> Store {
    Store::open(path, OPTIONS).expect("opens")
}

fn message(path: &Path, options: StoreOptions) -> String {
    Store::open(path, options).expect_err("refused").to_string()
}

#[test]
fn a_new_store_is_found_again_with_what_is_in_it() {
    let place = place();
    let path = place.path().join("a/b/data");
    let mut store = open(&path);
    assert!(store.is_new);
    let superblock = store.superblock;
    store.disk.grow(MACRO).expect("room");
    let record = Record {
        block: Block::new(0, Class::MIN).expect("aligned"),
        length: 7,
        created: 1,
        flags: Flags::NONE,
        sums: Sums::of(b"content"),
    };
    let mut index = store.index.writer();
    index
        .put_block(&Hash::of(b"content"), &record)
        .expect("room");
    index.commit(true).expect("commits");
    drop((index, store.disk, store.lock));

    let store = Store::open(&path, EXISTING).expect("opens");
    assert!(!store.is_new);
    assert_eq!(store.superblock, superblock);
    assert_eq!(store.disk.size(), MACRO);
    let block = store.index.writer().block(&Hash::of(b"content"));
    assert_eq!(block, Ok(Some(record)));
}

#[test]
fn what_only_the_journal_has_is_there_when_the_store_is_opened() {
    let place = place();
    let index_path = place.path().join(INDEX_FILE);
    let controller = |store: Store| {
        let config = ControllerConfig {
            size_initial: 0,
            ..ControllerConfig::default()
        };
        let index = Box::new(store.index.writer());
        let made = Controller::new(index, Box::new(store.disk), config, 1);
        (made.expect("a new store"), store.lock)
    };
    let (running, lock) = controller(open(place.path()));
    let index_before = fs::read(&index_path).expect("reads");
    let mut running = running;
    let (mut replies, now) = (Replies::new(), Time::from_millis(1));
    let mut ask = |request| {
        running.push(0, request);
        while running.cycle(&mut || now, &mut replies) == Next::Again {}
        replies.pop().expect("an answer").1
    };
    let id = RequestId(1);
    let (hash, class, count, needed) = (Hash::of(b"content"), Class::MIN, 1, 1);
    let Reply::Leased { blocks, .. } = ask(Request::Lease {
        id,
        class,
        count,
        needed,
    }) else {
        panic!("there is space");
    };
    let block = blocks.iter().next().expect("one");
    let stored = ask(Request::Occupy {
        id,
        hash,
        unit: block.unit(),
        length: 7,
        sums: Sums::of(b"content"),
    });
    assert!(matches!(stored, Reply::Stored { .. }), "{stored:?}");
    let call = Refer {
        hash,
        name: b"name".as_slice().into(),
        value: b"value".as_slice().into(),
        only_new: false,
    };
    let call = Box::new(call);
    let referred = ask(Request::Refer { id, call });
    assert!(matches!(referred, Reply::Referred { .. }), "{referred:?}");
    drop((running, lock));

    // The machine stopped before the index was synced.
    fs::write(&index_path, index_before).expect("writes");
    let store = Store::open(place.path(), EXISTING).expect("opens");
    assert_eq!((store.replayed.entries, store.replayed.unwritten), (2, 0));
    let mut index = store.index.writer();
    assert_eq!(
        index.block(&hash).map(|record| record.map(|it| it.block)),
        Ok(Some(block))
    );
    assert_eq!(index.reference_count(&hash, 9), Ok(1));
    drop((index, store.disk, store.lock));
    assert_eq!(open(place.path()).replayed.entries, 0);
}

#[test]
fn no_two_stores_are_the_same() {
    let (a, b) = (place(), place());
    assert_ne!(open(a.path()).superblock.id, open(b.path()).superblock.id);
}

#[test]
fn a_store_is_open_once() {
    let place = place();
    let store = open(place.path());
    let refused = Store::open(place.path(), OPTIONS).expect_err("in use");
    let own = std::process::id();
    assert!(
        matches!(&refused, StoreError::InUse { process: Some(process), .. } if *process == own)
    );
    assert!(
        refused
            .to_string()
            .contains(&format!("in use by process {own}"))
    );
    // The one that has it is not disturbed.
    let mut index = store.index.writer();
    index
        .put_meta(MetaKey::Superblock, &store.superblock.encode())
        .expect("room");
    index.commit(true).expect("commits");
    drop((index, store.disk, store.lock));
    assert!(Store::open(place.path(), EXISTING).is_ok());
}

#[test]
fn nothing_is_made_where_nothing_was_asked_to_be() {
    let place = place();
    let path = place.path().join("data");
    assert!(message(&path, EXISTING).contains("is missing"));
    assert!(!path.exists());
    assert!(message(place.path(), EXISTING).contains("is missing"));
    assert_eq!(fs::read_dir(place.path()).expect("a directory").count(), 0);
}

#[test]
fn a_part_that_is_lost_is_told() {
    for (lost, creates) in [(DATA_FILE, false), (DATA_FILE, true), (INDEX_FILE, false)] {
        let place = place();
        drop(open(place.path()));
        fs::remove_file(place.path().join(lost)).expect("removes");
        let options = StoreOptions { creates, ..OPTIONS };
        let refused = Store::open(place.path(), options).expect_err("refused");
        assert!(
            matches!(&refused, StoreError::Absent { path } if path.ends_with(lost)),
            "{refused}"
        );
        // And not made in its place.
        assert!(!place.path().join(lost).exists());
    }
}

#[test]
fn data_without_their_index_are_not_taken_for_free_space() {
    let place = place();
    let mut store = open(place.path());
    store.disk.grow(MACRO).expect("room");
    drop(store);
    fs::remove_file(place.path().join(INDEX_FILE)).expect("removes");
    let refused = Store::open(place.path(), OPTIONS).expect_err("refused");
    assert!(
        matches!(refused, StoreError::Incomplete { .. }),
        "{refused}"
    );
    assert!(refused.to_string().contains("restore index.mdbx"));
}

#[test]
fn a_store_that_was_not_completed_is() {
    // What a crash leaves at each step of making one.
    let steps: [&dyn Fn(&Path); 3] = [
        &|path| fs::write(path.join(LOCK_FILE), "1\n").expect("writes"),
        &|path| fs::write(path.join(DATA_FILE), "").expect("writes"),
        &|path| {
            drop(hioload_blocks::Mdbx::open(&path.join(INDEX_FILE), OPTIONS.index).expect("opens"));
        },
    ];
    for count in 0..=steps.len() {
        let place = place();
        steps[..count].iter().for_each(|step| step(place.path()));
        assert!(open(place.path()).is_new, "{count}");
        assert!(!open(place.path()).is_new, "{count}");
    }
}

#[test]
fn other_formats_and_other_files_are_refused() {
    let place = place();
    let store = open(place.path());
    let mut later = store.superblock.encode();
    later[8] = 3;
    let mut index = store.index.writer();
    index.put_meta(MetaKey::Superblock, &later).expect("room");
    index.commit(true).expect("commits");
    drop((index, store.disk, store.lock));
    let refused = Store::open(place.path(), EXISTING).expect_err("refused");
    assert!(matches!(
        refused,
        StoreError::Format(FormatError::Other { found: 3 })
    ));
    assert!(refused.to_string().contains("format 3"));

    fs::write(place.path().join(INDEX_FILE), vec![b'x'; 1 << 16]).expect("writes");
    let refused = message(place.path(), EXISTING);
    assert!(refused.contains("index"), "{refused}");
}

#[test]
fn a_lock_without_a_process_is_still_a_lock() {
    let place = place();
    let store = open(place.path());
    fs::write(place.path().join(LOCK_FILE), "").expect("writes");
    let refused = message(place.path(), OPTIONS);
    assert!(refused.contains("in use by another process"), "{refused}");
    drop(store);
}
