//! Accounts of identity providers.

use super::{call, first};
use crate::backend::spi::{self, Mode, Row};
use pgrx::Uuid;
use pgrx::datum::TimestampWithTimeZone;

/// An account as clients see it.
pub struct Account {
    pub id: Uuid,
    pub user: Uuid,
    pub provider: String,
    pub provider_user_id: String,
    pub created_at: TimestampWithTimeZone,
    pub updated_at: TimestampWithTimeZone,
}

fn account(row: &Row) -> Account {
    Account {
        id: row.value(1),
        user: row.value(2),
        provider: row.value(3),
        provider_user_id: row.value(4),
        created_at: row.value(5),
        updated_at: row.value(6),
    }
}

/// A user's accounts, oldest first.
pub fn list(user: Uuid) -> Vec<Account> {
    spi::query(
        Mode::Read,
        "select a.id, a.user_id, a.provider, a.provider_user_id, a.created_at, a.updated_at
           from auth.accounts a
          where a.user_id operator(pg_catalog.=) $1
          order by a.created_at using operator(pg_catalog.<), a.id using operator(pg_catalog.<)",
        &[user.into()],
        account,
    )
}

/// One account, where the caller may see it.
pub fn get(id: Uuid) -> Option<Account> {
    first(
        Mode::Write,
        "select a.id, a.user_id, a.provider, a.provider_user_id, a.created_at, a.updated_at
           from auth.accounts a where a.id operator(pg_catalog.=) $1",
        &[id.into()],
        account,
    )
}

/// Account and user, where the caller may see them.
pub fn find(mode: Mode, provider: &str, provider_user_id: &str) -> Option<(Uuid, Uuid)> {
    first(
        mode,
        "select a.id, a.user_id from auth.accounts a where a.provider operator(pg_catalog.=) $1 and a.provider_user_id operator(pg_catalog.=) $2",
        &[provider.into(), provider_user_id.into()],
        |row| (row.value(1), row.value(2)),
    )
}

/// Gives a user an account; none when it is somebody's already.
pub fn link(user: Uuid, provider: &str, provider_user_id: &str) -> Option<Account> {
    first(
        Mode::Write,
        "insert into auth.accounts as a (user_id, provider, provider_user_id) values ($1, $2, $3)
             on conflict do nothing
      returning a.id, a.user_id, a.provider, a.provider_user_id, a.created_at, a.updated_at",
        &[user.into(), provider.into(), provider_user_id.into()],
        account,
    )
}

/// Gives the user with this address an account, but only if they have proved the address. Account and user; none when there is no
/// such user or the account is somebody's already.
pub fn link_by_verified_address(email: &str, provider: &str, provider_user_id: &str) -> Option<(Uuid, Uuid)> {
    first(
        Mode::Write,
        "insert into auth.accounts as a (user_id, provider, provider_user_id)
         select u.id, $2, $3 from auth.users u where u.email operator(pg_catalog.=) $1 and u.email_verified for no key update
             on conflict do nothing
      returning a.id, a.user_id",
        &[email.into(), provider.into(), provider_user_id.into()],
        |row| (row.value(1), row.value(2)),
    )
}

/// A new user with an account: account and user; none when the address or the account is somebody's already.
pub fn register(email: Option<&str>, email_verified: bool, name: &str, provider: &str, provider_user_id: &str) -> Option<(Uuid, Uuid)> {
    first(
        Mode::Write,
        "select r.account_id, r.user_id from auth_private.register_provider_user($1, $2, $3, $4, $5) r",
        &[email.into(), email_verified.into(), name.into(), provider.into(), provider_user_id.into()],
        |row| Some((row.get(1)?, row.get(2)?)),
    )
    .flatten()
}

/// Gives the oldest account of that provider another identifier: false when the identifier is somebody's already, none when the
/// user has no account of that provider.
pub fn rename(user: Uuid, provider: &str, provider_user_id: &str) -> Option<bool> {
    call("select auth_private.update_account_row($1, $2, $3)", &[user.into(), provider.into(), provider_user_id.into()])
}

/// How many accounts a user has; they stay as they are until we are done.
pub fn hold(user: Uuid) -> i64 {
    call("select auth_private.hold_accounts($1)", &[user.into()]).unwrap_or(0)
}

/// Takes an account away; false when there is none that the caller may take.
pub fn unlink(id: Uuid) -> bool {
    first(Mode::Write, "delete from auth.accounts a where a.id operator(pg_catalog.=) $1 returning true", &[id.into()], |row| row.value(1))
        .unwrap_or(false)
}
