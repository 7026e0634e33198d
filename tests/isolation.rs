//! Races step by step: the specs in tests/isolation, run by PostgreSQL's own isolationtester at every isolation level. Each says its race
//! and the invariant that must hold after every permutation; serialization failures are welcome, a breach never.
//!
//! Of what such races are usually looked for, three have no object here. The token of a session is not rotated by a refresh, so there are
//! no two children of one. There is no call that makes the first administrator: a superuser creates them. And a setting changes between
//! two statements only, so that no call sees the old one and the new one.

use crate::error::Code;
use pgrx_tests::{Database, program, rounds, succeed};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const LEVELS: [&str; 3] = ["read committed", "repeatable read", "serializable"];

macro_rules! specs {
    ($($name:ident)*) => {
        const SPECS: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                keeps_its_invariant(stringify!($name));
            }
        )*
    };
}

specs! {
    account_linked_twice
    actor_deleted_amid_a_call
    address_changed_or_signed_up_for
    address_signed_up_for_twice
    administrators_step_down
    administrators_take_each_other_away
    ban_or_sign_in
    bans_in_opposite_orders
    database_role_made_reset_deleted
    deletion_or_another_verb
    deletion_or_reset
    deletion_or_sign_in
    expired_purged_twice
    key_rotated_or_signed_with
    last_accounts_unlinked
    one_session_kept_or_all_ended
    password_change_or_sign_in
    password_changed_twice
    password_set_by_oneself_and_another
    person_comes_twice_from_provider
    refresh_or_purge
    refresh_or_revocation
    rehash_or_password_change
    reset_token_used_twice
    revocation_and_open_cursor
    revocation_or_check
    revocation_or_sign_in
    rights_lost_amid_a_call
    rise_or_ban
    role_granted_or_dropped
    roles_set_by_oneself_and_another
    target_newer_than_the_snapshot
    token_used_or_superseded
    user_deleted_twice
    verification_token_used_twice
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("tests/isolation")
}

fn isolationtester() -> PathBuf {
    let output = succeed(Command::new(program("pg_config")).arg("--pgxs"));
    let pgxs = PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim());
    let tester = pgxs.parent().and_then(Path::parent).expect("src/makefiles/pgxs.mk").join("test/isolation/isolationtester");
    assert!(tester.exists(), "isolationtester is missing: the server's development files bring it (on Debian postgresql-server-dev-NN)");
    tester
}

fn stage() -> Database {
    let db = Database::new();
    let ground = fs::read_to_string(folder().join("ground.sql")).expect("ground.sql");
    db.dba().run(&format!("alter database {} set auth.message_interval = 0; {ground}", db.name));
    db
}

/// What isolationtester prints of a spec at a level.
fn played(db: &Database, spec: &Path, level: &str) -> String {
    let cluster = Database::cluster();
    let connection = format!("host={} port={} user=postgres dbname={}", cluster.socket().display(), cluster.port, db.name);
    let mut command = Command::new(isolationtester());
    command
        .arg(connection)
        .env("PGOPTIONS", format!("-c default_transaction_isolation={}", level.replace(' ', "\\ ")))
        .env("PGISOLATIONTIMEOUT", "20") // seconds after which a step that hangs is cancelled
        .stdin(fs::File::open(spec).expect("the spec"));
    String::from_utf8_lossy(&succeed(&mut command).stdout).into_owned()
}

/// What may be refused: the catalogue's sentences, and what the server says to ask for another try.
fn is_expected(error: &str) -> bool {
    let serverside = ["could not serialize access due to", "deadlock detected", "current transaction is aborted, commands ignored"];
    serverside.iter().any(|text| error.starts_with(text)) || Code::ALL.iter().any(|code| error == code.entry().sentence)
}

fn keeps_its_invariant(name: &str) {
    let path = folder().join(format!("{name}.spec"));
    let text = fs::read_to_string(&path).expect("the spec");
    let permutations = text.lines().filter(|line| line.starts_with("permutation")).count();
    let db = stage();
    for _ in 0..rounds(1, 20) {
        for level in LEVELS {
            let output = played(&db, &path, level);
            let verdicts: Vec<&str> = output.lines().map(str::trim).filter(|line| *line == "holds" || line.starts_with("BROKEN")).collect();
            let unexpected = output.lines().filter_map(|line| line.split_once("ERROR:  ")).find(|(_, error)| !is_expected(error));
            let waits = output.contains("<waiting") && text.contains("# Nobody waits.")
                || output.contains("deadlock detected") && text.contains("# Nobody deadlocks.");
            assert!(
                verdicts.len() == permutations && verdicts.iter().all(|verdict| *verdict == "holds") && unexpected.is_none() && !waits,
                "{name} at {level}: {unexpected:?}\n{output}"
            );
        }
    }
}

#[test]
fn every_spec_is_played_and_says_its_race_and_invariant() {
    let mut found = BTreeSet::new();
    for path in fs::read_dir(folder()).expect("the specs").map(|entry| entry.expect("a file").path()) {
        if path.extension().is_some_and(|extension| extension == "spec") {
            let text = fs::read_to_string(&path).expect("a spec");
            assert!(text.starts_with("# Race: ") && text.contains("\n# Invariant: "), "{}", path.display());
            found.insert(path.file_stem().expect("a name").to_string_lossy().into_owned());
        }
    }
    assert_eq!(found, SPECS.iter().map(|name| (*name).to_owned()).collect());
}
