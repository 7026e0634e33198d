//! The mail queue.

use crate::backend::json::Json;
use crate::backend::raise::run;
use crate::caller::{self, Record};
use crate::config;
use crate::domain::message::Kind;
use crate::domain::token;
use crate::error::{Result, invalid, required};
use crate::store::messages::{self, Waiting};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::{Uuid, name, pg_extern};
use serde_json::json;

const MAX_ERROR: usize = 1_000;

type Claimed = (
    name!(id, Uuid),
    name!(kind, String),
    name!(recipient, String),
    name!(token, Option<String>),
    name!(payload, Json),
    name!(created_at, TimestampWithTimeZone),
);

/// `auth.claim_messages()`
#[pg_extern(sql = false)]
fn claim_messages(
    max_messages: Option<i32>,
) -> TableIterator<
    'static,
    (
        name!(id, Uuid),
        name!(kind, String),
        name!(recipient, String),
        name!(token, Option<String>),
        name!(payload, Json),
        name!(created_at, TimestampWithTimeZone),
    ),
> {
    run(move || {
        caller::writable()?;
        let max_messages = page_size(max_messages, 10, "max_messages")?;
        let leased = messages::lease(max_messages, config::message_lease(), config::message_interval());
        let claimed: Vec<Claimed> = leased.into_iter().filter_map(claim).collect();
        Ok(TableIterator::new(claimed))
    })
}

/// With the token that it carries, which is made at this moment and known to nobody else; none where its user is gone.
fn claim(mut message: messages::Leased) -> Option<Claimed> {
    message.payload["user_id"] = json!(message.user.to_string());
    let token = match message.token_purpose.as_deref() {
        None => None,
        Some(purpose) => {
            let is_reset = purpose == Kind::ResetPassword.name();
            let lifetime = if is_reset { config::reset_token_lifetime() } else { config::verification_token_lifetime() };
            let token = token::new_one_time_token();
            message.payload["expires_at"] = json!(messages::mint(message.id, token::token_hash(&token), lifetime)?);
            Some(token)
        }
    };
    Some((message.id, message.kind, message.recipient, token, Json(message.payload), message.created_at))
}

/// `auth.complete_message()`
#[pg_extern(sql = false)]
fn complete_message(id: Option<Uuid>) -> bool {
    run(move || {
        caller::writable()?;
        Ok(messages::settle(required(id, "id")?, None))
    })
}

/// `auth.fail_message()`
#[pg_extern(sql = false)]
fn fail_message(id: Option<Uuid>, error: Option<String>) -> bool {
    run(move || {
        caller::writable()?;
        let (id, error) = (required(id, "id")?, required(error, "error")?);
        Ok(messages::settle(id, Some(&error.chars().take(MAX_ERROR).collect::<String>())))
    })
}

/// `auth.list_messages()`
#[pg_extern(sql = false)]
fn list_messages(
    page_size: Option<i32>,
) -> TableIterator<
    'static,
    (
        name!(id, Uuid),
        name!(kind, String),
        name!(recipient, String),
        name!(created_at, TimestampWithTimeZone),
        name!(attempts, i32),
        name!(last_error, Option<String>),
        name!(next_attempt_at, Option<TimestampWithTimeZone>),
        name!(parked, bool),
    ),
> {
    run(move || {
        caller::with_permission("settings:get")?;
        let rows = messages::list(self::page_size(page_size, 100, "page_size")?).into_iter();
        Ok(TableIterator::new(rows.map(|m: Waiting| {
            (m.id, m.kind, m.recipient, m.created_at, m.attempts, m.last_error, Some(m.due_at).filter(|_| !m.parked), m.parked)
        })))
    })
}

/// `auth.retry_message()`
#[pg_extern(sql = false)]
fn retry_message(id: Option<Uuid>) -> bool {
    run(move || {
        let caller = caller::administrator("settings:update")?;
        let id = required(id, "id")?;
        let retried = messages::retry(id);
        if retried {
            Record::of(&caller, "retry_message").needing("settings:update").with("message_id", id.to_string()).ok()?;
        }
        Ok(retried)
    })
}

fn page_size(given: Option<i32>, default: i32, argument: &'static str) -> Result<i32> {
    let size = given.unwrap_or(default);
    if (1..=1_000).contains(&size) { Ok(size) } else { Err(invalid(argument)) }
}
