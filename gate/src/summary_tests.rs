use super::*;

const TIME: &str = "2026-08-01T12:00:00.000Z";

fn summary() -> Summary {
    Summary {
        exit_code: 1,
        duration_ms: 12,
        output: "a\nb".into(),
        ..Summary::started(TIME.into())
    }
}

fn finding(message: &str) -> Finding {
    Finding {
        severity: Severity::Error,
        rule: "literal-secret".into(),
        path: "manifest.yaml".into(),
        pointer: "/a".into(),
        message: message.into(),
    }
}

#[test]
fn what_was_written_is_read_again() {
    for written in [
        summary(),
        Summary {
            error: Some("it broke".into()),
            ..summary()
        },
        Summary {
            findings: Some(vec![finding("x"), finding("y")]),
            ..summary()
        },
        Summary {
            findings: Some(Vec::new()),
            timed_out: true,
            ..summary()
        },
    ] {
        assert_eq!(Summary::parse(&written.to_bytes()), Ok(written));
    }
}

#[test]
fn a_summary_of_any_size_fits_and_says_what_it_left_out() {
    let findings: Vec<Finding> = (0..500).map(|n| finding(&format!("\u{1}\"{n}"))).collect();
    let written = Summary {
        findings: Some(findings),
        output: "\u{1}ä\"".repeat(5000),
        error: Some("e".repeat(9000)),
        ..summary()
    };
    let bytes = written.to_bytes();
    assert!(bytes.len() <= MAX_BYTES);
    let read = Summary::parse(&bytes).unwrap();
    let kept = read.findings.unwrap();
    assert!(!kept.is_empty());
    assert_eq!(kept.len() as u64 + read.omitted, 500);
    assert_eq!(read.exit_code, 1);

    let huge = Finding {
        path: "\u{1}".repeat(9000),
        ..finding(&"\u{1}".repeat(9000))
    };
    let bytes = Summary {
        findings: Some(vec![huge]),
        ..written
    }
    .to_bytes();
    assert_eq!(Summary::parse(&bytes).unwrap().exit_code, 1);
}

#[test]
fn the_newest_output_stays_when_it_must_be_cut() {
    let output: String = (0..2000)
        .map(|n| n.to_string())
        .collect::<Vec<_>>()
        .join("\n");
    let read = Summary::parse(
        &Summary {
            output,
            ..summary()
        }
        .to_bytes(),
    )
    .unwrap();
    assert!(read.output.ends_with("1998\n1999"));
    assert!(read.output.len() > 3000);
}

#[test]
fn everything_that_is_not_exactly_a_summary_is_refused() {
    let good = String::from_utf8(summary().to_bytes()).unwrap();
    assert!(Summary::parse(good.as_bytes()).is_ok());
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    for (bad, reason) in [
        (String::new(), "empty"),
        ("null".into(), "not one JSON object"),
        ("[]".into(), "not one JSON object"),
        (format!("{good}\n"), "not one JSON object"),
        (format!(" {good}"), "not one JSON object"),
        (format!("{good}{good}"), "form of a summary"),
        ("{}".into(), "form of a summary"),
        (with("\"floe\":1", "\"floe\":2"), "version 2"),
        (
            with("\"floe\":1", "\"floe\":1,\"extra\":1"),
            "form of a summary",
        ),
        (
            with("\"exitCode\":1", "\"exitCode\":1,\"exitCode\":0"),
            "form of a summary",
        ),
        (
            with("\"exitCode\":1", "\"exitCode\":NaN"),
            "form of a summary",
        ),
        (
            with("\"exitCode\":1", "\"exitCode\":\"0\""),
            "form of a summary",
        ),
        (
            with("\"exitCode\":1", "\"exitCode\":0.0"),
            "form of a summary",
        ),
        (
            with("\"exitCode\":1", "\"exitCode\":null"),
            "form of a summary",
        ),
        (with("\"exitCode\":1,", ""), "form of a summary"),
        (with("\"omitted\":0", "\"omitted\":-1"), "form of a summary"),
        (with(TIME, "yesterday"), "startedAt"),
        (
            with("\"omitted\":0", "\"findings\":[{}],\"omitted\":0"),
            "form of a summary",
        ),
        (
            with(
                "\"omitted\":0",
                "\"findings\":[[\"Error\",\"r\",\"p\",\"\",\"m\"]],\"omitted\":0",
            ),
            "form of a summary",
        ),
        (format!("{{{}}}", " ".repeat(5000)), "at most 4096"),
    ] {
        let problem = Summary::parse(bad.as_bytes()).unwrap_err().to_string();
        assert!(problem.contains(reason), "{bad}: {problem}");
    }
    let mut bytes = good.into_bytes();
    let at = bytes.iter().position(|&byte| byte == b'a').unwrap();
    bytes[at] = 0xff;
    assert!(
        Summary::parse(&bytes)
            .unwrap_err()
            .to_string()
            .contains("UTF-8")
    );
}

#[test]
fn the_reason_never_quotes_what_it_refuses() {
    let bad = r#"{"floe":1,"hunter2":"hunter2"}"#;
    assert!(
        !Summary::parse(bad.as_bytes())
            .unwrap_err()
            .to_string()
            .contains("hunter2")
    );
}
