//! Folders and Secrets of a gate's Pod, and where its containers find them.

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, KeyToPath, ProjectedVolumeSource, SecretVolumeSource,
    ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::domain::gates::JobRequest;

pub(super) const ARTIFACT_DIR: &str = "/floe/artifact";
pub(super) const BIN_DIR: &str = "/floe/bin";
pub(super) const HOME_DIR: &str = "/floe/home";
pub(super) const CREDENTIALS_DIR: &str = "/floe/credentials";
pub(super) const IDENTITY_DIR: &str = "/floe/identity";
pub(super) const CA_DIR: &str = "/floe/ca";
pub(super) const REPORT_DIR: &str = "/floe/report";
pub(super) const REPORT_FILE: &str = "/floe/report/report";
pub(super) const LAYOUT_DIR: &str = "/floe/layout";
/// Credentials for the command, when the gate asks for some; those of `fetch` are never its own.
pub(super) const DOCKER_CONFIG_DIR: &str = "/floe/registry";
const DOCKER_CONFIG_VOLUME: &str = "registry";

/// How long the token in a Pod lives, in seconds. kubelet renews it.
const TOKEN_LIFE_SECONDS: i64 = 3600;

/// Folders that are empty at first: name of the volume, path, and how much may be written.
pub(super) type Folder = (&'static str, &'static str, &'static str);
/// 100 MiB of files, and what a file system adds to 10,000 small ones.
pub(super) const ARTIFACT: Folder = ("artifact", ARTIFACT_DIR, "192Mi");
pub(super) const BIN: Folder = ("bin", BIN_DIR, "16Mi");
pub(super) const TMP: Folder = ("tmp", "/tmp", "1Gi");
pub(super) const HOME: Folder = ("home", HOME_DIR, "1Gi");
pub(super) const REPORT: Folder = ("report", REPORT_DIR, "64Mi");
pub(super) const LAYOUT: Folder = ("layout", LAYOUT_DIR, "3Gi");

pub(super) fn volumes(request: &JobRequest, own_check: bool) -> Vec<Volume> {
    let mut folders = vec![ARTIFACT, TMP, HOME];
    if !own_check {
        folders.push(BIN);
    }
    if request.spec.report.is_some() {
        folders.push(REPORT);
    }
    if request.spec.layout {
        folders.push(LAYOUT);
    }
    let mut volumes: Vec<Volume> = folders
        .iter()
        .map(|(name, _, limit)| Volume {
            name: (*name).to_owned(),
            empty_dir: Some(EmptyDirVolumeSource {
                size_limit: Some(Quantity((*limit).to_owned())),
                medium: None,
            }),
            ..Volume::default()
        })
        .collect();
    if let Some(secret) = &request.credentials_secret {
        volumes.push(secret_volume(
            "credentials",
            secret,
            ".dockerconfigjson",
            "config.json",
        ));
    }
    if let Some(secret) = &request.spec.credentials_secret {
        volumes.push(secret_volume(
            DOCKER_CONFIG_VOLUME,
            secret,
            ".dockerconfigjson",
            "config.json",
        ));
    }
    if let Some(audience) = token_audience(request) {
        volumes.push(token_volume(audience));
    }
    if let Some(secret) = &request.ca_secret {
        volumes.push(secret_volume("ca", secret, "ca.crt", "ca.crt"));
    }
    volumes
}

/// One key of a Secret, as one file; its other keys are not for us.
fn secret_volume(name: &str, secret: &str, key: &str, path: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            default_mode: Some(0o440),
            items: Some(vec![KeyToPath {
                key: key.to_owned(),
                path: path.to_owned(),
                mode: None,
            }]),
            optional: Some(false),
        }),
        ..Volume::default()
    }
}

/// For whom the token of the Pod's ServiceAccount is made, when the artifact is fetched with one.
fn token_audience(request: &JobRequest) -> Option<&str> {
    let account = request.cloud_account.as_ref()?;
    account.service_account.as_ref()?;
    account.identity.token_audience()
}

/// A token of the Pod's ServiceAccount, as a file.
fn token_volume(audience: &str) -> Volume {
    Volume {
        name: "identity".to_owned(),
        projected: Some(ProjectedVolumeSource {
            default_mode: Some(0o440),
            sources: Some(vec![VolumeProjection {
                service_account_token: Some(ServiceAccountTokenProjection {
                    audience: Some(audience.to_owned()),
                    expiration_seconds: Some(TOKEN_LIFE_SECONDS),
                    path: "token".to_owned(),
                }),
                ..VolumeProjection::default()
            }]),
        }),
        ..Volume::default()
    }
}

pub(super) fn secret_mounts(request: &JobRequest) -> Vec<VolumeMount> {
    let secrets = [
        (
            request.credentials_secret.is_some(),
            "credentials",
            CREDENTIALS_DIR,
        ),
        (token_audience(request).is_some(), "identity", IDENTITY_DIR),
        (request.ca_secret.is_some(), "ca", CA_DIR),
    ];
    secrets
        .into_iter()
        .filter(|(wanted, _, _)| *wanted)
        .map(|(_, name, path)| mount(&(name, path, ""), true))
        .collect()
}

pub(super) fn mount((name, path, _): &(&str, &str, &str), read_only: bool) -> VolumeMount {
    VolumeMount {
        name: (*name).to_owned(),
        mount_path: (*path).to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

/// Where the command finds the credentials that its gate asks for.
pub(super) fn command_credentials() -> VolumeMount {
    mount(&(DOCKER_CONFIG_VOLUME, DOCKER_CONFIG_DIR, ""), true)
}
