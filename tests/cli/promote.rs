use axum::http::Method;
use serde_json::{Value, json};

use crate::api_server::{ApiServer, World, digest, ended, policies, promotion, waiting};

const NAME: &str = "platform-1.2.3-to-staging";
const PROMOTE: [&str; 4] = ["promote", "1.2.3", "--to", "staging"];

async fn server(script: Vec<Value>) -> ApiServer {
    ApiServer::start(World {
        policies: policies("registry.example/platform"),
        script,
        ..World::default()
    })
    .await
}

fn holds(server: &ApiServer, name: &str, status: &Value) {
    let object = promotion(name, "1.2.3", status);
    server.world().promotions.insert(name.to_owned(), object);
}

fn created(server: &ApiServer) -> Vec<Value> {
    server.world().created.clone()
}

#[tokio::test]
async fn promote_creates_the_object_waits_for_it_and_prints_json_on_standard_output_only() {
    let steps = vec![
        waiting("GatesRunning", "gates have not ended: smoke (runs)"),
        ended("Promoted", "tags name it"),
    ];
    let server = server(steps).await;
    let ran = server
        .platform(&[
            "promote",
            "platform",
            "1.2.3",
            "--to",
            "production",
            "--reason",
            "why not",
            "--on-behalf-of",
            "github:alice",
            "-o",
            "json",
        ])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let objects = created(&server);
    assert_eq!(objects.len(), 1);
    assert_eq!(
        objects[0]["metadata"],
        json!({"name": "platform-1.2.3-to-prod"})
    );
    let wanted = json!({"artifact": "platform", "version": "1.2.3", "from": "staging", "to": "prod", "reason": "why not", "onBehalfOf": "github:alice"});
    assert_eq!(objects[0]["spec"], wanted);
    let view: Value = serde_json::from_str(&ran.out).unwrap();
    for (field, value) in [
        ("name", json!("platform-1.2.3-to-prod")),
        ("namespace", json!("space")),
        ("artifact", json!("platform")),
        ("version", json!("1.2.3")),
        ("to", json!("prod")),
        ("dryRun", json!(false)),
        ("stage", json!("Succeeded")),
        ("reason", json!("Promoted")),
        ("digest", json!(digest())),
        ("tag", json!("1.2.3-staging")),
        ("requestedBy", json!("alice")),
        ("onBehalfOf", json!("github:alice")),
    ] {
        assert_eq!(view[field], value, "{field}");
    }
    assert_eq!(view["gates"][0]["outcome"], "Passed");
    let shown: Vec<&str> = ran.err.lines().collect();
    assert!(
        shown.contains(&"platform 1.2.3 -> prod: Gating"),
        "{shown:?}"
    );
    assert!(
        shown.contains(&"  waits: GatesRunning: gates have not ended: smoke (runs)"),
        "{shown:?}"
    );
    assert!(!ran.err.contains('\u{1b}'), "{}", ran.err);
}

#[tokio::test]
async fn a_promotion_that_runs_is_joined() {
    let server = server(vec![ended("Promoted", "tags name it")]).await;
    holds(&server, NAME, &waiting("GatesRunning", "gates run"));
    let ran = server.platform(&PROMOTE).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(created(&server), Vec::<Value>::new());
    assert!(ran.err.contains("runs already"), "{ran:?}");
}

#[tokio::test]
async fn a_promotion_that_has_succeeded_is_already_promoted() {
    let server = server(Vec::new()).await;
    holds(&server, NAME, &ended("Promoted", "tags name it"));
    let ran = server
        .platform(&["promote", "1.2.3", "--to", "staging", "-o", "json"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(created(&server), Vec::<Value>::new());
    let view: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(view["reason"], "AlreadyPromoted");
}

#[tokio::test]
async fn a_promotion_that_has_failed_is_tried_again_under_the_next_name() {
    let server = server(vec![ended("Promoted", "tags name it")]).await;
    holds(&server, NAME, &ended("GateError", "no image"));
    let second = format!("{NAME}-r2");
    holds(&server, &second, &ended("GateFailed", "it said no"));
    let ran = server.platform(&PROMOTE).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let objects = created(&server);
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0]["metadata"]["name"], format!("{NAME}-r3"));
    assert_eq!(
        objects[0]["metadata"]["labels"]["promotion.floe.dev/retry-of"],
        NAME
    );
}

#[tokio::test]
async fn an_object_of_that_name_that_asks_for_something_else_is_left_alone() {
    let server = server(Vec::new()).await;
    holds(&server, NAME, &waiting("GatesRunning", "gates run"));
    let other = format!("sha256:{}", "0".repeat(64));
    let ran = server
        .platform(&["promote", "1.2.3", "--to", "staging", "--digest", &other])
        .await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("--name"), "{ran:?}");
    assert_eq!(created(&server), Vec::<Value>::new());
}

#[tokio::test]
async fn a_dry_run_has_its_own_name_and_is_done_anew_each_time() {
    let server = server(vec![ended("DryRunPassed", "it would")]).await;
    let dry_run = [
        "promote",
        "1.2.3",
        "--to",
        "staging",
        "--dry-run",
        "-o",
        "name",
    ];
    for name in [format!("{NAME}-dry-run"), format!("{NAME}-dry-run-r2")] {
        let ran = server.platform(&dry_run).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(ran.out, format!("promotion.promotion.floe.dev/{name}\n"));
        let object = created(&server).pop().unwrap();
        assert_eq!(object["spec"]["dryRun"], true);
        server.world().promotions.get_mut(&name).unwrap()["status"] =
            ended("DryRunPassed", "it would");
    }
    let ran = server.platform(&PROMOTE).await;
    assert_eq!(
        created(&server).pop().unwrap()["metadata"]["name"],
        NAME,
        "{ran:?}"
    );
}

#[tokio::test]
async fn each_reason_has_the_exit_code_of_the_design() {
    for (reason, code) in [
        ("AlreadyPromoted", 0),
        ("RegistryUnavailable", 1),
        ("RegistryUntrusted", 1),
        ("GateFailed", 8),
        ("GateError", 8),
        ("GateTimedOut", 8),
        ("EnvironmentNotFound", 9),
        ("InvalidTransition", 9),
        ("InvalidVersion", 9),
        ("DigestMismatch", 9),
        ("SourceMoved", 9),
        ("Downgrade", 9),
        ("ArtifactUnsupported", 9),
        ("TagTaken", 10),
        ("SourceNotFound", 11),
        ("NotPromotedUpstream", 11),
        ("RegistryDenied", 12),
        ("Aborted", 15),
    ] {
        let server = server(vec![ended(reason, "that is why")]).await;
        let ran = server.platform(&PROMOTE).await;
        assert_eq!(ran.code, code, "{reason}: {ran:?}");
        if code != 0 {
            let last = ran.err.lines().last().unwrap();
            let said = format!("{NAME}' in namespace 'space'): {reason}: that is why");
            assert!(ran.err.contains(&said), "{reason}: {last}");
            assert!(
                ran.out.contains("| last \u{fffd}[31mline"),
                "{reason}: {}",
                ran.out
            );
        }
    }
}

#[tokio::test]
async fn at_the_time_limit_the_exit_code_is_14_or_13_for_a_lock_and_the_error_says_what_is_waited_for()
 {
    for (reason, code) in [
        ("GatesRunning", 14),
        ("RegistryDenied", 14),
        ("EnvironmentLocked", 13),
    ] {
        let server = server(vec![waiting(reason, "something")]).await;
        let ran = server
            .platform(&["promote", "1.2.3", "--to", "staging", "--timeout", "1s"])
            .await;
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(
            ran.err.contains(&format!("after 1s: {reason}: something")),
            "{ran:?}"
        );
        assert!(
            ran.err.contains(&format!("floe platform status {NAME}")),
            "{ran:?}"
        );
    }
}

#[tokio::test]
async fn without_waiting_the_command_ends_as_soon_as_the_object_exists() {
    let server = server(Vec::new()).await;
    let ran = server
        .platform(&[
            "promote",
            "1.2.3",
            "--to",
            "staging",
            "--no-wait",
            "-o",
            "name",
        ])
        .await;
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (
            0,
            "promotion.promotion.floe.dev/platform-1.2.3-to-staging\n"
        )
    );
}

#[tokio::test]
async fn a_promotion_that_is_deleted_while_it_is_waited_for_is_exit_code_15() {
    let server = server(vec![waiting("GatesRunning", "gates run")]).await;
    server.world().then_deleted = true;
    let ran = server.platform(&PROMOTE).await;
    assert_eq!(ran.code, 15, "{ran:?}");
    assert!(ran.err.contains("deleted"), "{ran:?}");
}

#[tokio::test]
async fn what_can_only_fail_is_refused_and_nothing_is_created() {
    for (arguments, code, words) in [
        ("1.2.3 --to nowhere", 9, "there is: dev, prod, staging"),
        ("1.2.3 --to prod --from dev", 9, "it takes from staging"),
        ("1.2.3 --to dev --from staging", 9, "first environment"),
        ("other 1.2.3 --to staging", 9, "it has: platform"),
        ("1.2 --to staging", 2, "SemVer"),
        ("1.2.3-prod --to staging", 2, "ambiguous"),
        ("1.2.3 --to staging --digest abc", 2, "digest"),
    ] {
        let server = server(Vec::new()).await;
        let words_typed = std::iter::once("promote").chain(arguments.split(' '));
        let ran = server.platform(&words_typed.collect::<Vec<_>>()).await;
        assert_eq!(ran.code, code, "{arguments}: {ran:?}");
        assert!(ran.err.contains(words), "{arguments}: {ran:?}");
        assert_eq!(
            (ran.out.as_str(), created(&server).len()),
            ("", 0),
            "{arguments}"
        );
    }
}

#[tokio::test]
async fn refusals_of_the_api_server_have_their_exit_codes_and_say_what_to_do() {
    for (method, ending, code, reason, message, exit, words) in [
        (
            Method::POST,
            "promotions",
            403,
            "Forbidden",
            "User bob cannot create promotions",
            12,
            "bob",
        ),
        (
            Method::POST,
            "promotions",
            403,
            "Forbidden",
            "promotions.promotion.floe.dev \"x\" is forbidden: ValidatingAdmissionPolicy 'requests.promotion.floe.dev' with binding \
             'requests.promotion.floe.dev' denied request: bob may not promote into staging: lacks the verb promote",
            12,
            "you may not: bob may not promote into staging: lacks the verb promote; ask for a Role",
        ),
        (
            Method::GET,
            "environmentpolicies",
            401,
            "Unauthorized",
            "Unauthorized",
            12,
            "log in again",
        ),
        (
            Method::POST,
            "promotions",
            422,
            "Invalid",
            "spec.version: Invalid value",
            2,
            "spec.version",
        ),
        (
            Method::GET,
            "environmentpolicies",
            404,
            "NotFound",
            "the server could not find the requested resource",
            1,
            "floe crds",
        ),
        (
            Method::GET,
            "promotions",
            403,
            "Forbidden",
            "User bob cannot watch promotions",
            12,
            "watch",
        ),
        (
            Method::POST,
            "promotions",
            500,
            "InternalError",
            "etcd is down",
            1,
            "etcd is down",
        ),
    ] {
        let server = server(Vec::new()).await;
        server
            .world()
            .refusals
            .push((method, ending, code, reason, message));
        let ran = server.platform(&PROMOTE).await;
        assert_eq!(ran.code, exit, "{ran:?}");
        assert!(
            ran.err.contains(words) && ran.err.contains("namespace 'space'"),
            "{ran:?}"
        );
        assert_eq!(ran.out, "");
    }
}

/// Succeeded, with one replica in this state.
fn with_replica(state: &str, condition: &str, last_error: Option<&str>) -> Value {
    let mut status = ended("Promoted", "tags name it");
    let mut replica = json!({
        "name": "west", "repository": "west.example/platform", "state": state, "since": "2026-03-02T10:00:00Z",
    });
    if let Some(error) = last_error {
        replica["reason"] = json!("RegistryUnavailable");
        replica["lastError"] = json!(error);
    }
    status["replicas"] = json!([replica]);
    let replicated = json!({
        "type": "Replicated", "status": condition, "reason": "Any", "message": "",
        "lastTransitionTime": "2026-03-02T10:00:00Z",
    });
    status["conditions"]
        .as_array_mut()
        .unwrap()
        .push(replicated);
    status
}

#[tokio::test]
async fn replicas_are_waited_for_only_when_that_is_asked_for() {
    let behind = || with_replica("Failed", "False", Some("503 there"));
    let up_to_date = with_replica("Replicated", "True", None);
    let without = server(vec![behind()]).await;
    let ran = without.platform(&PROMOTE).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("west: Failed"), "{ran:?}");
    assert!(
        ran.out.contains("RegistryUnavailable: 503 there"),
        "{ran:?}"
    );

    let sync = ["promote", "1.2.3", "--to", "staging", "--sync-registries"];
    let waited = server(vec![behind(), up_to_date.clone()]).await;
    let ran = waited.platform(&sync).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("west: Replicated"), "{ran:?}");

    let again = server(vec![up_to_date]).await;
    holds(&again, NAME, &behind());
    let ran = again.platform(&sync).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("its replicas are on their way"), "{ran:?}");
    assert_eq!(created(&again), Vec::<Value>::new());

    let never = server(vec![behind()]).await;
    let limited = [&sync[..], &["--timeout", "1s"]].concat();
    let ran = never.platform(&limited).await;
    assert_eq!(ran.code, 14, "{ran:?}");
    assert!(
        ran.err.contains("it was promoted, and replica west"),
        "{ran:?}"
    );

    holds(&never, NAME, &behind());
    let status = never.platform(&["status"]).await;
    assert!(status.out.contains("Replicas behind"), "{status:?}");
}
