//! Bans.

use crate::backend::raise::run;
use crate::caller::{self, Record};
use crate::deeds::bans;
use crate::domain::profile;
use crate::error::{Code, Result, invalid, required};
use crate::store::bans::{End, lift};
use crate::store::users;
use pgrx::datum::Interval;
use pgrx::{JsonB, Uuid, pg_extern};
use serde_json::json;

/// A thousand years, past which an end would no longer be a timestamp.
const LONGEST: i128 = 1_000 * 366 * 24 * 60 * 60 * 1_000_000;

/// `auth.ban_user()`
#[pg_extern(sql = false)]
fn ban_user(user_id: Option<Uuid>, ban_reason: Option<String>, ban_expires_in: Option<Interval>) -> JsonB {
    run(|| {
        let caller = caller::administrator("user:ban")?;
        let user = required(user_id, "user_id")?;
        let reason = ban_reason.map(profile::ban_reason).transpose()?.flatten();
        let end = ban_expires_in.map_or(Ok(End::Never), end)?;
        caller.must_dominate(user)?;
        let record = Record::of(&caller, "ban_user").to(Some(user));
        bans::ban(&caller, user, reason, end)?;
        let banned = users::json(user).ok_or(Code::USER_NOT_FOUND)?;
        record.with("after", json!({"ban_reason": banned["ban_reason"], "ban_expires_at": banned["ban_expires_at"]})).ok();
        Ok(JsonB(banned))
    })
}

/// `auth.unban_user()`
#[pg_extern(sql = false)]
fn unban_user(user_id: Option<Uuid>) -> JsonB {
    run(|| {
        let caller = caller::administrator("user:ban")?;
        let user = required(user_id, "user_id")?;
        caller.must_dominate(user)?;
        let record = Record::of(&caller, "unban_user").to(Some(user));
        let lifted = lift(user);
        record.with("was_banned", lifted).ok();
        Ok(JsonB(users::json(user).ok_or(Code::USER_NOT_FOUND)?))
    })
}

fn end(interval: Interval) -> Result<End> {
    if (1..=LONGEST).contains(&interval.as_micros()) { Ok(End::In(interval)) } else { Err(invalid("ban_expires_in")) }
}
