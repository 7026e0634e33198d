//! Black-box tests over real connections, each as the role it speaks of; and the unit tests of the pure code.

// The pure code, as the extension compiles it: a use of the server in it would not compile here.
#[path = "../src/domain/mod.rs"]
#[allow(dead_code)]
mod domain;
#[path = "../src/error.rs"]
#[allow(dead_code)]
mod error;
#[path = "fuzz/src/properties.rs"]
mod properties;

mod accounts;
mod audit;
mod authority;
mod bans;
mod calls;
mod clients;
mod clock;
mod database_roles;
mod deeds;
mod deployment;
mod directory;
mod dump_restore;
mod email;
mod enumeration;
mod faults;
mod fuzz_texts;
mod fuzz_values;
mod fuzz_verdict;
mod gateway;
mod gateway_calls;
mod gateway_clients;
mod gateway_tokens;
mod hash_slots;
mod hindsight;
mod history;
mod hostile_objects;
mod housekeeping;
mod identity;
mod impersonation;
mod imports;
mod install;
mod isolation;
mod lints;
mod list_users;
mod log_redaction;
mod lookups;
mod lucia;
mod mailer;
mod memory_and_disk;
mod messages;
mod moving_in;
mod package;
mod parsers;
mod password_reset;
mod passwords;
mod pepper;
mod pg_upgrade;
mod policies;
mod pooler;
mod races;
mod readme;
mod replication;
mod role_passwords;
mod sign_in;
mod sql_fuzz;
mod standards;
mod standby;
mod strangers;
mod tampering;
mod throttle;
mod upgrade;
mod user_roles;
mod users;
mod verify_install;
