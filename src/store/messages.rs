//! The mail queue.

use super::{call, first, run};
use crate::backend::json::Json;
use crate::backend::spi::{self, Mode};
use crate::domain::message::Kind;
use pgrx::Uuid;
use pgrx::datum::TimestampWithTimeZone;
use serde_json::Value;

/// After so many attempts a message is parked.
const MAX_ATTEMPTS: i32 = 10;

/// A message to be queued.
pub struct NewMessage<'a> {
    pub kind: Kind,
    /// Where it goes.
    pub address: &'a str,
    /// Whom it is about; none for nobody, to whom nothing is sent.
    pub user: Option<Uuid>,
    /// Whether it is to carry a token.
    pub with_token: bool,
    /// What the kind needs besides.
    pub payload: Value,
    /// Seconds within which only one is sent of a kind to an address.
    pub interval: i32,
}

/// Queues a message.
pub fn queue(message: NewMessage) {
    run(
        "select auth_private.queue_message($1, $2, $3, $4, $5, $6)",
        &[
            message.kind.name().into(),
            message.address.into(),
            message.user.into(),
            message.with_token.then(|| message.kind.name()).into(),
            Json(message.payload).into(),
            message.interval.into(),
        ],
    );
}

/// A message that a worker has taken.
pub struct Leased {
    pub id: Uuid,
    pub kind: String,
    pub recipient: String,
    /// What its token is to be for.
    pub token_purpose: Option<String>,
    pub user: Uuid,
    pub payload: Value,
    pub created_at: TimestampWithTimeZone,
}

/// Takes messages that are due. Seconds: how long they are hidden, and how long those that are done are kept.
pub fn lease(max_messages: i32, lease: i32, keep: i32) -> Vec<Leased> {
    spi::query(
        Mode::Write,
        "select m.id, m.kind, m.recipient, m.token_purpose, m.user_id, m.payload, m.created_at from auth_private.lease_messages($1, $2, $3, $4) m",
        &[max_messages.into(), lease.into(), keep.into(), MAX_ATTEMPTS.into()],
        |row| Leased {
            id: row.value(1),
            kind: row.value(2),
            recipient: row.value(3),
            token_purpose: row.get(4),
            user: row.value(5),
            payload: row.value::<Json>(6).0,
            created_at: row.value(7),
        },
    )
}

/// Writes the hash of the token that a message carries; when it expires, none where the user is gone.
pub fn mint(message: Uuid, token_hash: [u8; 32], lifetime: i32) -> Option<TimestampWithTimeZone> {
    call("select auth_private.mint_token($1, $2, $3)", &[message.into(), token_hash.to_vec().into(), lifetime.into()])
}

/// Notes that a message was sent, or why not; false where it waits for nothing of the kind.
pub fn settle(message: Uuid, failure: Option<&str>) -> bool {
    call("select auth_private.settle_message($1, $2, $3)", &[message.into(), failure.into(), MAX_ATTEMPTS.into()]).unwrap_or(false)
}

/// A message that waits.
pub struct Waiting {
    pub id: Uuid,
    pub kind: String,
    pub recipient: String,
    pub created_at: TimestampWithTimeZone,
    pub attempts: i32,
    pub last_error: Option<String>,
    pub due_at: TimestampWithTimeZone,
    pub parked: bool,
}

/// What waits, parked ones first.
pub fn list(page_size: i32) -> Vec<Waiting> {
    spi::query(
        Mode::Read,
        "select m.id, m.kind, m.recipient, m.created_at, m.attempts, m.last_error, m.due_at, m.parked_at is not null
           from auth_private.messages m
          where m.completed_at is null and m.user_id is not null
          order by m.parked_at is null using operator(pg_catalog.<), m.due_at using operator(pg_catalog.<)
          limit $1",
        &[i64::from(page_size).into()],
        |row| Waiting {
            id: row.value(1),
            kind: row.value(2),
            recipient: row.value(3),
            created_at: row.value(4),
            attempts: row.value(5),
            last_error: row.get(6),
            due_at: row.value(7),
            parked: row.value(8),
        },
    )
}

/// Makes a message due at once.
pub fn retry(message: Uuid) -> bool {
    first(
        Mode::Write,
        "update auth_private.messages m set due_at = pg_catalog.clock_timestamp(), attempts = 0, parked_at = null
          where m.id operator(pg_catalog.=) $1 and m.completed_at is null and m.user_id is not null returning true",
        &[message.into()],
        |row| row.value(1),
    )
    .unwrap_or(false)
}

/// Whose address it is and whether that is proved, whoever asks.
pub fn find_user(address: &str) -> Option<(Uuid, bool)> {
    first(Mode::Write, "select f.user_id, f.email_verified from auth_private.find_user($1) f", &[address.into()], |row| {
        Some((row.get(1)?, row.value(2)))
    })
    .flatten()
}

/// Notes that somebody else claims the address of a user who has not proved it; of nobody, does the same work.
pub fn contest(user: Option<Uuid>, address: &str) {
    run("select auth_private.contest_sign_up($1, $2)", &[user.into(), address.into()]);
}
