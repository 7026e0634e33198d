//! Users.

use super::user_list::ListedUser;
use super::{bans, call, callers, first, run};
use crate::backend::index::{self, Key};
use crate::backend::json::{Json, WholeJson, moment};
use crate::backend::jsonb::object_of;
use crate::backend::raise::{on_behalf_of_others, undone};
use crate::backend::spi::{self, Mode, Row};
use crate::backend::{ids, state};
use pgrx::Uuid;
use pgrx::datum::TimestampWithTimeZone;
use serde_json::Value;

/// A user as clients see it, to read of; none when there is no such user. Asks no permission: its callers have.
pub fn json(user: Uuid) -> Option<Value> {
    index::as_seen_by(Mode::Write, || rendered_as_seen(user)).map(|user| Json::of(&user).0)
}

/// The same, to return it.
pub fn rendered(user: Uuid) -> Option<WholeJson> {
    index::as_seen_by(Mode::Write, || rendered_for_reader(user))
}

/// The same, in a function that only reads: as the calling statement sees it.
pub fn rendered_for_reader(user: Uuid) -> Option<WholeJson> {
    rendered_as_seen(user).map(|user| WholeJson::of(&user))
}

/// Whether there is such a user, as the calling statement sees it. Asks no permission: its callers have.
pub fn exists(user: Uuid) -> bool {
    index::has(&callers::USERS, &Key::Uuid(user))
}

/// A user as the calling statement sees them.
pub fn rendered_as_seen(user: Uuid) -> Option<RenderedUser> {
    let ban = bans::held(user);
    let (banned, (ban_reason, ban_expires_at)) = (ban.is_some(), ban.unzip());
    let mut roles: Vec<String> = index::rows(&callers::ROLES_OF_USERS, &Key::Uuid(user), |row| row.value(2));
    roles.sort_unstable();
    index::first(&callers::USERS, &Key::Uuid(user), |row| RenderedUser {
        id: ids::pure(user),
        email: row.get(2),
        email_verified: row.value(3),
        name: row.value(4),
        image: row.get(5),
        roles,
        banned,
        ban_reason,
        ban_expires_at: ban_expires_at.flatten().map(moment),
        attributes: row.value(6),
        created_at: moment(row.value(7)),
        updated_at: moment(row.value(8)),
        last_sign_in_at: row.get(9).map(moment),
    })
}

/// Whose address it is, where the caller may know.
pub fn find_by_email(email: &str) -> Option<Uuid> {
    first(Mode::Read, "select u.id from auth.users u where u.email operator(pg_catalog.=) $1", &[email.into()], |row| row.value(1))
}

/// Makes verbs on one user take turns; `at_once` without waiting for anything that the user can hold. False when there is no such user. A door
/// that is no function in SQL, since every verb on another user begins with it. Crosses: session_epochs, users. Because: whoever may ban need
/// not be allowed to read. Callers: every verb on another user, first of all.
pub fn guard(user: Uuid, at_once: bool) -> bool {
    state::as_door(|| {
        // As of now: with an older snapshot it would be done to nobody, and said to be done. And as that snapshot sees it, with which rights and
        // rank are compared: of somebody who came later it knows no roles, and everybody would outrank them.
        let is_there = || [Mode::Latest, Mode::Write].into_iter().all(|mode| index::as_seen_by(mode, || exists(user)));
        if !at_once {
            if !is_there() {
                return false;
            }
            // Waits until a deletion that has begun has ended either way, and lets go again: the user's row comes after the guard.
            undone(|| run("select from auth.users u where u.id operator(pg_catalog.=) $1 for key share", &[user.into()]));
        }
        // An update and not a lock: at REPEATABLE READ a row that was only locked would let a stale snapshot pass.
        run(
            "insert into auth_private.session_epochs as e (user_id, administrative) values ($1, true)
                 on conflict (user_id, administrative) do update set guard = e.guard operator(pg_catalog.+) 1",
            &[user.into()],
        );
        // Also after having waited for our turn. From here on the user stays until we are done; whose deletion has begun since is gone.
        if at_once {
            return is_there();
        }
        let stays = "select from auth.users u where u.id operator(pg_catalog.=) $1 for key share skip locked";
        first(Mode::Write, stays, &[user.into()], |_| ()).is_some()
    })
}

/// What decides whether a user gets a session.
pub struct Standing {
    pub user: Uuid,
    pub epoch: i64,
    pub email_verified: bool,
    /// The ban that holds now.
    pub ban: Option<bans::Terms>,
}

impl Standing {
    /// From the first five columns.
    pub fn from_row(row: &Row) -> Option<Self> {
        Some(Standing {
            user: row.get(1)?,
            epoch: row.value(2),
            email_verified: row.value(3),
            ban: row.get::<String>(4).map(|reason| (reason, row.get(5))),
        })
    }
}

/// A user's standing, where the caller may see it.
pub fn standing(user: Uuid) -> Option<Standing> {
    first(
        Mode::Write,
        "select u.id,
                coalesce((select pg_catalog.sum(e.epoch) from auth_private.session_epochs e where e.user_id operator(pg_catalog.=) u.id), 0)::pg_catalog.int8,
                u.email_verified, b.reason, b.expires_at
           from auth.users u
           left join auth.bans b on b.user_id operator(pg_catalog.=) u.id
                                and (b.expires_at is null or b.expires_at operator(pg_catalog.>) pg_catalog.clock_timestamp())
          where u.id operator(pg_catalog.=) $1",
        &[user.into()],
        Standing::from_row,
    )
    .flatten()
}

/// Who signs up.
pub struct Applicant<'a> {
    pub email: &'a str,
    pub name: &'a str,
    pub image: Option<&'a str>,
    pub attributes: Value,
}

/// What a sign-up has come to.
pub struct Registered {
    /// The new user; where the address is taken, nobody's id.
    pub user: Uuid,
    pub is_taken: bool,
    /// When.
    pub moment: TimestampWithTimeZone,
}

/// Makes a user of who signs up, unless the address is taken; in equal time.
pub fn register(applicant: &Applicant, hash: &str) -> Option<Registered> {
    first(
        Mode::Write,
        "select r.user_id, r.is_taken, r.moment from auth_private.register_user($1, $2, $3, $4, $5) r",
        &[applicant.email.into(), applicant.name.into(), applicant.image.into(), Json(applicant.attributes.clone()).into(), hash.into()],
        |row| Registered { user: row.value(1), is_taken: row.value(2), moment: row.value(3) },
    )
}

/// A user who has just signed up, or nobody who looks like one: where the address must be verified first, nobody may learn by signing
/// up that it is taken.
pub fn look_alike(applicant: &Applicant, registered: &Registered) -> Value {
    first(
        Mode::Write,
        "select pg_catalog.jsonb_build_object(
                    'id', $1::pg_catalog.uuid, 'email', $2::pg_catalog.text, 'email_verified', false,
                    'name', $3::pg_catalog.text, 'image', $4::pg_catalog.text,
                    'roles', '[\"user\"]'::pg_catalog.jsonb, 'banned', false, 'ban_reason', null, 'ban_expires_at', null, 'attributes', $5::pg_catalog.jsonb,
                    'created_at', $6::pg_catalog.timestamptz, 'updated_at', $6::pg_catalog.timestamptz, 'last_sign_in_at', null)",
        &[
            registered.user.into(),
            applicant.email.into(),
            applicant.name.into(),
            applicant.image.into(),
            Json(applicant.attributes.clone()).into(),
            registered.moment.into(),
        ],
        |row| row.get::<Json>(1),
    )
    .flatten()
    .map_or(Value::Null, |json| json.0)
}

/// Creates a user; none when the address is taken.
pub fn create(email: &str, name: &str, attributes: Value, email_verified: bool) -> Option<Uuid> {
    first(
        Mode::Write,
        "insert into auth.users (email, name, attributes, email_verified) values ($1, $2, $3, $4) on conflict do nothing returning id",
        &[email.into(), name.into(), Json(attributes).into(), email_verified.into()],
        |row| row.value(1),
    )
}

/// What to write over a user's profile; none leaves a field alone.
pub struct Profile<'a> {
    pub name: Option<&'a str>,
    pub image: Option<Option<&'a str>>,
    pub attributes: Option<Value>,
}

/// Writes over a user's profile; false when the caller may not or there is no such user.
pub fn update_profile(user: Uuid, profile: Profile) -> bool {
    first(
        Mode::Write,
        "update auth.users u
            set name = coalesce($2, u.name),
                image = case when $3 then $4 else u.image end,
                attributes = coalesce($5, u.attributes),
                updated_at = pg_catalog.clock_timestamp()
          where u.id operator(pg_catalog.=) $1 returning true",
        &[
            user.into(),
            profile.name.into(),
            profile.image.is_some().into(),
            profile.image.flatten().into(),
            profile.attributes.map(Json).into(),
        ],
        |row| row.value(1),
    )
    .unwrap_or(false)
}

/// Merges attributes at the top level; false when the caller may not or there is no such user.
pub fn merge_attributes(user: Uuid, attributes: Value) -> bool {
    first(
        Mode::Write,
        "update auth.users u
            set attributes = u.attributes operator(pg_catalog.||) $2, updated_at = pg_catalog.clock_timestamp()
          where u.id operator(pg_catalog.=) $1 returning true",
        &[user.into(), Json(attributes).into()],
        |row| row.value(1),
    )
    .unwrap_or(false)
}

/// Writes over address and verification: false when somebody else has the address, none when there is no such user.
pub fn update_email(user: Uuid, email: Option<&str>, verified: Option<bool>) -> Option<bool> {
    call("select auth_private.update_email_row($1, $2, $3)", &[user.into(), email.into(), verified.into()])
}

/// True when attributes are within 64 kB as PostgreSQL writes them.
pub fn attributes_fit(attributes: &Value) -> bool {
    call(
        "select pg_catalog.octet_length($1::pg_catalog.jsonb::pg_catalog.text) operator(pg_catalog.<=) 65536",
        &[Json(attributes.clone()).into()],
    )
    .unwrap_or(false)
}

/// Makes immediate what could be put off to the end of the transaction and that a deletion would touch: the deferrable constraints of
/// the tables that follow auth.users by foreign keys. What of them is pending fires now, as the caller, as it would then; in the
/// deletion itself nothing can be put off.
pub fn settle_constraints() {
    let names = spi::query(
        Mode::Write,
        "with recursive follows (relation) as (
             select 'auth.users'::pg_catalog.regclass::pg_catalog.oid
             union
             select c.conrelid from pg_catalog.pg_constraint c join follows f on f.relation operator(pg_catalog.=) c.confrelid
              where c.contype operator(pg_catalog.=) 'f')
         select distinct pg_catalog.format('%I.%I', n.nspname, c.conname)
           from pg_catalog.pg_constraint c
           join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.connamespace
          where c.condeferrable
            and (c.conrelid operator(pg_catalog.=) any (select f.relation from follows f)
                 or c.confrelid operator(pg_catalog.=) any (select f.relation from follows f))",
        &[],
        |row| row.value::<String>(1),
    );
    if !names.is_empty() {
        let settle = format!("set constraints {} immediate", names.join(", "));
        on_behalf_of_others(|| state::as_outer_user(|| spi::command(&settle)));
    }
}

/// Deletes a user: whether it did, and otherwise the table whose foreign key forbids it; none where the caller may not, or may no more.
pub fn delete(user: Uuid, by_themselves: bool) -> Option<(bool, Option<String>)> {
    let allowed: Option<bool> = call("select auth_private.may_erase($1)", &[user.into()]);
    if allowed != Some(true) {
        return None;
    }
    let erased = state::while_erasing(user, || {
        first(Mode::Write, "select d.deleted, d.blocked_by from auth_private.erase_user($1) d", &[user.into()], |row| {
            (row.value(1), row.get(2))
        })
        .unwrap_or((false, None))
    });
    // After the user's row, as everything that writes epochs: in the other order two would wait for each other.
    if !by_themselves && erased.0 {
        run("select auth_private.forget_restrictions($1)", &[user.into()]);
    }
    Some(erased)
}

/// A user as clients see them, as auth_private.user_directory.
pub struct RenderedUser {
    id: uuid::Uuid,
    name: String,
    email: Option<String>,
    image: Option<String>,
    roles: Vec<String>,
    banned: bool,
    attributes: WholeJson,
    ban_reason: Option<String>,
    created_at: String,
    updated_at: String,
    ban_expires_at: Option<String>,
    email_verified: bool,
    last_sign_in_at: Option<String>,
}

object_of! {
    RenderedUser: id, name, email, image, roles, banned, attributes, ban_reason, created_at, updated_at, ban_expires_at, email_verified,
    last_sign_in_at
}

impl From<ListedUser> for RenderedUser {
    fn from(user: ListedUser) -> Self {
        RenderedUser {
            id: ids::pure(user.id),
            email: user.email,
            email_verified: user.email_verified,
            name: user.name,
            image: user.image,
            roles: user.roles,
            banned: user.banned,
            ban_reason: user.ban_reason,
            ban_expires_at: user.ban_expires_at.map(moment),
            attributes: user.attributes,
            created_at: moment(user.created_at),
            updated_at: moment(user.updated_at),
            last_sign_in_at: user.last_sign_in_at.map(moment),
        }
    }
}
