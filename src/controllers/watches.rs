//! The watches: each fills a cache and names the objects that have to be looked at again.

use std::fmt::Debug;

use futures::channel::mpsc::UnboundedSender;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::context::Guarded;
use crate::api::{ANNOTATION_REQUEST, EnvironmentPolicy, Promotion};

/// Where triggers for a controller are sent.
pub(super) type Triggers<K> = UnboundedSender<ObjectRef<Guarded<K>>>;

/// Starts a watch that fills a cache and calls `touched` for each object that came, changed or went.
pub(super) fn start<K>(
    api: Api<K>,
    config: watcher::Config,
    touched: impl Fn(&K) + Send + 'static,
) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let events = watcher(api, config)
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .inspect_err(
            |error| tracing::warn!(%error, kind = %K::kind(&()), "the watch was interrupted"),
        );
    tokio::spawn(events.for_each(move |event| {
        match event {
            Ok(
                watcher::Event::Apply(object)
                | watcher::Event::Delete(object)
                | watcher::Event::InitApply(object),
            ) => {
                touched(&object);
            }
            Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => {}
        }
        futures::future::ready(())
    }));
    store
}

/// The promotion that a gate's Job or Pod belongs to.
pub(super) fn request_of<K: Resource>(object: &K) -> Option<ObjectRef<Guarded<Promotion>>> {
    let name = object.annotations().get(ANNOTATION_REQUEST)?;
    Some(ObjectRef::new(name).within(&object.namespace()?))
}

/// Sends triggers; a controller that has stopped needs none.
pub(super) fn trigger<K>(
    triggers: &Triggers<K>,
    objects: impl IntoIterator<Item = ObjectRef<Guarded<K>>>,
) where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    for object in objects {
        let _ = triggers.unbounded_send(object);
    }
}

/// The promotions that wait in a policy's namespace.
pub(super) fn promotions_of(
    policy: &Guarded<EnvironmentPolicy>,
    promotions: &Store<Guarded<Promotion>>,
) -> Vec<ObjectRef<Guarded<Promotion>>> {
    let space = policy.namespace();
    promotions
        .state_filter(|promotion| promotion.namespace() == space)
        .iter()
        .map(|promotion| ObjectRef::from_obj(promotion.as_ref()))
        .collect()
}
