use serde_json::{Value, json};

use super::*;

fn template() -> Value {
    json!({
        "initContainers": [{
            "name": "fetch", "image": "floe:1", "command": ["/usr/local/bin/floe"], "args": ["gate", "fetch"],
            "volumeMounts": [{"name": "bin", "mountPath": "/floe/bin"}],
        }],
        "containers": [{
            "name": "gate", "image": "tests:1", "command": ["/floe/bin/floe-gate", "exec"],
            "env": [{"name": "A", "value": "1"}],
            "volumeMounts": [{"name": "bin", "mountPath": "/floe/bin", "readOnly": true}],
        }],
        "volumes": [
            {"name": "bin", "emptyDir": {"sizeLimit": "16Mi"}},
            {"name": "credentials", "secret": {"secretName": "pull", "defaultMode": 288}},
        ],
    })
}

fn found(edit: impl FnOnce(&mut Value)) -> Option<String> {
    let job =
        serde_json::from_value(json!({ "spec": { "template": { "spec": template() } } })).unwrap();
    let mut spec = template();
    edit(&mut spec);
    let pod = serde_json::from_value(json!({ "spec": spec })).unwrap();
    difference(&job, &pod)
}

#[test]
fn the_pod_of_the_job_is_alike_with_all_that_a_cluster_adds() {
    assert_eq!(found(|_| {}), None);
    let added = found(|pod| {
        pod["nodeName"] = "n".into();
        pod["serviceAccountName"] = "default".into();
        pod["tolerations"] = json!([{"key": "a", "operator": "Exists"}]);
        pod["containers"][0]["resources"] = json!({"limits": {"cpu": "1"}});
        let mesh = json!({"name": "mesh", "image": "mesh:1", "volumeMounts": [{"name": "own", "mountPath": "/own"}]});
        pod["containers"].as_array_mut().unwrap().push(mesh);
        pod["volumes"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "own", "emptyDir": {}}));
    });
    assert_eq!(added, None);
}

#[test]
fn a_pod_of_another_account_or_with_another_token_is_found() {
    let with_identity = |account: &str, audience: &str| {
        let mut spec = template();
        spec["serviceAccountName"] = account.into();
        let token = json!({"serviceAccountToken": {"audience": audience, "expirationSeconds": 3600, "path": "token"}});
        spec["volumes"].as_array_mut().unwrap().push(
            json!({"name": "identity", "projected": {"defaultMode": 288, "sources": [token]}}),
        );
        spec
    };
    let differs = |pod: Value| {
        let template = with_identity("pusher", "sts.amazonaws.com");
        let job = json!({ "spec": { "template": { "spec": template } } });
        let job = serde_json::from_value(job).unwrap();
        difference(
            &job,
            &serde_json::from_value(json!({ "spec": pod })).unwrap(),
        )
    };
    assert_eq!(differs(with_identity("pusher", "sts.amazonaws.com")), None);
    let other = differs(with_identity("default", "sts.amazonaws.com")).unwrap();
    assert!(other.contains("ServiceAccount"), "{other}");
    let other = differs(with_identity("pusher", "https://elsewhere.example")).unwrap();
    assert!(other.contains("identity"), "{other}");
}

#[test]
fn a_container_that_runs_something_else_is_found() {
    type Edit = fn(&mut Value);
    let edits: [Edit; 8] = [
        |gate| gate["image"] = "forger:1".into(),
        |gate| gate["command"] = json!(["sh"]),
        |gate| gate["args"] = json!(["--more"]),
        |gate| gate["env"] = json!([{"name": "A", "value": "2"}]),
        |gate| gate["envFrom"] = json!([{"secretRef": {"name": "s"}}]),
        |gate| gate["lifecycle"] = json!({"postStart": {"exec": {"command": ["forge"]}}}),
        |gate| gate["terminationMessagePath"] = "/elsewhere".into(),
        |gate| {
            gate["volumeMounts"] = json!([
                {"name": "bin", "mountPath": "/floe/bin", "readOnly": true},
                {"name": "evil", "mountPath": "/floe/bin/floe-gate"},
            ]);
        },
    ];
    for (index, edit) in edits.into_iter().enumerate() {
        let difference = found(|pod| edit(&mut pod["containers"][0]));
        assert!(
            difference.is_some_and(|how| how.contains("'gate'")),
            "edit {index}"
        );
    }
    let fetch = found(|pod| pod["initContainers"][0]["args"] = json!(["gate", "forge"]));
    assert!(fetch.is_some_and(|how| how.contains("'fetch'")));
    assert!(found(|pod| pod["initContainers"] = json!([])).is_some());
}

#[test]
fn a_volume_from_elsewhere_is_found() {
    for source in [
        json!({"name": "bin", "hostPath": {"path": "/evil"}}),
        json!({"name": "bin", "configMap": {"name": "evil"}}),
        json!({"name": "bin", "secret": {"secretName": "evil"}}),
    ] {
        let difference = found(|pod| pod["volumes"][0] = source);
        assert!(difference.is_some_and(|how| how.contains("'bin'")));
    }
    assert!(found(|pod| pod["volumes"][1]["secret"]["secretName"] = "other".into()).is_some());
}

#[test]
fn a_container_that_can_write_into_the_others_is_found() {
    let reaching = json!({"name": "evil", "image": "e:1", "volumeMounts": [{"name": "bin", "mountPath": "/b"}]});
    for list in ["initContainers", "containers"] {
        let difference = found(|pod| pod[list].as_array_mut().unwrap().push(reaching.clone()));
        assert!(
            difference.is_some_and(|how| how.contains("'evil'")),
            "{list}"
        );
    }
    assert!(found(|pod| pod["ephemeralContainers"] = json!([reaching])).is_some());
    let debugs = json!([{"name": "debug", "image": "e:1", "targetContainerName": "gate"}]);
    assert!(found(|pod| pod["ephemeralContainers"] = debugs).is_some());
    assert!(found(|pod| pod["shareProcessNamespace"] = true.into()).is_some());
    assert!(found(|pod| pod["hostPID"] = true.into()).is_some());
}
