//! The cluster that a command speaks with. Every request has a time limit.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::DeserializeGuard;
use kube::{Api, Client, Config, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::args::{ClusterArguments, KeysArguments};
use super::failure::{Failure, Result, causes};
use crate::api::{Abort, ArtifactSource, EnvironmentPolicy, Promotion, REQUESTER_POLICY};
use crate::cli::{ExitCode, output};
use crate::domain::artifact::Digest;
use crate::domain::record::KeyRing;
use crate::effects::keys::{self, Changed, Keys, NoKey};

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(20);
/// Objects in one page of a list.
const PAGE: u32 = 500;

/// One namespace of a cluster, seen with the user's rights.
pub(super) struct Space {
    client: Client,
    /// Name of the namespace.
    pub(super) namespace: String,
}

/// Why not all objects of a kind are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unknown {
    /// In a sentence.
    pub(super) why: String,
    /// The user may not list them.
    pub(super) denied: bool,
}

/// The client for these arguments, and the namespace that they mean.
pub(super) async fn connect(arguments: &ClusterArguments) -> Result<Space> {
    let no_access = |why: String| {
        Failure::new(
            ExitCode::Unexpected,
            format!("there is no access to a cluster: {why}"),
        )
    };
    let options = KubeConfigOptions {
        context: arguments.context.clone(),
        ..KubeConfigOptions::default()
    };
    let reading = async {
        match (&arguments.kubeconfig, &arguments.context) {
            (None, None) => Config::infer().await.map_err(|error| causes(&error)),
            (None, Some(_)) => Config::from_kubeconfig(&options)
                .await
                .map_err(|error| causes(&error)),
            (Some(path), _) => {
                let file = Kubeconfig::read_from(path).map_err(|error| causes(&error))?;
                Config::from_custom_kubeconfig(file, &options)
                    .await
                    .map_err(|error| causes(&error))
            }
        }
    };
    let config = tokio::time::timeout(LIMIT, reading)
        .await
        .map_err(|_| {
            no_access(format!(
                "the kubeconfig's login took longer than {} s",
                LIMIT.as_secs()
            ))
        })?
        .map_err(no_access)?;
    let namespace = arguments
        .namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).map_err(|error| no_access(causes(&error)))?;
    Ok(Space { client, namespace })
}

impl Space {
    /// The public keys of this namespace's records.
    pub(super) async fn public_keys(&self, keys: &KeysArguments) -> Result<KeyRing> {
        let object = self.keys_object();
        let keys = Keys::new(&keys.operator_namespace);
        let reading = keys.public(&self.client, &self.namespace);
        let found = self.limited("read", &object, reading).await?;
        found.map_err(|none| Failure::no_key("read", &object, none))
    }

    /// Gives this namespace a new key for its records.
    pub(super) async fn new_key(&self, keys: &KeysArguments) -> Result<KeyRing> {
        let renewing = keys::renew(&self.client, &keys.operator_namespace, &self.namespace);
        self.changed_keys("make", Box::pin(renewing)).await
    }

    /// Replaces the key of this namespace.
    pub(super) async fn rotate_key(&self, keys: &KeysArguments) -> Result<Changed> {
        let rotating = keys::rotate(&self.client, &keys.operator_namespace, &self.namespace);
        self.changed_keys("replace", Box::pin(rotating)).await
    }

    /// Revokes a key of this namespace.
    pub(super) async fn revoke_key(
        &self,
        keys: &KeysArguments,
        id: &Digest,
        reason: &str,
    ) -> Result<Changed> {
        let namespace = &keys.operator_namespace;
        let revoking = keys::revoke(&self.client, namespace, &self.namespace, id, reason);
        self.changed_keys("revoke", Box::pin(revoking)).await
    }

    async fn changed_keys<T>(
        &self,
        action: &'static str,
        changing: impl Future<Output = std::result::Result<T, NoKey>>,
    ) -> Result<T> {
        let object = self.keys_object();
        let changed = self.limited(action, &object, changing).await?;
        changed.map_err(|none| Failure::no_key(action, &object, none))
    }

    fn keys_object(&self) -> String {
        format!("the keys of records of namespace '{}'", self.namespace)
    }

    /// The promotions of this namespace.
    pub(super) fn promotions(&self) -> Api<Promotion> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Every readable policy; a malformed one is named on standard error.
    pub(super) async fn list_policies(&self) -> Result<Vec<EnvironmentPolicy>> {
        self.list("EnvironmentPolicies").await
    }

    /// Every readable promotion; a malformed one is named on standard error.
    pub(super) async fn list_promotions(&self) -> Result<Vec<Promotion>> {
        self.list("Promotions").await
    }

    /// The promotion of this name, when there is one.
    pub(super) async fn promotion(&self, name: &str) -> Result<Option<Promotion>> {
        let object = self.named(name);
        match self
            .limited("read", &object, self.promotions().get(name))
            .await?
        {
            Ok(promotion) => Ok(Some(promotion)),
            // Without a name in the answer it is the kind that the cluster does not know.
            Err(kube::Error::Api(status))
                if status.is_not_found()
                    && status
                        .details
                        .as_ref()
                        .is_some_and(|details| !details.name.is_empty()) =>
            {
                Ok(None)
            }
            Err(error) => Err(Failure::api("read", &object, &error)),
        }
    }

    /// The policy of this name as it is now, when there is one.
    pub(super) async fn policy(&self, name: &str) -> Result<Option<EnvironmentPolicy>> {
        let object = format!(
            "EnvironmentPolicy '{name}' in namespace '{}'",
            self.namespace
        );
        let policies: Api<EnvironmentPolicy> =
            Api::namespaced(self.client.clone(), &self.namespace);
        let found = self
            .limited("read", &object, policies.get_opt(name))
            .await?;
        found.map_err(|error| Failure::api("read", &object, &error))
    }

    /// Creates a promotion; `None` when there is one of this name already.
    pub(super) async fn create(&self, promotion: &Promotion) -> Result<Option<Promotion>> {
        let object = self.named(&promotion.name_any());
        let parameters = PostParams {
            field_manager: Some("floe-cli".to_owned()),
            ..PostParams::default()
        };
        let promotions = self.promotions();
        let creating = promotions.create(&parameters, promotion);
        let mut created = self.limited("create", &object, creating).await?;
        if matches!(&created, Err(kube::Error::Api(status)) if status.message.contains(REQUESTER_POLICY))
        {
            // Before Kubernetes 1.36 the API server does not fill in who asks, but refuses another name.
            let mut named = promotion.clone();
            named.spec.requested_by = Some(self.user().await?);
            let creating = promotions.create(&parameters, &named);
            created = self.limited("create", &object, creating).await?;
        }
        match created {
            Ok(promotion) => Ok(Some(promotion)),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(None),
            Err(error) => Err(Failure::api("create", &object, &error)),
        }
    }

    /// The objects of a kind in all namespaces; when they are not all known, why: the user may not list them, or
    /// one is malformed.
    pub(super) async fn everywhere<K>(
        &self,
        kinds: &str,
        labels: Option<&str>,
    ) -> Result<std::result::Result<Vec<K>, Unknown>>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let api: Api<DeserializeGuard<K>> = Api::all(self.client.clone());
        let object = format!("the {kinds} of all namespaces");
        let mut parameters = ListParams::default().limit(PAGE);
        parameters.label_selector = labels.map(str::to_owned);
        let mut found = Vec::new();
        loop {
            let page = match self.limited("list", &object, api.list(&parameters)).await? {
                Ok(page) => page,
                Err(kube::Error::Api(status)) if status.code == 403 => {
                    return Ok(Err(Unknown {
                        why: format!("you may not list {object}"),
                        denied: true,
                    }));
                }
                Err(error) => return Err(Failure::api("list", &object, &error)),
            };
            for guard in page.items {
                match guard.0 {
                    Ok(item) => found.push(item),
                    Err(malformed) => {
                        let meta = malformed.metadata;
                        let why = format!(
                            "{} '{}/{}' is malformed: {}",
                            K::kind(&()),
                            meta.namespace.as_deref().unwrap_or_default(),
                            meta.name.as_deref().unwrap_or_default(),
                            malformed.error
                        );
                        return Ok(Err(Unknown { why, denied: false }));
                    }
                }
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(&token),
                None => return Ok(Ok(found)),
            }
        }
    }

    /// Writes into a policy which records count as the newest, when nobody has changed it meanwhile.
    pub(super) async fn accept_records(
        &self,
        policy: &EnvironmentPolicy,
        artifacts: &[ArtifactSource],
    ) -> Result<()> {
        let name = policy.name_any();
        let object = format!("the EnvironmentPolicy '{}/{name}'", self.namespace);
        let parameters = PatchParams {
            field_manager: Some("floe-cli".to_owned()),
            ..PatchParams::default()
        };
        let version = &policy.metadata.resource_version;
        let patch = json!({ "metadata": { "resourceVersion": version }, "spec": { "artifacts": artifacts } });
        let policies: Api<EnvironmentPolicy> =
            Api::namespaced(self.client.clone(), &self.namespace);
        let patch = Patch::Merge(patch);
        self.limited(
            "change",
            &object,
            policies.patch(&name, &parameters, &patch),
        )
        .await?
        .map_err(|error| Failure::api("change", &object, &error))?;
        Ok(())
    }

    /// Writes into a promotion who stops it, and why.
    pub(super) async fn abort(&self, name: &str, abort: &Abort) -> Result<Promotion> {
        let object = self.named(name);
        let parameters = PatchParams {
            field_manager: Some("floe-cli".to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(json!({ "spec": { "abort": abort } }));
        let promotions = self.promotions();
        self.limited(
            "abort",
            &object,
            promotions.patch(name, &parameters, &patch),
        )
        .await?
        .map_err(|error| Failure::api("abort", &object, &error))
    }

    /// The user's own name, as the API server knows it.
    pub(super) async fn user(&self) -> Result<String> {
        let (action, object) = ("ask the API server for", "your user name");
        let reviews: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let parameters = PostParams::default();
        let question = SelfSubjectReview::default();
        let review = self
            .limited(action, object, reviews.create(&parameters, &question))
            .await?
            .map_err(|error| Failure::api(action, object, &error))?;
        review
            .status
            .and_then(|status| status.user_info?.username)
            .filter(|name| !name.is_empty())
            .ok_or_else(|| {
                Failure::new(
                    ExitCode::NotAuthorized,
                    "the API server does not know you: log in",
                )
            })
    }

    /// `Promotion 'name' in namespace 'space'`.
    pub(super) fn named(&self, name: &str) -> String {
        format!("Promotion '{name}' in namespace '{}'", self.namespace)
    }

    async fn list<K>(&self, kinds: &str) -> Result<Vec<K>>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned,
    {
        let api: Api<DeserializeGuard<K>> = Api::namespaced(self.client.clone(), &self.namespace);
        let object = format!("the {kinds} of namespace '{}'", self.namespace);
        let mut parameters = ListParams::default().limit(PAGE);
        let mut found = Vec::new();
        loop {
            let page = self
                .limited("list", &object, api.list(&parameters))
                .await?
                .map_err(|error| Failure::api("list", &object, &error))?;
            for guard in page.items {
                match guard.0 {
                    Ok(item) => found.push(item),
                    Err(malformed) => output::note(&format!(
                        "note: {} '{}' is malformed and left out: {}",
                        K::kind(&()),
                        malformed.metadata.name.as_deref().unwrap_or_default(),
                        malformed.error
                    )),
                }
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(&token),
                None => return Ok(found),
            }
        }
    }

    /// Waits for an answer, within the time limit of one request.
    async fn limited<T>(
        &self,
        action: &str,
        object: &str,
        request: impl Future<Output = T>,
    ) -> Result<T> {
        tokio::time::timeout(LIMIT, request)
            .await
            .map_err(|_| Failure::too_slow(action, object, LIMIT.as_secs()))
    }
}
