//! Importing users, many with a statement.

use super::run;
use crate::backend::json::{Json, WholeJson};
use crate::backend::raise::unless_taken;
use crate::backend::spi::{self, Mode};
use crate::domain::user_import::UserImport;
use pgrx::Uuid;
use std::collections::{HashMap, HashSet};

/// How many elements an array has.
pub fn count(users: &WholeJson) -> i32 {
    super::first(Mode::Write, "select pg_catalog.jsonb_array_length($1)", &[users.into()], |row| row.value(1)).unwrap_or(0)
}

/// The elements from one index on to before another; none for those that we cannot read.
pub fn slice(users: &WholeJson, from: i32, to: i32) -> Vec<Option<serde_json::Value>> {
    spi::query(
        Mode::Write,
        // Of what no row can be in any spelling nothing is read: parsing takes ten times the memory. "offset 0": each is written once.
        "select case when pg_catalog.octet_length(e.text) operator(pg_catalog.<=) 1000000 then e.text end
           from pg_catalog.generate_series($2::pg_catalog.int4, $3::pg_catalog.int4 operator(pg_catalog.-) 1) with ordinality as n (i, o),
                lateral (select ($1::pg_catalog.jsonb operator(pg_catalog.->) n.i)::pg_catalog.text offset 0) as e (text)
          order by n.o using operator(pg_catalog.<)",
        &[users.into(), from.into(), to.into()],
        |row| row.get::<String>(1).and_then(|text| Json::read(&text)),
    )
}

// One look-up for each in a subquery of its own: "email = any (…)" would make the planner take the trigram index, which for a
// thousand addresses is four orders of magnitude slower.

// "limit 1": an older snapshot may see who has given an address up since and, of the same transaction, who has got it.

/// Whose these addresses are.
pub fn holders(emails: Vec<String>) -> HashMap<String, Uuid> {
    let rows = spi::query(
        Mode::Write,
        "select w, (select u.id from auth.users u where u.email operator(pg_catalog.=) w limit 1) from pg_catalog.unnest($1::pg_catalog.text[]) as w",
        &[emails.into()],
        |row| Some((row.value::<String>(1), row.get::<Uuid>(2)?)),
    );
    rows.into_iter().flatten().collect()
}

/// Which of these ids are somebody's.
pub fn taken_ids(ids: Vec<Uuid>) -> HashSet<Uuid> {
    if ids.is_empty() {
        return HashSet::new();
    }
    let rows = spi::query(
        Mode::Write,
        "select (select u.id from auth.users u where u.id operator(pg_catalog.=) w limit 1) from pg_catalog.unnest($1::pg_catalog.uuid[]) as w",
        &[ids.into()],
        |row| row.get::<Uuid>(1),
    );
    rows.into_iter().flatten().collect()
}

/// Which of these accounts are somebody's.
pub fn taken_accounts(providers: Vec<String>, ids: Vec<String>) -> HashSet<(String, String)> {
    if ids.is_empty() {
        return HashSet::new();
    }
    let rows = spi::query(
        Mode::Write,
        "select w.provider, w.id,
                (select true from auth.accounts a where a.provider operator(pg_catalog.=) w.provider and a.provider_user_id operator(pg_catalog.=) w.id limit 1)
           from rows from (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) as w (provider, id)",
        &[providers.into(), ids.into()],
        |row| row.get::<bool>(3).map(|_| (row.value::<String>(1), row.value::<String>(2))),
    );
    rows.into_iter().flatten().collect()
}

/// Which of these roles exist.
pub fn existing_roles(roles: Vec<String>) -> HashSet<String> {
    let rows = spi::query(
        Mode::Write,
        "select r.name from auth.roles r where r.name operator(pg_catalog.=) any ($1::pg_catalog.text[])",
        &[roles.into()],
        |row| row.value::<String>(1),
    );
    rows.into_iter().collect()
}

/// Creates users whose ids, addresses and accounts are nobody's; false, and nothing is done, where one of them has become somebody's
/// meanwhile. To ask before each row whether its keys are free would take a tenth of an import.
pub fn create_unless_taken(users: &[(Uuid, &UserImport)], new_id: fn() -> Uuid) -> bool {
    unless_taken(|| create(users, new_id)).is_some()
}

/// Creates these users, sorted by their addresses, with ids of `new_id` for their accounts.
pub fn create(users: &[(Uuid, &UserImport)], new_id: fn() -> Uuid) {
    fn column<T>(users: &[(Uuid, &UserImport)], of: impl Fn(&UserImport) -> T) -> Vec<T> {
        users.iter().map(|(_, user)| of(user)).collect()
    }
    let new_ids = |count: usize| -> Vec<Uuid> { std::iter::repeat_with(new_id).take(count).collect() };
    let ids: Vec<Uuid> = users.iter().map(|(id, _)| *id).collect();
    run(
        "insert into auth.users (id, email, email_verified, name, image, attributes, created_at)
         select w.id, w.email, w.verified, w.name, w.image, w.attributes::pg_catalog.jsonb,
                coalesce(w.created::pg_catalog.timestamptz, pg_catalog.clock_timestamp())
           from rows from (pg_catalog.unnest($1::pg_catalog.uuid[]), pg_catalog.unnest($2::pg_catalog.text[]), pg_catalog.unnest($3::pg_catalog.bool[]),
                           pg_catalog.unnest($4::pg_catalog.text[]), pg_catalog.unnest($5::pg_catalog.text[]), pg_catalog.unnest($6::pg_catalog.text[]),
                           pg_catalog.unnest($7::pg_catalog.text[])) as w (id, email, verified, name, image, attributes, created)",
        &[
            ids.clone().into(),
            column(users, |user| user.email.clone()).into(),
            column(users, |user| user.email_verified).into(),
            column(users, |user| user.name.clone()).into(),
            column(users, |user| user.image.clone()).into(),
            column(users, |user| user.attributes.to_string()).into(),
            column(users, |user| user.created_at.clone()).into(),
        ],
    );
    let each = |of: &dyn Fn(&UserImport) -> Vec<String>| -> (Vec<Uuid>, Vec<String>) {
        users.iter().flat_map(|(id, user)| of(user).into_iter().map(|text| (*id, text))).unzip()
    };
    let (ids, roles) = each(&|user| user.roles.clone());
    run(
        "insert into auth.user_roles (user_id, role)
         select w.id, w.role from rows from (pg_catalog.unnest($1::pg_catalog.uuid[]), pg_catalog.unnest($2::pg_catalog.text[])) as w (id, role)",
        &[ids.into(), roles.into()],
    );
    let mut accounts: Vec<_> = users.iter().flat_map(|(id, user)| user.accounts.iter().map(|account| (account.clone(), *id))).collect();
    // As users come by their addresses: two imports of the same accounts do not wait for each other.
    accounts.sort_unstable();
    let ((providers, provider_ids), ids): ((Vec<_>, Vec<_>), Vec<_>) = accounts.into_iter().unzip();
    let account_ids = new_ids(ids.len());
    run(
        "insert into auth.accounts (id, user_id, provider, provider_user_id)
         select w.account_id, w.id, w.provider, w.account
           from rows from (pg_catalog.unnest($1::pg_catalog.uuid[]), pg_catalog.unnest($2::pg_catalog.text[]), pg_catalog.unnest($3::pg_catalog.text[]),
                           pg_catalog.unnest($4::pg_catalog.uuid[])) as w (id, provider, account, account_id)",
        &[ids.into(), providers.into(), provider_ids.into(), account_ids.into()],
    );
    let (ids, hashes) = each(&|user| user.hash.iter().cloned().collect());
    run(
        "insert into auth.accounts (id, user_id, provider, provider_user_id)
         select w.account_id, w.id, 'credential', w.id::pg_catalog.text
           from rows from (pg_catalog.unnest($1::pg_catalog.uuid[]), pg_catalog.unnest($2::pg_catalog.uuid[])) as w (id, account_id)",
        &[ids.clone().into(), new_ids(ids.len()).into()],
    );
    run(
        "insert into auth_private.passwords (user_id, hash)
         select w.id, w.hash from rows from (pg_catalog.unnest($1::pg_catalog.uuid[]), pg_catalog.unnest($2::pg_catalog.text[])) as w (id, hash)",
        &[ids.into(), hashes.into()],
    );
}
