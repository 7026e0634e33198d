//! Who is calling and what they hold. The statements on tables run in functions of auth_door.

use super::{call, first};
use crate::backend::spi::{self, Mode, Row};
use crate::domain::permission::Holdings;
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
}

fn live_session(row: &Row) -> LiveSession {
    LiveSession {
        id: row.value(1),
        user: row.value(2),
        impersonator: row.get(3),
        parent: row.get(4),
        authenticated_at: row.value::<TimestampWithTimeZone>(5).into_inner(),
        limited: row.value(6),
        expires_at: row.value::<TimestampWithTimeZone>(7).into_inner(),
    }
}

/// The live session with this id. The clock, the key's epoch and the user's decide together; and the user must be there: where triggers
/// are switched off, foreign keys promise nothing.
pub fn session_by_id(mode: Mode, session: Uuid) -> Option<LiveSession> {
    first(
        mode,
        "select s.id, s.user_id, s.impersonated_by, k.parent_session_id, k.authenticated_at, k.slides_until is not null, s.expires_at
           from auth.sessions s
           join auth_private.session_keys k on k.session_id operator(pg_catalog.=) s.id
          where s.id operator(pg_catalog.=) $1
            and s.expires_at operator(pg_catalog.>) pg_catalog.clock_timestamp()
            and k.epoch operator(pg_catalog.=) coalesce((select pg_catalog.sum(e.epoch) from auth_private.session_epochs e
                                                         where e.user_id operator(pg_catalog.=) s.user_id), 0)
            and exists (select from auth.users u where u.id operator(pg_catalog.=) s.user_id)",
        &[session.into()],
        live_session,
    )
}

/// The live session with this token.
pub fn session_by_token(mode: Mode, token_hash: [u8; 32]) -> Option<LiveSession> {
    first(
        mode,
        "select s.id, s.user_id, s.impersonated_by, k.parent_session_id, k.authenticated_at, k.slides_until is not null, s.expires_at
           from auth_private.session_keys k
           join auth.sessions s on s.id operator(pg_catalog.=) k.session_id
          where k.token_hash operator(pg_catalog.=) $1
            and s.expires_at operator(pg_catalog.>) pg_catalog.clock_timestamp()
            and k.epoch operator(pg_catalog.=) coalesce((select pg_catalog.sum(e.epoch) from auth_private.session_epochs e
                                                         where e.user_id operator(pg_catalog.=) s.user_id), 0)
            and exists (select from auth.users u where u.id operator(pg_catalog.=) s.user_id)",
        &[token_hash.to_vec().into()],
        live_session,
    )
}

/// A user's application roles, sorted, and what they hold together.
pub fn holdings_of_user(user: Uuid) -> (Vec<String>, Holdings) {
    let rows = spi::query(
        Mode::Read,
        "select r.role, p.permission
           from auth.user_roles r
           left join auth.role_permissions p on p.role operator(pg_catalog.=) r.role and p.role operator(pg_catalog.<>) 'admin'
          where r.user_id operator(pg_catalog.=) $1",
        &[user.into()],
        |row| (row.value::<String>(1), row.get::<String>(2)),
    );
    let (mut roles, permissions): (Vec<String>, Vec<Option<String>>) = rows.into_iter().unzip();
    roles.sort_unstable();
    roles.dedup();
    let holdings = Holdings::new(&roles, permissions.into_iter().flatten());
    (roles, holdings)
}

/// Keeps these roles from being dropped until we are done; false when one of them does not exist.
pub fn hold_roles(roles: &[String]) -> bool {
    call("select auth_private.hold_roles($1)", &[roles.to_vec().into()]).unwrap_or(false)
}

/// What application roles hold together; none when one of them does not exist.
pub fn holdings_of_roles(roles: &[String]) -> Option<Holdings> {
    let rows = spi::query(
        Mode::Read,
        "select r.name, p.permission
           from auth.roles r
           left join auth.role_permissions p on p.role operator(pg_catalog.=) r.name and p.role operator(pg_catalog.<>) 'admin'
          where r.name operator(pg_catalog.=) any ($1::pg_catalog.text[])",
        &[roles.to_vec().into()],
        |row| (row.value::<String>(1), row.get::<String>(2)),
    );
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

/// True when there is such a user.
pub fn user_exists(user: Uuid) -> bool {
    first(Mode::Read, "select from auth.users u where u.id operator(pg_catalog.=) $1", &[user.into()], |_| ()).is_some()
}

/// Lets the door look the caller up and hand the answer over.
pub fn resolve_through_door(mode: Mode) {
    spi::query(mode, "select auth_private.resolve_identity()", &[], |_| ());
}

/// True when the user holds nothing that the caller lacks.
pub fn dominates_user(user: Uuid) -> bool {
    call("select auth_private.dominates_user($1)", &[user.into()]).unwrap_or(false)
}

/// True when the roles hold nothing that the caller lacks; none when one of them does not exist.
pub fn dominates_roles(roles: &[String]) -> Option<bool> {
    call("select auth_private.dominates_roles($1)", &[roles.to_vec().into()])
}

/// The address that the connection comes from; none through a socket of the machine.
pub fn connection_address() -> Option<std::net::IpAddr> {
    let text: Option<String> = first(Mode::Read, "select pg_catalog.host(pg_catalog.inet_client_addr())", &[], |row| row.get(1)).flatten();
    text?.parse().ok()
}

/// True when the user holds a built-in permission.
pub fn is_administrative(user: Uuid) -> bool {
    call("select auth_private.is_administrative($1)", &[user.into()]).unwrap_or(true)
}
