//! The audit log.

use super::{inet, run};
use crate::backend::json::Json;
use crate::backend::{spi, state};
use pgrx::Uuid;
use pgrx::datum::TimestampWithTimeZone;
use serde_json::Value;
use std::net::IpAddr;

/// A line to be written.
pub struct Line<'a> {
    pub action: &'static str,
    pub actor: Option<Uuid>,
    pub impersonator: Option<Uuid>,
    pub session: Option<Uuid>,
    pub database_role: String,
    pub target: Option<Uuid>,
    pub address: Option<IpAddr>,
    pub agent: Option<&'a str>,
    pub details: Value,
}

/// Writes a line, in the transaction of the deed: a door that is no function in SQL, since every deed goes through it.
/// Crosses: audit_log. Because: everybody's deeds are recorded, few may read them. Callers: every function that changes something.
pub fn append(line: Line) {
    state::as_door(|| {
        run(
            "insert into auth.audit_log (action, actor_id, impersonator_id, session_id, database_role, user_id, ip_address, user_agent, details)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            &[
                line.action.into(),
                line.actor.into(),
                line.impersonator.into(),
                line.session.into(),
                line.database_role.into(),
                line.target.into(),
                inet(line.address).into(),
                line.agent.into(),
                Json(line.details).into(),
            ],
        );
    });
}

/// A line as it is read.
pub struct Entry {
    pub id: i64,
    pub occurred_at: TimestampWithTimeZone,
    pub action: String,
    pub actor: Option<Uuid>,
    pub impersonator: Option<Uuid>,
    pub session: Option<Uuid>,
    pub database_role: String,
    pub user: Option<Uuid>,
    pub ip_address: Option<String>,
    pub user_agent: Option<String>,
    pub details: Json,
}

/// A page, newest first.
pub fn list(
    user: Option<Uuid>,
    action: Option<String>,
    since: Option<TimestampWithTimeZone>,
    before: Option<i64>,
    page_size: i32,
) -> Vec<Entry> {
    // One-shot, so that the planner sees which of the conditions are there and takes the index of that one.
    spi::query_once(
        "select a.id, a.occurred_at, a.action, a.actor_id, a.impersonator_id, a.session_id, a.database_role, a.user_id,
                pg_catalog.host(a.ip_address), a.user_agent, a.details
           from auth.audit_log a
          where ($1::pg_catalog.uuid is null or a.user_id operator(pg_catalog.=) $1)
            and ($2::pg_catalog.text is null or a.action operator(pg_catalog.=) $2)
            and ($3::pg_catalog.timestamptz is null or a.occurred_at operator(pg_catalog.>=) $3)
            and ($4::pg_catalog.int8 is null or a.id operator(pg_catalog.<) $4)
          order by a.id using operator(pg_catalog.>)
          limit $5",
        &[user.into(), action.into(), since.into(), before.into(), i64::from(page_size).into()],
        |row| Entry {
            id: row.value(1),
            occurred_at: row.value(2),
            action: row.value(3),
            actor: row.get(4),
            impersonator: row.get(5),
            session: row.get(6),
            database_role: row.value(7),
            user: row.get(8),
            ip_address: row.get(9),
            user_agent: row.get(10),
            details: row.value(11),
        },
    )
}
