//! The rig: the operator as a process of the host, against a real etcd and kube-apiserver (no nodes, no
//! controllers) and a real registry, through a proxy that counts and can fail.
//!
//! `cargo test --test rig [-- WORD...]` runs the tests whose names contain a word.

#![expect(unreachable_pub, reason = "a program has no outside")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may fail; it is the only program here that prints"
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
mod process;
mod proxy;
mod registries;
mod supervisor;
mod wait;
mod world;

mod budgets;
mod crash_sweep;
mod main_scenario;
mod rig_itself;
mod two_operators;

use harness::{Test, tests};

fn main() -> std::process::ExitCode {
    let all: Vec<Test> = tests![
        crash_sweep::a_crash_before_or_after_any_effect_changes_nothing_in_the_end,
        crash_sweep::a_crash_changes_nothing_where_the_registry_has_the_referrers_api,
        crash_sweep::a_crash_changes_nothing_under_leader_election,
        two_operators::two_operators_promote_each_version_once_though_one_of_them_is_killed,
        rig_itself::the_proxy_counts_what_the_api_server_and_the_registry_count,
        rig_itself::a_process_is_killed_before_or_after_its_request,
        rig_itself::gate_jobs_end_as_the_test_wishes,
        rig_itself::who_asks_is_stamped_by_the_api_server,
        budgets::a_promotion_with_four_jobs_keeps_its_budget,
        budgets::a_promotion_with_policy_compliance_alone_keeps_its_budget,
        budgets::a_secret_is_read_once,
        budgets::an_operator_with_nothing_to_do_does_nothing,
        main_scenario::a_version_goes_from_dev_to_prod_with_one_digest_and_one_record_each,
        main_scenario::applying_a_promotion_again_does_nothing_also_after_it_was_deleted,
        main_scenario::a_failing_gate_stops_the_promotion_and_a_warning_one_does_not,
    ];
    harness::run(all)
}
