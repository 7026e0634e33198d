//! Accounts: the ways a user has to sign in.

use crate::backend::json::{Json, WholeJson};
use crate::backend::raise::run;
use crate::caller::{self, Caller, Record};
use crate::domain::profile::{self, CREDENTIAL};
use crate::error::{Code, Result, required};
use crate::store::accounts::{self, Account};
use crate::store::{Mode, passwords, tokens, users};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::{Uuid, name, pg_extern};
use serde_json::json;

/// `auth.get_user_by_provider_id()`
#[pg_extern(sql = false)]
fn get_user_by_provider_id(provider: Option<String>, provider_user_id: Option<String>) -> WholeJson {
    run(move || {
        let caller = caller::identified()?;
        let found = provider.as_deref().zip(provider_user_id.as_deref()).and_then(|(name, id)| accounts::find(Mode::Read, name, id));
        let user = found.map(|(_, user)| user);
        if user.is_none() || user != caller.user() {
            caller.must_hold("user:get")?;
        }
        required(provider, "provider")?;
        required(provider_user_id, "provider_user_id")?;
        user.and_then(users::rendered_for_reader).ok_or(Code::ACCOUNT_NOT_FOUND.into())
    })
}

/// `auth.update_user_provider_id()`
#[pg_extern(sql = false)]
fn update_user_provider_id(user_id: Option<Uuid>, provider: Option<String>, provider_user_id: Option<String>) -> WholeJson {
    run(move || {
        let caller = caller::back_end()?;
        let (user, provider, id) = named(user_id, provider, provider_user_id)?;
        caller.must_dominate(user)?;
        // The oldest is the one that gets another identifier.
        let before = accounts::list(user).into_iter().find(|account| account.provider == provider).map(|account| account.provider_user_id);
        match accounts::find(Mode::Write, &provider, &id) {
            Some((_, owner)) if owner != user => return Err(Code::ACCOUNT_ALREADY_LINKED.into()),
            Some(_) => {}
            None => match accounts::rename(user, &provider, &id) {
                Some(true) => {}
                Some(false) => return Err(Code::ACCOUNT_ALREADY_LINKED.into()),
                None => drop(accounts::link(user, &provider, &id).ok_or(Code::ACCOUNT_ALREADY_LINKED)?),
            },
        }
        let record = Record::of(&caller, "update_user_provider_id").to(Some(user));
        record.with("provider", provider).with("before", json!({"provider_user_id": before})).with("provider_user_id", id).ok()?;
        users::rendered(user).ok_or(Code::USER_NOT_FOUND.into())
    })
}

/// `auth.list_accounts()`
#[pg_extern(sql = false)]
fn list_accounts(
    user_id: Option<Uuid>,
) -> TableIterator<
    'static,
    (
        name!(id, Uuid),
        name!(user_id, Uuid),
        name!(provider, String),
        name!(provider_user_id, String),
        name!(created_at, TimestampWithTimeZone),
        name!(updated_at, TimestampWithTimeZone),
    ),
> {
    run(move || {
        let caller = caller::identified()?;
        if user_id.is_some() && user_id != caller.user() {
            caller.must_hold("user:get")?;
        }
        let user = required(user_id.or(caller.user()), "user_id")?;
        if !users::exists(user) {
            return Err(Code::USER_NOT_FOUND.into());
        }
        let rows = accounts::list(user).into_iter();
        Ok(TableIterator::new(rows.map(|a: Account| (a.id, a.user, a.provider, a.provider_user_id, a.created_at, a.updated_at))))
    })
}

/// `auth.link_account()`
#[pg_extern(sql = false)]
fn link_account(user_id: Option<Uuid>, provider: Option<String>, provider_user_id: Option<String>) -> Json {
    run(move || {
        let caller = caller::back_end()?;
        let (user, provider, id) = named(user_id, provider, provider_user_id)?;
        caller.must_dominate(user)?;
        let account = accounts::link(user, &provider, &id).ok_or(Code::ACCOUNT_ALREADY_LINKED)?;
        Record::of(&caller, "link_account").to(Some(user)).with("provider", provider).with("provider_user_id", id).ok()?;
        Ok(Json(json!({
            "id": account.id.to_string(), "user_id": account.user.to_string(),
            "provider": account.provider, "provider_user_id": account.provider_user_id,
            "created_at": account.created_at, "updated_at": account.updated_at,
        })))
    })
}

/// `auth.unlink_account()`
#[pg_extern(sql = false)]
fn unlink_account(account_id: Option<Uuid>) {
    run(move || {
        caller::writable()?;
        let caller = caller::identified()?;
        if let Some(person) = caller.person() {
            person.must_be_oneself()?;
            person.must_be_fresh()?;
        }
        let id = required(account_id, "account_id")?;
        let is_theirs = |account: &Account| matches!(caller, Caller::DatabaseRole) || caller.user() == Some(account.user);
        let account = accounts::get(id).filter(is_theirs).ok_or(Code::ACCOUNT_NOT_FOUND)?;
        let count = accounts::hold(account.user);
        // Another call may have taken it while we waited.
        let account = accounts::get(id).filter(is_theirs).ok_or(Code::ACCOUNT_NOT_FOUND)?;
        if count < 2 {
            return Err(Code::FAILED_TO_UNLINK_LAST_ACCOUNT.into());
        }
        let record = Record::of(&caller, "unlink_account").to(Some(account.user));
        if account.provider == CREDENTIAL {
            tokens::revoke_all(account.user)?;
            passwords::remove(account.user);
        } else if !accounts::unlink(id) {
            return Err(Code::ACCOUNT_NOT_FOUND.into());
        }
        record.with("provider", account.provider).with("provider_user_id", account.provider_user_id).ok()?;
        Ok(())
    });
}

fn named(user: Option<Uuid>, provider: Option<String>, id: Option<String>) -> Result<(Uuid, String, String)> {
    let (user, provider, id) = (required(user, "user_id")?, required(provider, "provider")?, required(id, "provider_user_id")?);
    Ok((user, profile::provider(provider)?, profile::provider_user_id(id)?))
}
