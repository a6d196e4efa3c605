//! `floe gate fetch` and `floe gate validate`: what runs in our image inside gate Pods.

mod args;
mod fetch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use floe_gate::tail::{Stream, Tail};
use floe_gate::{Summary, rfc3339};
use tokio::io::AsyncReadExt as _;

pub(super) use args::GateCommand;
use args::{Source, ValidateArguments};

use super::{ExitCode, output};
use crate::domain::artifact::Repository;
use crate::domain::compliance::{self, Input, MAX_DOCUMENT_BYTES, Subject};
use crate::domain::policy::cloud::{CloudAccount, registry_of};
use crate::effects::bounded::{self, RULES_LIMIT};
use crate::effects::clock;
use crate::effects::cloud::{Cloud, CloudEndpoints, CloudLogin, OwnIdentity, TokenSource};
use crate::effects::fetch::{self as files, FetchError, Fetched};
use crate::effects::registry::{Access, Login, Registry, login_for};

/// How often a registry that does not answer is asked, and how long before the second try. A Pod is
/// not started again for it.
const ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Runs one of the commands.
pub(super) async fn run(command: GateCommand) -> ExitCode {
    match command {
        GateCommand::Fetch(arguments) => fetch::run(&arguments).await,
        GateCommand::Validate(arguments) => run_validate(&arguments).await,
    }
}

async fn run_validate(arguments: &ValidateArguments) -> ExitCode {
    let started = clock::instant();
    let mut summary = Summary::started(rfc3339::format(clock::now().into()));
    let (code, printed) = match validate(arguments).await {
        Ok((report, printed)) => {
            let passed = report.passed();
            summary.findings = Some(report.findings);
            (
                if passed {
                    ExitCode::Done
                } else {
                    ExitCode::GateFailed
                },
                printed,
            )
        }
        Err(message) => {
            let message = format!("the artifact could not be checked: {message}");
            summary.error = Some(message.clone());
            (ExitCode::Unexpected, message + "\n")
        }
    };
    output::text(&printed);
    let mut tail = Tail::default();
    tail.push(Stream::Out, printed.as_bytes());
    summary.output = tail.finish();
    summary.exit_code = code.number().into();
    summary.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    write_last_word(&arguments.source, &summary.to_bytes(), code).await
}

/// What is wrong with the documents, and the same as text that ends with what was looked at.
async fn validate(arguments: &ValidateArguments) -> Result<(compliance::Report, String), String> {
    let source = &arguments.source;
    let fetched = fetch_files(source).await?;
    let mut files = Vec::new();
    for file in &fetched.files.files {
        if compliance::is_document(&file.path) {
            let path = source.out.join(&file.path);
            let bytes = read_bounded(&path)
                .await
                .map_err(|error| format!("cannot read '{}': {error}", path.display()))?;
            files.push((file.path.clone(), bytes));
        }
    }
    let (_, digest) = &source.reference;
    let input = Input {
        files,
        subject: Subject {
            artifact: arguments.artifact.clone(),
            version: Some(arguments.version.clone()),
            digest: digest.to_string(),
            media_type: fetched.manifest.media_type().as_str().to_owned(),
            annotations: compliance::annotations_of(fetched.manifest.bytes()),
            environment: arguments.environment.clone(),
            from: arguments.from.clone(),
        },
        rules: arguments.rule_set(),
        today: clock::today(),
        strict: arguments.strict,
    };
    let report = bounded::run(RULES_LIMIT, move || compliance::check(&input))
        .await
        .map_err(|error| error.to_string())?;
    let mut printed = lines(&fetched);
    for line in report.lines() {
        printed.push_str(&line);
        printed.push('\n');
    }
    printed.push_str(&report.note);
    printed.push('\n');
    Ok((report, printed))
}

/// One byte more than the check allows, so that it refuses a longer document.
async fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = tokio::fs::File::open(path).await?;
    file.take(MAX_DOCUMENT_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .await?;
    Ok(bytes)
}

async fn fetch_files(source: &Source) -> Result<Fetched, String> {
    let registry = open(source).await?;
    let (repository, digest) = &source.reference;
    retrying(|| files::fetch(&registry, repository, digest, &source.out)).await
}

#[expect(
    clippy::disallowed_methods,
    reason = "a program that runs once has nobody who looks again"
)]
async fn retrying<T, F>(attempt: impl Fn() -> F) -> Result<T, String>
where
    F: Future<Output = Result<T, FetchError>>,
{
    let mut pause = FIRST_PAUSE;
    for _ in 1..ATTEMPTS {
        match attempt().await {
            Err(error) if error.is_transient() => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            other => return other.map_err(|error| error.to_string()),
        }
    }
    attempt().await.map_err(|error| error.to_string())
}

async fn open(source: &Source) -> Result<Registry, String> {
    let (repository, _) = &source.reference;
    let mut access = Access::to(repository);
    access.plain_http = source.plain_http;
    if let Some(path) = &source.docker_config {
        let login = login_for(&read(path).await?, repository).map_err(|error| error.to_string())?;
        access.credentials = Some(login);
    }
    if let Some(account) = &source.cloud_account {
        let login = cloud_login(account, source.cloud_token.as_ref(), repository)?;
        access.credentials = Some(login);
    }
    if let Some(path) = &source.ca {
        access.ca_pem = Some(read(path).await?);
    }
    Registry::new(&access).map_err(|error| error.to_string())
}

fn cloud_login(
    account: &CloudAccount,
    token: Option<&PathBuf>,
    repository: &Repository,
) -> Result<Login, String> {
    let registry = registry_of(account.provider, repository.registry())?;
    let cloud = Cloud::new(CloudEndpoints::real(), OwnIdentity::default())?;
    let who = match &account.service_account {
        Some(name) => format!("ServiceAccount '{name}'"),
        None => "the node of this Pod".to_owned(),
    };
    let tokens = token.cloned().map(TokenSource::File);
    let identity = account.identity.clone();
    let login = CloudLogin::new(Arc::new(cloud), registry, identity, tokens, who);
    Ok(Login::renewed(Arc::new(login)))
}

async fn read(path: &Path) -> Result<Vec<u8>, String> {
    tokio::fs::read(path)
        .await
        .map_err(|error| format!("cannot read '{}': {error}", path.display()))
}

fn lines(fetched: &Fetched) -> String {
    let mut lines = format!("fetched {} files\n", fetched.files.files.len());
    for skipped in &fetched.files.skipped {
        lines.push_str(skipped);
        lines.push('\n');
    }
    lines
}

/// Without its last word the operator takes the container for one without result, which is an error.
async fn write_last_word(source: &Source, bytes: &[u8], code: ExitCode) -> ExitCode {
    let Some(path) = &source.termination_log else {
        return code;
    };
    match tokio::fs::write(path, bytes).await {
        Ok(()) => code,
        Err(error) => {
            let message = format!("cannot write '{}': {error}", path.display());
            output::failure(ExitCode::Unexpected, &message)
        }
    }
}
