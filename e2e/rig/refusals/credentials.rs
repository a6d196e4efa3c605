//! Secrets and ServiceAccounts that a policy names: whose they are, and what is wrong with them.

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::Refusal;
use crate::control_plane::Identity;
use crate::harness::Rig;
use crate::kubectl::Kubectl;
use crate::registries::Kind;
use crate::world::{SOON, World, message};

const ECR: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app";

fn secret(name: &str, used: &str) -> Value {
    json!({ "name": name, "repository": format!("r.example/team/{name}"), "credentials": { "secretName": used } })
}

fn account(name: &str, used: &str) -> Value {
    let identity = json!({ "provider": "ECR", "serviceAccountName": used });
    json!({ "name": name, "repository": ECR, "credentials": { "workloadIdentity": identity } })
}

fn authority(name: &str, used: &str) -> Value {
    json!({ "name": name, "repository": format!("r.example/team/{name}"), "caSecretName": used })
}

fn gate(name: &str, command: &str, used: &str) -> Value {
    json!({
        "name": name, "type": "Custom", "image": "r.example/tool:1", "command": [command],
        "credentials": { "secretName": used },
    })
}

fn policy(spec: &Value) -> String {
    json!({
        "apiVersion": "promotion.floe.dev/v1alpha1", "kind": "EnvironmentPolicy",
        "metadata": { "name": "dev" }, "spec": spec,
    })
    .to_string()
}

pub async fn who_may_not_use_a_secret_or_account_may_not_name_it_in_a_policy(rig: Rig) {
    let world = World::new(&rig, Kind::Referrers).await;
    let namespace = format!("--namespace={}", world.namespace);
    let args = [
        "apply",
        "--server-side",
        "--force-conflicts",
        &namespace,
        "-f",
        "-",
    ];
    let [alice, admin] = [Identity::Alice, Identity::Admin]
        .map(|who| Kubectl::new(&rig.control_plane, &world.folder, who));
    let artifacts = |list: &[Value]| policy(&json!({ "artifacts": list }));

    let foreign = |kind: &str| match kind {
        "Secret" => "may not get the Secret theirs in namespace",
        _ => "may not create serviceaccounts/token of the ServiceAccount theirs in namespace",
    };
    let gated = |command: &str, used: &str| {
        policy(&json!({ "artifacts": [secret("a", "hers")], "gates": [gate("g", command, used)] }))
    };
    for (object, kind) in [
        (artifacts(&[secret("a", "theirs")]), "Secret"),
        (artifacts(&[authority("a", "theirs")]), "Secret"),
        (artifacts(&[account("a", "theirs")]), "ServiceAccount"),
        (
            artifacts(&[
                secret("a", "hers"),
                account("b", "hers"),
                secret("c", "theirs"),
            ]),
            "Secret",
        ),
        (gated("true", "theirs"), "Secret"),
    ] {
        let refused = alice.run(&args, &object).await.unwrap_err();
        assert!(refused.contains("alice"), "{refused}");
        assert!(refused.contains(foreign(kind)), "{refused}");
    }

    // Many of her own: what the API server computes for them stays within its bounds.
    let mut own: Vec<Value> = (1..9)
        .map(|number| secret(&format!("s{number}"), &format!("hers-{number}")))
        .collect();
    own.extend((0..8).map(|number| secret(&format!("again{number}"), "hers")));
    own.extend([account("i", "hers"), authority("ca", "hers-1")]);
    alice
        .run(&args, &artifacts(&own))
        .await
        .expect("all of it is hers");

    // What others have named stays as it is while she changes something else, and may not be led elsewhere.
    let theirs = secret("theirs", "theirs");
    admin
        .run(&args, &artifacts(&[theirs.clone(), secret("a", "hers")]))
        .await
        .expect("an administrator may use every Secret");
    let beside = artifacts(&[theirs.clone(), secret("a", "hers"), secret("b", "hers-1")]);
    alice
        .run(&args, &beside)
        .await
        .expect("theirs is unchanged");
    let mut led = theirs;
    led["repository"] = json!("r.example/other/place");
    let refused = alice.run(&args, &artifacts(&[led])).await.unwrap_err();
    assert!(refused.contains(foreign("Secret")), "{refused}");

    // A new command under an old reference reads the Secret too.
    admin
        .run(&args, &gated("true", "theirs"))
        .await
        .expect("an administrator");
    let refused = alice
        .run(&args, &gated("false", "theirs"))
        .await
        .unwrap_err();
    assert!(refused.contains(foreign("Secret")), "{refused}");

    // More than can be asked about at once is refused, and not let through.
    let many: Vec<Value> = (0..21)
        .map(|number| secret(&format!("m{number}"), &format!("many-{number}")))
        .collect();
    let refused = admin.run(&args, &artifacts(&many)).await.unwrap_err();
    assert!(refused.contains("more than 20"), "{refused}");
    admin
        .run(&args, &artifacts(&many[..20]))
        .await
        .expect("twenty");
    admin
        .run(&args, &artifacts(&many))
        .await
        .expect("and one more");
}

pub async fn a_service_account_that_is_missing_or_says_too_little_is_waited_for(rig: Rig) {
    let refusal = Refusal::in_dev(&rig, json!({})).await;
    let world = &refusal.world;
    // The ledger is known, so that the promotion itself comes to the login.
    let artifact = |identity: Value| json!({ "artifacts": [{ "name": "platform", "repository": ECR, "credentials": { "workloadIdentity": identity } }] });
    world
        .policy(
            "dev",
            artifact(json!({ "provider": "ECR", "serviceAccountName": "pusher" })),
        )
        .await;
    world.promote("one", "v1.0.0", "dev").await;
    // The chart gives the operator no right to ServiceAccounts unless it is told to.
    refusal
        .waits(
            "one",
            "CredentialsMissing",
            &[
                "may not read ServiceAccount 'pusher'",
                "workloadIdentity.serviceAccounts",
            ],
        )
        .await;
    let grant = json!({
        "apiVersion": "v1", "kind": "List", "items": [
            { "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "login" }, "rules": [
                { "apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": ["pusher"], "verbs": ["get"] },
                { "apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": ["pusher"], "verbs": ["create"] },
            ] },
            { "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": "login" },
              "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "login" },
              "subjects": [{ "kind": "ServiceAccount", "name": "floe", "namespace": "floe-system" }] },
        ],
    });
    let admin = Kubectl::new(&rig.control_plane, &world.folder, Identity::Admin);
    let namespace = format!("--namespace={}", world.namespace);
    let args = ["apply", "--server-side", &namespace, "-f", "-"];
    admin.run(&args, &grant.to_string()).await.expect("rights");
    said(world, "there is no ServiceAccount 'pusher'").await;
    let accounts: Api<ServiceAccount> = Api::namespaced(world.admin.clone(), &world.namespace);
    let bare = json!({ "metadata": { "name": "pusher" } });
    let bare = serde_json::from_value(bare).unwrap();
    accounts
        .create(&PostParams::default(), &bare)
        .await
        .unwrap();
    said(world, "eks.amazonaws.com/role-arn").await;
    world
        .policy("dev", artifact(json!({ "provider": "ECR" })))
        .await;
    said(world, "--allow-own-identity").await;
}

async fn said(world: &World, words: &str) {
    let says = |promotion: &floe::api::Promotion| message(promotion).contains(words);
    world.until("one", words, SOON, says).await;
}
