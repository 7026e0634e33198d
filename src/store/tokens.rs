//! One-time tokens.

use super::{call, first};
use crate::backend::spi::Mode;
use crate::domain::message::Kind;
use crate::error::{Code, Result};
use pgrx::Uuid;

/// True when a token for this is good at this moment.
pub fn is_live(token_hash: [u8; 32], purpose: Kind) -> bool {
    first(
        Mode::Write,
        "select from auth_private.live_token($1, $2)",
        &[token_hash.to_vec().into(), vec![purpose.name().to_owned()].into()],
        |_| (),
    )
    .is_some()
}

/// What a token has proved.
pub struct Verified {
    pub user: Uuid,
    /// Whether the token was for another address.
    pub is_change: bool,
    /// The address before, where the token was for another.
    pub former_address: Option<String>,
    /// Whether the ways to sign in from before were removed.
    pub unproven_removed: bool,
    /// Whether somebody has taken the new address meanwhile. Nothing has then changed, and the caller must raise.
    pub is_taken: bool,
}

/// Consumes a token for verify_email; none where it is not good.
pub fn verify_address(token_hash: [u8; 32]) -> Option<Verified> {
    first(
        Mode::Write,
        "select v.user_id, v.purpose, v.former_address, v.unproven_removed, v.is_taken from auth_private.verify_address($1) v",
        &[token_hash.to_vec().into()],
        |row| {
            let is_change = row.get::<String>(2).as_deref() == Some(Kind::ChangeEmail.name());
            Some(Verified {
                user: row.get(1)?,
                is_change,
                former_address: row.get(3).filter(|_| is_change),
                unproven_removed: row.get(4).unwrap_or(false),
                is_taken: row.get(5).unwrap_or(false),
            })
        },
    )
    .flatten()
}

/// Consumes a token for reset_password and writes the hash; none where the token is not good.
pub fn reset_password(token_hash: [u8; 32], new_hash: &str) -> Option<Uuid> {
    call("select auth_private.reset_forgotten_password($1, $2)", &[token_hash.to_vec().into(), new_hash.into()])
}

/// Locks the user; no token of theirs is good any more, nor one that is about to be sent. USER_NOT_FOUND where they are gone.
pub fn revoke_all(user: Uuid) -> Result<()> {
    revoke(user, &[Kind::VerifyEmail, Kind::ChangeEmail, Kind::ResetPassword])
}

/// The same for tokens of one purpose.
pub fn revoke(user: Uuid, purposes: &[Kind]) -> Result<()> {
    let names: Vec<String> = purposes.iter().map(|kind| kind.name().to_owned()).collect();
    let is_there: Option<bool> = call("select auth_private.revoke_tokens($1, $2)", &[user.into(), names.into()]);
    if is_there == Some(true) { Ok(()) } else { Err(Code::USER_NOT_FOUND.into()) }
}
