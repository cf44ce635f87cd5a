//! The block store of a server: hand-made HTTP against a whole server in this process, every script on every
//! driver.

#[path = "blocks/api.rs"]
mod api;
#[path = "blocks/description.rs"]
mod description;
#[path = "blocks/ends.rs"]
mod ends;
#[path = "blocks/framing.rs"]
mod framing;
#[path = "blocks/kit.rs"]
mod kit;
#[path = "blocks/shared.rs"]
mod shared;
#[path = "blocks/space.rs"]
mod space;

hioload_e2e::on_each_driver! {
    api::a_block_is_put_read_and_deleted,
    api::a_block_may_be_named_by_the_server,
    api::every_size_comes_back_and_no_larger_one_is_taken,
    api::conditions_are_kept,
    api::a_page_that_is_not_welcome_changes_nothing,
    api::a_content_is_described_the_same_however_it_is_answered,
    api::parts_of_a_block_are_served,
    api::a_head_request_has_no_body,
    api::other_methods_and_paths_are_refused,
    api::a_name_is_64_hexadecimal_digits,
    api::a_body_that_is_something_else_is_not_stored,
    api::a_body_needs_a_length,
    api::references_hold_a_block,
    api::a_reference_is_a_lock,
    api::many_are_asked_for_and_deleted,
    api::who_was_told_that_a_block_is_there_finds_it,
    api::figures_and_the_description_are_served,
    api::a_new_block_is_announced_once,
    description::what_is_answered_is_described,
    framing::a_peer_that_waits_for_100_gets_it,
    framing::an_offer_of_a_protocol_nobody_speaks_is_ignored,
    framing::pipelined_requests_are_answered_in_order,
    framing::a_request_may_come_in_any_two_parts,
    framing::chunks_of_any_size_make_one_body,
    framing::requests_are_not_smuggled,
    framing::broken_chunks_are_400,
    framing::heads_have_bounds,
    framing::what_follows_a_body_is_the_next_request,
    framing::an_old_client_gets_one_answer,
    ends::an_early_close_at_every_byte_stores_nothing,
    ends::a_reset_at_every_byte_stores_nothing,
    ends::a_body_that_stops_coming_is_408,
    ends::a_head_that_stops_coming_is_cut_off,
    ends::one_that_asks_nothing_is_cut_off,
    ends::an_answer_that_nobody_takes_is_given_up,
    ends::a_connection_closes_after_what_says_so,
    ends::a_last_answer_is_taken_as_slowly_as_any,
    ends::uploads_that_send_nothing_hold_up_nobody,
    ends::who_is_held_back_is_not_late,
    ends::who_still_sends_a_refused_body_gets_the_answer,
    shared::many_clients_put_get_and_delete_one_block,
    shared::connections_on_several_workers_see_one_store,
    shared::sessions_and_blocks_share_a_port,
    shared::blocks_outlive_the_server,
    shared::every_mode_says_what_it_promises,
    shared::damage_is_told_and_mended,
    space::a_full_store_says_so_and_takes_deletes,
    space::a_full_file_system_says_so_and_takes_deletes,
    space::space_is_used_again,
}
