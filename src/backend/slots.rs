//! Slots: how many backends of the cluster may hash a password at once. Without a bound, two hundred sign-ins at once would take two
//! hundred times the memory of one, and every core for as long.
//!
//! A slot is a lock of the server's own lock manager, of the kind of advisory locks but in no database, where no statement can name it:
//! nobody can take one from outside, no preloading is needed, and the server itself lets go of it when a transaction or a process ends.

use super::memory;
use pgrx::{PgSqlErrorCode, PgTryBuilder, pg_sys};
use std::time::{Duration, Instant};

/// Told apart from pg_advisory_lock(), whose fourth field is 1 or 2.
const OURS: u16 = 0x7061;
/// The place at the head of the line, which is no slot.
const LINE: u32 = u32::MAX;
/// Microseconds.
const NAP: i64 = 1_000;

/// A slot that is held. Let go of when it is dropped.
pub struct Slot(pg_sys::LOCKTAG);

impl Slot {
    /// Takes one of so many slots of the cluster, or none when none came free in so many milliseconds: the caller must then raise.
    /// Everybody stands in one line, of which only the first looks for a slot: in turn, and without many asking again and again.
    pub fn take(slots: u32, wait: i32) -> Option<Self> {
        let began = Instant::now();
        let wait_for = Duration::from_millis(wait.unsigned_abs().into());
        let first_in_line = acquire(LINE, true).or_else(|| if wait > 0 { stand_in_line(wait) } else { None })?;
        loop {
            if let Some(slot) = (0..slots).find_map(|number| acquire(number, true)) {
                drop(first_in_line);
                memory::is_asked_for(true);
                return Some(slot);
            }
            if began.elapsed() >= wait_for {
                return None;
            }
            // SAFETY: sleeps. A signal ends it early, and what it asks for is done here.
            unsafe { pg_sys::pg_usleep(NAP) };
            pgrx::check_for_interrupts!();
        }
    }
}

fn stand_in_line(wait: i32) -> Option<Slot> {
    let _timeout = LockTimeout::at_most(wait);
    // Whoever waits holds back nobody but those behind: what holds a slot waits for nothing.
    PgTryBuilder::new(|| acquire(LINE, false)).catch_when(PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE, |_| None).execute()
}

fn acquire(number: u32, at_once: bool) -> Option<Slot> {
    let tag = pg_sys::LOCKTAG {
        locktag_field1: 0,
        locktag_field2: 0,
        locktag_field3: number,
        locktag_field4: OURS,
        locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
        locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
    };
    // SAFETY: a well-formed tag; the lock belongs to the transaction, which lets go of it in any case.
    let outcome = unsafe { pg_sys::LockAcquire(&tag, pg_sys::ExclusiveLock as i32, false, at_once) };
    (outcome == pg_sys::LockAcquireResult::LOCKACQUIRE_OK).then(|| Slot(tag))
}

impl Drop for Slot {
    fn drop(&mut self) {
        memory::is_asked_for(false);
        // SAFETY: it is held: nothing of the server ran since that could have ended the transaction.
        unsafe { pg_sys::LockRelease(&self.0, pg_sys::ExclusiveLock as i32, false) };
    }
}

/// `lock_timeout`, for a while.
struct LockTimeout(i32);

impl LockTimeout {
    fn at_most(milliseconds: i32) -> Self {
        // SAFETY: the variable behind the setting; nobody else in this process reads it meanwhile.
        unsafe {
            let before = pg_sys::LockTimeout;
            pg_sys::LockTimeout = if before > 0 { before.min(milliseconds) } else { milliseconds };
            LockTimeout(before)
        }
    }
}

impl Drop for LockTimeout {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { pg_sys::LockTimeout = self.0 };
    }
}
