//! Black-box tests over real connections, each as the role it speaks of.

mod audit;
mod authority;
mod bans;
mod identity;
mod impersonation;
mod install;
mod list_users;
mod passwords;
mod races;
mod sign_in;
mod user_roles;
mod users;
