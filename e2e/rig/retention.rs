//! Old versions are cleaned up by hand, with the command line, against real registries.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::control_plane::Identity;
use crate::harness::Rig;
use crate::registries::Kind;
use crate::world::{ARTIFACT, World, gates, reason};

pub async fn gc_deletes_what_its_plan_says_and_a_record_stays_readable(rig: Rig) {
    for kind in [Kind::Distribution, Kind::Referrers] {
        let world = World::new(&rig, kind).await;
        // Straight to the registry: the proxy lets nobody but operators through.
        let repository = format!("{}/team/platform", world.registry.lock().await.address);
        for (environment, from) in [("dev", vec![]), ("prod", vec!["dev"])] {
            let spec = json!({
                "artifacts": [{ "name": ARTIFACT, "repository": repository, "plainHTTP": true }],
                "promotesFrom": from, "gates": gates(1), "retention": { "keepLast": 1 },
            });
            world.policy(environment, spec).await;
        }
        world.operator("one").await;
        for environment in ["dev", "prod"] {
            world.policy_ready(environment).await;
        }
        for version in ["v1.0.0", "v1.1.0", "v1.2.0"] {
            world.repository.publish(version, version).await;
            let name = format!("{}-dev", version.replace('.', "-"));
            world.promote(&name, version, "dev").await;
            assert_eq!(reason(&world.ended(&name).await), "Promoted");
        }
        world.promote("first-prod", "v1.0.0", "prod").await;
        assert_eq!(reason(&world.ended("first-prod").await), "Promoted");
        let before = world.repository.tag_map().await;
        let old = before["v1.1.0"].clone();
        let records = world.repository.referrers(&old).await;
        assert_eq!(records.len(), 2, "the record and its summary");

        let plan = gc(&world, &[]).await;
        assert_eq!(
            world.repository.tag_map().await,
            before,
            "a plan deletes nothing"
        );
        let planned = tags(&plan, "delete");
        assert_eq!(
            planned,
            BTreeSet::from(["v1.1.0".to_owned(), "v1.1.0-dev".to_owned()])
        );
        let done = gc(&world, &["--confirm"]).await;
        assert_eq!(tags(&done, "deleted"), planned);

        let mut expected = before.clone();
        expected.retain(|tag, _| !planned.contains(tag));
        assert_eq!(world.repository.tag_map().await, expected);
        // distribution knows nothing of referrers, so the record is safe in its tag, and the manifest can go.
        let manifest = world.repository.manifest(&old).await;
        assert_eq!(manifest.is_some(), kind == Kind::Referrers, "{done:#}");
        assert_eq!(world.repository.referrers(&old).await, records);
        for digest in expected.values() {
            assert!(world.repository.manifest(digest).await.is_some());
        }

        let again = gc(&world, &["--confirm"]).await;
        assert_eq!(tags(&again, "deleted"), BTreeSet::new());
        assert_eq!(world.repository.tag_map().await, expected);
        // Whoever asks for it again is told that it is not there.
        world.promote("again", "v1.1.0", "prod").await;
        world.waits("again", "NotPromotedUpstream").await;
    }
}

/// What `floe platform gc` answers.
async fn gc(world: &World, arguments: &[&str]) -> Value {
    let control_plane = &world.rig.control_plane;
    let kubeconfig = world.folder.join("kubeconfig-gc");
    let content = control_plane.kubeconfig(&control_plane.url, Identity::Admin);
    std::fs::write(&kubeconfig, content.to_string()).expect("write a file");
    let output = Command::new(env!("CARGO_BIN_EXE_floe"))
        .args(["platform", "gc", "-o", "json", "-n", &world.namespace])
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .args(arguments)
        .env_clear()
        .env("HOME", &world.folder)
        .kill_on_drop(true)
        .output()
        .await
        .expect("run floe");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {said}"))
}

/// The tags of which this became.
fn tags(answer: &Value, action: &str) -> BTreeSet<String> {
    let repositories = answer["repositories"].as_array().into_iter().flatten();
    let rows = repositories
        .filter_map(|one| one["tags"].as_array())
        .flatten();
    rows.filter(|row| row["action"] == action)
        .filter_map(|row| row["tag"].as_str().map(str::to_owned))
        .collect()
}
