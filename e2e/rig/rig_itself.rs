//! The rig is tested first: a rig that counts wrong proves nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use floe::api::{ANNOTATION_SPEC_HASH, FINALIZER, LABEL_GATE, LABEL_REQUEST_UID, Promotion};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client, ResourceExt as _};
use reqwest::Method;
use serde_json::json;

use crate::control_plane::Identity;
use crate::harness::Rig;
use crate::jobs::{When, Wish};
use crate::kubectl::Kubectl;
use crate::proxy::{Class, Fault, Killable, Moment, Server, count};
use crate::registries::Kind;
use crate::wait::{seconds, until};
use crate::world::World;

/// The rig's own process in the place of an operator.
struct Myself {
    killed: AtomicBool,
}

impl Killable for Myself {
    fn name(&self) -> &'static str {
        "myself"
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    fn kill(&self) -> BoxFuture<'_, ()> {
        async { self.killed.store(true, Ordering::SeqCst) }.boxed()
    }
}

/// A world, and a client of its proxy with the operator's token.
async fn world_of_my_own(rig: &Rig, kind: Kind) -> (World, Client, Arc<Myself>) {
    let world = World::new(rig, kind).await;
    let myself = Arc::new(Myself {
        killed: AtomicBool::new(false),
    });
    world.proxy.clients.add(myself.clone());
    let client = world.client_through_the_proxy().await;
    (world, client, myself)
}

pub async fn the_proxy_counts_what_the_api_server_and_the_registry_count(rig: Rig) {
    for kind in [Kind::Distribution, Kind::Referrers] {
        let (world, client, _) = world_of_my_own(&rig, kind).await;
        let promotions: Api<Promotion> = Api::namespaced(client.clone(), &world.namespace);
        ask_the_api_server(&world, promotions, client).await;
        ask_the_registry(&world).await;
        let entries = world.proxy.trace.since(0);
        assert_eq!(
            count(&entries, Server::Api, &[Class::Watch]),
            1,
            "{entries:#?}"
        );
        assert_eq!(
            count(&entries, Server::Api, &[Class::Write]),
            2,
            "{entries:#?}"
        );
        assert_eq!(
            count(&entries, Server::Registry, &[Class::Read]),
            2,
            "{entries:#?}"
        );
        assert_eq!(
            count(&entries, Server::Registry, &[Class::Write]),
            2,
            "{entries:#?}"
        );
        world.assert_counted_everything().await;
    }
}

/// One watch, two writes (one of them refused), one list.
async fn ask_the_api_server(world: &World, promotions: Api<Promotion>, client: Client) {
    let mut watch = promotions
        .watch(&WatchParams::default(), "0")
        .await
        .expect("watch")
        .boxed();
    world.promote("one", "1.0.0", "dev").await;
    let added = async {
        loop {
            match watch
                .next()
                .await
                .expect("the watch stays open")
                .expect("watch")
            {
                WatchEvent::Added(promotion) => return promotion,
                WatchEvent::Bookmark(_) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let added = tokio::time::timeout(seconds(5), added)
        .await
        .expect("watches stream through the proxy");
    assert_eq!(added.name_any(), "one");
    drop(watch);
    let label = Patch::Merge(json!({ "metadata": { "labels": { "a": "b" } } }));
    promotions
        .patch("one", &PatchParams::default(), &label)
        .await
        .expect("patch");
    promotions.list(&ListParams::default()).await.expect("list");
    let maps: Api<ConfigMap> = Api::namespaced(client, &world.namespace);
    maps.create(&PostParams::default(), &ConfigMap::default())
        .await
        .expect_err("the operator may not do this");
}

/// Two reads, two writes.
async fn ask_the_registry(world: &World) {
    let digest = world.repository.publish("v1.0.0", "a").await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let base = format!("http://{}", world.reference.replacen('/', "/v2/", 1));
    let accept = "application/vnd.oci.image.manifest.v1+json";
    let head = http
        .head(format!("{base}/manifests/v1.0.0"))
        .header("accept", accept)
        .send()
        .await
        .unwrap();
    assert_eq!(head.headers()["docker-content-digest"], digest.as_str());
    let length: u64 = head.headers()["content-length"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    let body = http
        .get(format!("{base}/manifests/v1.0.0"))
        .header("accept", accept)
        .send()
        .await
        .unwrap();
    assert_eq!(body.bytes().await.unwrap().len() as u64, length);
    let upload = http
        .post(format!("{base}/blobs/uploads/"))
        .send()
        .await
        .unwrap();
    let location = upload.headers()["location"].to_str().unwrap().to_owned();
    let location = upload.url().join(&location).unwrap();
    assert!(
        location.as_str().starts_with(&base),
        "the registry leads past the proxy: {location}"
    );
    let put = http
        .request(Method::PUT, location)
        .query(&[("digest", crate::oci::digest_of(b"x"))])
        .body("x");
    assert_eq!(put.send().await.unwrap().status(), 201);
}

pub async fn a_process_is_killed_before_or_after_its_request(rig: Rig) {
    for moment in [Moment::Before, Moment::After] {
        let (world, client, myself) = world_of_my_own(&rig, Kind::Referrers).await;
        world.promote("one", "1.0.0", "dev").await;
        let promotions: Api<Promotion> = Api::namespaced(client, &world.namespace);
        let label = Patch::Merge(json!({ "metadata": { "labels": { "a": "b" } } }));
        world.proxy.faults.once(Fault::Kill(moment), |seen, _| {
            seen.key.starts_with("PATCH promotions one")
        });
        promotions
            .patch("one", &PatchParams::default(), &label)
            .await
            .expect_err("no answer comes");
        assert!(myself.killed.load(Ordering::SeqCst));
        let applied = world
            .promotions()
            .get("one")
            .await
            .unwrap()
            .labels()
            .contains_key("a");
        assert_eq!(applied, moment == Moment::After);
        // The client may still hold the connection that was cut: it is not asked about the proxy.
        let again = match promotions
            .patch("one", &PatchParams::default(), &label)
            .await
        {
            Err(kube::Error::Service(_)) => {
                promotions
                    .patch("one", &PatchParams::default(), &label)
                    .await
            }
            first => first,
        };
        again.expect("the fault comes once");
        // 503 would not do: the client tries again by itself.
        world
            .proxy
            .faults
            .once(Fault::api_status(500, "InternalError"), |seen, _| {
                seen.class == Class::Read
            });
        let refused = promotions.get("one").await.expect_err("the proxy answers");
        assert!(
            matches!(&refused, kube::Error::Api(status) if status.code == 500),
            "{refused:?}"
        );
        world.assert_counted_everything().await;
    }
}

pub async fn gate_jobs_end_as_the_test_wishes(rig: Rig) {
    let world = World::new(&rig, Kind::Referrers).await;
    world.jobs.when(When::Together(3));
    world
        .jobs
        .wish("bad", Wish::Fail("3 tests failed".to_owned()));
    world.jobs.wish("slow", Wish::Never);
    let jobs: Api<Job> = Api::namespaced(world.hand.clone(), &world.namespace);
    for gate in ["good", "bad", "slow"] {
        jobs.create(&PostParams::default(), &gate_job(gate))
            .await
            .expect("make a Job");
    }
    let ends = |name: &'static str, wanted: &'static str| {
        let jobs = jobs.clone();
        async move {
            until(
                &format!("Job {name} is {wanted}"),
                seconds(10),
                async || {
                    let status = jobs.get(name).await.ok()?.status?;
                    status
                        .conditions?
                        .iter()
                        .any(|one| one.type_ == wanted && one.status == "True")
                        .then_some(())
                },
            )
            .await;
        }
    };
    ends("good", "Complete").await;
    ends("bad", "Failed").await;
    world.jobs.end("slow", &Wish::TimeOut).await;
    ends("slow", "Failed").await;
    let pods: Api<Pod> = Api::namespaced(world.admin.clone(), &world.namespace);
    let job = jobs.get("bad").await.unwrap();
    let of_gate = ListParams::default().labels(&format!("{LABEL_GATE}=bad"));
    let pod = pods.list(&of_gate).await.unwrap().items.remove(0);
    assert_eq!(pod.owner_references()[0].uid, job.uid().unwrap());
    let status = pod
        .status
        .and_then(|status| status.container_statuses)
        .unwrap_or_default();
    let ended = status[0]
        .state
        .as_ref()
        .and_then(|state| state.terminated.clone())
        .expect("it has ended");
    let summary =
        floe_gate::Summary::parse(ended.message.unwrap_or_default().as_bytes()).expect("a summary");
    assert_eq!(
        (summary.exit_code, summary.output.as_str()),
        (1, "3 tests failed")
    );
}

fn gate_job(gate: &str) -> Job {
    let job = json!({
        "metadata": {
            "name": gate,
            "labels": { LABEL_GATE: gate, LABEL_REQUEST_UID: "some-request" },
            "annotations": { ANNOTATION_SPEC_HASH: "sha256:0" },
        },
        "spec": { "template": {
            "metadata": { "labels": { LABEL_GATE: gate } },
            "spec": { "restartPolicy": "Never", "containers": [{ "name": "gate", "image": "rig.invalid/image" }] },
        } },
    });
    serde_json::from_value(job).expect("a Job")
}

pub async fn who_asks_is_stamped_by_the_api_server(rig: Rig) {
    let world = World::new(&rig, Kind::Referrers).await;
    let alice = Kubectl::new(&rig.control_plane, &world.folder, Identity::Alice);
    let namespace = format!("--namespace={}", world.namespace);
    for (name, args) in [
        ("created", vec!["create"]),
        ("applied", vec!["apply"]),
        ("server-side", vec!["apply", "--server-side"]),
    ] {
        let object = |by: &str| {
            let spec = if by.is_empty() {
                json!({})
            } else {
                json!({ "requestedBy": by })
            };
            let mut spec = spec;
            spec["version"] = "1.0.0".into();
            spec["to"] = "dev".into();
            json!({
                "apiVersion": "promotion.floe.dev/v1alpha1", "kind": "Promotion",
                "metadata": { "name": name }, "spec": spec,
            })
            .to_string()
        };
        let forged = [&args[..], &[&namespace, "-f", "-"]].concat();
        alice
            .run(&forged, &object("bob"))
            .await
            .unwrap_or_else(|why| panic!("{name}: {why}"));
        let stored = world.promotions().get(name).await.unwrap();
        assert_eq!(stored.spec.requested_by.as_deref(), Some("alice"), "{name}");
        assert_eq!(stored.finalizers(), [FINALIZER], "{name}");

        // What people have in Git does not say who asks: applying it again changes nothing.
        let honest = format!("{name}-honest");
        let object = object("").replace(&format!("\"{name}\""), &format!("\"{honest}\""));
        for args in [
            &args[..],
            &["apply"],
            &["apply", "--server-side", "--force-conflicts"],
        ] {
            let args = [args, &[&namespace, "-f", "-"]].concat();
            alice
                .run(&args, &object)
                .await
                .unwrap_or_else(|why| panic!("{honest}: {args:?}: {why}"));
            let stored = world.promotions().get(&honest).await.unwrap();
            assert_eq!(
                stored.spec.requested_by.as_deref(),
                Some("alice"),
                "{honest} after {args:?}"
            );
            assert_eq!(stored.finalizers(), [FINALIZER], "{honest} after {args:?}");
            assert_eq!(
                stored.metadata.generation,
                Some(1),
                "{honest} after {args:?}"
            );
        }

        // Nor does it help to call oneself another later, by any of these ways.
        let forged = object.replace("\"version\"", "\"requestedBy\":\"bob\",\"version\"");
        assert!(forged.contains("bob"), "{forged}");
        for args in [
            &["apply"][..],
            &["apply", "--server-side", "--force-conflicts"],
            &["replace"],
        ] {
            let args = [args, &[&namespace, "-f", "-"]].concat();
            let refused = alice.run(&args, &forged).await.expect_err(&honest);
            assert!(refused.contains("cannot be changed"), "{args:?}: {refused}");
        }
    }
}
