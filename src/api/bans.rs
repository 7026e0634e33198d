//! Bans.

use crate::backend::json::{WholeJson, moment};
use crate::backend::raise::run;
use crate::caller::{self, Record};
use crate::deeds::bans;
use crate::domain::profile;
use crate::error::{Code, Result, invalid, required};
use crate::store::bans::{End, Terms, lift};
use crate::store::users;
use pgrx::datum::Interval;
use pgrx::{Uuid, pg_extern};
use serde_json::{Value, json};

/// A thousand years of each part, past which an end might no longer be a timestamp.
const MOST_MONTHS: i32 = 12_000;
const MOST_DAYS: i32 = 366_000;
const MOST_MICROS: i64 = MOST_DAYS as i64 * 24 * 60 * 60 * 1_000_000;

/// `auth.ban_user()`
#[pg_extern(sql = false)]
fn ban_user(user_id: Option<Uuid>, ban_reason: Option<String>, ban_expires_in: Option<Interval>) -> WholeJson {
    run(move || {
        let caller = caller::administrator("user:ban")?;
        let user = required(user_id, "user_id")?;
        let reason = ban_reason.map(profile::ban_reason).transpose()?.flatten();
        let end = ban_expires_in.map_or(Ok(End::Never), end)?;
        caller.must_dominate_at_once(user)?;
        let record = Record::of(&caller, "ban_user").needing("user:ban").to(Some(user));
        let (ban, former) = bans::ban(&caller, user, reason, end)?;
        record.with("before", former.map(terms)).with("after", terms(ban)).ok()?;
        users::rendered(user).ok_or(Code::USER_NOT_FOUND.into())
    })
}

/// `auth.unban_user()`
#[pg_extern(sql = false)]
fn unban_user(user_id: Option<Uuid>) -> WholeJson {
    run(move || {
        let caller = caller::administrator("user:ban")?;
        let user = required(user_id, "user_id")?;
        caller.must_dominate_at_once(user)?;
        let record = Record::of(&caller, "unban_user").needing("user:ban").to(Some(user));
        let lifted = lift(user);
        record.with("was_banned", lifted.is_some()).with("before", lifted.map(terms)).ok()?;
        users::rendered(user).ok_or(Code::USER_NOT_FOUND.into())
    })
}

fn terms((reason, expires_at): Terms) -> Value {
    json!({"ban_reason": reason, "ban_expires_at": expires_at.map(moment)})
}

fn end(interval: Interval) -> Result<End> {
    let (months, days, micros) = (interval.months(), interval.days(), interval.micros());
    // Parts of both signs would be longer or shorter than nothing depending on the calendar.
    let forward = months >= 0 && days >= 0 && micros >= 0 && (months, days, micros) != (0, 0, 0);
    let bounded = months <= MOST_MONTHS && days <= MOST_DAYS && micros <= MOST_MICROS;
    if forward && bounded { Ok(End::In(interval)) } else { Err(invalid("ban_expires_in")) }
}
