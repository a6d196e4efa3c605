//! Copies that run beside the passes: they may take long, and a pass must not.
//!
//! What is known here is only a saving: after a restart everything is looked at and copied again, and what is
//! there is found.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::context::Guarded;
use super::watches::{Triggers, trigger};
use crate::api::Promotion;
use crate::domain::observed::Trouble;
use crate::effects::clock;
use crate::effects::lock::lock;
use crate::effects::replication::NotReplicated;

/// Copies at the same time.
const SIDE_BY_SIDE: usize = 6;
/// Copies at the same time for one namespace, so that it leaves room for others.
const SIDE_BY_SIDE_IN_A_SPACE: usize = 2;
/// How long a copy that was completed is believed to be complete.
const FRESH: Duration = Duration::from_mins(10);

/// What a copy belongs to: UID of the promotion, and what is to be done where.
type Key = (String, String);
/// What came of it; nothing while it runs.
type End = Option<Arc<Result<(), NotReplicated>>>;

/// Copies that run or have ended, by promotion.
pub(super) struct Copies {
    slots: Arc<Semaphore>,
    spaces: Mutex<BTreeMap<String, Weak<Semaphore>>>,
    tasks: Mutex<BTreeMap<Key, Task>>,
    /// What stopped the last copy into a promotion's own repository, by UID.
    troubles: Mutex<BTreeMap<String, Trouble>>,
    wake: Triggers<Promotion>,
}

struct Task {
    /// When it was asked for.
    asked: Instant,
    /// When it had its turn.
    began: Arc<OnceLock<Instant>>,
    end: watch::Receiver<End>,
    running: AbortHandle,
}

/// How far a copy is.
pub(super) enum Progress {
    /// It runs for this long, or waits for its turn.
    Running(Duration),
    /// It has ended.
    Ended(Arc<Result<(), NotReplicated>>),
}

impl Copies {
    /// None yet. Promotions are woken here when a copy of theirs has ended.
    pub(super) fn new(wake: Triggers<Promotion>) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(SIDE_BY_SIDE)),
            spaces: Mutex::default(),
            tasks: Mutex::default(),
            troubles: Mutex::default(),
            wake,
        }
    }

    /// How far the copy of this promotion is, when there is one; waits a little for its end. One that has
    /// failed is told of once.
    pub(super) async fn look(&self, uid: &str, what: &str, patience: Duration) -> Option<Progress> {
        let key = (uid.to_owned(), what.to_owned());
        let (began, mut end) = {
            let mut tasks = lock(&self.tasks);
            tasks.retain(|_, task| task.is_worth_keeping());
            let task = tasks.get(&key)?;
            (Arc::clone(&task.began), task.end.clone())
        };
        let waited = tokio::time::timeout(patience, end.wait_for(Option::is_some)).await;
        let ended = match waited {
            Ok(Ok(end)) => end.clone(),
            // The task was aborted, and so is gone.
            Ok(Err(_)) => None,
            Err(_) => {
                let age = began.get().map(Instant::elapsed).unwrap_or_default();
                return Some(Progress::Running(age));
            }
        };
        let Some(result) = ended else {
            lock(&self.tasks).remove(&key);
            return None;
        };
        if result.is_err() {
            lock(&self.tasks).remove(&key);
        }
        Some(Progress::Ended(result))
    }

    /// Starts a copy for a promotion; `object` is woken when it has ended.
    pub(super) fn start(
        &self,
        uid: &str,
        what: &str,
        object: ObjectRef<Guarded<Promotion>>,
        copy: impl Future<Output = Result<(), NotReplicated>> + Send + 'static,
    ) {
        let (told, end) = watch::channel(None);
        let slots = Arc::clone(&self.slots);
        let in_space = self.slots_of(object.namespace.as_deref().unwrap_or_default());
        let wake = self.wake.clone();
        let began = Arc::<OnceLock<Instant>>::default();
        let turn_came = Arc::clone(&began);
        let task = tokio::spawn(async move {
            // First the turn in the namespace, then the turn among all: nobody holds what others wait for.
            let _turn = in_space.acquire().await;
            let _slot = slots.acquire().await;
            turn_came.get_or_init(clock::instant);
            let result = copy.await;
            told.send_replace(Some(Arc::new(result)));
            trigger(&wake, [object]);
        });
        let task = Task {
            asked: clock::instant(),
            began,
            end,
            running: task.abort_handle(),
        };
        lock(&self.tasks).insert((uid.to_owned(), what.to_owned()), task);
    }

    /// What stopped the last copy into the promotion's own repository, if something did.
    pub(super) fn trouble_before(&self, uid: &str) -> Option<Trouble> {
        lock(&self.troubles).get(uid).cloned()
    }

    /// Remembers what stopped that copy.
    pub(super) fn remember_trouble(&self, uid: &str, trouble: Trouble) {
        lock(&self.troubles).insert(uid.to_owned(), trouble);
    }

    /// Stops whatever is copied for a promotion.
    pub(super) fn stop(&self, uid: &str) {
        lock(&self.tasks).retain(|(of, _), _| of != uid);
        lock(&self.troubles).remove(uid);
    }

    fn slots_of(&self, space: &str) -> Arc<Semaphore> {
        let mut spaces = lock(&self.spaces);
        spaces.retain(|_, slots| slots.strong_count() > 0);
        let slot = spaces.entry(space.to_owned()).or_default();
        slot.upgrade().unwrap_or_else(|| {
            let slots = Arc::new(Semaphore::new(SIDE_BY_SIDE_IN_A_SPACE));
            *slot = Arc::downgrade(&slots);
            slots
        })
    }
}

impl Task {
    fn is_worth_keeping(&self) -> bool {
        self.end.borrow().is_none() || self.asked.elapsed() < FRESH
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.running.abort();
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use futures::channel::mpsc::{UnboundedReceiver, unbounded};
    use tokio::sync::oneshot;

    use super::*;

    type Woken = UnboundedReceiver<ObjectRef<Guarded<Promotion>>>;

    fn copies() -> (Copies, Woken) {
        let (wake, woken) = unbounded();
        (Copies::new(wake), woken)
    }

    fn of(space: &str, name: &str) -> ObjectRef<Guarded<Promotion>> {
        ObjectRef::new(name).within(space)
    }

    const NONE: Duration = Duration::ZERO;

    #[tokio::test]
    async fn a_copy_runs_beside_the_pass_and_wakes_its_promotion_at_the_end() {
        let (copies, mut woken) = copies();
        assert!(copies.look("uid", "copy", NONE).await.is_none());
        let (go, gone) = oneshot::channel::<()>();
        copies.start("uid", "copy", of("team", "one"), async {
            drop(gone.await);
            Ok(())
        });
        let seen = copies.look("uid", "copy", NONE).await;
        assert!(matches!(seen, Some(Progress::Running(_))));
        go.send(()).unwrap();
        assert_eq!(woken.next().await, Some(of("team", "one")));
        for _ in 0..2 {
            let seen = copies.look("uid", "copy", NONE).await;
            assert!(matches!(seen, Some(Progress::Ended(end)) if end.is_ok()));
        }
        assert!(copies.look("uid", "tag", NONE).await.is_none());
    }

    #[tokio::test]
    async fn a_copy_that_failed_is_told_of_once_and_can_be_started_again() {
        let (copies, mut woken) = copies();
        copies.start("uid", "copy", of("team", "one"), async {
            Err(NotReplicated::Missing(Vec::new()))
        });
        woken.next().await;
        let seen = copies.look("uid", "copy", NONE).await;
        assert!(matches!(seen, Some(Progress::Ended(end)) if end.is_err()));
        assert!(copies.look("uid", "copy", NONE).await.is_none());
    }

    #[tokio::test]
    async fn what_is_stopped_is_dropped_at_once() {
        let (copies, _woken) = copies();
        let (held, dropped) = oneshot::channel::<()>();
        copies.start("uid", "copy", of("team", "one"), async move {
            let _held = held;
            std::future::pending().await
        });
        copies.stop("uid");
        assert!(dropped.await.is_err(), "the copy goes on");
        assert!(copies.look("uid", "copy", NONE).await.is_none());
    }

    #[tokio::test]
    async fn one_namespace_leaves_room_for_others() {
        let (copies, mut woken) = copies();
        for number in 0..20 {
            copies.start(
                &format!("greedy-{number}"),
                "copy",
                of("greedy", "one"),
                std::future::pending(),
            );
        }
        copies.start("modest", "copy", of("modest", "two"), async { Ok(()) });
        assert_eq!(woken.next().await, Some(of("modest", "two")));
    }
}
