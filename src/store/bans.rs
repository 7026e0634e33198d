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

/// Bans a user; a new ban replaces the old one. When it ends.
pub fn put(user: Uuid, reason: &str, by: Option<Uuid>, end: End) -> Option<TimestampWithTimeZone> {
    let (after, at) = match end {
        End::Never => (None, None),
        End::In(interval) => (Some(interval), None),
        End::At(moment) => (None, Some(moment)),
    };
    first(
        Mode::Write,
        "insert into auth.bans as b (user_id, reason, banned_by, expires_at)
         values ($1, $2, $3, coalesce($5, pg_catalog.clock_timestamp() operator(pg_catalog.+) $4))
             on conflict (user_id) do update
            set reason = excluded.reason, banned_by = excluded.banned_by, created_at = excluded.created_at, expires_at = excluded.expires_at
      returning b.expires_at",
        &[user.into(), reason.into(), by.into(), after.into(), at.into()],
        |row| row.get(1),
    )
    .flatten()
}

/// Lifts a ban; true when there was one.
pub fn lift(user: Uuid) -> bool {
    first(Mode::Write, "delete from auth.bans b where b.user_id operator(pg_catalog.=) $1 returning true", &[user.into()], |row| {
        row.value(1)
    })
    .unwrap_or(false)
}

/// Reason and end of the ban that holds now.
pub fn current(user: Uuid) -> Option<(String, Option<TimestampWithTimeZone>)> {
    first(
        Mode::Write,
        "select b.reason, b.expires_at from auth.bans b
          where b.user_id operator(pg_catalog.=) $1 and (b.expires_at is null or b.expires_at operator(pg_catalog.>) pg_catalog.clock_timestamp())",
        &[user.into()],
        |row| (row.value(1), row.get(2)),
    )
}
