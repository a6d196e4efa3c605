//! Locks of this process.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes the lock. Who panicked while holding it has left whole values behind: each of them is changed by single
/// insertions and removals.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
