//! Promotions into one environment, recorded by the code that records real ones.

use floe::api::{Intent, PlannedReplica, PolicyRef, Previous, Promotion, PromotionStatus};
use floe::domain::artifact::{Digest, Repository};
use floe::domain::plan::{Plan, Route};
use floe::domain::record::{Recorded, SigningKey, VSA_TYPE, predicate_type, statement, summary};
use floe::domain::request::Request;
use floe::effects::records::{self, Document};
use floe::effects::registry::{RawManifest, Registry};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use crate::double::{RegistryDouble, artifact};

/// Writes one promotion after the other, each with its record and its summary.
pub(crate) struct Writer<'a> {
    double: &'a RegistryDouble,
    client: Registry,
    pub(crate) repository: Repository,
    pub(crate) key: &'a SigningKey,
    pub(crate) space: &'static str,
    pub(crate) environment: &'static str,
    pub(crate) artifact: &'static str,
    /// The operator's audit log, when records name it.
    pub(crate) log: Option<&'static str>,
    pub(crate) made: Vec<Made>,
}

/// A promotion that was recorded.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) recorded: Recorded,
    pub(crate) summary: Digest,
    pub(crate) version: String,
    pub(crate) subject: RawManifest,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(double: &'a RegistryDouble, name: &str, key: &'a SigningKey) -> Self {
        Self {
            double,
            client: double.client(),
            repository: double.repository(name),
            key,
            space: "space",
            environment: "prod",
            artifact: "platform",
            log: None,
            made: Vec::new(),
        }
    }

    /// Promotes `count` more versions.
    pub(crate) async fn promote(&mut self, count: usize) {
        for _ in 0..count {
            let made = self.next("alice").await;
            self.made.push(made);
        }
    }

    /// Promotes the next version and lets its tags name it, without remembering it.
    pub(crate) async fn next(&self, by: &str) -> Made {
        let number = self.made.len() + 1;
        let version = format!("1.0.{number}");
        let (name, environment) = (self.repository.name(), self.environment);
        let tag = format!("{version}-{environment}");
        let subject = self.double.seed(name, Some(&tag), &version);
        self.double
            .store()
            .put(name, Some(&format!("latest-{environment}")), &subject);
        assert_eq!(subject.digest(), artifact(&version).digest());
        let promotion: Promotion = serde_json::from_value(json!({
            "apiVersion": "promotion.floe.dev/v1alpha1", "kind": "Promotion",
            "metadata": {
                "name": format!("p-{number}"), "namespace": self.space, "uid": format!("u-{number}-{by}"),
                "creationTimestamp": "2026-03-02T10:00:00Z",
            },
            "spec": {"version": version, "from": "staging", "to": environment, "requestedBy": by, "reason": "=release"},
        }))
        .unwrap();
        let decided: jiff::Timestamp = "2026-03-02T10:00:09Z".parse().unwrap();
        let decided = decided + jiff::SignedDuration::from_hours(i64::try_from(number).unwrap());
        let plan = Plan {
            route: Route {
                artifact: self.artifact.to_owned(),
                version: version.parse().unwrap(),
                from: Some("staging".to_owned()),
                to: environment.to_owned(),
                repository: self.repository.clone(),
                source_repository: None,
                source_tag: format!("{version}-staging").parse().unwrap(),
                tag: tag.parse().unwrap(),
                latest_tag: format!("latest-{environment}").parse().unwrap(),
            },
            digest: subject.digest().clone(),
            media_type: subject.media_type().to_string(),
            resolved_at: decided,
        };
        let status: PromotionStatus = serde_json::from_value(json!({
            "observedGeneration": 1,
            "gates": [{"name": "smoke", "type": "Tests", "outcome": "Passed", "message": "12 passed", "specHash": "x", "job": "smoke"}],
        }))
        .unwrap();
        let intent = Intent {
            decided_at: Time(decided),
            policy: PolicyRef {
                generation: 3,
                digest: Digest::of(b"policy").to_string(),
            },
            sequence: i64::try_from(number).unwrap(),
            previous: self.made.last().map(|before| Previous {
                version: before.version.clone(),
                digest: before.subject.digest().to_string(),
                record: before.recorded.record.to_string(),
                referrer: before.recorded.referrer.to_string(),
            }),
            operator_version: "0.1.0".to_owned(),
            operator_instance: "floe-0".to_owned(),
            operator_log: self.log.map(str::to_owned),
            replicas: Vec::<PlannedReplica>::new(),
        };
        let request = Request::of(&promotion);
        let record = statement(&request, &plan, &status, &intent);
        let documents = [
            Document {
                statement: record,
                predicate_type: predicate_type(environment),
            },
            Document {
                statement: summary(self.space, &plan, &status, &intent, &self.repository),
                predicate_type: VSA_TYPE.to_owned(),
            },
        ];
        let (client, repository) = (&self.client, &self.repository);
        let written = records::write(client, repository, &subject, &documents, self.key, &[]).await;
        let [record, summary] = written.unwrap().try_into().unwrap();
        Made {
            recorded: Recorded {
                record: record.record,
                referrer: record.referrer,
                sequence: intent.sequence,
                summary: None,
            },
            summary: summary.referrer,
            version,
            subject,
        }
    }
}
