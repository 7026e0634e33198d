//! Housekeeping.

use crate::backend::raise::run;
use crate::caller;
use crate::config;
use crate::error::invalid;
use crate::store::housekeeping;
use pgrx::pg_extern;

const MAX_ROWS: i32 = 100_000;

/// `auth.purge_expired()`
#[pg_extern(sql = false)]
fn purge_expired(max_rows: Option<i32>) -> i32 {
    run(|| {
        caller::administrator("settings:update")?;
        let max_rows = max_rows.unwrap_or(1_000);
        if !(1..=MAX_ROWS).contains(&max_rows) {
            return Err(invalid("max_rows"));
        }
        let (_, window) = config::throttle();
        Ok(housekeeping::purge(max_rows, window, config::message_interval()).try_into().unwrap_or(i32::MAX))
    })
}
