//! The audit log on the volume of the operator's Pod.

use floe::domain::audit_log::{Event, Line, Start, Verifier};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::space::{TOOLBOX, in_space};

/// Where the operator runs.
const OPERATOR: &str = "--namespace=floe-system";

#[tokio::test]
async fn the_audit_log_lies_on_a_volume_and_tells_who_promoted_what() {
    in_space("auditlog", async |space| {
        // A cluster of somebody's own may have no volume to give (e2e/install): then the chart was installed without.
        let (installed, told) = space.try_kubectl(&["get", OPERATOR, "statefulset/floe"]);
        if !installed {
            println!("skipped: {told}");
            return;
        }
        space.publish("v1.2.3").await;
        space.environment("dev", &[], json!([])).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let promoted = space.promoted("to-dev").await;
        let intent = promoted.status.unwrap().intent.unwrap();
        let log = intent.operator_log.unwrap();

        let reader = format!("reads-{}", space.name);
        let pods: Api<Pod> = Api::namespaced(space.client.clone(), "floe-system");
        let pod: Pod = serde_json::from_value(reading_pod(&reader, &log)).unwrap();
        pods.create(&PostParams::default(), &pod).await.unwrap();
        let ended = "--for=jsonpath={.status.phase}=Succeeded";
        let name = format!("pod/{reader}");
        space.kubectl(&["wait", OPERATOR, ended, "--timeout=60s", &name]);
        let text = space.kubectl(&["logs", OPERATOR, &name]);
        space.kubectl(&["delete", OPERATOR, "--wait=false", &name]);

        let mut lines: Vec<Line> = Vec::new();
        let mut verifier = Verifier::new(Start::First);
        verifier
            .push(text.as_bytes(), |line, _| lines.push(line.clone()))
            .unwrap_or_else(|broken| panic!("{broken}"));
        let uid = promoted.metadata.uid.unwrap();
        let ours = lines
            .iter()
            .filter(|line| line.request.as_ref().is_some_and(|about| about.uid == uid));
        let told: Vec<(Event, Option<&str>)> = ours
            .map(|line| (line.event, line.reason.as_deref()))
            .collect();
        assert_eq!(
            told,
            [(Event::Intent, None), (Event::Result, Some("Promoted"))]
        );
        assert!(lines.iter().all(|line| line.log_id == log));
    })
    .await;
}

/// A Pod that prints the log from the operator's volume.
fn reading_pod(name: &str, log: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": {
            "restartPolicy": "Never",
            "securityContext": { "runAsUser": 65532, "runAsGroup": 65532, "runAsNonRoot": true },
            "containers": [{
                "name": "reader",
                "image": TOOLBOX,
                "command": ["sh", "-c", format!("cat /audit/{log}/*.jsonl")],
                "volumeMounts": [{ "name": "log", "mountPath": "/audit", "readOnly": true }],
            }],
            "volumes": [{
                "name": "log",
                "persistentVolumeClaim": { "claimName": "audit-log-floe-0", "readOnly": true },
            }],
        },
    })
}
