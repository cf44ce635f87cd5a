//! The server against a foreign client and hand-made bytes, every script on every driver.

#[path = "server/broadcast.rs"]
mod broadcast;
#[path = "server/deflate.rs"]
mod deflate;
#[path = "server/echo.rs"]
mod echo;
#[path = "server/kit.rs"]
mod kit;
#[path = "server/slow.rs"]
mod slow;

hioload_e2e::on_each_driver! {
    echo::every_size_and_kind_comes_back,
    echo::the_largest_message_passes_and_no_larger_one,
    echo::fragments_make_one_message,
    echo::a_ping_is_answered_with_its_payload,
    echo::a_silent_peer_is_pinged_and_then_given_up,
    echo::a_peer_without_messages_is_idle,
    echo::an_old_session_is_closed,
    echo::a_close_frame_is_answered_with_its_code,
    echo::the_server_closes_with_a_code_and_a_reason,
    echo::an_unanswered_close_ends_in_time,
    echo::pipelined_frames_are_answered_in_order,
    echo::an_echo_that_is_not_read_waits,
    echo::many_connections_on_several_workers,
    echo::a_subprotocol_is_agreed,
    echo::origins_are_checked,
    deflate::without_takeover_every_message_stands_alone,
    deflate::with_takeover_the_context_is_kept,
    deflate::windows_are_negotiated,
    deflate::what_is_not_offered_or_not_allowed_is_not_used,
    deflate::fragments_are_compressed_as_one_message,
    broadcast::a_frame_goes_to_all_but_its_sender,
    broadcast::a_sender_gets_its_own_when_told_so,
    broadcast::a_subscription_counts_from_the_101_on,
    broadcast::all_see_one_order_on_1_worker,
    broadcast::all_see_one_order_on_2_workers,
    broadcast::all_see_one_order_on_4_workers,
    broadcast::deflated_and_plain_subscribers_get_everything,
    broadcast::subscribers_come_and_go_while_messages_flow,
    broadcast::one_session_takes_several_channels,
    slow::a_slow_reader_holds_the_publisher_and_loses_nothing,
    slow::publishers_on_all_workers_are_held_and_go_on,
    slow::who_never_reads_is_disconnected_and_counted,
    slow::who_never_reads_at_all_is_gone,
    slow::skip_leaves_out_what_was_missed,
    slow::latest_ends_with_the_last_one,
    slow::a_ping_is_answered_ahead_of_queued_data,
}
