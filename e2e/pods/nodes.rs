//! What the node or a person does to a gate's Pod.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use serde_json::json;

use crate::space::{gate, in_space, in_unguarded_space, of_gate, with};

#[tokio::test]
async fn a_command_that_runs_out_of_memory_is_an_error_that_says_so() {
    in_space("memory", async |space| {
        space.publish("v1.2.3").await;
        let memory = json!({ "resources": { "memory": "32Mi" } });
        let gates = json!([
            with(
                gate(
                    "itself",
                    "Tests",
                    "exec dd if=/dev/zero of=/dev/null bs=256M count=1"
                ),
                &memory
            ),
            // A command that takes no notice when a part of it is killed.
            with(
                gate(
                    "child",
                    "Tests",
                    "dd if=/dev/zero of=/dev/null bs=256M count=1 || exit 0"
                ),
                &memory
            ),
        ]);
        space.environment("dev", &[], gates).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let (ended, message) = space.refused("to-dev", "GateError").await;
        assert!(message.contains("out of memory"), "{message}");
        for name in ["itself", "child"] {
            let gate = of_gate(&ended, name);
            let message = gate.message.unwrap_or_default();
            assert!(
                gate.outcome == "Error" && message.contains("resources.memory"),
                "{name}: {message}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_gate_that_no_node_is_large_enough_for_is_an_error_after_its_time_to_start() {
    in_space("large", async |space| {
        space.publish("v1.2.3").await;
        let fields = json!({ "resources": { "cpu": "1000" }, "startTimeout": "30s" });
        space
            .environment(
                "dev",
                &[],
                json!([with(gate("unit", "Tests", "true"), &fields)]),
            )
            .await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let (_, message) = space.refused("to-dev", "GateError").await;
        assert!(
            message.contains("within 30 s") && message.contains("Insufficient cpu"),
            "{message}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_pod_that_is_deleted_by_hand_has_not_passed() {
    in_space("deleted", async |space| {
        space.publish("v1.2.3").await;
        // The politest command: it ends with 0 when it is told to.
        let polite = "trap 'exit 0' TERM; sleep 300 & wait";
        let gates = json!([
            gate("asked", "Tests", polite),
            gate("forced", "Tests", polite)
        ]);
        space.environment("dev", &[], gates).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let asked = DeleteParams::default();
        let forced = asked.clone().grace_period(0);
        for (name, parameters) in [("asked", asked), ("forced", forced)] {
            let pod = space.running(name).await.name_any();
            space.api::<Pod>().delete(&pod, &parameters).await.unwrap();
        }
        let (ended, _) = space.refused("to-dev", "GateError").await;
        for name in ["asked", "forced"] {
            let gate = of_gate(&ended, name);
            let message = gate.message.unwrap_or_default();
            assert!(
                gate.outcome == "Error" && message.contains("deleted"),
                "{name}: {message}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_job_that_is_deleted_by_hand_runs_again() {
    in_unguarded_space("rerun", async |space| {
        space.publish("v1.2.3").await;
        space
            .environment("dev", &[], json!([gate("unit", "Tests", "sleep 8")]))
            .await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let pod = space.running("unit").await;
        let job = pod.metadata.owner_references.unwrap().remove(0);
        space
            .api::<Job>()
            .delete(&job.name, &DeleteParams::background())
            .await
            .unwrap();
        let unit = of_gate(&space.promoted("to-dev").await, "unit");
        assert_eq!((unit.outcome.as_str(), unit.job), ("Passed", job.name));
        assert_ne!(
            unit.job_uid,
            Some(job.uid),
            "another Job than the deleted one"
        );
        let took = unit
            .finished_at
            .unwrap()
            .0
            .duration_since(unit.started_at.unwrap().0);
        assert!(took.as_secs() >= 7, "it has run to its end: {took:?}");
    })
    .await;
}
