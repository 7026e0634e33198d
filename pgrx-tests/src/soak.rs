//! What chance decides is tried a few times in `make test` and very often in `make soak`, which writes docs/soak.md.

use std::ffi::OsString;
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write;

fn figures() -> Option<OsString> {
    std::env::var_os("PG_AUTH_SOAK")
}

/// The first in `make test`, the second in `make soak`.
pub fn rounds(short: u32, long: u32) -> u32 {
    if figures().is_some() { long } else { short }
}

/// Says what was measured; in `make soak` it becomes a line of docs/soak.md.
pub fn figure(what: &str, value: impl Display) {
    println!("{what}: {value}");
    if let Some(path) = figures() {
        let mut file = OpenOptions::new().create(true).append(true).open(path).expect("the file of figures");
        writeln!(file, "| {what} | {value} |").expect("a line");
    }
}
