//! The server's uuids and those of everybody else, who need no server.

use crate::domain::token::random_bytes;
use std::time::{SystemTime, UNIX_EPOCH};

/// A new one, in order of time (UUIDv7, RFC 9562): what comes one after the other lands in the same pages of every index. It tells its own
/// moment and no more.
pub fn new() -> pgrx::Uuid {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    servers(uuid::Builder::from_unix_timestamp_millis(now.as_millis() as u64, &random_bytes()).into_uuid())
}

/// As the pure code has it.
pub fn pure(id: pgrx::Uuid) -> uuid::Uuid {
    uuid::Uuid::from_bytes(*id.as_bytes())
}

/// As the server has it.
pub fn servers(id: uuid::Uuid) -> pgrx::Uuid {
    pgrx::Uuid::from_bytes(*id.as_bytes())
}
