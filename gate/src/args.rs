use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use floe_gate::report::{Format, Wanted};

/// How the program is called.
pub(crate) const USAGE: &str = "usage: floe-gate exec --timeout SECONDS [--termination-log PATH]
           [--report FORMAT --report-file PATH [--allow ID]... [--metric NAME]...]
           -- COMMAND [ARGUMENT...]";
/// Exit code for a wrong call.
pub(crate) const USAGE_EXIT: u8 = 2;
/// Where Kubernetes reads the last word of a container.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// What to run, and how long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// How long the command may run, from its start.
    pub(crate) timeout: Duration,
    /// Where the summary goes.
    pub(crate) termination_log: PathBuf,
    /// The report that the command has to write.
    pub(crate) report: Option<ReportOptions>,
    /// The program.
    pub(crate) program: OsString,
    /// Its arguments.
    pub(crate) arguments: Vec<OsString>,
}

/// Which report to read when the command has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReportOptions {
    pub(crate) format: Format,
    pub(crate) file: PathBuf,
    pub(crate) wanted: Wanted,
}

/// Reads the arguments behind the program's own name.
pub(crate) fn parse(mut words: impl Iterator<Item = OsString>) -> Result<Options, String> {
    if words.next().is_none_or(|verb| verb != "exec") {
        return Err("the first argument must be 'exec'".into());
    }
    let mut timeout = None;
    let mut termination_log = PathBuf::from(TERMINATION_LOG);
    let (mut format, mut file, mut wanted) = (None, None, Wanted::default());
    loop {
        let word = words.next().ok_or("'-- COMMAND' is missing")?;
        let mut value = |what| {
            words
                .next()
                .ok_or_else(|| format!("{} needs {what}", word.display()))
        };
        match word.to_str() {
            Some("--") => break,
            Some("--timeout") => timeout = Some(seconds(words.next().as_deref())?),
            Some("--termination-log") => termination_log = value("a path")?.into(),
            Some("--report") => {
                format = Some(Format::from_str(&text(value("a format")?)?)?);
            }
            Some("--report-file") => file = Some(PathBuf::from(value("a path")?)),
            Some("--allow") => wanted.allow.push(text(value("an id")?)?),
            Some("--metric") => wanted.metrics.push(text(value("a name")?)?),
            _ => return Err(format!("unknown argument '{}'", word.display())),
        }
    }
    let report = match (format, file) {
        (Some(format), Some(file)) => Some(ReportOptions {
            format,
            file,
            wanted,
        }),
        (None, None) if wanted == Wanted::default() => None,
        _ => return Err("--report and --report-file are needed together".into()),
    };
    Ok(Options {
        timeout: timeout.ok_or("--timeout is missing")?,
        termination_log,
        report,
        program: words.next().ok_or("the command is missing")?,
        arguments: words.collect(),
    })
}

fn seconds(word: Option<&OsStr>) -> Result<Duration, String> {
    word.and_then(OsStr::to_str)
        .and_then(|word| word.parse::<u32>().ok())
        .filter(|seconds| *seconds > 0)
        .map(|seconds| Duration::from_secs(seconds.into()))
        .ok_or_else(|| "--timeout needs a whole number of seconds above 0".to_owned())
}

fn text(word: OsString) -> Result<String, String> {
    word.into_string()
        .map_err(|word| format!("'{}' is not UTF-8 text", word.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Options, String> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn everything_behind_the_two_dashes_belongs_to_the_command() {
        let options = parsed(&["exec", "--timeout", "30", "--", "sh", "--timeout", "--"]).unwrap();
        assert_eq!(options.timeout, Duration::from_secs(30));
        assert_eq!(options.termination_log, PathBuf::from(TERMINATION_LOG));
        assert_eq!(options.program, "sh");
        assert_eq!(options.arguments, ["--timeout", "--"]);
    }

    #[test]
    fn a_report_is_asked_for_with_exceptions_and_metrics() {
        let words =
            "exec --timeout 1 --report Trivy --report-file /r --allow A --allow B --metric m";
        let words: Vec<&str> = words.split(' ').chain(["--", "sh"]).collect();
        let report = parsed(&words).unwrap().report.unwrap();
        assert_eq!(report.format, Format::Trivy);
        assert_eq!(report.file, PathBuf::from("/r"));
        assert_eq!(report.wanted.allow, ["A", "B"]);
        assert_eq!(report.wanted.metrics, ["m"]);
    }

    #[test]
    fn wrong_calls_are_refused_with_the_reason() {
        for (words, reason) in [
            (&[][..], "exec"),
            (&["run"], "exec"),
            (&["exec"], "COMMAND"),
            (&["exec", "--timeout", "1"], "COMMAND"),
            (&["exec", "--", "sh"], "--timeout is missing"),
            (&["exec", "--timeout", "0", "--", "sh"], "above 0"),
            (&["exec", "--timeout", "x", "--", "sh"], "whole number"),
            (&["exec", "--timeout", "1", "--"], "command is missing"),
            (&["exec", "--loud", "--", "sh"], "'--loud'"),
            (&["exec", "--termination-log"], "needs a path"),
            (&["exec", "--report", "trivy"], "no known format"),
            (&["exec", "--report"], "needs a format"),
            (&["exec", "--allow"], "needs an id"),
            (
                &["exec", "--timeout", "1", "--report", "Trivy", "--", "sh"],
                "together",
            ),
            (
                &["exec", "--timeout", "1", "--report-file", "x", "--", "sh"],
                "together",
            ),
            (
                &["exec", "--timeout", "1", "--allow", "x", "--", "sh"],
                "together",
            ),
        ] {
            let problem = parsed(words).unwrap_err();
            assert!(problem.contains(reason), "{words:?}: {problem}");
        }
    }
}
