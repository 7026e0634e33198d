//! Who is calling and what they hold.

use super::{call, first};
use crate::backend::index::{self, Found, Index, Key, Place};
use crate::backend::spi::{self, Mode};
use crate::backend::state;
use crate::domain::permission::{self, Holdings};
use pgrx::Uuid;
use pgrx::datum::TimestampWithTimeZone;

/// A session that is good at this moment.
#[derive(Clone, Debug)]
pub struct LiveSession {
    pub id: Uuid,
    pub user: Uuid,
    /// Of an impersonation: the real person.
    pub impersonator: Option<Uuid>,
    /// Of an impersonation: the real person's session.
    pub parent: Option<Uuid>,
    /// The last proof of the password, in microseconds since 2000-01-01.
    pub authenticated_at: i64,
    /// Never slides past a limit of its own.
    pub limited: bool,
    /// When it ends, in microseconds since 2000-01-01.
    pub expires_at: i64,
    /// Where its row lies.
    pub place: Place,
}

pub static SESSIONS: Index = Index::new(c"auth", c"sessions", c"sessions_pkey");
static KEYS_BY_TOKEN: Index = Index::new(c"auth_private", c"session_keys", c"session_keys_token_hash_idx").instead_of(c"session_keys_pkey");
static KEYS_BY_SESSION: Index = Index::new(c"auth_private", c"session_keys", c"session_keys_session_id_key");
static EPOCHS: Index = Index::new(c"auth_private", c"session_epochs", c"session_epochs_pkey");
pub static USERS: Index = Index::new(c"auth", c"users", c"users_pkey");
pub static ROLES_OF_USERS: Index = Index::new(c"auth", c"user_roles", c"user_roles_pkey");
static PERMISSIONS: Index = Index::new(c"auth", c"role_permissions", c"role_permissions_pkey");

/// What of a key makes its session good.
struct SessionKey {
    session: Uuid,
    epoch: i64,
    authenticated_at: i64,
    limited: bool,
    parent: Option<Uuid>,
    /// Where the session's row was when it was written.
    place: Option<Place>,
}

fn session_key(row: &Found) -> SessionKey {
    SessionKey {
        session: row.value(2),
        epoch: row.value(3),
        authenticated_at: row.value::<TimestampWithTimeZone>(4).into_inner(),
        limited: row.get::<TimestampWithTimeZone>(5).is_some(),
        parent: row.get(6),
        place: row.get_if_there(7),
    }
}

/// Whether keys tell where their session's row lies: those of 0.1.0 do not, until ALTER EXTENSION has run.
pub fn keys_tell_places() -> bool {
    KEYS_BY_SESSION.table_has_column(7)
}

/// The live session with this id.
pub fn session_by_id(mode: Mode, session: Uuid) -> Option<LiveSession> {
    index::as_seen_by(mode, || live(index::first(&KEYS_BY_SESSION, &Key::Uuid(session), session_key)?))
}

/// The live session with this token.
pub fn session_by_token(mode: Mode, token_hash: [u8; 32]) -> Option<LiveSession> {
    index::as_seen_by(mode, || live(index::first(&KEYS_BY_TOKEN, &Key::Octets(&token_hash), session_key)?))
}

/// The clock, the key's epoch and the user's decide together; and the user must be there: where triggers are switched off, foreign keys
/// promise nothing.
fn live(key: SessionKey) -> Option<LiveSession> {
    let session = index::first_near(&SESSIONS, key.session, key.place, |row| LiveSession {
        id: row.value(1),
        user: row.value(2),
        expires_at: row.value::<TimestampWithTimeZone>(5).into_inner(),
        impersonator: row.get(8),
        parent: key.parent,
        authenticated_at: key.authenticated_at,
        limited: key.limited,
        place: row.place(),
    })?;
    let user = Key::Uuid(session.user);
    let is_good = session.expires_at > state::clock() && key.epoch == epoch(Mode::Read, session.user) && index::has(&USERS, &user);
    is_good.then_some(session)
}

/// How often all of a user's sessions have been ended.
pub fn epoch(mode: Mode, user: Uuid) -> i64 {
    index::as_seen_by(mode, || index::rows(&EPOCHS, &Key::Uuid(user), |row| row.value::<i64>(3)).iter().sum())
}

/// A user's application roles, sorted, and what they hold together.
pub fn holdings_of_user(mode: Mode, user: Uuid) -> (Vec<String>, Holdings) {
    index::as_seen_by(mode, || {
        let mut roles: Vec<String> = index::rows(&ROLES_OF_USERS, &Key::Uuid(user), |row| row.value(2));
        roles.sort_unstable();
        // "admin" holds everything, whatever is listed for it.
        let listed = roles.iter().filter(|role| *role != permission::ADMIN);
        let listed: Vec<String> =
            listed.flat_map(|role| index::rows(&PERMISSIONS, &Key::Text(role), |row| row.value::<String>(2))).collect();
        let holdings = Holdings::new(&roles, listed);
        (roles, holdings)
    })
}

/// Keeps these roles as they are until we are done; false when one of them does not exist.
pub fn hold_roles(roles: &[String]) -> bool {
    call("select auth_private.hold_roles($1)", &[roles.to_vec().into()]).unwrap_or(false)
}

/// What application roles hold together, as of now; none when one of them does not exist.
pub fn holdings_of_roles(roles: &[String]) -> Option<Holdings> {
    let rows = index::as_of_now(|| {
        spi::query(
            Mode::Read,
            "select r.name, p.permission
               from auth.roles r
               left join auth.role_permissions p on p.role operator(pg_catalog.=) r.name and p.role operator(pg_catalog.<>) 'admin'
              where r.name operator(pg_catalog.=) any ($1::pg_catalog.text[])",
            &[roles.to_vec().into()],
            |row| (row.value::<String>(1), row.get::<String>(2)),
        )
    });
    let exists = |role: &String| rows.iter().any(|(name, _)| name == role);
    roles.iter().all(exists).then(|| Holdings::new(roles, rows.iter().filter_map(|(_, permission)| permission.clone())))
}

/// True when some application role lists the permission.
pub fn is_listed(permission: &str) -> bool {
    first(
        Mode::Read,
        "select from auth.role_permissions p where p.permission operator(pg_catalog.=) $1 limit 1",
        &[permission.into()],
        |_| (),
    )
    .is_some()
}

/// True when the roles hold nothing that the caller lacks; none when one of them does not exist.
pub fn dominates_roles(roles: &[String]) -> Option<bool> {
    call("select auth_private.dominates_roles($1)", &[roles.to_vec().into()])
}
