//! The audit log of an operator: before the tag, after the end, and what happens while it cannot be written.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use floe::domain::audit_log::{Event, Line, Start, Verifier};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::DeleteParams;
use serde_json::json;

use crate::harness::Rig;
use crate::jobs::Wish;
use crate::operator::Operator;
use crate::person::platform;
use crate::proxy::{Class, Fault, Killable as _, Moment, Server, count};
use crate::registries::Kind;
use crate::wait::{seconds, until};
use crate::world::{SOON, World, is_over, message, reason};

pub async fn the_intent_is_on_the_disk_before_the_tag_and_the_end_after_it(rig: Rig) {
    let (world, folder) = (in_dev(&rig).await, Folder::of(&rig, "audit"));
    folder.operator(&world, "one", &[]).await;
    hold_back_the_tag(&world).await;
    let log = folder.only();
    assert_eq!(log.events(), [Event::Opened, Event::Intent]);
    assert_eq!(world.repository.digest("v1.0.0-dev").await, None);

    let ended = world.ended("one").await;
    let log = folder.only();
    assert_eq!(log.events(), [Event::Opened, Event::Intent, Event::Result]);
    let status = ended.status.unwrap();
    let intent = status.intent.unwrap();
    let [_, told, end] = &log.lines[..] else {
        panic!("{log:?}");
    };
    for line in [told, end] {
        let about = line.request.as_ref().unwrap();
        assert_eq!(about.requested_by.as_deref(), Some("alice"));
        assert_eq!(about.tag.as_deref(), Some("v1.0.0-dev"));
        assert_eq!(about.space, world.namespace);
        assert_eq!(Some(&about.uid), ended.metadata.uid.as_ref());
        assert_eq!(line.decided_at, Some(intent.decided_at.0));
        assert_eq!(line.operator, "one");
    }
    assert_eq!(end.reason.as_deref(), Some("Promoted"));
    let chain = end.chain.clone().unwrap();
    let audit = status.audit.unwrap();
    assert_eq!(
        (chain.record, chain.referrer),
        (Some(audit.record), Some(audit.referrer))
    );
    assert_eq!(chain.sequence, Some(1));
    // Whoever has the record knows in which log to look.
    assert_eq!(intent.operator_log.as_ref(), Some(&log.id));
    let digest = world.repository.digest("v1.0.0-dev").await.unwrap();
    let record = world.repository.records(&digest).await.remove(0);
    assert_eq!(record.json()["predicate"]["operator"]["log"], log.id);
}

pub async fn a_log_that_cannot_be_written_stops_promotions_until_it_can(rig: Rig) {
    let (world, folder) = (in_dev(&rig).await, Folder::of(&rig, "audit"));
    // Small files: each line that tells of a request needs a new one.
    let small = ["--audit-log-file-size=1Ki"];
    let operator = folder.operator(&world, "one", &small).await;
    world.promote("one", "v1.0.0", "dev").await;
    world.ended("one").await;
    assert_eq!(writable(&operator).await, "1");

    folder.take_away();
    let mark = world.proxy.trace.mark();
    world.repository.publish("v1.1.0", "second").await;
    world.promote("two", "v1.1.0", "dev").await;
    let waits = world.waits("two", "AuditLogUnavailable").await;
    assert!(
        message(&waits).contains("make room on the operator's volume"),
        "{}",
        message(&waits)
    );
    assert_eq!(writable(&operator).await, "0");
    // One that fails has ended, and is not let go of before its end is in the log.
    world.promote("three", "v9.0.0-dev", "dev").await;
    let failed = |promotion: &floe::api::Promotion| reason(promotion) == "InvalidVersion";
    world.until("three", "refused", SOON, failed).await;
    world
        .promotions()
        .delete("three", &DeleteParams::default())
        .await
        .unwrap();
    let written = world.proxy.trace.since(mark);
    assert_eq!(count(&written, Server::Registry, &[Class::Write]), 0);
    assert_eq!(world.repository.digest("v1.1.0-dev").await, None);
    let held = world.promotions().get_opt("three").await.unwrap();
    assert!(held.is_some(), "it was let go of without a line");

    folder.put_back();
    assert_eq!(reason(&world.ended("two").await), "Promoted");
    world.until_gone("three").await;
    assert_eq!(writable(&operator).await, "1");
    let log = folder.only();
    let ends: Vec<(String, String)> = log.ends();
    let wanted = [
        ("one", "Promoted"),
        ("three", "InvalidVersion"),
        ("two", "Promoted"),
    ];
    let mut sorted = ends.clone();
    sorted.sort();
    assert_eq!(
        sorted,
        wanted.map(|(name, end)| (name.to_owned(), end.to_owned()))
    );
    world.kill_operators().await;
}

pub async fn an_operator_whose_log_cannot_be_opened_promotes_nothing_until_it_can(rig: Rig) {
    let (world, folder) = (in_dev(&rig).await, Folder::of(&rig, "audit"));
    fs::write(&folder.path, "a file where the volume should be").unwrap();
    let operator = folder.start(&world, "one", &[]);
    operator.until_ready(SOON).await;
    world.promote("one", "v1.0.0", "dev").await;
    // Nobody knows yet whether the log tells of promotions that ledger and registry have lost.
    world.waits("one", "LedgerNotReady").await;
    let policy = world.policies().get("dev").await.unwrap();
    let conditions = policy.status.unwrap().conditions;
    let stands = |one: &Condition| one.type_ == "Ready" && one.reason == "AuditLogUnavailable";
    assert!(conditions.iter().any(stands), "{conditions:?}");
    assert_eq!(writable(&operator).await, "0");
    let ledger = world.ledger("dev").await;
    assert!(
        ledger.in_flight.is_none(),
        "it keeps others waiting: {ledger:?}"
    );
    fs::remove_file(&folder.path).unwrap();
    assert_eq!(reason(&world.ended("one").await), "Promoted");
    assert_eq!(
        folder.only().events(),
        [Event::Opened, Event::Intent, Event::Result]
    );
}

pub async fn a_log_that_somebody_has_changed_is_left_alone_and_another_one_goes_on(rig: Rig) {
    let (world, folder) = (in_dev(&rig).await, Folder::of(&rig, "audit"));
    let first = folder.operator(&world, "one", &[]).await;
    world.promote("one", "v1.0.0", "dev").await;
    world.ended("one").await;
    first.kill().await;
    let log = folder.only();
    let file = folder.path.join(&log.id).join("000000000001.jsonl");
    let changed = fs::read_to_string(&file).unwrap().replace("alice", "mallo");
    fs::write(&file, &changed).unwrap();

    let second = folder.operator(&world, "two", &[]).await;
    assert_eq!(
        second.metric("floe_audit_logs_broken").await.as_deref(),
        Some("1")
    );
    assert!(
        second.tail(200).contains("THE AUDIT LOG IS BROKEN"),
        "{}",
        second.tail(200)
    );
    world.repository.publish("v1.1.0", "second").await;
    world.promote("two", "v1.1.0", "dev").await;
    assert_eq!(reason(&world.ended("two").await), "Promoted");
    assert_eq!(fs::read_to_string(&file).unwrap(), changed);
    let new = folder.logs().into_iter().find(|id| *id != log.id).unwrap();
    let new = folder.log(&new);
    assert_eq!(new.lines[0].broken_logs, [log.id]);
    assert_eq!(new.ends(), [("two".to_owned(), "Promoted".to_owned())]);
}

pub async fn whoever_takes_a_slot_over_says_so_in_the_log(rig: Rig) {
    // With a volume for each Pod, and with one that goes from Pod to Pod.
    for shared in [false, true] {
        let world = in_dev(&rig).await;
        let name = if shared { "shared" } else { "one" };
        let first = Folder::of(&rig, name);
        let second = if shared {
            first.clone()
        } else {
            Folder::of(&rig, "two")
        };
        let tag = "PUT manifests/v1.0.0-dev";
        world
            .proxy
            .faults
            .once(Fault::Kill(Moment::After), move |seen, _| {
                seen.key.contains(tag)
            });
        let operator = first.operator(&world, "one", &[]).await;
        world.promote("one", "v1.0.0", "dev").await;
        operator.until_gone(SOON).await;
        second.operator(&world, "two", &[]).await;
        // Twice 10 s: until the first one can write no more, and until the slot is safely the second one's.
        let ended = world.until("one", "ended", seconds(60), is_over).await;
        assert_eq!(reason(&ended), "Promoted");

        let log = second.only();
        let of_two: Vec<&Line> = log
            .lines
            .iter()
            .filter(|line| line.operator == "two")
            .collect();
        let told: Vec<Event> = of_two.iter().map(|line| line.event).collect();
        let take_over = of_two[1].message.clone().unwrap_or_default();
        assert!(
            take_over.contains("the operator process 'one'"),
            "{take_over}"
        );
        if shared {
            // The decision is the first one's, and is told already.
            assert_eq!(told, [Event::Opened, Event::TakeOver, Event::Result]);
            assert_eq!(
                log.lines
                    .iter()
                    .filter(|line| line.event == Event::Intent)
                    .count(),
                1
            );
        } else {
            assert_eq!(
                told,
                [Event::Opened, Event::TakeOver, Event::Intent, Event::Result]
            );
            let log = first.only();
            assert_eq!(log.events(), [Event::Opened, Event::Intent]);
        }
        world.kill_operators().await;
    }
}

pub async fn a_request_that_is_deleted_at_any_stage_leaves_a_line_and_no_claim(rig: Rig) {
    type Prepare = fn(&World);
    let stages: [(&str, Prepare, &str); 4] = [
        (
            "gates run",
            |world| world.jobs.wish("policy_compliance", Wish::Never),
            "Aborted",
        ),
        ("the registry is down", cut, "Aborted"),
        (
            "the tag is being written",
            |world| delay(world, "PUT manifests/v1.0.0-dev"),
            "Promoted",
        ),
        (
            "the record is being written",
            |world| delay(world, "PUT manifests/sha256"),
            "Promoted",
        ),
    ];
    for (number, (stage, prepare, end)) in stages.into_iter().enumerate() {
        let world = in_dev(&rig).await;
        let folder = Folder::of(&rig, &format!("audit-{number}"));
        folder.operator(&world, "one", &[]).await;
        prepare(&world);
        world.promote("one", "v1.0.0", "dev").await;
        match stage {
            "gates run" => world.jobs.until_waiting("policy_compliance").await,
            "the registry is down" => drop(world.waits("one", "RegistryUnavailable").await),
            _ => until_held_back(&world).await,
        }
        world
            .promotions()
            .delete("one", &DeleteParams::default())
            .await
            .unwrap();
        world.until_gone("one").await;
        let ends = folder.only().ends();
        assert_eq!(
            ends,
            [("one".to_owned(), end.to_owned())],
            "deleted while {stage}"
        );
        let ledger = world.ledger("dev").await;
        assert!(
            ledger.in_flight.is_none(),
            "deleted while {stage}: {ledger:?}"
        );
        world.kill_operators().await;
    }
}

pub async fn a_request_that_is_deleted_after_its_policy_leaves_a_line_too(rig: Rig) {
    let (world, folder) = (in_dev(&rig).await, Folder::of(&rig, "audit"));
    folder.operator(&world, "one", &[]).await;
    world.jobs.wish("policy_compliance", Wish::Never);
    world.promote("one", "v1.0.0", "dev").await;
    world.jobs.until_waiting("policy_compliance").await;
    world
        .policies()
        .delete("dev", &DeleteParams::default())
        .await
        .unwrap();
    world.waits("one", "PolicyInvalid").await;
    world
        .promotions()
        .delete("one", &DeleteParams::default())
        .await
        .unwrap();
    world.until_gone("one").await;
    assert_eq!(
        folder.only().ends(),
        [("one".to_owned(), "Aborted".to_owned())]
    );
}

/// An environment, a version, and no operator yet.
pub async fn a_ledger_and_a_registry_from_an_older_copy_are_found_out_by_the_log(rig: Rig) {
    let (world, folder) = (in_dev(&rig).await, Folder::of(&rig, "audit"));
    folder.operator(&world, "one", &[]).await;
    world.promote("first", "v1.0.0", "dev").await;
    assert_eq!(reason(&world.ended("first").await), "Promoted");
    let older = world.ledger("dev").await;
    world.repository.publish("v1.1.0", "second").await;
    world.promote("second", "v1.1.0", "dev").await;
    assert_eq!(reason(&world.ended("second").await), "Promoted");
    let lost = world.ledger("dev").await.audit.unwrap();
    world.kill_operators().await;
    // The second promotion is in neither of the two any more.
    world.put_ledger("dev", &older).await;
    for tag in ["latest-dev", "v1.1.0-dev"] {
        world.repository.retag("v1.0.0", tag).await;
    }
    folder.start(&world, "two", &[]);
    let problem = until("the ledger is in doubt", SOON, async || {
        world.ledger("dev").await.unproven
    })
    .await;
    let told = format!("the audit log ends with record 2, {}", lost.record);
    assert!(problem.contains(&told), "{problem}");
    world.repository.publish("v1.2.0", "third").await;
    world.promote("third", "v1.2.0", "dev").await;
    world.waits("third", "LedgerUnproven").await;
    assert_eq!(world.repository.digest("v1.2.0-dev").await, None);

    // The record that nobody else knows any more is accepted: the chain goes on behind it.
    let accept = ["audit", "repair", "dev", "--accept", &lost.record];
    let accepted = platform(&world, &accept).await;
    assert_eq!(accepted.status.code(), Some(0), "{accepted:?}");
    assert_eq!(reason(&world.ended("third").await), "Promoted");
    let digest = world.repository.digest("v1.2.0-dev").await.unwrap();
    let record = world.repository.records(&digest).await.remove(0).json();
    assert_eq!(record["predicate"]["sequence"], 3);
    assert_eq!(record["predicate"]["previous"]["record"], lost.record);
}

async fn in_dev(rig: &Rig) -> World {
    let world = World::new(rig, Kind::Referrers).await;
    world.policy("dev", json!({})).await;
    world.repository.publish("v1.0.0", "first").await;
    world
}

async fn hold_back_the_tag(world: &World) {
    delay(world, "PUT manifests/v1.0.0-dev");
    world.promote("one", "v1.0.0", "dev").await;
    until_held_back(world).await;
}

fn delay(world: &World, key: &'static str) {
    let held = Fault::Delay(seconds(2));
    world
        .proxy
        .faults
        .once(held, move |seen, _| seen.key.contains(key));
}

fn cut(world: &World) {
    let cut = Fault::Cut(Moment::Before);
    world
        .proxy
        .faults
        .always(cut, |seen, _| seen.server == Server::Registry);
}

async fn until_held_back(world: &World) {
    until("the write is held back", SOON, async || {
        (world.proxy.faults.waiting() == 0).then_some(())
    })
    .await;
}

async fn writable(operator: &Operator) -> String {
    let value = operator.metric("floe_audit_log_writable").await;
    value.expect("the metric is there")
}

/// Where an operator writes its log.
#[derive(Clone)]
struct Folder {
    path: PathBuf,
}

/// A log, which is in order.
#[derive(Debug)]
struct Log {
    id: String,
    lines: Vec<Line>,
}

impl Folder {
    fn of(rig: &Rig, name: &str) -> Self {
        Self {
            path: rig.folder.join(name),
        }
    }

    /// Starts an operator that writes here, and waits until it works.
    async fn operator(&self, world: &World, identity: &str, more: &[&str]) -> Arc<Operator> {
        let operator = self.start(world, identity, more);
        operator.until_ready(SOON).await;
        world.policy_ready("dev").await;
        operator
    }

    /// Starts an operator that writes here.
    fn start(&self, world: &World, identity: &str, more: &[&str]) -> Arc<Operator> {
        let folder = format!("--audit-log-dir={}", self.path.display());
        let arguments = [&[folder.as_str()], more].concat();
        world.start_operator_with(identity, false, &arguments)
    }

    /// As when the volume is gone: in its place nothing can be made.
    fn take_away(&self) {
        fs::rename(&self.path, self.aside()).unwrap();
        fs::write(&self.path, "").unwrap();
    }

    fn put_back(&self) {
        fs::remove_file(&self.path).unwrap();
        fs::rename(self.aside(), &self.path).unwrap();
    }

    fn aside(&self) -> PathBuf {
        self.path.with_extension("aside")
    }

    fn logs(&self) -> Vec<String> {
        names(&self.path)
    }

    /// The one log that is here.
    fn only(&self) -> Log {
        let logs = self.logs();
        assert_eq!(logs.len(), 1, "{logs:?}");
        self.log(&logs[0])
    }

    fn log(&self, id: &str) -> Log {
        let folder = self.path.join(id);
        let (mut verifier, mut lines) = (Verifier::new(Start::First), Vec::new());
        for file in names(&folder).into_iter().filter(|name| name != "lock") {
            let bytes = fs::read(folder.join(file)).unwrap();
            verifier
                .push(&bytes, |line, _| lines.push(line.clone()))
                .unwrap_or_else(|broken| panic!("the log {id} is broken: {broken}"));
        }
        assert_eq!(verifier.end().torn, None);
        Log {
            id: id.to_owned(),
            lines,
        }
    }
}

impl Log {
    fn events(&self) -> Vec<Event> {
        self.lines.iter().map(|line| line.event).collect()
    }

    /// Names of requests, and how they ended.
    fn ends(&self) -> Vec<(String, String)> {
        let ends = self.lines.iter().filter(|line| line.event == Event::Result);
        ends.map(|line| {
            let about = line.request.as_ref().unwrap();
            (about.name.clone(), line.reason.clone().unwrap_or_default())
        })
        .collect()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<String> = entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect();
    names.sort();
    names
}
