//! What is true without a database: pure Rust, no server, no input or output.

pub mod access_token;
pub mod address;
pub mod argon2id;
pub mod attempt_counts;
pub mod email;
pub mod message;
pub mod password;
pub mod pepper;
pub mod permission;
pub mod profile;
pub mod role_name;
pub mod stored_hash;
pub mod token;
pub mod user_field;
pub mod user_import;
pub mod user_patch;
pub mod user_query;
