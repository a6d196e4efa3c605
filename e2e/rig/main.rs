//! The rig: the operator as a process of the host, against a real etcd and kube-apiserver (no nodes, no
//! controllers) and a real registry, through a proxy that counts and can fail.
//!
//! `cargo test --test rig [-- WORD...]` runs the tests whose names contain a word.

#![expect(unreachable_pub, reason = "a program has no outside")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test may fail; it prints, it has a clock, and it waits"
)]

mod certificates;
mod control_plane;
mod endstate;
mod harness;
mod install;
mod jobs;
mod kubectl;
mod oci;
mod operator;
mod person;
mod process;
mod proxy;
mod registries;
mod supervisor;
mod sweep;
mod wait;
mod world;

mod access;
mod audit_log;
mod budgets;
mod canary;
mod chain;
mod crash_sweep;
mod crashes;
mod deletion;
mod drift;
mod fault_sweep;
mod keys;
mod leadership;
mod ledger;
mod main_scenario;
mod refusal_records;
mod refusals;
mod replicas;
mod requester;
mod retention;
mod rig_itself;
mod side_by_side;
mod trail;
mod two_operators;

use harness::{Test, tests};

#[expect(clippy::too_many_lines, reason = "it is a list")]
fn main() -> std::process::ExitCode {
    let all: Vec<Test> = tests![
        crash_sweep::a_crash_before_or_after_any_effect_changes_nothing_in_the_end,
        crash_sweep::a_crash_changes_nothing_where_the_registry_has_the_referrers_api,
        crash_sweep::a_crash_changes_nothing_under_leader_election,
        crash_sweep::a_crash_changes_nothing_while_a_replica_is_brought_up_to_date,
        fault_sweep::a_request_that_fails_changes_nothing_in_the_end,
        two_operators::two_operators_promote_each_version_once_though_one_of_them_is_killed,
        rig_itself::the_proxy_counts_what_the_api_server_and_the_registry_count,
        rig_itself::a_process_is_killed_before_or_after_its_request,
        rig_itself::gate_jobs_end_as_the_test_wishes,
        rig_itself::who_asks_is_stamped_by_the_api_server,
        access::everybody_may_do_what_the_table_says_and_nothing_else,
        requester::nothing_is_promoted_while_nobody_writes_down_who_asks,
        requester::a_promotion_that_is_aborted_ends_and_says_by_whom,
        requester::a_promotion_that_is_aborted_after_its_first_tag_is_finished,
        requester::for_whom_automation_asks_is_in_the_record,
        requester::a_cluster_that_cannot_stamp_refuses_another_name,
        requester::who_may_not_promote_reads_who_lacks_what,
        budgets::a_promotion_with_four_jobs_keeps_its_budget,
        budgets::a_promotion_with_policy_compliance_alone_keeps_its_budget,
        trail::a_promotion_leaves_a_small_trail,
        budgets::a_secret_is_read_once,
        budgets::a_replica_costs_its_copy_and_two_looks_at_the_ledger,
        budgets::an_operator_with_nothing_to_do_does_nothing,
        main_scenario::a_version_goes_from_dev_to_prod_with_one_digest_and_one_record_each,
        main_scenario::applying_a_promotion_again_does_nothing_also_after_it_was_deleted,
        main_scenario::a_failing_gate_stops_the_promotion_and_a_warning_one_does_not,
        refusals::way::an_unknown_environment_is_waited_for_and_then_refused,
        refusals::way::an_environment_that_comes_later_is_found,
        refusals::way::a_version_that_was_never_published_is_waited_for_and_then_refused,
        refusals::way::a_version_never_promoted_upstream_is_waited_for_and_then_refused,
        refusals::way::a_tag_that_somebody_made_by_hand_is_no_promotion,
        refusals::way::a_skipped_environment_is_refused,
        refusals::way::a_target_tag_with_another_digest_is_refused_and_never_moved,
        refusals::way::another_digest_than_expected_is_refused,
        refusals::way::a_version_whose_tag_would_be_ambiguous_is_refused,
        refusals::way::a_lower_version_than_the_current_one_is_refused,
        refusals::way::of_overlapping_suffixes_the_younger_policy_is_refused,
        refusals::way::a_policy_with_a_rule_that_cannot_be_read_is_refused,
        refusals::registry::a_registry_that_is_down_is_waited_for,
        refusals::registry::a_registry_that_is_down_for_an_hour_fails_the_promotion,
        refusals::registry::a_registry_that_goes_down_in_the_middle_of_the_writes_is_waited_for,
        refusals::registry::a_registry_that_says_401_is_asked_seldom_and_then_given_up,
        refusals::registry::a_registry_that_says_429_is_asked_again_when_it_wants_to_be,
        refusals::registry::a_certificate_that_is_not_trusted_stops_until_the_policy_names_its_authority,
        refusals::registry::a_missing_secret_is_named_and_waited_for,
        refusals::credentials::who_may_not_use_a_secret_or_account_may_not_name_it_in_a_policy,
        refusals::credentials::a_service_account_that_is_missing_or_says_too_little_is_waited_for,
        refusals::registry::a_manifest_over_4_mib_is_refused,
        refusals::registry::a_source_tag_that_moved_while_gates_ran_is_refused,
        refusals::signature::an_artifact_that_nobody_has_signed_is_refused_before_any_job_is_made,
        refusals::signature::a_signed_artifact_is_promoted_and_its_record_says_who_signed,
        refusals::signature::an_artifact_that_nobody_has_signed_is_promoted_with_a_warning_where_the_policy_only_warns,
        refusals::signature::a_key_that_is_not_there_is_named_and_waited_for,
        refusals::signature::a_key_that_the_policy_takes_away_while_gates_run_stops_the_promotion,
        refusals::signature::a_secret_with_a_key_that_the_author_may_not_read_is_refused,
        refusals::gates::a_gate_that_was_too_slow_fails_the_promotion,
        refusals::gates::a_gate_that_could_not_be_run_fails_the_promotion,
        refusals::gates::a_gate_without_a_readable_result_has_not_passed,
        refusals::gates::an_image_that_cannot_be_pulled_is_named_within_a_minute,
        refusals::gates::a_job_of_the_right_name_made_by_someone_else_counts_for_nothing,
        refusals::hostile::a_gate_gets_nothing_from_fields_that_it_does_not_have,
        refusals::hostile::a_gate_gets_nothing_from_values_that_a_field_is_not_made_for,
        refusals::objects::a_malformed_object_of_any_kind_is_left_alone_and_others_go_on,
        refusal_records::a_refusal_lies_beside_the_artifact_where_the_policy_asks_for_it,
        refusal_records::a_request_that_is_deleted_is_a_refusal_too_but_not_where_the_log_is_enough,
        refusal_records::a_refusal_waits_for_the_registry_and_the_object_for_the_refusal,
        chain::each_record_names_the_one_before_it_and_the_summary_beside_it,
        chain::a_ledger_from_an_older_copy_takes_what_is_missing_from_the_registry,
        chain::a_ledger_that_nothing_can_prove_stops_its_chain_until_a_record_is_accepted,
        chain::a_promotion_that_is_removed_by_force_behind_its_record_keeps_its_place_in_the_chain,
        ledger::a_lost_ledger_is_read_from_the_registry_again,
        ledger::a_ledger_that_is_lost_while_gates_run_does_not_disturb,
        ledger::a_claim_that_nobody_gives_back_any_more_is_given_back,
        ledger::a_ledger_that_is_lost_in_the_middle_of_the_writes_does_not_end_the_promotion_too_early,
        keys::a_record_is_signed_by_the_key_of_its_namespace,
        keys::a_record_that_a_stranger_has_signed_counts_for_nothing,
        keys::a_key_that_was_lost_is_not_made_anew_in_silence,
        keys::a_rotated_key_signs_without_a_restart_and_records_of_a_revoked_one_are_signed_anew,
        canary::no_secret_comes_out_of_what_people_and_machines_can_read,
        drift::a_tag_that_somebody_moves_is_reported_once_and_put_back_by_repair,
        drift::a_registry_that_is_down_makes_the_tags_unknown_and_keeps_what_was_known,
        drift::a_promotion_moves_latest_to_where_it_belongs_again,
        drift::a_record_that_another_client_dropped_is_listed_again,
        drift::comparing_again_and_again_writes_nothing,
        drift::a_promotion_in_the_middle_of_a_comparison_is_never_taken_for_drift,
        drift::a_stranger_in_a_replica_is_seen_and_put_back_too,
        retention::gc_deletes_what_its_plan_says_and_a_record_stays_readable,
        leadership::only_the_leader_writes_and_the_other_takes_over_when_it_dies,
        leadership::a_leader_that_is_asked_to_stop_hands_over_at_once,
        leadership::a_leader_that_cannot_renew_its_lease_ends,
        deletion::a_promotion_that_is_deleted_while_gates_run_writes_nothing,
        deletion::a_promotion_that_is_deleted_after_its_first_tag_is_finished_first,
        deletion::a_deleted_promotion_whose_operator_died_after_the_first_tag_is_finished_by_the_next,
        deletion::a_promotion_that_is_deleted_goes_although_the_registry_is_down,
        deletion::a_promotion_that_is_deleted_goes_although_its_policy_is_gone,
        audit_log::the_intent_is_on_the_disk_before_the_tag_and_the_end_after_it,
        audit_log::a_log_that_cannot_be_written_stops_promotions_until_it_can,
        audit_log::an_operator_whose_log_cannot_be_opened_promotes_nothing_until_it_can,
        audit_log::a_log_that_somebody_has_changed_is_left_alone_and_another_one_goes_on,
        audit_log::whoever_takes_a_slot_over_says_so_in_the_log,
        audit_log::a_request_that_is_deleted_at_any_stage_leaves_a_line_and_no_claim,
        audit_log::a_request_that_is_deleted_after_its_policy_leaves_a_line_too,
        audit_log::a_ledger_and_a_registry_from_an_older_copy_are_found_out_by_the_log,
        crashes::a_crash_right_after_a_job_was_made_makes_no_second_one,
        crashes::a_crash_right_after_the_tag_was_written_does_not_write_it_again,
        crashes::a_crash_right_after_the_record_was_written_writes_no_second_one,
        crashes::whoever_follows_latest_finds_the_record_at_every_moment,
        crashes::who_inherits_a_claim_waits_until_the_dead_can_write_no_more,
        crashes::a_record_says_what_was_decided_and_not_when_it_was_written,
        crashes::of_two_promotions_that_claim_at_once_one_writes_after_the_other,
        main_scenario::gates_get_the_digest_and_never_a_tag,
        side_by_side::many_promotions_at_once_into_one_environment_follow_each_other,
        side_by_side::a_policy_that_changes_while_gates_run_runs_only_what_has_changed,
        side_by_side::a_job_that_is_deleted_before_its_result_was_seen_runs_again,
        replicas::a_replica_gets_the_artifact_its_record_and_its_tags,
        replicas::a_replica_that_is_down_does_not_hold_up_the_promotion_and_heals_by_itself,
        replicas::a_replica_that_goes_down_in_the_middle_is_brought_up_to_date,
        replicas::a_promotion_that_heals_late_does_not_move_latest_of_a_replica_back,
        replicas::a_required_replica_that_is_down_stops_the_promotion_before_anything_is_written,
        replicas::a_required_replica_that_is_down_for_an_hour_fails_the_promotion,
        replicas::a_required_replica_that_fails_behind_the_tag_is_waited_for,
        replicas::a_tag_that_is_taken_at_a_replica_is_never_moved,
        replicas::a_blob_that_was_altered_gets_no_tag_at_a_replica,
        replicas::a_signature_has_to_count_at_a_replica_too_where_the_policy_says_so,
        replicas::two_promotions_that_copy_the_same_blobs_at_once_both_arrive,
        replicas::a_promotion_that_is_deleted_while_a_replica_is_down_is_let_go,
        replicas::an_environment_with_a_repository_of_its_own_gets_the_artifact_first,
        side_by_side::events_tell_the_story_and_no_secret,
    ];
    harness::run(all)
}
