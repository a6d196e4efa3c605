//! Fields and values of hostile policies.

use serde_json::{Value, json};

/// Where a field is put: JSON pointers into the policy.
const SPEC: &str = "/spec";
const GATE: &str = "/spec/gates/0";
const ENV: &str = "/spec/gates/0/env/0";
const RESOURCES: &str = "/spec/gates/0/resources";
const REPORT: &str = "/spec/gates/0/report";
const THRESHOLDS: &str = "/spec/gates/0/thresholds";
const CREDENTIALS: &str = "/spec/gates/0/credentials";
const ARTIFACT: &str = "/spec/artifacts/0";

/// Place, name and value of a field.
pub type Field = (&'static str, &'static str, Value);

/// Fields that a policy does not have.
pub fn unknown() -> Vec<Field> {
    [of_a_pod(), of_a_container(), of_a_job(), elsewhere()].concat()
}

fn privileged() -> Value {
    json!({ "privileged": true, "runAsUser": 0, "capabilities": { "add": ["SYS_ADMIN"] } })
}

fn host() -> Value {
    json!([{ "name": "host", "hostPath": { "path": "/" } }])
}

fn mounts() -> Value {
    json!([{ "name": "host", "mountPath": "/host" }])
}

fn containers() -> Value {
    json!([{ "name": "x", "image": "x", "securityContext": privileged(), "volumeMounts": mounts() }])
}

fn pod() -> Value {
    json!({ "hostNetwork": true, "hostPID": true, "containers": containers(), "volumes": host() })
}

fn of_a_pod() -> Vec<Field> {
    let fields = [
        ("hostNetwork", json!(true)),
        ("hostPID", json!(true)),
        ("hostIPC", json!(true)),
        ("hostUsers", json!(true)),
        (
            "hostAliases",
            json!([{ "ip": "10.0.0.1", "hostnames": ["registry.example"] }]),
        ),
        ("podSecurityContext", privileged()),
        ("serviceAccountName", json!("floe")),
        ("serviceAccount", json!("floe")),
        ("automountServiceAccountToken", json!(true)),
        ("volumes", host()),
        ("initContainers", containers()),
        ("containers", containers()),
        ("sidecars", containers()),
        ("ephemeralContainers", containers()),
        ("nodeName", json!("control-plane")),
        (
            "nodeSelector",
            json!({ "node-role.kubernetes.io/control-plane": "" }),
        ),
        ("tolerations", json!([{ "operator": "Exists" }])),
        ("affinity", json!({ "nodeAffinity": {} })),
        ("priorityClassName", json!("system-node-critical")),
        ("runtimeClassName", json!("unconfined")),
        ("imagePullSecrets", json!([{ "name": "registry" }])),
        ("restartPolicy", json!("OnFailure")),
        ("shareProcessNamespace", json!(true)),
        ("labels", json!({ "app.kubernetes.io/managed-by": "me" })),
        (
            "annotations",
            json!({ "container.apparmor.security.beta.kubernetes.io/gate": "unconfined" }),
        ),
    ];
    fields.map(|(field, value)| (GATE, field, value)).into()
}

fn of_a_container() -> Vec<Field> {
    let exec = json!({ "exec": { "command": ["sh"] } });
    let fields = [
        ("privileged", json!(true)),
        ("hostPath", json!("/")),
        ("securityContext", privileged()),
        ("volumeMounts", mounts()),
        (
            "volumeDevices",
            json!([{ "name": "host", "devicePath": "/dev/sda" }]),
        ),
        ("lifecycle", json!({ "postStart": exec })),
        ("livenessProbe", exec),
        ("envFrom", json!([{ "secretRef": { "name": "registry" } }])),
        ("workingDir", json!("/host")),
        (
            "terminationMessagePath",
            json!("/floe/artifact/manifest.yaml"),
        ),
        ("terminationMessagePolicy", json!("FallbackToLogsOnError")),
        ("imagePullPolicy", json!("Never")),
        ("ports", json!([{ "containerPort": 80, "hostPort": 80 }])),
        ("runAsGroup", json!(0)),
        ("run_as_user", json!(0)),
        ("Command", json!(["sh"])),
    ];
    fields.map(|(field, value)| (GATE, field, value)).into()
}

fn of_a_job() -> Vec<Field> {
    let fields = [
        ("podSpecPatch", json!(pod().to_string())),
        ("podTemplate", json!({ "spec": pod() })),
        ("template", json!({ "spec": pod() })),
        ("spec", pod()),
        (
            "patches",
            json!([{ "op": "add", "path": "/spec/template/spec/hostNetwork", "value": true }]),
        ),
        ("metadata", json!({ "namespace": "kube-system" })),
        ("namespace", json!("kube-system")),
        ("backoffLimit", json!(1000)),
        ("podFailurePolicy", json!({ "rules": [] })),
    ];
    fields.map(|(field, value)| (GATE, field, value)).into()
}

fn elsewhere() -> Vec<Field> {
    let secret = json!({ "secretKeyRef": { "name": "registry", "key": ".dockerconfigjson" } });
    vec![
        (ENV, "valueFrom", secret),
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
        (SPEC, "podTemplate", json!({ "spec": pod() })),
        (SPEC, "serviceAccountName", json!("floe")),
        (SPEC, "podSpecPatch", json!(pod().to_string())),
        (SPEC, "skipPolicyCompliance", json!(true)),
        (ARTIFACT, "hostPath", json!("/")),
        (ARTIFACT, "insecureSkipTLSVerify", json!(true)),
    ]
}

/// Values that a field is not made for.
pub fn misused() -> Vec<Field> {
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
        (GATE, "runAsUser", json!(2_147_483_648_i64)),
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
