//! Banning and lifting bans.

use crate::backend::state;
use crate::caller::Caller;
use crate::config;
use crate::domain::user_patch::BanPatch;
use crate::error::{Code, Result, invalid};
use crate::store::bans::{self, End, Terms};
use crate::store::{sessions, user_roles};
use pgrx::Uuid;
use pgrx::datum::TimestampWithTimeZone;

/// Bans a user; their sessions end, and the impersonations that they run end with these. The ban, and the one that it replaces.
pub fn ban(caller: &Caller, user: Uuid, reason: Option<String>, end: End) -> Result<(Terms, Option<Terms>)> {
    if caller.user() == Some(user) {
        return Err(Code::YOU_CANNOT_BAN_YOURSELF.into());
    }
    if user_roles::is_last_admin(user) {
        return Err(Code::LAST_ADMIN.into());
    }
    let reason = reason.unwrap_or_else(config::default_ban_reason);
    let former = bans::current(user);
    let expires_at = bans::put(user, &reason, caller.user(), end);
    sessions::end_all(user, true)?;
    Ok(((reason, expires_at), former))
}

/// What a patch does to a user's ban.
pub enum Change {
    /// Nothing.
    Keep,
    /// What ban_user does.
    Ban(Option<String>, End),
    /// What unban_user does.
    Lift,
    /// Another reason or end of the ban that holds; none leaves it.
    Amend(Option<Option<String>>, Option<End>),
}

impl Change {
    /// Reads the ban fields of a patch.
    pub fn plan(patch: &BanPatch) -> Result<Self> {
        let end = patch.expires_at.as_ref().map(|text| end(text.as_deref())).transpose()?;
        Ok(match (patch.banned, patch.reason.clone(), end) {
            (None, None, None) => Change::Keep,
            (Some(true), reason, end) => Change::Ban(reason.flatten(), end.unwrap_or(End::Never)),
            (Some(false), None | Some(None), None | Some(End::Never)) => Change::Lift,
            (Some(false), Some(Some(_)), _) => return Err(invalid("ban_reason")),
            (Some(false), ..) => return Err(invalid("ban_expires_at")),
            (None, reason, end) => Change::Amend(reason, end),
        })
    }

    /// Does it. A ban that is not there cannot be amended.
    pub fn carry_out(self, caller: &Caller, user: Uuid) -> Result<()> {
        match self {
            Change::Keep => Ok(()),
            Change::Ban(reason, end) => ban(caller, user, reason, end).map(drop),
            Change::Lift => {
                bans::lift(user);
                Ok(())
            }
            Change::Amend(reason, end) => {
                let (old_reason, old_end) = bans::current(user).ok_or_else(|| invalid("banned"))?;
                let reason = reason.map_or(Some(old_reason), |new| new);
                ban(caller, user, reason, end.unwrap_or_else(|| old_end.map_or(End::Never, End::At))).map(drop)
            }
        }
    }
}

fn end(text: Option<&str>) -> Result<End> {
    let Some(text) = text else { return Ok(End::Never) };
    let moment: TimestampWithTimeZone = text.parse().map_err(|_| invalid("ban_expires_at"))?;
    // "infinity" is no date that a client could show; null is for ever.
    if !moment.is_finite() || moment.into_inner() <= state::clock() {
        return Err(invalid("ban_expires_at"));
    }
    Ok(End::At(moment))
}
