use super::*;

fn spec() -> GateSpec {
    GateSpec {
        kind: GateKind::Tests,
        image: "registry.example/tests:1".into(),
        command: vec!["run".into()],
        args: vec!["--all".into()],
        env: vec![EnvVar {
            name: "A".into(),
            value: "1".into(),
        }],
        timeout_seconds: 300,
        run_as_user: Some(1000),
        cpu: Some("1".into()),
        memory: Some("1Gi".into()),
        ..GateSpec::policy_compliance(300, RuleSet::default())
    }
}

fn report(json: &str) -> ReportRules {
    serde_json::from_str(json).unwrap()
}

fn is_dns_label(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

#[test]
fn everything_that_can_change_a_verdict_changes_the_hash() {
    let digest = Digest::of(b"artifact");
    let base = spec_hash(&spec(), &digest);
    assert_eq!(base, spec_hash(&spec(), &digest));
    assert!(base.starts_with("sha256:") && base.len() == 71);
    let changed = [
        GateSpec {
            kind: GateKind::Custom,
            ..spec()
        },
        GateSpec {
            image: "registry.example/tests:2".into(),
            ..spec()
        },
        GateSpec {
            command: vec!["run".into(), "--all".into()],
            args: Vec::new(),
            ..spec()
        },
        GateSpec {
            args: Vec::new(),
            ..spec()
        },
        GateSpec {
            env: Vec::new(),
            ..spec()
        },
        GateSpec {
            timeout_seconds: 301,
            ..spec()
        },
        GateSpec {
            run_as_user: None,
            ..spec()
        },
        GateSpec {
            cpu: None,
            ..spec()
        },
        GateSpec {
            memory: None,
            ..spec()
        },
        GateSpec {
            retries: 1,
            ..spec()
        },
        GateSpec {
            layout: true,
            ..spec()
        },
        GateSpec {
            credentials_secret: Some("registry".into()),
            ..spec()
        },
        GateSpec {
            report: Some(report("{\"format\": \"Trivy\"}")),
            ..spec()
        },
        GateSpec {
            report: Some(report("{\"format\": \"Trivy\", \"limits\": {\"high\": 1}}")),
            ..spec()
        },
        GateSpec {
            rules: RuleSet {
                require_manifest: true,
                ..RuleSet::default()
            },
            ..spec()
        },
    ];
    let mut hashes: Vec<String> = changed
        .iter()
        .map(|spec| spec_hash(spec, &digest))
        .collect();
    hashes.push(spec_hash(&spec(), &Digest::of(b"other")));
    hashes.push(base);
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), changed.len() + 2);
}

#[test]
fn the_hash_stays_the_same_between_releases() {
    let hash = spec_hash(
        &GateSpec::policy_compliance(300, RuleSet::default()),
        &Digest::of(b""),
    );
    let canonical = format!(
        r#"{{"digest":"{}","spec":{{"kind":"PolicyCompliance","timeoutSeconds":300}}}}"#,
        Digest::of(b"")
    );
    assert_eq!(hash, Digest::of(canonical.as_bytes()).to_string());
}

#[test]
fn a_job_name_is_a_dns_label_for_every_request_and_gate() {
    for request in [
        "platform-v1.2.3-to-prod",
        "a",
        "1-to-prod",
        &"x.y-".repeat(63),
        "...",
        "ÄÖ",
    ] {
        for gate in [POLICY_COMPLIANCE, "tests", "t", &"g".repeat(40)] {
            let name = job_name(request, "uid", gate, 0, "hash");
            assert!(is_dns_label(&name), "{request} {gate}: {name}");
        }
    }
    assert!(
        job_name("platform-v1.2.3-to-prod", "uid", POLICY_COMPLIANCE, 0, "h")
            .starts_with("floe-gate-platform-v1-2-3-to-prod-policy-compliance-")
    );
}

#[test]
fn a_job_name_depends_on_all_of_its_parts_and_on_nothing_else() {
    let base = job_name("p", "uid", "tests", 0, "hash");
    assert_eq!(base, job_name("p", "uid", "tests", 0, "hash"));
    for other in [
        job_name("p", "uid2", "tests", 0, "hash"),
        job_name("p", "uid", "tests", 1, "hash"),
        job_name("p", "uid", "tests", 0, "hash2"),
        job_name("p", "uidt", "ests", 0, "hash"),
    ] {
        assert_ne!(base, other);
    }
    // Two gates whose readable parts are the same after cutting still get two names.
    let long = "p".repeat(200);
    assert_ne!(
        job_name(&long, "uid", "a", 0, "h"),
        job_name(&long, "uid", "b", 0, "h")
    );
}
