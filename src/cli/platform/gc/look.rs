//! What a plan is made from: the tags of a repository, and everybody in the cluster who may use them.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;

use super::Target;
use crate::api::{EnvironmentPolicy, LABEL_CONSUMER, Promotion};
use crate::cli::platform::cluster::{Space, Unknown};
use crate::cli::platform::failure::Result;
use crate::domain::retention::{CONSUMER_FILE, Facts, Pins, places, unfinished};
use crate::effects::cleanup;
use crate::effects::clock;
use crate::effects::registry::Registry;

/// How much of the cluster could be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cluster {
    users: Option<String>,
    pins: Option<String>,
    /// Something may not be listed.
    pub(super) denied: bool,
}

impl Cluster {
    /// What is not known, and what is kept because of that.
    pub(super) fn unknown(&self) -> impl Iterator<Item = String> {
        let users = self.users.iter().map(|why| {
            format!("{why}, so bare tags and manifests stay: other namespaces may use them")
        });
        let pins = self
            .pins
            .iter()
            .map(|why| format!("{why}, so all versions stay: a consumer may use any of them"));
        users.chain(pins)
    }

    fn note(&mut self, unknown: Unknown) -> String {
        self.denied |= unknown.denied;
        unknown.why
    }
}

/// Reads the tags first: they take longest, and what the cluster says must not be old by then.
pub(super) async fn look(
    space: &Space,
    registry: &Registry,
    target: &Target,
) -> Result<(Facts, Cluster)> {
    let repository = &target.repository;
    let tags = cleanup::tags(registry, repository).await?;
    let mut cluster = Cluster::default();
    let policies: Vec<EnvironmentPolicy> =
        match space.everywhere("EnvironmentPolicies", None).await? {
            Ok(policies) => policies,
            Err(unknown) => {
                cluster.users = Some(cluster.note(unknown));
                space.list_policies().await?
            }
        };
    let promotions: Vec<Promotion> = match space.everywhere("Promotions", None).await? {
        Ok(promotions) => promotions,
        Err(unknown) => {
            let why = cluster.note(unknown);
            cluster.users.get_or_insert(why);
            space.list_promotions().await?
        }
    };
    let pins = pins(space, &mut cluster).await?;
    cluster.pins.clone_from(&pins.unknown);
    let chosen = |environment: &str, artifact: &str| {
        let key = (environment.to_owned(), artifact.to_owned());
        target.chosen.contains(&key)
    };
    let places = places(&policies, repository, &space.namespace, chosen);
    let facts = Facts {
        now: clock::now(),
        tags,
        unfinished: unfinished(&promotions, &places, repository, &space.namespace),
        places,
        pins,
        cluster_unknown: cluster.users.clone(),
        ..Facts::default()
    };
    Ok((facts, cluster))
}

async fn pins(space: &Space, cluster: &mut Cluster) -> Result<Pins> {
    let mut pins = Pins::default();
    let kinds = format!("ConfigMaps with the label {LABEL_CONSUMER}");
    match space
        .everywhere::<ConfigMap>(&kinds, Some(LABEL_CONSUMER))
        .await?
    {
        Ok(maps) => {
            for map in maps {
                let name = format!("{}/{}", map.namespace().unwrap_or_default(), map.name_any());
                let file = map.data.as_ref().and_then(|data| data.get(CONSUMER_FILE));
                pins.add(&name, file.map(String::as_str));
            }
        }
        Err(unknown) => pins.unknown = Some(cluster.note(unknown)),
    }
    Ok(pins)
}
