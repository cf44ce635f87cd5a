//! The wake protocol in every interleaving and every order of memory that the model allows.
//!
//! A program passes when no receiver sleeps on a message: the model has no time, so a wake-up that is
//! not sent is a thread that waits for ever, which loom reports as a deadlock.

use crate::{Port, WakeFlag, mesh};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

/// Wakes a sleeping receiver, as an eventfd does: a wake-up before the wait is not lost.
struct Bell(loom::thread::Thread);

impl Bell {
    /// Wakes the thread that makes it.
    fn new() -> Arc<Bell> {
        Arc::new(Bell(thread::current()))
    }

    fn ring(&self) {
        self.0.unpark();
    }

    fn wait(&self) {
        thread::park();
    }
}

/// A worker that does nothing but take `count` messages, sleeping in between.
fn take(port: &mut Port<usize>, bell: &Bell, count: usize) -> Vec<usize> {
    let mut taken = Vec::new();
    while taken.len() < count {
        if let Some((_, message)) = port.pop() {
            taken.push(message);
        } else if port.prepare_sleep() {
            bell.wait();
            port.awake();
        }
    }
    taken
}

fn pair() -> (Port<usize>, Port<usize>) {
    let mut ports = mesh(2, 2);
    let second = ports.pop().expect("two ports");
    (ports.pop().expect("two ports"), second)
}

#[test]
fn loom_no_message_between_workers_is_slept_on() {
    loom::model(|| {
        let (mut first, mut second) = pair();
        let bell = Bell::new();
        let remote_bell = bell.clone();
        let sender = thread::spawn(move || {
            for message in 0..2 {
                if first.try_send(1, message).expect("below capacity").wake {
                    remote_bell.ring();
                }
            }
        });
        assert_eq!(take(&mut second, &bell, 2), [0, 1]);
        sender.join().expect("no panic");
    });
}

#[test]
fn loom_no_message_of_two_senders_is_slept_on() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (mut first, mut second) = pair();
        let remote = first.remote();
        let bell = Bell::new();
        let (bell_1, bell_2) = (bell.clone(), bell.clone());
        let worker = thread::spawn(move || {
            if first.try_send(1, 1).expect("below capacity").wake {
                bell_1.ring();
            }
        });
        let outsider = thread::spawn(move || {
            if remote.try_send(1, 2).expect("below capacity").wake {
                bell_2.ring();
            }
        });
        let mut taken = take(&mut second, &bell, 2);
        taken.sort_unstable();
        assert_eq!(taken, [1, 2]);
        worker.join().expect("no panic");
        outsider.join().expect("no panic");
    });
}

#[test]
fn loom_a_full_queue_never_holds_a_sleeping_receiver() {
    loom::model(|| {
        let mut ports = mesh(2, 1);
        let mut second = ports.pop().expect("two ports");
        let mut first = ports.pop().expect("two ports");
        let bell = Bell::new();
        let remote_bell = bell.clone();
        let sender = thread::spawn(move || {
            let mut sent = 0;
            for message in 0..2 {
                if let Ok(answer) = first.try_send(1, message) {
                    sent += 1;
                    if answer.wake {
                        remote_bell.ring();
                    }
                }
            }
            sent
        });
        assert_eq!(take(&mut second, &bell, 1), [0]);
        let sent = sender.join().expect("no panic");
        let rest: Vec<_> = std::iter::from_fn(|| second.pop()).collect();
        assert_eq!(
            rest.len(),
            sent - 1,
            "a refused message is not taken, a taken one not lost"
        );
    });
}

#[test]
fn loom_who_is_woken_sees_why() {
    // The flag alone, with a relaxed message: what the sender wrote is visible after a sleep that was
    // taken away or ended.
    loom::model(|| {
        let shared = Arc::new((WakeFlag::new(), AtomicUsize::new(0)));
        let bell = Bell::new();
        let (sender_shared, sender_bell) = (shared.clone(), bell.clone());
        let sender = thread::spawn(move || {
            sender_shared.1.store(1, Ordering::Relaxed);
            if sender_shared.0.notify() {
                sender_bell.ring();
            }
        });
        let (flag, message) = &*shared;
        let is_idle = || message.load(Ordering::Relaxed) == 0;
        if flag.prepare_sleep(is_idle) {
            bell.wait();
            flag.awake();
        }
        assert_eq!(message.load(Ordering::Relaxed), 1);
        sender.join().expect("no panic");
    });
}

#[test]
fn loom_one_of_two_senders_wakes_a_sleeper() {
    loom::model(|| {
        let flag = Arc::new(WakeFlag::new());
        assert!(flag.prepare_sleep(|| true));
        let other = flag.clone();
        let sender = thread::spawn(move || other.notify());
        let here = flag.notify();
        let there = sender.join().expect("no panic");
        assert!(
            here ^ there,
            "one wake-up, not {}",
            u8::from(here) + u8::from(there)
        );
    });
}
