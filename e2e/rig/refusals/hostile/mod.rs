//! Policies that ask for more than a gate may have, through every field and through fields that do not exist.

mod fields;

use std::collections::BTreeMap;

use floe::api::EnvironmentPolicy;
use floe::domain::artifact::Digest;
use floe::domain::gates::{JobRequest, RequestRef};
use floe::domain::policy::Environment;
use floe::domain::verdict::planned_gates;
use floe::effects::gate_jobs::build_job;
use kube::api::{Patch, PatchParams, ValidationDirective};
use serde_json::{Value, json};

use self::fields::{misused, unknown};
use crate::harness::Rig;
use crate::registries::Kind;
use crate::world::World;

/// What a value of these fields may change, and nothing else.
const OWN_PLACES: [&str; 4] = [
    "/spec/template/spec/containers/0/image",
    "/spec/template/spec/containers/0/command",
    "/spec/template/spec/containers/0/args",
    "/spec/template/spec/containers/0/env",
];

pub async fn a_gate_gets_nothing_from_fields_that_it_does_not_have(rig: Rig) {
    let (world, plain, wanted) = without_hostility(&rig).await;
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
    let (world, plain, wanted) = without_hostility(&rig).await;
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
        ["image", "command", "command", "args", "env", "env"],
        "all others are refused"
    );
}

/// A world, the policy that hostile ones are made from, and the Jobs that it makes as it is.
async fn without_hostility(rig: &Rig) -> (World, Value, BTreeMap<String, Value>) {
    let world = World::new(rig, Kind::Referrers).await;
    let plain = policy(&world);
    world.policy("dev", plain["spec"].clone()).await;
    let good = stored(&world, &plain, ValidationDirective::Strict).await;
    let wanted = jobs_of(&good.expect("it is good"));
    (world, plain, wanted)
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
                cloud_account: None,
                ca_secret: None,
                plain_http: source.plain_http,
                operator_image: "floe:1".to_owned(),
                operator_image_pull_policy: None,
            });
            (gate.name, serde_json::to_value(job).expect("a Job is JSON"))
        });
    jobs.collect()
}

fn apart_from(places: [&str; 4], mut jobs: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    for job in jobs.values_mut() {
        for place in places {
            if let Some(value) = job.pointer_mut(place) {
                *value = Value::Null;
            }
        }
    }
    jobs
}
