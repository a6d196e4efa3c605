//! What is read for the comparison of tags and ledger, and records that are listed again.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use floe::domain::artifact::Digest;
use floe::domain::drift::WantedRecord;
use floe::effects::drift::{gone, named};
use floe::effects::registry::{ErrorKind, RawManifest, Registry};

use crate::double::{Lie, On, Options, RegistryDouble, referrer};
use crate::tag;

struct Rig {
    double: RegistryDouble,
    client: Registry,
    subject: RawManifest,
}

impl Rig {
    async fn start(referrers_api: bool) -> Self {
        let options = Options {
            referrers_api,
            ..Options::default()
        };
        let double = RegistryDouble::start(options).await;
        let subject = double.seed("team/app", Some("v1.2.3"), "one");
        Self {
            client: double.client(),
            double,
            subject,
        }
    }

    async fn record(&self, text: &str) -> WantedRecord {
        let repository = self.double.repository("team/app");
        let blob = text.as_bytes().to_vec();
        self.client.push_blob(&repository, blob).await.unwrap();
        let manifest = referrer(&self.subject, text);
        let subject = self.subject.digest();
        self.client
            .push_referrer(&repository, &manifest, subject)
            .await
            .unwrap();
        WantedRecord {
            tag: tag("v1.2.3-dev"),
            version: "v1.2.3".to_owned(),
            subject: subject.clone(),
            record: manifest.digest().clone(),
        }
    }

    async fn gone(&self, records: &[WantedRecord]) -> BTreeSet<Digest> {
        let repository = self.double.repository("team/app");
        gone(&self.client, &repository, records).await.unwrap()
    }

    /// Another client writes the index that it had read before.
    fn drop_from_list(&self, lost: &Digest) {
        let mut store = self.double.store();
        let key = (
            "team/app".to_owned(),
            self.subject.digest().referrers_tag().to_string(),
        );
        let index = store.tags[&key].clone();
        let (bytes, kind) = store.manifests[&("team/app".to_owned(), index)].clone();
        let mut index: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let entries = index["manifests"].as_array_mut().unwrap();
        entries.retain(|entry| entry["digest"] != lost.as_str());
        let index = RawManifest::new(index.to_string().into_bytes(), kind.parse().unwrap());
        store.put("team/app", Some(&key.1), &index);
    }

    async fn listed(&self) -> BTreeSet<Digest> {
        let repository = self.double.repository("team/app");
        let listed = self
            .client
            .referrers(&repository, self.subject.digest())
            .await;
        listed
            .unwrap()
            .into_iter()
            .map(|entry| entry.digest)
            .collect()
    }
}

#[tokio::test]
async fn tags_are_looked_up_by_one_head_each_and_one_that_is_not_there_is_nothing() {
    let rig = Rig::start(true).await;
    let repository = rig.double.repository("team/app");
    rig.double.take_requests();
    let tags = ["v1.2.3", "latest-dev"].map(tag);
    let seen = named(&rig.client, &repository, tags).await.unwrap();
    let wanted = BTreeMap::from([
        (tag("latest-dev"), None),
        (tag("v1.2.3"), Some(rig.subject.digest().clone())),
    ]);
    assert_eq!(seen, wanted);
    assert_eq!(rig.double.take_methods(), ["HEAD", "HEAD"]);
}

#[tokio::test]
async fn a_tag_on_something_that_floe_does_not_know_names_it_all_the_same() {
    let rig = Rig::start(true).await;
    let repository = rig.double.repository("team/app");
    let digest = rig.subject.digest().to_string();
    let key = ("team/app".to_owned(), digest);
    rig.double.store().manifests.get_mut(&key).unwrap().1 = "application/x-strange".to_owned();
    let seen = named(&rig.client, &repository, [tag("v1.2.3")])
        .await
        .unwrap();
    assert_eq!(seen[&tag("v1.2.3")].as_ref(), Some(rig.subject.digest()));
}

#[tokio::test]
async fn a_registry_that_fails_for_one_tag_tells_nothing_about_the_others() {
    let rig = Rig::start(true).await;
    let repository = rig.double.repository("team/app");
    rig.double.lie(
        On::next(Method::HEAD, "latest-dev").always(),
        Lie::status(503),
    );
    let tags = ["v1.2.3", "latest-dev"].map(tag);
    let error = named(&rig.client, &repository, tags).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_record_that_the_list_has_lost_is_listed_again_beside_the_others() {
    let rig = Rig::start(false).await;
    let (lost, kept) = (rig.record("lost").await, rig.record("kept").await);
    let records = [lost.clone(), kept.clone()];
    let both: BTreeSet<Digest> = records.iter().map(|one| one.record.clone()).collect();
    rig.double.take_requests();
    assert_eq!(rig.gone(&records).await, BTreeSet::new());
    let read_only = rig.double.take_methods();
    assert!(!read_only.contains(&"PUT".to_owned()), "{read_only:?}");

    rig.drop_from_list(&lost.record);
    assert_eq!(rig.listed().await, BTreeSet::from([kept.record.clone()]));

    assert_eq!(rig.gone(&records).await, BTreeSet::new());
    assert_eq!(rig.listed().await, both);
}

#[tokio::test]
async fn a_record_whose_manifest_is_not_there_is_gone_whether_it_is_listed_or_not() {
    for referrers_api in [true, false] {
        let rig = Rig::start(referrers_api).await;
        let (lost, kept) = (rig.record("lost").await, rig.record("kept").await);
        let key = ("team/app".to_owned(), lost.record.to_string());
        rig.double.store().manifests.remove(&key);
        let gone = rig.gone(&[lost.clone(), kept]).await;
        assert_eq!(gone, BTreeSet::from([lost.record]), "{referrers_api}");
    }
}
