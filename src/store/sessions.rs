//! Sessions.

use super::callers::{self, LiveSession};
use super::signing_keys::{self, SigningKey};
use super::users::{self, RenderedUser};
use super::{call, first, inet, run};
use crate::backend::index::{self, Place};
use crate::backend::json::{Json, WholeJson, moment};
use crate::backend::jsonb::object_of;
use crate::backend::raise::unless_refused;
use crate::backend::spi::{self, Mode, Row};
use crate::backend::{ids, state};
use crate::error::{Code, Result};
use pgrx::Uuid;
use pgrx::datum::{Inet, TimestampWithTimeZone};
use serde_json::Value;
use std::net::IpAddr;

/// A session as a row of list_sessions.
pub struct ListedSession {
    pub id: Uuid,
    pub user: Uuid,
    pub created_at: TimestampWithTimeZone,
    pub updated_at: TimestampWithTimeZone,
    pub expires_at: TimestampWithTimeZone,
    pub ip_address: Option<String>,
    pub user_agent: Option<String>,
    pub impersonated_by: Option<Uuid>,
}

/// A row of a table of sessions.
pub type SessionRow =
    (Uuid, Uuid, TimestampWithTimeZone, TimestampWithTimeZone, TimestampWithTimeZone, Option<String>, Option<String>, Option<Uuid>, bool);

impl ListedSession {
    /// As a row; `current` is the session in use.
    pub fn row(self, current: Option<Uuid>) -> SessionRow {
        let is_current = Some(self.id) == current;
        (
            self.id,
            self.user,
            self.created_at,
            self.updated_at,
            self.expires_at,
            self.ip_address,
            self.user_agent,
            self.impersonated_by,
            is_current,
        )
    }
}

fn listed(row: &Row) -> ListedSession {
    ListedSession {
        id: row.value(1),
        user: row.value(2),
        created_at: row.value(3),
        updated_at: row.value(4),
        expires_at: row.value(5),
        ip_address: row.get(6),
        user_agent: row.get(7),
        impersonated_by: row.get(8),
    }
}

/// What a session is opened for.
#[derive(Clone, Copy)]
pub enum Proof<'a> {
    /// A password that was checked against this hash.
    Password(&'a str),
    /// An account that a provider vouches for.
    Account(Uuid),
}

/// What a new session is made of.
pub struct NewSession<'a> {
    pub user: Uuid,
    /// The user's epoch, read before the proof was checked.
    pub epoch: i64,
    pub proof: Proof<'a>,
    pub token_hash: [u8; 32],
    /// Seconds.
    pub lifetime: i32,
    /// Never to slide.
    pub fixed: bool,
    pub address: Option<IpAddr>,
    pub agent: Option<&'a str>,
}

/// Opens a session; none when the proof or the user has changed since it was checked. A door that is no function in SQL, since whoever signs
/// in waits for it. Crosses: users, passwords, accounts, sessions, session_keys. Because: the session is what makes the identity. Callers:
/// sign_in, sign_up, change_password, sign_in_with_provider.
///
/// The epoch, and the hash or the account, are those read before the password was checked: a ban or another password since then makes the
/// new session worthless or refuses it, however long the hashing took.
pub fn open(new: &NewSession) -> Option<Uuid> {
    state::as_door(|| {
        is_still_proven(new).then_some(())?;
        let opened = TimestampWithTimeZone::try_from(state::clock()).expect("a moment");
        // The same, but for the last column: tables of 0.1.0 have none.
        let sql = if callers::keys_tell_places() {
            "with signs_in as (update auth.users u set last_sign_in_at = $3 where u.id operator(pg_catalog.=) $2),
                  session as (insert into auth.sessions (id, user_id, created_at, updated_at, expires_at, ip_address, user_agent)
                              values ($1, $2, $3, $3, $3 operator(pg_catalog.+) pg_catalog.make_interval(secs => $4), $5, $6)
                              returning id, expires_at, ctid as place)
             insert into auth_private.session_keys as k (token_hash, session_id, epoch, authenticated_at, slides_until, session_ctid)
             select $7, s.id, $8, $3, case when $9 then s.expires_at end, s.place from session s
             returning k.session_id"
        } else {
            "with signs_in as (update auth.users u set last_sign_in_at = $3 where u.id operator(pg_catalog.=) $2),
                  session as (insert into auth.sessions (id, user_id, created_at, updated_at, expires_at, ip_address, user_agent)
                              values ($1, $2, $3, $3, $3 operator(pg_catalog.+) pg_catalog.make_interval(secs => $4), $5, $6)
                              returning id, expires_at)
             insert into auth_private.session_keys as k (token_hash, session_id, epoch, authenticated_at, slides_until)
             select $7, s.id, $8, $3, case when $9 then s.expires_at end from session s
             returning k.session_id"
        };
        let arguments = [
            ids::new().into(),
            new.user.into(),
            opened.into(),
            f64::from(new.lifetime).into(),
            inet(new.address).into(),
            new.agent.into(),
            new.token_hash.to_vec().into(),
            new.epoch.into(),
            new.fixed.into(),
        ];
        first(Mode::Write, sql, &arguments, |row| row.value(1))
    })
}

/// Locks the user and the proof that was checked. The user first, as everything does that changes credentials: in any other order two of them
/// would wait for each other. At REPEATABLE READ a password changed since our snapshot stops us here. The user also where foreign keys are not
/// followed.
fn is_still_proven(new: &NewSession) -> bool {
    let (sql, proof) = match new.proof {
        Proof::Password(hash) => (
            "select true from auth.users u join auth_private.passwords p on p.user_id operator(pg_catalog.=) u.id
              where u.id operator(pg_catalog.=) $1 and p.hash operator(pg_catalog.=) $2
                for no key update",
            hash.into(),
        ),
        Proof::Account(account) => (
            "select true from auth.users u join auth.accounts a on a.user_id operator(pg_catalog.=) u.id
              where u.id operator(pg_catalog.=) $1 and a.id operator(pg_catalog.=) $2
                for no key update",
            account.into(),
        ),
    };
    call(sql, &[new.user.into(), proof]).unwrap_or(false)
}

/// Session and user of a live token and, of an impersonation, the real person.
pub fn find_by_token(token_hash: [u8; 32]) -> Option<(Uuid, Uuid, Option<Uuid>)> {
    let found: Vec<Uuid> = call("select auth_private.find_session($1)", &[token_hash.to_vec().into()])?;
    Some((*found.first()?, *found.get(1)?, found.get(2).copied()))
}

/// Opens a session of a user run by somebody else, for a number of seconds.
pub fn open_impersonation(user: Uuid, actor: &LiveSession, token_hash: [u8; 32], lifetime: f64, address: Option<IpAddr>) -> Option<Uuid> {
    call(
        "select auth_private.open_impersonation($1, $2, $3, $4, $5::pg_catalog.numeric, $6)",
        &[user.into(), actor.user.into(), actor.id.into(), token_hash.to_vec().into(), lifetime.into(), inet(address).into()],
    )
}

/// Moves the expiry of a live session; both in seconds. True when it was time to.
pub fn slide(session: Uuid, lifetime: i32, update_age: i32) -> bool {
    call("select auth_private.slide_session($1, $2, $3)", &[session.into(), lifetime.into(), update_age.into()]).unwrap_or(false)
}

/// Notes that the password has just been proved.
pub fn freshen(session: Uuid) {
    run("select auth_private.freshen_session($1)", &[session.into()]);
}

/// Lets one session live on after [`end_all`]; false when something else has ended it too.
pub fn keep(session: Uuid) -> bool {
    call("select auth_private.keep_session($1)", &[session.into()]).unwrap_or(false)
}

/// A session as clients see it.
pub fn json(session: Uuid, current: Option<Uuid>) -> Value {
    let row = index::as_seen_by(Mode::Write, || rendered(session, None, Some(session) == current));
    row.map_or(Value::Null, |row| Json::of(&row.rendered).0)
}

/// A session that has just been opened or proved, with all that is said of it: as of now, and read at once.
pub struct Fresh {
    pub session: RenderedSession,
    pub user: Option<RenderedUser>,
    pub user_id: Uuid,
    /// In microseconds since 2000-01-01.
    pub expires_at: i64,
    /// What its access token is signed with.
    pub key: Option<SigningKey>,
}

/// All of it; none where the session is gone.
pub fn fresh(session: Uuid, current: Option<Uuid>) -> Option<Fresh> {
    index::as_seen_by(Mode::Write, || {
        let row = rendered(session, None, Some(session) == current)?;
        let (user, key) = (users::rendered_as_seen(row.user), signing_keys::current());
        Some(Fresh { session: row.rendered, user, user_id: row.user, expires_at: row.expires_at, key })
    })
}

/// The session in use and its user as clients see them, as the calling statement sees them.
pub fn rendered_with_user(session: &LiveSession) -> Option<WholeJson> {
    let row = rendered(session.id, Some(session.place), true)?;
    Some(WholeJson::of(&SessionWithUser { user: users::rendered_as_seen(row.user)?, session: row.rendered }))
}

struct Rendered {
    rendered: RenderedSession,
    user: Uuid,
    expires_at: i64,
}

fn rendered(session: Uuid, place: Option<Place>, current: bool) -> Option<Rendered> {
    index::first_near(&callers::SESSIONS, session, place, |row| {
        let (user, expires_at): (Uuid, TimestampWithTimeZone) = (row.value(2), row.value(5));
        let rendered = RenderedSession {
            id: ids::pure(session),
            user_id: ids::pure(user),
            created_at: moment(row.value(3)),
            updated_at: moment(row.value(4)),
            expires_at: moment(expires_at),
            ip_address: row.get::<Inet>(6).and_then(|address| address.0.split('/').next().map(str::to_owned)),
            user_agent: row.get(7),
            impersonated_by: row.get::<Uuid>(8).map(ids::pure),
            current,
        };
        Rendered { rendered, user, expires_at: expires_at.into_inner() }
    })
}

struct SessionWithUser {
    user: RenderedUser,
    session: RenderedSession,
}

object_of!(SessionWithUser: user, session);

/// A session as clients see it.
pub struct RenderedSession {
    id: uuid::Uuid,
    current: bool,
    user_id: uuid::Uuid,
    created_at: String,
    pub expires_at: String,
    ip_address: Option<String>,
    updated_at: String,
    user_agent: Option<String>,
    impersonated_by: Option<uuid::Uuid>,
}

object_of!(RenderedSession: id, current, user_id, created_at, expires_at, ip_address, updated_at, user_agent, impersonated_by);

/// A user's live sessions, newest first.
pub fn list(user: Uuid, with_impersonations: bool) -> Vec<ListedSession> {
    spi::query(
        Mode::Read,
        "select s.id, s.user_id, s.created_at, s.updated_at, s.expires_at, pg_catalog.host(s.ip_address), s.user_agent, s.impersonated_by
           from auth_private.live_sessions s
          where s.user_id operator(pg_catalog.=) $1
            and ($2 or s.impersonated_by is null)
          order by s.created_at using operator(pg_catalog.>), s.id using operator(pg_catalog.>)",
        &[user.into(), with_impersonations.into()],
        listed,
    )
}

/// How many live sessions a user has, but for one.
pub fn count_live(user: Uuid, but: Option<Uuid>) -> i32 {
    first(
        Mode::Write,
        "select pg_catalog.count(*)::pg_catalog.int4
           from auth_private.live_sessions s
          where s.user_id operator(pg_catalog.=) $1
            and ($2::pg_catalog.uuid is null or s.id operator(pg_catalog.<>) $2)",
        &[user.into(), but.into()],
        |row| row.value(1),
    )
    .unwrap_or(0)
}

/// Whose session it is; none when there is no such session that the caller may end.
pub fn owner(session: Uuid) -> Option<Uuid> {
    first(Mode::Write, "select s.user_id from auth.sessions s where s.id operator(pg_catalog.=) $1", &[session.into()], |row| row.value(1))
}

/// Ends one session of a user; true when it was live.
pub fn end(session: Uuid, of_user: Uuid) -> bool {
    first(
        Mode::Write,
        "delete from auth.sessions s
          where s.id operator(pg_catalog.=) $1 and s.user_id operator(pg_catalog.=) $2
      returning exists (select from auth_private.live_sessions l where l.id operator(pg_catalog.=) s.id)",
        &[session.into(), of_user.into()],
        |row| row.value(1),
    )
    .unwrap_or(false)
}

/// Ends every session of a user, and every impersonation that the user runs: one row, however many they are. Of the two rows that
/// there are, users write one and administrators the other. INVALID_SESSION where the caller's own has just ended.
pub fn end_all(user: Uuid, by_administrator: bool) -> Result<()> {
    let end = || {
        run(
            "insert into auth_private.session_epochs as e (user_id, administrative, epoch) values ($1, $2, 1)
                 on conflict (user_id, administrative) do update set epoch = e.epoch operator(pg_catalog.+) 1",
            &[user.into(), by_administrator.into()],
        )
    };
    unless_refused(end).ok_or(Code::INVALID_SESSION.into())
}
