//! Signing in with an identity provider.

use crate::backend::json::WholeJson;
use crate::backend::raise::{could_not_serialize, run};
use crate::caller::{self, Origin, Record};
use crate::config;
use crate::deeds::{
    mail,
    sessions::{admit, none_yet},
};
use crate::domain::{email::Email, profile};
use crate::error::{Code, Error, Result, required};
use crate::store::sessions::Proof;
use crate::store::{Mode, accounts, users};
use pgrx::{Uuid, pg_extern};

/// What a provider says about somebody.
struct Vouched {
    provider: String,
    id: String,
    email: Option<Email>,
    email_verified: bool,
    name: String,
}

/// `auth.sign_in_with_provider()`
#[allow(clippy::too_many_arguments)] // the contract's
#[pg_extern(sql = false)]
fn sign_in_with_provider(
    provider: Option<String>,
    provider_user_id: Option<String>,
    email: Option<String>,
    email_verified: Option<bool>,
    name: Option<String>,
    create_user: Option<bool>,
    ip_address: Option<String>,
    user_agent: Option<String>,
) -> WholeJson {
    run(move || {
        let caller = caller::back_end()?;
        let vouched = Vouched {
            provider: profile::provider(required(provider, "provider")?)?,
            id: profile::provider_user_id(required(provider_user_id, "provider_user_id")?)?,
            email: email.map(|email| Email::parse(&email, "email")).transpose()?,
            email_verified: email_verified.unwrap_or(false),
            name: profile::name(name.unwrap_or_default())?,
        };
        let origin = Origin::new(ip_address.as_deref(), user_agent)?;
        let (account, user, is_new) = account_of(&vouched, create_user.unwrap_or(true))?;
        let record = Record::of(&caller, "sign_in_with_provider").to(Some(user)).with("provider", vouched.provider);
        let standing = users::standing(user).ok_or(Code::ACCOUNT_NOT_FOUND)?;
        let must_verify = config::require_email_verification() && !standing.email_verified;
        if let Some(email) = vouched.email.filter(|_| is_new && !standing.email_verified)
            && (must_verify || config::send_verification_on_sign_up())
        {
            mail::verification(email.as_str(), Some(user));
        }
        if is_new && must_verify {
            record.by(user, None).ok_from(&origin);
            return Ok(none_yet(users::json(user)));
        }
        // Unlinked or deleted in between.
        Ok(admit(&standing, Proof::Account(account), true, record, &origin).ok_or(Code::ACCOUNT_NOT_FOUND)?)
    })
}

/// Account and user whom the provider means, and whether they have just been created.
fn account_of(vouched: &Vouched, create: bool) -> Result<(Uuid, Uuid, bool)> {
    let find = || accounts::find(Mode::Write, &vouched.provider, &vouched.id).map(|(account, user)| (account, user, false));
    if let Some(found) = find() {
        return Ok(found);
    }
    // Both must know the address to be theirs. The provider: or its users would sign in here as anybody. We: or whoever
    // signed up here first with an address that is not theirs would share the account with its owner.
    let email = vouched.email.as_ref().map(Email::as_str);
    if let Some(email) = email.filter(|_| vouched.email_verified)
        && let Some((account, user)) = accounts::link_by_verified_address(email, &vouched.provider, &vouched.id)
    {
        return Ok((account, user, false));
    }
    if let Some(found) = find() {
        return Ok(found);
    }
    if email.is_some_and(|email| users::find_by_email(email).is_some()) {
        let code = if create { Code::USER_ALREADY_EXISTS } else { Code::ACCOUNT_NOT_FOUND };
        return Err(Error::from(code).with_hint(if vouched.email_verified {
            "The user with this address has not proved it here: reset_password does, and ends what anybody else has planted"
        } else {
            "There is a user with this address, who is linked only where the provider calls it verified"
        }));
    }
    if !create {
        return Err(Code::ACCOUNT_NOT_FOUND.into());
    }
    if !config::sign_up() {
        return Err(Code::SIGN_UP_DISABLED.into());
    }
    if let Some((account, user)) = accounts::register(email, vouched.email_verified, &vouched.name, &vouched.provider, &vouched.id) {
        return Ok((account, user, true));
    }
    // Somebody was faster: the same person twice, or another with the address.
    match find() {
        Some(found) => Ok(found),
        None if email.is_some_and(|email| users::find_by_email(email).is_some()) => Err(Code::USER_ALREADY_EXISTS.into()),
        None => could_not_serialize(),
    }
}
