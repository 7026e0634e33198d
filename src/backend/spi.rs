//! Statements. pgrx's own client marks a transaction as writing as soon as a function may write, which takes a transaction
//! id and fails on a standby; here each call says whether it writes.

use super::json::WholeJson;
use super::settings;
use pgrx::datum::{DatumWithOid, FromDatum};
use pgrx::pg_sys;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, CString};

thread_local! {
    /// Plans by their text; kept for the life of the backend. Preparing costs four times what running does.
    static PLANS: RefCell<HashMap<String, pg_sys::SPIPlanPtr>> = RefCell::default();
}

/// Which rows a statement sees.
#[derive(Clone, Copy, PartialEq)]
pub enum Mode {
    /// Those of the calling statement's snapshot.
    Read,
    /// The newest at READ COMMITTED, our own changes included; it may write.
    Write,
    /// The newest at every isolation level. Only to read.
    Latest,
}

/// A row of a result.
pub struct Row {
    tuple: pg_sys::HeapTuple,
    descriptor: pg_sys::TupleDesc,
}

impl Row {
    /// The value of a column, counted from 1. The type must be the column's.
    pub fn get<T: FromDatum>(&self, column: i32) -> Option<T> {
        // SAFETY: tuple and descriptor belong together and live until SPI_finish; FromDatum copies. So does that of WholeJson, but into
        // memory that goes with them: `whole_json` is for that.
        unsafe {
            let mut is_null = false;
            let datum = pg_sys::SPI_getbinval(self.tuple, self.descriptor, column, &mut is_null);
            T::from_datum(datum, is_null)
        }
    }

    /// A jsonb, as the server has it.
    pub fn whole_json(&self, column: i32) -> Option<WholeJson> {
        // SAFETY: as above; rows are read between SPI_connect and SPI_finish.
        unsafe {
            let mut is_null = false;
            let datum = pg_sys::SPI_getbinval(self.tuple, self.descriptor, column, &mut is_null);
            (!is_null).then(|| WholeJson::of_row(datum))
        }
    }

    /// The value of a column that is never null.
    pub fn value<T: FromDatum>(&self, column: i32) -> T {
        self.get(column).expect("a column that is never null")
    }
}

/// Runs a statement of ours, of which there are only so many, and maps its rows. Its plan is kept.
pub fn query<T>(mode: Mode, sql: &str, arguments: &[DatumWithOid], row: impl FnMut(&Row) -> T) -> Vec<T> {
    query_kept(0, 0, mode, sql, arguments, row)
}

/// The same, of not more than so many rows, in an order that an index has whatever the arguments: it is planned for none in particular. Left
/// to itself the server may find a plan for just these better by a hair, and plans anew each time, which takes as long as the page.
pub fn query_at_most<T>(most: i64, mode: Mode, sql: &str, arguments: &[DatumWithOid], row: impl FnMut(&Row) -> T) -> Vec<T> {
    query_kept(pg_sys::CURSOR_OPT_GENERIC_PLAN, most, mode, sql, arguments, row)
}

fn query_kept<T>(options: u32, most: i64, mode: Mode, sql: &str, arguments: &[DatumWithOid], row: impl FnMut(&Row) -> T) -> Vec<T> {
    within_connection(|| {
        let plan = PLANS.with_borrow(|plans| plans.get(sql).copied()).unwrap_or_else(|| keep(options, sql, arguments));
        let (mut values, nulls) = split(arguments);
        // SAFETY: the plan was prepared for arguments of these types.
        let status = unsafe {
            if mode == Mode::Latest {
                // What we have changed ourselves is to be seen too. An error ends the transaction, and the snapshot with it.
                pg_sys::CommandCounterIncrement();
                pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot());
            }
            let status = pg_sys::SPI_execute_plan(plan, values.as_mut_ptr(), nulls.as_ptr().cast(), mode != Mode::Write, most);
            if mode == Mode::Latest {
                pg_sys::PopActiveSnapshot();
            }
            status
        };
        rows(status, row)
    })
}

/// Runs a composed statement, planned for its arguments.
pub fn query_once<T>(sql: &str, arguments: &[DatumWithOid], row: impl FnMut(&Row) -> T) -> Vec<T> {
    within_connection(|| {
        let text = CString::new(sql).expect("a statement without NUL");
        let mut types: Vec<pg_sys::Oid> = arguments.iter().map(DatumWithOid::oid).collect();
        let (mut values, nulls) = split(arguments);
        // SAFETY: as many types, values and nulls as arguments.
        let status = unsafe {
            pg_sys::SPI_execute_with_args(
                text.as_ptr(),
                arguments.len() as i32,
                types.as_mut_ptr(),
                values.as_mut_ptr(),
                nulls.as_ptr().cast(),
                true,
                0,
            )
        };
        rows(status, row)
    })
}

/// Runs a command that returns nothing.
pub fn command(sql: &str) {
    within_connection(|| {
        let text = CString::new(sql).expect("a statement without NUL");
        // SAFETY: a C string that outlives the call.
        let status = unsafe { pg_sys::SPI_execute(text.as_ptr(), false, 0) };
        assert!(status >= 0, "a statement of pg_auth failed: {status}");
    });
}

fn within_connection<T>(body: impl FnOnce() -> T) -> T {
    let connected = || {
        // SAFETY: an error in between is a panic that ends in an ERROR, at which the server closes the connection itself.
        unsafe {
            pg_sys::SPI_connect();
            let result = body();
            pg_sys::SPI_finish();
            result
        }
    };
    if are_pinned() { connected() } else { settings::with(&PINNED, connected) }
}

/// What a caller has set must not change what our statements do: without "row_security" each of them would be an error, and with
/// "quote_all_identifiers" names would be others. Nor may it show them: a plan that is printed has hashes and keys in it, as constants.
const PINNED: [(&CStr, &CStr); 5] = [
    (c"row_security", c"on"),
    (c"quote_all_identifiers", c"off"),
    (c"debug_print_parse", c"off"),
    (c"debug_print_rewritten", c"off"),
    (c"debug_print_plan", c"off"),
];

/// Whether all of it is so already, as it mostly is.
fn are_pinned() -> bool {
    // SAFETY: reads of the backend's own state.
    unsafe {
        let prints = pg_sys::Debug_print_parse || pg_sys::Debug_print_rewritten || pg_sys::Debug_print_plan;
        pg_sys::row_security && !pg_sys::quote_all_identifiers && !prints
    }
}

fn keep(options: u32, sql: &str, arguments: &[DatumWithOid]) -> pg_sys::SPIPlanPtr {
    let text = CString::new(sql).expect("a statement without NUL");
    let mut types: Vec<pg_sys::Oid> = arguments.iter().map(DatumWithOid::oid).collect();
    // SAFETY: as many types as arguments; the kept plan lives on.
    let plan = unsafe {
        let plan = pg_sys::SPI_prepare_cursor(text.as_ptr(), types.len() as i32, types.as_mut_ptr(), options as i32);
        assert!(!plan.is_null(), "a statement of pg_auth cannot be prepared");
        pg_sys::SPI_keepplan(plan);
        plan
    };
    PLANS.with_borrow_mut(|plans| plans.insert(sql.to_owned(), plan));
    plan
}

fn split(arguments: &[DatumWithOid]) -> (Vec<pg_sys::Datum>, Vec<u8>) {
    arguments
        .iter()
        .map(|argument| match argument.datum() {
            Some(datum) => (datum.sans_lifetime(), b' '),
            None => (pg_sys::Datum::from(0), b'n'),
        })
        .unzip()
}

fn rows<T>(status: i32, mut row: impl FnMut(&Row) -> T) -> Vec<T> {
    assert!(status >= 0, "a statement of pg_auth failed: {status}");
    // SAFETY: after a successful statement the table is null or holds `numvals` tuples of its descriptor.
    unsafe {
        let table = pg_sys::SPI_tuptable;
        if table.is_null() {
            return Vec::new();
        }
        let table = &*table;
        (0..table.numvals as usize).map(|n| row(&Row { tuple: *table.vals.add(n), descriptor: table.tupdesc })).collect()
    }
}
