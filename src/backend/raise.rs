//! Errors on their way out.

use super::json::WholeJson;
use super::{memory, request};
use crate::error::{Code, Error, Result};
use pgrx::pg_sys;
use pgrx::pg_sys::panic::CaughtError;
use pgrx::{PgSqlErrorCode, PgTryBuilder};
use serde_json::{Value, json};
use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int};
use std::panic::AssertUnwindSafe;

// pgrx can raise the SQLSTATEs of a closed list only, and "PGRST" is not among them.
unsafe extern "C-unwind" {
    fn errstart(elevel: c_int, domain: *const c_char) -> bool;
    fn errcode(sqlerrcode: c_int) -> c_int;
    fn errmsg_internal(format: *const c_char, ...) -> c_int;
    fn errdetail_internal(format: *const c_char, ...) -> c_int;
    fn errhint(format: *const c_char, ...) -> c_int;
    fn errfinish(filename: *const c_char, lineno: c_int, funcname: *const c_char);
}

thread_local! {
    /// While code of others runs, whose errors are theirs.
    static OTHERS: Cell<bool> = const { Cell::new(false) };
}

/// Runs the body of a public function, which owns the function's arguments: whoever raises jumps over what is left of the function, and what
/// somebody still owns there stays in memory for as long as the connection lasts. What the body refuses is raised with the catalogue's SQLSTATE. So is what the server refuses in the
/// instant between a check and the deed; nothing is undone by catching that, so it is raised again, in words that clients know.
pub fn run<T>(body: impl FnOnce() -> Result<T>) -> T {
    let before = OTHERS.replace(false);
    let outcome = PgTryBuilder::new(AssertUnwindSafe(body))
        .catch_others(|cause| {
            // The session has ended, or the right was withdrawn.
            if is_of_a_policy(&cause) {
                return Err(Code::PERMISSION_DENIED.into());
            }
            // A user, a session or a role that we speak of has just been deleted.
            if is_ours(&cause, PgSqlErrorCode::ERRCODE_FOREIGN_KEY_VIOLATION, "ri_ReportViolation") && is_key_of_ours(&cause) {
                could_not_serialize()
            }
            cause.rethrow()
        })
        .finally(|| OTHERS.set(before));
    match memory::with_reserve(|| outcome.execute()) {
        Ok(value) => value,
        Err(error) => raise(error),
    }
}

/// Runs what may run code of others, whose errors are not to be translated.
pub fn on_behalf_of_others<T>(body: impl FnOnce() -> T) -> T {
    OTHERS.set(true);
    let value = body();
    OTHERS.set(false);
    value
}

/// Runs something that fails where a unique key is somebody's: then what it has done is undone, and the answer is none.
pub fn unless_taken<T>(body: impl FnOnce() -> T) -> Option<T> {
    match within_savepoint(true, body) {
        Ok(value) => Some(value),
        Err(CaughtError::PostgresError(report)) if report.sql_error_code() == PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION => None,
        Err(cause) => cause.rethrow(),
    }
}

/// Runs something and undoes it: locks are let go again.
pub fn undone(body: impl FnOnce()) {
    within_savepoint(false, body).unwrap_or_else(|cause| cause.rethrow());
}

/// Runs something in a subtransaction, as PL/pgSQL's EXCEPTION has it, and keeps what it has done only if told to and it did not fail.
fn within_savepoint<T>(keep: bool, body: impl FnOnce() -> T) -> std::result::Result<T, CaughtError> {
    // SAFETY: the subtransaction ends here whatever comes: an error that left with it open would leave the connection in a failed transaction
    // that nobody has begun.
    unsafe {
        let (context, owner) = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::CurrentMemoryContext = context;
        let whole = || {
            let value = body();
            if keep {
                pg_sys::ReleaseCurrentSubTransaction();
            }
            Ok(value)
        };
        let outcome = PgTryBuilder::new(AssertUnwindSafe(whole)).catch_others(Err).execute();
        if outcome.is_err() || !keep {
            pg_sys::RollbackAndReleaseCurrentSubTransaction();
        }
        (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner) = (context, owner);
        outcome
    }
}

/// Runs something that a policy may refuse; then the answer is none, nothing is undone, and the caller must raise.
pub fn unless_refused<T>(body: impl FnOnce() -> T) -> Option<T> {
    PgTryBuilder::new(AssertUnwindSafe(|| Some(body())))
        .catch_when(PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE, |cause| if is_of_a_policy(&cause) { None } else { cause.rethrow() })
        .execute()
}

fn is_of_a_policy(cause: &CaughtError) -> bool {
    is_ours(cause, PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE, "ExecWithCheckOptions")
}

fn is_ours(cause: &CaughtError, code: PgSqlErrorCode, raised_by: &str) -> bool {
    !OTHERS.get()
        && matches!(cause, CaughtError::PostgresError(report) if report.sql_error_code() == code && report.function_name() == Some(raised_by))
}

/// Keys of an application that refer to us are violated for as long as they stand: to try again would be of no use.
fn is_key_of_ours(cause: &CaughtError) -> bool {
    const KEYS: [&str; 9] = [
        "sessions",
        "session_keys",
        "accounts",
        "passwords",
        "one_time_tokens",
        "user_roles",
        "bans",
        "role_permissions",
        "signing_secrets",
    ];
    let CaughtError::PostgresError(report) = cause else { return false };
    let mut names = report.message().split('"').skip(1).step_by(2);
    // "insert or update on table …", in any language: the first name is the table that was written to.
    names.next().is_some_and(|table| KEYS.contains(&table))
        && names.next().is_some_and(|key| KEYS.iter().any(|table| key.starts_with(&format!("{table}_"))))
}

/// A line in the server's log that no client can ask for, whatever its client_min_messages; each once in a connection, or a client
/// could fill the disk with them.
pub fn log_once(line: &str) {
    thread_local! {
        static SAID: std::cell::RefCell<std::collections::HashSet<String>> = std::cell::RefCell::default();
    }
    if SAID.with_borrow_mut(|said| said.len() < 100 && said.insert(line.to_owned())) {
        let line = in_server_memory(line.to_owned());
        // SAFETY: a C string in the server's memory; the call comes back.
        unsafe {
            if errstart(pg_sys::LOG_SERVER_ONLY as c_int, std::ptr::null()) {
                errmsg_internal(c"%s".as_ptr(), line);
                errfinish(c"pg_auth".as_ptr(), 0, c"pg_auth".as_ptr());
            }
        }
    }
}

/// A failed credential, as an answer: raising would roll back the record of the attempt with everything else.
pub fn answer(error: &Error, message: Option<String>, details: Value) -> WholeJson {
    let entry = error.code.entry();
    if let Some(request) = request::current() {
        request.respond_with_status(entry.http);
    }
    let message = message.unwrap_or_else(|| entry.sentence.to_owned());
    WholeJson::of(&json!({"code": entry.code, "message": message, "details": details, "hint": null}))
}

/// Raises an error with the catalogue's SQLSTATE.
fn raise(error: Error) -> ! {
    let (sqlstate, message, detail) = render(&error);
    let hint = error.hint.filter(|_| request::current().is_none()).map(in_server_memory);
    drop(error.data);
    let (message, detail) = (in_server_memory(message), in_server_memory(detail));
    // SAFETY: the error jumps over the frames between here and the server; nothing in them needs dropping any more (see `run`, which alone
    // calls this), and the strings lie in the server's memory. "%s", since a message is not a format.
    unsafe {
        if errstart(pg_sys::PGERROR as c_int, std::ptr::null()) {
            errcode(sqlstate);
            errmsg_internal(c"%s".as_ptr(), message);
            errdetail_internal(c"%s".as_ptr(), detail);
            if let Some(hint) = hint {
                errhint(c"%s".as_ptr(), hint);
            }
            errfinish(c"pg_auth".as_ptr(), 0, c"pg_auth".as_ptr());
        }
    }
    unreachable!("an ERROR does not return")
}

/// Tells the client something, with advice.
pub fn notice(message: &str, hint: &str) {
    let (message, hint) = (in_server_memory(message.to_owned()), in_server_memory(hint.to_owned()));
    // SAFETY: C strings in the server's memory; the call comes back.
    unsafe {
        if errstart(pg_sys::NOTICE as c_int, std::ptr::null()) {
            errmsg_internal(c"%s".as_ptr(), message);
            errhint(c"%s".as_ptr(), hint);
            errfinish(c"pg_auth".as_ptr(), 0, c"pg_auth".as_ptr());
        }
    }
}

/// The server's own refusal where a transaction's snapshot is older than what it is to change.
pub fn could_not_serialize() -> ! {
    pgrx::ereport!(ERROR, pgrx::PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE, "could not serialize access due to concurrent update");
}

/// The server's own refusal of a table or an index that is not there.
pub fn undefined_table(name: &CStr) -> ! {
    pgrx::ereport!(ERROR, PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE, format!("relation \"{}\" does not exist", name.to_string_lossy()));
}

/// Where somebody has changed a table of ours so that it cannot be read.
pub fn changed_table() -> ! {
    pgrx::ereport!(ERROR, PgSqlErrorCode::ERRCODE_DATATYPE_MISMATCH, "a table is not as pg_auth has made it");
}

/// Ends the connection, in order. Allocates nothing.
pub fn out_of_memory() -> ! {
    // SAFETY: nothing comes back from a FATAL, so nothing on the stack is jumped over: the process exits.
    unsafe {
        if errstart(pg_sys::FATAL as c_int, std::ptr::null()) {
            errcode(sqlstate("53200"));
            errmsg_internal(c"out of memory".as_ptr());
            errfinish(c"pg_auth".as_ptr(), 0, c"pg_auth".as_ptr());
        }
    }
    unreachable!("a FATAL does not return")
}

fn render(error: &Error) -> (c_int, String, String) {
    let entry = error.code.entry();
    if request::current().is_none() {
        return (sqlstate(entry.sqlstate), entry.sentence.to_owned(), error.detail());
    }
    // PostgREST makes the response of these two.
    let mut headers = json!({});
    if let 429 | 503 = entry.http {
        headers["Retry-After"] = json!(error.data.as_deref().unwrap_or("1"));
    }
    if error.forgets_cookie {
        headers["Set-Cookie"] = json!(request::FORGET_COOKIE);
    }
    let body = json!({"code": entry.code, "message": entry.sentence, "details": error.detail(), "hint": error.hint});
    let response = json!({"status": entry.http, "headers": headers});
    (sqlstate("PGRST"), body.to_string(), response.to_string())
}

/// MAKE_SQLSTATE of utils/elog.h: six bits a character.
fn sqlstate(code: &str) -> c_int {
    code.bytes().rev().fold(0, |packed, c| (packed << 6) | ((c_int::from(c) - c_int::from(b'0')) & 0x3F))
}

fn in_server_memory(text: String) -> *const c_char {
    let text = CString::new(text.replace('\0', "")).unwrap_or_default();
    // SAFETY: pstrdup copies up to the NUL.
    unsafe { pg_sys::pstrdup(text.as_ptr()) }
}
