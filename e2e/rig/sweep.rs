//! The main scenario, run again and again with something going wrong at one effect after the other; the end
//! state must be that of an undisturbed run.

use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::endstate::{differences, end_state};
use crate::harness::Rig;
use crate::jobs::When;
use crate::proxy::Fault;
use crate::registries::Kind;
use crate::supervisor::Supervisor;
use crate::wait::seconds;
use crate::world::{World, gates, is_over};

/// Runs at the same time.
pub const SIDE_BY_SIDE: usize = 3;
/// A run must be over by then: a claim is inherited after 20 s, a Lease after 15 s.
const LIMIT: Duration = seconds(90);
/// Without a request for this long, the operator is at rest.
const QUIET: Duration = Duration::from_millis(700);

/// At which effect what goes wrong, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    pub key: String,
    pub fault: Fault,
}

/// What came of one run.
pub struct Run {
    pub stops: Vec<Stop>,
    /// Every effect that was tried, in order.
    pub effects: Vec<String>,
    pub took: Duration,
    /// Every stop came about.
    all_reached: bool,
    end: Value,
}

/// What is swept.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    pub rig: &'a Rig,
    pub kind: Kind,
    pub leader_election: bool,
    /// The kind of the registry of a replica that is required; none without replica.
    pub replica: Option<Kind>,
}

impl Scene<'_> {
    /// An undisturbed run: twice, to see that the mask hides all that differs by itself.
    pub async fn reference(&self) -> Run {
        let reference = self.run(Vec::new()).await;
        let again = self.run(Vec::new()).await;
        let noise = differences(&reference.end, &again.end);
        assert!(
            noise.is_empty(),
            "two undisturbed runs differ, so the mask is too thin:\n{}",
            noise.join("\n")
        );
        self.rig.passed_so_far();
        reference
    }

    /// One run: two gates and policy_compliance, one environment.
    pub async fn run(&self, stops: Vec<Stop>) -> Run {
        let began = Instant::now();
        let world = Rc::new(match self.replica {
            Some(second) => World::with_second(self.rig, self.kind, second).await,
            None => World::new(self.rig, self.kind).await,
        });
        world.jobs.when(When::OneByOne(3));
        world.repository.publish("v1.2.3", "first").await;
        for stop in &stops {
            let key = stop.key.clone();
            let here =
                move |seen: &crate::proxy::Seen, _: &str| seen.class.is_effect() && seen.key == key;
            world.proxy.faults.once(stop.fault.clone(), here);
        }
        let mut policy = json!({ "gates": gates(2) });
        if self.replica.is_some() {
            policy["artifacts"] = world.replicated(true);
        }
        world.policy("dev", policy).await;
        let supervisor = Supervisor::start(&world, "op", self.leader_election);
        supervisor.until_ready().await;
        world.policy_ready("dev").await;
        world.promote("one", "v1.2.3", "dev").await;
        world
            .until("one", &format!("ended, with {stops:?}"), LIMIT, is_over)
            .await;
        supervisor.until_settled(&world, QUIET).await;
        let end = end_state(&world).await;
        world.assert_counted_everything().await;
        let entries = world.proxy.trace.since(0);
        let effects = entries
            .into_iter()
            .filter(|entry| entry.seen.class.is_effect())
            .map(|entry| entry.seen.key);
        let effects = effects.collect();
        let all_reached = world.proxy.faults.waiting() == 0;
        world.kill_operators().await;
        Run {
            stops,
            effects,
            took: began.elapsed(),
            all_reached,
            end,
        }
    }
}

impl Run {
    /// Panics when this run, which was disturbed, did not end like the undisturbed one.
    pub fn must_end_like(&self, reference: &Self) {
        let had = || self.effects.join("\n");
        assert!(
            self.all_reached,
            "no request came for {:?}; the run had:\n{}",
            self.stops,
            had()
        );
        let differences = differences(&reference.end, &self.end);
        assert!(
            differences.is_empty(),
            "with {:?}, it ends otherwise:\n{}\nthe run had:\n{}",
            self.stops,
            differences.join("\n"),
            had()
        );
    }
}
