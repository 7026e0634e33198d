//! Users: reading, creating, changing, deleting.

use crate::backend::json::{Given, Json, WholeJson};
use crate::backend::raise::{could_not_serialize, run};
use crate::backend::turns;
use crate::caller::{self, Caller, Record, hash_password};
use crate::config;
use crate::deeds::{attributes, bans, mail, roles};
use crate::domain::user_patch::{Keys, UserPatch};
use crate::domain::{email::Email, password::Password, permission, profile};
use crate::error::{Code, Error, Result, required};
use crate::store::users::{self, Profile};
use crate::store::{passwords, tokens, user_roles};
use pgrx::{Uuid, pg_extern};
use serde_json::{Value, json};

/// `auth.get_user()`
#[pg_extern(sql = false)]
fn get_user(user_id: Option<Uuid>) -> WholeJson {
    run(move || {
        let caller = caller::identified()?;
        if user_id.is_none() || user_id != caller.user() {
            caller.must_hold("user:get")?;
        }
        let user = required(user_id, "user_id")?;
        users::rendered_for_reader(user).ok_or(Code::USER_NOT_FOUND.into())
    })
}

/// `auth.get_user_by_email()`
#[pg_extern(sql = false)]
fn get_user_by_email(email: Option<String>) -> WholeJson {
    run(move || {
        let caller = caller::identified()?;
        let own =
            email.as_deref().and_then(|email| Email::parse(email, "email").ok()).and_then(|email| users::find_by_email(email.as_str()));
        if own.is_none() || own != caller.user() {
            caller.must_hold("user:get")?;
        }
        let email = Email::parse(&required(email, "email")?, "email")?;
        let user = users::find_by_email(email.as_str()).ok_or(Code::USER_NOT_FOUND)?;
        users::rendered_for_reader(user).ok_or(Code::USER_NOT_FOUND.into())
    })
}

/// `auth.create_user()`
#[pg_extern(sql = false)]
fn create_user(
    email: Option<String>,
    password: Option<String>,
    name: Option<String>,
    roles: Option<Vec<Option<String>>>,
    attributes: Option<Given>,
    email_verified: Option<bool>,
) -> Json {
    run(move || {
        caller::writable()?;
        let caller = caller::with_permission("user:create")?;
        if roles.is_some() || password.is_some() {
            caller.must_be_oneself()?;
        }
        let grants = roles.is_some();
        if grants {
            caller.must_hold("user:set-role")?;
        }
        let email = Email::parse(&required(email, "email")?, "email")?;
        let password = password.map(|text| Password::chosen(&text, "password", &config::password_policy())).transpose()?;
        let name = profile::name(name.unwrap_or_default())?;
        let attributes = attributes::stored(attributes.map_or_else(|| Ok(json!({})), Given::read)?)?;
        let roles = match roles {
            Some(roles) => roles::grantable(roles)?,
            None => vec![permission::USER.to_owned()],
        };
        let user = users::create(email.as_str(), &name, attributes, email_verified.unwrap_or(false)).ok_or(Code::USER_ALREADY_EXISTS)?;
        roles::hold(&roles)?;
        user_roles::create(user, &roles, caller.user());
        if let Some(password) = &password {
            passwords::create(user, &hash_password(password)?);
        }
        let created = users::json(user).ok_or(Code::USER_NOT_FOUND)?;
        let record = Record::of(&caller, "create_user").needing("user:create").to(Some(user));
        let record = if grants { record.needing("user:set-role") } else { record };
        record.with("after", json!({"email": created["email"], "roles": roles, "has_password": password.is_some()})).ok()?;
        Ok(Json(created))
    })
}

/// `auth.update_user()`
#[pg_extern(sql = false)]
fn update_user(user_id: Option<Uuid>, patch: Option<Given>) -> Json {
    run(move || {
        caller::writable()?;
        let caller = caller::identified()?;
        let patch = patch.map(Given::read).transpose()?;
        let needs = authorise(&caller, user_id, patch.as_ref())?;
        let user = required(user_id, "user_id")?;
        let patch = UserPatch::parse(required(patch, "patch")?)?;
        patch.attributes.clone().map(attributes::stored).transpose()?;
        let new_roles = patch.roles.clone().map(|roles| roles::grantable(roles.into_iter().map(Some).collect())).transpose()?;
        let new_ban = bans::Change::plan(&patch.ban)?;
        if new_roles.is_some() {
            turns::at_roles_of(user);
        }
        caller.must_dominate(user)?;
        let before = users::json(user).ok_or(Code::USER_NOT_FOUND)?;
        if patch.is_empty() {
            return Ok(Json(before));
        }
        let record = Record::of(&caller, "update_user").to(Some(user));
        // Whoever gives themselves other roles may hold less afterwards.
        let gives_up = new_roles.is_some() && caller.user() == Some(user);
        let record = if gives_up { record } else { needs.into_iter().fold(record, Record::needing) };
        let new_email = patch.email.clone().filter(|email| before["email"] != *email);
        update_row(user, patch)?;
        if let Some(new) = &new_email {
            tokens::revoke_all(user)?;
            mail::email_changed(before["email"].as_str(), user, new, true);
        }
        if let Some(roles) = &new_roles {
            roles::replace(&caller, user, roles)?;
        }
        new_ban.carry_out(&caller, user)?;
        let after = users::json(user).ok_or(Code::USER_NOT_FOUND)?;
        let (before, changed) = difference(&before, &after);
        record.with("before", before).with("after", changed).ok()?;
        Ok(Json(after))
    })
}

/// `auth.update_user_attributes()`
#[pg_extern(sql = false)]
fn update_user_attributes(user_id: Option<Uuid>, attributes: Option<Given>) -> Json {
    run(move || {
        caller::writable()?;
        let caller = caller::identified()?;
        let needs = authorise(&caller, user_id, None)?;
        let user = required(user_id, "user_id")?;
        let attributes = attributes::stored(required(attributes, "attributes")?.read()?)?;
        caller.must_dominate(user)?;
        let before = users::json(user).ok_or(Code::USER_NOT_FOUND)?;
        if attributes.as_object().is_none_or(|keys| keys.is_empty()) {
            return Ok(Json(before));
        }
        let mut merged = before["attributes"].clone();
        if let (Some(merged), Value::Object(new)) = (merged.as_object_mut(), &attributes) {
            merged.extend(new.clone());
        }
        attributes::stored(merged)?;
        let record = needs.into_iter().fold(Record::of(&caller, "update_user_attributes").to(Some(user)), Record::needing);
        if !users::merge_attributes(user, attributes) {
            return Err(Code::USER_NOT_FOUND.into());
        }
        let after = users::json(user).ok_or(Code::USER_NOT_FOUND)?;
        let (before, changed) = difference(&before, &after);
        record.with("before", before).with("after", changed).ok()?;
        Ok(Json(after))
    })
}

/// `auth.delete_user()`
#[pg_extern(sql = false)]
fn delete_user(user_id: Option<Uuid>) -> bool {
    run(move || {
        caller::writable()?;
        authorise_deletion(&caller::identified()?, user_id)?;
        let user = required(user_id, "user_id")?;
        users::settle_constraints();
        // That may have run code of the caller's, after which all is asked anew.
        let caller = caller::latest().identified()?;
        authorise_deletion(&caller, user_id)?;
        let is_oneself = caller.user() == Some(user);
        match caller.must_dominate(user) {
            Err(Error { code: Code::USER_NOT_FOUND, .. }) => return Ok(false),
            other => other?,
        }
        if user_roles::is_last_admin(user) {
            return Err(Code::LAST_ADMIN.into());
        }
        let record = Record::of(&caller, "delete_user").to(Some(user));
        let before = users::json(user);
        match users::delete(user, is_oneself) {
            Some((_, Some(table))) => return Err(Error::about(Code::USER_IN_USE, table)),
            Some((false, None)) => return Ok(false),
            Some((true, None)) => {}
            None => {
                caller::latest().identified()?;
                could_not_serialize();
            }
        }
        let record = record.with("before", before.map_or(Value::Null, |user| json!({"email": user["email"], "roles": user["roles"]})));
        // The session of whoever deletes themselves is gone with them.
        if is_oneself {
            record.ok_ending()?
        } else {
            record.needing("user:delete").ok()?
        }
        Ok(true)
    })
}

/// Oneself with a fresh session, others with user:delete.
fn authorise_deletion(caller: &Caller, user: Option<Uuid>) -> Result<()> {
    caller.must_be_oneself()?;
    match caller.person() {
        Some(person) if user.is_some() && user == caller.user() => person.must_be_fresh(),
        _ => caller.must_hold("user:delete"),
    }
}

/// The permissions that a patch needs, all of which the caller holds: none of oneself, or user:update, and for some fields one more.
fn authorise(caller: &Caller, user: Option<Uuid>, patch: Option<&Value>) -> Result<Vec<&'static str>> {
    let keys = patch.map_or(Keys::default(), Keys::of);
    let is_sensitive = keys.email || keys.roles || keys.ban;
    if is_sensitive {
        caller.must_be_oneself()?;
    }
    let is_oneself = user.is_some() && user == caller.user();
    let needs = [
        (!is_oneself || is_sensitive, "user:update"),
        (keys.email, "user:set-email"),
        (keys.roles, "user:set-role"),
        (keys.ban, "user:ban"),
    ];
    let needs: Vec<_> = needs.into_iter().filter(|(needed, _)| *needed).map(|(_, permission)| permission).collect();
    needs.iter().try_for_each(|permission| caller.must_hold(permission)).map_err(|error| match is_oneself && keys.email {
        true => error.with_hint("change_email asks for another address of one's own"),
        false => error,
    })?;
    Ok(needs)
}

fn update_row(user: Uuid, patch: UserPatch) -> Result<()> {
    if patch.name.is_some() || patch.image.is_some() || patch.attributes.is_some() {
        let profile =
            Profile { name: patch.name.as_deref(), image: patch.image.as_ref().map(Option::as_deref), attributes: patch.attributes };
        if !users::update_profile(user, profile) {
            return Err(Code::USER_NOT_FOUND.into());
        }
    }
    if patch.email.is_some() || patch.email_verified.is_some() {
        match users::update_email(user, patch.email.as_deref(), patch.email_verified) {
            Some(true) => {}
            Some(false) => return Err(Code::USER_ALREADY_EXISTS.into()),
            None => return Err(Code::USER_NOT_FOUND.into()),
        }
    }
    Ok(())
}

/// What differs, as it was and as it is.
fn difference(before: &Value, after: &Value) -> (Value, Value) {
    let changed = |from: &Value, to: &Value| -> Value {
        let fields = from.as_object().into_iter().flatten();
        fields.filter(|(key, value)| *key != "updated_at" && to.get(key) != Some(value)).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    (changed(before, after), changed(after, before))
}
