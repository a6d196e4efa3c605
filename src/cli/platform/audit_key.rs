//! `floe platform audit key`: the keys that sign the records of a namespace.

use serde::Serialize;

use super::args::AuditKeyArguments;
use super::cluster::Space;
use super::failure::{Failure, Result};
use super::present::{Present, present, table};
use crate::cli::{ExitCode, output};
use crate::domain::record::KeyRing;
use crate::effects::keys::{self, Keys, NoKey};

/// The answer of the command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct AuditKeys {
    namespace: String,
    keys: Vec<AuditKey>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct AuditKey {
    /// SHA-256 of the key.
    id: String,
    /// Records are signed with it now.
    current: bool,
    /// PEM.
    public_key: String,
}

/// Runs the command.
pub(super) async fn run(space: &Space, arguments: &AuditKeyArguments) -> Result<ExitCode> {
    let (operator, name) = (&arguments.operator_namespace, &space.namespace);
    let client = space.client();
    let ring = if arguments.new {
        let made = keys::renew(client, operator, name);
        space.limited("make", &object(name), made).await?
    } else {
        let keys = Keys::new(operator);
        let read = keys.public(client, name);
        space.limited("read", &object(name), read).await?
    };
    let ring = ring.map_err(|none| failure(name, none))?;
    if ring.keys().is_empty() {
        return Err(Failure::new(
            ExitCode::Unexpected,
            format!(
                "namespace '{name}' has no key yet, as far as namespace '{operator}' knows: it gets one with its \
                 first promotion (is the operator elsewhere? --operator-namespace)"
            ),
        ));
    }
    if arguments.pem {
        return Ok(output::text(&ring.keys()[0].to_pem()));
    }
    Ok(present(
        &AuditKeys::of(name, &ring),
        arguments.output.format,
    ))
}

fn object(namespace: &str) -> String {
    format!("the keys of namespace '{namespace}'")
}

fn failure(namespace: &str, none: NoKey) -> Failure {
    match none {
        NoKey::Missing(why) => Failure::new(ExitCode::Unexpected, why),
        NoKey::Api { source, .. } => Failure::api("read or write", &object(namespace), &source),
    }
}

impl AuditKeys {
    fn of(namespace: &str, ring: &KeyRing) -> Self {
        let keys = ring.keys().iter().enumerate().map(|(at, key)| AuditKey {
            id: key.id().to_string(),
            current: at == 0,
            public_key: key.to_pem(),
        });
        Self {
            namespace: namespace.to_owned(),
            keys: keys.collect(),
        }
    }
}

impl Present for AuditKeys {
    fn text(&self, wide: bool) -> String {
        let rows = self.keys.iter().map(|key| {
            let state = if key.current { "current" } else { "former" };
            vec![key.id.clone(), state.to_owned()]
        });
        let mut text = table(&["KEY", "STATE"], rows.collect());
        if wide {
            for key in &self.keys {
                text.push('\n');
                text.push_str(&key.public_key);
            }
        }
        text
    }

    fn names(&self) -> Vec<String> {
        self.keys.iter().map(|key| key.id.clone()).collect()
    }
}
