//! The unit tests of the pure code, compiled as it stands: a use of the server in it would not compile here.

#[path = "../src/domain/mod.rs"]
#[allow(dead_code)]
mod domain;
#[path = "../src/error.rs"]
#[allow(dead_code)]
mod error;
