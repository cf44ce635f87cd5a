//! One conformance suite for every driver: the same scripts over io_uring, poll and the
//! simulation (faults off). What a script sees must not depend on the driver underneath.
//!
//! The scripts named `rule_…` are the rules of the reactor:
//! 1. a slot owns its payload until the final completion; 2. stale names reach nobody; 3. a failed
//!    enter loses no operation; 4. success after cancel is ordinary; 5. a descriptor is closed when
//!    nothing is in flight; 6. ENOBUFS, full queues, EAGAIN, EINTR and EMFILE are ordinary;
//!    7. received bytes do not pin the driver's buffers; 8. a dropped driver drains; 9. a refusal
//!    says what, why and what to do.

#[path = "driver/files.rs"]
mod files;
#[path = "driver/kit.rs"]
mod kit;
#[path = "driver/limits.rs"]
mod limits;
#[path = "driver/rules.rs"]
mod rules;
#[path = "driver/traffic.rs"]
mod traffic;

/// Makes one test per script and driver.
macro_rules! conformance {
    ($($room:ident :: $script:ident),* $(,)?) => {
        #[cfg(target_os = "linux")]
        mod uring {
            $(#[test] fn $script() {
                if let Some(kit) = crate::kit::Kit::uring() { crate::$room::$script(&kit); }
            })*
        }
        #[cfg(target_os = "linux")]
        mod zero_copy {
            $(#[test] fn $script() {
                if let Some(kit) = crate::kit::Kit::zero_copy() { crate::$room::$script(&kit); }
            })*
        }
        mod poll {
            $(#[test] fn $script() { crate::$room::$script(&crate::kit::Kit::poll()); })*
        }
        mod portable {
            $(#[test] fn $script() { crate::$room::$script(&crate::kit::Kit::portable()); })*
        }
        mod sim {
            $(#[test] fn $script() { crate::$room::$script(&crate::kit::Kit::sim()); })*
        }
    };
}

conformance! {
    traffic::bytes_go_both_ways_in_order,
    traffic::a_vector_of_pieces_arrives_as_one_stream,
    traffic::a_send_to_a_peer_that_does_not_read_takes_a_part,
    traffic::what_the_kernel_keeps_of_a_connection_is_bounded_as_asked,
    traffic::a_second_send_is_busy,
    traffic::an_empty_or_overlong_payload_is_refused,
    traffic::a_cancelled_receive_leaves_later_bytes_for_the_next,
    traffic::a_receive_cancelled_and_wanted_again_goes_on_silently,
    traffic::a_blocked_send_is_cancelled_with_nothing_taken,
    traffic::half_close_ends_one_direction_only,
    traffic::half_close_follows_the_send_before_it,
    traffic::closing_with_unread_input_resets_the_peer,
    traffic::a_reset_right_behind_bytes_is_told,
    traffic::a_reset_while_nobody_receives_is_told_when_somebody_does,
    traffic::a_reset_while_there_are_no_buffers_is_told_when_there_are,
    traffic::close_flushes_a_send_submitted_before_it,
    traffic::a_refused_connect_fails_and_closes,
    traffic::a_cancelled_accept_ends_and_can_start_again,
    traffic::a_large_message_crosses_in_both_directions_at_once,
    traffic::an_idle_socket_costs_nothing_per_turn,
    rules::rule_1_a_slot_owns_its_payload_until_the_final_completion,
    rules::rule_2_a_stale_name_never_reaches_the_next_owner,
    rules::rule_3_an_interrupted_enter_loses_no_operation,
    rules::rule_4_a_cancel_that_comes_late_finds_success,
    rules::rule_5_closed_is_the_last_event_of_a_socket,
    rules::rule_5_a_half_close_never_reaches_the_next_owner,
    rules::rule_6_a_receive_without_buffers_goes_on_when_they_return,
    rules::rule_6_a_cancelled_receive_without_buffers_ends,
    rules::rule_6_a_small_queue_loses_nothing,
    rules::rule_6_a_full_socket_waits_until_it_takes_bytes,
    rules::rule_6_accept_ends_when_the_table_is_full_and_starts_again,
    rules::rule_7_received_bytes_do_not_pin_the_buffers,
    rules::rule_8_a_dropped_driver_drains_and_frees,
    rules::rule_9_a_refusal_says_what_why_and_what_to_do,
    limits::a_turn_yields_at_most_a_batch,
    limits::a_wake_from_another_thread_ends_the_wait,
    limits::a_wake_between_drivers_arrives,
    limits::a_wake_outlives_its_driver,
    limits::sockets_are_handed_to_another_driver,
    limits::a_busy_socket_is_not_handed_over,
    limits::one_busy_peer_does_not_starve_the_others,
    limits::many_busy_peers_are_served_in_turn,
    limits::a_turn_waits_no_longer_than_told,
    limits::a_paused_socket_does_not_keep_the_driver_awake,
    limits::a_receive_without_buffers_does_not_keep_the_driver_awake,
    files::what_was_written_is_read,
    files::many_operations_are_in_flight_at_once,
    files::what_is_submitted_may_begin_before_the_turn,
    files::a_read_past_the_end_is_short,
    files::files_and_sockets_are_served_together,
    files::no_more_than_the_limit_are_in_flight,
    files::an_unknown_file_is_refused,
    files::a_file_of_the_other_world_is_refused,
    files::what_cannot_be_read_or_written_is_refused,
    files::a_driver_takes_so_many_files_and_no_more,
    files::a_turn_yields_at_most_a_batch_of_files,
    files::a_cancelled_operation_completes_once,
    files::a_driver_dropped_with_operations_in_flight_gives_the_buffers_back,
    files::an_idle_file_costs_nothing_per_turn,
}

/// Scripts that change limits of the process run in a process of their own: this test binary,
/// told by the environment to run one test.
#[cfg(unix)]
mod alone {
    use crate::kit::Kit;

    const CHILD: &str = "HIOLOAD_TEST_ALONE";

    fn run(test: &str, script: impl FnOnce()) {
        if std::env::var_os(CHILD).is_some() {
            script();
            return;
        }
        let this = std::env::current_exe().expect("a test binary");
        let child = std::process::Command::new(this)
            .args(["--exact", test, "--nocapture"])
            .env(CHILD, "1")
            .output()
            .expect("a child process");
        let text = [child.stdout, child.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(child.status.success(), "{text}");
        assert!(text.contains("1 passed"), "the child ran the test: {text}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn uring_rule_6_descriptors_run_out_and_return() {
        run("alone::uring_rule_6_descriptors_run_out_and_return", || {
            if let Some(kit) = Kit::uring() {
                crate::limits::descriptors_run_out_and_return(&kit);
            }
        });
    }

    #[test]
    fn poll_rule_6_descriptors_run_out_and_return() {
        run("alone::poll_rule_6_descriptors_run_out_and_return", || {
            crate::limits::descriptors_run_out_and_return(&Kit::poll());
        });
    }
}

/// One socket is read a bounded number of times in one turn, however much has arrived.
#[test]
fn poll_reads_of_one_socket_are_bounded_per_turn() {
    use hioload_reactor::Wait;

    let kit = kit::Kit::poll();
    let mut pair = kit.pair_with(|config| config.recv_buffer_size = 64, |_| {});
    let socket = pair.server_socket;
    pair.client.send(pair.client_socket, kit::segment(6400, 1));
    pair.settle();
    pair.server.recv(socket);
    while pair.server.byte_count(socket) < 6400 {
        let pieces = pair.server.turn_for(Wait::Forever);
        assert!(pieces <= hioload_reactor::poll::READS_PER_TURN && pieces <= 4);
    }
}

/// On loopback the kernel copies: a socket learns it from its first send, and the next is ordinary.
#[test]
#[cfg(target_os = "linux")]
fn a_socket_whose_pages_are_copied_sends_without_zero_copy() {
    let Some(kit) = kit::Kit::zero_copy() else {
        return;
    };
    let mut pair = kit.pair();
    let (s, c) = (pair.server_socket, pair.client_socket);
    pair.client.recv(c);
    for round in 1..=3 {
        pair.server.send(s, kit::segment(1000, round));
        pair.until(|server, client| {
            server.saw_sent(s) && client.byte_count(c) == 1000 * usize::from(round)
        });
        assert_eq!(pair.server.take_sent(s), Some(Ok(1000)));
        pair.settle();
        let stats = pair.server.driver.stats();
        assert_eq!((stats.zero_copy, stats.zero_copy_copied), (1, 1));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_blocked_send_with_zero_copy_is_cancelled() {
    use hioload_reactor::OpId;

    const ZERO_COPY_MIN: usize = 1 << 20;
    let Some(kit) = kit::Kit::uring() else {
        return;
    };
    let mut pair = kit.pair_with(
        |config| config.zero_copy_min = Some(ZERO_COPY_MIN),
        |spec| spec.send_buffer = Some(4096),
    );
    let s = pair.server_socket;
    pair.fill(&kit::segment(ZERO_COPY_MIN / 2, 1));
    pair.server.driver.cancel(OpId::send(s));
    pair.until(|server, _| server.saw_sent(s));
    assert_eq!(pair.server.take_sent(s), Some(Err(libc::ECANCELED)));

    // The socket was full, but on a busy machine a little room may come late.
    let is_blocked = (0..100).any(|_| {
        pair.server.send(s, kit::segment(ZERO_COPY_MIN, 2));
        pair.settle();
        let sent = pair.server.take_sent(s);
        sent.map(|result| result.expect("bytes taken")).is_none()
    });
    assert!(is_blocked);
    assert!(pair.server.driver.stats().zero_copy > 0);
    pair.server.driver.cancel(OpId::send(s));
    pair.until(|server, _| server.saw_sent(s));
    assert_eq!(pair.server.take_sent(s), Some(Err(libc::ECANCELED)));
}

/// What only files of a real system do.
#[cfg(target_os = "linux")]
mod system_files {
    use std::fs::File;
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt;

    use hioload_reactor::{FileHandle, Op};

    use crate::kit::{Event, Kit, TempFile, buffers, filled, pattern};

    /// Both, or the one there is.
    fn kits() -> Vec<Kit> {
        Kit::uring().into_iter().chain([Kit::poll()]).collect()
    }

    #[test]
    fn a_file_is_reached_past_the_page_cache() {
        let temp = TempFile::new();
        for kit in kits() {
            let mut options = std::fs::OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            let Ok(file) = options.custom_flags(libc::O_DIRECT).open(&temp.0) else {
                println!("skipped: no O_DIRECT on this file system");
                return;
            };
            let (mut end, pool) = (kit.end(), buffers());
            let file = end.open(FileHandle::System(file));
            for (token, len) in [4096, 8192, 65_536, 512 * 1024].into_iter().enumerate() {
                let (token, offset) = (token as u64, token as u64 * (1 << 20));
                end.write(file, token, offset, filled(&pool, len, token as u8));
                assert_eq!(end.file_events(1), [Event::Written(token, Ok(len))]);
                end.read(&pool, file, token, (offset, len));
                let expected = Event::Read(token, Ok(len), pattern(len, token as u8));
                assert!(end.file_events(1) == [expected], "{len} bytes");
            }
        }
    }

    #[test]
    fn a_failing_file_tells_its_error_number() {
        let temp = TempFile::new();
        let reader = || File::open(&temp.0).expect("it is there");
        let writer = || temp.open(|options| _ = options.read(false));
        writer().write_all(b"hello").expect("space");
        for kit in kits() {
            let (mut end, pool) = (kit.end(), buffers());
            let writer = end.open(FileHandle::System(writer()));
            let reader = end.open(FileHandle::System(reader()));
            let full = File::options().write(true).open("/dev/full");
            let full = end.open(FileHandle::System(full.expect("a device")));
            end.read(&pool, writer, 1, (0, 10));
            assert_eq!(
                end.file_events(1),
                [Event::Read(1, Err(libc::EBADF), Vec::new())]
            );
            end.write(reader, 2, 0, filled(&pool, 10, 1));
            assert_eq!(end.file_events(1), [Event::Written(2, Err(libc::EBADF))]);
            end.write(full, 3, 0, filled(&pool, 10, 1));
            assert_eq!(end.file_events(1), [Event::Written(3, Err(libc::ENOSPC))]);
            end.read(&pool, reader, 4, (0, 10));
            assert_eq!(
                end.file_events(1),
                [Event::Read(4, Ok(5), b"hello".to_vec())]
            );
            let files = end.driver.stats().files;
            assert_eq!((files.failed, files.short, files.in_flight), (3, 1, 0));
        }
    }

    fn pipe() -> (File, File) {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let file = |end: std::os::fd::OwnedFd| File::from(end);
        (file(reader.into()), file(writer.into()))
    }

    /// Only io_uring reads a pipe by this operation, and so can be made to wait.
    #[test]
    fn uring_cancels_a_read_that_waits() {
        let Some(kit) = Kit::uring() else { return };
        let (mut end, pool) = (kit.end(), buffers());
        let (reader, mut writer) = pipe();
        let file = end.open(FileHandle::System(reader));
        let read = |token| Op::Read {
            file,
            token,
            offset: 0,
            len: 100,
            buffer: pool.take(100).expect("budget"),
        };
        let id = end.driver.submit(read(1)).expect("taken");
        for _ in 0..5 {
            end.turn();
        }
        assert_eq!(end.driver.stats().files.in_flight, 1);
        end.driver.cancel(id);
        let cancelled = Event::Read(1, Err(libc::ECANCELED), Vec::new());
        assert_eq!(end.file_events(1), [cancelled]);
        end.submit(read(2));
        writer.write_all(b"late").expect("room");
        assert_eq!(
            end.file_events(1),
            [Event::Read(2, Ok(4), b"late".to_vec())]
        );
        // A cancel that comes after the end, when the slot has another owner.
        end.submit(read(3));
        end.driver.cancel(id);
        for _ in 0..5 {
            end.turn();
        }
        assert_eq!(end.driver.stats().files.in_flight, 1);
        assert!(end.seen.is_empty());
    }

    #[test]
    fn uring_dropped_with_a_read_that_waits_cancels_it_and_closes_the_file() {
        let Some(kit) = Kit::uring() else { return };
        let (mut end, pool) = (kit.end(), buffers());
        let (reader, mut writer) = pipe();
        let file = end.open(FileHandle::System(reader));
        for token in 0..4 {
            end.read(&pool, file, token, (0, 4096));
        }
        end.turn();
        drop(end);
        assert_eq!(pool.stats().bytes_in_use, 0);
        let error = writer.write_all(b"x").expect_err("nobody reads");
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    }
}
