//! Bans.

use super::first;
use crate::backend::spi::Mode;
use pgrx::Uuid;
use pgrx::datum::{Interval, TimestampWithTimeZone};

/// When a ban ends.
pub enum End {
    Never,
    In(Interval),
    At(TimestampWithTimeZone),
}

/// Reason and end of a ban.
pub type Terms = (String, Option<TimestampWithTimeZone>);

/// Bans a user; a new ban replaces the old one. When it ends, and what was replaced.
pub fn put(user: Uuid, reason: &str, by: Option<Uuid>, end: End) -> (Option<TimestampWithTimeZone>, Option<Terms>) {
    let (after, at) = match end {
        End::Never => (None, None),
        End::In(interval) => (Some(interval), None),
        End::At(moment) => (None, Some(moment)),
    };
    first(
        Mode::Write,
        "with former as (select f.reason, f.expires_at from auth.bans f where f.user_id operator(pg_catalog.=) $1)
         insert into auth.bans as b (user_id, reason, banned_by, expires_at)
         values ($1, $2, $3, coalesce($5, pg_catalog.clock_timestamp() operator(pg_catalog.+) $4))
             on conflict (user_id) do update
            set reason = excluded.reason, banned_by = excluded.banned_by, created_at = excluded.created_at, expires_at = excluded.expires_at
      returning b.expires_at, (select former.reason from former), (select former.expires_at from former)",
        &[user.into(), reason.into(), by.into(), after.into(), at.into()],
        |row| (row.get(1), row.get(2).map(|reason| (reason, row.get(3)))),
    )
    .unwrap_or_default()
}

/// Lifts a ban; what it was.
pub fn lift(user: Uuid) -> Option<Terms> {
    let sql = "delete from auth.bans b where b.user_id operator(pg_catalog.=) $1 returning b.reason, b.expires_at";
    first(Mode::Write, sql, &[user.into()], |row| (row.value(1), row.get(2)))
}

/// Reason and end of the ban that holds now.
pub fn current(user: Uuid) -> Option<Terms> {
    first(
        Mode::Write,
        "select b.reason, b.expires_at from auth.bans b
          where b.user_id operator(pg_catalog.=) $1 and (b.expires_at is null or b.expires_at operator(pg_catalog.>) pg_catalog.clock_timestamp())",
        &[user.into()],
        |row| (row.value(1), row.get(2)),
    )
}
