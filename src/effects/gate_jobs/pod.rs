use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, EnvVar, PodSecurityContext, PodSpec, ResourceRequirements,
    SeccompProfile, SecurityContext,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::volumes::{
    ARTIFACT, ARTIFACT_DIR, BIN, CA_DIR, CREDENTIALS_DIR, DOCKER_CONFIG_DIR, HOME, HOME_DIR,
    IDENTITY_DIR, LAYOUT, LAYOUT_DIR, REPORT, REPORT_FILE, TMP, command_credentials, mount,
    secret_mounts, volumes,
};
use crate::domain::compliance::RuleSet;
use crate::domain::gates::{FETCH_CONTAINER, GATE_CONTAINER, GateKind, JobRequest, ReportRules};

/// User and group of our own containers, and of the command when the policy names no user.
const NOBODY: i64 = 65_532;
/// From TERM to KILL when the Pod is ended, in seconds: as long as floe-gate gives its command.
const GRACE_SECONDS: i64 = 5;
/// How much later than all other limits the Pod's own deadline comes, in seconds: it is a backstop.
const DEADLINE_SLACK_SECONDS: i64 = 60;

const FLOE_GATE_IN_IMAGE: &str = "/usr/local/bin/floe-gate";
const FLOE_GATE: &str = "/floe/bin/floe-gate";
/// Where Kubernetes reads the last word of a container: its own default, written down.
const TERMINATION_LOG: &str = "/dev/termination-log";
/// The Pod of a gate.
pub(super) fn pod_spec(request: &JobRequest) -> PodSpec {
    let own_check = request.spec.kind == GateKind::PolicyCompliance;
    let (init, main) = if own_check {
        (None, validate_container(request))
    } else {
        (
            Some(vec![fetch_container(request)]),
            gate_container(request),
        )
    };
    let user = request.spec.run_as_user.unwrap_or(NOBODY);
    PodSpec {
        restart_policy: Some("Never".to_owned()),
        active_deadline_seconds: Some(
            i64::from(request.start_timeout_seconds)
                + i64::from(request.spec.timeout_seconds)
                + DEADLINE_SLACK_SECONDS,
        ),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        // Its token is mounted below, for one audience and one container.
        service_account_name: request
            .cloud_account
            .as_ref()
            .and_then(|account| account.service_account.clone()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(user),
            run_as_group: Some(NOBODY),
            fs_group: Some(NOBODY),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        init_containers: init,
        containers: vec![main],
        volumes: Some(volumes(request, own_check)),
        ..PodSpec::default()
    }
}

/// PolicyCompliance: fetches and checks in one container, because every further container costs
/// the Pod a second.
fn validate_container(request: &JobRequest) -> Container {
    let mut args = vec![
        "gate".to_owned(),
        "validate".to_owned(),
        "--strict".to_owned(),
    ];
    args.extend(["--version".to_owned(), request.version.clone()]);
    args.extend(fetch_args(request));
    args.extend(rule_args(request));
    let mut mounts = vec![
        mount(&ARTIFACT, false),
        mount(&TMP, false),
        mount(&HOME, false),
    ];
    mounts.extend(secret_mounts(request));
    Container {
        resources: Some(own_resources()),
        volume_mounts: Some(mounts),
        env: Some(vec![variable("HOME", HOME_DIR)]),
        ..own_container(GATE_CONTAINER, request, args)
    }
}

fn fetch_container(request: &JobRequest) -> Container {
    let mut args = vec!["gate".to_owned(), "fetch".to_owned()];
    args.extend(fetch_args(request));
    for (flag, path) in [("--bin-from", FLOE_GATE_IN_IMAGE), ("--bin-to", FLOE_GATE)] {
        args.extend([flag.to_owned(), path.to_owned()]);
    }
    let mut mounts = vec![
        mount(&ARTIFACT, false),
        mount(&BIN, false),
        mount(&TMP, false),
    ];
    if request.spec.layout {
        args.extend(["--layout".to_owned(), LAYOUT_DIR.to_owned()]);
        args.extend([
            "--layout-name".to_owned(),
            request.version.replace('+', "_"),
        ]);
        mounts.push(mount(&LAYOUT, false));
    }
    mounts.extend(secret_mounts(request));
    Container {
        resources: Some(own_resources()),
        volume_mounts: Some(mounts),
        env: Some(vec![variable("HOME", "/tmp")]),
        ..own_container(FETCH_CONTAINER, request, args)
    }
}

fn gate_container(request: &JobRequest) -> Container {
    let spec = &request.spec;
    let mut command = vec![
        FLOE_GATE.to_owned(),
        "exec".to_owned(),
        "--timeout".to_owned(),
        spec.timeout_seconds.to_string(),
    ];
    let mut mounts = vec![
        mount(&ARTIFACT, true),
        mount(&BIN, true),
        mount(&TMP, false),
        mount(&HOME, false),
    ];
    if let Some(report) = &spec.report {
        command.extend(report_args(report));
        mounts.push(mount(&REPORT, false));
    }
    if spec.layout {
        mounts.push(mount(&LAYOUT, true));
    }
    if spec.credentials_secret.is_some() {
        mounts.push(command_credentials());
    }
    command.push("--".to_owned());
    command.extend(spec.command.iter().cloned());
    Container {
        name: GATE_CONTAINER.to_owned(),
        image: Some(spec.image.clone()),
        // The program and its arguments stay apart only in the policy; for the Pod they are one line.
        command: Some(command),
        args: Some(spec.args.clone()).filter(|args| !args.is_empty()),
        env: Some(environment(request)),
        resources: Some(gate_resources(request)),
        security_context: Some(restricted()),
        termination_message_path: Some(TERMINATION_LOG.to_owned()),
        termination_message_policy: Some("File".to_owned()),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

/// Which report the command owes, and what the summary must say of it: exceptions by id, values by name.
fn report_args(report: &ReportRules) -> Vec<String> {
    let mut args = vec![
        "--report".to_owned(),
        report.format.as_str().to_owned(),
        "--report-file".to_owned(),
        REPORT_FILE.to_owned(),
    ];
    let repeated = |flag: &'static str| move |word: &String| [flag.to_owned(), word.clone()];
    args.extend(report.allow.keys().flat_map(repeated("--allow")));
    args.extend(report.metrics.keys().flat_map(repeated("--metric")));
    args
}

/// What PolicyCompliance checks besides its own rules, one argument each, since the kernel bounds the length
/// of a single one; and what rules may speak of besides the documents.
fn rule_args(request: &JobRequest) -> Vec<String> {
    let RuleSet {
        rules,
        exceptions,
        require_manifest,
    } = &request.spec.rules;
    let mut args = vec![
        "--artifact".to_owned(),
        request.artifact.clone(),
        "--environment".to_owned(),
        request.to.clone(),
    ];
    if let Some(from) = &request.from {
        args.extend(["--from".to_owned(), from.clone()]);
    }
    let json = |value: serde_json::Result<String>| value.unwrap_or_default();
    for rule in rules {
        args.extend(["--rule".to_owned(), json(serde_json::to_string(rule))]);
    }
    for exception in exceptions {
        let exception = json(serde_json::to_string(exception));
        args.extend(["--exception".to_owned(), exception]);
    }
    if *require_manifest {
        args.push("--require-manifest".to_owned());
    }
    args
}

/// A container of our image.
fn own_container(name: &str, request: &JobRequest, args: Vec<String>) -> Container {
    Container {
        name: name.to_owned(),
        image: Some(request.operator_image.clone()),
        image_pull_policy: request.operator_image_pull_policy.clone(),
        command: Some(vec!["/usr/local/bin/floe".to_owned()]),
        args: Some(args),
        security_context: Some(SecurityContext {
            // The policy's user is for its command; our files must not belong to it.
            run_as_user: Some(NOBODY),
            ..restricted()
        }),
        termination_message_path: Some(TERMINATION_LOG.to_owned()),
        termination_message_policy: Some("File".to_owned()),
        ..Container::default()
    }
}

fn fetch_args(request: &JobRequest) -> Vec<String> {
    let mut args = vec![
        "--reference".to_owned(),
        reference(request),
        "--out".to_owned(),
        ARTIFACT_DIR.to_owned(),
        "--termination-log".to_owned(),
        TERMINATION_LOG.to_owned(),
    ];
    if request.credentials_secret.is_some() {
        args.extend([
            "--docker-config".to_owned(),
            format!("{CREDENTIALS_DIR}/config.json"),
        ]);
    }
    if let Some(account) = &request.cloud_account {
        let json = serde_json::to_string(account).unwrap_or_default();
        args.extend(["--cloud-account".to_owned(), json]);
        if account.service_account.is_some() {
            args.extend(["--cloud-token".to_owned(), format!("{IDENTITY_DIR}/token")]);
        }
    }
    if request.ca_secret.is_some() {
        args.extend(["--ca".to_owned(), format!("{CA_DIR}/ca.crt")]);
    }
    if request.plain_http {
        args.push("--plain-http".to_owned());
    }
    args
}

/// What the command finds in its environment. The user's variables come last, and none of them may
/// carry our names, so that their order does not matter.
fn environment(request: &JobRequest) -> Vec<EnvVar> {
    let mut environment = vec![
        variable("FLOE_ARTIFACT", &request.artifact),
        variable("FLOE_VERSION", &request.version),
        variable("FLOE_DIGEST", request.digest.as_str()),
        variable("FLOE_REFERENCE", &reference(request)),
        variable("FLOE_FROM", request.from.as_deref().unwrap_or_default()),
        variable("FLOE_TO", &request.to),
        variable("FLOE_PROMOTION", &request.request.name),
        variable("FLOE_ARTIFACT_DIR", ARTIFACT_DIR),
        variable("HOME", HOME_DIR),
    ];
    let spec = &request.spec;
    let asked_for = [
        (spec.report.is_some(), "FLOE_REPORT", REPORT_FILE),
        (spec.layout, "FLOE_LAYOUT_DIR", LAYOUT_DIR),
        (
            spec.credentials_secret.is_some(),
            "DOCKER_CONFIG",
            DOCKER_CONFIG_DIR,
        ),
    ];
    let asked_for = asked_for.into_iter().filter(|(asked, _, _)| *asked);
    environment.extend(asked_for.map(|(_, name, value)| variable(name, value)));
    for own in &request.spec.env {
        if own.name.starts_with("FLOE_") {
            continue;
        }
        // The policy may set HOME to another folder; the later entry would win, but say it once.
        environment.retain(|known| known.name != own.name);
        environment.push(variable(&own.name, &own.value));
    }
    environment
}

fn reference(request: &JobRequest) -> String {
    format!("{}@{}", request.repository, request.digest)
}

fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        value_from: None,
    }
}

fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            add: None,
            drop: Some(vec!["ALL".to_owned()]),
        }),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        ..SecurityContext::default()
    }
}

fn own_resources() -> ResourceRequirements {
    quantities(
        &[("cpu", "50m"), ("memory", "64Mi")],
        &[("memory", "512Mi")],
    )
}

fn gate_resources(request: &JobRequest) -> ResourceRequirements {
    let cpu = request.spec.cpu.as_deref().unwrap_or("100m");
    let memory = request.spec.memory.as_deref().unwrap_or("128Mi");
    let limits: Vec<(&str, &str)> = request
        .spec
        .memory
        .as_deref()
        .map(|limit| ("memory", limit))
        .into_iter()
        .collect();
    quantities(&[("cpu", cpu), ("memory", memory)], &limits)
}

fn quantities(requests: &[(&str, &str)], limits: &[(&str, &str)]) -> ResourceRequirements {
    let map = |list: &[(&str, &str)]| -> BTreeMap<String, Quantity> {
        list.iter()
            .map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).to_owned())))
            .collect()
    };
    ResourceRequirements {
        requests: Some(map(requests)),
        limits: Some(map(limits)).filter(|limits| !limits.is_empty()),
        claims: None,
    }
}
