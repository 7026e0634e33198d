//! Keeps passwords and tokens out of the server's log: of statements that call what takes one, the text and the parameters are left out.
//! Everything else about them stays: that they ran, how long they took, how they failed. From the moment at which the library is loaded.

use crate::config;
use pgrx::{pg_guard, pg_sys};
use std::ffi::{CStr, c_char};
use std::sync::OnceLock;

/// What a statement with a secret in it mentions. Lower case.
const SECRETIVE: [&[u8]; 9] = [
    b"password",
    b"sign_in",
    b"sign_up",
    b"use_session",
    b"refresh_session",
    b"verify_email",
    b"create_user",
    b"import_users",
    b"verifier",
];

static NEXT: OnceLock<pg_sys::emit_log_hook_type> = OnceLock::new();

/// Takes its place in the chain of hooks. When the library is loaded.
pub fn define() {
    // SAFETY: the server calls hooks in the process that has set them; who was there before is called first.
    unsafe {
        if NEXT.set(pg_sys::emit_log_hook).is_ok() {
            pg_sys::emit_log_hook = Some(redact);
        }
    }
}

/// Allocates nothing and raises nothing: an error in here would be reported by calling this again.
#[pg_guard]
unsafe extern "C-unwind" fn redact(report: *mut pg_sys::ErrorData) {
    // SAFETY: the server's own report, whose strings are null or end with NUL and are ours to shorten.
    unsafe {
        if let Some(Some(next)) = NEXT.get() {
            next(report);
        }
        let Some(report) = report.as_mut().filter(|_| config::redact_log()) else { return };
        let statement = octets(pg_sys::debug_query_string);
        let is_secretive = [statement, octets(report.message), octets(report.detail)].into_iter().any(mentions_a_secret)
            // SQL's own EXECUTE names a prepared statement, and not what that calls.
            || statement.trim_ascii_start().get(..7).is_some_and(|word| word.eq_ignore_ascii_case(b"execute"));
        if !is_secretive {
            return;
        }
        report.hide_stmt = true;
        report.hide_ctx = true;
        // Errors are the client's too, who has written the statement; what only goes to the log is the rest.
        if report.elevel == pg_sys::LOG as i32 {
            let message = octets(report.message);
            let end = [b"statement: ".as_slice(), b"plan:", b": "]
                .into_iter()
                .find_map(|mark| message.windows(mark.len()).position(|window| window == mark).map(|at| at + mark.len()));
            if let Some(end) = end {
                *report.message.add(end) = 0;
            }
            report.detail = std::ptr::null_mut();
            report.detail_log = std::ptr::null_mut();
        }
    }
}

fn mentions_a_secret(text: &[u8]) -> bool {
    SECRETIVE.iter().any(|word| text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word)))
}

/// # Safety
/// Null, or a C string that lives as long as the result is used.
unsafe fn octets<'a>(text: *const c_char) -> &'a [u8] {
    // SAFETY: the caller's promise.
    if text.is_null() { &[] } else { unsafe { CStr::from_ptr(text) }.to_bytes() }
}
