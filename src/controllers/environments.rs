//! Policies in the cache, as checked environments.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use kube::runtime::reflector::Store;

use super::context::Guarded;
use crate::api::EnvironmentPolicy;
use crate::domain::policy::{Environments, conflicts, problem_of_rules};

/// The environments of a namespace, as the watch shows them.
pub(super) fn cached(store: &Store<Guarded<EnvironmentPolicy>>, space: &str) -> Environments {
    let all = readable(store);
    let here: Vec<&EnvironmentPolicy> = all
        .iter()
        .filter(|policy| policy.namespace().as_deref() == Some(space))
        .collect();
    Environments::of(&here, &problems(&all, space))
}

/// The environments of a namespace from its policies as they were just read; policies of other namespaces
/// are as the watch shows them.
pub(super) fn fresh(
    store: &Store<Guarded<EnvironmentPolicy>>,
    space: &str,
    policies: Vec<EnvironmentPolicy>,
) -> Environments {
    let mut all = readable(store);
    all.retain(|policy| policy.namespace().as_deref() != Some(space));
    let elsewhere = all.len();
    all.extend(policies);
    let problems = problems(&all, space);
    Environments::of(&all[elsewhere..].iter().collect::<Vec<_>>(), &problems)
}

/// Why a policy loses to an older one, when it does.
pub(super) fn conflict_of(
    store: &Store<Guarded<EnvironmentPolicy>>,
    space: &str,
    name: &str,
) -> Option<String> {
    lost(&readable(store), space).remove(name)
}

/// What is wrong with policies of the namespace beyond what each of them says by itself.
fn problems(all: &[EnvironmentPolicy], space: &str) -> BTreeMap<String, String> {
    let here = all
        .iter()
        .filter(|policy| policy.namespace().as_deref() == Some(space));
    let rules = here.filter_map(|policy| Some((policy.name_any(), problem_of_rules(policy)?)));
    lost(all, space).into_iter().chain(rules).collect()
}

fn lost(all: &[EnvironmentPolicy], space: &str) -> BTreeMap<String, String> {
    conflicts(&all.iter().collect::<Vec<_>>())
        .into_iter()
        .filter(|((namespace, _), _)| namespace == space)
        .map(|((_, name), sentence)| (name, sentence))
        .collect()
}

fn readable(store: &Store<Guarded<EnvironmentPolicy>>) -> Vec<EnvironmentPolicy> {
    store
        .state()
        .iter()
        .filter_map(|guard| guard.0.as_ref().ok().cloned())
        .collect()
}
