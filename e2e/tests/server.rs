//! The server against a foreign client and hand-made bytes, every script on every driver.

#[path = "server/broadcast.rs"]
mod broadcast;
#[path = "server/deflate.rs"]
mod deflate;
#[path = "server/echo.rs"]
mod echo;
#[path = "server/handler.rs"]
mod handler;
#[path = "server/hostile.rs"]
mod hostile;
#[path = "server/kit.rs"]
mod kit;
#[path = "server/recovery.rs"]
mod recovery;
#[path = "server/shutdown.rs"]
mod shutdown;
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
    slow::each_channel_has_the_policy_of_its_rule,
    slow::a_ping_is_answered_ahead_of_queued_data,
    recovery::who_comes_back_gets_what_was_missed_on_1_worker,
    recovery::who_comes_back_gets_what_was_missed_on_3_workers,
    recovery::history_is_kept_where_a_rule_says_so,
    recovery::senders_are_excluded_where_a_rule_says_so,
    recovery::a_channel_keeps_what_it_was_made_with,
    recovery::a_gap_in_history_is_told_on_1_worker,
    recovery::a_gap_in_history_is_told_on_3_workers,
    recovery::compressed_history_waits_for_who_was_there,
    recovery::what_an_answer_brings_reaches_the_others,
    recovery::another_epoch_is_told,
    recovery::recovering_while_messages_flow_on_1_worker,
    recovery::recovering_while_messages_flow_on_3_workers,
    recovery::a_crowd_comes_back_and_half_of_it_goes,
    recovery::who_waits_is_a_subscriber_already,
    recovery::a_channel_its_owner_cannot_take_is_refused,
    recovery::leaving_and_coming_back_within_a_frame,
    recovery::what_was_skipped_is_told,
    handler::every_session_is_told_open_messages_and_one_end,
    handler::a_refused_handshake_is_told_nobody,
    handler::drained_follows_every_refusal,
    handler::batch_ends_every_turn_with_messages,
    handler::the_first_layer_is_the_outermost,
    handler::a_panic_costs_its_session_only,
    handler::a_panic_without_recovery_ends_the_server,
    handler::too_many_messages_close_the_session,
    handler::too_many_messages_are_dropped,
    handler::metrics_count_what_the_handler_saw,
    handler::a_context_belongs_to_its_session_and_expires,
    shutdown::a_port_in_use_says_what_why_and_what_to_do,
    shutdown::everybody_is_told_1001_and_run_returns,
    shutdown::the_timeout_ends_those_who_do_not_answer,
    shutdown::a_paced_shutdown_spreads_the_ends,
    shutdown::what_is_in_flight_is_delivered,
    shutdown::no_data_follows_a_close_frame,
    shutdown::settings_change_while_it_runs,
    hostile::a_head_that_trickles_in_is_cut_off,
    hostile::one_that_says_nothing_is_cut_off,
    hostile::an_oversized_head_is_431,
    hostile::a_wrong_method_or_version_is_refused,
    hostile::missing_and_repeated_websocket_headers_are_400,
    hostile::garbage_instead_of_a_head_is_400,
    hostile::broken_frames_get_their_close_code,
    hostile::compression_bombs_are_1009,
    hostile::a_flood_of_pings_is_held_back,
    hostile::floods_of_fragments_are_1008,
    hostile::unfinished_messages_are_bounded_together,
    hostile::half_closed_sockets_end,
    hostile::a_reset_at_every_byte_leaves_nothing_behind,
    hostile::a_cut_at_every_byte_changes_nothing,
    hostile::one_write_or_many_make_no_difference,
    hostile::connections_above_the_limit_are_refused,
}
