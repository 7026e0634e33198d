//! Impersonation.

use pgrx_tests::{Actor, Database, PASSWORD};
use serde_json::{Value, json};

fn impersonated(root: &mut Actor, target: &Actor) -> Value {
    let result = root.json(&format!("select auth.impersonate_user('{}')", target.id));
    let token = result["token"].as_str().unwrap();
    root.run(&format!("select auth.use_session('{token}', false)"));
    result
}

#[test]
fn an_administrator_sees_what_the_user_sees_and_comes_back() {
    let db = Database::new();
    let (mut ann, mut root) = (db.user("Ann"), db.admin("Root"));
    let result = impersonated(&mut root, &ann);
    assert_eq!((&result["user"]["id"], &result["session"]["impersonated_by"]), (&json!(ann.id.to_string()), &json!(root.id.to_string())));
    assert_eq!(root.one::<uuid::Uuid>("select auth.uid()"), ann.id);
    assert_eq!(root.one::<uuid::Uuid>("select auth.actor_id()"), root.id);
    assert_eq!(root.one::<i64>("select count(*) from auth.users"), 1);
    assert!(!root.one::<bool>("select auth.has_permission('user:list')"));
    assert_eq!(ann.one::<i64>("select count(*) from auth.list_sessions()"), 1, "the user's own list does not show it");
    assert_eq!(db.service().one::<i64>(&format!("select count(*) from auth.list_user_sessions('{}')", ann.id)), 2);
    let back = root.json("select auth.stop_impersonating()");
    assert_eq!((&back["user"]["id"], &back["session"]["id"]), (&json!(root.id.to_string()), &json!(root.session.to_string())));
    assert_eq!(root.one::<uuid::Uuid>("select auth.uid()"), root.id);
    root.is_refused("select auth.stop_impersonating()", "55000", "NOT_IMPERSONATING");
    let token = result["token"].as_str().unwrap().to_owned();
    root.is_refused(&format!("select auth.use_session('{token}')"), "28000", "INVALID_SESSION");
}

#[test]
fn both_identities_are_in_every_line_of_the_record() {
    let db = Database::new();
    let (ann, mut root) = (db.user("Ann"), db.admin("Root"));
    impersonated(&mut root, &ann);
    root.run(&format!("select auth.update_user('{}', '{{\"name\": \"x\"}}'); select auth.stop_impersonating()", ann.id));
    let lines: Vec<Value> =
        root.column("select jsonb_build_array(action, actor_id, impersonator_id, user_id) from auth.list_audit_log(page_size => 3)");
    let (a, r) = (ann.id.to_string(), root.id.to_string());
    assert_eq!(lines, [json!(["stop_impersonating", a, r, a]), json!(["update_user", a, r, a]), json!(["impersonate_user", r, null, a])]);
}

#[test]
fn credentials_roles_bans_and_deletion_are_out_of_reach_meanwhile() {
    let db = Database::new();
    db.dba().run("select auth.define_user_role('root', '{user:impersonate-admins}')");
    let (ann, bob) = (db.admin("Ann"), db.user("Bob"));
    let mut root = db.admin("Root");
    db.dba().run(&format!("select auth.set_user_roles('{}', '{{admin,root}}')", root.id));
    impersonated(&mut root, &ann);
    let (own, other) = (ann.id, bob.id);
    for call in [
        format!("auth.change_password('{PASSWORD}', 'another password')"),
        format!("auth.verify_password('{PASSWORD}')"),
        "auth.set_password('another password')".to_owned(),
        format!("auth.set_user_password('{other}', 'another password')"),
        format!("auth.ban_user('{other}')"),
        format!("auth.unban_user('{other}')"),
        format!("auth.set_user_roles('{other}', '{{admin}}')"),
        "auth.define_user_role('x', '{}')".to_owned(),
        "auth.drop_user_role('user')".to_owned(),
        format!("auth.delete_user('{own}')"),
        format!("auth.delete_user('{other}')"),
        format!("auth.impersonate_user('{other}')"),
        format!("auth.update_user('{other}', '{{\"email\": \"x@x.io\"}}')"),
        format!("auth.update_user('{other}', '{{\"roles\": [\"user\"]}}')"),
        format!("auth.update_user('{other}', '{{\"banned\": true}}')"),
    ] {
        root.is_refused(&format!("select {call}"), "42501", "NOT_WHILE_IMPERSONATING");
    }
    root.run("select auth.list_users()");
}

#[test]
fn who_may_not_be_impersonated() {
    let db = Database::new();
    let (ann, bob, other, mut root) = (db.user("Ann"), db.user("Bob"), db.holder("lister", &["user:list"]), db.admin("Root"));
    db.dba().run(&format!("select auth.ban_user('{}')", bob.id));
    for (arguments, sqlstate, detail) in [
        ("null".to_owned(), "22004", "MISSING_ARGUMENT: user_id"),
        (format!("'{}'", uuid::Uuid::nil()), "42704", "USER_NOT_FOUND"),
        (format!("'{}'", other.id), "42501", "YOU_CANNOT_IMPERSONATE_ADMINS"),
        (format!("'{}'", root.id), "42501", "YOU_CANNOT_IMPERSONATE_ADMINS"),
        (format!("'{}'", bob.id), "28000", "BANNED_USER"),
        (format!("'{}', '61 minutes'", ann.id), "22023", "INVALID_ARGUMENT: duration"),
        (format!("'{}', '0'", ann.id), "22023", "INVALID_ARGUMENT: duration"),
        (format!("'{}', '-1 hour'", ann.id), "22023", "INVALID_ARGUMENT: duration"),
        // 30 days are a month only on the average.
        (format!("'{}', '1200 mon -36000 days 1 hour'", ann.id), "22023", "INVALID_ARGUMENT: duration"),
    ] {
        root.is_refused(&format!("select auth.impersonate_user({arguments})"), sqlstate, detail);
    }
    root.run(&format!("select auth.impersonate_user('{}', '1 hour'); select auth.impersonate_user('{}', null)", ann.id, ann.id));
}

#[test]
fn it_is_never_extended() {
    let db = Database::new();
    let (ann, mut root) = (db.user("Ann"), db.admin("Root"));
    let result = root.json(&format!("select auth.impersonate_user('{}', '10 minutes')", ann.id));
    db.dba().run("update auth.sessions set updated_at = updated_at - interval '5 days'");
    let refreshed = db.app().json(&format!("select auth.refresh_session('{}')", result["token"].as_str().unwrap()));
    assert_eq!(refreshed["session"]["expires_at"], result["session"]["expires_at"]);
    // Noted as what it is, where a session slides before an impersonation has ended.
    db.dba().run(&format!("alter database {} set auth.session_update_age = 1", db.name));
    db.dba().run("update auth.sessions set updated_at = updated_at - interval '5 days'");
    db.app().json(&format!("select auth.refresh_session('{}')", result["token"].as_str().unwrap()));
    let by: Option<uuid::Uuid> =
        db.dba().one("select impersonator_id from auth.audit_log where action = 'refresh_session' order by id desc limit 1");
    assert_eq!(by, Some(root.id));
}

#[test]
fn it_ends_with_whatever_it_stands_on() {
    let db = Database::new();
    let mut dba = db.dba();
    db.admin("Other");
    let ends: &[(&str, fn(&Actor, &Actor) -> String)] = &[
        ("the actor is banned", |root, _| format!("select auth.ban_user('{}')", root.id)),
        ("the actor is demoted", |root, _| format!("select auth.set_user_roles('{}', '{{user}}')", root.id)),
        ("the actor is deleted", |root, _| format!("select auth.delete_user('{}')", root.id)),
        ("the actor's session is revoked", |root, _| format!("select auth.revoke_user_session('{}')", root.session)),
        ("the actor's sessions are revoked", |root, _| format!("select auth.revoke_user_sessions('{}')", root.id)),
        ("the target is banned", |_, ann| format!("select auth.ban_user('{}')", ann.id)),
        ("the target is deleted", |_, ann| format!("select auth.delete_user('{}')", ann.id)),
        ("the target becomes an administrator", |_, ann| format!("select auth.set_user_roles('{}', '{{admin}}')", ann.id)),
    ];
    for (number, (what, end)) in ends.iter().enumerate() {
        let (ann, mut root) = (db.user(&format!("Ann{number}")), db.admin(&format!("Root{number}")));
        impersonated(&mut root, &ann);
        assert!(root.is_signed_in());
        dba.run(&end(&root, &ann));
        assert!(!root.is_signed_in(), "{what}");
        root.is_refused("select auth.stop_impersonating()", "28000", "INVALID_SESSION");
    }
}
