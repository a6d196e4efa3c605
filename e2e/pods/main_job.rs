//! The main job: an artifact goes from dev to staging to prod.

use floe::api::{EnvironmentPolicy, LABEL_RESULT, Promotion};
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use serde_json::json;

use crate::space::{gate, in_space, succeeded};

#[tokio::test]
async fn a_version_goes_from_dev_to_prod_as_one_digest_with_a_record_for_each_step() {
    in_space("main", async |space| {
        let digest = space.publish("v1.2.3").await;
        space.environment("dev", &[], json!([])).await;
        let tests = gate("unit", "Tests", "grep -q 'kind: Manifest' $FLOE_ARTIFACT_DIR/manifest.yaml");
        let custom = gate(
            "environment",
            "Custom",
            "test $FLOE_ARTIFACT/$FLOE_VERSION/$FLOE_FROM/$FLOE_TO = platform/v1.2.3/dev/staging; touch /tmp/ok $HOME/ok",
        );
        space.environment("staging", &["dev"], json!([tests, custom])).await;
        space.environment("prod", &["staging"], json!([gate("smoke", "Tests", "true")])).await;

        for to in ["dev", "staging", "prod"] {
            space.promote(&format!("to-{to}"), "v1.2.3", to).await;
            let waited = space.kubectl(&["wait", &format!("promotion/to-{to}"), "--for=condition=Succeeded", "--timeout=120s"]);
            assert!(waited.contains("condition met"), "{waited}");
        }

        let tags = ["dev", "staging", "prod"].map(|name| [format!("v1.2.3-{name}"), format!("latest-{name}")]);
        for tag in tags.as_flattened() {
            assert_eq!(space.digest(tag), digest, "{tag}");
        }
        let records = space.records(&digest);
        let into: Vec<_> = records.iter().map(|record| record["predicate"]["targetEnvironment"].clone()).collect();
        assert_eq!(into, ["dev", "staging", "prod"]);
        for record in &records {
            assert_eq!(record["_type"], "https://in-toto.io/Statement/v1");
            assert_eq!(record["subject"][0]["digest"]["sha256"], digest.trim_start_matches("sha256:"));
            assert_eq!(record["predicate"]["space"], space.name.as_str());
        }
        let gates = records[1]["predicate"]["gates"].as_array().unwrap();
        let outcomes: Vec<_> = gates.iter().map(|gate| (gate["name"].as_str().unwrap(), gate["outcome"].as_str().unwrap())).collect();
        assert_eq!(outcomes, [("policy_compliance", "Passed"), ("unit", "Passed"), ("environment", "Passed")]);

        let table = space.kubectl(&["get", "fpromo"]);
        let header = ["ARTIFACT", "VERSION", "FROM", "TO", "STAGE", "GATES", "WAITING-ON", "AGE"];
        assert!(header.iter().all(|column| table.contains(column)), "{table}");
        assert!(table.contains("✓✓✓"), "{table}");
        let told = space.kubectl(&["describe", "promotion", "to-staging"]);
        for reason in ["GatesStarted", "Promoted"] {
            assert!(told.contains(reason), "{told}");
        }
        let prod = space.api::<EnvironmentPolicy>().get("prod").await.unwrap();
        let held = prod.status.unwrap().artifacts.remove(0);
        assert_eq!(held.current.unwrap().digest, digest);
        assert!(held.in_flight.is_none());
    })
    .await;
}

#[tokio::test]
async fn applying_again_changes_nothing_also_after_the_finished_object_was_deleted() {
    in_space("again", async |space| {
        space.publish("v1.2.3").await;
        space
            .environment("dev", &[], json!([gate("unit", "Tests", "true")]))
            .await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        space.promoted("to-dev").await;
        // The label is the last write to an ended request.
        let first = space
            .until("to-dev", |found: Option<&Promotion>| {
                found.is_some_and(|promotion| promotion.labels().contains_key(LABEL_RESULT))
            })
            .await
            .unwrap();
        let tags = space.tags();

        let again = space.promote("to-dev", "v1.2.3", "dev").await;
        assert_eq!(
            again.resource_version(),
            first.resource_version(),
            "an apply without a change"
        );

        let promotions = space.api::<Promotion>();
        promotions
            .delete("to-dev", &DeleteParams::default())
            .await
            .unwrap();
        space
            .until("to-dev", |found: Option<&Promotion>| found.is_none())
            .await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let second = space.promoted("to-dev").await;
        assert_eq!(succeeded(&second).1, "AlreadyPromoted");
        assert_ne!(second.uid(), first.uid());
        assert_eq!(space.tags(), tags);
    })
    .await;
}

#[tokio::test]
async fn a_dry_run_runs_the_gates_and_writes_nothing() {
    in_space("dry", async |space| {
        space.publish("v1.2.3").await;
        space.environment("dev", &[], json!([gate("unit", "Tests", "true")])).await;
        let tags = space.tags();
        let asked = json!({ "metadata": { "name": "dry" }, "spec": { "version": "v1.2.3", "to": "dev", "dryRun": true } });
        space.apply::<Promotion>(asked).await;
        let ended = space.promoted("dry").await;
        assert_eq!(succeeded(&ended).1, "DryRunPassed");
        assert_eq!(ended.status.unwrap().gate_summary.unwrap(), "✓✓");
        assert_eq!(space.tags(), tags);
    })
    .await;
}

#[tokio::test]
async fn a_tag_that_names_another_digest_is_never_moved() {
    in_space("taken", async |space| {
        space.publish("v1.2.3-dev").await; // somebody else's push under the target's name
        space.publish("v1.2.3").await;
        space.environment("dev", &[], json!([])).await;
        let tags = space.tags();
        space.promote("to-dev", "v1.2.3", "dev").await;
        let (_, message) = space.refused("to-dev", "TagTaken").await;
        assert!(message.contains("v1.2.3-dev"), "{message}");
        assert_eq!(space.tags(), tags);
    })
    .await;
}
