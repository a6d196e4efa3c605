//! Starts the operator again whenever it is gone, as a Deployment would: each time under a new name.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::operator::Operator;
use crate::wait::{seconds, until};
use crate::world::{SOON, World};

/// More starts than this are a loop of crashes.
const STARTS_MAX: usize = 6;

/// Keeps one operator running until it is dropped.
pub struct Supervisor {
    starts: Arc<AtomicUsize>,
    current: Rc<std::cell::RefCell<Option<Arc<Operator>>>>,
    task: JoinHandle<()>,
}

impl Supervisor {
    /// Starts the first operator; its successors are `<name>-2`, `<name>-3`, ….
    pub fn start(world: &Rc<World>, name: &str, leader_election: bool) -> Self {
        let starts = Arc::new(AtomicUsize::new(0));
        let current = Rc::new(std::cell::RefCell::new(None));
        let (count, shown, world, name) = (
            starts.clone(),
            current.clone(),
            world.clone(),
            name.to_owned(),
        );
        let task = tokio::task::spawn_local(async move {
            loop {
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                assert!(
                    number <= STARTS_MAX,
                    "'{name}' was started {STARTS_MAX} times"
                );
                let operator = world.start_operator(&format!("{name}-{number}"), leader_election);
                *shown.borrow_mut() = Some(operator.clone());
                operator.until_gone(seconds(600)).await;
            }
        });
        Self {
            starts,
            current,
            task,
        }
    }

    /// How often an operator was started.
    pub fn starts(&self) -> usize {
        self.starts.load(Ordering::SeqCst)
    }

    /// Waits until an operator is ready and none has been started since.
    pub async fn until_ready(&self) {
        until("a supervised operator is ready", SOON, async || {
            assert!(!self.task.is_finished(), "the supervisor has given up");
            let operator = self.current.borrow().clone()?;
            let ready = operator.is_ready().await && operator.is_running().await;
            ready.then_some(())
        })
        .await;
    }

    /// Waits until an operator is ready and nothing happens any more.
    pub async fn until_settled(&self, world: &World, quiet: Duration) {
        loop {
            let starts = self.starts();
            self.until_ready().await;
            world.proxy.trace.until_quiet(quiet, SOON).await;
            if self.starts() == starts {
                return;
            }
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.task.abort();
    }
}
