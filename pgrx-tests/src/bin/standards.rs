//! `make standards`: runs the tests that docs/standards.md names, and writes behind each row whether they pass.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio, exit};

/// The row's cells; none for a line that is no row of requirements.
fn cells(line: &str) -> Option<Vec<String>> {
    let cells: Vec<String> = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    (cells.len() == 5 && ["N ", "A "].iter().any(|standard| cells[0].starts_with(standard))).then_some(cells)
}

fn tests(cells: &[String]) -> Vec<String> {
    cells[3].split(' ').filter_map(|name| Some(name.strip_prefix('`')?.strip_suffix('`')?.to_owned())).collect()
}

fn main() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/standards.md");
    let text = fs::read_to_string(&path).expect("docs/standards.md");
    let named: BTreeSet<String> = text.lines().filter_map(cells).flat_map(|cells| tests(&cells)).collect();
    println!("==> running the {} tests that docs/standards.md names", named.len());
    let output = Command::new("cargo")
        .args(["test", "--locked", "--package", "pgrx-tests", "--", "--include-ignored", "--test-threads=1", "--exact"])
        .args(&named)
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let passed: BTreeSet<&str> = said.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... ok")).collect();
    let mut failures = 0;
    let lines = text.lines().map(|line| {
        let Some(mut cells) = cells(line) else { return line.to_owned() };
        let missing: Vec<String> = tests(&cells).into_iter().filter(|name| !passed.contains(name.as_str())).collect();
        failures += missing.len();
        cells[4] = match (missing.as_slice(), cells[2].starts_with("Deviation: ")) {
            ([], false) => "pass".to_owned(),
            ([], true) => "deviation".to_owned(),
            _ => format!("**fails**: {}", missing.join(" ")),
        };
        format!("| {} |", cells.join(" | "))
    });
    let written = lines.collect::<Vec<_>>().join("\n") + "\n";
    fs::write(&path, written).expect("docs/standards.md");
    println!("==> docs/standards.md is written: {failures} tests do not pass");
    exit(i32::from(failures > 0));
}
