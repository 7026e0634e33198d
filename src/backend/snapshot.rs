//! What the calling statement sees, as something that can be compared: where it is the same, the same question has the same answer.

use pgrx::pg_sys;
use std::cell::Cell;
use std::ffi::c_void;

/// What a statement sees.
///
/// `snapXactCompletionCount` counts the transactions of the cluster that have ended, and is by what the server itself knows that a
/// snapshot can be used again (GetSnapshotDataReuse). With the command's number, which grows with every change of our own, and the number
/// of savepoints that were rolled back to, which takes such changes back, it says all.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    completed: u64,
    bounds: (pg_sys::TransactionId, pg_sys::TransactionId),
    command: pg_sys::CommandId,
    rollbacks: u64,
    /// Of a parallel worker, whose snapshot is its leader's and without a count: which one it is. It has that one for life.
    in_worker: usize,
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

/// Begins to count rollbacks. Once, when the library is loaded.
pub fn define() {
    // SAFETY: the callback is a function of this module that neither panics nor raises; the library is never unloaded.
    unsafe { pg_sys::RegisterSubXactCallback(Some(count_rollback), std::ptr::null_mut()) };
}

/// What the active statement sees; none where that cannot be said.
pub fn stamp() -> Option<Stamp> {
    // SAFETY: the active snapshot lives while a statement runs.
    unsafe {
        if !pg_sys::ActiveSnapshotSet() {
            return None;
        }
        let address = pg_sys::GetActiveSnapshot();
        let snapshot = &*address;
        let is_in_worker = pg_sys::ParallelWorkerNumber >= 0;
        if snapshot.snapXactCompletionCount == 0 && !is_in_worker {
            return None;
        }
        Some(Stamp {
            completed: snapshot.snapXactCompletionCount,
            bounds: (snapshot.xmin, snapshot.xmax),
            command: snapshot.curcid,
            rollbacks: ROLLBACKS.get(),
            in_worker: if is_in_worker { address as usize } else { 0 },
        })
    }
}
