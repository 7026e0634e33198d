//! Bans.

use super::first;
use crate::backend::index::{self, Index, Key};
use crate::backend::spi::Mode;
use crate::backend::state;
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

static BANS: Index = Index::new(c"auth", c"bans", c"bans_pkey");

/// Reason and end of the ban that holds at this moment, as the calling statement sees it.
pub fn held(user: Uuid) -> Option<Terms> {
    let ban = index::first(&BANS, &Key::Uuid(user), |row| (row.value(2), row.get::<TimestampWithTimeZone>(5)));
    ban.filter(|(_, end)| end.is_none_or(|end| end.into_inner() > state::clock()))
}

/// The same, also of what our transaction has just done.
pub fn current(user: Uuid) -> Option<Terms> {
    index::as_seen_by(Mode::Write, || held(user))
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

/// Lifts a ban; what it was.
pub fn lift(user: Uuid) -> Option<Terms> {
    let sql = "delete from auth.bans b where b.user_id operator(pg_catalog.=) $1 returning b.reason, b.expires_at";
    first(Mode::Write, sql, &[user.into()], |row| (row.value(1), row.get(2)))
}
