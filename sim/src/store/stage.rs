//! One run with a store: rounds of storm, each with an end of its own, then calm and the last count.
//!
//! ```text
//!   round: clients ask, faults strike ─▶ rest, shutdown, kill or power cut ─▶ audit of what is left ─▶ next
//!   calm:  no more faults; every content is asked for, damaged ones are mended
//!   end:   nothing under way, no lease astray, every byte of the file accounted for
//! ```
//!
//! The audit looks at index and file behind the server's back: every row has its bytes, every acknowledged
//! content its row, every deleted one none.

use std::collections::BTreeMap;
use std::time::Duration;

use hioload_base::{Prng, Time};
use hioload_blocks::{Class, Hash, Index, MemoryIndex};
use hioload_reactor::sim::{DiskFault, DiskFaultCounts, SimNet};

use super::ask::Ask;
use super::asker::Asker;
use super::content::{Content, State};
use super::judge::{Excuses, Judge};
use super::machine::{Machine, Moment};
use super::plan::Plan;
use super::server::Server;
use crate::event::{Event, Notes};
use crate::plan::pick;
use crate::reader::Reader;

/// Time moves by at most so much in a step.
pub(super) const STEP: Duration = Duration::from_millis(1);
/// Virtual time in which everything under way has to end once faults have stopped.
const CALM_MAX: Duration = Duration::from_secs(120);
/// Virtual time of a shutdown when nobody is slow and nothing fails.
const SHUTDOWN_CALM_MAX: Duration = Duration::from_secs(1);
/// How long a poisoned store is left in service.
const POISONED_MAX: Duration = Duration::from_millis(20);
/// Starts of a server that a faulty disk may refuse.
const STARTS_MAX: u32 = 1000;
/// Bytes of buffers that a worker without connections may keep besides its cache.
const KEPT_SIZE_MAX: u64 = (4 + 256) * 1024;

/// How a round ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The server goes on.
    Rest,
    Shutdown,
    /// The process is killed.
    Kill,
    /// The power goes between two turns.
    Cut,
    /// The power goes within a turn of the controller.
    CutAt(Moment),
}

struct Stage<'a> {
    plan: &'a Plan,
    net: SimNet,
    machine: Machine,
    server: Option<Server>,
    askers: Vec<Asker>,
    judge: Judge,
    /// The power has gone, or an unsynced state was killed: what was not durable may be lost.
    has_lost: bool,
    is_draining: bool,
    notes: Notes,
    prng: Prng,
}

/// Runs a plan; a digest of what clients heard, and the faults of the disk.
pub(super) fn run(
    plan: &Plan,
    net: &SimNet,
    machine: &Machine,
    notes: &Notes,
    prng: &mut Prng,
) -> u64 {
    let contents = Content::draw(prng, plan.contents, plan.size_max);
    let judge = Judge::new(contents, plan.store.grace, plan.durability(), notes.clone());
    let asker = |number| {
        let reader = if plan.has_slow_readers {
            Reader::draw(prng, notes)
        } else {
            Reader::fast()
        };
        let habits = plan.habits.clone();
        Asker::new(number, 0, reader, habits, prng.fork(), notes.clone())
    };
    let mut stage = Stage {
        plan,
        net: net.clone(),
        machine: machine.clone(),
        server: None,
        askers: (0..plan.clients).map(asker).collect(),
        judge,
        has_lost: false,
        is_draining: false,
        notes: notes.clone(),
        prng: prng.fork(),
    };
    for _ in 0..plan.rounds {
        stage.round();
    }
    stage.calm_down();
    stage.count();
    stage.shut_down();
    stage.judge.digest
}

impl Stage<'_> {
    fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("it runs")
    }

    fn start(&mut self) {
        if !self.plan.is_calm && self.prng.chance(1, 20) {
            self.machine.refuse_space();
        }
        for _ in 0..STARTS_MAX {
            let before = self.faults();
            let started = Server::start(
                self.plan,
                &self.net,
                &self.machine,
                &mut self.prng,
                &self.notes,
            );
            match started {
                Ok(server) => {
                    self.server = Some(server);
                    return self.check_start();
                }
                Err(error) => {
                    let has_space = self.faults() == before && !self.plan.is_small;
                    assert!(!has_space, "the server does not start: {error}");
                    self.notes.add(Event::StartRefused);
                }
            }
        }
        panic!("the server never starts");
    }

    fn faults(&self) -> DiskFaultCounts {
        self.machine.faults()
    }

    /// Nothing but what the index names is in use.
    fn check_start(&mut self) {
        let mut index = self.machine.index();
        let mut used = 0;
        let rows = index.scan(&mut |_, record| {
            used += u64::from(record.block.size());
            Ok(())
        });
        let rows = rows.expect("a readable index");
        if let Some(max) = self.plan.rows_max {
            index.set_row_count_max(max);
        }
        let stats = self.server().controller_stats();
        assert_eq!(
            stats.blocks, rows,
            "blocks of the controller and rows of the index"
        );
        let journal: u64 = (stats.space.journal.iter().zip(Class::ALL))
            .map(|(count, class)| count * u64::from(class.size()))
            .sum();
        let used = used + journal;
        assert_eq!(stats.space.used_bytes(), used, "bytes in use at the start");
        assert_eq!(
            stats.space.free_bytes,
            stats.space.size - used,
            "bytes free at the start"
        );
    }

    fn round(&mut self) {
        if self.server.is_none() {
            self.start();
        }
        let ending = self.draw_ending();
        if let Ending::CutAt(moment) = ending {
            let after = self.prng.below(6);
            self.machine.cut_at(moment, after);
        }
        if self.prng.chance(self.plan.commit_failure_chance, 100) {
            let after = self.prng.below(20);
            self.machine.index().fail_commit_after(after);
        }
        if self.prng.chance(self.plan.commit_refusal_chance, 100) {
            let after = self.prng.below(20);
            self.machine.index().refuse_commit_after(after);
        }
        for asker in &mut self.askers {
            asker.left = self.plan.asks;
        }
        self.storm();
        self.end(ending);
    }

    fn draw_ending(&mut self) -> Ending {
        let prng = &mut self.prng;
        if self.plan.is_calm {
            return pick(prng, &[Ending::Rest, Ending::Shutdown]);
        }
        match prng.below(10) {
            0 => Ending::Rest,
            1 => Ending::Shutdown,
            2 => Ending::Kill,
            3 | 4 => Ending::Cut,
            _ => Ending::CutAt(pick(prng, &Moment::ALL)),
        }
    }

    /// Until all is said and answered, the time is up, or something happens that ends the round.
    fn storm(&mut self) {
        let end = self.net.now() + self.plan.storm;
        let mut poisoned_at = None;
        loop {
            self.step();
            let now = self.net.now();
            if self.machine.has_failed() {
                poisoned_at.get_or_insert(now);
            }
            let is_done = self
                .askers
                .iter()
                .all(|asker| asker.left == 0 && asker.is_idle());
            let is_poisoned = poisoned_at.is_some_and(|at: Time| now - at > POISONED_MAX);
            if is_done || now >= end || is_poisoned || self.machine.is_off() {
                return;
            }
        }
    }

    fn step(&mut self) {
        self.server().step(STEP);
        if self.machine.is_off() {
            return;
        }
        self.judge.excuses = self.excuses();
        for asker in &mut self.askers {
            asker.step(&self.net, &mut self.judge);
        }
    }

    fn excuses(&self) -> Excuses {
        let faults = self.faults();
        let fired = |fault: DiskFault| faults.of(fault) > 0;
        let is_relaxed = self.plan.is_relaxed();
        let has_failed = self.machine.has_failed() || fired(DiskFault::WriteFailed);
        Excuses {
            is_full: fired(DiskFault::NoSpace)
                || self.plan.is_small
                || self.plan.rows_max.is_some()
                || self.machine.commits_refused() > 0,
            is_damaged: fired(DiskFault::BitRot)
                || fired(DiskFault::ReadFailed)
                || fired(DiskFault::Misdirected)
                || (is_relaxed && self.has_lost),
            has_failed,
            is_busy: !self.plan.is_calm,
            is_poisoned: self.machine.has_failed(),
            is_slow: !self.plan.is_calm,
            is_draining: self.is_draining,
        }
    }

    fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let deadline = self.net.now() + CALM_MAX;
        while !is_so(self) {
            if self.net.now() >= deadline {
                let waiting = self.askers.iter().filter(|asker| !asker.is_idle());
                let waiting: Vec<String> = waiting.map(Asker::waits_for).collect();
                let server = self.server.as_mut().expect("it runs");
                panic!(
                    "not within {CALM_MAX:?}: {what}; {waiting:?}; {:?}; {:?}; {:?}",
                    server.stats(),
                    server.store_stats(),
                    server.controller_stats()
                );
            }
            self.step();
        }
    }

    fn end(&mut self, ending: Ending) {
        if self.machine.is_off() {
            self.down(false);
            return;
        }
        match ending {
            // A poisoned store is of no further use.
            Ending::Rest if !self.machine.has_failed() => {
                self.notes.add(Event::Rested);
            }
            Ending::Shutdown => self.shut_down(),
            Ending::Rest | Ending::Kill => {
                self.notes.add(Event::Killed);
                self.down(false);
            }
            Ending::Cut | Ending::CutAt(_) => {
                self.notes.add(Event::CutBetween);
                self.machine.cut();
                self.down(false);
            }
        }
    }

    /// The server is gone; what is left is looked at.
    fn down(&mut self, is_all_durable: bool) {
        self.note();
        self.server = None;
        self.is_draining = false;
        for asker in &mut self.askers {
            asker.lose(&mut self.judge);
        }
        if let Some(moment) = self.machine.restart() {
            self.notes.add(moment.event());
        }
        if self.plan.is_relaxed() && !is_all_durable {
            self.has_lost = true;
            self.judge
                .contents_mut()
                .iter_mut()
                .for_each(Content::doubt);
        }
        self.judge.settle(true);
        self.audit();
    }

    /// What a life of the server came to.
    fn note(&mut self) {
        let server = self.server();
        let stats = server.stats();
        let local = server.store_stats();
        let waits = local.iter().map(|local| local.memory_waits).sum();
        let suspicious = local.iter().map(|local| local.suspicious_reads).sum();
        let shared = local.iter().map(|local| local.shared_reads).sum();
        let controller = server.controller_stats();
        self.notes.add_many(Event::MailboxFull, stats.mailbox_full);
        self.notes.add_many(Event::Held, stats.held);
        self.notes.add_many(Event::MemoryWait, waits);
        self.notes.add_many(Event::ReadAgain, suspicious);
        self.notes.add_many(Event::ReadShared, shared);
        self.notes.add_many(Event::Repaired, controller.repaired);
        self.notes.add_many(Event::Recalled, controller.recalled);
    }

    /// In order: the workers end, then the controller.
    fn shut_down(&mut self) {
        for asker in &mut self.askers {
            asker.left = 0;
        }
        self.is_draining = true;
        self.server().shutdown();
        // Clients that do everything right are not waited for until the time-out.
        let limit = if self.plan.is_calm {
            SHUTDOWN_CALM_MAX
        } else {
            CALM_MAX
        };
        let deadline = self.net.now() + limit;
        while !self.server().is_over() {
            assert!(
                self.net.now() < deadline,
                "the workers do not end: {:?}",
                self.server().stats()
            );
            self.step();
            if self.machine.is_off() {
                return self.down(false);
            }
        }
        // What workers said last is done, too.
        for _ in 0..4 {
            self.server().step(STEP);
            if self.machine.is_off() {
                return self.down(false);
            }
        }
        let is_durable = self.server().finish() && !self.machine.is_off();
        self.notes.add(Event::ShutDown);
        self.down(is_durable);
    }

    /// Looks at index and file.
    fn audit(&mut self) {
        let (mut index, replayed) = self.machine.recovered();
        self.notes.add_many(Event::Replayed, replayed);
        let mut rows = BTreeMap::new();
        let scanned = index.scan(&mut |hash, record| {
            rows.insert(*hash, (record.block, record.length));
            Ok(())
        });
        scanned.expect("a readable index");
        let file = self.machine.file();
        let mut wrong = 0;
        for (hash, (block, length)) in &rows {
            let content = self.judge.find(hash);
            let content = content.unwrap_or_else(|| panic!("{hash} was never put"));
            let it = &self.judge.contents()[content];
            assert_eq!(*length as usize, it.bytes.len(), "the length of {hash}");
            let mut bytes = vec![0; it.bytes.len()];
            file.peek(block.offset(), &mut bytes);
            wrong += u64::from(bytes != it.bytes);
        }
        let rotten = self.faults().of(DiskFault::BitRot);
        let is_lossy = self.plan.is_relaxed() && self.has_lost;
        assert!(
            wrong <= rotten || is_lossy,
            "{wrong} contents are not on the disk as they were written, {rotten} bits have rotted"
        );
        self.audit_contents(|hash| rows.contains_key(hash));
        self.audit_references(&mut index);
    }

    fn audit_contents(&mut self, is_row: impl Fn(&Hash) -> bool) {
        for it in self.judge.contents_mut() {
            let is_there = is_row(&it.hash);
            match it.is_there() {
                Some(true) => assert!(is_there, "{} was acknowledged and is lost", it.hash),
                Some(false) => assert!(!is_there, "{} was deleted and is back", it.hash),
                None => it.is_seen(is_there),
            }
        }
    }

    fn audit_references(&mut self, index: &mut MemoryIndex) {
        let mut held = Vec::new();
        let walked = index.scan_references(&[], u64::MAX, &mut |row| {
            held.push(row?.0);
            Ok(())
        });
        walked.expect("a readable index");
        for it in self.judge.contents_mut() {
            let is_held = held.contains(&it.hash);
            match it.reference {
                State::Present => assert!(is_held, "the reference to {} is lost", it.hash),
                State::Absent => assert!(!is_held, "the reference to {} is back", it.hash),
                State::Unknown if is_held => it.reference = State::Present,
                State::Unknown => it.reference = State::Absent,
            }
        }
    }

    /// No more faults: what is under way ends.
    fn calm_down(&mut self) {
        self.net.heal();
        self.machine.heal();
        if self.server.is_none() {
            self.start();
        }
        self.server().heal();
        for asker in &mut self.askers {
            asker.calm_down();
            asker.left = 0;
        }
        self.until("everybody is answered", |stage| {
            stage.askers.iter_mut().for_each(Asker::leave);
            stage.askers.iter().all(|asker| !asker.is_connected())
        });
        let has_failed = self.machine.has_failed();
        if has_failed {
            self.down(false);
            self.start();
            self.server().heal();
        }
        self.rest();
        self.judge.settle(false);
    }

    /// Until the server has nothing under way.
    fn rest(&mut self) {
        self.until("the server comes to rest", |stage| {
            let server = stage.server();
            let controller = server.controller_stats();
            let locals = server.store_stats();
            let leased: u64 = controller.space.leased.iter().sum();
            let pools = locals.iter().flat_map(|local| local.pools);
            let retired: u64 = controller.space.retired.iter().sum();
            let is_idle = locals.iter().all(|local| {
                let busy = local.puts + local.gets + local.calls + local.requests_queued;
                busy + local.reads_in_flight + local.writes_in_flight == 0
            });
            let is_connected = server.stats().connections > 0;
            let pooled: u64 = pools.map(|pool| pool.free).sum();
            is_idle && !is_connected && retired == 0 && leased == pooled
        });
    }

    /// Everything is asked for once more, and all space is accounted for.
    fn count(&mut self) {
        let contents = self.judge.contents().len();
        for content in 0..contents {
            // Damage that is found behind the first bytes cuts the answer.
            let damaged = |notes: &Notes| {
                let counts = notes.counts();
                counts.of(Event::Damaged) + counts.of(Event::AnswerCut)
            };
            let before = damaged(&self.notes);
            self.ask(Ask::Get {
                content,
                range: None,
                is_head: false,
                is_known: false,
            });
            if damaged(&self.notes) > before {
                self.ask(Ask::Put {
                    content,
                    only_new: false,
                });
                self.notes.add(Event::Mended);
            }
            assert!(
                self.judge.contents()[content].is_there().is_some(),
                "nothing is open any more"
            );
        }
        self.askers.iter_mut().for_each(Asker::leave);
        self.rest();
        self.check_space();
    }

    fn ask(&mut self, ask: Ask) {
        let Self {
            askers, net, judge, ..
        } = self;
        askers[0].ask(net, ask, judge);
        self.until("the answer", |stage| stage.askers[0].is_idle());
    }

    fn check_space(&mut self) {
        let mut rows = [0; Class::COUNT];
        let mut bytes = 0;
        let scanned = self.machine.index().scan(&mut |_, record| {
            rows[record.block.class().index()] += 1;
            bytes += u64::from(record.length);
            Ok(())
        });
        scanned.expect("a readable index");
        let there = self.judge.contents().iter();
        let there = there.filter(|it| it.state == State::Present).count() as u64;
        let has_failed = self.excuses().has_failed;
        let server = self.server();
        let stats = server.controller_stats();
        assert_eq!(stats.space.stored, rows, "blocks stored, by class");
        assert_eq!(stats.space.content_bytes, bytes, "bytes of contents");
        assert_eq!(stats.blocks, there, "blocks stored and contents put");
        assert_eq!(
            stats.space.used_bytes() + stats.space.free_bytes,
            stats.space.size,
            "bytes in use and free: {:?}",
            stats.space
        );
        let suspect: u64 = stats.space.suspect.iter().sum();
        assert!(suspect == 0 || has_failed, "{suspect} blocks are set aside");
        for local in server.store_stats() {
            let memory = local.write_memory + local.gather_memory + local.read_memory;
            assert_eq!(memory, 0, "memory of nothing that is under way: {local:?}");
        }
        server.check();
        let caches: u64 = server
            .store_stats()
            .iter()
            .map(|local| 2 * local.cache_bytes + 4096 * local.cache_entries)
            .sum();
        let stats = server.stats();
        let kept_max = caches + KEPT_SIZE_MAX * self.plan.workers as u64;
        assert!(
            stats.pool_in_use <= kept_max,
            "{} bytes of buffers are never given back, {caches} are cached",
            stats.pool_in_use
        );
        assert_eq!(stats.assembly_size, 0, "bodies without connections");
        assert_eq!(stats.stale, 0, "stale completions");
        let losses: u64 = self.askers.iter().map(|asker| asker.losses).sum();
        assert!(
            losses == 0 || !self.plan.is_calm,
            "{losses} connections lost"
        );
    }
}
