//! Bans.

use pgrx_tests::{Database, PASSWORD};
use serde_json::json;
use uuid::Uuid;

#[test]
fn a_ban_ends_every_session_and_keeps_the_user_out_until_it_is_lifted() {
    let db = Database::new();
    let (mut ann, mut phone, mut root) = (db.user("Ann"), db.signed_in("Ann"), db.admin("Root"));
    let id = ann.id;
    let banned = root.json(&format!("select auth.ban_user('{id}', 'spam')"));
    assert_eq!((&banned["banned"], &banned["ban_reason"], &banned["ban_expires_at"]), (&json!(true), &json!("spam"), &json!(null)));
    assert!(!ann.is_signed_in() && !phone.is_signed_in());
    let answer = db.app().json(&format!("select auth.sign_in('ann@example.org', '{PASSWORD}')"));
    assert_eq!((&answer["code"], &answer["details"]), (&json!("BANNED_USER"), &json!({"reason": "spam", "expires_at": null})));
    db.app().is_answered("select auth.sign_in('ann@example.org', 'not the password')", "INVALID_EMAIL_OR_PASSWORD");
    let lifted = root.json(&format!("select auth.unban_user('{id}')"));
    assert_eq!((&lifted["banned"], &lifted["ban_reason"]), (&json!(false), &json!(null)));
    assert!(!ann.is_signed_in(), "what has ended stays ended");
    assert!(db.signed_in("Ann").is_signed_in());
    root.run(&format!("select auth.unban_user('{id}')"));
}

#[test]
fn a_ban_with_an_end_lifts_itself() {
    let db = Database::new();
    let (ann, mut root) = (db.user("Ann"), db.admin("Root"));
    let id = ann.id;
    let banned = root.json(&format!("select auth.ban_user('{id}', ban_expires_in => '1 hour')"));
    assert_eq!((&banned["banned"], &banned["ban_reason"]), (&json!(true), &json!("No reason")));
    let answer = db.app().json(&format!("select auth.sign_in('ann@example.org', '{PASSWORD}')"));
    assert!(answer["details"]["expires_at"].as_str().unwrap().starts_with("20"));
    db.dba().run("update auth.bans set expires_at = clock_timestamp() - interval '1 second'");
    let user = root.json(&format!("select auth.get_user('{id}')"));
    assert_eq!((&user["banned"], &user["ban_reason"], &user["ban_expires_at"]), (&json!(false), &json!(null), &json!(null)));
    assert!(db.signed_in("Ann").is_signed_in());
}

#[test]
fn a_new_ban_replaces_the_old() {
    let db = Database::new();
    let (ann, mut root) = (db.user("Ann"), db.admin("Root"));
    root.run(&format!("select auth.ban_user('{}', 'first', '1 hour')", ann.id));
    let second = root.json(&format!("select auth.ban_user('{}')", ann.id));
    assert_eq!((&second["ban_reason"], &second["ban_expires_at"]), (&json!("No reason"), &json!(null)), "for ever now");
    db.dba().run(&format!("alter database {} set auth.default_ban_reason = 'House rules'", db.name));
    assert_eq!(db.service().json(&format!("select auth.ban_user('{}', '')", ann.id))["ban_reason"], "House rules");
}

#[test]
fn bad_bans_are_refused() {
    let db = Database::new();
    let (ann, mut root) = (db.user("Ann"), db.admin("Root"));
    let (id, own) = (ann.id, root.id);
    for (arguments, sqlstate, detail) in [
        ("null".to_owned(), "22004", "MISSING_ARGUMENT: user_id"),
        (format!("'{own}'"), "42501", "YOU_CANNOT_BAN_YOURSELF"),
        (format!("'{}'", Uuid::nil()), "42704", "USER_NOT_FOUND"),
        (format!("'{id}', repeat('x', 1001)"), "22023", "INVALID_ARGUMENT: ban_reason"),
        (format!("'{id}', 'x', '0'"), "22023", "INVALID_ARGUMENT: ban_expires_in"),
        (format!("'{id}', 'x', '-1 day'"), "22023", "INVALID_ARGUMENT: ban_expires_in"),
        (format!("'{id}', 'x', '100000000 years'"), "22023", "INVALID_ARGUMENT: ban_expires_in"),
        (format!("'{id}', 'x', '-12 mon 361 days'"), "22023", "INVALID_ARGUMENT: ban_expires_in"),
        (format!("'{id}', 'x', make_interval(months => -71582788, days => 2147483647)"), "22023", "INVALID_ARGUMENT: ban_expires_in"),
    ] {
        root.is_refused(&format!("select auth.ban_user({arguments})"), sqlstate, detail);
    }
    assert_eq!(db.dba().one::<i64>("select count(*) from auth.bans"), 0);
    root.run(&format!("select auth.ban_user('{id}', ban_expires_in => '3600')"));
    assert!(root.one::<bool>("select expires_at - created_at between '59 minutes' and '61 minutes' from auth.bans"), "a number is seconds");
}

#[test]
fn the_last_active_administrator_stays() {
    let db = Database::new();
    let (mut first, mut second) = (db.admin("First"), db.admin("Second"));
    let (one, two) = (first.id, second.id);
    first.run(&format!("select auth.ban_user('{two}')"));
    for call in [format!("auth.set_user_roles('{one}', '{{user}}')"), format!("auth.delete_user('{one}')")] {
        first.is_refused(&format!("select {call}"), "55000", "LAST_ADMIN");
    }
    for call in [
        format!("auth.ban_user('{one}')"),
        format!("auth.set_user_roles('{one}', '{{user}}')"),
        format!("auth.delete_user('{one}')"),
        format!("auth.update_user('{one}', '{{\"banned\": true}}')"),
        format!("auth.update_user('{one}', '{{\"roles\": [\"user\"]}}')"),
    ] {
        db.dba().is_refused(&format!("select {call}"), "55000", "LAST_ADMIN");
    }
    first.run(&format!("select auth.set_user_roles('{two}', '{{user}}')"));
    first.run(&format!("select auth.set_user_roles('{two}', '{{admin}}'); select auth.unban_user('{two}')"));
    first.run(&format!("select auth.set_user_roles('{one}', '{{user}}')"));
    assert!(!second.is_signed_in());
    assert_eq!(db.signed_in("Second").json(&format!("select auth.ban_user('{one}')"))["banned"], true);
}
