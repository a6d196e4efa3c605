use serde_json::{Value, json};

use crate::api_server::{ApiServer, Ran, World, digest, ended, policies, promotion, waiting};

async fn server() -> ApiServer {
    let mut policies = policies("registry.example/platform");
    let entry = |version: &str, promotion: &str, day: u32| {
        json!({
            "version": version, "digest": digest(), "promotedAt": format!("2026-01-0{day}T00:00:00Z"), "by": "alice",
            "promotion": promotion, "uid": promotion, "audit": {
                "record": format!("sha256:{}", "ab".repeat(32)),
                "referrer": format!("sha256:{}", "cd".repeat(32)),
                "sequence": 2,
            },
        })
    };
    let current = entry("1.2.2", "before", 1);
    policies[1]["status"]["artifacts"] = json!([{"name": "platform", "current": current, "history": [current, entry("1.2.1", "older", 1)]}]);
    policies[2]["status"]["conditions"][0] = json!({
        "type": "Ready", "status": "False", "reason": "PolicyInvalid", "message": "the suffix is taken",
        "lastTransitionTime": "2026-01-02T00:00:00Z",
    });
    let objects = [
        promotion("before", "1.2.2", &ended("Promoted", "tags name it")),
        promotion("broken", "1.2.3", &ended("GateFailed", "smoke: it said no")),
        promotion(
            "running",
            "1.2.4",
            &waiting("GatesRunning", "gates have not ended: smoke (runs)"),
        ),
        json!({"apiVersion": "promotion.floe.dev/v1alpha1", "kind": "Promotion", "metadata": {"name": "malformed"}, "spec": {"to": 7}}),
    ];
    let named = objects.map(|object| {
        (
            object["metadata"]["name"].as_str().unwrap().to_owned(),
            object,
        )
    });
    ApiServer::start(World {
        policies,
        promotions: named.into(),
        ..World::default()
    })
    .await
}

fn row<'a>(ran: &'a Ran, first: &str) -> Vec<&'a str> {
    let line = ran
        .out
        .lines()
        .find(|line| line.starts_with(&format!("{first} ")));
    line.unwrap_or_else(|| panic!("no row '{first}' in {}", ran.out))
        .split("   ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect()
}

#[tokio::test]
async fn status_shows_what_each_environment_holds_what_runs_and_what_failed() {
    let server = server().await;
    for words in [vec!["status"], vec!["promote", "status"]] {
        let ran = server.platform(&words).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(
            row(&ran, "dev"),
            ["dev", "platform", "-", "-", "-", "-", "-", "-"]
        );
        let staging = row(&ran, "staging");
        assert_eq!(
            staging[..4],
            ["staging", "platform", "1.2.2", "sha256:abababababab"]
        );
        assert_eq!(staging[5..], ["alice", "✗", "1.2.4: GatesRunning"]);
        assert_eq!(
            row(&ran, "running")[5],
            "GatesRunning: gates have not ended: smoke (runs)"
        );
        assert_eq!(row(&ran, "broken")[5], "GateFailed: smoke: it said no");
        assert!(
            ran.out
                .contains("environment 'prod': PolicyInvalid: the suffix is taken"),
            "{}",
            ran.out
        );
        assert!(
            ran.err.contains("'malformed' is malformed and left out"),
            "{ran:?}"
        );
        let order: Vec<&str> = ran
            .out
            .lines()
            .skip(1)
            .take(3)
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert_eq!(order, ["dev", "staging", "prod"]);
    }
}

#[tokio::test]
async fn status_as_json_has_the_same_and_nothing_else_on_standard_output() {
    let ran = server().await.platform(&["status", "-o", "json"]).await;
    let overview: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(overview["namespace"], "space");
    assert_eq!(overview["environments"][1]["version"], "1.2.2");
    assert_eq!(
        overview["environments"][1]["inFlight"],
        json!(["1.2.4: GatesRunning"])
    );
    assert_eq!(
        overview["environments"][2]["problem"],
        "PolicyInvalid: the suffix is taken"
    );
    assert_eq!(overview["pending"][0]["name"], "running");
    assert_eq!(overview["failed"][0]["reason"], "GateFailed");
}

#[tokio::test]
async fn status_of_one_promotion_shows_its_gates_their_output_and_what_to_do() {
    let server = server().await;
    for name in ["broken", "promotion.promotion.floe.dev/broken"] {
        let ran = server.platform(&["status", name]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        for words in [
            "Promotion 'broken' in namespace 'space'",
            "dev -> staging",
            "GateFailed: smoke: it said no",
            "✗ smoke  Failed in 3s",
            "Job smoke-job",
            "| first line",
            "alice",
            "Next: Mend what the gate found",
        ] {
            assert!(ran.out.contains(words), "{words}: {}", ran.out);
        }
    }
}

#[tokio::test]
async fn status_of_one_promotion_says_who_has_signed_or_why_that_is_not_proven() {
    let signature = |name: &str, signature: Value| {
        let mut status = ended("Promoted", "tags name it");
        status["signature"] = signature;
        (name.to_owned(), promotion(name, "1.2.3", &status))
    };
    let server = ApiServer::start(World {
        policies: policies("registry.example/platform"),
        promotions: [
            signature("signed", json!({ "mode": "Enforce", "verified": true, "by": ["alice (issuer)"], "count": 1, "rule": "x" })),
            signature("unsigned", json!({ "mode": "Warn", "verified": false, "message": "nobody has signed it", "rule": "x" })),
        ]
        .into(),
        ..World::default()
    })
    .await;
    for (name, words) in [
        ("signed", "signed    by alice (issuer)"),
        ("unsigned", "signed    not proven: nobody has signed it"),
    ] {
        let ran = server.platform(&["status", name]).await;
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
}

#[tokio::test]
async fn status_of_a_promotion_that_is_not_there_is_exit_code_1_and_names_it() {
    let ran = server().await.platform(&["status", "nothing"]).await;
    assert_eq!(ran.code, 1);
    assert!(
        ran.err
            .contains("no Promotion 'nothing' in namespace 'space'"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn list_shows_the_versions_of_an_environment_and_marks_the_current_one() {
    let server = server().await;
    let ran = server
        .platform(&["list", "--env", "staging", "-o", "json"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let listed: Value = serde_json::from_str(&ran.out).unwrap();
    let versions = listed["versions"].as_array().unwrap();
    let shown: Vec<_> = versions
        .iter()
        .map(|one| {
            (
                one["version"].as_str().unwrap(),
                one["current"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(shown, [("1.2.2", true), ("1.2.1", false)]);
    let record = json!({
        "record": format!("sha256:{}", "ab".repeat(32)),
        "referrer": format!("registry.example/platform@sha256:{}", "cd".repeat(32)),
        "sequence": 2,
    });
    assert_eq!(versions[0]["record"], record);
    let ran = server.platform(&["list", "-o", "name"]).await;
    assert_eq!(
        ran.out,
        "promotion.promotion.floe.dev/before\npromotion.promotion.floe.dev/older\n"
    );
    let ran = server.platform(&["list", "--env", "nowhere"]).await;
    assert_eq!(ran.code, 9, "{ran:?}");
}
