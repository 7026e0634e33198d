//! What touches the server below SQL, and the only `unsafe`: raising, the identity, statements, a gateway's request, the state of the
//! transaction.

pub mod attempt_counters;
mod cursor;
pub mod hash_memory;
pub mod identity;
pub mod ids;
pub mod index;
pub mod json;
pub mod jsonb;
pub mod log_redaction;
pub mod memory;
pub mod pepper;
pub mod raise;
pub mod request;
pub mod roles;
pub mod settings;
pub mod slots;
pub mod snapshot;
pub mod spi;
pub mod state;
pub mod turns;
pub mod workers;

/// Keeps a backtrace, which names files and functions of this server, from travelling to clients in DETAIL: pgrx appends
/// one to a panic when the server was started with RUST_BACKTRACE.
pub fn harden() {
    // SAFETY: a backend has one thread, and the library is loaded before it runs anything of ours.
    unsafe { std::env::remove_var("RUST_BACKTRACE") };
    // SAFETY: as above.
    unsafe { std::env::remove_var("RUST_LIB_BACKTRACE") };
}
