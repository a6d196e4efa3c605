//! Refusals of where a version may go, and of what it is.

use serde_json::json;

use super::Refusal;
use crate::control_plane::Identity;
use crate::harness::Rig;
use crate::registries::Kind;
use crate::world::{World, condition, message, reason};

pub async fn an_unknown_environment_is_waited_for_and_then_refused(rig: Rig) {
    let refusal = Refusal::in_dev(&rig, json!({})).await;
    refusal.world.promote("one", "v1.0.0", "prood").await;
    refusal
        .waits_then_fails("one", "EnvironmentNotFound", 10, &["'prood'", "dev"])
        .await;
}

pub async fn an_environment_that_comes_later_is_found(rig: Rig) {
    let refusal = Refusal::in_dev(&rig, json!({})).await;
    let world = &refusal.world;
    world.promote("one", "v1.0.0", "late").await;
    refusal.waits("one", "EnvironmentNotFound", &[]).await;
    world.policy("late", json!({})).await;
    assert_eq!(reason(&world.ended("one").await), "Promoted");
}

pub async fn a_version_that_was_never_published_is_waited_for_and_then_refused(rig: Rig) {
    let refusal = Refusal::in_dev(&rig, json!({})).await;
    refusal.world.promote("one", "v9.9.9", "dev").await;
    refusal
        .waits_then_fails("one", "SourceNotFound", 10, &["team/platform:v9.9.9"])
        .await;
}

pub async fn a_version_never_promoted_upstream_is_waited_for_and_then_refused(rig: Rig) {
    let refusal = three(&rig).await;
    refusal.world.promote("one", "v1.0.0", "staging").await;
    refusal
        .waits_then_fails("one", "NotPromotedUpstream", 10, &["v1.0.0", "'dev'"])
        .await;
}

pub async fn a_tag_that_somebody_made_by_hand_is_no_promotion(rig: Rig) {
    let refusal = three(&rig).await;
    refusal.world.repository.retag("v1.0.0", "v1.0.0-dev").await;
    let refusal = Refusal::from(refusal.world).await;
    refusal.world.promote("one", "v1.0.0", "staging").await;
    refusal
        .waits_then_fails("one", "NotPromotedUpstream", 10, &["v1.0.0", "'dev'"])
        .await;
}

pub async fn a_skipped_environment_is_refused(rig: Rig) {
    let refusal = three(&rig).await;
    let spec = json!({ "version": "v1.0.0", "from": "dev", "to": "prod" });
    refusal.world.promote_as(Identity::Alice, "one", spec).await;
    refusal
        .fails("one", "InvalidTransition", &["'prod'", "'dev'", "staging"])
        .await;
}

pub async fn a_target_tag_with_another_digest_is_refused_and_never_moved(rig: Rig) {
    let refusal = Refusal::in_dev(&rig, json!({})).await;
    let found = refusal
        .world
        .repository
        .publish("v2.0.0", "a stranger's")
        .await;
    refusal.world.repository.retag("v2.0.0", "v1.0.0-dev").await;
    let refusal = Refusal::from(refusal.world).await;
    refusal.world.promote("one", "v1.0.0", "dev").await;
    refusal
        .fails("one", "TagTaken", &["'v1.0.0-dev'", &found])
        .await;
}

pub async fn another_digest_than_expected_is_refused(rig: Rig) {
    let refusal = Refusal::in_dev(&rig, json!({})).await;
    let expected = crate::oci::digest_of(b"something else");
    let spec = json!({ "version": "v1.0.0", "to": "dev", "digest": expected });
    refusal.world.promote_as(Identity::Alice, "one", spec).await;
    refusal.fails("one", "DigestMismatch", &[&expected]).await;
}

pub async fn a_version_whose_tag_would_be_ambiguous_is_refused(rig: Rig) {
    let refusal = Refusal::in_dev(&rig, json!({})).await;
    refusal
        .world
        .repository
        .publish("v1.0.0-dev", "ambiguous")
        .await;
    let refusal = Refusal::from(refusal.world).await;
    refusal.world.promote("one", "v1.0.0-dev", "dev").await;
    refusal
        .fails("one", "InvalidVersion", &["v1.0.0-dev"])
        .await;
}

pub async fn a_lower_version_than_the_current_one_is_refused(rig: Rig) {
    let refusal = Refusal::in_dev(&rig, json!({})).await;
    let world = refusal.world;
    world.repository.publish("v1.1.0", "second").await;
    world.promote("higher", "v1.1.0", "dev").await;
    assert_eq!(reason(&world.ended("higher").await), "Promoted");
    let refusal = Refusal::from(world).await;
    refusal.world.promote("lower", "v1.0.0", "dev").await;
    refusal
        .fails("lower", "Downgrade", &["v1.1.0", "v1.0.0", "Rollback"])
        .await;
}

pub async fn of_overlapping_suffixes_the_younger_policy_is_refused(rig: Rig) {
    let refusal = Refusal::in_dev(&rig, json!({})).await;
    let world = &refusal.world;
    world
        .policy("extra", json!({ "tagSuffix": "eu-dev" }))
        .await;
    let policy = crate::wait::until("the policy is judged", crate::world::SOON, async || {
        let policy = world.policies().get("extra").await.ok()?;
        let conditions = &policy.status.as_ref()?.conditions;
        (condition(conditions, "Valid") == "False").then_some(policy)
    })
    .await;
    let conditions = policy.status.unwrap().conditions;
    assert_eq!(condition(&conditions, "Ready"), "False");
    assert_eq!(condition(&conditions, "Stalled"), "True");
    world.promote("one", "v1.0.0", "extra").await;
    refusal
        .waits("one", "PolicyInvalid", &["eu-dev", "dev", "tagSuffix"])
        .await;
    // The older one is not disturbed, and the mended one goes on.
    world.promote("two", "v1.0.0", "dev").await;
    assert_eq!(reason(&world.ended("two").await), "Promoted");
    world.policy("extra", json!({ "tagSuffix": "eu" })).await;
    let ended = world.ended("one").await;
    assert_eq!(reason(&ended), "Promoted", "{}", message(&ended));
}

pub async fn a_policy_with_a_rule_that_cannot_be_read_is_refused(rig: Rig) {
    let rule = |expression: &str| json!({ "policyRules": [{ "name": "kept", "expression": expression, "message": "m" }] });
    let refusal = Refusal::in_dev(&rig, json!({})).await;
    let world = &refusal.world;
    world.policy("lab", rule("manifest.x ==")).await;
    crate::wait::until("the policy is judged", crate::world::SOON, async || {
        let policy = world.policies().get("lab").await.ok()?;
        let conditions = &policy.status.as_ref()?.conditions;
        (condition(conditions, "Valid") == "False").then_some(())
    })
    .await;
    world.promote("one", "v1.0.0", "lab").await;
    refusal
        .waits(
            "one",
            "PolicyInvalid",
            &["policyRules 'kept'", "cannot be read"],
        )
        .await;
    world.policy("lab", rule("true")).await;
    let ended = world.ended("one").await;
    assert_eq!(reason(&ended), "Promoted", "{}", message(&ended));
}

async fn three(rig: &Rig) -> Refusal {
    let world = World::new(rig, Kind::Referrers).await;
    world.policy("dev", json!({})).await;
    world
        .policy("staging", json!({ "promotesFrom": ["dev"] }))
        .await;
    world
        .policy("prod", json!({ "promotesFrom": ["staging"] }))
        .await;
    world.operator("one").await;
    for environment in ["dev", "staging", "prod"] {
        world.policy_ready(environment).await;
    }
    world.repository.publish("v1.0.0", "first").await;
    Refusal::from(world).await
}
