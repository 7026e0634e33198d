//! Attempts at passwords, counted in shared memory, where no rollback, no savepoint and no connection that breaks off takes one back.
//! Only where the library is in shared_preload_libraries; elsewhere the table auth_private.failed_attempts counts alone.

use super::state;
use crate::domain::attempt_counts::{Counts, Key};
use crate::domain::token::random_bytes;
use pgrx::shmem::PGRXSharedMemory;
use pgrx::{PgLwLock, pg_guard, pg_shmem_init, pg_sys};
use sha2::{Digest, Sha256};
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
        pg_shmem_init!(COUNTS = Counts::new(random_bytes()));
        IS_PRELOADED.store(true, Ordering::Relaxed);
    }
}

/// Whether the library was preloaded, and these counters are there.
pub fn are_there() -> bool {
    IS_PRELOADED.load(Ordering::Relaxed)
}

/// Seconds to wait, where an attempt must not be made.
pub fn may(subjects: &[Vec<u8>], most: i32, window: i32) -> Result<(), i64> {
    ask(subjects, |counts, keys, now| counts.may(keys, most.unsigned_abs(), window.into(), now))
}

/// Counts an attempt that is about to be made; seconds to wait instead, where it must not be.
pub fn charge(subjects: &[Vec<u8>], most: i32, window: i32) -> Result<(), i64> {
    ask(subjects, |counts, keys, now| counts.charge(keys, most.unsigned_abs(), window.into(), now))
}

fn ask(subjects: &[Vec<u8>], question: impl FnOnce(&mut Counts, &[Key], i64) -> Result<(), i64>) -> Result<(), i64> {
    if !are_there() {
        return Ok(());
    }
    let (keys, now) = (keys(subjects), state::clock());
    question(&mut COUNTS.exclusive(), &keys, now)
}

/// Clears a count.
pub fn forgive(subject: &[u8]) {
    if are_there() {
        let key = key(COUNTS.share().secret, subject);
        COUNTS.exclusive().forgive(&key);
    }
}

/// Takes one attempt back from each.
pub fn give_back(subjects: &[Vec<u8>]) {
    if are_there() {
        let keys = keys(subjects);
        let mut counts = COUNTS.exclusive();
        keys.iter().for_each(|key| counts.give_back(key));
    }
}

fn keys(subjects: &[Vec<u8>]) -> Vec<Key> {
    let secret = COUNTS.share().secret;
    subjects.iter().map(|subject| key(secret, subject)).collect()
}

/// All databases have the memory in common.
fn key(secret: Key, subject: &[u8]) -> Key {
    let digest = Sha256::new().chain_update(secret).chain_update(state::database().to_le_bytes()).chain_update(subject).finalize();
    std::array::from_fn(|n| digest[n])
}
