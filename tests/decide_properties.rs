//! Every decision is fed back into a small world until nothing changes, whatever goes wrong on the way.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken promise is a panic"
)]

#[path = "support/world/mod.rs"]
mod world;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use floe::api::{Abort, VersionOrder};
use floe::domain::artifact::Digest;
use floe::domain::decide::decide;
use floe::domain::decision::{Action, FailureReason, Outcome, Stage, TroubleKind};
use floe::domain::gates::GateOutcome;
use floe::domain::observed::{Stamp, WaitingSince};
use floe::domain::request::Request;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use world::{Asked, Fate, GateModel, ReplicaModel, World};

/// Passes over all requests; the longest honest way is an outage of an hour and three rounds of gates.
const ROUNDS_MAX: usize = 600;
/// Steps in one pass, as the controller counts them.
const STEPS_MAX: usize = 64;
const CASES: u32 = 1500;

/// What happens from outside, before a round.
#[derive(Clone, Debug)]
enum Event {
    EditGate {
        outcome: GateOutcome,
    },
    AddGate {
        outcome: GateOutcome,
        blocks: bool,
    },
    ChangeKey {
        signed: bool,
    },
    MoveSource,
    /// A stranger puts the target tag on another digest.
    TakeTarget,
    LoseJobs,
    LoseLedger,
    Delete(usize),
    Abort(usize),
    /// The API server stops to write down who asks, and starts again some rounds later.
    LoseStamp,
}

#[derive(Clone, Debug)]
struct Case {
    first_environment: bool,
    order: VersionOrder,
    compliance: GateOutcome,
    gates: Vec<(GateOutcome, bool, i64)>,
    /// The policy asks for a signature, and there is one.
    signature: Option<bool>,
    /// Version of each request, and whether it is a dry run.
    requests: Vec<(usize, bool)>,
    /// What the target holds at first.
    held: Option<usize>,
    upstream_in_ledger: bool,
    target_there: bool,
    /// Whether the environment has a repository of its own, and its replicas: whether each is required and slow,
    /// from which minute and for how many it is down.
    copies: (bool, Vec<(bool, bool, i64, i64)>),
    fates: Vec<Fate>,
    events: Vec<(usize, Event)>,
}

const VERSIONS: [&str; 4] = ["v1.0.0", "v1.1.0", "v1.1.0+b", "v1.2.0-rc.1"];

fn outcomes() -> impl Strategy<Value = GateOutcome> {
    prop_oneof![
        12 => Just(GateOutcome::Passed),
        1 => Just(GateOutcome::Failed),
        1 => Just(GateOutcome::Error),
        1 => Just(GateOutcome::TimedOut),
    ]
}

fn troubles() -> impl Strategy<Value = TroubleKind> {
    prop_oneof![
        Just(TroubleKind::RegistryUnavailable),
        Just(TroubleKind::RegistryDenied),
        Just(TroubleKind::RegistryUntrusted),
        Just(TroubleKind::CredentialsMissing),
        Just(TroubleKind::SigningKeyMissing),
    ]
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        16 => Just(Fate::Fine),
        1 => Just(Fate::CrashBefore),
        1 => Just(Fate::CrashAfter),
        1 => (1..9_u8).prop_map(Fate::Late),
        1 => troubles().prop_map(Fate::TroubleBefore),
        1 => troubles().prop_map(Fate::TroubleAfter),
    ]
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => outcomes().prop_map(|outcome| Event::EditGate { outcome }),
        2 => (outcomes(), any::<bool>()).prop_map(|(outcome, blocks)| Event::AddGate { outcome, blocks }),
        1 => prop::bool::weighted(0.7).prop_map(|signed| Event::ChangeKey { signed }),
        1 => Just(Event::MoveSource),
        1 => Just(Event::TakeTarget),
        1 => Just(Event::LoseJobs),
        1 => Just(Event::LoseLedger),
        1 => (0..2_usize).prop_map(Event::Delete),
        1 => (0..2_usize).prop_map(Event::Abort),
        1 => Just(Event::LoseStamp),
    ]
}

fn cases() -> impl Strategy<Value = Case> {
    let policy = (
        any::<bool>(),
        prop_oneof![3 => Just(VersionOrder::Monotonic), 1 => Just(VersionOrder::Any)],
        outcomes(),
        prop::collection::vec((outcomes(), any::<bool>(), 0..90_i64), 0..3),
        prop_oneof![6 => Just(None), 3 => Just(Some(true)), 1 => Just(Some(false))],
    );
    let asked = (
        prop::collection::vec((0..VERSIONS.len(), prop::bool::weighted(0.1)), 1..3),
        prop::option::of(0..VERSIONS.len()),
        prop::bool::weighted(0.8),
        prop::bool::weighted(0.1),
    );
    let down = prop_oneof![3 => Just(0_i64), 2 => 1..5_i64, 1 => 60..90_i64];
    let copies = (
        prop::bool::weighted(0.3),
        prop_oneof![
            Just(Vec::new()).boxed(),
            prop::collection::vec((any::<bool>(), any::<bool>(), 0..3_i64, down), 1..3).boxed()
        ],
    );
    let chaos = (
        prop_oneof![2 => Just(Vec::new()).boxed(), 3 => prop::collection::vec(fates(), 0..60).boxed()],
        prop_oneof![
            Just(Vec::new()).boxed(),
            prop::collection::vec((0..12_usize, events()), 0..4).boxed()
        ],
    );
    (policy, asked, copies, chaos).prop_map(|(policy, asked, copies, chaos)| {
        let (first_environment, order, compliance, gates, signature) = policy;
        let (requests, held, upstream_in_ledger, target_there) = asked;
        let (fates, events) = chaos;
        Case {
            first_environment,
            order,
            compliance,
            gates,
            signature,
            requests,
            held,
            upstream_in_ledger,
            target_there,
            copies,
            fates,
            events,
        }
    })
}

fn digest_of(version: &str) -> Digest {
    Digest::of(version.as_bytes())
}

fn world_of(case: &Case) -> World {
    let to = if case.first_environment {
        "dev"
    } else {
        "prod"
    };
    let mut world = World::new(to, case.order);
    let compliance = GateModel {
        blocks: true,
        cached: false,
        seconds: 3,
        outcome: case.compliance,
        edition: 0,
    };
    world
        .gates
        .insert("policy_compliance".to_owned(), compliance);
    for (index, (outcome, blocks, seconds)) in case.gates.iter().enumerate() {
        let model = GateModel {
            blocks: *blocks,
            cached: index % 2 == 1,
            seconds: *seconds,
            outcome: *outcome,
            edition: 0,
        };
        world.gates.insert(format!("gate-{index}"), model);
    }
    let (another_repository, replicas) = &case.copies;
    world.another_repository = *another_repository && !case.first_environment;
    for (index, (required, slow, from, minutes)) in replicas.iter().enumerate() {
        let from = world.now + SignedDuration::from_mins(*from);
        let down = (from, from + SignedDuration::from_mins(*minutes));
        let model = ReplicaModel::new(*required, *slow, down);
        world.replicas.insert(format!("replica-{index}"), model);
    }
    if let Some(signed) = case.signature {
        world.change_key(signed);
    }
    for version in VERSIONS {
        let tag = version.replace('+', "_");
        world.tags.insert(tag.clone(), digest_of(version));
        if !case.first_environment {
            world.promoted_before("dev", version, &digest_of(version), case.upstream_in_ledger);
            world.tags.insert(format!("{tag}-dev"), digest_of(version));
        }
    }
    if let Some(held) = case.held {
        world.promoted_before(to, VERSIONS[held], &digest_of(VERSIONS[held]), true);
    }
    for (index, (version, dry_run)) in case.requests.iter().enumerate() {
        if case.target_there {
            let tag = format!("{}-{to}", VERSIONS[*version].replace('+', "_"));
            world.tags.insert(tag, digest_of(VERSIONS[*version]));
        }
        world
            .asked
            .push(asked(index, VERSIONS[*version], to, *dry_run, world.now));
    }
    world
}

fn asked(index: usize, version: &str, to: &str, dry_run: bool, now: Timestamp) -> Asked {
    let request = Request {
        space: "team".to_owned(),
        name: format!("request-{index}"),
        uid: format!("uid-{index}"),
        artifact: None,
        version: version.to_owned(),
        from: None,
        to: to.to_owned(),
        expected_digest: None,
        dry_run,
        reason: None,
        requested_by: Some("alice".to_owned()),
        on_behalf_of: None,
        abort: None,
        created_at: now,
        deleted_at: None,
    };
    Asked {
        request,
        plan: None,
        intent: None,
        verdicts: BTreeMap::new(),
        replicas: BTreeMap::new(),
        signature: None,
        waiting: None,
        ended: None,
        over: false,
    }
}

fn happen(world: &mut World, event: &Event) {
    let stranger = Digest::of(b"stranger");
    match event {
        Event::EditGate { outcome } => world.edit_policy(|gates| {
            if let Some(gate) = gates.get_mut("gate-0") {
                gate.edition += 1;
                gate.outcome = *outcome;
            }
        }),
        Event::AddGate { outcome, blocks } => world.edit_policy(|gates| {
            let model = GateModel {
                blocks: *blocks,
                cached: *blocks,
                seconds: 20,
                outcome: *outcome,
                edition: 0,
            };
            gates.insert("added".to_owned(), model);
        }),
        Event::ChangeKey { signed } => world.change_key(*signed),
        Event::MoveSource => {
            let plan = world.asked[0].plan.clone();
            if let Some(plan) = plan {
                world
                    .tags
                    .insert(plan.route.source_tag.to_string(), stranger);
            }
        }
        Event::TakeTarget => {
            let plan = world.asked[0].plan.clone();
            if let Some(plan) = plan
                && world.late.is_empty()
            {
                world
                    .tags
                    .entry(plan.route.tag.to_string())
                    .or_insert(stranger);
            }
        }
        Event::LoseJobs => world.lose_jobs(),
        // With the ledger the claim is lost. The operator that rebuilds it has waited as long as a dead one may write.
        Event::LoseLedger if world.late.is_empty() => world.lose_ledger(),
        Event::LoseLedger => {}
        Event::Delete(index) => {
            let now = world.now;
            if let Some(asked) = world.asked.get_mut(*index) {
                asked.request.deleted_at.get_or_insert(now);
            }
        }
        Event::Abort(index) => {
            if let Some(asked) = world.asked.get_mut(*index) {
                asked.request.abort.get_or_insert_with(|| Abort {
                    by: "bob".to_owned(),
                    reason: None,
                });
            }
        }
        Event::LoseStamp => {
            world.stamp = Stamp::NotInForce {
                problem: "taken away".to_owned(),
            };
        }
    }
}

/// One pass, as the controller makes it. Returns when to look again.
fn pass(
    world: &mut World,
    index: usize,
    fates: &mut impl Iterator<Item = Fate>,
    seen: &mut BTreeSet<Stage>,
) -> Timestamp {
    let soon = world.now + SignedDuration::from_secs(1);
    let mut observed = world.observe(index);
    for _ in 0..STEPS_MAX {
        let decision = decide(&observed, world.now);
        assert_eq!(
            decision,
            decide(&observed, world.now),
            "equal inputs, equal decisions"
        );
        seen.insert(decision.stage);
        for action in &decision.actions {
            let begins = matches!(
                action,
                Action::PinPlan | Action::StartGate(_) | Action::Claim
            );
            let begun = world.is_begun(index) || !world.late.is_empty();
            assert!(
                !begins || begun || matches!(world.stamp, Stamp::InForce { .. }),
                "{action:?} while nobody can tell who asks"
            );
            let fate = fates.next().unwrap_or(Fate::Fine);
            match world.perform(index, action, &observed, fate) {
                Some(receipt) => observed.fold(receipt),
                None => return soon,
            }
        }
        if decision.actions.is_empty() {
            let asked = &mut world.asked[index];
            asked.waiting = decision.waiting_on.as_ref().map(|waiting_on| {
                let reason = waiting_on.reason().to_owned();
                let since = observed.since(&reason, world.now);
                WaitingSince { reason, since }
            });
            assert!(
                asked.ended.is_none() || asked.ended == decision.outcome,
                "an end becomes another one"
            );
            asked.ended.clone_from(&decision.outcome);
            asked.over = decision.is_over();
            asked.store_replicas(&observed);
            asked.signature.clone_from(&observed.signature);
            assert_eq!(decision.outcome.is_some(), decision.stage.is_final());
            assert!(asked.over || decision.next_look.is_some());
            return decision.next_look.unwrap_or(soon).max(soon);
        }
    }
    panic!("a pass does not come to rest: {observed:?}");
}

/// Runs until every request has ended.
fn run(case: &Case, seen: &mut BTreeSet<Stage>) -> World {
    let mut world = world_of(case);
    let mut fates = case.fates.iter().copied();
    for round in 0..ROUNDS_MAX {
        if round % 5 == 4 && matches!(world.stamp, Stamp::NotInForce { .. }) {
            world.stamp = Stamp::InForce { since: world.now };
        }
        for (_, event) in case.events.iter().filter(|(at, _)| *at == round) {
            happen(&mut world, event);
        }
        let mut next: Option<Timestamp> = world.next_change();
        for index in 0..world.asked.len() {
            if !world.asked[index].over {
                let look = pass(&mut world, index, &mut fates, seen);
                next = Some(next.map_or(look, |at| at.min(look)));
            }
        }
        let next = [next, world.next_change()].into_iter().flatten().min();
        if world.asked.iter().all(|asked| asked.over) {
            return world;
        }
        world.now = next.expect("something to wait for").max(world.now);
        world.deliver();
    }
    panic!("it does not end: {:?}", world.asked);
}

/// What is true when every request has ended.
fn check_end(world: &World) {
    world.latest_of_replicas_follows_the_ledger();
    for (index, asked) in world.asked.iter().enumerate() {
        assert!(
            !world.claim_of(index),
            "a claim was kept by request {index}"
        );
        let put = world.puts.iter().any(|(by, _)| *by == index);
        let recorded = world.has_record(index);
        match asked.ended.as_ref().expect("an end") {
            Outcome::Promoted => {
                let plan = asked.plan.as_ref().expect("a plan");
                assert!(recorded, "promoted without record");
                assert_eq!(world.tags.get(plan.route.tag.as_str()), Some(&plan.digest));
                for (name, replica) in &world.replicas {
                    let deleted = asked.request.deleted_at.is_some();
                    let tagged = replica.tags.get(plan.route.tag.as_str()) == Some(&plan.digest);
                    assert!(tagged || deleted, "over without a tag at '{name}'");
                }
            }
            Outcome::DryRunPassed => assert!(asked.request.dry_run && !put && !recorded),
            Outcome::AlreadyPromoted => {}
            Outcome::Failed(FailureReason::Aborted) => {
                assert!(asked.request.deleted_at.is_some(), "aborted by nobody");
            }
            Outcome::Failed(FailureReason::AbortedBy { .. })
                if asked.request.deleted_at.is_some() => {}
            Outcome::Failed(reason) => {
                assert!(!put && !recorded, "failed after a write: {reason:?}");
            }
        }
    }
}

#[test]
fn whatever_goes_wrong_each_promotion_ends_and_breaks_no_promise() {
    let seen = RefCell::new(BTreeSet::new());
    let ends = RefCell::new((0_u32, 0_u32));
    let mut runner = TestRunner::new(Config {
        cases: Config::default().cases.max(CASES),
        failure_persistence: None,
        ..Config::default()
    });
    let result = runner.run(&cases(), |case| {
        let world = run(&case, &mut seen.borrow_mut());
        check_end(&world);
        let mut ends = ends.borrow_mut();
        ends.0 += 1;
        ends.1 += u32::from(
            world
                .asked
                .iter()
                .any(|asked| asked.ended == Some(Outcome::Promoted)),
        );
        Ok(())
    });
    if let Err(broken) = result {
        panic!("{broken}");
    }
    let (runs, promoted) = *ends.borrow();
    assert!(
        promoted * 10 >= runs * 3,
        "only {promoted} of {runs} runs promote anything"
    );
    let every = [
        Stage::Resolving,
        Stage::Gating,
        Stage::Copying,
        Stage::Writing,
        Stage::Recording,
        Stage::Publishing,
        Stage::Succeeded,
        Stage::Failed,
    ];
    assert_eq!(
        *seen.borrow(),
        BTreeSet::from(every),
        "a stage was never reached"
    );
}
