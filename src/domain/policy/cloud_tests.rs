use super::*;

fn annotations(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn a_registry_of_ecr_says_where_its_services_are() {
    for (host, sts, ecr) in [
        (
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            "https://sts.eu-west-1.amazonaws.com",
            "https://api.ecr.eu-west-1.amazonaws.com",
        ),
        (
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
            "https://sts.cn-north-1.amazonaws.com.cn",
            "https://api.ecr.cn-north-1.amazonaws.com.cn",
        ),
        (
            "123456789012.dkr.ecr-fips.us-east-2.amazonaws.com",
            "https://sts-fips.us-east-2.amazonaws.com",
            "https://ecr-fips.us-east-2.amazonaws.com",
        ),
        (
            "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
            "https://sts.us-gov-west-1.amazonaws.com",
            "https://ecr-fips.us-gov-west-1.amazonaws.com",
        ),
        (
            "123456789012.dkr-ecr.eu-west-1.on.aws",
            "https://sts.eu-west-1.amazonaws.com",
            "https://api.ecr.eu-west-1.amazonaws.com",
        ),
        (
            "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu",
            "https://sts.eusc-de-east-1.amazonaws.eu",
            "https://api.ecr.eusc-de-east-1.amazonaws.eu",
        ),
    ] {
        let Ok(CloudRegistry::Ecr(region)) = registry_of(CloudProvider::Ecr, host) else {
            panic!("{host} is a registry of ECR");
        };
        assert_eq!(Service::Sts(region.clone()).address(), sts);
        assert_eq!(Service::Ecr(region).address(), ecr);
    }
}

#[test]
fn a_host_of_somebody_else_is_no_registry_of_the_provider() {
    for (provider, host) in [
        (CloudProvider::Ecr, "ghcr.io"),
        (CloudProvider::Ecr, "public.ecr.aws"),
        (CloudProvider::Ecr, "12.dkr.ecr.eu-west-1.amazonaws.com"),
        (
            CloudProvider::Ecr,
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example",
        ),
        (
            CloudProvider::Ecr,
            "123456789012.dkr.ecr.evil.example/x.amazonaws.com",
        ),
        (
            CloudProvider::Ecr,
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com:8443",
        ),
        (CloudProvider::Ecr, "123456789012.dkr.ecr..amazonaws.com"),
        (CloudProvider::Gar, "docker.pkg.dev.evil.example"),
        (CloudProvider::Gar, "evilgcr.io"),
        (CloudProvider::Acr, "azurecr.io"),
        (CloudProvider::Acr, ".azurecr.io"),
        (CloudProvider::Acr, "team.azurecr.io.evil.example"),
    ] {
        let error = registry_of(provider, host).unwrap_err();
        assert!(
            error.contains(host) && error.contains("are called"),
            "{error}"
        );
    }
    for (provider, host) in [
        (CloudProvider::Gar, "europe-west1-docker.pkg.dev"),
        (CloudProvider::Gar, "eu.gcr.io"),
        (CloudProvider::Acr, "team.azurecr.io"),
        (CloudProvider::Acr, "team.azurecr.cn"),
    ] {
        assert!(registry_of(provider, host).is_ok(), "{host}");
    }
}

#[test]
fn annotations_say_who_a_service_account_is() {
    let role = "arn:aws-cn:iam::123456789012:role/path/floe";
    let found = Identity::of(CloudProvider::Ecr, &annotations(&[(AWS_ROLE, role)]), None);
    let found = found.unwrap();
    assert_eq!(
        found,
        Identity::Role {
            arn: role.to_owned()
        }
    );
    assert_eq!(found.token_audience(), Some("sts.amazonaws.com"));

    let names = annotations(&[(AZURE_CLIENT, "c-1"), (AZURE_TENANT, "t-1")]);
    let found = Identity::of(CloudProvider::Acr, &names, None).unwrap();
    assert_eq!(found.token_audience(), Some("api://AzureADTokenExchange"));

    let provider = "projects/12/locations/global/workloadIdentityPools/pool/providers/kind";
    let account = "floe@team.iam.gserviceaccount.com";
    let names = annotations(&[(GCP_PROVIDER, provider), (GCP_ACCOUNT, account)]);
    assert!(!Identity::needs_cluster(CloudProvider::Gar, &names));
    let found = Identity::of(CloudProvider::Gar, &names, None).unwrap();
    let wanted = Identity::Principal {
        token_audience: format!("https://iam.googleapis.com/{provider}"),
        pool: format!("//iam.googleapis.com/{provider}"),
        account: Some(account.to_owned()),
    };
    assert_eq!(found, wanted);

    let cluster = GkeCluster {
        project: "team".to_owned(),
        location: "europe-west1".to_owned(),
        name: "main".to_owned(),
    };
    let names = annotations(&[]);
    assert!(Identity::needs_cluster(CloudProvider::Gar, &names));
    let found = Identity::of(CloudProvider::Gar, &names, Some(&cluster)).unwrap();
    let wanted = Identity::Principal {
        token_audience: "team.svc.id.goog".to_owned(),
        pool: "identitynamespace:team.svc.id.goog:https://container.googleapis.com/v1/projects/team/locations/europe-west1/clusters/main".to_owned(),
        account: None,
    };
    assert_eq!(found, wanted);
}

#[test]
fn an_annotation_that_is_missing_or_malformed_is_named() {
    for (provider, list, words) in [
        (CloudProvider::Ecr, vec![], AWS_ROLE),
        (CloudProvider::Ecr, vec![(AWS_ROLE, "floe")], AWS_ROLE),
        (
            CloudProvider::Ecr,
            vec![(AWS_ROLE, "arn:aws:iam::123456789012:user/floe")],
            AWS_ROLE,
        ),
        (
            CloudProvider::Ecr,
            vec![(AWS_ROLE, "arn:aws:iam::123456789012:role/a&Action=b")],
            AWS_ROLE,
        ),
        (CloudProvider::Acr, vec![(AZURE_TENANT, "t")], AZURE_CLIENT),
        (CloudProvider::Acr, vec![(AZURE_CLIENT, "c")], AZURE_TENANT),
        (
            CloudProvider::Acr,
            vec![(AZURE_CLIENT, "c"), (AZURE_TENANT, "../t")],
            AZURE_TENANT,
        ),
        (CloudProvider::Gar, vec![], GCP_PROVIDER),
        (
            CloudProvider::Gar,
            vec![(GCP_PROVIDER, "projects/12")],
            GCP_PROVIDER,
        ),
        (
            CloudProvider::Gar,
            vec![(GCP_ACCOUNT, "x/../y@evil.example")],
            GCP_ACCOUNT,
        ),
    ] {
        let error = Identity::of(provider, &annotations(&list), None).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn only_what_is_on_the_node_is_link_local() {
    let region = AwsRegion {
        name: "eu-west-1".to_owned(),
        suffix: "amazonaws.com",
        fips: false,
    };
    for service in [
        Service::Sts(region.clone()),
        Service::Ecr(region),
        Service::InstanceMetadata,
        Service::PodIdentity,
        Service::GoogleSts,
        Service::GoogleIam,
        Service::GoogleMetadata,
        Service::Entra(AzureCloud::Public),
        Service::Entra(AzureCloud::China),
        Service::Entra(AzureCloud::Government),
        Service::AcrExchange("team.azurecr.io".to_owned()),
    ] {
        let address = service.address();
        assert_eq!(
            address.starts_with("http://169.254."),
            service.is_on_the_node(),
            "{address}"
        );
        assert_eq!(
            address.starts_with("https://"),
            !service.is_on_the_node(),
            "{address}"
        );
    }
}

#[test]
fn a_policy_with_an_identity_for_the_registry_of_somebody_else_cannot_be_used() {
    let policy = |repository: &str| -> Option<String> {
        let policy = serde_json::from_value(serde_json::json!({
            "apiVersion": "promotion.floe.dev/v1alpha1", "kind": "EnvironmentPolicy", "metadata": {"name": "dev"},
            "spec": {"artifacts": [{"name": "app", "repository": repository,
                "credentials": {"workloadIdentity": {"provider": "ECR"}}}]},
        }));
        crate::domain::policy::Environment::of(&policy.unwrap()).problem
    };
    let problem = policy("ghcr.io/team/app").unwrap();
    assert!(
        problem.contains("artifact 'app'") && problem.contains("'ghcr.io'"),
        "{problem}"
    );
    assert_eq!(
        policy("123456789012.dkr.ecr.eu-west-1.amazonaws.com/app"),
        None
    );
}
