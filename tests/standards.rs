//! docs/standards.md names tests that exist, and says nothing without one.

use std::process::Command;

#[test]
fn every_row_has_a_test_or_says_why_not() {
    let page = include_str!("../docs/standards.md");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| N ") || line.starts_with("| A "))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(rows.len() > 70, "{} rows", rows.len());
    let listed = Command::new(std::env::current_exe().expect("ourselves")).arg("--list").output().expect("the list of tests");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for row in rows {
        let [id, requirement, how, tests, result] = row[..] else { panic!("five cells: {row:?}") };
        assert!(!requirement.is_empty() && !how.is_empty(), "{id}");
        let is_deviation = how.starts_with("Deviation: ");
        assert!(is_deviation || tests.contains('`'), "{id} has no test");
        assert_eq!(result, if is_deviation { "deviation" } else { "pass" }, "{id}: make standards");
        for name in tests.split(' ').filter(|name| !name.is_empty()) {
            let name = name.trim_matches('`');
            assert!(listed.contains(&format!("{name}: test\n")), "{id} names {name}, which is no test");
        }
    }
}
