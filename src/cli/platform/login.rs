//! The user's own way to a registry, with the login that `docker login` stored.

use std::path::Path;

use serde::Deserialize;

use super::args::RegistryArguments;
use super::failure::{Failure, Result};
use crate::api::ArtifactSource;
use crate::domain::artifact::Repository;
use crate::effects::registry::{Access, Login, ReadLogin, login_for};

/// Programs that keep logins outside of the file.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Helpers {
    creds_store: Option<String>,
    cred_helpers: std::collections::BTreeMap<String, String>,
}

/// How this artifact's registry is reached: as the policy says, with the user's own login and trust.
pub(in crate::cli) fn access(
    source: &ArtifactSource,
    repository: &Repository,
    arguments: &RegistryArguments,
) -> Result<Access> {
    let (ca, docker_config) = (arguments.ca.as_deref(), arguments.docker_config.as_deref());
    access_to(repository, source.plain_http, ca, docker_config)
}

/// How the registry of this repository is reached with the user's own login and trust.
pub(in crate::cli) fn access_to(
    repository: &Repository,
    plain_http: bool,
    ca: Option<&Path>,
    docker_config: Option<&Path>,
) -> Result<Access> {
    let mut access = Access::to(repository);
    access.plain_http = plain_http;
    access.ca_pem = match ca {
        Some(path) => Some(read(path)?),
        None => None,
    };
    let folder = docker_config
        .map(Path::to_owned)
        .or_else(|| std::env::home_dir().map(|home| home.join(".docker")));
    access.credentials = match folder {
        Some(folder) => login(&folder, repository)?,
        None => None,
    };
    Ok(access)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| Failure::usage(format!("cannot read '{}': {error}", path.display())))
}

/// The login for this repository in `config.json` of the folder; `None` when there is none.
fn login(folder: &Path, repository: &Repository) -> Result<Option<Login>> {
    let path = folder.join("config.json");
    let payload = match std::fs::read(&path) {
        Ok(payload) => payload,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Failure::usage(format!(
                "cannot read '{}': {error}",
                path.display()
            )));
        }
    };
    found(&payload, repository)
        .map_err(|why| Failure::usage(format!("'{}': {why}", path.display())))
}

fn found(payload: &[u8], repository: &Repository) -> std::result::Result<Option<Login>, String> {
    let helpers: Helpers = serde_json::from_slice(payload)
        .map_err(|error| format!("this is not a docker configuration (line {})", error.line()))?;
    match login_for(&with_auths(payload), repository) {
        Ok(login) => Ok(Some(login)),
        Err(ReadLogin::NoEntry { .. }) if helpers.of(repository).is_none() => Ok(None),
        Err(ReadLogin::Malformed { line }) => {
            Err(format!("this is not a docker configuration (line {line})"))
        }
        Err(ReadLogin::NoEntry { registry }) => Err(format!(
            "the login for '{registry}' is kept by the credential helper '{}', which floe does not ask; \
             log in with a configuration of its own: docker --config FOLDER login {registry}, then --docker-config FOLDER",
            helpers.of(repository).unwrap_or_default()
        )),
        Err(ReadLogin::Entry { entry, problem }) => match helpers.of(repository) {
            Some(helper) => Err(format!(
                "the login for '{entry}' is kept by the credential helper '{helper}', which floe does not ask; \
                 log in with a configuration of its own: docker --config FOLDER login {entry}, then --docker-config FOLDER"
            )),
            None => Err(format!("the entry for '{entry}' {problem}")),
        },
    }
}

impl Helpers {
    fn of(&self, repository: &Repository) -> Option<&str> {
        self.cred_helpers
            .get(repository.registry())
            .or(self.creds_store.as_ref())
            .map(String::as_str)
    }
}

/// A configuration that nobody has logged in with has no `auths`.
fn with_auths(payload: &[u8]) -> Vec<u8> {
    let parsed: Option<serde_json::Value> = serde_json::from_slice(payload).ok();
    match parsed {
        Some(serde_json::Value::Object(mut config)) => {
            config
                .entry("auths")
                .or_insert_with(|| serde_json::json!({}));
            serde_json::Value::Object(config).to_string().into_bytes()
        }
        _ => payload.to_vec(),
    }
}
