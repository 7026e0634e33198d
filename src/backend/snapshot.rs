//! What the calling statement sees, as something that can be compared: where it is the same, the same question has the same answer.

use super::state;
use pgrx::pg_sys;
use std::cell::Cell;
use std::ffi::c_void;

/// What a statement sees: of other transactions, those that had ended when its snapshot was taken; of our own, what was changed before this
/// command. Savepoints that are rolled back to take such changes back.
#[derive(PartialEq, Eq)]
pub struct Sight {
    bounds: (pg_sys::TransactionId, pg_sys::TransactionId),
    command: pg_sys::CommandId,
    rollbacks: u64,
    running: Vec<pg_sys::TransactionId>,
    running_below: Vec<pg_sys::TransactionId>,
    /// Where the snapshot is kept: when the statement began, since who is calling is asked anew in each.
    statement: Option<pg_sys::TimestampTz>,
}

thread_local! {
    static ROLLBACKS: Cell<u64> = const { Cell::new(0) };
}

unsafe extern "C-unwind" fn count_rollback(
    event: pg_sys::SubXactEvent::Type,
    _own: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _argument: *mut c_void,
) {
    if event == pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB {
        ROLLBACKS.set(ROLLBACKS.get().wrapping_add(1));
    }
}

/// A transaction that is prepared may have changed what is not to be seen any more, and its number is in no snapshot that was taken before.
unsafe extern "C-unwind" fn count_prepared(event: pg_sys::XactEvent::Type, _argument: *mut c_void) {
    if event == pg_sys::XactEvent::XACT_EVENT_PREPARE {
        ROLLBACKS.set(ROLLBACKS.get().wrapping_add(1));
    }
}

/// Begins to count rollbacks. Once, when the library is loaded.
pub fn define() {
    // SAFETY: the callbacks are functions of this module that neither panic nor raise; the library is never unloaded.
    unsafe {
        pg_sys::RegisterSubXactCallback(Some(count_rollback), std::ptr::null_mut());
        pg_sys::RegisterXactCallback(Some(count_prepared), std::ptr::null_mut());
    }
}

impl Sight {
    /// Of the active statement; none where that cannot be said.
    pub fn now() -> Option<Self> {
        active().map(|snapshot| Sight {
            bounds: (snapshot.xmin, snapshot.xmax),
            command: snapshot.curcid,
            rollbacks: ROLLBACKS.get(),
            running: running(snapshot).to_vec(),
            running_below: running_below(snapshot).to_vec(),
            statement: statement(),
        })
    }

    /// Whether the active statement sees the same.
    pub fn is_still(&self) -> bool {
        active().is_some_and(|snapshot| {
            self.bounds == (snapshot.xmin, snapshot.xmax)
                && self.command == snapshot.curcid
                && self.rollbacks == ROLLBACKS.get()
                && self.running == running(snapshot)
                && self.running_below == running_below(snapshot)
                && self.statement == statement()
        })
    }
}

fn active() -> Option<&'static pg_sys::SnapshotData> {
    // SAFETY: the active snapshot lives while a statement runs, and nobody here keeps the reference for longer than a comparison.
    unsafe {
        let snapshot = if pg_sys::ActiveSnapshotSet() { pg_sys::GetActiveSnapshot().as_ref() } else { None };
        snapshot.filter(|snapshot| snapshot.snapshot_type == pg_sys::SnapshotType::SNAPSHOT_MVCC)
    }
}

fn statement() -> Option<pg_sys::TimestampTz> {
    // SAFETY: a read of the backend's own state.
    state::keeps_snapshot().then(|| unsafe { pg_sys::GetCurrentStatementStartTimestamp() })
}

fn running(snapshot: &pg_sys::SnapshotData) -> &[pg_sys::TransactionId] {
    // SAFETY: as many as it says.
    unsafe { ids(snapshot.xip, snapshot.xcnt as usize) }
}

fn running_below(snapshot: &pg_sys::SnapshotData) -> &[pg_sys::TransactionId] {
    // SAFETY: as above; where there were too many, the server looks each up, and finds the same for the same snapshot.
    unsafe { ids(snapshot.subxip, snapshot.subxcnt.max(0) as usize) }
}

unsafe fn ids<'a>(first: *const pg_sys::TransactionId, count: usize) -> &'a [pg_sys::TransactionId] {
    // SAFETY: the caller's promise.
    if first.is_null() || count == 0 { &[] } else { unsafe { std::slice::from_raw_parts(first, count) } }
}
