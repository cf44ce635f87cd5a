//! A store whose index is full: deleting goes on, with a journal and without.

use hioload_base::Time;
use hioload_blocks::{
    Class, Controller, ControllerConfig, Fault, Hash, MdbxOptions, Next, Refer, Released, Replies,
    Reply, Request, RequestId, Store, StoreOptions, Sums,
};

const ID: RequestId = RequestId(1);

struct Rig {
    controller: Controller,
    replies: Replies,
}

impl Rig {
    fn ask(&mut self, request: Request) -> Reply {
        let now = Time::from_millis(1);
        self.controller.push(0, request);
        while self.controller.cycle(&mut || now, &mut self.replies) == Next::Again {}
        let answers = self.replies.drain(..).map(|(_, reply)| reply);
        let mut answers = answers.filter(|reply| !matches!(reply, Reply::Retire { .. }));
        answers.next().expect("an answer")
    }

    fn store(&mut self, content: &[u8]) -> Hash {
        let (id, class, count, needed) = (ID, Class::MIN, 1, 1);
        let leased = self.ask(Request::Lease {
            id,
            class,
            count,
            needed,
        });
        let Reply::Leased { blocks, .. } = leased else {
            panic!("{leased:?}");
        };
        let stored = self.ask(Request::Occupy {
            id,
            hash: Hash::of(content),
            unit: blocks.iter().next().expect("one").unit(),
            length: content.len() as u32,
            sums: Sums::of(content),
        });
        assert!(matches!(stored, Reply::Stored { .. }), "{stored:?}");
        Hash::of(content)
    }
}

#[test]
fn a_full_index_takes_deletes() {
    for (size_max, has_journal) in [(64 << 20, true), (1 << 20, false)] {
        let place = tempfile::tempdir().expect("a place for files");
        let options = StoreOptions {
            creates: true,
            index: MdbxOptions {
                map_size_max: 4 << 20,
                growth_step: 64 << 10,
                reserve_size: 64 << 10,
                readers_max: 8,
            },
            ..StoreOptions::default()
        };
        let store = Store::open(place.path(), options).expect("opens");
        let config = ControllerConfig {
            size_initial: 0,
            size_max,
            references_max: 1 << 16,
            ..ControllerConfig::default()
        };
        let index = Box::new(store.index.writer());
        let controller = Controller::new(index, Box::new(store.disk), config, 1);
        let mut rig = Rig {
            controller: controller.expect("a new store"),
            replies: Replies::new(),
        };
        let hashes: Vec<Hash> = (0..40u8).map(|n| rig.store(&[n])).collect();
        let mut names = 0..100_000u32;
        loop {
            let call = Refer {
                hash: hashes[0],
                name: names.next().expect("fewer").to_be_bytes().as_slice().into(),
                value: vec![7; 1000].into(),
                only_new: false,
            };
            let call = Box::new(call);
            match rig.ask(Request::Refer { id: ID, call }) {
                Reply::Referred { .. } => {}
                Reply::Failed {
                    fault: Fault::IndexFull,
                    ..
                } => break,
                other => panic!("{other:?}"),
            }
        }
        for hash in &hashes[1..] {
            let released = rig.ask(Request::Release {
                id: ID,
                hash: *hash,
            });
            let outcome = Released::Released;
            assert_eq!(released, Reply::Released { id: ID, outcome });
        }
        let stats = rig.controller.stats();
        assert_eq!((stats.blocks, stats.is_poisoned), (1, false));
        assert_eq!(stats.journaled > 0, has_journal);
        let now = Time::from_millis(1);
        assert_eq!(rig.controller.finish(&mut || now), Ok(()));
        drop((rig, store.lock));
        Store::open(place.path(), options).expect("opens again");
    }
}
