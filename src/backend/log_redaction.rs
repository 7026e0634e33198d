//! Keeps passwords and tokens out of the server's log: of statements that call what takes one, the text and the parameters are left out.
//! Everything else about them stays: that they ran, how long they took, how they failed. From the moment at which the library is loaded.

use crate::config;
use pgrx::{pg_guard, pg_sys};
use std::ffi::{CStr, c_char};
use std::sync::OnceLock;

/// What a statement with a secret in it mentions. Lower case.
const SECRETIVE: [&[u8]; 13] = [
    b"password",
    b"sign_in",
    b"sign_up",
    b"use_session",
    b"refresh_session",
    b"verify_email",
    b"create_user",
    b"import_users",
    b"verifier",
    // What a gateway notes about a request.
    b"request.headers",
    b"request.cookie",
    b"request.jwt",
    // A name in escapes could be any of these.
    b"u&\"",
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
    // SAFETY: the server's own report, whose strings are null or end with NUL and are ours to shorten or to leave out.
    unsafe {
        if let Some(Some(next)) = NEXT.get() {
            next(report);
        }
        let Some(report) = report.as_mut().filter(|_| config::redact_log()) else { return };
        let is_secretive = |text: *const c_char| mentions_a_secret(octets(text));
        let statement = octets(pg_sys::debug_query_string);
        // SQL's own EXECUTE names a prepared statement, and not what that calls.
        let hides = mentions_a_secret(statement) || executes(statement);
        report.hide_stmt |= hides;
        report.hide_ctx |= hides || is_secretive(report.context);
        // What only the log gets of other connections, and what a function of somebody's has composed.
        if hides || is_secretive(report.detail_log) {
            report.detail_log = std::ptr::null_mut();
        }
        if is_secretive(report.internalquery) {
            report.internalquery = std::ptr::null_mut();
            report.internalpos = 0;
        }
        // The tree of a statement, which has its constants.
        if report.elevel == pg_sys::LOG as i32 && hides && is_tree(octets(report.message)) {
            report.detail = std::ptr::null_mut();
        }
        // A message that is a statement. The detail has its parameters.
        if report.elevel == pg_sys::LOG as i32
            && let Some(end) = before_statement(octets(report.message))
            && (hides || is_secretive(report.message) || is_secretive(report.detail))
        {
            *report.message.add(end) = 0;
            report.detail = std::ptr::null_mut();
        }
    }
}

/// Where the statement begins in "statement: …", "execute …: …" and "duration: … ms  statement: …" (parse, bind, execute, plan); none
/// in any other message.
fn before_statement(message: &[u8]) -> Option<usize> {
    let after =
        |mark: &[u8], from: usize| message[from..].windows(mark.len()).position(|window| window == mark).map(|at| from + at + mark.len());
    if message.starts_with(b"duration: ") {
        return after(b" ms  ", 0).and_then(|from| after(b":", from));
    }
    if message.starts_with(b"statement: ") || message.starts_with(b"execute ") { after(b":", 0) } else { None }
}

/// What debug_print_parse and its kin write.
fn is_tree(message: &[u8]) -> bool {
    [b"parse tree:".as_slice(), b"rewritten parse tree:", b"plan:"].contains(&message)
}

/// EXECUTE and whatever may stand between it and a name.
fn executes(statement: &[u8]) -> bool {
    const EXECUTE: &[u8] = b"execute";
    let is_space = |octet: &u8| octet.is_ascii_whitespace() || *octet == 0x0b;
    let others = [b"function".as_slice(), b"procedure", b"on"];
    statement.windows(EXECUTE.len()).enumerate().filter(|(_, window)| window.eq_ignore_ascii_case(EXECUTE)).any(|(at, _)| {
        let rest = &statement[at + EXECUTE.len()..];
        let next = &rest[rest.iter().take_while(|octet| is_space(octet)).count()..];
        let ends = next.len() < rest.len() || [b"/*".as_slice(), b"--", b"\""].iter().any(|start| rest.starts_with(start));
        // "grant execute on", "execute function f()" of a trigger.
        let is_other = |word: &&[u8]| {
            next.get(..word.len()).is_some_and(|next| next.eq_ignore_ascii_case(word)) && next.get(word.len()).is_some_and(is_space)
        };
        ends && !others.iter().any(is_other)
    })
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
