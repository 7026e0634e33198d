//! Housekeeping.

use crate::backend::raise::run;
use crate::backend::workers;
use crate::caller;
use crate::config;
use crate::error::invalid;
use crate::store::housekeeping;
use pgrx::{pg_extern, pg_guard, pg_sys};

const MAX_ROWS: i32 = 100_000;
/// How often to ask whether there is anything to do after all.
const WHILE_OFF: i32 = 60;

/// `auth.purge_expired()`
#[pg_extern(sql = false)]
fn purge_expired(max_rows: Option<i32>) -> i32 {
    run(move || {
        caller::administrator("settings:update")?;
        let max_rows = max_rows.unwrap_or(1_000);
        if !(1..=MAX_ROWS).contains(&max_rows) {
            return Err(invalid("max_rows"));
        }
        let (_, window) = config::throttle();
        Ok(housekeeping::purge(max_rows, window, config::message_interval()).try_into().unwrap_or(i32::MAX))
    })
}

/// The worker of the cluster: visits every database now and then.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pg_auth_housekeeping(_argument: pg_sys::Datum) {
    workers::connect(None);
    loop {
        let interval = config::purge_interval();
        if !workers::sleep(if interval > 0 { interval } else { WHILE_OFF }) {
            workers::end();
        }
        if config::purge_interval() > 0
            && !workers::databases().into_iter().all(|database| workers::visit("pg_auth_housekeeping_here", database))
        {
            workers::end();
        }
    }
}

/// The worker of one database: purges in small transactions until nothing is left.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pg_auth_housekeeping_here(argument: pg_sys::Datum) {
    workers::connect(workers::database(argument));
    while workers::transaction(housekeeping::purge_here) > 0 {}
}
