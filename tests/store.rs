//! The store, whole, on SQLite and on a PostgreSQL that is started for it.

#[path = "store/cases.rs"]
mod cases;
#[path = "store/contacts.rs"]
mod contacts;
#[path = "store/databases.rs"]
mod databases;
#[path = "store/full.rs"]
mod full;
#[path = "store/killed.rs"]
mod killed;
#[path = "store/people.rs"]
mod people;
#[path = "store/phones.rs"]
mod phones;
#[path = "store/reports.rs"]
mod reports;
#[path = "store/retention.rs"]
mod retention;
#[path = "store/served.rs"]
mod served;
#[path = "store/watchlist.rs"]
mod watchlist;
#[path = "store/webhooks.rs"]
mod webhooks;

/// Each case as two tests.
macro_rules! on_both_databases {
    ($($module:ident :: $case:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::$module::$case(crate::databases::Database::sqlite().await).await;
            })*
        }

        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::$module::$case(crate::databases::Database::postgres().await).await;
            })*
        }
    };
}

on_both_databases! {
    cases::facts_are_durable_before_they_are_reported,
    cases::the_same_people_twice_change_nothing,
    cases::what_the_file_no_longer_names_is_removed,
    cases::people_come_back_as_control_wants_them,
    cases::phones_that_register_are_found_by_name,
    cases::a_name_of_another_organisation_is_not_taken_away,
    cases::a_pin_is_right_wrong_or_not_set,
    cases::passwords_are_set_outside_the_file_and_left_alone_by_it,
    cases::who_signs_in_is_known_by_the_token_until_it_expires,
    cases::an_untouched_audit_is_intact,
    cases::the_first_altered_row_of_the_audit_is_named,
    cases::two_writers_keep_one_chain,
    cases::what_a_crash_left_open_is_ended_with_an_honest_audit,
    cases::a_locked_database_is_told_and_recovered_from,
    cases::a_fact_that_cannot_be_stored_does_not_keep_back_the_others,
    watchlist::agents_are_watched_until_they_are_taken_off,
    watchlist::who_watches_is_told_of_many_agents_at_once,
    watchlist::whoever_gets_a_name_later_inherits_no_watch_list,
    watchlist::a_change_of_people_leaves_their_watch_lists,
    people::one_person_is_changed_and_the_audit_tells_it,
    people::an_edit_that_is_refused_changes_nothing,
    people::two_who_edit_at_once_overwrite_nothing,
    people::commands_tell_the_audit_what_they_did_and_what_they_could_not,
    people::two_who_apply_one_file_at_once_change_it_once,
    people::nobody_new_signs_in_as_an_administrator_does,
    people::who_is_removed_is_signed_out_and_an_empty_organisation_goes,
    contacts::a_list_is_put_beside_what_is_there_and_told_to_the_audit,
    contacts::a_long_list_keeps_nobody_from_writing,
    contacts::a_book_is_the_present_one_after_a_write,
    phones::a_number_is_registered_when_its_code_is_entered,
    phones::codes_are_tried_five_times_and_numbers_called_three_times_an_hour,
    phones::nobody_takes_the_phone_of_another,
    reports::sessions_and_their_roles_are_added_up,
    reports::a_direct_call_counts_for_the_one_pool_of_its_agent,
    reports::help_is_counted_with_the_time_that_it_waited,
    reports::the_views_say_what_the_reports_say,
    reports::a_supervisor_sees_their_own_and_their_agents,
    reports::the_audit_is_filtered_as_it_is_asked_for,
    full::what_is_not_taken_at_the_end_is_named,
    killed::what_was_reported_survives_a_kill_in_the_middle_of_writing,
    retention::whole_days_are_forgotten_and_the_chain_stays_verifiable,
    retention::what_is_altered_after_forgetting_is_still_found,
    retention::calls_that_ended_before_are_forgotten_with_their_days,
    webhooks::what_waits_for_a_webhook_survives_in_order_until_it_is_taken,
    webhooks::a_dead_letter_is_kept_listed_and_sent_again,
    webhooks::a_webhook_that_is_removed_takes_its_letters_along,
    webhooks::more_than_may_wait_gives_up_the_oldest,
}

#[tokio::test]
async fn a_database_that_drops_its_connections_is_written_to_again() {
    cases::dropped_connections(databases::Database::postgres().await).await;
}

#[tokio::test]
async fn a_file_that_cannot_be_a_database_is_named() {
    cases::no_database().await;
}

#[test]
fn a_process_that_is_to_be_killed_writes_until_it_is() {
    killed::write_until_killed();
}

#[tokio::test]
async fn a_reader_that_comes_and_goes_takes_no_row_along() {
    served::a_reader_that_comes_and_goes_takes_no_row_along().await;
}

#[tokio::test]
async fn a_full_disk_is_recovered_from() {
    full::a_full_disk_is_recovered_from().await;
}

#[tokio::test]
async fn a_process_whose_disk_fills_up_writes_when_there_is_room_again() {
    full::write_while_full().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_lost_in_a_transaction_is_replaced() {
    full::a_connection_lost_in_a_transaction_is_replaced().await;
}
