//! Work that may nest too deep or take too long: rules in CEL, which have no bounds of their own.

use std::time::Duration;

use tokio::sync::oneshot;

/// How long the rules of one artifact may take together.
pub const RULES_LIMIT: Duration = Duration::from_secs(20);
/// Stack of the thread: 64 MiB are enough for the longest rule in a build without optimisation. Memory is
/// taken only for what is used.
const STACK: usize = 256 << 20;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum NoResult {
    /// It took too long.
    #[error("the rules took longer than {} s", .0.as_secs_f32())]
    TooSlow(Duration),
    /// It panicked: a defect of the library, or of floe.
    #[error(
        "the evaluation of the rules broke off, which is a defect of floe: please report the rules"
    )]
    BrokenOff,
    /// The thread could not be started.
    #[error("cannot start a thread for the rules: {0}")]
    NoThread(#[from] std::io::Error),
}

/// Runs this on a thread with a large stack, and waits for it no longer than `limit`.
///
/// A thread cannot be ended from outside: one that is too slow goes on, and nobody waits for it.
pub async fn run<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NoResult> {
    let (done, result) = oneshot::channel();
    std::thread::Builder::new()
        .name("rules".to_owned())
        .stack_size(STACK)
        // Who waits no longer has no use for the result.
        .spawn(move || drop(done.send(work())))?;
    match tokio::time::timeout(limit, result).await {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(_)) => Err(NoResult::BrokenOff),
        Err(_) => Err(NoResult::TooSlow(limit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_ends_in_time_gives_its_result() {
        assert_eq!(run(RULES_LIMIT, || 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn work_that_takes_too_long_is_no_result() {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let error = run(Duration::from_millis(100), move || stopped.recv().is_ok())
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "the rules took longer than 0.1 s");
        drop(stop);
    }

    #[tokio::test]
    async fn work_that_panics_is_no_result() {
        let error = run(RULES_LIMIT, || assert_eq!(1, 2)).await.unwrap_err();
        assert!(matches!(error, NoResult::BrokenOff), "{error}");
    }

    #[tokio::test]
    async fn work_may_nest_deep() {
        fn depth(left: u32) -> u32 {
            let page = std::hint::black_box([0u8; 1024]);
            if left == 0 {
                u32::from(page[0])
            } else {
                1 + depth(left - 1)
            }
        }
        assert_eq!(run(RULES_LIMIT, || depth(50_000)).await.unwrap(), 50_000);
    }
}
