//! The parsers of src/domain with what must hold for them; `cargo fuzz run --fuzz-dir tests/fuzz emails`.

#[path = "../../../src/domain/mod.rs"]
#[allow(dead_code)]
mod domain;
#[path = "../../../src/error.rs"]
#[allow(dead_code)]
mod error;
mod properties;

pub use properties::PROPERTIES;

/// One input for the parser of that name.
pub fn check(name: &str, data: &[u8]) -> bool {
    let property = PROPERTIES.iter().find(|property| property.name == name).expect("a property of that name");
    (property.check)(&String::from_utf8_lossy(data))
}
