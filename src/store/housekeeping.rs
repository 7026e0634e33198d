//! What is over.

use super::call;

/// Deletes what is over, so many rows of each kind; how many they were. Seconds: for how long failed attempts and done messages count.
pub fn purge(max_rows: i32, attempts: i32, messages: i32) -> i64 {
    call("select auth_private.purge($1, $2, $3)", &[max_rows.into(), attempts.into(), messages.into()]).unwrap_or(0)
}
