//! `floe registry`: the operator's registry code, by hand.

mod args;
mod copy;
mod reference;
mod tag;
mod tree;
mod view;

pub(super) use args::RegistryArguments;
use args::{ReachArguments, RegistryVerb};
use reference::Named;

use super::platform::failure::{Failure, Result};
use super::platform::login::access_to;
use super::{ExitCode, output};
use crate::domain::artifact::Repository;
use crate::effects::registry::{
    ErrorKind, Reference, Registries, Registry, RegistryError, TagRefusal,
};

/// Runs one of the commands.
pub(super) async fn run(arguments: RegistryArguments) -> ExitCode {
    let RegistryArguments { reach, verb } = arguments;
    let reach = Reach {
        arguments: reach,
        registries: Registries::new(),
    };
    let ended = match verb {
        RegistryVerb::Tag(arguments) => tag::run(&reach, &arguments).await,
        RegistryVerb::Copy(arguments) => copy::run(&reach, &arguments).await,
        RegistryVerb::Tree(arguments) => tree::run(&reach, &arguments).await,
    };
    match ended {
        Ok(code) => code,
        Err(failure) => output::failure(failure.code, &failure),
    }
}

/// The way to registries, with the user's own login.
struct Reach {
    arguments: ReachArguments,
    registries: Registries,
}

impl Reach {
    fn open(&self, repository: &Repository) -> Result<Registry> {
        let ReachArguments {
            ca, docker_config, ..
        } = &self.arguments;
        let plain = self.arguments.is_plain(repository.registry());
        let access = access_to(repository, plain, ca.as_deref(), docker_config.as_deref())?;
        self.registries.open(&access).map_err(failed)
    }
}

/// What to read of an artifact that must be named to the digest or the tag.
fn wanted(artifact: &Named) -> Result<Reference> {
    artifact.reference().ok_or_else(|| {
        Failure::usage(format!(
            "'{artifact}' names a repository only: add :TAG or @DIGEST"
        ))
    })
}

fn not_there(artifact: &Named) -> Failure {
    Failure::new(
        ExitCode::NotPromoted,
        format!("'{artifact}' is not there: look for what is, or push it first"),
    )
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err calls")]
fn failed(error: RegistryError) -> Failure {
    match error.kind() {
        ErrorKind::Denied | ErrorKind::NoCredentials => {
            let host = error.subject().split('/').next().unwrap_or_default();
            Failure::new(
                ExitCode::NotAuthorized,
                format!("{error}; log in with an account that may do this: docker login {host}"),
            )
        }
        ErrorKind::Untrusted => Failure::new(
            ExitCode::Unexpected,
            format!("{error}; name its certificate authority with --ca FILE"),
        ),
        ErrorKind::Unavailable => Failure::new(
            ExitCode::Unexpected,
            format!("{error}; the same command can be given again, and goes on from there"),
        ),
        _ => Failure::new(ExitCode::Unexpected, error.to_string()),
    }
}

fn refused(refusal: TagRefusal) -> Failure {
    match refusal {
        TagRefusal::Taken { .. } => Failure::new(
            ExitCode::TagExists,
            format!("{refusal}, and a tag is never overwritten: choose another one"),
        ),
        TagRefusal::Registry(error) => failed(error),
    }
}
