//! The public functions: authorise, call, render. Their signatures, comments and grants are in `sql/`.

mod audit;
mod bans;
mod database_roles;
mod gateway;
mod identity;
mod impersonation;
mod passwords;
mod sessions;
mod user_list;
mod user_roles;
mod user_sessions;
mod users;
