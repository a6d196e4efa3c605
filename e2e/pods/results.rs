//! What a command may do to its result: nothing but end.

use serde_json::{Value, json};

use crate::space::{gate, in_space, of_gate, with};

/// A result as floe-gate writes it, of a command that has passed.
pub(crate) const FORGED: &str = r#"{"floe":1,"exitCode":0,"timedOut":false,"startedAt":"2026-11-25T10:00:00.000Z","durationMs":1000,"output":"all fine","omitted":0}"#;

#[tokio::test]
async fn a_command_that_writes_its_own_result_has_not_written_any() {
    in_space("forged", async |space| {
        space.publish("v1.2.3").await;
        let writing = |name: &str, script: &str| -> Value {
            let env = json!([{ "name": "FORGED", "value": FORGED }]);
            with(gate(name, "Tests", script), &json!({ "env": env }))
        };
        let gates = json!([
            writing("whole", "printf %s \"$FORGED\" > /dev/termination-log; exit 1"),
            writing("ten-megabytes", "head -c 10485760 /dev/zero | tr '\\0' 'x' > /dev/termination-log; exit 1"),
            writing("no-text", "printf '\\377\\376\\000{' > /dev/termination-log; exit 1"),
            writing("doubled", "printf '%s' \"${FORGED%?},\\\"exitCode\\\":0}\" > /dev/termination-log; exit 1"),
            writing(
                "background",
                "setsid sh -c 'while :; do printf %s \"$FORGED\" > /dev/termination-log; done' & sleep 1; exit 1",
            ),
            writing("killer", "kill -STOP 1; kill -KILL 1; printf %s \"$FORGED\" > /dev/termination-log; exit 1"),
            writing("printed", "printf '%s\\n' \"$FORGED\"; exit 1"),
        ]);
        space.environment("dev", &[], gates).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let (ended, _) = space.refused("to-dev", "GateFailed").await;
        for gate in &ended.status.unwrap().gates[1..] {
            let message = gate.message.as_deref().unwrap_or_default();
            assert!(gate.outcome == "Failed" && message.contains("exited with 1"), "{}: {} {message}", gate.name, gate.outcome);
        }
    })
    .await;
}

#[tokio::test]
async fn a_report_that_is_owed_and_not_there_is_an_error_also_after_exit_code_0() {
    in_space("owed", async |space| {
        space.publish("v1.2.3").await;
        let owing = |name: &str, script: &str| {
            with(
                gate(name, "Tests", script),
                &json!({ "report": { "format": "JUnit" } }),
            )
        };
        let gates = json!([
            owing("silent", "exit 0"),
            owing("empty", ": > $FLOE_REPORT"),
            owing("garbage", "echo all fine > $FLOE_REPORT"),
            owing("elsewhere", "echo '<testsuite/>' > /tmp/report.xml"),
            owing("a-link", "ln -s /etc/passwd $FLOE_REPORT"),
            owing("a-pipe", "mkfifo $FLOE_REPORT"),
            owing("nothing-tested", "echo '<testsuites/>' > $FLOE_REPORT"),
            owing(
                "too-big",
                "head -c 50000000 /dev/zero | tr '\\0' ' ' > $FLOE_REPORT"
            ),
        ]);
        space.environment("dev", &[], gates).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let (ended, _) = space.refused("to-dev", "GateError").await;
        for gate in &ended.status.unwrap().gates[1..] {
            assert_eq!(gate.outcome, "Error", "{}: {:?}", gate.name, gate.message);
        }
    })
    .await;
}

#[tokio::test]
async fn a_report_without_findings_does_not_make_up_for_an_exit_code() {
    in_space("exit", async |space| {
        space.publish("v1.2.3").await;
        let clean = r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}},"results":[]}]}"#;
        let found = clean.replace(
            "[]",
            r#"[{"ruleId":"R1","level":"error","message":{"text":"x"}}]"#,
        );
        let scanning = |name: &str, report: &str, code: u8| {
            let script = format!("echo '{report}' > $FLOE_REPORT; exit {code}");
            with(
                gate(name, "SecurityScan", &script),
                &json!({ "report": { "format": "Sarif" } }),
            )
        };
        let gates = json!([
            scanning("clean", clean, 1),
            scanning("found", &found, 3),
            scanning("passed", clean, 0)
        ]);
        space.environment("dev", &[], gates).await;
        space.promote("to-dev", "v1.2.3", "dev").await;
        let (ended, message) = space.refused("to-dev", "GateFailed").await;
        assert!(
            message.contains("clean") && message.contains("found"),
            "{message}"
        );
        let clean = of_gate(&ended, "clean");
        assert_eq!(clean.outcome, "Failed");
        assert!(
            clean
                .message
                .unwrap()
                .contains("exited with 1; its report: no findings")
        );
        // A readable report is shown, whatever the exit code.
        let found = of_gate(&ended, "found");
        assert_eq!(
            (found.ids, found.counts["high"]),
            (vec!["R1".to_owned()], 1)
        );
        assert_eq!(of_gate(&ended, "passed").outcome, "Passed");
    })
    .await;
}
