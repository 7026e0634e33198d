//! Errors on their way out.

use super::request;
use crate::error::{Error, Result};
use pgrx::pg_sys;
use serde_json::{Value, json};
use std::ffi::{CString, c_char, c_int};

// pgrx can raise the SQLSTATEs of a closed list only, and "PGRST" is not among them.
unsafe extern "C-unwind" {
    fn errstart(elevel: c_int, domain: *const c_char) -> bool;
    fn errcode(sqlerrcode: c_int) -> c_int;
    fn errmsg_internal(format: *const c_char, ...) -> c_int;
    fn errdetail_internal(format: *const c_char, ...) -> c_int;
    fn errhint(format: *const c_char, ...) -> c_int;
    fn errfinish(filename: *const c_char, lineno: c_int, funcname: *const c_char);
}

/// Runs the body of a public function; what it refuses is raised with the catalogue's SQLSTATE.
pub fn run<T>(body: impl FnOnce() -> Result<T>) -> T {
    match body() {
        Ok(value) => value,
        Err(error) => raise(error),
    }
}

/// A failed credential, as an answer: raising would roll back the record of the attempt with everything else.
pub fn answer(error: &Error, message: Option<String>, details: Value) -> Value {
    let entry = error.code.entry();
    if let Some(request) = request::current() {
        request.respond_with_status(entry.http);
    }
    json!({"code": entry.code, "message": message.unwrap_or_else(|| entry.sentence.to_owned()), "details": details, "hint": null})
}

/// Raises an error with the catalogue's SQLSTATE.
pub fn raise(error: Error) -> ! {
    let (sqlstate, message, detail) = render(&error);
    let hint = error.hint.filter(|_| request::current().is_none()).map(|hint| in_server_memory(hint.to_owned()));
    drop(error);
    let (message, detail) = (in_server_memory(message), in_server_memory(detail));
    // SAFETY: the error jumps over the frames between here and the server; nothing in them needs dropping any more, and the
    // strings lie in the server's memory. "%s", since a message is not a format.
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

/// The server's own refusal where a transaction's snapshot is older than what it is to change.
pub fn could_not_serialize() -> ! {
    pgrx::ereport!(ERROR, pgrx::PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE, "could not serialize access due to concurrent update");
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
