//! The server against a foreign client and hand-made bytes, every script on every driver.

#[path = "server/echo.rs"]
mod echo;

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
}
