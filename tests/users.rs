//! Reading, creating, changing and deleting users.

use pgrx_tests::{Database, PASSWORD};
use serde_json::json;
use uuid::Uuid;

#[test]
fn a_user_is_read_by_id_and_by_address_in_any_spelling() {
    let db = Database::new();
    let (mut ann, mut root) = (db.user("Ann"), db.admin("Root"));
    let id = ann.id;
    assert_eq!(ann.json(&format!("select auth.get_user('{id}')"))["email"], "ann@example.org");
    assert_eq!(ann.json("select auth.get_user_by_email('ANN@Example.org')")["id"], id.to_string());
    assert_eq!(root.json("select auth.get_user_by_email('ANN@Example.org')")["id"], id.to_string());
    root.is_refused(&format!("select auth.get_user('{}')", Uuid::new_v4()), "42704", "USER_NOT_FOUND");
    root.is_refused("select auth.get_user_by_email('no@example.org')", "42704", "USER_NOT_FOUND");
    root.is_refused("select auth.get_user_by_email('no')", "22023", "INVALID_EMAIL: email");
    root.is_refused("select auth.get_user(null)", "22004", "MISSING_ARGUMENT: user_id");
    for other in ["root@example.org", "no@example.org", "no"] {
        ann.is_refused(&format!("select auth.get_user_by_email('{other}')"), "42501", "PERMISSION_DENIED: user:get");
    }
}

#[test]
fn create_user_makes_a_user_with_or_without_a_password() {
    let db = Database::new();
    let mut root = db.admin("Root");
    let made =
        root.json(&format!("select auth.create_user('New@Example.org', '{PASSWORD}', 'New', '{{user,admin,user}}', '{{\"a\": 1}}', true)"));
    assert_eq!(
        (&made["email"], &made["roles"], &made["attributes"]),
        (&json!("new@example.org"), &json!(["admin", "user"]), &json!({"a": 1}))
    );
    assert_eq!((&made["email_verified"], &made["last_sign_in_at"]), (&json!(true), &json!(null)));
    assert!(db.signed_in("New").is_signed_in());
    let without = root.json("select auth.create_user('without@example.org')");
    assert_eq!(without["roles"], json!(["user"]));
    assert_eq!(root.one::<i64>(&format!("select count(*) from auth.accounts where user_id = '{}'", without["id"].as_str().unwrap())), 0);
    for (arguments, sqlstate, detail) in [
        ("'new@EXAMPLE.org'", "23505", "USER_ALREADY_EXISTS"),
        ("null", "22004", "MISSING_ARGUMENT: email"),
        ("'x'", "22023", "INVALID_EMAIL: email"),
        ("'x@example.org', 'short'", "22023", "PASSWORD_TOO_SHORT: password"),
        ("'x@example.org', roles => '{}'", "22023", "INVALID_ARGUMENT: roles"),
        ("'x@example.org', roles => '{null}'", "22023", "INVALID_ARGUMENT: roles"),
        ("'x@example.org', roles => '{user,constructor}'", "22023", "INVALID_ROLE: roles"),
        ("'x@example.org', attributes => '\"x\"'", "22023", "INVALID_ARGUMENT: attributes"),
        ("'x@example.org', name => repeat('x', 256)", "22023", "INVALID_ARGUMENT: name"),
    ] {
        root.is_refused(&format!("select auth.create_user({arguments})"), sqlstate, detail);
    }
    let mut creator = db.holder("creator", &["user:create"]);
    creator.is_refused("select auth.create_user('x@example.org', roles => '{user}')", "42501", "PERMISSION_DENIED: user:set-role");
    creator.run(&format!("select auth.create_user('x@example.org', '{PASSWORD}')"));
}

#[test]
fn the_first_administrator_is_made_by_a_dba() {
    let db = Database::new();
    db.service().run(&format!("select auth.create_user(email => 'first@example.org', password => '{PASSWORD}', roles => '{{admin}}')"));
    assert!(db.signed_in("first").one::<bool>("select auth.has_permission('user:ban')"));
}

#[test]
fn oneself_changes_the_profile_and_nothing_else() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    let id = ann.id;
    let patched = ann.json(&format!(
        r#"select auth.update_user('{id}', '{{"name": "Anna", "image": "https://x.io/a.png", "attributes": {{"a": 1}}}}')"#
    ));
    assert_eq!(
        (&patched["name"], &patched["image"], &patched["attributes"]),
        (&json!("Anna"), &json!("https://x.io/a.png"), &json!({"a": 1}))
    );
    let cleared = ann.json(&format!(r#"select auth.update_user('{id}', '{{"name": null, "image": null, "attributes": null}}')"#));
    assert_eq!((&cleared["name"], &cleared["image"], &cleared["attributes"]), (&json!(""), &json!(null), &json!({})));
    assert!(cleared["updated_at"].as_str() > patched["updated_at"].as_str());
    assert_eq!(ann.json(&format!("select auth.update_user('{id}', '{{}}')")), cleared);
    for patch in [
        r#"{"email": "b@x.io"}"#,
        r#"{"email_verified": true}"#,
        r#"{"roles": ["admin"]}"#,
        r#"{"banned": false}"#,
        r#"{"ban_reason": null}"#,
    ] {
        ann.is_refused(&format!("select auth.update_user('{id}', '{patch}')"), "42501", "PERMISSION_DENIED: user:update");
    }
    for (patch, sqlstate, detail) in [
        ("'{\"nmae\": 1}'", "22023", "UNKNOWN_FIELD: nmae"),
        ("'{\"id\": 1}'", "22023", "FIELD_NOT_ALLOWED: id"),
        ("'{\"password\": \"x\"}'", "22023", "FIELD_NOT_ALLOWED: password"),
        ("'{\"created_at\": null}'", "22023", "FIELD_NOT_ALLOWED: created_at"),
        ("'{\"name\": 1}'", "22023", "INVALID_ARGUMENT: name"),
        ("'[]'", "22023", "INVALID_ARGUMENT: patch"),
        ("'null'", "22023", "INVALID_ARGUMENT: patch"),
        ("null", "22004", "MISSING_ARGUMENT: patch"),
    ] {
        ann.is_refused(&format!("select auth.update_user('{id}', {patch})"), sqlstate, detail);
    }
}

#[test]
fn each_field_of_others_needs_its_permission() {
    let db = Database::new();
    let ann = db.user("Ann");
    let id = ann.id;
    let mut updater = db.holder("updater", &["user:update"]);
    updater.run(&format!(r#"select auth.update_user('{id}', '{{"name": "x"}}')"#));
    for (patch, permission) in [
        (r#"{"email": "b@x.io"}"#, "user:set-email"),
        (r#"{"email_verified": true}"#, "user:set-email"),
        (r#"{"roles": ["user"]}"#, "user:set-role"),
        (r#"{"banned": true}"#, "user:ban"),
        (r#"{"ban_expires_at": null}"#, "user:ban"),
    ] {
        updater.is_refused(&format!("select auth.update_user('{id}', '{patch}')"), "42501", &format!("PERMISSION_DENIED: {permission}"));
    }
    assert_eq!(updater.one::<i64>("select count(*) from auth.users"), 1, "to change is not to read");
}

#[test]
fn an_administrator_patches_everything_in_one_call() {
    let db = Database::new();
    let (mut ann, mut root) = (db.user("Ann"), db.admin("Root"));
    let id = ann.id;
    let changed = root.json(&format!(
        r#"select auth.update_user('{id}', '{{"email": "Anna@Example.org", "email_verified": true, "roles": ["admin", "user"]}}')"#
    ));
    assert_eq!(
        (&changed["email"], &changed["email_verified"], &changed["roles"]),
        (&json!("anna@example.org"), &json!(true), &json!(["admin", "user"]))
    );
    let moved = root.json(&format!(r#"select auth.update_user('{id}', '{{"email": "ann@example.org"}}')"#));
    assert_eq!(moved["email_verified"], false, "a new address is unverified");
    root.run(&format!(r#"select auth.update_user('{id}', '{{"email_verified": true}}')"#));
    let same = root.json(&format!(r#"select auth.update_user('{id}', '{{"email": "ANN@example.org"}}')"#));
    assert_eq!(same["email_verified"], true, "the same address stays verified");
    let banned = root.json(&format!(r#"select auth.update_user('{id}', '{{"roles": ["user"], "banned": true, "ban_reason": "spam", "ban_expires_at": "2999-01-01T00:00:00Z"}}')"#));
    assert_eq!((&banned["banned"], &banned["ban_reason"], &banned["roles"]), (&json!(true), &json!("spam"), &json!(["user"])));
    assert!(!ann.is_signed_in());
    let amended = root.json(&format!(r#"select auth.update_user('{id}', '{{"ban_expires_at": null}}')"#));
    assert_eq!((&amended["ban_reason"], &amended["ban_expires_at"]), (&json!("spam"), &json!(null)));
    let lifted = root.json(&format!(r#"select auth.update_user('{id}', '{{"banned": false}}')"#));
    assert_eq!((&lifted["banned"], &lifted["ban_reason"]), (&json!(false), &json!(null)));
    let own = root.id;
    for (target, patch, sqlstate, detail) in [
        (own, r#"{"banned": true}"#, "42501", "YOU_CANNOT_BAN_YOURSELF"),
        (own, r#"{"roles": ["user"]}"#, "55000", "LAST_ADMIN"),
        (id, r#"{"ban_reason": "x"}"#, "22023", "INVALID_ARGUMENT: banned"),
        (id, r#"{"banned": true, "ban_expires_at": "yesterday"}"#, "22023", "INVALID_ARGUMENT: ban_expires_at"),
        (id, r#"{"banned": true, "ban_expires_at": "infinity"}"#, "22023", "INVALID_ARGUMENT: ban_expires_at"),
        (id, r#"{"banned": true, "ban_expires_at": "never ever"}"#, "22023", "INVALID_ARGUMENT: ban_expires_at"),
        (id, r#"{"banned": false, "ban_reason": "x"}"#, "22023", "INVALID_ARGUMENT: ban_reason"),
        (id, r#"{"roles": []}"#, "22023", "INVALID_ARGUMENT: roles"),
        (id, r#"{"email": "root@EXAMPLE.org"}"#, "23505", "USER_ALREADY_EXISTS"),
        (id, r#"{"name": "x", "email": "nowhere"}"#, "22023", "INVALID_EMAIL: email"),
        (Uuid::nil(), r#"{}"#, "42704", "USER_NOT_FOUND"),
    ] {
        root.is_refused(&format!("select auth.update_user('{target}', '{patch}')"), sqlstate, detail);
    }
    assert_eq!(root.json(&format!("select auth.get_user('{id}')")), lifted, "a refused patch changes nothing");
}

#[test]
fn attributes_are_merged_at_the_top_level() {
    let db = Database::new();
    let (mut ann, bob) = (db.user("Ann"), db.user("Bob"));
    let id = ann.id;
    ann.run(&format!(r#"select auth.update_user_attributes('{id}', '{{"a": 1, "b": {{"c": 2}}}}')"#));
    let merged = ann.json(&format!(r#"select auth.update_user_attributes('{id}', '{{"a": null, "b": {{"d": 3}}, "e": 5}}')"#));
    assert_eq!(merged["attributes"], json!({"a": null, "b": {"d": 3}, "e": 5}));
    assert_eq!(ann.json(&format!("select auth.update_user_attributes('{id}', '{{}}')")), merged);
    let mut root = db.admin("Root");
    root.is_refused(&format!("select auth.update_user_attributes('{}', '{{}}')", Uuid::nil()), "42704", "USER_NOT_FOUND");
    ann.is_refused(&format!("select auth.update_user_attributes('{}', '{{}}')", bob.id), "42501", "PERMISSION_DENIED: user:update");
    ann.is_refused(&format!("select auth.update_user_attributes('{id}', null)"), "22004", "MISSING_ARGUMENT: attributes");
    ann.is_refused(&format!("select auth.update_user_attributes('{id}', '[]')"), "22023", "INVALID_ARGUMENT: attributes");
    for number in [r#"{"b": {"$serde_json::private::Number": "1e999999"}}"#, r#"{"a": {"$serde_json::private::Number": "12"}}"#] {
        assert_eq!(ann.refused(&format!("select auth.update_user_attributes('{id}', '{number}')")).code(), "INVALID_ARGUMENT");
        assert_eq!(db.dba().refused(&format!("update auth.users set attributes = '{number}' where id = '{id}'")).sqlstate, "23514");
    }
    for too_much in ["(repeat('{\"a\":', 40) || '1' || repeat('}', 40))::jsonb", "(repeat('[', 3000) || repeat(']', 3000))::jsonb"] {
        assert_eq!(ann.refused(&format!("select auth.update_user_attributes('{id}', {too_much})")).code(), "INVALID_ARGUMENT");
    }
    ann.is_refused(
        &format!("select auth.update_user_attributes('{id}', (select jsonb_object_agg(n, n) from generate_series(1, 5500) n))"),
        "22023",
        "INVALID_ARGUMENT: attributes",
    );
    let exact = r#"{"amount": 100000000000000.015, "big": 123456789012345678901234}"#;
    assert!(
        ann.one::<bool>(&format!("select auth.update_user_attributes('{id}', '{exact}') -> 'attributes' @> '{exact}'")),
        "numbers stay what they are"
    );
    ann.run(&format!(
        "select auth.update_user_attributes('{id}', '{{\"huge\": 1e400}}'); select auth.update_user('{id}', '{{\"attributes\": null}}')"
    ));
    let half = "jsonb_build_object('x', repeat('x', 40000))".to_owned();
    ann.run(&format!("select auth.update_user_attributes('{id}', {half})"));
    ann.is_refused(
        &format!("select auth.update_user_attributes('{id}', jsonb_build_object('y', repeat('x', 40000)))"),
        "22023",
        "INVALID_ARGUMENT: attributes",
    );
    assert_eq!(db.dba().one::<serde_json::Value>(&format!("select attributes from auth.users where id = '{}'", bob.id)), json!({}));
}

#[test]
fn deleting_a_user_takes_everything_of_theirs_and_of_nobody_else() {
    let db = Database::new();
    let (mut ann, mut bob, mut root) = (db.user("Ann"), db.user("Bob"), db.admin("Root"));
    let id = ann.id;
    bob.is_refused(&format!("select auth.delete_user('{id}')"), "42501", "PERMISSION_DENIED: user:delete");
    assert!(root.one::<bool>(&format!("select auth.delete_user('{id}')")));
    assert!(!root.one::<bool>(&format!("select auth.delete_user('{id}')")), "an unknown id");
    root.is_refused("select auth.delete_user(null)", "22004", "MISSING_ARGUMENT: user_id");
    let mut dba = db.dba();
    for table in ["auth.users", "auth.sessions", "auth.accounts", "auth.user_roles", "auth_private.passwords", "auth_private.session_keys"]
    {
        assert_eq!(dba.one::<i64>(&format!("select count(*) from {table}")), 2, "{table}");
    }
    assert!(!ann.is_signed_in() && bob.is_signed_in());
    let own = bob.id;
    dba.run(&format!(
        "update auth_private.session_keys set authenticated_at = authenticated_at - interval '2 days' where session_id = '{}'",
        bob.session
    ));
    bob.is_refused(&format!("select auth.delete_user('{own}')"), "28000", "SESSION_NOT_FRESH");
    bob.run(&format!("select auth.verify_password('{PASSWORD}')"));
    assert!(bob.one::<bool>(&format!("select auth.delete_user('{own}')")));
    assert!(!bob.is_signed_in());
    assert_eq!(dba.one::<i64>("select count(*) from auth.audit_log where action = 'delete_user'"), 2, "the record stays");
}

#[test]
fn an_applications_foreign_key_forbids_or_follows() {
    let db = Database::new();
    db.dba().run("create schema shop; create table shop.orders (buyer uuid references auth.users); create table public.notes (owner uuid references auth.users on delete cascade)");
    let (ann, bob, mut root) = (db.user("Ann"), db.user("Bob"), db.admin("Root"));
    db.dba().run(&format!("insert into shop.orders values ('{}'); insert into public.notes values ('{}')", ann.id, bob.id));
    root.is_refused(&format!("select auth.delete_user('{}')", ann.id), "23503", "USER_IN_USE: shop.orders");
    assert_eq!(root.one::<i64>(&format!("select count(*) from auth.users where id = '{}'", ann.id)), 1);
    assert!(root.one::<bool>(&format!("select auth.delete_user('{}')", bob.id)));
    assert_eq!(db.dba().one::<i64>("select count(*) from public.notes"), 0);
}

/// Trying again, which 40001 asks for, would be of no use.
#[test]
fn an_applications_key_on_a_session_is_named_as_it_stands() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    db.dba().run(
        "create table public.visits (session_id uuid references auth.sessions); insert into public.visits select id from auth.sessions",
    );
    let refusal = ann.refused("select auth.sign_out()");
    assert_eq!(refusal.sqlstate, "23503");
    assert!(refusal.detail.contains("visits"), "{refusal:?}");
}
