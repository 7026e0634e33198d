//! The state of the transaction and of the connection.

use pgrx::{Uuid, direct_function_call, direct_function_call_as_datum, pg_sys};
use std::cell::Cell;
use std::ffi::{CStr, c_char};
use std::net::IpAddr;

/// True when nothing can be written: a read-only transaction, or a standby.
pub fn is_read_only() -> bool {
    // SAFETY: reads of the backend's own state.
    unsafe { pg_sys::XactReadOnly || pg_sys::RecoveryInProgress() }
}

/// True between BEGIN and COMMIT.
pub fn is_transaction_block() -> bool {
    // SAFETY: as above.
    unsafe { pg_sys::IsTransactionBlock() }
}

/// True where the transaction keeps the snapshot that it began with, which may be one that somebody else has exported long before.
pub fn keeps_snapshot() -> bool {
    // SAFETY: a read of the backend's own state.
    unsafe { pg_sys::XactIsoLevel >= pg_sys::XACT_REPEATABLE_READ as i32 }
}

/// True on a standby.
pub fn is_recovering() -> bool {
    // SAFETY: as above.
    unsafe { pg_sys::RecoveryInProgress() }
}

/// The login role, which SET ROLE does not change and which no client can choose.
pub fn session_user() -> String {
    // SAFETY: the session's user exists, and the name is a C string in the server's memory.
    unsafe { owned(pg_sys::GetUserNameFromId(pg_sys::GetSessionUserId(), false)) }
}

/// The address that the connection comes from; none through a socket of the machine.
pub fn client_address() -> Option<IpAddr> {
    // SAFETY: functions that only read the backend's own state and what they are given: an inet, whose address host() takes.
    let text: Option<String> = unsafe {
        let address: Option<pg_sys::Datum> = direct_function_call_as_datum(pg_sys::inet_client_addr, &[]);
        direct_function_call(pg_sys::network_host, &[Some(address?)])
    };
    text?.parse().ok()
}

/// The database's oid.
pub fn database() -> u32 {
    // SAFETY: a read of the backend's own state.
    unsafe { pg_sys::MyDatabaseId }.to_u32()
}

/// The role in effect outside any function: SET ROLE counts, SECURITY DEFINER does not.
pub fn outer_user() -> String {
    // SAFETY: as above.
    unsafe { owned(pg_sys::GetUserNameFromId(pg_sys::GetOuterUserId(), false)) }
}

/// True while code runs that the caller did not choose to run: expressions of an index during ANALYZE or REINDEX (autovacuum's
/// too), a materialized view's query, the triggers of a table that follows a foreign key, and all that happens while a user's
/// row is being deleted. PostgreSQL runs these for whoever owns the table; neither the identity nor the trust of the caller may
/// reach them, or every role that can create a table would act as the administrator whose statement passes by.
pub fn is_strangers_code() -> bool {
    // SAFETY: reads of the backend's own state.
    ERASING.get().is_some() || unsafe { pg_sys::InSecurityRestrictedOperation() || pg_sys::InNoForceRLSOperation() }
}

thread_local! {
    static ERASING: Cell<Option<Uuid>> = const { Cell::new(None) };
}

/// The user whose row is being deleted.
pub fn erasing() -> Option<Uuid> {
    ERASING.get()
}

/// Runs the deletion of a user's row as auth_eraser, as whom anybody's code may run, in a security-restricted operation: the server
/// then refuses whatever would outlive it (deferred triggers, cursors held past the end, prepared statements, temporary tables), also
/// in parallel workers; and what was SET or RESET within is undone.
pub fn while_erasing<T>(user: Uuid, deletion: impl FnOnce() -> T) -> T {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            ERASING.set(None);
        }
    }
    ERASING.set(Some(user));
    let _reset = Reset;
    // SAFETY: user, context and settings are set back below; an error in between ends the transaction or the subtransaction, which
    // sets them back too.
    unsafe {
        let eraser = pg_sys::get_role_oid(c"auth_eraser".as_ptr(), false);
        let settings = pg_sys::NewGUCNestLevel();
        let outcome = as_user(eraser, pg_sys::SECURITY_RESTRICTED_OPERATION, deletion);
        pg_sys::AtEOXact_GUC(false, settings);
        outcome
    }
}

/// Runs something as auth_door, which owns the doors: for what must itself be SECURITY INVOKER, and for the doors that are no functions in SQL.
pub fn as_door<T>(body: impl FnOnce() -> T) -> T {
    // SAFETY: the installation made that role; without it this is an error.
    unsafe { as_user(pg_sys::get_role_oid(c"auth_door".as_ptr(), false), 0, body) }
}

/// Runs something as the role in effect outside any function.
pub fn as_outer_user<T>(body: impl FnOnce() -> T) -> T {
    // SAFETY: that role exists.
    unsafe { as_user(pg_sys::GetOuterUserId(), 0, body) }
}

/// Runs something as another role, under a restriction besides those that hold.
///
/// # Safety
/// The role must exist.
pub(super) unsafe fn as_user<T>(role: pg_sys::Oid, restriction: u32, body: impl FnOnce() -> T) -> T {
    // SAFETY: as the server itself does around a SECURITY DEFINER function.
    unsafe {
        let (mut before, mut context) = (pg_sys::InvalidOid, 0);
        pg_sys::GetUserIdAndSecContext(&mut before, &mut context);
        pg_sys::SetUserIdAndSecContext(role, context | (pg_sys::SECURITY_LOCAL_USERID_CHANGE | restriction) as i32);
        let outcome = body();
        pg_sys::SetUserIdAndSecContext(before, context);
        outcome
    }
}

/// True when the role in effect outside any function is auth_admin or inherits from it; superusers do.
pub fn is_trusted_role() -> bool {
    if is_strangers_code() {
        return false;
    }
    // SAFETY: catalogue look-ups by name and oid; a missing role is InvalidOid.
    unsafe {
        let admin = pg_sys::get_role_oid(c"auth_admin".as_ptr(), true);
        admin != pg_sys::InvalidOid && pg_sys::has_privs_of_role(pg_sys::GetOuterUserId(), admin)
    }
}

/// True when the role in effect outside any function is a superuser.
pub fn is_superuser() -> bool {
    // SAFETY: a catalogue look-up.
    unsafe { pg_sys::superuser_arg(pg_sys::GetOuterUserId()) }
}

/// Microseconds since 2000-01-01, as timestamps count, now and not at the start of the transaction.
pub fn clock() -> i64 {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}

/// Runs something that strangers may ask for, and answers at the next whole millisecond: how long it took by the microsecond would tell
/// whether there is somebody to write to.
pub fn to_the_millisecond<T>(body: impl FnOnce() -> T) -> T {
    const STEP: u128 = 1_000;
    let began = std::time::Instant::now();
    let value = body();
    let rest = STEP - began.elapsed().as_micros() % STEP;
    // SAFETY: sleeps for less than a millisecond; a signal ends it early.
    unsafe { pg_sys::pg_usleep(rest as i64) };
    value
}

/// Such a moment in seconds since 1970.
pub fn unix_time(moment: i64) -> i64 {
    moment.div_euclid(1_000_000) + 946_684_800
}

/// # Safety
/// The pointer must be a C string.
unsafe fn owned(text: *const c_char) -> String {
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
