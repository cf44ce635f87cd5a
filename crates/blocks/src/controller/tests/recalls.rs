//! Space that workers have at hand while PUTs of others wait for some. The file has room for two of the largest blocks.

use super::*;

impl Rig {
    fn ask(&mut self, worker: usize, class: Class, count: u8, needed: u8) -> RequestId {
        let id = self.id();
        self.controller.push(
            worker,
            Request::Lease {
                id,
                class,
                count,
                needed,
            },
        );
        id
    }

    fn turn(&mut self) -> Replies {
        let (mut replies, now) = (Replies::new(), self.now);
        self.controller.cycle(&mut || now, &mut replies);
        replies
    }

    /// Blocks to have at hand, as many as there are.
    fn take(&mut self, worker: usize, class: Class, count: u8) -> Vec<Block> {
        self.ask(worker, class, count, 0);
        match &self.turn()[..] {
            [(to, Reply::Leased { blocks, .. })] if *to == worker => blocks.iter().collect(),
            replies => panic!("{replies:?}"),
        }
    }

    fn give_back(&mut self, worker: usize, blocks: &[Block]) {
        for blocks in blocks.chunk_by(|one, other| one.class() == other.class()) {
            for blocks in blocks.chunks(Leased::COUNT_MAX) {
                let mut returned = Leased::new(blocks[0].class());
                blocks.iter().for_each(|block| returned.push(*block));
                let blocks = returned;
                self.controller.push(worker, Request::ReturnMany { blocks });
            }
        }
        self.controller.push(worker, Request::Recalled);
    }
}

fn refused(worker: usize, id: RequestId) -> (usize, Reply) {
    let fault = Fault::NoSpace;
    (worker, Reply::Failed { id, fault })
}

fn given(replies: &Replies) -> Vec<(usize, usize)> {
    let given = replies.iter().filter_map(|(worker, reply)| match reply {
        Reply::Leased { blocks, .. } => Some((*worker, blocks.len())),
        _ => None,
    });
    given.collect()
}

#[test]
fn a_put_gets_what_another_worker_has_at_hand_even_in_pieces() {
    for class in [Class::MAX, Class::MIN] {
        let mut rig = rig(config());
        let mut at_hand = Vec::new();
        while rig.stats().space.free_bytes > 0 || rig.stats().space.size == 0 {
            at_hand.extend(rig.take(0, class, 12));
        }
        rig.ask(1, Class::MAX, 3, 1);
        assert_eq!(rig.turn(), [(0, Reply::Recall)]);
        assert_eq!(rig.turn(), [], "once");
        rig.give_back(0, &at_hand);
        assert_eq!(given(&rig.turn()), [(1, 1)], "no more than it needs");
        let stats = rig.stats();
        assert_eq!((stats.recalls, stats.leases_refused), (1, 0));
        assert_eq!(stats.recalled, at_hand.len() as u64);
        assert_eq!(stats.space.largest_free, u64::from(Class::MAX.size()));
    }
}

#[test]
fn who_waits_for_space_of_its_own_gets_it_back_in_another_size() {
    let mut rig = rig(config());
    let at_hand = rig.take(0, Class::MIN, 2);
    assert_eq!(rig.take(0, Class::MAX, 2).len(), 1);
    rig.ask(0, Class::MAX, 1, 1);
    assert_eq!(rig.turn(), [(0, Reply::Recall)]);
    rig.give_back(0, &at_hand);
    assert_eq!(given(&rig.turn()), [(0, 1)]);
}

#[test]
fn nothing_at_hand_is_refused_as_soon_as_that_is_known_and_nobody_is_asked_again() {
    let mut rig = rig(config());
    assert_eq!(rig.take(0, Class::MAX, 2).len(), 2);
    let id = rig.ask(1, Class::MIN, 1, 1);
    assert_eq!(rig.turn(), [(0, Reply::Recall)]);
    // Both are under PUTs that go on.
    rig.give_back(0, &[]);
    assert_eq!(rig.turn(), [refused(1, id)]);
    for worker in [0, 1] {
        let id = rig.ask(worker, Class::MIN, 1, 1);
        assert_eq!(rig.turn(), [refused(worker, id)], "at once");
    }
    let stats = rig.stats();
    assert_eq!((stats.recalls, stats.leases_refused), (1, 3));
    assert_eq!(stats.leases_refused_late, 0);
}

#[test]
fn a_worker_that_stands_still_is_waited_for_a_little() {
    let mut rig = rig(config());
    let at_hand = rig.take(0, Class::MAX, 2);
    let id = rig.ask(1, Class::MIN, 1, 1);
    let until = rig.now + config().lease_wait;
    assert_eq!(rig.cycle(), (vec![Reply::Recall], Next::At(until)));
    rig.now = until;
    assert_eq!(rig.turn(), [refused(1, id)]);
    assert_eq!(rig.stats().leases_refused_late, 1);
    rig.ask(1, Class::MIN, 1, 1);
    assert_eq!(rig.turn(), [], "one question is unanswered");
    rig.give_back(0, &at_hand);
    assert_eq!(given(&rig.turn()), [(1, 1)]);
    // Where nothing is waited for, nothing is recalled in vain.
    let mut rig = super::rig(ControllerConfig {
        lease_wait: Duration::ZERO,
        ..config()
    });
    rig.take(0, Class::MAX, 2);
    let id = rig.ask(1, Class::MIN, 1, 1);
    assert_eq!(rig.turn(), [refused(1, id)]);
}

#[test]
fn two_that_starve_at_once_are_both_served() {
    let mut rig = rig(config());
    let mine = rig.take(0, Class::MIN, 1);
    let theirs = rig.take(1, Class::MAX, 1);
    rig.ask(0, Class::MAX, 12, 1);
    rig.ask(1, Class::MAX, 12, 1);
    assert_eq!(rig.turn(), [(0, Reply::Recall), (1, Reply::Recall)]);
    rig.give_back(1, &theirs);
    assert_eq!(given(&rig.turn()), [(0, 1)], "who has waited longest");
    rig.give_back(0, &mine);
    assert_eq!(given(&rig.turn()), [(1, 1)]);
    assert_eq!(rig.stats().recalls, 2, "no lease goes round");
}

#[test]
fn while_a_put_starves_nobody_gets_more_than_puts_need() {
    let mut rig = rig(config());
    rig.take(0, Class::MIN, 1);
    rig.take(0, Class::MAX, 1);
    rig.ask(1, Class::MAX, 1, 1);
    assert_eq!(rig.turn(), [(0, Reply::Recall)]);
    let id = rig.ask(0, Class::MIN, 12, 0);
    assert_eq!(rig.turn(), [refused(0, id)], "to have some at hand");
    rig.ask(0, Class::MIN, 12, 2);
    assert_eq!(given(&rig.turn()), [(0, 2)]);
    assert_eq!(rig.stats().leases_refused, 0, "no PUT waited");
}

#[test]
fn with_space_enough_nobody_is_asked() {
    let mut rig = rig(ControllerConfig {
        size_max: 64 * MIB,
        ..config()
    });
    for n in 0..200 {
        let class = Class::ALL[n % Class::COUNT];
        rig.ask(n % 2, class, 12, (n % 3) as u8);
        assert_eq!(given(&rig.turn()), [(n % 2, 12)]);
        if rig.stats().space.free_bytes < 50 * MIB {
            break;
        }
    }
    // No space to have at hand is no reason either.
    let mut rig = super::rig(config());
    rig.take(0, Class::MAX, 2);
    let id = rig.ask(1, Class::MIN, 12, 0);
    assert_eq!(rig.turn(), [refused(1, id)]);
    assert_eq!(rig.stats().recalls, 0);
}

#[test]
fn poisoned_nothing_is_waited_for() {
    let mut rig = rig(config());
    let block = rig.take(0, Class::MAX, 2)[0];
    let id = rig.ask(1, Class::MIN, 1, 1);
    assert_eq!(rig.turn(), [(0, Reply::Recall)]);
    rig.medium.fail_sync();
    rig.occupy(1, block);
    let fault = Fault::Poisoned;
    let replies = rig.settle();
    assert!(
        replies.contains(&Reply::Failed { id, fault }),
        "{replies:?}"
    );
}
