//! The public functions: authorise, call, render. Their signatures, comments and grants are in `sql/`.

mod accounts;
mod audit;
mod bans;
mod database_roles;
mod deployment;
mod email;
mod gateway;
mod housekeeping;
mod identity;
mod impersonation;
mod imports;
mod messages;
mod password_reset;
mod passwords;
mod providers;
mod released;
mod sessions;
mod user_list;
mod user_roles;
mod user_sessions;
mod users;
