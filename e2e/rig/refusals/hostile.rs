//! Policies that ask for more than a gate may have, through every field and through fields that do not exist.

use std::collections::BTreeMap;

use floe::api::EnvironmentPolicy;
use floe::domain::artifact::Digest;
use floe::domain::gates::{JobRequest, RequestRef};
use floe::domain::policy::Environment;
use floe::domain::verdict::planned_gates;
use floe::effects::gate_jobs::build_job;
use kube::api::{Patch, PatchParams, ValidationDirective};
use serde_json::{Value, json};

use crate::harness::Rig;
use crate::registries::Kind;
use crate::world::World;

/// Where a field is put: JSON pointers into the policy.
const SPEC: &str = "/spec";
const GATE: &str = "/spec/gates/0";
const ENV: &str = "/spec/gates/0/env/0";
const RESOURCES: &str = "/spec/gates/0/resources";
const REPORT: &str = "/spec/gates/0/report";
const THRESHOLDS: &str = "/spec/gates/0/thresholds";
const CREDENTIALS: &str = "/spec/gates/0/credentials";
const ARTIFACT: &str = "/spec/artifacts/0";

/// Fields that a gate does not have.
fn unknown() -> Vec<(&'static str, &'static str, Value)> {
    let privileged =
        json!({ "privileged": true, "runAsUser": 0, "capabilities": { "add": ["SYS_ADMIN"] } });
    let host = json!([{ "name": "host", "hostPath": { "path": "/" } }]);
    let mounts = json!([{ "name": "host", "mountPath": "/host" }]);
    let container = json!([{ "name": "x", "image": "x", "securityContext": privileged, "volumeMounts": mounts }]);
    let exec = json!({ "exec": { "command": ["sh"] } });
    let pod =
        json!({ "hostNetwork": true, "hostPID": true, "containers": container, "volumes": host });
    let secret = json!({ "secretKeyRef": { "name": "registry", "key": ".dockerconfigjson" } });
    vec![
        (GATE, "hostNetwork", json!(true)),
        (GATE, "hostPID", json!(true)),
        (GATE, "hostIPC", json!(true)),
        (GATE, "hostUsers", json!(true)),
        (GATE, "hostPath", json!("/")),
        (
            GATE,
            "hostAliases",
            json!([{ "ip": "10.0.0.1", "hostnames": ["registry.example"] }]),
        ),
        (GATE, "privileged", json!(true)),
        (GATE, "securityContext", privileged.clone()),
        (GATE, "podSecurityContext", privileged.clone()),
        (GATE, "serviceAccountName", json!("floe")),
        (GATE, "serviceAccount", json!("floe")),
        (GATE, "automountServiceAccountToken", json!(true)),
        (GATE, "volumes", host.clone()),
        (GATE, "volumeMounts", mounts.clone()),
        (
            GATE,
            "volumeDevices",
            json!([{ "name": "host", "devicePath": "/dev/sda" }]),
        ),
        (GATE, "initContainers", container.clone()),
        (GATE, "containers", container.clone()),
        (GATE, "sidecars", container.clone()),
        (GATE, "ephemeralContainers", container.clone()),
        (GATE, "lifecycle", json!({ "postStart": exec })),
        (GATE, "livenessProbe", exec.clone()),
        (
            GATE,
            "envFrom",
            json!([{ "secretRef": { "name": "registry" } }]),
        ),
        (GATE, "workingDir", json!("/host")),
        (
            GATE,
            "terminationMessagePath",
            json!("/floe/artifact/manifest.yaml"),
        ),
        (
            GATE,
            "terminationMessagePolicy",
            json!("FallbackToLogsOnError"),
        ),
        (GATE, "podSpecPatch", json!(pod.to_string())),
        (GATE, "podTemplate", json!({ "spec": pod })),
        (GATE, "template", json!({ "spec": pod })),
        (GATE, "spec", pod.clone()),
        (
            GATE,
            "patches",
            json!([{ "op": "add", "path": "/spec/template/spec/hostNetwork", "value": true }]),
        ),
        (GATE, "nodeName", json!("control-plane")),
        (
            GATE,
            "nodeSelector",
            json!({ "node-role.kubernetes.io/control-plane": "" }),
        ),
        (GATE, "tolerations", json!([{ "operator": "Exists" }])),
        (GATE, "affinity", json!({ "nodeAffinity": {} })),
        (GATE, "priorityClassName", json!("system-node-critical")),
        (GATE, "runtimeClassName", json!("unconfined")),
        (GATE, "imagePullSecrets", json!([{ "name": "registry" }])),
        (GATE, "imagePullPolicy", json!("Never")),
        (GATE, "restartPolicy", json!("OnFailure")),
        (GATE, "shareProcessNamespace", json!(true)),
        (
            GATE,
            "ports",
            json!([{ "containerPort": 80, "hostPort": 80 }]),
        ),
        (
            GATE,
            "labels",
            json!({ "app.kubernetes.io/managed-by": "me" }),
        ),
        (
            GATE,
            "annotations",
            json!({ "container.apparmor.security.beta.kubernetes.io/gate": "unconfined" }),
        ),
        (GATE, "metadata", json!({ "namespace": "kube-system" })),
        (GATE, "namespace", json!("kube-system")),
        (GATE, "backoffLimit", json!(1000)),
        (GATE, "podFailurePolicy", json!({ "rules": [] })),
        (GATE, "runAsGroup", json!(0)),
        (GATE, "run_as_user", json!(0)),
        (GATE, "Command", json!(["sh"])),
        (ENV, "valueFrom", secret.clone()),
        (ENV, "fieldRef", json!({ "fieldPath": "metadata.uid" })),
        (RESOURCES, "limits", json!({ "devices.example/host": "1" })),
        (RESOURCES, "claims", json!([{ "name": "host" }])),
        (REPORT, "path", json!("/floe/credentials/config.json")),
        (REPORT, "ignore", json!(true)),
        (THRESHOLDS, "ignoreAll", json!(true)),
        (CREDENTIALS, "namespace", json!("floe-system")),
        (
            CREDENTIALS,
            "items",
            json!([{ "key": "signing.key", "path": "config.json" }]),
        ),
        (SPEC, "podTemplate", json!({ "spec": pod })),
        (SPEC, "serviceAccountName", json!("floe")),
        (SPEC, "podSpecPatch", json!(pod.to_string())),
        (SPEC, "skipPolicyCompliance", json!(true)),
        (ARTIFACT, "hostPath", json!("/")),
        (ARTIFACT, "insecureSkipTLSVerify", json!(true)),
    ]
}

/// Values that a field is not made for.
fn misused() -> Vec<(&'static str, &'static str, Value)> {
    let words =
        "x\"}],\"hostNetwork\":true,\"x\":[{\"x\":\"\nhostNetwork: true\n$(HOME) ; --privileged";
    let variable = |name: &str| json!([{ "name": name, "value": "forged" }]);
    vec![
        (GATE, "name", json!("policy_compliance")),
        (GATE, "name", json!("a\nhostNetwork: true")),
        (GATE, "name", json!("../fetch")),
        (GATE, "type", json!("PolicyCompliance")),
        (GATE, "image", json!(words)),
        (GATE, "command", json!([words, "--", "--timeout", "999999"])),
        (
            GATE,
            "command",
            json!(["--", "--termination-log", "/tmp/x"]),
        ),
        (GATE, "args", json!([words, "--report-file", "/etc/passwd"])),
        (GATE, "env", variable("FLOE_DIGEST")),
        (GATE, "env", variable("FLOE_REPORT")),
        (GATE, "env", variable("FLOE_")),
        (GATE, "env", variable("LD_PRELOAD")),
        (GATE, "env", variable("DOCKER_CONFIG")),
        (GATE, "env", variable("A\nB")),
        (GATE, "timeout", json!("9999h")),
        (GATE, "timeout", json!("-1s")),
        (GATE, "startTimeout", json!("0s")),
        (GATE, "retries", json!(1000)),
        (GATE, "retries", json!(-1)),
        (GATE, "runAsUser", json!(0)),
        (GATE, "runAsUser", json!(-1)),
        (GATE, "runAsUser", json!(4_294_967_296_i64)),
        (GATE, "cacheFor", json!("9999h")),
        (GATE, "layout", json!("/")),
        (RESOURCES, "cpu", json!("1; rm -rf /")),
        (RESOURCES, "memory", json!("-1Gi")),
        (CREDENTIALS, "secretName", json!("../floe-system/signing")),
        (CREDENTIALS, "secretName", json!("")),
        (REPORT, "format", json!("../../etc/passwd")),
        (REPORT, "exitCodes", json!([0, 137, 255])),
    ]
}

/// What a value of these fields may change, and nothing else.
const OWN_PLACES: [&str; 5] = [
    "/spec/template/spec/containers/0/image",
    "/spec/template/spec/containers/0/command",
    "/spec/template/spec/containers/0/args",
    "/spec/template/spec/containers/0/env",
    "/spec/template/spec/volumes/6/secret/secretName",
];

pub async fn a_gate_gets_nothing_from_fields_that_it_does_not_have(rig: Rig) {
    let world = World::new(&rig, Kind::Referrers).await;
    let plain = policy(&world);
    world.policy("dev", plain["spec"].clone()).await;
    let wanted = jobs_of(
        &stored(&world, &plain, ValidationDirective::Strict)
            .await
            .expect("it is good"),
    );
    for (place, field, value) in unknown() {
        let hostile = with(&plain, place, field, value);
        let refused = stored(&world, &hostile, ValidationDirective::Strict)
            .await
            .expect_err(field);
        assert!(refused.contains(field), "{place}/{field}: {refused}");
        let pruned = stored(&world, &hostile, ValidationDirective::Ignore).await;
        let pruned = pruned.unwrap_or_else(|why| panic!("{place}/{field}: {why}"));
        assert!(
            jobs_of(&pruned) == wanted,
            "{place}/{field} changes the Job"
        );
    }
}

pub async fn a_gate_gets_nothing_from_values_that_a_field_is_not_made_for(rig: Rig) {
    let world = World::new(&rig, Kind::Referrers).await;
    let plain = policy(&world);
    world.policy("dev", plain["spec"].clone()).await;
    let wanted = jobs_of(
        &stored(&world, &plain, ValidationDirective::Strict)
            .await
            .expect("it is good"),
    );
    let mut accepted = Vec::new();
    for (place, field, value) in misused() {
        let hostile = with(&plain, place, field, value);
        if let Ok(policy) = stored(&world, &hostile, ValidationDirective::Ignore).await {
            accepted.push(field);
            let same =
                apart_from(OWN_PLACES, jobs_of(&policy)) == apart_from(OWN_PLACES, wanted.clone());
            assert!(
                same,
                "{place}/{field} changes more of the Job than its own place"
            );
        }
    }
    assert_eq!(
        accepted,
        [
            "image",
            "command",
            "command",
            "args",
            "env",
            "env",
            "secretName"
        ],
        "all others are refused"
    );
}

/// A policy with a gate that uses every field.
fn policy(world: &World) -> Value {
    let gate = json!({
        "name": "scan", "type": "SecurityScan", "image": "rig.invalid/scanner:1", "command": ["scan"], "args": ["--all"],
        "env": [{ "name": "LEVEL", "value": "high" }], "resources": { "cpu": "1", "memory": "1Gi" },
        "report": { "format": "Sarif", "exitCodes": [1] }, "thresholds": { "critical": 0 },
        "credentials": { "secretName": "scanner" }, "timeout": "60s", "startTimeout": "60s", "retries": 1,
        "cacheFor": "1h", "layout": true, "runAsUser": 1000, "onFailure": "Block",
    });
    let artifact =
        json!({ "name": crate::world::ARTIFACT, "repository": world.reference, "plainHTTP": true });
    json!({ "spec": { "artifacts": [artifact], "gates": [gate] } })
}

/// What the API server would store of the policy, or why it would not.
async fn stored(
    world: &World,
    policy: &Value,
    validation: ValidationDirective,
) -> Result<EnvironmentPolicy, String> {
    let parameters = PatchParams {
        dry_run: true,
        field_validation: Some(validation),
        ..PatchParams::default()
    };
    let patched = world
        .policies()
        .patch("dev", &parameters, &Patch::Merge(policy))
        .await;
    patched.map_err(|why| why.to_string())
}

fn with(policy: &Value, place: &str, field: &str, value: Value) -> Value {
    let mut policy = policy.clone();
    policy.pointer_mut(place).expect("the place is there")[field] = value;
    policy
}

/// The Jobs that floe would make.
fn jobs_of(policy: &EnvironmentPolicy) -> BTreeMap<String, Value> {
    let digest = Digest::of(b"artifact");
    let environment = Environment::of(policy);
    assert_eq!(environment.problem, None);
    let source = &policy.spec.artifacts[0];
    let jobs = planned_gates(&environment, &digest)
        .into_iter()
        .map(|gate| {
            let job = build_job(&JobRequest {
                job_name: gate.name.clone(),
                request: RequestRef {
                    kind: "Promotion".to_owned(),
                    namespace: "team".to_owned(),
                    name: "to-dev".to_owned(),
                    uid: "uid".to_owned(),
                },
                gate: gate.name.clone(),
                spec: gate.spec,
                // It differs wherever the specification does, which is what is compared.
                spec_hash: String::new(),
                start_timeout_seconds: gate.start_timeout_seconds,
                artifact: source.name.clone(),
                version: "v1.2.3".to_owned(),
                repository: source.repository.parse().expect("a repository"),
                digest: digest.clone(),
                from: None,
                to: environment.name.clone(),
                credentials_secret: None,
                ca_secret: None,
                plain_http: source.plain_http,
                operator_image: "floe:1".to_owned(),
                operator_image_pull_policy: None,
            });
            (gate.name, serde_json::to_value(job).expect("a Job is JSON"))
        });
    jobs.collect()
}

fn apart_from(places: [&str; 5], mut jobs: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    for job in jobs.values_mut() {
        for place in places {
            if let Some(value) = job.pointer_mut(place) {
                *value = Value::Null;
            }
        }
    }
    jobs
}
