//! Gates in images of every kind, and what they find in their Pod.

use floe::api::EnvironmentPolicy;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use crate::registry::manifest_yaml;
use crate::space::{Space, gate, in_space, of_gate, with};

/// For what must not succeed: `set -e` takes no notice of `!`.
const NO: &str = "no() { if \"$@\"; then echo \"this must not succeed: $*\"; exit 1; fi; }";
/// An image that `e2e/images/toolbox` makes: one static program, and nothing else.
const BARE: &str = "localhost/floe/bare:dev";

#[tokio::test]
async fn a_gate_runs_in_an_image_without_shell_and_libraries_and_as_any_user() {
    in_space("images", async |space| {
        space.publish("v1.2.3").await;
        let bare = |name: &str, fields: &Value| {
            let command = ["/test", "-s", "$(FLOE_ARTIFACT_DIR)/manifest.yaml"];
            with(json!({ "name": name, "type": "Tests", "image": BARE, "command": command }), fields)
        };
        let as_user = |name: &str, user: i64| {
            let script = format!(
                "{NO}; test $(id -u) = {user}; touch /tmp/a $HOME/a; test -s $FLOE_ARTIFACT_DIR/manifest.yaml
                 no touch /a; no touch $FLOE_ARTIFACT_DIR/a; no touch /floe/bin/a
                 echo '<testsuite><testcase name=\"a\"/></testsuite>' > $FLOE_REPORT"
            );
            with(gate(name, "Tests", &script), &json!({ "runAsUser": user, "report": { "format": "JUnit" } }))
        };
        let gates = json!([
            bare("bare", &json!({})),
            bare("bare-1000", &json!({ "runAsUser": 1000 })),
            as_user("one", 1),
            as_user("thousand", 1000),
            as_user("largest", 2_147_483_647),
            as_user("own", 65_532),
        ]);
        space.environment("dev", &[], gates).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let ended = space.promoted("to-dev").await;
        assert_eq!(ended.status.unwrap().gate_summary.unwrap(), "✓✓✓✓✓✓✓");
    })
    .await;
}

#[tokio::test]
async fn a_gate_that_asks_for_it_finds_the_artifact_as_an_oci_layout() {
    in_space("layout", async |space| {
        space.publish("v1.2.3").await;
        let looking = format!("{NO}
            cd $FLOE_LAYOUT_DIR
            grep -q imageLayoutVersion oci-layout
            grep -q \"$FLOE_DIGEST\" index.json
            manifest=blobs/sha256/${{FLOE_DIGEST#sha256:}}
            for blob in blobs/sha256/*; do echo \"${{blob##*/}}  $blob\" | sha256sum -c; done
            for digest in $(grep -o 'sha256:[0-9a-f]*' $manifest); do test -f blobs/sha256/${{digest#sha256:}}; done
            no touch new");
        let gates = json!([
            with(gate("layout", "Custom", &looking), &json!({ "layout": true })),
            gate("none", "Custom", "test -z \"${FLOE_LAYOUT_DIR:-}\"; test ! -e /floe/layout"),
        ]);
        space.environment("dev", &[], gates).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        space.promoted("to-dev").await;
    })
    .await;
}

#[tokio::test]
async fn an_artifact_whose_files_would_lie_elsewhere_is_not_fetched() {
    in_space("elsewhere", async |space| {
        let manifest = manifest_yaml("1.2.3");
        let files = [
            ("manifest.yaml", &*manifest),
            ("../bin/floe-gate", "#!/bin/sh"),
        ];
        space.publish_files("v1.2.3", &files).await;
        space
            .environment("dev", &[], json!([gate("unit", "Tests", "true")]))
            .await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let (ended, _) = space.refused("to-dev", "GateError").await;
        for name in ["policy_compliance", "unit"] {
            let gate = of_gate(&ended, name);
            let message = gate.message.unwrap_or_default();
            assert!(
                gate.outcome == "Error" && message.contains("../bin/floe-gate"),
                "{name}: {message}"
            );
        }
    })
    .await;
}

/// Passwords by which the credentials would be found, and patterns that find them without being them.
const OF_FETCH: (&str, &str) = ("canary-of-fetch", "canary[-]of[-]fetch");
const OF_GATE: (&str, &str) = ("canary-of-gate", "canary[-]of[-]gate");
/// Everything that a command can read.
const EVERYWHERE: &str = "/floe /tmp /etc /run /var /dev/shm $HOME /proc/1/environ";

#[tokio::test]
async fn credentials_are_where_a_gate_has_asked_for_them_and_nowhere_else() {
    in_space("logins", async |space| {
        space.publish("v1.2.3").await;
        space.login("registry", OF_FETCH.0).await;
        space.login("scanner", OF_GATE.0).await;
        let absent = |word: &str| format!("no grep -rsl '{word}' {EVERYWHERE}");
        let asking = format!("{NO}; grep -q '{}' $DOCKER_CONFIG/config.json; {}", OF_GATE.1, absent(OF_FETCH.1));
        let nothing = format!(
            "{NO}; test -z \"${{DOCKER_CONFIG:-}}\"; {}; {}; no test -e /var/run/secrets/kubernetes.io
             test -z \"$(find / -name config.json -not -path '/proc/*' -not -path '/sys/*')\"",
            absent(OF_FETCH.1), absent(OF_GATE.1),
        );
        let gates = json!([
            with(gate("asking", "Custom", &asking), &json!({ "credentials": { "secretName": "scanner" } })),
            gate("nothing", "Custom", &nothing),
        ]);
        let artifact = json!({
            "name": "platform", "repository": space.repository(), "plainHTTP": true, "credentials": { "secretName": "registry" },
        });
        let policy = json!({ "metadata": { "name": "dev" }, "spec": { "artifacts": [artifact], "gates": gates } });
        space.apply::<EnvironmentPolicy>(policy).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let ended = space.promoted("to-dev").await;
        for name in ["asking", "nothing"] {
            assert_eq!(of_gate(&ended, name).outcome, "Passed", "{name}");
        }
        let shown = space.kubectl(&["get", "promotions,environmentpolicies,jobs,pods,events", "--output=yaml"]);
        assert!(!shown.contains(OF_FETCH.0) && !shown.contains(OF_GATE.0));
    })
    .await;
}

impl Space {
    /// A Secret with a login for the registry, which asks for none; its password is the word.
    async fn login(&self, name: &str, word: &str) {
        let login =
            json!({ "auths": { (self.registry.clone()): { "username": "u", "password": word } } });
        let secret = json!({
            "metadata": { "name": name }, "type": "kubernetes.io/dockerconfigjson",
            "stringData": { ".dockerconfigjson": login.to_string() },
        });
        self.apply::<Secret>(secret).await;
    }
}
