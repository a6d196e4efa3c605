//! A real scanner, osv-scanner with a small database of its own (e2e/images/scanned), as a SecurityScan.

use serde_json::{Value, json};

use crate::registry::manifest_yaml;
use crate::space::{Space, in_space, of_gate, with};

/// The image that `e2e/images/scanners` makes: osv-scanner and conftest.
pub(crate) const SCANNERS: &str = "localhost/floe/scanners:dev";
/// What the database has of the packages in [`vulnerable`]: critical, high, medium.
pub(crate) const PLANTED: [&str; 3] = ["CVE-2024-90001", "CVE-2024-90002", "CVE-2024-90003"];

/// A bill of materials with versions that have known vulnerabilities.
pub(crate) fn vulnerable() -> String {
    bill("2.4.0", "1.7.3")
}

/// The same with versions in which they are fixed.
pub(crate) fn fixed() -> String {
    bill("2.4.1", "1.8.0")
}

fn bill(reader: &str, client: &str) -> String {
    let component = |name: &str, version: &str| json!({ "type": "library", "name": name, "version": version, "purl": format!("pkg:pypi/{name}@{version}") });
    let components = [
        component("floe-e2e-reader", reader),
        component("floe-e2e-client", client),
    ];
    json!({ "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components })
        .to_string()
}

/// A gate that scans the artifact. Exit code 1 says that something was found: the report decides.
pub(crate) fn scan() -> Value {
    let command = [
        "osv-scanner",
        "scan",
        "source",
        "--offline",
        "--format",
        "sarif",
        "--output-file",
        "$(FLOE_REPORT)",
        "$(FLOE_ARTIFACT_DIR)",
    ];
    json!({
        "name": "scan", "type": "SecurityScan", "image": SCANNERS, "command": command,
        "report": { "format": "Sarif", "exitCodes": [1] },
    })
}

impl Space {
    /// Publishes a version with this bill of materials.
    async fn publish_bill(&self, version: &str, bill: &str) -> String {
        let manifest = manifest_yaml(version.trim_start_matches('v'));
        let files = [("manifest.yaml", &*manifest), ("sbom.cdx.json", bill)];
        self.publish_files(version, &files).await
    }
}

#[tokio::test]
async fn a_vulnerable_artifact_is_refused_and_the_fixed_version_passes() {
    in_space("scan", async |space| {
        space.publish_bill("v1.2.3", &vulnerable()).await;
        space.publish_bill("v1.2.4", &fixed()).await;
        space.environment("dev", &[], json!([scan()])).await;
        space.promote("bad", "v1.2.3", "dev").await;
        let (ended, message) = space.refused("bad", "GateFailed").await;
        assert!(
            message.contains("1 critical") && message.contains(PLANTED[0]),
            "{message}"
        );
        let found = of_gate(&ended, "scan");
        assert_eq!(found.ids, PLANTED, "the worst first");
        let counts = ["critical", "high", "medium", "low"].map(|level| found.counts[level]);
        assert_eq!(counts, [1, 1, 1, 0]);

        space.promote("good", "v1.2.4", "dev").await;
        let found = of_gate(&space.promoted("good").await, "scan");
        assert!(
            found.ids.is_empty() && found.counts.values().all(|count| *count == 0),
            "{found:?}"
        );
    })
    .await;
}

/// It then writes the same report as for a sound artifact, says "0 vulnerabilities", and exits with 127.
#[tokio::test]
async fn a_scanner_without_its_database_has_not_passed() {
    in_space("nodb", async |space| {
        space.publish_bill("v1.2.3", &vulnerable()).await;
        let empty = json!([{ "name": "OSV_SCALIBR_LOCAL_DB_CACHE_DIRECTORY", "value": "/tmp" }]);
        let blind = with(scan(), &json!({ "env": empty }));
        space.environment("dev", &[], json!([blind])).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let (ended, message) = space.refused("to-dev", "GateError").await;
        assert!(
            message.contains("scan") && message.contains("127"),
            "{message}"
        );
        let output = of_gate(&ended, "scan").output.unwrap_or_default();
        assert!(
            output.contains("no offline version of the OSV database"),
            "{output}"
        );
    })
    .await;
}

/// Exit code 128: an artifact in which there is nothing to scan was not scanned.
#[tokio::test]
async fn a_scanner_that_finds_nothing_to_scan_has_not_passed() {
    in_space("nothing", async |space| {
        space.publish("v1.2.3").await;
        space.environment("dev", &[], json!([scan()])).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        space.refused("to-dev", "GateError").await;
    })
    .await;
}

#[tokio::test]
async fn a_finding_is_accepted_until_its_day_and_not_after_it() {
    in_space("allow", async |space| {
        let digest = space.publish_bill("v1.2.3", &vulnerable()).await;
        space.publish_bill("v1.2.4", &vulnerable()).await;
        let allowing = |expires: &str| {
            let entry =
                |id: &str| json!({ "id": id, "reason": "not reachable", "expires": expires });
            let allow = [entry(PLANTED[0]), entry(PLANTED[1])];
            json!([with(
                scan(),
                &json!({ "thresholds": { "critical": 0, "high": 0, "allow": allow } })
            )])
        };
        space.environment("dev", &[], allowing("2099-12-31")).await;
        space.promote("in-time", "v1.2.3", "dev").await;
        let found = of_gate(&space.promoted("in-time").await, "scan");
        assert_eq!(
            (found.counts["allowed"], found.ids),
            (2, vec![PLANTED[2].to_owned()])
        );
        let record = space.records(&digest).pop().unwrap();
        let gates = record["predicate"]["gates"].as_array().unwrap();
        let recorded = gates.iter().find(|gate| gate["name"] == "scan").unwrap();
        assert_eq!(
            (&recorded["counts"]["allowed"], &recorded["ids"]),
            (&json!(2), &json!([PLANTED[2]]))
        );

        space.environment("dev", &[], allowing("2026-01-31")).await;
        space.promote("too-late", "v1.2.4", "dev").await;
        let (ended, message) = space.refused("too-late", "GateFailed").await;
        assert!(
            message.contains("has ended") && message.contains(PLANTED[0]),
            "{message}"
        );
        assert_eq!(of_gate(&ended, "scan").counts["allowed"], 0);
    })
    .await;
}
