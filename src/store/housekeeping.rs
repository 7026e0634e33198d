//! What is over.

use super::{Mode, call, first};

/// Deletes what is over, so many rows of each kind; how many they were. Seconds: for how long failed attempts and done messages count.
pub fn purge(max_rows: i32, attempts: i32, messages: i32) -> i64 {
    call("select auth_private.purge($1, $2, $3)", &[max_rows.into(), attempts.into(), messages.into()]).unwrap_or(0)
}

/// One call of purge_expired, where the extension is in this database; how many rows it deleted. Only superusers can make an extension
/// of that name, so the function is ours.
pub fn purge_here() -> i32 {
    let here = first(
        Mode::Read,
        "select from pg_catalog.pg_extension e where e.extname operator(pg_catalog.=) 'pg_auth' and pg_catalog.to_regprocedure('auth.purge_expired(integer)') is not null",
        &[],
        |_| (),
    );
    here.and_then(|()| call("select auth.purge_expired()", &[])).unwrap_or(0)
}
