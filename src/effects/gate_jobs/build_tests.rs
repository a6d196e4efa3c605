use super::*;
use crate::domain::compliance::{Exception, Rule, RuleSet, RuleSeverity};
use crate::domain::gates::{EnvVar, GateKind, GateSpec, POLICY_COMPLIANCE, RequestRef};
use crate::domain::policy::cloud::{CloudAccount, CloudProvider, Identity};

fn request() -> JobRequest {
    JobRequest {
        job_name: "platform-tests-0123456789".into(),
        request: RequestRef {
            kind: "Promotion".into(),
            namespace: "team".into(),
            name: "platform-1.2.3-to-prod".into(),
            uid: "6c0ffee0-0000-4000-8000-000000000000".into(),
        },
        gate: "tests".into(),
        spec: GateSpec {
            kind: GateKind::Tests,
            image: "registry.example/tests:1".into(),
            command: vec!["run".into(), "$(FLOE_VERSION)".into()],
            args: vec!["--all".into()],
            env: vec![
                EnvVar {
                    name: "LEVEL".into(),
                    value: "high".into(),
                },
                EnvVar {
                    name: "FLOE_DIGEST".into(),
                    value: "forged".into(),
                },
                EnvVar {
                    name: "HOME".into(),
                    value: "/tmp".into(),
                },
            ],
            timeout_seconds: 120,
            run_as_user: Some(1000),
            memory: Some("256Mi".into()),
            ..GateSpec::policy_compliance(120, RuleSet::default())
        },
        spec_hash: "sha256:00".into(),
        start_timeout_seconds: 300,
        artifact: "platform".into(),
        version: "1.2.3".into(),
        repository: "registry.example/platform".parse().unwrap(),
        digest: crate::domain::artifact::Digest::of(b"artifact"),
        from: Some("staging".into()),
        to: "prod".into(),
        credentials_secret: Some("pull".into()),
        cloud_account: None,
        ca_secret: Some("ca".into()),
        plain_http: false,
        operator_image: "registry.example/floe:1".into(),
        operator_image_pull_policy: Some("IfNotPresent".into()),
    }
}

fn compliance() -> JobRequest {
    JobRequest {
        gate: POLICY_COMPLIANCE.into(),
        spec: GateSpec::policy_compliance(300, RuleSet::default()),
        ..request()
    }
}

fn json(request: &JobRequest) -> serde_json::Value {
    serde_json::to_value(build_job(request)).unwrap()
}

fn pod(request: &JobRequest) -> serde_json::Value {
    json(request)["spec"]["template"]["spec"].clone()
}

fn containers(pod: &serde_json::Value) -> Vec<serde_json::Value> {
    ["initContainers", "containers"]
        .iter()
        .filter_map(|key| pod[*key].as_array().cloned())
        .flatten()
        .collect()
}

fn mounts(container: &serde_json::Value) -> Vec<(String, bool)> {
    container["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| {
            let path = mount["mountPath"].as_str().unwrap().to_owned();
            (path, mount["readOnly"].as_bool().unwrap_or(false))
        })
        .collect()
}

#[test]
fn the_same_request_gives_the_same_job() {
    assert_eq!(build_job(&request()), build_job(&request()));
}

#[test]
fn job_and_pod_carry_whose_they_are() {
    let job = json(&request());
    for metadata in [&job["metadata"], &job["spec"]["template"]["metadata"]] {
        assert_eq!(
            metadata["labels"],
            serde_json::json!({
                "app.kubernetes.io/managed-by": "floe",
                "promotion.floe.dev/gate": "tests",
                "promotion.floe.dev/request-uid": "6c0ffee0-0000-4000-8000-000000000000",
            })
        );
        assert_eq!(
            metadata["annotations"],
            serde_json::json!({
                "promotion.floe.dev/request": "platform-1.2.3-to-prod",
                "promotion.floe.dev/gate-spec-hash": "sha256:00",
            })
        );
    }
    assert_eq!(job["metadata"]["name"], "platform-tests-0123456789");
    assert_eq!(job["metadata"]["namespace"], "team");
    assert_eq!(
        job["metadata"]["ownerReferences"],
        serde_json::json!([{
            "apiVersion": "promotion.floe.dev/v1alpha1",
            "kind": "Promotion",
            "name": "platform-1.2.3-to-prod",
            "uid": "6c0ffee0-0000-4000-8000-000000000000",
            "controller": true,
            "blockOwnerDeletion": false,
        }])
    );
}

#[test]
fn the_job_retries_as_often_as_the_gate_says_and_its_deadline_is_on_the_pod() {
    let job = json(&request());
    let spec = &job["spec"];
    assert_eq!(spec["backoffLimit"], 0);
    let mut twice = request();
    twice.spec.retries = 2;
    assert_eq!(json(&twice)["spec"]["backoffLimit"], 2);
    assert_eq!(spec["ttlSecondsAfterFinished"], 86_400);
    assert_eq!(spec["activeDeadlineSeconds"], serde_json::Value::Null);
    assert_eq!(
        spec["podFailurePolicy"]["rules"],
        serde_json::json!([
            { "action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}] },
            { "action": "FailJob", "onExitCodes":
                {"containerName": "gate", "operator": "In", "values": [124, 126, 127]} },
        ])
    );
    let mut reporting = request();
    reporting.spec.report =
        serde_json::from_str("{\"format\": \"Sarif\", \"exitCodes\": [124, 1]}").unwrap();
    assert_eq!(
        json(&reporting)["spec"]["podFailurePolicy"]["rules"][1]["onExitCodes"]["values"],
        serde_json::json!([1, 124, 126, 127]),
        "in order, each once"
    );
    let pod = pod(&request());
    assert_eq!(pod["activeDeadlineSeconds"], 300 + 120 + 60);
    assert_eq!(pod["terminationGracePeriodSeconds"], 5);
    assert_eq!(pod["restartPolicy"], "Never");
}

#[test]
fn every_pod_is_restricted() {
    for request in [request(), compliance()] {
        let pod = pod(&request);
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["enableServiceLinks"], false);
        for absent in [
            "serviceAccountName",
            "hostNetwork",
            "hostPID",
            "hostIPC",
            "hostUsers",
        ] {
            assert_eq!(pod[absent], serde_json::Value::Null, "{absent}");
        }
        let context = &pod["securityContext"];
        assert_eq!(context["runAsNonRoot"], true);
        assert_eq!(context["fsGroup"], 65_532);
        assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault");
        let containers = containers(&pod);
        for container in &containers {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false);
            assert_eq!(
                context["capabilities"],
                serde_json::json!({"drop": ["ALL"]})
            );
            assert_eq!(context["readOnlyRootFilesystem"], true);
            assert_eq!(context["runAsNonRoot"], true);
            assert_eq!(container["terminationMessagePolicy"], "File");
            assert!(container["resources"]["requests"]["memory"].is_string());
        }
        for volume in pod["volumes"].as_array().unwrap() {
            let has_limit = volume["emptyDir"]["sizeLimit"].is_string();
            assert!(has_limit || volume["secret"].is_object(), "{volume}");
        }
    }
}

#[test]
fn the_command_runs_under_floe_gate_with_its_time_limit() {
    let pod = pod(&request());
    let gate = &pod["containers"][0];
    assert_eq!(gate["name"], "gate");
    assert_eq!(gate["image"], "registry.example/tests:1");
    assert_eq!(
        gate["command"],
        serde_json::json!([
            "/floe/bin/floe-gate",
            "exec",
            "--timeout",
            "120",
            "--",
            "run",
            "$(FLOE_VERSION)"
        ])
    );
    assert_eq!(gate["args"], serde_json::json!(["--all"]));
    assert_eq!(
        gate["resources"],
        serde_json::json!({
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"memory": "256Mi"},
        })
    );
    assert_eq!(pod["securityContext"]["runAsUser"], 1000);
    assert_eq!(
        pod["initContainers"][0]["securityContext"]["runAsUser"],
        65_532
    );
}

#[test]
fn the_command_finds_what_it_judges_in_its_environment_and_cannot_be_told_otherwise() {
    let pod = pod(&request());
    let mut found: Vec<(String, String)> = pod["containers"][0]["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| {
            let text = |key: &str| variable[key].as_str().unwrap().to_owned();
            (text("name"), text("value"))
        })
        .collect();
    found.sort();
    let digest = request().digest;
    let expected = [
        ("FLOE_ARTIFACT", "platform".to_owned()),
        ("FLOE_ARTIFACT_DIR", "/floe/artifact".to_owned()),
        ("FLOE_DIGEST", digest.to_string()),
        ("FLOE_FROM", "staging".to_owned()),
        ("FLOE_PROMOTION", "platform-1.2.3-to-prod".to_owned()),
        (
            "FLOE_REFERENCE",
            format!("registry.example/platform@{digest}"),
        ),
        ("FLOE_TO", "prod".to_owned()),
        ("FLOE_VERSION", "1.2.3".to_owned()),
        ("HOME", "/tmp".to_owned()),
        ("LEVEL", "high".to_owned()),
    ];
    let expected: Vec<(String, String)> = expected
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn only_the_fetch_container_sees_the_registrys_secrets() {
    let pod = pod(&request());
    let fetch = &pod["initContainers"][0];
    assert_eq!(fetch["name"], "fetch");
    assert_eq!(fetch["image"], "registry.example/floe:1");
    assert_eq!(fetch["imagePullPolicy"], "IfNotPresent");
    let read_only = |path: &str| (path.to_owned(), true);
    let writable = |path: &str| (path.to_owned(), false);
    assert_eq!(
        mounts(fetch),
        [
            writable("/floe/artifact"),
            writable("/floe/bin"),
            writable("/tmp"),
            read_only("/floe/credentials"),
            read_only("/floe/ca"),
        ]
    );
    assert_eq!(
        mounts(&pod["containers"][0]),
        [
            read_only("/floe/artifact"),
            read_only("/floe/bin"),
            writable("/tmp"),
            writable("/floe/home")
        ]
    );
    let secrets: Vec<_> = pod["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|volume| volume["secret"].is_object())
        .map(|volume| {
            (
                volume["secret"]["secretName"].clone(),
                volume["secret"]["items"].clone(),
            )
        })
        .collect();
    assert_eq!(
        secrets,
        [
            (
                "pull".into(),
                serde_json::json!([{"key": ".dockerconfigjson", "path": "config.json"}])
            ),
            (
                "ca".into(),
                serde_json::json!([{"key": "ca.crt", "path": "ca.crt"}])
            ),
        ]
    );
}

#[test]
fn policy_compliance_is_one_container_of_our_image() {
    let pod = pod(&compliance());
    assert_eq!(containers(&pod).len(), 1);
    let gate = &pod["containers"][0];
    assert_eq!(gate["name"], "gate");
    assert_eq!(gate["image"], "registry.example/floe:1");
    assert_eq!(
        gate["args"],
        serde_json::json!([
            "gate",
            "validate",
            "--strict",
            "--version",
            "1.2.3",
            "--reference",
            format!("registry.example/platform@{}", request().digest),
            "--out",
            "/floe/artifact",
            "--termination-log",
            "/dev/termination-log",
            "--docker-config",
            "/floe/credentials/config.json",
            "--ca",
            "/floe/ca/ca.crt",
            "--artifact",
            "platform",
            "--environment",
            "prod",
            "--from",
            "staging",
        ])
    );
}

#[test]
fn without_secrets_the_registry_is_asked_anonymously_and_plain_http_is_said() {
    let request = JobRequest {
        credentials_secret: None,
        ca_secret: None,
        plain_http: true,
        from: None,
        operator_image_pull_policy: None,
        ..request()
    };
    let pod = pod(&request);
    let args = pod["initContainers"][0]["args"].to_string();
    assert!(args.contains("--plain-http"), "{args}");
    assert!(
        !args.contains("--docker-config") && !args.contains("--ca"),
        "{args}"
    );
    assert!(!pod["volumes"].to_string().contains("secret"));
    assert_eq!(
        pod["initContainers"][0]["imagePullPolicy"],
        serde_json::Value::Null
    );
}

#[test]
fn nothing_that_a_policy_can_say_changes_the_rest_of_the_pod() {
    let plain = pod(&request());
    let hostile = "$(HOME); --privileged {\"hostNetwork\":true}\n- name: x";
    let request = JobRequest {
        spec: GateSpec {
            image: hostile.into(),
            command: vec![hostile.into(), "--".into(), "--timeout".into()],
            args: vec![hostile.into()],
            env: vec![EnvVar {
                name: "X".into(),
                value: hostile.into(),
            }],
            cpu: Some(hostile.into()),
            ..request().spec
        },
        ..request()
    };
    let mut changed = pod(&request);
    for key in ["image", "command", "args", "env", "resources"] {
        changed["containers"][0][key] = plain["containers"][0][key].clone();
    }
    assert_eq!(changed, plain);
}

#[test]
fn a_report_gets_a_folder_of_its_own_and_floe_gate_is_told_what_to_look_for() {
    let mut request = request();
    let report = serde_json::json!({
        "format": "Trivy", "allow": {"CVE-2024-2": "2026-12-31", "CVE-2024-1": "2026-12-31"},
        "metrics": {"p95_ms": {"max": "9"}},
    });
    request.spec.report = Some(serde_json::from_value(report).unwrap());
    let gate = pod(&request)["containers"][0].clone();
    let command: Vec<&str> = gate["command"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(serde_json::Value::as_str)
        .collect();
    let wanted = "/floe/bin/floe-gate exec --timeout 120 --report Trivy --report-file /floe/report/report \
                  --allow CVE-2024-1 --allow CVE-2024-2 --metric p95_ms -- run $(FLOE_VERSION)";
    assert_eq!(command.join(" "), wanted);
    assert!(mounts(&gate).contains(&("/floe/report".to_owned(), false)));
    let env = gate["env"].to_string();
    assert!(
        env.contains(r#"{"name":"FLOE_REPORT","value":"/floe/report/report"}"#),
        "{env}"
    );
}

#[test]
fn layout_and_credentials_are_there_only_for_a_gate_that_asks() {
    let plain = pod(&request()).to_string();
    for absent in [
        "/floe/layout",
        "/floe/registry",
        "DOCKER_CONFIG",
        "/floe/report",
    ] {
        assert!(!plain.contains(absent), "{absent}");
    }
    let mut asks = request();
    asks.spec.layout = true;
    asks.spec.credentials_secret = Some("scanner".into());
    let pod = pod(&asks);
    let (fetch, gate) = (&pod["initContainers"][0], &pod["containers"][0]);
    assert!(
        fetch["args"]
            .to_string()
            .contains(r#""--layout","/floe/layout""#)
    );
    assert!(mounts(fetch).contains(&("/floe/layout".to_owned(), false)));
    assert!(mounts(gate).contains(&("/floe/layout".to_owned(), true)));
    assert!(mounts(gate).contains(&("/floe/registry".to_owned(), true)));
    // Whose credentials are whose: the command never sees those with which the artifact is fetched.
    assert!(
        !mounts(gate)
            .iter()
            .any(|(path, _)| path == "/floe/credentials")
    );
    assert!(
        !mounts(fetch)
            .iter()
            .any(|(path, _)| path == "/floe/registry")
    );
    let volumes = pod["volumes"].to_string();
    assert!(volumes.contains(r#""secretName":"scanner""#), "{volumes}");
}

#[test]
fn rules_and_exceptions_reach_the_check_one_argument_each() {
    let mut request = compliance();
    request.spec.rules = RuleSet {
        rules: vec![Rule {
            name: "retention".into(),
            severity: RuleSeverity::Warning,
            matches: None,
            expression: "manifest.a == 'b'".into(),
            message: "m".into(),
        }],
        exceptions: vec![Exception {
            rule: "retention".into(),
            path: None,
            reason: "r".into(),
            expires: "2026-12-31".parse().unwrap(),
        }],
        require_manifest: true,
    };
    let args = pod(&request)["containers"][0]["args"].clone();
    let args: Vec<&str> = args
        .as_array()
        .unwrap()
        .iter()
        .filter_map(serde_json::Value::as_str)
        .collect();
    let at = |flag: &str| {
        let index = args.iter().position(|arg| *arg == flag).unwrap();
        args[index + 1]
    };
    assert_eq!(
        (at("--artifact"), at("--environment"), at("--from")),
        ("platform", "prod", "staging")
    );
    assert_eq!(
        at("--rule"),
        r#"{"name":"retention","severity":"warning","expression":"manifest.a == 'b'","message":"m"}"#
    );
    assert_eq!(
        at("--exception"),
        r#"{"rule":"retention","reason":"r","expires":"2026-12-31"}"#
    );
    assert!(args.contains(&"--require-manifest"));
}

#[test]
fn the_token_of_a_cloud_account_is_mounted_only_where_the_artifact_is_fetched() {
    let account = CloudAccount {
        provider: CloudProvider::Ecr,
        identity: Identity::Role {
            arn: "arn:aws:iam::123456789012:role/floe".into(),
        },
        service_account: Some("pusher".into()),
    };
    let request = JobRequest {
        credentials_secret: None,
        cloud_account: Some(account.clone()),
        ..request()
    };
    let built = json(&request);
    let annotations = &built["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(
        annotations["eks.amazonaws.com/skip-containers"],
        "fetch,gate"
    );
    let pod = pod(&request);
    assert_eq!(pod["serviceAccountName"], "pusher");
    assert_eq!(pod["automountServiceAccountToken"], false);
    let volumes = pod["volumes"].as_array().unwrap();
    let token = volumes.iter().find(|volume| volume["name"] == "identity");
    assert_eq!(
        token.unwrap()["projected"]["sources"],
        serde_json::json!([{"serviceAccountToken":
            {"audience": "sts.amazonaws.com", "expirationSeconds": 3600, "path": "token"}}])
    );
    let [fetch, gate] = containers(&pod).try_into().unwrap();
    let has = |container| mounts(container).contains(&("/floe/identity".to_owned(), true));
    assert!(has(&fetch) && !has(&gate));
    let args: Vec<&str> = fetch["args"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|arg| arg.as_str())
        .collect();
    let after = |flag| {
        let at = args.iter().position(|arg| *arg == flag).unwrap();
        args[at + 1]
    };
    assert_eq!(after("--cloud-token"), "/floe/identity/token");
    let read: CloudAccount = serde_json::from_str(after("--cloud-account")).unwrap();
    assert_eq!(read, account);
}

#[test]
fn an_identity_of_the_node_needs_neither_token_nor_account() {
    let request = JobRequest {
        credentials_secret: None,
        cloud_account: Some(CloudAccount {
            provider: CloudProvider::Gar,
            identity: Identity::Own,
            service_account: None,
        }),
        ..compliance()
    };
    let pod = pod(&request);
    assert_eq!(pod["serviceAccountName"], serde_json::Value::Null);
    assert!(!pod.to_string().contains("/floe/identity"));
    assert!(pod.to_string().contains("--cloud-account"));
}
