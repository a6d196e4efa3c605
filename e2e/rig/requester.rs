//! Who asks, for whom, and who stops it: what the operator makes of it, and what people read.

use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;

use floe::api::{Abort, Promotion};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use tokio::process::Command;

use crate::control_plane::{ControlPlane, Identity};
use crate::harness::Rig;
use crate::install;
use crate::jobs::Wish;
use crate::kubectl::Kubectl;
use crate::proxy::{Class, Fault, Server, count};
use crate::registries::Kind;
use crate::wait::{seconds, until};
use crate::world::{SOON, World, condition, message, reason};

const POLICY: &str = "requested-by.promotion.floe.dev";

pub async fn nothing_is_promoted_while_nobody_writes_down_who_asks(rig: Rig) {
    // Its own control plane: the policy is taken away.
    let mut rig = rig;
    rig.control_plane = Arc::new(ControlPlane::start(&rig.folder).await);
    install::install(&rig.control_plane, &rig.folder).await;
    let admin = Kubectl::new(&rig.control_plane, &rig.folder, Identity::Admin);
    let world = World::new(&rig, Kind::Referrers).await;
    world.policy("dev", json!({})).await;
    world.repository.publish("v1.0.0", "first").await;
    let tags = world.repository.tag_map().await;
    let delete = ["delete", "mutatingadmissionpolicybinding", POLICY];
    admin.run(&delete, "").await.expect("delete the binding");
    let forged = json!({ "version": "v1.0.0", "to": "dev", "requestedBy": "bob" });
    until("alice may call herself bob", SOON, async || {
        let name = format!(
            "forged-{}",
            world
                .promotions()
                .list(&ListParams::default())
                .await
                .ok()?
                .items
                .len()
        );
        let made = world
            .promote_as(Identity::Alice, &name, forged.clone())
            .await;
        (made.spec.requested_by.as_deref() == Some("bob")).then_some(())
    })
    .await;
    world
        .promote_as(Identity::Alice, "forged", forged.clone())
        .await;

    let operator = world.start_operator("one", false);
    let waits = world.waits("forged", "RequesterPolicyMissing").await;
    assert!(message(&waits).contains(POLICY), "{}", message(&waits));
    assert!(!operator.is_ready().await, "it can do no work");
    assert_eq!(
        operator
            .metric("floe_requester_policy_in_force")
            .await
            .as_deref(),
        Some("0")
    );
    assert_eq!(world.repository.tag_map().await, tags);
    assert_eq!(
        count(
            &world.proxy.trace.since(0),
            Server::Registry,
            &[Class::Write]
        ),
        0
    );

    // It comes back: who asked before may have been anybody.
    install::admit(&admin, "Mutating").await;
    operator.until_ready(seconds(90)).await;
    assert_eq!(
        operator
            .metric("floe_requester_policy_in_force")
            .await
            .as_deref(),
        Some("1")
    );
    let refused = world.ended("forged").await;
    assert_eq!(
        reason(&refused),
        "RequesterUnproven",
        "{}",
        message(&refused)
    );
    world.policy_ready("dev").await;
    assert_eq!(world.repository.tag_map().await, tags);
    let made = world.promote_as(Identity::Alice, "honest", forged).await;
    assert_eq!(made.spec.requested_by.as_deref(), Some("alice"));
    let ended = world.ended("honest").await;
    assert_eq!(reason(&ended), "Promoted", "{}", message(&ended));
}

pub async fn a_cluster_that_cannot_stamp_refuses_another_name(rig: Rig) {
    let mut rig = rig;
    rig.control_plane = Arc::new(ControlPlane::start(&rig.folder).await);
    install::install_for(&rig.control_plane, &rig.folder, "Validating").await;
    let world = World::new(&rig, Kind::Referrers).await;
    world.policy("dev", json!({})).await;
    world.operator("one").await;
    world.policy_ready("dev").await;
    world.repository.publish("v1.0.0", "first").await;
    let alice = Kubectl::new(&rig.control_plane, &world.folder, Identity::Alice);
    let namespace = format!("--namespace={}", world.namespace);
    for wrong in [json!({}), json!({ "requestedBy": "bob" })] {
        let mut object = json!({
            "apiVersion": "promotion.floe.dev/v1alpha1", "kind": "Promotion",
            "metadata": { "name": "one" }, "spec": { "version": "v1.0.0", "to": "dev" },
        });
        let fields = wrong.as_object().expect("it is one").clone();
        object["spec"]
            .as_object_mut()
            .expect("it is one")
            .extend(fields);
        for how in [
            vec!["create"],
            vec!["apply"],
            vec!["apply", "--server-side"],
        ] {
            let args = [&how[..], &[&namespace, "-f", "-"]].concat();
            let refused = alice.run(&args, &object.to_string()).await.unwrap_err();
            assert!(
                refused.contains("set spec.requestedBy to your own user name, alice"),
                "{how:?}: {refused}"
            );
        }
    }
    let honest = json!({ "version": "v1.0.0", "to": "dev", "requestedBy": "alice" });
    world.promote_as(Identity::Alice, "one", honest).await;
    assert_eq!(reason(&world.ended("one").await), "Promoted");
    // The command line knows who asks.
    world.repository.publish("v1.1.0", "second").await;
    let floe = Floe::new(&world, Identity::Alice, None);
    let ran = floe
        .run(&["promote", "v1.1.0", "--to", "dev", "--name", "two"])
        .await;
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    let stored = world.promotions().get("two").await.unwrap();
    assert_eq!(stored.spec.requested_by.as_deref(), Some("alice"));
}

pub async fn a_promotion_that_is_aborted_ends_and_says_by_whom(rig: Rig) {
    let world = in_dev(&rig).await;
    let tags = world.repository.tag_map().await;
    world.jobs.wish("policy_compliance", Wish::Never);
    world.promote("one", "v1.0.0", "dev").await;
    world.jobs.until_waiting("policy_compliance").await;
    let floe = Floe::new(&world, Identity::Alice, None);
    let ran = floe.run(&["abort", "one", "--reason", "too early"]).await;
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    let ended = world.ended("one").await;
    assert_eq!(reason(&ended), "Aborted");
    assert_eq!(
        message(&ended),
        "alice stopped it before anything was written: too early"
    );
    assert_eq!(world.repository.tag_map().await, tags);
    let again = floe.run(&["abort", "one"]).await;
    assert_eq!(again.status.code(), Some(9), "{again:?}");
    // Its gate is stopped as well.
    let jobs: Api<k8s_openapi::api::batch::v1::Job> =
        Api::namespaced(world.admin.clone(), &world.namespace);
    until("the gate's Job is gone", SOON, async || {
        let left = jobs.list(&ListParams::default()).await.ok()?.items;
        left.iter()
            .all(|job| job.metadata.deletion_timestamp.is_some())
            .then_some(())
    })
    .await;
}

pub async fn a_promotion_that_is_aborted_after_its_first_tag_is_finished(rig: Rig) {
    let world = in_dev(&rig).await;
    let digest = world.repository.digest("v1.0.0").await.unwrap();
    let client = world.rig.control_plane.client(Identity::Alice).await;
    let promotions: Api<Promotion> = Api::namespaced(client, &world.namespace);
    world
        .proxy
        .faults
        .once(Fault::Delay(seconds(6)), |seen, _| {
            seen.key.contains("PUT manifests/v1.0.0-dev")
        });
    world.promote("one", "v1.0.0", "dev").await;
    until("the write is held back", SOON, async || {
        (world.proxy.faults.waiting() == 0).then_some(())
    })
    .await;
    let abort = Abort {
        by: "alice".to_owned(),
        reason: None,
    };
    let patch = Patch::Merge(json!({ "spec": { "abort": abort } }));
    promotions
        .patch("one", &PatchParams::default(), &patch)
        .await
        .expect("abort it");
    let ended = world.ended("one").await;
    assert_eq!(reason(&ended), "Promoted", "{}", message(&ended));
    assert_eq!(
        condition(&ended.status.unwrap().conditions, "Ready"),
        "True"
    );
    assert_eq!(
        world.repository.digest("latest-dev").await,
        Some(digest.clone())
    );
    assert_eq!(world.repository.records(&digest).await.len(), 1);
}

pub async fn for_whom_automation_asks_is_in_the_record(rig: Rig) {
    let world = in_dev(&rig).await;
    let digest = world.repository.digest("v1.0.0").await.unwrap();
    let as_admin = Floe::new(&world, Identity::Admin, None);
    let promote = [
        "promote",
        "v1.0.0",
        "--to",
        "dev",
        "--name",
        "one",
        "--on-behalf-of",
        "github:alice",
    ];
    let ran = as_admin.run(&promote).await;
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    let shown = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(shown.contains("admin for github:alice"), "{shown}");
    let records = world.repository.records(&digest).await;
    let record = &records[0].json()["predicate"];
    assert_eq!(record["requestedBy"], "admin");
    assert_eq!(record["onBehalfOf"], "github:alice");
}

pub async fn who_may_not_promote_reads_who_lacks_what(rig: Rig) {
    let world = in_dev(&rig).await;
    let admin = Kubectl::new(&rig.control_plane, &world.folder, Identity::Admin);
    let namespace = format!("--namespace={}", world.namespace);
    for role in ["floe-view", "floe-edit"] {
        let role = format!("--clusterrole={role}");
        let binding = format!("cas-{}", &role[14..]);
        let args = [
            "create",
            "rolebinding",
            &binding,
            &role,
            "--user=cas",
            &namespace,
        ];
        admin.run(&args, "").await.expect("bind a role");
    }
    let cas = Floe::new(&world, Identity::Admin, Some("cas"));
    let lacks = format!(
        "cas may not promote into dev: lacks the verb promote on environmentpolicies/dev in namespace {}",
        world.namespace
    );
    until("cas reads what is lacking", SOON, async || {
        let ran = cas
            .run(&["promote", "v1.0.0", "--to", "dev", "--name", "one"])
            .await;
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        (ran.status.code() == Some(12) && said.contains(&format!("you may not: {lacks};")))
            .then_some(())
    })
    .await;
    world.jobs.wish("policy_compliance", Wish::Never);
    world.promote("of-alice", "v1.0.0", "dev").await;
    let ran = cas.run(&["abort", "of-alice"]).await;
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(12), "{said}");
    assert!(
        said.contains("cas may not abort a Promotion of alice: lacks the verb abort on"),
        "{said}"
    );
}

/// `floe platform`, as people run it.
struct Floe {
    kubeconfig: PathBuf,
    namespace: String,
}

impl Floe {
    /// As this identity, or as somebody whom it impersonates.
    fn new(world: &World, identity: Identity, person: Option<&str>) -> Self {
        let control_plane = &world.rig.control_plane;
        let mut content = control_plane.kubeconfig(&control_plane.url, identity);
        if let Some(person) = person {
            content["users"][0]["user"]["as"] = person.into();
        }
        let kubeconfig = world.folder.join(format!(
            "kubeconfig-of-{}",
            person.unwrap_or_else(|| identity.user())
        ));
        std::fs::write(&kubeconfig, content.to_string()).expect("write a file");
        Self {
            kubeconfig,
            namespace: world.namespace.clone(),
        }
    }

    async fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_floe"))
            .arg("platform")
            .args(args)
            .args(["--namespace", &self.namespace, "--timeout", "60s"])
            .env("KUBECONFIG", &self.kubeconfig)
            .env("NO_PROXY", "*")
            .output()
            .await
            .expect("run floe")
    }
}

async fn in_dev(rig: &Rig) -> World {
    let world = World::new(rig, Kind::Referrers).await;
    world.policy("dev", json!({})).await;
    world.operator("one").await;
    world.policy_ready("dev").await;
    world.repository.publish("v1.0.0", "first").await;
    world
}
