//! The main job: publish, gate, retag, record, from dev to staging to prod.

use std::collections::BTreeSet;

use floe::api::LABEL_RESULT;
use k8s_openapi::api::batch::v1::Job;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::control_plane::Identity;
use crate::harness::Rig;
use crate::jobs::{When, Wish};
use crate::kubectl::Kubectl;
use crate::registries::Kind;
use crate::wait::seconds;
use crate::world::{World, gates, reason, stage};

pub async fn a_version_goes_from_dev_to_prod_with_one_digest_and_one_record_each(rig: Rig) {
    for kind in [Kind::Referrers, Kind::Distribution] {
        let world = three_environments(&rig, kind).await;
        let digest = world.repository.publish("v1.2.3", "first").await;
        for (name, to) in [
            ("one-dev", "dev"),
            ("one-staging", "staging"),
            ("one-prod", "prod"),
        ] {
            world
                .promote_as(
                    Identity::Alice,
                    name,
                    json!({ "version": "v1.2.3", "to": to, "requestedBy": "bob" }),
                )
                .await;
            let promotion = world.ended(name).await;
            assert_eq!(
                (stage(&promotion).as_str(), reason(&promotion).as_str()),
                ("Succeeded", "Promoted")
            );
            assert_eq!(promotion.labels()[LABEL_RESULT], "Succeeded");
            assert_eq!(
                promotion.spec.requested_by.as_deref(),
                Some("alice"),
                "who the API server authenticated"
            );
        }
        let tags = world.repository.tag_map().await;
        let expected = [
            "v1.2.3",
            "v1.2.3-dev",
            "v1.2.3-staging",
            "v1.2.3-prod",
            "latest-dev",
            "latest-staging",
            "latest-prod",
        ];
        assert_eq!(
            tags.keys().map(String::as_str).collect::<BTreeSet<_>>(),
            BTreeSet::from(expected)
        );
        assert!(tags.values().all(|named| *named == digest), "{tags:?}");

        let records: Vec<_> = world
            .repository
            .records(&digest)
            .await
            .iter()
            .map(crate::oci::Referrer::json)
            .collect();
        let of = |environment: &str| {
            let wanted = format!("https://floe.dev/promotion/v1/{environment}");
            let mut found = records
                .iter()
                .filter(|record| record["predicateType"] == wanted);
            let one = found
                .next()
                .unwrap_or_else(|| panic!("no record of {environment}: {records:#?}"));
            assert!(
                found.next().is_none(),
                "two records of {environment}: {records:#?}"
            );
            one
        };
        assert_eq!(records.len(), 3, "{records:#?}");
        let prod = &of("prod")["predicate"];
        assert_eq!(prod["requestedBy"], "alice");
        assert_eq!(prod["sourceEnvironment"], "staging");
        assert_eq!(prod["artifact"]["digest"], digest);
        assert_eq!(prod["tag"], "v1.2.3-prod");
        assert_eq!(prod["gates"].as_array().map(Vec::len), Some(3), "{prod:#}");
        assert!(
            prod["gates"]
                .as_array()
                .unwrap()
                .iter()
                .all(|gate| gate["outcome"] == "Passed"),
            "{prod:#}"
        );
        of("dev");
        of("staging");
        world.assert_counted_everything().await;
    }
}

pub async fn applying_a_promotion_again_does_nothing_also_after_it_was_deleted(rig: Rig) {
    let world = three_environments(&rig, Kind::Referrers).await;
    let digest = world.repository.publish("v1.2.3", "first").await;
    let alice = Kubectl::new(&rig.control_plane, &world.folder, Identity::Alice);
    let namespace = format!("--namespace={}", world.namespace);
    let object = json!({
        "apiVersion": "promotion.floe.dev/v1alpha1", "kind": "Promotion",
        "metadata": { "name": "one" }, "spec": { "version": "v1.2.3", "to": "dev" },
    })
    .to_string();
    let apply = ["apply", "--server-side", &namespace, "-f", "-"];
    alice.run(&apply, &object).await.unwrap();
    let first = world.ended("one").await;
    assert_eq!(reason(&first), "Promoted");
    let tags = world.repository.tag_map().await;
    let records = world.repository.records(&digest).await;
    let policy = world.policies().get("dev").await.unwrap();

    alice.run(&apply, &object).await.unwrap();
    world.proxy.trace.until_quiet(seconds(1), seconds(20)).await;
    assert_eq!(
        world
            .promotions()
            .get("one")
            .await
            .unwrap()
            .resource_version(),
        first.resource_version()
    );

    for operator_restarted in [false, true] {
        alice
            .run(
                &["delete", &namespace, "promotion", "one", "--timeout=20s"],
                "",
            )
            .await
            .unwrap();
        if operator_restarted {
            world.kill_operators().await;
            world.operator("another").await;
        }
        alice.run(&apply, &object).await.unwrap();
        let again = world.ended("one").await;
        assert_ne!(again.uid(), first.uid());
        assert_eq!(
            (stage(&again).as_str(), reason(&again).as_str()),
            ("Succeeded", "AlreadyPromoted")
        );
        assert_eq!(world.repository.tag_map().await, tags);
        assert_eq!(world.repository.records(&digest).await, records);
        let ledger = world
            .policies()
            .get("dev")
            .await
            .unwrap()
            .status
            .unwrap()
            .artifacts;
        assert_eq!(ledger, policy.status.clone().unwrap().artifacts);
    }
    // A lower version does not come back either, when it is applied again after a higher one.
    world.repository.publish("v1.3.0", "second").await;
    world.promote("two", "v1.3.0", "dev").await;
    assert_eq!(reason(&world.ended("two").await), "Promoted");
    let tags = world.repository.tag_map().await;
    alice
        .run(
            &["delete", &namespace, "promotion", "one", "--timeout=20s"],
            "",
        )
        .await
        .unwrap();
    alice.run(&apply, &object).await.unwrap();
    assert_eq!(reason(&world.ended("one").await), "AlreadyPromoted");
    assert_eq!(world.repository.tag_map().await, tags);
}

pub async fn a_failing_gate_stops_the_promotion_and_a_warning_one_does_not(rig: Rig) {
    let world = World::new(&rig, Kind::Referrers).await;
    let mut two = gates(2);
    two[1]["onFailure"] = "Warn".into();
    world.policy("dev", json!({ "gates": two })).await;
    world.operator("one").await;
    world.policy_ready("dev").await;
    world.repository.publish("v1.0.0", "first").await;
    let tags = world.repository.tag_map().await;
    world.jobs.when(When::Together(3));
    world
        .jobs
        .wish("gate-1", Wish::Fail("3 of 12 tests failed".to_owned()));
    world
        .jobs
        .wish("gate-2", Wish::Fail("costs 3 % more".to_owned()));
    world.promote("one", "v1.0.0", "dev").await;
    let failed = world.ended("one").await;
    assert_eq!(
        (stage(&failed).as_str(), reason(&failed).as_str()),
        ("Failed", "GateFailed")
    );
    let message = crate::world::message(&failed);
    assert!(
        message.contains("gate-1") && message.contains("3 of 12 tests failed"),
        "{message}"
    );
    assert!(!message.contains("gate-2"), "{message}");
    assert_eq!(world.repository.tag_map().await, tags);
    assert_eq!(
        failed.status.as_ref().unwrap().gate_summary.as_deref(),
        Some("✓✗!")
    );

    world.jobs.wish("gate-1", Wish::Pass);
    world.promote("one-r2", "v1.0.0", "dev").await;
    let passed = world.ended("one-r2").await;
    assert_eq!(reason(&passed), "Promoted");
    assert_eq!(
        passed.status.as_ref().unwrap().gate_summary.as_deref(),
        Some("✓✓!")
    );
}

pub async fn gates_get_the_digest_and_never_a_tag(rig: Rig) {
    let world = three_environments(&rig, Kind::Referrers).await;
    let digest = world.repository.publish("v1.0.0", "first").await;
    world.promote("one", "v1.0.0", "dev").await;
    assert_eq!(reason(&world.ended("one").await), "Promoted");
    let jobs: Api<Job> = Api::namespaced(world.admin.clone(), &world.namespace);
    let jobs = jobs.list(&ListParams::default()).await.unwrap();
    assert_eq!(jobs.items.len(), 3);
    let by_digest = format!("{}@{digest}", world.reference);
    for job in &jobs.items {
        let pod = serde_json::to_string(&job.spec.as_ref().unwrap().template.spec).unwrap();
        assert!(pod.contains(&by_digest), "{pod}");
        let by_tag = format!("{}:", world.reference);
        assert!(!pod.contains(&by_tag), "{pod}");
    }
}

/// Three environments in a row, the operator at work.
pub async fn three_environments(rig: &Rig, kind: Kind) -> World {
    let world = World::new(rig, kind).await;
    world.policy("dev", json!({ "gates": gates(2) })).await;
    world
        .policy(
            "staging",
            json!({ "promotesFrom": ["dev"], "gates": gates(2) }),
        )
        .await;
    world
        .policy(
            "prod",
            json!({ "promotesFrom": ["staging"], "gates": gates(2) }),
        )
        .await;
    world.operator("one").await;
    for environment in ["dev", "staging", "prod"] {
        world.policy_ready(environment).await;
    }
    world
}
