//! A deleted request is given up, unless its first tag is written: then it is finished first.

use kube::api::DeleteParams;
use serde_json::json;

use crate::harness::Rig;
use crate::jobs::Wish;
use crate::proxy::{Class, Fault, Moment, Server, count};
use crate::registries::Kind;
use crate::wait::{seconds, until};
use crate::world::{SOON, World};

pub async fn a_promotion_that_is_deleted_while_gates_run_writes_nothing(rig: Rig) {
    let world = in_dev(&rig).await;
    let tags = world.repository.tag_map().await;
    world.jobs.wish("policy_compliance", Wish::Never);
    world.promote("one", "v1.0.0", "dev").await;
    world.jobs.until_waiting("policy_compliance").await;
    let mark = world.proxy.trace.mark();
    delete(&world).await;
    world.until_gone("one").await;
    assert_eq!(world.repository.tag_map().await, tags);
    assert_eq!(
        count(
            &world.proxy.trace.since(mark),
            Server::Registry,
            &[Class::Write]
        ),
        0
    );
}

pub async fn a_promotion_that_is_deleted_after_its_first_tag_is_finished_first(rig: Rig) {
    for key in [
        "PUT manifests/v1.0.0-dev",
        "POST blobs/upload",
        "PUT manifests/sha256",
        "PUT manifests/latest-dev",
    ] {
        let world = in_dev(&rig).await;
        let digest = world.repository.digest("v1.0.0").await.unwrap();
        world
            .proxy
            .faults
            .once(Fault::Delay(seconds(2)), move |seen, _| {
                seen.key.contains(key)
            });
        world.promote("one", "v1.0.0", "dev").await;
        until("the write is held back", SOON, async || {
            (world.proxy.faults.waiting() == 0).then_some(())
        })
        .await;
        delete(&world).await;
        world.until_gone("one").await;
        let tags = world.repository.tag_map().await;
        assert_eq!(
            tags.get("v1.0.0-dev"),
            Some(&digest),
            "deleted during {key}"
        );
        assert_eq!(
            tags.get("latest-dev"),
            Some(&digest),
            "deleted during {key}"
        );
        assert_eq!(
            world.repository.records(&digest).await.len(),
            1,
            "deleted during {key}"
        );
        let ledger = world
            .policies()
            .get("dev")
            .await
            .unwrap()
            .status
            .unwrap()
            .artifacts;
        assert_eq!(ledger[0].history.len(), 1, "deleted during {key}");
        assert!(ledger[0].in_flight.is_none(), "deleted during {key}");
        world.kill_operators().await;
    }
}

pub async fn a_deleted_promotion_whose_operator_died_after_the_first_tag_is_finished_by_the_next(
    rig: Rig,
) {
    let world = World::new(&rig, Kind::Referrers).await;
    world.policy("dev", json!({})).await;
    let digest = world.repository.publish("v1.0.0", "first").await;
    let tag = "PUT manifests/v1.0.0-dev";
    world
        .proxy
        .faults
        .once(Fault::Kill(Moment::After), move |seen, _| {
            seen.key.contains(tag)
        });
    let first = world.operator("one").await;
    world.policy_ready("dev").await;
    world.promote("one", "v1.0.0", "dev").await;
    first.until_gone(SOON).await;
    delete(&world).await;
    world.operator("two").await;
    until("the tags are complete", seconds(40), async || {
        (world.repository.digest("latest-dev").await? == digest).then_some(())
    })
    .await;
    world.until_gone("one").await;
    assert_eq!(world.repository.records(&digest).await.len(), 1);
    let ledger = world
        .policies()
        .get("dev")
        .await
        .unwrap()
        .status
        .unwrap()
        .artifacts;
    assert_eq!(ledger[0].history.len(), 1);
    assert!(ledger[0].in_flight.is_none());
}

pub async fn a_promotion_that_is_deleted_goes_although_the_registry_is_down(rig: Rig) {
    let world = in_dev(&rig).await;
    world
        .proxy
        .faults
        .always(Fault::Cut(Moment::Before), |seen, _| {
            seen.server == Server::Registry
        });
    world.promote("one", "v1.0.0", "dev").await;
    world.waits("one", "RegistryUnavailable").await;
    delete(&world).await;
    world.until_gone("one").await;
}

pub async fn a_promotion_that_is_deleted_goes_although_its_policy_is_gone(rig: Rig) {
    let world = in_dev(&rig).await;
    world.jobs.wish("policy_compliance", Wish::Never);
    world.promote("one", "v1.0.0", "dev").await;
    world.jobs.until_waiting("policy_compliance").await;
    world
        .policies()
        .delete("dev", &DeleteParams::default())
        .await
        .unwrap();
    world.waits("one", "PolicyInvalid").await;
    delete(&world).await;
    world.until_gone("one").await;
}

async fn in_dev(rig: &Rig) -> World {
    let world = World::new(rig, Kind::Referrers).await;
    world.policy("dev", json!({})).await;
    world.operator("one").await;
    world.policy_ready("dev").await;
    world.repository.publish("v1.0.0", "first").await;
    world
}

async fn delete(world: &World) {
    world
        .promotions()
        .delete("one", &DeleteParams::default())
        .await
        .expect("delete the Promotion");
}
