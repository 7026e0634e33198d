//! Who is calling: the id of a session, in a setting that only this module can write.
//!
//! A setting, because then transactions, savepoints, functions' SET clauses, DISCARD ALL, poolers and parallel workers are
//! the server's own work. It says which session is in use, never that the session is good: that is asked at every statement.

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, pg_sys};
use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_void};

static IDENTITY: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);

const NAME: &CStr = c"auth.identity";

thread_local! {
    static WRITING: Cell<bool> = const { Cell::new(false) };
    /// What the setting says.
    static IN_USE: Cell<Option<Identity>> = const { Cell::new(None) };
}

thread_local! {
    /// Whom this transaction of a gateway has spoken for first: nobody, or a session. Not a setting: a rollback to a savepoint must
    /// not forget it.
    static SUBJECT: Cell<Option<Option<uuid::Uuid>>> = const { Cell::new(None) };
}

/// Behind a gateway a transaction is one request and speaks for one subject. Without this, SQL injected into a function behind the
/// gateway, where claims are believed, could go on as somebody else. Having spoken for nobody it may still show a token, never claims.
pub fn is_same_subject(session: Option<uuid::Uuid>, shows_token: bool) -> bool {
    let is_same = match SUBJECT.get() {
        None => true,
        Some(None) if shows_token => true,
        Some(subject) => subject == session,
    };
    if is_same {
        SUBJECT.set(Some(session));
    }
    is_same
}

unsafe extern "C-unwind" fn forget_subject(event: pg_sys::XactEvent::Type, _argument: *mut c_void) {
    use pg_sys::XactEvent::{XACT_EVENT_ABORT, XACT_EVENT_COMMIT, XACT_EVENT_PREPARE};
    if matches!(event, XACT_EVENT_ABORT | XACT_EVENT_COMMIT | XACT_EVENT_PREPARE) {
        SUBJECT.set(None);
    }
}

/// How long an identity lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// To the end of the transaction.
    Transaction,
    /// To the end of the connection.
    Connection,
}

/// The session in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The session's id.
    pub session: uuid::Uuid,
    /// How long it lasts.
    pub scope: Scope,
}

/// Defines the setting. Once, when the library is loaded.
pub fn define() {
    // SAFETY: the callback is a function of this module that neither panics nor raises; the library is never unloaded.
    unsafe { pg_sys::RegisterXactCallback(Some(forget_subject), std::ptr::null_mut()) };
    let flags = GucFlags::NO_SHOW_ALL | GucFlags::DISALLOW_IN_FILE | GucFlags::DISALLOW_IN_AUTO_FILE | GucFlags::SUPERUSER_ONLY;
    // SAFETY: the hook is a function of this module that neither panics nor raises.
    unsafe {
        GucRegistry::define_string_guc_with_hooks(
            NAME,
            c"The session in use; written by auth.use_session only.",
            c"",
            &IDENTITY,
            GucContext::Suset,
            flags,
            Some(check),
            Some(assign),
            None,
        );
    }
}

/// Lets only [`set`] write a value. SUSET stops everybody but superusers; this stops GRANT SET ON PARAMETER and a
/// superuser's slip too, who would otherwise act as a user whom the audit log then names.
unsafe extern "C-unwind" fn check(value: *mut *mut c_char, _extra: *mut *mut c_void, _source: pg_sys::GucSource::Type) -> bool {
    // SAFETY: the server hands over a valid pointer to null or a C string. A parallel worker restores its leader's value.
    unsafe {
        let value = *value;
        value.is_null() || *value == 0 || WRITING.get() || pg_sys::InitializingParallelWorker
    }
}

/// Follows the setting, also when a rollback or the end of a function sets it back: reading it is then a read of memory.
unsafe extern "C-unwind" fn assign(value: *const c_char, _extra: *mut c_void) {
    // SAFETY: null or a C string.
    IN_USE.set(if value.is_null() { None } else { parse(unsafe { CStr::from_ptr(value) }) });
}

fn parse(text: &CStr) -> Option<Identity> {
    let (scope, session) = text.to_str().ok()?.split_at_checked(1)?;
    let scope = match scope {
        "T" => Scope::Transaction,
        "C" => Scope::Connection,
        _ => return None,
    };
    Some(Identity { session: uuid::Uuid::parse_str(session).ok()?, scope })
}

/// The session in use, good or not. None in code that the caller did not choose to run.
pub fn get() -> Option<Identity> {
    if super::state::is_strangers_code() { None } else { IN_USE.get() }
}

/// Makes a session the one in use, or none.
pub fn set(identity: Option<Identity>) {
    match identity {
        None => {
            // A connection's identity is cleared for the connection; one of a transaction that lies over it falls with it.
            write(c"", Scope::Connection);
        }
        Some(Identity { session, scope }) => {
            let letter = match scope {
                Scope::Transaction => "T",
                Scope::Connection => "C",
            };
            let value = CString::new(format!("{letter}{session}")).unwrap_or_default();
            write(&value, scope);
        }
    }
}

/// Leaves the session in use, and none that lies beneath it: one of the connection beneath one of the transaction.
pub fn leave() {
    if let Some(Identity { scope, .. }) = get() {
        write(c"", scope);
    }
}

fn write(value: &CStr, scope: Scope) {
    let action = match scope {
        Scope::Transaction => pg_sys::GucAction::GUC_ACTION_LOCAL,
        Scope::Connection => pg_sys::GucAction::GUC_ACTION_SET,
    };
    WRITING.set(true);
    // SAFETY: both strings outlive the call, which copies them. It cannot fail: the hook lets it through; and WARNING as
    // the level of errors keeps the flag from staying set should a later version find another reason.
    unsafe {
        pg_sys::set_config_option(
            NAME.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_SUSET,
            pg_sys::GucSource::PGC_S_SESSION,
            action,
            true,
            pg_sys::WARNING as i32,
            false,
        );
    }
    WRITING.set(false);
}
