//! Slots: how many backends of the cluster may hash a password at once. Without a bound, two hundred sign-ins at once would take two
//! hundred times the memory of one, and every core for as long.
//!
//! A slot is a lock of the server's own lock manager, of the kind of advisory locks but in no database, where no statement can name it:
//! nobody can take one from outside, no preloading is needed, and the server itself lets go of it when a transaction or a process ends.

use pgrx::pg_sys;
use std::time::{Duration, Instant};

/// Told apart from pg_advisory_lock(), whose fourth field is 1 or 2.
const OURS: u16 = 0x7061;
const LONGEST_NAP: Duration = Duration::from_millis(20);

/// A slot that is held. Let go of when it is dropped.
pub struct Slot(pg_sys::LOCKTAG);

impl Slot {
    /// Takes one of so many slots of the cluster, or none when none came free in time.
    pub fn take(slots: u32, wait: Duration) -> Option<Self> {
        let began = Instant::now();
        let mut nap = Duration::from_millis(1);
        loop {
            // Not everybody at the first one.
            let first = std::process::id() % slots;
            if let Some(slot) = (0..slots).find_map(|n| Self::try_take((first + n) % slots)) {
                return Some(slot);
            }
            let left = wait.saturating_sub(began.elapsed());
            if left.is_zero() {
                return None;
            }
            // SAFETY: sleeps. A signal ends it early, and what it asks for is done here.
            unsafe { pg_sys::pg_usleep(nap.min(left).as_micros() as _) };
            pgrx::check_for_interrupts!();
            nap = (nap * 2).min(LONGEST_NAP);
        }
    }

    fn try_take(number: u32) -> Option<Self> {
        let tag = pg_sys::LOCKTAG {
            locktag_field1: 0,
            locktag_field2: 0,
            locktag_field3: number,
            locktag_field4: OURS,
            locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
            locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
        };
        // SAFETY: a well-formed tag; the lock belongs to the transaction, which lets go of it in any case.
        let outcome = unsafe { pg_sys::LockAcquire(&tag, pg_sys::ExclusiveLock as i32, false, true) };
        (outcome == pg_sys::LockAcquireResult::LOCKACQUIRE_OK).then_some(Slot(tag))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // SAFETY: it is held: nothing of the server ran since that could have ended the transaction.
        unsafe { pg_sys::LockRelease(&self.0, pg_sys::ExclusiveLock as i32, false) };
    }
}
