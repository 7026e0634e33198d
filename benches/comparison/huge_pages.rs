//! Huge pages for the server's memory, as PostgreSQL's manual advises for a large one.

use std::fs;
use std::process::{Command, Stdio};

const COUNT: &str = "/proc/sys/vm/nr_hugepages";

/// Pages that the system holds ready for a server that starts. Those that it has taken stay with it when this is dropped, and are given back
/// when it stops.
pub struct HugePages {
    before: u64,
}

impl HugePages {
    /// For so many MB of shared buffers, and what goes with them; none where we may not, or where there are not so many.
    pub fn reserve(megabytes: u64) -> Option<Self> {
        let pages = HugePages { before: count()? };
        let wanted = pages.before + megabytes / 2 * 103 / 100 + 100;
        set(wanted);
        (count()? >= wanted).then_some(pages)
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        set(self.before);
    }
}

fn count() -> Option<u64> {
    fs::read_to_string(COUNT).ok()?.trim().parse().ok()
}

fn set(count: u64) {
    let write = ["sh", "-c", &format!("echo {count} > {COUNT}")];
    // SAFETY: reads our own uid.
    let is_root = unsafe { libc::geteuid() } == 0;
    let command: &[&str] = if is_root { &write } else { &[&["sudo", "-n"][..], &write].concat() };
    let _ = Command::new(command[0]).args(&command[1..]).stderr(Stdio::null()).status();
}
