//! Passwords: a user's own, and those set by administrators.

use pgrx_tests::{Database, PASSWORD};
use serde_json::json;

const NEW: &str = "another password";

#[test]
fn change_password_needs_the_right_one_and_keeps_sessions_unless_told() {
    let db = Database::new();
    let (mut ann, mut phone) = (db.user("Ann"), db.signed_in("Ann"));
    ann.is_answered(&format!("select auth.change_password('not the password', '{NEW}')"), "INVALID_PASSWORD");
    let changed = ann.json(&format!("select auth.change_password('{PASSWORD}', '{NEW}')"));
    assert_eq!((&changed["token"], &changed["session"]["current"]), (&json!(null), &json!(true)));
    assert!(ann.is_signed_in() && phone.is_signed_in());
    db.app().is_answered(&format!("select auth.sign_in('ann@example.org', '{PASSWORD}')"), "INVALID_EMAIL_OR_PASSWORD");
    let again = ann.json(&format!("select auth.change_password('{NEW}', '{PASSWORD}', true)"));
    assert!(!ann.is_signed_in() && !phone.is_signed_in());
    let token = again["token"].as_str().unwrap();
    ann.run(&format!("select auth.use_session('{token}', false)"));
    assert!(ann.is_signed_in());
    let outcomes: Vec<String> =
        db.dba().column("select details ->> 'outcome' from auth.audit_log where action = 'change_password' order by id");
    assert_eq!(outcomes, ["INVALID_PASSWORD", "ok", "ok"]);
}

#[test]
fn a_session_not_to_be_remembered_is_followed_by_another_such() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    let short = ann.json(&format!("select auth.sign_in('ann@example.org', '{PASSWORD}', remember_me => false)"));
    let mut ann = ann.adopt("ann@example.org", &short);
    let changed = ann.json(&format!("select auth.change_password('{PASSWORD}', '{NEW}', true)"));
    let days: i32 = db.dba().one(&format!(
        "select extract(day from expires_at - created_at)::int from auth.sessions where id = '{}'",
        changed["session"]["id"].as_str().unwrap()
    ));
    assert_eq!(days, 1);
}

#[test]
fn bad_new_passwords_are_refused_before_the_old_one_is_looked_at() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    for (arguments, sqlstate, detail) in [
        (format!("'{PASSWORD}', 'short'"), "22023", "PASSWORD_TOO_SHORT: new_password"),
        (format!("'{PASSWORD}', repeat('x', 129)"), "22023", "PASSWORD_TOO_LONG: new_password"),
        (format!("repeat('x', 129), '{NEW}'"), "22023", "PASSWORD_TOO_LONG: current_password"),
        (format!("'{PASSWORD}', 'password1'"), "22023", "PASSWORD_TOO_COMMON: new_password"),
        (format!("null, '{NEW}'"), "22004", "MISSING_ARGUMENT: current_password"),
        (format!("'{PASSWORD}', null"), "22004", "MISSING_ARGUMENT: new_password"),
    ] {
        ann.is_refused(&format!("select auth.change_password({arguments})"), sqlstate, detail);
    }
}

#[test]
fn the_three_places_to_guess_at_share_one_count() {
    let db = Database::new();
    db.dba().run(&format!("alter database {} set auth.max_failed_attempts = 3", db.name));
    let mut ann = db.user("Ann");
    ann.is_answered("select auth.verify_password('not the password')", "INVALID_PASSWORD");
    ann.is_answered(&format!("select auth.change_password('not the password', '{NEW}')"), "INVALID_PASSWORD");
    db.app().is_answered("select auth.sign_in('ANN@example.org', 'not the password')", "INVALID_EMAIL_OR_PASSWORD");
    assert_eq!(ann.refused(&format!("select auth.verify_password('{PASSWORD}')")).code(), "TOO_MANY_ATTEMPTS");
}

#[test]
fn verify_password_makes_the_session_fresh() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    let own = ann.id;
    db.dba().run("update auth_private.session_keys set authenticated_at = authenticated_at - interval '2 days'");
    ann.is_refused(&format!("select auth.delete_user('{own}')"), "28000", "SESSION_NOT_FRESH");
    ann.is_answered("select auth.verify_password('not the password')", "INVALID_PASSWORD");
    ann.is_refused(&format!("select auth.delete_user('{own}')"), "28000", "SESSION_NOT_FRESH");
    assert_eq!(ann.json(&format!("select auth.verify_password('{PASSWORD}')")), json!({}));
    ann.run(&format!("select auth.delete_user('{own}')"));
}

#[test]
fn set_password_gives_one_to_who_has_none() {
    let db = Database::new();
    let (mut ann, mut root) = (db.user("Ann"), db.admin("Root"));
    ann.is_refused(&format!("select auth.set_password('{NEW}')"), "55000", "PASSWORD_ALREADY_SET");
    let own = ann.id;
    root.run(&format!("select auth.set_user_password('{own}', null, revoke_sessions => false)"));
    assert_eq!(ann.one::<i64>("select count(*) from auth.accounts"), 0);
    ann.is_refused(&format!("select auth.verify_password('{PASSWORD}')"), "55000", "CREDENTIAL_ACCOUNT_NOT_FOUND");
    ann.is_refused(&format!("select auth.change_password('{PASSWORD}', '{NEW}')"), "55000", "CREDENTIAL_ACCOUNT_NOT_FOUND");
    db.dba().run("update auth_private.session_keys set authenticated_at = authenticated_at - interval '2 days'");
    ann.is_refused(&format!("select auth.set_password('{NEW}')"), "28000", "SESSION_NOT_FRESH");
    db.dba().run("update auth_private.session_keys set authenticated_at = clock_timestamp()");
    ann.is_refused("select auth.set_password(null)", "22004", "MISSING_ARGUMENT: new_password");
    ann.run(&format!("select auth.set_password('{NEW}')"));
    assert_eq!(ann.json(&format!("select auth.verify_password('{NEW}')")), json!({}));
    assert_eq!(ann.column::<String>("select provider from auth.accounts where provider_user_id = user_id::text"), ["credential"]);
}

#[test]
fn set_user_password_revokes_sessions_unless_told_and_null_removes() {
    let db = Database::new();
    let (mut ann, mut bob, mut root) = (db.user("Ann"), db.user("Bob"), db.admin("Root"));
    let id = ann.id;
    root.run(&format!("select auth.set_user_password('{id}', '{NEW}', revoke_sessions => false)"));
    assert!(ann.is_signed_in());
    root.run(&format!("select auth.set_user_password('{id}', '{NEW}')"));
    assert!(!ann.is_signed_in() && bob.is_signed_in());
    assert!(db.app().json(&format!("select auth.sign_in('ann@example.org', '{NEW}')"))["token"].is_string());
    root.run(&format!("select auth.set_user_password('{id}', null)"));
    db.app().is_answered(&format!("select auth.sign_in('ann@example.org', '{NEW}')"), "INVALID_EMAIL_OR_PASSWORD");
    root.is_refused(&format!("select auth.set_user_password('{}', '{NEW}')", uuid::Uuid::nil()), "42704", "USER_NOT_FOUND");
    root.is_refused(&format!("select auth.set_user_password('{id}', 'short')"), "22023", "PASSWORD_TOO_SHORT: new_password");
    root.is_refused(&format!("select auth.set_user_password(null, '{NEW}')"), "22004", "MISSING_ARGUMENT: user_id");
    assert_eq!(db.app().json(&format!("select auth.sign_in('bob@example.org', '{PASSWORD}')"))["user"]["id"], bob.id.to_string());
}

#[test]
fn a_database_role_has_no_password_of_its_own() {
    let db = Database::new();
    for call in
        ["change_password('x', 'y')", "verify_password('x')", "set_password('x')", "list_sessions()", "revoke_sessions()", "sign_out()"]
    {
        db.service().is_refused(&format!("select auth.{call}"), "28000", "NOT_SIGNED_IN");
    }
}

#[test]
fn hashes_are_argon2id_with_a_salt_of_their_own() {
    let db = Database::new();
    let pattern = r"^\$argon2id\$v=19\$m=8192,t=1,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$";
    for n in 0..5 {
        db.user(&format!("u{n}"));
    }
    let mut dba = db.dba();
    assert_eq!(
        dba.one::<i64>(&format!("select count(distinct split_part(hash, '$', 5)) from auth_private.passwords where hash ~ '{pattern}'")),
        5
    );
    // Today's recommendation is the default: OWASP, 19 MiB and 2 passes.
    dba.run("select auth.uid()");
    let defaults: Vec<String> =
        dba.column("select boot_val from pg_settings where name in ('auth.argon2_memory', 'auth.argon2_iterations') order by name");
    assert_eq!(defaults, ["2", "19456"]);
}

#[test]
fn a_timeout_is_honoured_between_hashes() {
    let db = Database::new();
    db.dba().run(&format!("alter database {} set auth.argon2_memory = '256MB'", db.name));
    let mut app = db.app();
    app.run("set statement_timeout = '50ms'");
    let refusal = app.refused(&format!("select auth.sign_up('u' || n || '@example.org', '{PASSWORD}') from generate_series(1, 50) n"));
    assert_eq!(refusal.sqlstate, "57014");
    assert_eq!(db.dba().one::<i64>("select count(*) from auth.users"), 0);
}
