//! What gets a clear refusal, with nothing written.

pub mod credentials;
pub mod gates;
pub mod hostile;
pub mod objects;
pub mod registry;
pub mod way;

use std::collections::BTreeMap;

use floe::api::Promotion;
use serde_json::{Value, json};

use crate::harness::Rig;
use crate::proxy::{Class, Server, count};
use crate::registries::Kind;
use crate::wait::seconds;
use crate::world::{World, condition, message, reason, stage};

/// A world with environments and an operator at work, and what its registry held before the refusal.
pub struct Refusal {
    pub world: World,
    tags: BTreeMap<String, String>,
    mark: usize,
}

impl Refusal {
    /// One environment `dev`, v1.0.0 published.
    pub async fn in_dev(rig: &Rig, policy: Value) -> Self {
        let world = World::new(rig, Kind::Referrers).await;
        world.policy("dev", policy).await;
        world.operator("one").await;
        world.policy_ready("dev").await;
        world.repository.publish("v1.0.0", "first").await;
        Self::from(world).await
    }

    /// From now on nothing may be written.
    pub async fn from(world: World) -> Self {
        let tags = world.repository.tag_map().await;
        let mark = world.proxy.trace.mark();
        Self { world, tags, mark }
    }

    /// The promotion waits for this reason, with a message that has these words.
    pub async fn waits(&self, name: &str, wanted: &str, words: &[&str]) -> Promotion {
        let promotion = self.world.waits(name, wanted).await;
        assert_eq!(reason(&promotion), wanted);
        let conditions = &promotion
            .status
            .as_ref()
            .expect("it has a status")
            .conditions;
        let kstatus = ["Ready", "Reconciling", "Stalled"].map(|one| condition(conditions, one));
        assert_eq!(
            kstatus,
            ["False", "True", "False"],
            "of a promotion that waits"
        );
        Self::says(&promotion, words);
        self.nothing_written().await;
        promotion
    }

    /// The promotion has failed for this reason, with a message that has these words.
    pub async fn fails(&self, name: &str, wanted: &str, words: &[&str]) -> Promotion {
        let promotion = self.world.ended(name).await;
        assert_eq!(
            (stage(&promotion).as_str(), reason(&promotion).as_str()),
            ("Failed", wanted),
            "{}",
            message(&promotion)
        );
        let conditions = &promotion
            .status
            .as_ref()
            .expect("it has a status")
            .conditions;
        let kstatus =
            ["Ready", "Reconciling", "Stalled", "Succeeded"].map(|one| condition(conditions, one));
        assert_eq!(
            kstatus,
            ["False", "False", "True", "False"],
            "of a promotion that failed"
        );
        Self::says(&promotion, words);
        self.nothing_written().await;
        let policies = self
            .world
            .policies()
            .list(&kube::api::ListParams::default())
            .await
            .expect("list policies");
        for artifact in policies
            .items
            .iter()
            .flat_map(|policy| &policy.status)
            .flat_map(|status| &status.artifacts)
        {
            assert!(
                artifact.in_flight.is_none(),
                "a promotion that failed holds a claim: {:?}",
                artifact.in_flight
            );
        }
        promotion
    }

    /// It waits, and after this many minutes it fails; both with messages that have these words.
    pub async fn waits_then_fails(&self, name: &str, wanted: &str, minutes: i64, words: &[&str]) {
        self.waits(name, wanted, words).await;
        self.world.waited(name, minutes - 1).await;
        self.world
            .proxy
            .trace
            .until_quiet(seconds(1), seconds(20))
            .await;
        assert_eq!(
            stage_of(&self.world, name).await,
            "Resolving",
            "a minute before the limit"
        );
        self.world.waited(name, minutes + 1).await;
        self.fails(name, wanted, words).await;
    }

    fn says(promotion: &Promotion, words: &[&str]) {
        let message = message(promotion);
        for word in words {
            assert!(
                message.contains(word),
                "the message lacks '{word}': {message}"
            );
        }
    }

    async fn nothing_written(&self) {
        assert_eq!(self.world.repository.tag_map().await, self.tags);
        let entries = self.world.proxy.trace.since(self.mark);
        assert_eq!(
            count(&entries, Server::Registry, &[Class::Write]),
            0,
            "{entries:#?}"
        );
    }
}

async fn stage_of(world: &World, name: &str) -> String {
    stage(&world.promotions().get(name).await.expect("it exists"))
}

/// An artifact of a policy in this repository.
fn artifact(repository: &str, more: &Value) -> Value {
    let mut artifact = json!({ "name": crate::world::ARTIFACT, "repository": repository });
    let fields = more.as_object().expect("fields are an object").clone();
    artifact.as_object_mut().expect("it is one").extend(fields);
    artifact
}
