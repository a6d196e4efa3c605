//! Somebody else who may write Jobs and Pods in the namespace, and wishes that a gate had passed.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::results::FORGED;
use crate::space::{Space, TOOLBOX, gate, in_space, in_unguarded_space, of_gate, succeeded, with};

#[tokio::test]
async fn a_job_that_somebody_marks_as_complete_has_not_passed() {
    in_unguarded_space("patched", async |space| {
        space.publish("v1.2.3").await;
        let failing = gate("unit", "Tests", "sleep 20; exit 1");
        space.environment("dev", &[], json!([failing])).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let pod = space.running("unit").await;
        let job = pod.metadata.owner_references.unwrap().remove(0).name;
        let jobs = space.api::<Job>();
        let started = jobs.get(&job).await.unwrap().status.unwrap().start_time.unwrap().0;
        let now = jiff::Timestamp::now().round(jiff::Unit::Second).unwrap();
        let condition = |kind: &str| json!({ "type": kind, "status": "True", "lastTransitionTime": now, "reason": "Forged" });
        let status = json!({
            "active": 0, "ready": 0, "terminating": 0, "succeeded": 1, "startTime": started, "completionTime": now,
            "uncountedTerminatedPods": null, "conditions": [condition("SuccessCriteriaMet"), condition("Complete")],
        });
        let forged = Patch::Merge(json!({ "status": status }));
        let patched = jobs.patch_status(&job, &PatchParams::default(), &forged).await;
        println!("a forged status of a Job: {}", patched.map_or_else(|why| why.to_string(), |_| "stored".to_owned()));
        // Whether its status was stored or not: what counts is what its Pod says.
        let ended = space.ended("to-dev").await;
        let (status, reason, message) = succeeded(&ended);
        assert_eq!(status, "False", "{reason}: {message}");
        assert!(["GateError", "GateFailed"].contains(&reason.as_str()), "{reason}: {message}");
    })
    .await;
}

#[tokio::test]
async fn a_strangers_pod_beside_that_of_the_gate_counts_for_nothing() {
    in_unguarded_space("beside", async |space| {
        space.publish("v1.2.3").await;
        let failing = gate("unit", "Tests", "sleep 15; exit 1");
        space.environment("dev", &[], json!([failing])).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let own = space.running("unit").await;
        space.stranger(&own).await;
        has_not_passed(&space).await;
    })
    .await;
}

/// Between two tries the Job has no Pod of its own: the Job controller adopts the stranger's and takes its end for that of the Job.
#[tokio::test]
async fn a_strangers_pod_that_the_job_takes_for_its_own_counts_for_nothing() {
    in_unguarded_space("adopted", async |space| {
        space.publish("v1.2.3").await;
        let failing = with(gate("unit", "Tests", "exit 1"), &json!({ "retries": 3 }));
        space.environment("dev", &[], json!([failing])).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let has_failed = |pod: &Pod| {
            pod.status
                .as_ref()
                .and_then(|status| status.phase.as_deref())
                == Some("Failed")
        };
        let own = space.pod_of("unit", has_failed).await;
        let name = space.stranger(&own).await;
        let adopted = |pod: Option<&Pod>| pod.is_some_and(|pod| !pod.owner_references().is_empty());
        space.until(&name, adopted).await;
        has_not_passed(&space).await;
    })
    .await;
}

#[tokio::test]
async fn a_stranger_gets_no_pod_beside_a_gate_and_no_way_into_it() {
    in_space("guarded", async |space| {
        space.publish("v1.2.3").await;
        let running = gate("unit", "Tests", "sleep 15");
        space.environment("dev", &[], json!([running])).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let own = space.running("unit").await;
        let pods = space.api::<Pod>();
        let refused = pods
            .create(&PostParams::default(), &Space::alike(&own))
            .await;
        let refused = refused.unwrap_err().to_string();
        // Two policies refuse it, for its labels; the API server names one of them.
        assert!(
            refused.contains("may not create the Pod of a gate")
                || refused.contains("may not give a Pod"),
            "{refused}"
        );
        let name = own.name_any();
        for (command, says) in [
            (
                &["exec", &name, "--", "true"][..],
                "may not use pods/exec of a gate",
            ),
            (&["attach", &name], "may not use pods/attach of a gate"),
            (
                // In the namespace's own profile, or Pod Security says no first.
                &["debug", &name, "--image", TOOLBOX, "--profile=restricted"],
                "may not update pods/ephemeralcontainers of a gate",
            ),
            (
                &[
                    "label",
                    "pod",
                    &name,
                    "promotion.floe.dev/gate-",
                    "--overwrite",
                ],
                "may not update pods of a gate",
            ),
            (
                &["delete", "job", &own.owner_references()[0].name],
                "may not delete jobs of a gate",
            ),
        ] {
            let (done, said) = space.try_kubectl(command);
            assert!(!done && said.contains(says), "{command:?}: {said}");
        }
        // The Job controller, the scheduler, the kubelet and the operator go on as ever.
        let ended = space.promoted("to-dev").await;
        assert_eq!(of_gate(&ended, "unit").outcome, "Passed");
    })
    .await;
}

async fn has_not_passed(space: &Space) {
    let ended = space.ended("to-dev").await;
    let (status, reason, message) = succeeded(&ended);
    assert_eq!(status, "False", "{reason}: {message}");
    println!("a stranger's Pod: {reason}: {message}");
    let unit = of_gate(&ended, "unit");
    assert!(
        ["Error", "Failed"].contains(&unit.outcome.as_str()),
        "{unit:?}"
    );
    assert!(
        !space.tags().contains_key("v1.2.3-dev"),
        "nothing is written"
    );
}

impl Space {
    /// A Pod with everything by which the Job controller and floe know those of this Pod's Job, and a good end of its own.
    async fn stranger(&self, own: &Pod) -> String {
        let pod = Self::alike(own);
        self.api::<Pod>()
            .create(&PostParams::default(), &pod)
            .await
            .unwrap()
            .name_any()
    }

    fn alike(own: &Pod) -> Pod {
        let container = json!({
            "name": "gate", "image": TOOLBOX,
            "command": ["sh", "-c", "printf %s \"$FORGED\" > /dev/termination-log"],
            "env": [{ "name": "FORGED", "value": FORGED }],
            "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
        });
        let pod: Value = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "stranger", "labels": own.labels(), "annotations": own.annotations() },
            "spec": {
                "restartPolicy": "Never", "containers": [container],
                "securityContext": { "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": { "type": "RuntimeDefault" } },
            },
        });
        serde_json::from_value(pod).unwrap()
    }
}
