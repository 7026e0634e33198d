//! Every statement of the extension, by what it is about. Nothing else names SQL.
//!
//! A test prepares each of them and gives it to pgspot. They run as the owner of the function that called, under the
//! policies of `sql/tables/`. What starts with `auth_private.` and is called like a function is a door, and so is what runs in `as_door`.

pub mod accounts;
pub mod attempts;
pub mod audit;
pub mod bans;
pub mod callers;
pub mod database_roles;
pub mod deployment;
pub mod housekeeping;
pub mod imports;
pub mod manifest;
pub mod messages;
pub mod passwords;
pub mod sessions;
pub mod signing_keys;
pub mod tokens;
pub mod user_list;
pub mod user_roles;
pub mod users;

pub use crate::backend::spi::Mode;
use crate::backend::spi::{self, Row};
use pgrx::datum::{DatumWithOid, FromDatum, Inet};
use std::net::IpAddr;

/// The first row, if there is one.
fn first<T>(mode: Mode, sql: &'static str, arguments: &[DatumWithOid], row: impl FnMut(&Row) -> T) -> Option<T> {
    spi::query(mode, sql, arguments, row).into_iter().next()
}

/// The one value of a call; null is none.
fn call<T: FromDatum>(sql: &'static str, arguments: &[DatumWithOid]) -> Option<T> {
    first(Mode::Write, sql, arguments, |row| row.get(1)).flatten()
}

/// An address as the server has it.
fn inet(address: Option<IpAddr>) -> Option<Inet> {
    address.map(|address| Inet(address.to_string()))
}

/// A statement whose result does not matter.
fn run(sql: &'static str, arguments: &[DatumWithOid]) {
    spi::query(Mode::Write, sql, arguments, |_| ());
}
