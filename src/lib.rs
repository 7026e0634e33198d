//! pg_auth: authentication and user administration inside PostgreSQL.
//!
//! `sql/` declares what is true and who may see it; here is decided what happens.
//!
//! - [`api`]: the public functions, one file a concept: authorise, call, render
//! - [`deeds`]: what more than one of them does
//! - [`caller`]: who is calling, from where, with which password, and what is written down about it
//! - [`domain`]: what is true without a database
//! - [`store`]: every statement
//! - [`backend`]: what touches the server below SQL, and the only `unsafe`
//! - [`error`]: the catalogue of errors
//! - [`config`]: the settings

#![deny(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]

mod api;
mod backend;
mod caller;
mod config;
mod deeds;
mod domain;
mod error;
mod store;

pgrx::pg_module_magic!();

/// Called by the server when it loads the library.
#[pgrx::pg_guard]
pub extern "C-unwind" fn _PG_init() {
    config::check();
    backend::harden();
    backend::memory::define();
    backend::snapshot::define();
    backend::index::define();
    config::define();
    backend::attempt_counters::define();
    backend::log_redaction::define();
    domain::access_token::keep_signer();
    backend::workers::register("pg_auth_housekeeping");
}
