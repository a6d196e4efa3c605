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

/// Fields that a gate does not have.
pub fn unknown() -> Vec<(&'static str, &'static str, Value)> {
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
pub fn misused() -> Vec<(&'static str, &'static str, Value)> {
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
