//! The audit log.

use crate::backend::json::Json;
use crate::backend::raise::run;
use crate::caller;
use crate::error::invalid;
use crate::store::audit;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::{Uuid, name, pg_extern};

/// `auth.list_audit_log()`
#[pg_extern(sql = false)]
fn list_audit_log(
    user_id: Option<Uuid>,
    action: Option<String>,
    since: Option<TimestampWithTimeZone>,
    page_size: Option<i32>,
    after_cursor: Option<String>,
) -> TableIterator<
    'static,
    (
        name!(id, i64),
        name!(occurred_at, TimestampWithTimeZone),
        name!(action, String),
        name!(actor_id, Option<Uuid>),
        name!(impersonator_id, Option<Uuid>),
        name!(session_id, Option<Uuid>),
        name!(database_role, String),
        name!(user_id, Option<Uuid>),
        name!(ip_address, Option<String>),
        name!(user_agent, Option<String>),
        name!(details, Json),
    ),
> {
    run(move || {
        caller::with_permission("audit:read")?;
        let page_size = page_size.unwrap_or(100);
        if !(1..=1000).contains(&page_size) {
            return Err(invalid("page_size"));
        }
        let before = after_cursor.map(|id| id.parse::<i64>()).transpose().map_err(|_| invalid("after_cursor"))?;
        let rows = audit::list(user_id, action, since, before, page_size).into_iter().map(|e| {
            (
                e.id,
                e.occurred_at,
                e.action,
                e.actor,
                e.impersonator,
                e.session,
                e.database_role,
                e.user,
                e.ip_address,
                e.user_agent,
                e.details,
            )
        });
        Ok(TableIterator::new(rows))
    })
}
