//! Taking turns, by locks of the server's own lock manager that no statement can name; see slots.rs. The transaction holds its turn to the end.

use super::state;
use pgrx::{Uuid, pg_sys};

/// Told apart from pg_advisory_lock(), whose fourth field is 1 or 2, and from slots.
const OURS: u16 = 0x7062;

/// Calls that replace the roles of one user take turns, those of the user themselves included: without it a role that somebody gives
/// themselves in a transaction left open would outlive the call that takes it from them, which cannot see it. No row, since what users
/// can hold at will an administrator must not wait for, and least of all while holding what a ban waits for.
pub fn at_roles_of(user: Uuid) {
    let half = |at: usize| u64::from_ne_bytes(user.as_bytes()[at..at + 8].try_into().unwrap_or_default());
    let mixed = half(0) ^ half(8).rotate_left(32);
    let tag = pg_sys::LOCKTAG {
        locktag_field1: state::database(),
        locktag_field2: (mixed >> 32) as u32,
        locktag_field3: mixed as u32,
        locktag_field4: OURS,
        locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
        locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
    };
    // SAFETY: a well-formed tag; waits, and is interruptible; released with the transaction.
    unsafe { pg_sys::LockAcquire(&tag, pg_sys::ExclusiveLock as i32, false, false) };
}
