//! Passwords: their hashes, and the account "credential" that shows that there is one.

use super::users::Standing;
use super::{bans, call, callers, first, run};
use crate::backend::ids;
use crate::backend::index::{self, Index, Key};
use crate::backend::spi::Mode;
use pgrx::Uuid;

/// What sign_in must know about an address.
pub struct Credentials {
    pub hash: Option<String>,
    pub standing: Standing,
}

static USERS_BY_EMAIL: Index = Index::new(c"auth", c"users", c"users_email_key");
static PASSWORDS: Index = Index::new(c"auth_private", c"passwords", c"passwords_pkey");

/// By canonical address, whoever asks. Where nobody has it the same is looked up of nobody, so that the time does not tell.
pub fn find_credentials(email: &str) -> Option<Credentials> {
    index::as_seen_by(Mode::Write, || {
        let found = index::first(&USERS_BY_EMAIL, &Key::Text(email), |row| (row.value(1), row.value(3)));
        let (user, email_verified) = found.unwrap_or((ids::servers(uuid::Uuid::nil()), false));
        let hash = index::first(&PASSWORDS, &Key::Uuid(user), |row| row.value(2));
        let standing = Standing { user, epoch: callers::epoch(Mode::Read, user), email_verified, ban: bans::held(user) };
        found.map(|_| Credentials { hash, standing })
    })
}

/// A user's hash, where the caller may see it; and the address, which failed attempts are counted by.
pub fn of_user(user: Uuid) -> Option<(Option<String>, Option<String>)> {
    first(
        Mode::Write,
        "select p.hash, u.email
           from auth.users u
           left join auth_private.passwords p on p.user_id operator(pg_catalog.=) u.id
          where u.id operator(pg_catalog.=) $1",
        &[user.into()],
        |row| (row.get(1), row.get(2)),
    )
}

/// Keeps the same password under today's parameters, unless it has changed meanwhile.
pub fn replace_hash(user: Uuid, checked_hash: &str, new_hash: &str) -> bool {
    call("select auth_private.replace_hash($1, $2, $3)", &[user.into(), checked_hash.into(), new_hash.into()]).unwrap_or(false)
}

/// Writes over the hash that was checked; false when it has changed meanwhile.
pub fn change(user: Uuid, checked_hash: &str, new_hash: &str) -> bool {
    first(
        Mode::Write,
        "update auth_private.passwords p set hash = $3, updated_at = pg_catalog.clock_timestamp()
          where p.user_id operator(pg_catalog.=) $1 and p.hash operator(pg_catalog.=) $2 returning true",
        &[user.into(), checked_hash.into(), new_hash.into()],
        |row| row.value(1),
    )
    .unwrap_or(false)
}

/// Writes the first hash; false when there is one.
pub fn insert(user: Uuid, hash: &str) -> bool {
    let inserted = first(
        Mode::Write,
        "insert into auth_private.passwords (user_id, hash) values ($1, $2) on conflict do nothing returning true",
        &[user.into(), hash.into()],
        |row| row.value(1),
    );
    insert_account(user);
    inserted.unwrap_or(false)
}

/// Writes a hash whether there is one or not.
pub fn put(user: Uuid, hash: &str) {
    run(
        "insert into auth_private.passwords as p (user_id, hash) values ($1, $2)
             on conflict (user_id) do update set hash = excluded.hash, updated_at = pg_catalog.clock_timestamp()",
        &[user.into(), hash.into()],
    );
    insert_account(user);
}

/// Gives a user who was just created a password.
pub fn create(user: Uuid, hash: &str) {
    // Without "returning" and "on conflict": whoever may only create users may not read what is there.
    run("insert into auth_private.passwords (user_id, hash) values ($1, $2)", &[user.into(), hash.into()]);
    run(
        "insert into auth.accounts (user_id, provider, provider_user_id) values ($1::pg_catalog.uuid, 'credential', $1::pg_catalog.text)",
        &[user.into()],
    );
}

/// Takes a user's password away; false when there was none.
pub fn remove(user: Uuid) -> bool {
    let sql = "delete from auth_private.passwords p where p.user_id operator(pg_catalog.=) $1 returning true";
    let removed = first(Mode::Write, sql, &[user.into()], |_| ()).is_some();
    run(
        "delete from auth.accounts a where a.user_id operator(pg_catalog.=) $1 and a.provider operator(pg_catalog.=) 'credential'",
        &[user.into()],
    );
    removed
}

fn insert_account(user: Uuid) {
    run(
        "insert into auth.accounts (user_id, provider, provider_user_id) values ($1::pg_catalog.uuid, 'credential', $1::pg_catalog.text)
             on conflict (provider, provider_user_id) do update set updated_at = pg_catalog.clock_timestamp()",
        &[user.into()],
    );
}
