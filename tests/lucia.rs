//! Lucia's conformance suite for users (packages/adapter-test at 33e9d01e and 5a6844f6), in our words.

use pgrx_tests::{Database, PASSWORD};
use serde_json::json;

const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

#[test]
fn attributes_keep_what_is_absent_and_write_null() {
    let db = Database::new();
    let (ann, mut service) = (db.user("Ann"), db.service());
    let mut update =
        |patch: &str| service.json(&format!("select auth.update_user_attributes('{}', '{patch}')", ann.id))["attributes"].clone();
    assert_eq!(update(r#"{"username": "a", "age": 1}"#), json!({"username": "a", "age": 1}));
    assert_eq!(update(r#"{"age": null}"#), json!({"username": "a", "age": null}));
    assert_eq!(update("{}"), json!({"username": "a", "age": null}));
}

#[test]
fn an_unknown_id_is_an_error_also_with_an_empty_patch() {
    let db = Database::new();
    let mut service = db.service();
    for call in [
        "get_user('{}')",
        "update_user_attributes('{}', '{}')",
        "update_user_attributes('{}', '{\"a\": 1}')",
        "update_user('{}', '{}')",
        "set_user_password('{}', 'another password')",
        "set_user_password('{}', null)",
        "update_user_provider_id('{}', 'github', '1')",
    ] {
        service.is_refused(&format!("select auth.{}", call.replacen("{}", NOBODY, 1)), "42704", "USER_NOT_FOUND");
    }
    service.is_refused("select auth.get_user_by_provider_id('github', '1')", "42704", "ACCOUNT_NOT_FOUND");
}

#[test]
fn delete_user_of_an_unknown_id_is_false_and_of_a_known_one_leaves_the_others() {
    let db = Database::new();
    let (ann, mut bob) = (db.user("Ann"), db.user("Bob"));
    let mut service = db.service();
    assert!(!service.one::<bool>(&format!("select auth.delete_user('{NOBODY}')")));
    assert!(service.one::<bool>(&format!("select auth.delete_user('{}')", ann.id)));
    assert!(!service.one::<bool>(&format!("select auth.delete_user('{}')", ann.id)));
    assert!(bob.is_signed_in());
    for table in ["auth.accounts", "auth.sessions", "auth_private.passwords"] {
        assert_eq!(db.dba().one::<i64>(&format!("select count(*) from {table}")), 1, "{table}");
    }
}

#[test]
fn a_null_password_removes_it_and_ends_the_sessions() {
    let db = Database::new();
    let (mut ann, mut bob) = (db.user("Ann"), db.user("Bob"));
    db.service().run(&format!("select auth.set_user_password('{}', null)", ann.id));
    assert!(!ann.is_signed_in() && bob.is_signed_in());
    db.app().is_answered(&format!("select auth.sign_in('ann@example.org', '{PASSWORD}')"), "INVALID_EMAIL_OR_PASSWORD");
    assert_eq!(db.dba().column::<String>("select user_id::text from auth.accounts"), [bob.id.to_string()]);
}

#[test]
fn nobody_elses_row_changes() {
    let db = Database::new();
    let (ann, bob) = (db.user("Ann"), db.user("Bob"));
    db.service().run(&format!("select auth.link_account('{}', 'github', 'bob')", bob.id));
    let picture = |db: &Database| -> String {
        db.dba().one(&format!(
            "select concat((select u from auth.users u where id = '{b}'), (select string_agg(a::text, ',' order by id) from auth.accounts a where user_id = '{b}'),
                           (select p from auth_private.passwords p where user_id = '{b}'), (select s from auth.sessions s where user_id = '{b}'),
                           (select k from auth_private.session_keys k where session_id = '{s}'))",
            b = bob.id,
            s = bob.session
        ))
    };
    let before = picture(&db);
    for call in [
        "update_user_attributes('{}', '{\"a\": 1}')",
        "update_user_provider_id('{}', 'github', 'ann')",
        "update_user_provider_id('{}', 'github', 'ann2')",
        "set_user_password('{}', 'another password')",
        "set_user_password('{}', null)",
        "update_user('{}', '{\"name\": \"x\", \"email\": \"new@example.org\"}')",
        "delete_user('{}')",
    ] {
        db.service().run(&format!("select auth.{}", call.replacen("{}", &ann.id.to_string(), 1)));
        assert_eq!(picture(&db), before, "{call}");
    }
}
