//! Logins for identities of clouds, against doubles of the clouds.

#[path = "../../support/cloud/mod.rs"]
mod clouds;
mod refusals;
mod renewal;

use floe::api::{self, CloudProvider, WorkloadIdentity};
use floe::domain::policy::cloud::{
    AWS_ROLE, AZURE_CLIENT, AZURE_TENANT, GCP_ACCOUNT, GCP_PROVIDER,
};
use floe::effects::cloud::{Cloud, OwnIdentity};
use floe::effects::credentials::{Credentials, NoAccess, Place};
use floe::effects::registry::{Access, Reference, Registry, RegistryError};

use crate::double::{Auth, Options, RegistryDouble};
use crate::tag;
use clouds::{ACCOUNT, CLIENT, CloudDouble, POOL, ROLE, TENANT};

const ALL: [CloudProvider; 3] = [CloudProvider::Ecr, CloudProvider::Gar, CloudProvider::Acr];

const ECR: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app";
const GAR: &str = "europe-west1-docker.pkg.dev/team/app";
const ACR: &str = "team.azurecr.io/team/app";

#[tokio::test]
async fn a_service_account_logs_in_at_the_registry_of_each_cloud() {
    for provider in ALL {
        let world = World::start(provider, None).await;
        let client = world.client().await;
        assert_eq!(world.read(&client).await, Ok(true), "{provider:?}");
        let account = "/api/v1/namespaces/team/serviceaccounts/pusher";
        let mut wanted = vec![format!("GET {account}"), format!("POST {account}/token")];
        wanted.extend(
            match provider {
                CloudProvider::Ecr => vec!["POST /sts/", "POST /ecr/"],
                CloudProvider::Gar => vec!["POST /google-sts/v1/token"],
                CloudProvider::Acr => vec![
                    "POST /entra/7e6c0000-0000-4000-8000-000000000001/oauth2/v2.0/token",
                    "POST /acr/oauth2/exchange",
                ],
            }
            .into_iter()
            .map(str::to_owned),
        );
        assert_eq!(world.clouds.take_log(), wanted);
        assert_eq!(world.read(&world.client().await).await, Ok(true));
        assert_eq!(
            world.clouds.take_log(),
            [""; 0],
            "{provider:?}: all is kept"
        );
    }
}

#[tokio::test]
async fn a_principal_of_google_becomes_the_account_that_the_annotation_names() {
    let world = World::start(CloudProvider::Gar, None).await;
    world
        .clouds
        .annotate(&[(GCP_PROVIDER, POOL), (GCP_ACCOUNT, ACCOUNT)]);
    assert_eq!(world.read(&world.client().await).await, Ok(true));
    let iam =
        format!("POST /google-iam/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken");
    assert_eq!(world.clouds.take_log().last(), Some(&iam));
}

#[tokio::test]
async fn in_a_gke_cluster_the_node_says_which_pool_it_is() {
    let world = World::start(CloudProvider::Gar, None).await;
    world.clouds.annotate(&[]);
    assert_eq!(world.read(&world.client().await).await, Ok(true));
    let asked = world.clouds.take_log();
    let of_node = |log: &[String]| {
        log.iter()
            .filter(|line| line.contains("google-metadata"))
            .count()
    };
    assert_eq!(of_node(&asked), 3);
    world.credentials.forget("team");
    assert_eq!(world.read(&world.client().await).await, Ok(true));
    assert_eq!(of_node(&world.clouds.take_log()), 0, "asked once");
}

#[tokio::test]
async fn the_operators_own_identity_is_that_of_its_pod_or_of_the_node() {
    let folder = tempfile::tempdir().unwrap();
    let file = |world: &World, audience: &str| {
        let path = folder.path().join(audience.replace('/', "_"));
        std::fs::write(&path, world.clouds.token(audience) + "\n").unwrap();
        path
    };
    for (provider, wanted) in [
        (
            CloudProvider::Ecr,
            "GET /imds/latest/meta-data/iam/security-credentials/node-role",
        ),
        (
            CloudProvider::Gar,
            "GET /google-metadata/computeMetadata/v1/instance/service-accounts/default/token",
        ),
    ] {
        let world = World::start(provider, Some(OwnIdentity::default())).await;
        let client = Registry::new(&world.access(None).await.unwrap()).unwrap();
        assert_eq!(world.read(&client).await, Ok(true));
        assert!(world.clouds.take_log().contains(&wanted.to_owned()));
    }
    for (provider, audience, wanted) in [
        (CloudProvider::Ecr, "sts.amazonaws.com", "POST /sts/"),
        (
            CloudProvider::Ecr,
            "pods.eks.amazonaws.com",
            "GET /pods/v1/credentials",
        ),
        (
            CloudProvider::Acr,
            "api://AzureADTokenExchange",
            "POST /acr/oauth2/exchange",
        ),
    ] {
        let mut world = World::start(provider, Some(OwnIdentity::default())).await;
        let path = file(&world, audience);
        let own = match audience {
            "sts.amazonaws.com" => OwnIdentity {
                aws_role: Some((ROLE.to_owned(), path)),
                ..OwnIdentity::default()
            },
            "pods.eks.amazonaws.com" => OwnIdentity {
                aws_pod_token: Some(path),
                ..OwnIdentity::default()
            },
            _ => OwnIdentity {
                azure: Some((TENANT.to_owned(), CLIENT.to_owned(), path)),
                ..OwnIdentity::default()
            },
        };
        let cloud = Cloud::new(world.clouds.endpoints(), own).unwrap();
        world.credentials = Credentials::new(cloud, true);
        let client = Registry::new(&world.access(None).await.unwrap()).unwrap();
        assert_eq!(world.read(&client).await, Ok(true), "{audience}");
        assert!(
            world.clouds.take_log().contains(&wanted.to_owned()),
            "{wanted}"
        );
    }
}

#[tokio::test]
async fn the_operators_own_identity_is_lent_only_where_the_operator_was_told_to() {
    let world = World::start(CloudProvider::Ecr, None).await;
    let error = world.access(None).await.unwrap_err();
    let NoAccess::Missing(why) = error else {
        panic!("{error}");
    };
    assert!(why.contains("--allow-own-identity"), "{why}");
    assert_eq!(world.clouds.take_log(), [""; 0]);
}

/// What each cloud needs to know of a ServiceAccount.
fn annotations(provider: CloudProvider) -> Vec<(&'static str, &'static str)> {
    match provider {
        CloudProvider::Ecr => vec![(AWS_ROLE, ROLE)],
        CloudProvider::Gar => vec![(GCP_PROVIDER, POOL)],
        CloudProvider::Acr => vec![(AZURE_CLIENT, CLIENT), (AZURE_TENANT, TENANT)],
    }
}

/// A registry that takes the logins that the clouds give, and an operator between them.
struct World {
    clouds: CloudDouble,
    registry: RegistryDouble,
    credentials: Credentials,
    provider: CloudProvider,
}

impl World {
    async fn start(provider: CloudProvider, own: Option<OwnIdentity>) -> Self {
        let clouds = CloudDouble::start().await;
        clouds.annotate(&annotations(provider));
        let auth = if provider == CloudProvider::Ecr {
            Auth::Basic
        } else {
            Auth::Bearer
        };
        let registry = RegistryDouble::start(Options {
            auth,
            ..Options::default()
        })
        .await;
        registry.seed("team/app", Some("v1.2.3"), "one");
        registry.store().login = clouds.state().login.clone();
        let lends = own.is_some();
        let cloud = Cloud::new(clouds.endpoints(), own.unwrap_or_default()).unwrap();
        Self {
            clouds,
            registry,
            credentials: Credentials::new(cloud, lends),
            provider,
        }
    }

    /// Access as the operator gets it for a policy, led to the double of the registry.
    async fn access(&self, service_account: Option<&str>) -> Result<Access, NoAccess> {
        let repository = match self.provider {
            CloudProvider::Ecr => ECR,
            CloudProvider::Gar => GAR,
            CloudProvider::Acr => ACR,
        };
        let credentials = api::Credentials {
            secret_name: None,
            workload_identity: Some(WorkloadIdentity {
                provider: self.provider,
                service_account_name: service_account.map(str::to_owned),
            }),
        };
        let place = Place {
            repository: &repository.parse().unwrap(),
            credentials: Some(&credentials),
            ca_secret_name: None,
            plain_http: false,
        };
        let client = self.clouds.api_server();
        let access = self.credentials.access(&client, "team", place).await?;
        Ok(Access {
            credentials: access.credentials,
            ..self.registry.access()
        })
    }

    async fn client(&self) -> Registry {
        Registry::new(&self.access(Some("pusher")).await.unwrap()).unwrap()
    }

    async fn read(&self, client: &Registry) -> Result<bool, RegistryError> {
        let reference = Reference::Tag(tag("v1.2.3"));
        let repository = self.registry.repository("team/app");
        let read = client.get_manifest(&repository, &reference).await;
        read.map(|found| found.is_some())
    }

    /// The login that the registry has taken runs out, and it takes no other until the clouds give one.
    fn expire(&self) {
        self.clouds.state().let_in("nobody", "expired");
        self.registry.store().tokens.clear();
    }

    /// Text in which nothing may be seen that the clouds have given.
    fn assert_clean(&self, text: &str) {
        for secret in &self.clouds.state().secrets {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
