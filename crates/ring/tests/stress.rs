//! Real threads on real queues: order, nothing lost, nobody sleeps on a message.

#![cfg(not(loom))]

use hioload_base::Full;
use hioload_ring::{Port, Remote, Sent, mesh};
use std::thread::{self, Thread};

const MESSAGES: u64 = 20_000;

/// Sends every number in order, waking the receiver when told to.
fn send_all(receiver: &Thread, mut send: impl FnMut(u64) -> Result<Sent, Full<u64>>) {
    for message in 0..MESSAGES {
        loop {
            match send(message) {
                Ok(Sent { wake }) => {
                    if wake {
                        receiver.unpark();
                    }
                    break;
                }
                Err(Full(back)) => {
                    assert_eq!(back, message);
                    thread::yield_now();
                }
            }
        }
    }
}

/// Takes until every sender is through; each sender's numbers must come in order.
fn take_all(port: &mut Port<u64>, senders: usize) -> u64 {
    let mut next = vec![0; port.workers() + 1];
    let mut sleeps = 0;
    while next.iter().sum::<u64>() < MESSAGES * senders as u64 {
        if let Some((from, message)) = port.pop() {
            let from = from.unwrap_or(port.workers());
            assert_eq!(message, next[from], "out of order from {from}");
            next[from] += 1;
        } else if port.prepare_sleep() {
            sleeps += 1;
            thread::park();
            port.awake();
        }
    }
    sleeps
}

#[test]
fn two_workers_and_an_outsider_lose_nothing() {
    for capacity in [1, 7, 1024] {
        let mut ports = mesh(2, capacity);
        let mut receiver = ports.pop().expect("two ports");
        let mut sender = ports.pop().expect("two ports");
        let remote: Remote<u64> = sender.remote();
        let this = thread::current();
        let outside = this.clone();
        let worker = thread::spawn(move || send_all(&this, |message| sender.try_send(1, message)));
        let outsider =
            thread::spawn(move || send_all(&outside, |message| remote.try_send(1, message)));
        take_all(&mut receiver, 2);
        worker.join().expect("the sender does not panic");
        outsider.join().expect("the outsider does not panic");
        assert!(receiver.is_empty());
    }
}

#[test]
fn workers_that_answer_each_other_never_both_sleep() {
    // One message in flight at a time: each side sleeps while it waits, so a lost wake-up is a hang.
    let mut ports = mesh::<u64>(2, 1);
    let mut second = ports.pop().expect("two ports");
    let mut first = ports.pop().expect("two ports");
    let caller = thread::current();
    let answering = thread::spawn(move || {
        for message in 0..MESSAGES {
            assert_eq!(receive(&mut second), message);
            send(&mut second, 0, &caller, message);
        }
    });
    for message in 0..MESSAGES {
        send(&mut first, 1, answering.thread(), message);
        assert_eq!(receive(&mut first), message);
    }
    answering.join().expect("the other side does not panic");
}

fn send(port: &mut Port<u64>, to: usize, receiver: &Thread, message: u64) {
    if port
        .try_send(to, message)
        .expect("one message in flight")
        .wake
    {
        receiver.unpark();
    }
}

fn receive(port: &mut Port<u64>) -> u64 {
    loop {
        if let Some((_, message)) = port.pop() {
            return message;
        }
        if port.prepare_sleep() {
            thread::park();
            port.awake();
        }
    }
}
