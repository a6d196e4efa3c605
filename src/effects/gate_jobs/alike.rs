//! Whether a Pod is the one that its Job asks for.
//!
//! The Job controller adopts any Pod with the right labels. One that a stranger made could write whatever
//! result it likes, so its last word counts only when it runs what the Job's template says, and nothing else
//! can write where the template's containers read.

use std::collections::BTreeSet;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Volume, VolumeMount};

/// In what the Pod differs from the Job's template, when it does. What the cluster may add is no difference:
/// defaults, a node, tolerations, resources, a service mesh's own containers.
pub(super) fn difference(job: &Job, pod: &Pod) -> Option<String> {
    let wanted = job.spec.as_ref()?.template.spec.as_ref()?;
    let Some(found) = &pod.spec else {
        return Some("it has no specification".to_owned());
    };
    let lists = [
        (
            wanted.init_containers.as_deref(),
            found.init_containers.as_deref(),
        ),
        (
            Some(wanted.containers.as_slice()),
            Some(found.containers.as_slice()),
        ),
    ];
    for (wanted, found) in lists {
        for one in wanted.unwrap_or_default() {
            let same = found
                .unwrap_or_default()
                .iter()
                .find(|other| other.name == one.name);
            match same {
                None => return Some(format!("it has no container '{}'", one.name)),
                Some(other) if !runs_the_same(one, other) => {
                    return Some(format!("its container '{}' runs something else", one.name));
                }
                Some(_) => {}
            }
        }
    }
    let volumes = wanted.volumes.as_deref().unwrap_or_default();
    for volume in volumes {
        let same = found
            .volumes
            .iter()
            .flatten()
            .find(|other| other.name == volume.name);
        if same.is_none_or(|other| !same_source(volume, other)) {
            return Some(format!("its volume '{}' is another one", volume.name));
        }
    }
    if wanted.service_account_name.is_some()
        && wanted.service_account_name != found.service_account_name
    {
        return Some("it runs as another ServiceAccount".to_owned());
    }
    if found.share_process_namespace == Some(true) || found.host_pid == Some(true) {
        return Some("its containers see each other's processes".to_owned());
    }
    reaches_in(wanted, found, volumes)
}

fn runs_the_same(wanted: &Container, found: &Container) -> bool {
    let mounts = |container: &Container| container.volume_mounts.clone().unwrap_or_default();
    let found_mounts = mounts(found);
    wanted.image == found.image
        && wanted.command == found.command
        && wanted.args == found.args
        && wanted.env == found.env
        && wanted.env_from == found.env_from
        && wanted.working_dir == found.working_dir
        && wanted.lifecycle == found.lifecycle
        && wanted.termination_message_path == found.termination_message_path
        && mounts(wanted)
            .iter()
            .all(|mount| found_mounts.contains(mount))
        && no_mount_inside(&mounts(wanted), &found_mounts)
}

/// No further mount hides a part of what the container was to see.
fn no_mount_inside(wanted: &[VolumeMount], found: &[VolumeMount]) -> bool {
    found
        .iter()
        .filter(|mount| !wanted.contains(mount))
        .all(|extra| {
            let path = extra.mount_path.as_str();
            !path.starts_with("/floe")
                && path != "/"
                && path != "/dev"
                && path != "/dev/termination-log"
        })
}

/// The same folder, Secret or token; who may read it is for the cluster to default.
fn same_source(wanted: &Volume, found: &Volume) -> bool {
    let secret = |volume: &Volume| {
        let secret = volume.secret.as_ref()?;
        Some((secret.secret_name.clone(), secret.items.clone()))
    };
    let folder = |volume: &Volume| {
        volume
            .empty_dir
            .as_ref()
            .map(|folder| folder.medium.clone())
    };
    let token = |volume: &Volume| {
        let projected = volume.projected.as_ref()?;
        projected.sources.clone()
    };
    let known = secret(wanted).is_some() || folder(wanted).is_some() || token(wanted).is_some();
    known
        && secret(wanted) == secret(found)
        && folder(wanted) == folder(found)
        && token(wanted) == token(found)
}

/// A container that the template does not have and that mounts one of its volumes.
fn reaches_in(wanted: &PodSpec, found: &PodSpec, volumes: &[Volume]) -> Option<String> {
    let own: BTreeSet<&str> = wanted
        .init_containers
        .iter()
        .flatten()
        .chain(&wanted.containers)
        .map(|container| container.name.as_str())
        .collect();
    let added = found
        .init_containers
        .iter()
        .flatten()
        .chain(&found.containers);
    let added = added.map(|container| (&container.name, &container.volume_mounts));
    let ephemeral = || found.ephemeral_containers.iter().flatten();
    let looks_at = |name: &String| own.contains(name.as_str());
    if let Some(debugs) = ephemeral().find(|one| one.target_container_name.iter().any(looks_at)) {
        return Some(format!(
            "its container '{}' debugs another one",
            debugs.name
        ));
    }
    let ephemeral = ephemeral().map(|container| (&container.name, &container.volume_mounts));
    added
        .chain(ephemeral)
        .filter(|(name, _)| !own.contains(name.as_str()))
        .find(|(_, mounts)| {
            let mut mounts = mounts.iter().flatten();
            mounts.any(|mount| volumes.iter().any(|volume| volume.name == mount.name))
        })
        .map(|(name, _)| format!("its container '{name}' can write into the others"))
}

#[cfg(test)]
#[path = "alike_tests.rs"]
mod tests;
