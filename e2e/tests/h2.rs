//! HTTP/2 of a server, by a foreign client: exchanges with the block store, and WebSocket sessions as
//! tunnels (RFC 8441), every script on every driver.

#[path = "h2/ends.rs"]
mod ends;
#[path = "h2/exchange.rs"]
mod exchange;
#[path = "h2/kit.rs"]
mod kit;
#[path = "h2/tunnel.rs"]
mod tunnel;

hioload_e2e::on_each_driver! {
    exchange::blocks_of_every_size_go_in_and_come_out,
    exchange::a_hundred_requests_share_a_connection,
    exchange::conditions_and_ranges_are_kept,
    exchange::a_page_that_is_not_welcome_changes_nothing,
    exchange::a_refused_body_harms_nobody,
    exchange::a_peer_that_waits_for_100_gets_it,
    exchange::what_is_not_there_is_404,
    exchange::a_server_without_a_store_speaks_it_too,
    exchange::bytes_may_come_one_by_one,
    exchange::one_who_takes_nothing_harms_nobody,
    tunnel::a_message_is_echoed,
    tunnel::large_messages_pass_every_window,
    tunnel::frames_reach_all_the_others_over_either_version,
    tunnel::many_tunnels_share_a_connection,
    tunnel::deflate_is_agreed_and_marked,
    tunnel::a_close_is_answered_and_ends_the_stream,
    tunnel::a_reset_ends_the_session,
    tunnel::what_is_refused_has_its_status,
    tunnel::events_come_over_a_stream,
    ends::a_stream_taken_back_stores_nothing,
    ends::a_lost_connection_ends_its_sessions,
    ends::a_shutdown_is_announced_and_answers_what_is_under_way,
    ends::a_shutdown_closes_tunnels_in_order,
}
