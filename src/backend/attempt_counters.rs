//! Attempts at passwords, counted in shared memory, where no rollback, no savepoint and no connection that breaks off takes one back.
//! Only where the library is in shared_preload_libraries; elsewhere the table auth_private.failed_attempts counts alone.

use super::state;
use crate::domain::attempt_counts::{Counts, Key};
use pgrx::shmem::PGRXSharedMemory;
use pgrx::{PgLwLock, pg_guard, pg_shmem_init, pg_sys};
use std::sync::atomic::{AtomicBool, Ordering};

// SAFETY: plain numbers, no pointers.
unsafe impl PGRXSharedMemory for Counts {}

// SAFETY: nobody else has a tranche of this name.
static COUNTS: PgLwLock<Counts> = unsafe { PgLwLock::new(c"pg_auth_attempts") };
static IS_PRELOADED: AtomicBool = AtomicBool::new(false);

/// Asks for the memory. When the library is loaded.
pub fn define() {
    // SAFETY: a read of the postmaster's own state.
    if unsafe { pg_sys::process_shared_preload_libraries_in_progress } {
        pg_shmem_init!(COUNTS = Counts::EMPTY);
        IS_PRELOADED.store(true, Ordering::Relaxed);
    }
}

/// Whether the library was preloaded, and these counters are there.
pub fn are_there() -> bool {
    IS_PRELOADED.load(Ordering::Relaxed)
}

/// Counts an attempt that is about to be made; seconds to wait instead, where it must not be.
pub fn charge(keys: &[Key], most: i32, window: i32) -> Result<(), i64> {
    if !are_there() {
        return Ok(());
    }
    let now = state::clock();
    COUNTS.exclusive().charge(keys, most.unsigned_abs(), window.into(), now)
}

/// Clears a count.
pub fn forgive(key: &Key) {
    if are_there() {
        COUNTS.exclusive().forgive(key);
    }
}

/// Takes one attempt back.
pub fn give_back(key: &Key) {
    if are_there() {
        COUNTS.exclusive().give_back(key);
    }
}
