//! A private cluster, databases cloned from a template, actors who speak as the role they are, and a matcher of refusals.

mod actor;
mod cluster;
mod database;
mod pooler;
mod postgrest;
mod soak;

pub use actor::{Actor, Refusal};
pub use cluster::{Cluster, development_directory, free_port, program, succeed, unprivileged_command};
pub use database::{Database, Mail, PASSWORD, address};
pub use pooler::Pooler;
pub use postgrest::{PostgRest, Reply, allow_gateway};
pub use soak::{figure, rounds};
