//! What the stream manager costs: `cargo bench -p hioload-streams`.
//!
//! The last two are single measurements: writes by UID from one worker to another through the rings that
//! workers use, and a list of 100,000 autonomous streams in bounded steps.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use hioload_base::{Prng, Time};
use hioload_mem::{BufferPool, PoolConfig, Segment};
use hioload_ring::mesh;
use hioload_streams::{
    ChannelTable, Command, Config, Cursor, End, Filter, Kind, New, Registry, Route, Router, Step,
    StreamUid, Ticket, Total,
};

fn main() {
    divan::main();
    cross_worker_writes();
    long_list();
}

fn registry(streams: u32) -> (Registry, Vec<StreamUid>) {
    let mut registry = Registry::new(1, Config::default(), Total::new(1 << 24));
    let uids = (0..streams)
        .map(|socket| {
            let uid = registry.register(socket, New::of(Kind::WebSocket), Time::ZERO);
            let uid = uid.expect("room");
            registry.detach(uid, Time::ZERO);
            uid
        })
        .collect();
    (registry, uids)
}

/// Streams found in no order, among so many.
#[divan::bench(args = [1, 1000, 100_000])]
fn find(bencher: divan::Bencher<'_, '_>, streams: u32) {
    let (mut registry, uids) = registry(streams);
    let mut prng = Prng::new(1);
    let order: Vec<StreamUid> = (0..4096)
        .map(|_| uids[prng.below(uids.len() as u64) as usize])
        .collect();
    let mut place = 0;
    bencher.bench_local(|| {
        place = (place + 1) % order.len();
        registry.find(order[place]).map(|stream| stream.handle())
    });
}

#[divan::bench]
fn register_and_unregister(bencher: divan::Bencher<'_, '_>) {
    let (mut registry, _) = registry(1000);
    let mut socket = 0;
    bencher.bench_local(|| {
        socket = (socket + 1) % 10_000;
        let uid = registry.register(2000 + socket, New::of(Kind::Sse), Time::ZERO);
        registry.unregister(uid.expect("room"), End::Closed)
    });
}

#[divan::bench]
fn activity(bencher: divan::Bencher<'_, '_>) {
    let (mut registry, _) = registry(1000);
    bencher.bench_local(|| registry.activity_of(divan::black_box(500), 10, 0, Time::ZERO));
}

#[divan::bench]
fn dispatch_to_a_channel(bencher: divan::Bencher<'_, '_>) {
    let mut channels = ChannelTable::new();
    for channel in 1..=u8::MAX {
        channels.add(channel, u32::from(channel)).expect("free");
    }
    bencher.bench_local(|| channels.dispatch(divan::black_box(200)));
}

/// Two workers: one writes by UID, the other finds each stream and takes the write.
fn cross_worker_writes() {
    const WRITES: u64 = 20_000_000;
    let pool = BufferPool::new(PoolConfig::default()).expect("memory");
    let mut buffer = pool.take(64).expect("memory");
    buffer.extend_from_slice(&[b'm'; 64]).expect("room");
    let segment = buffer.seal();
    let (mut registry, uids) = registry(1000);
    let mut ports = mesh::<Command<Segment>>(2, 1024);
    let mut owner = ports.pop().expect("two ports");
    let mut sender = ports.pop().expect("two ports");
    let begin = Instant::now();
    let (full, bytes) = std::thread::scope(|scope| {
        let sending = scope.spawn(move || {
            let router = Router::new(0, 2);
            let (mut sent, mut full) = (0, 0_u64);
            while sent < WRITES {
                let uid = uids[(sent % 1000) as usize];
                let Route::There(to) = router.route(uid) else {
                    unreachable!("the stream is elsewhere");
                };
                let payload = segment.clone();
                let ticket = Ticket::NONE;
                match owner_write(
                    &mut sender,
                    to,
                    Command::Write {
                        uid,
                        ticket,
                        payload,
                    },
                ) {
                    true => sent += 1,
                    false => {
                        full += 1;
                        std::thread::yield_now();
                    }
                }
            }
            full
        });
        let (mut taken, mut bytes) = (0, 0);
        while taken < WRITES {
            let Some((_, Command::Write { uid, payload, .. })) = owner.pop() else {
                std::thread::yield_now();
                continue;
            };
            assert!(registry.find(uid).is_some());
            registry.activity(uid, 0, payload.len() as u64, Time::ZERO);
            bytes += payload.len() as u64;
            taken += 1;
        }
        (sending.join().expect("no panic"), bytes)
    });
    let seconds = begin.elapsed().as_secs_f64();
    let rate = WRITES as f64 / seconds / 1e6;
    println!(
        "cross-worker writes: {rate:.1} million/s ({bytes} bytes; the ring was full {full} times)"
    );
}

fn owner_write(
    sender: &mut hioload_ring::Port<Command<Segment>>,
    to: usize,
    command: Command<Segment>,
) -> bool {
    // Whoever sleeps is woken by the reactor; here nobody sleeps.
    sender.try_send(to, command).map(|_sent| ()).is_ok()
}

fn long_list() {
    let (registry, _) = registry(100_000);
    for (what, filter) in [
        ("all", Filter::default()),
        ("none of", Filter::inactive(Duration::from_secs(3600))),
    ] {
        let (mut cursor, mut rows, mut longest) = (Cursor::START, 0_u64, Duration::ZERO);
        let begin = Instant::now();
        loop {
            let step_begin = Instant::now();
            let mut page = Vec::with_capacity(1024);
            let step = registry.list(Time::ZERO, &filter, &mut cursor, 4096, |info| {
                page.push(info);
                if page.len() == 1024 {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            longest = longest.max(step_begin.elapsed());
            rows += page.len() as u64;
            if step == Step::Done {
                break;
            }
        }
        let all = begin.elapsed();
        let each = registry.memory() / registry.len();
        println!(
            "list of {what} 100,000: {rows} rows in {all:.1?}, longest step {longest:.1?}, {each} bytes a stream"
        );
    }
}
