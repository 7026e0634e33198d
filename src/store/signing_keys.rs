//! The keys that sign access tokens.

use super::{first, run};
use crate::backend::index::{self, Found, Index, Key};
use crate::backend::spi::{self, Mode};
use crate::domain::access_token::SigningPair;
use pgrx::datum::TimestampWithTimeZone;

/// Of keys that nobody has replaced there is one.
static SIGNING: Index = Index::new(c"auth_private", c"signing_keys", c"signing_keys_signing_idx");
static SECRETS: Index = Index::new(c"auth_private", c"signing_secrets", c"signing_secrets_pkey");

/// A key that signs.
pub struct SigningKey {
    pub kid: String,
    pub private: Vec<u8>,
}

/// The key that signs now, as the active snapshot sees it: for a token of a session that has just been opened or proved, and nothing else.
pub fn current() -> Option<SigningKey> {
    let signs = |row: &Found| row.get::<TimestampWithTimeZone>(4).is_none().then(|| row.value(1));
    let kid: String = index::first(&SIGNING, &Key::All, signs)??;
    let private = index::first(&SECRETS, &Key::Text(&kid), |row| row.value(2))?;
    Some(SigningKey { kid, private })
}

/// A public key, while it verifies. For functions of auth_door.
pub fn public(kid: &str) -> Option<Vec<u8>> {
    first(
        Mode::Read,
        "select k.public_key from auth_private.signing_keys k
          where k.kid operator(pg_catalog.=) $1
            and (k.verifies_until is null or k.verifies_until operator(pg_catalog.>) pg_catalog.clock_timestamp())",
        &[kid.into()],
        |row| row.value(1),
    )
}

/// Every key that verifies, by name, the newest first. For functions of auth_door.
pub fn all_public() -> Vec<(String, Vec<u8>)> {
    spi::query(
        Mode::Read,
        "select k.kid, k.public_key from auth_private.signing_keys k
          where k.verifies_until is null or k.verifies_until operator(pg_catalog.>) pg_catalog.clock_timestamp()
          order by k.created_at using operator(pg_catalog.>)",
        &[],
        |row| (row.value(1), row.value(2)),
    )
}

/// Makes a new key the one that signs; that before it verifies for some seconds yet. Those whose time is over are forgotten. False
/// where another new key came in between.
pub fn replace(pair: &SigningPair, overlap: i32) -> bool {
    run("delete from auth_private.signing_keys k where k.verifies_until operator(pg_catalog.<) pg_catalog.clock_timestamp()", &[]);
    run(
        "update auth_private.signing_keys k
            set verifies_until = pg_catalog.clock_timestamp() operator(pg_catalog.+) pg_catalog.make_interval(secs => $1)
          where k.verifies_until is null",
        &[overlap.into()],
    );
    let inserted = first(
        Mode::Write,
        "insert into auth_private.signing_keys (kid, public_key) values ($1, $2) on conflict do nothing returning true",
        &[pair.kid.as_str().into(), pair.public.clone().into()],
        |_| (),
    );
    if inserted.is_some() {
        run(
            "insert into auth_private.signing_secrets (kid, private_key) values ($1, $2)",
            &[pair.kid.as_str().into(), pair.private.clone().into()],
        );
    }
    inserted.is_some()
}

/// Tells gateways, when the transaction commits, that there are other keys.
pub fn announce() {
    run("select pg_catalog.pg_notify('pgrst', 'reload config')", &[]);
}
