//! The state of the transaction and of the connection.

use pgrx::pg_sys;
use std::ffi::{CStr, c_char};

/// True when nothing can be written: a read-only transaction, or a standby.
pub fn is_read_only() -> bool {
    // SAFETY: reads of the backend's own state.
    unsafe { pg_sys::XactReadOnly || pg_sys::RecoveryInProgress() }
}

/// The login role, which SET ROLE does not change and which no client can choose.
pub fn session_user() -> String {
    // SAFETY: the session's user exists, and the name is a C string in the server's memory.
    unsafe { owned(pg_sys::GetUserNameFromId(pg_sys::GetSessionUserId(), false)) }
}

/// The role in effect outside any function: SET ROLE counts, SECURITY DEFINER does not.
pub fn outer_user() -> String {
    // SAFETY: as above.
    unsafe { owned(pg_sys::GetUserNameFromId(pg_sys::GetOuterUserId(), false)) }
}

/// True when the role in effect outside any function is auth_admin or inherits from it; superusers do.
pub fn is_trusted_role() -> bool {
    // SAFETY: catalogue look-ups by name and oid; a missing role is InvalidOid.
    unsafe {
        let admin = pg_sys::get_role_oid(c"auth_admin".as_ptr(), true);
        admin != pg_sys::InvalidOid && pg_sys::has_privs_of_role(pg_sys::GetOuterUserId(), admin)
    }
}

/// The HTTP method that PostgREST has noted; none outside a request. Anybody can set it: it is no authority.
pub fn request_method() -> Option<String> {
    // SAFETY: a look-up by name; the value is copied.
    let value = unsafe { pg_sys::GetConfigOption(c"request.method".as_ptr(), true, false) };
    // SAFETY: null or a C string.
    (!value.is_null()).then(|| unsafe { owned(value) }).filter(|method| !method.is_empty())
}

/// Microseconds since 2000-01-01, as timestamps count, now and not at the start of the transaction.
pub fn clock() -> i64 {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}

/// Which committed state, and which of our own changes, the running statement sees. Two equal ones see the same rows:
/// the server counts every transaction (and subtransaction) that ends after having written, and every own command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    completions: u64,
    command: u32,
}

impl Moment {
    /// That of the statement that called us; none where it cannot be told, and nothing may then be remembered.
    pub fn now() -> Option<Self> {
        // SAFETY: an active snapshot stays valid while the statement runs, and only two numbers are copied from it.
        unsafe {
            if !pg_sys::ActiveSnapshotSet() {
                return None;
            }
            let snapshot = &*pg_sys::GetActiveSnapshot();
            let moment = Moment { completions: snapshot.snapXactCompletionCount, command: snapshot.curcid };
            // A parallel worker lives for one plan with one restored snapshot, which has no count.
            (moment.completions != 0 || pg_sys::ParallelWorkerNumber >= 0).then_some(moment)
        }
    }
}

/// # Safety
/// The pointer must be a C string.
unsafe fn owned(text: *const c_char) -> String {
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
