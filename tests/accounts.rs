//! The ways a user has to sign in, and those of identity providers above all.

use pgrx_tests::{Actor, Database, PASSWORD};
use serde_json::json;
use uuid::Uuid;

const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

fn link(db: &Database, user: &Actor, provider: &str, id: &str) -> Uuid {
    let account = db.service().json(&format!("select auth.link_account('{}', '{provider}', '{id}')", user.id));
    account["id"].as_str().expect("an account").parse().expect("an id")
}

fn accounts(actor: &mut Actor) -> Vec<String> {
    actor.column("select provider from auth.list_accounts()")
}

#[test]
fn only_a_back_end_vouches_not_even_an_administrator() {
    let db = Database::new();
    let (mut ann, mut root) = (db.user("Ann"), db.admin("Root"));
    let t = ann.id;
    let mut with_session = db.service();
    with_session.run(&format!("select auth.use_session('{}', false)", root.token));
    for call in [
        format!("auth.link_account('{t}', 'github', '1')"),
        format!("auth.update_user_provider_id('{t}', 'github', '1')"),
        "auth.sign_in_with_provider('github', '1')".to_owned(),
        "auth.import_users('[]')".to_owned(),
        "auth.link_account(null, null, null)".to_owned(),
    ] {
        for actor in [&mut ann, &mut root, &mut with_session] {
            actor.is_refused(&format!("select * from {call}"), "42501", "PERMISSION_DENIED: auth_admin");
        }
        db.app().is_refused(&format!("select * from {call}"), "28000", "NOT_SIGNED_IN");
    }
    for statement in [
        "insert into auth.accounts (user_id, provider, provider_user_id) values (auth.uid(), 'github', '1')",
        "update auth.accounts set provider_user_id = '1'",
        "delete from auth.accounts",
    ] {
        for actor in [&mut ann, &mut root, &mut db.service()] {
            assert_eq!(actor.refused(statement).sqlstate, "42501", "{statement}");
        }
    }
    assert_eq!(db.dba().one::<i64>("select count(*) from auth.accounts where provider <> 'credential'"), 0);
}

#[test]
fn accounts_are_linked_listed_found_and_unlinked() {
    let db = Database::new();
    let (mut ann, mut bob, mut root) = (db.user("Ann"), db.user("Bob"), db.admin("Root"));
    let mut service = db.service();
    let account = service.json(&format!("select auth.link_account('{}', 'github', '17')", ann.id));
    let members: Vec<&String> = account.as_object().unwrap().keys().collect();
    assert_eq!(members, ["created_at", "id", "provider", "provider_user_id", "updated_at", "user_id"]);
    for who in [ann.id, bob.id] {
        service.is_refused(&format!("select auth.link_account('{who}', 'github', '17')"), "23505", "ACCOUNT_ALREADY_LINKED");
    }
    assert_eq!(accounts(&mut ann), ["credential", "github"]);
    bob.is_refused(&format!("select * from auth.list_accounts('{}')", ann.id), "42501", "PERMISSION_DENIED: user:get");
    let listed: Vec<Uuid> = root.column(&format!("select user_id from auth.list_accounts('{}')", ann.id));
    assert_eq!(listed, [ann.id, ann.id]);
    root.is_refused(&format!("select * from auth.list_accounts('{NOBODY}')"), "42704", "USER_NOT_FOUND");
    service.is_refused("select * from auth.list_accounts()", "22004", "MISSING_ARGUMENT: user_id");
    let found = "select auth.get_user_by_provider_id('github', '17') ->> 'email'";
    assert_eq!((ann.one::<String>(found), root.one::<String>(found)), ("ann@example.org".to_owned(), "ann@example.org".to_owned()));
    for (provider, id) in [("github", "17"), ("github", "18"), ("GitHub", "17"), ("credential", &ann.id.to_string())] {
        bob.is_refused(&format!("select auth.get_user_by_provider_id('{provider}', '{id}')"), "42501", "PERMISSION_DENIED: user:get");
    }
    root.is_refused("select auth.get_user_by_provider_id('github', '18')", "42704", "ACCOUNT_NOT_FOUND");
    root.is_refused("select auth.get_user_by_provider_id('github', null)", "22004", "MISSING_ARGUMENT: provider_user_id");
    let id = account["id"].as_str().unwrap();
    bob.is_refused(&format!("select auth.unlink_account('{id}')"), "42704", "ACCOUNT_NOT_FOUND");
    root.is_refused(&format!("select auth.unlink_account('{id}')"), "42704", "ACCOUNT_NOT_FOUND");
    ann.is_refused("select auth.unlink_account(null)", "22004", "MISSING_ARGUMENT: account_id");
    ann.run(&format!("select auth.unlink_account('{id}')"));
    assert_eq!(accounts(&mut ann), ["credential"]);
    let lines: Vec<String> =
        db.dba().column("select action || ' ' || (details ->> 'provider') from auth.audit_log where action like '%account' order by id");
    assert_eq!(lines, ["link_account github", "unlink_account github"]);
}

#[test]
fn bad_names_are_refused() {
    let db = Database::new();
    let ann = db.user("Ann");
    let mut service = db.service();
    for (arguments, sqlstate, detail) in [
        (format!("'{}', 'credential', 'x'", ann.id), "22023", "INVALID_ARGUMENT: provider"),
        (format!("'{}', '', 'x'", ann.id), "22023", "INVALID_ARGUMENT: provider"),
        (format!("'{}', repeat('x', 64), 'x'", ann.id), "22023", "INVALID_ARGUMENT: provider"),
        (format!("'{}', 'github', ''", ann.id), "22023", "INVALID_ARGUMENT: provider_user_id"),
        (format!("'{}', 'github', repeat('x', 256)", ann.id), "22023", "INVALID_ARGUMENT: provider_user_id"),
        (format!("'{}', null, 'x'", ann.id), "22004", "MISSING_ARGUMENT: provider"),
        (format!("'{}', 'github', null", ann.id), "22004", "MISSING_ARGUMENT: provider_user_id"),
        ("null, 'github', 'x'".to_owned(), "22004", "MISSING_ARGUMENT: user_id"),
        (format!("'{NOBODY}', 'github', 'x'"), "42704", "USER_NOT_FOUND"),
    ] {
        for function in ["link_account", "update_user_provider_id"] {
            service.is_refused(&format!("select auth.{function}({arguments})"), sqlstate, detail);
        }
    }
    service.run(&format!("select auth.link_account('{}', repeat('ü', 63), repeat('ü', 255))", ann.id));
}

#[test]
fn the_last_way_to_sign_in_stays() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    let credential: Uuid = ann.one("select id from auth.list_accounts()");
    ann.is_refused(&format!("select auth.unlink_account('{credential}')"), "55000", "FAILED_TO_UNLINK_LAST_ACCOUNT");
    let github = link(&db, &ann, "github", "1");
    ann.run(&format!("select auth.unlink_account('{credential}')"));
    db.app().is_answered(&format!("select auth.sign_in('ann@example.org', '{PASSWORD}')"), "INVALID_EMAIL_OR_PASSWORD");
    assert_eq!(db.dba().one::<i64>("select count(*) from auth_private.passwords"), 0, "the password went with its account");
    ann.is_refused(&format!("select auth.unlink_account('{github}')"), "55000", "FAILED_TO_UNLINK_LAST_ACCOUNT");
    db.service().is_refused(&format!("select auth.unlink_account('{github}')"), "55000", "FAILED_TO_UNLINK_LAST_ACCOUNT");
    let google = link(&db, &ann, "google", "1");
    db.dba().run("update auth_private.session_keys set authenticated_at = now() - interval '2 days'");
    ann.is_refused(&format!("select auth.unlink_account('{google}')"), "28000", "SESSION_NOT_FRESH");
    db.service().run(&format!("select auth.unlink_account('{google}')"));
    db.app().is_refused(&format!("select auth.unlink_account('{github}')"), "28000", "NOT_SIGNED_IN");
}

#[test]
fn a_provider_signs_in_whom_it_knows_and_makes_whom_it_does_not() {
    let db = Database::new();
    let mut service = db.service();
    let new = service.json(
        "select auth.sign_in_with_provider('github', '1', 'New@Example.org', true, 'New', ip_address => '198.51.100.7', user_agent => 'x')",
    );
    assert_eq!(
        (&new["user"]["email"], &new["user"]["email_verified"], &new["user"]["roles"]),
        (&json!("new@example.org"), &json!(true), &json!(["user"]))
    );
    assert_eq!((&new["session"]["ip_address"], &new["session"]["user_agent"]), (&json!("198.51.100.7"), &json!("x")));
    assert!(new["access_token"].is_string());
    let mut app = db.app().adopt("new@example.org", &new);
    assert_eq!(accounts(&mut app), ["github"]);
    let again = service.json("select auth.sign_in_with_provider('github', '1', 'changed@example.org', false, create_user => false)");
    assert_eq!((&again["user"]["id"], &again["user"]["email"]), (&new["user"]["id"], &json!("new@example.org")), "the account decides");
    let nameless = service.json("select auth.sign_in_with_provider('github', '2')");
    assert_eq!(nameless["user"]["email"], json!(null));
    service.is_refused("select auth.sign_in_with_provider('github', '3', create_user => false)", "42704", "ACCOUNT_NOT_FOUND");
    for (arguments, sqlstate, detail) in [
        ("null, '1'", "22004", "MISSING_ARGUMENT: provider"),
        ("'github', null", "22004", "MISSING_ARGUMENT: provider_user_id"),
        ("'credential', '1'", "22023", "INVALID_ARGUMENT: provider"),
        ("'github', '9', 'x'", "22023", "INVALID_EMAIL: email"),
        ("'github', '9', name => repeat('x', 256)", "22023", "INVALID_ARGUMENT: name"),
        ("'github', '9', ip_address => 'x'", "22023", "INVALID_ARGUMENT: ip_address"),
    ] {
        service.is_refused(&format!("select auth.sign_in_with_provider({arguments})"), sqlstate, detail);
    }
    assert_eq!(db.dba().one::<i64>("select count(*) from auth.users"), 2);
    db.dba().run(&format!("alter database {} set auth.sign_up = off", db.name));
    db.service().is_refused("select auth.sign_in_with_provider('github', '3')", "42501", "SIGN_UP_DISABLED");
    db.service().run("select auth.sign_in_with_provider('github', '2')");
}

#[test]
fn an_address_links_only_where_both_sides_have_proved_it() {
    let db = Database::new();
    let mut service = db.service();
    for (name, ours, theirs, links) in
        [("a", true, true, true), ("b", false, true, false), ("c", true, false, false), ("d", false, false, false)]
    {
        let mut user = db.user(name);
        db.dba().run(&format!("update auth.users set email_verified = {ours} where id = '{}'", user.id));
        let call = format!("select auth.sign_in_with_provider('google', '{name}', '{}', {theirs})", user.email);
        if links {
            assert_eq!(service.json(&call)["user"]["id"], json!(user.id.to_string()));
        } else {
            service.is_refused(&call, "23505", "USER_ALREADY_EXISTS");
            service.is_refused(&call.replace(')', ", create_user => false)"), "42704", "ACCOUNT_NOT_FOUND");
            let refused = service.client.query(&call, &[]).unwrap_err();
            assert!(refused.as_db_error().and_then(|error| error.hint()).is_some_and(|hint| hint.contains(if theirs {
                "reset_password"
            } else {
                "provider"
            })));
        }
        assert_eq!(accounts(&mut user).len(), if links { 2 } else { 1 }, "{name}");
    }
}

#[test]
fn bans_and_unproved_addresses_are_answers() {
    let db = Database::new();
    let mut service = db.service();
    let banned = service.json("select auth.sign_in_with_provider('github', '1', 'ann@example.org', true)");
    service.run(&format!("select auth.ban_user('{}', 'spam')", banned["user"]["id"].as_str().unwrap()));
    let answer = service.json("select auth.sign_in_with_provider('github', '1')");
    assert_eq!((&answer["code"], &answer["details"]["reason"]), (&json!("BANNED_USER"), &json!("spam")));
    db.dba().run(&format!("alter database {} set auth.require_email_verification = on", db.name));
    let mut service = db.service();
    let unproved = service.json("select auth.sign_in_with_provider('github', '2', 'bob@example.org', false)");
    assert_eq!((&unproved["user"]["email"], &unproved["token"]), (&json!("bob@example.org"), &json!(null)));
    service.is_answered("select auth.sign_in_with_provider('github', '2')", "EMAIL_NOT_VERIFIED");
    let token = db.mailed_token("verify-email", "bob@example.org");
    db.app().run(&format!("select auth.verify_email('{token}')"));
    service.json("select auth.sign_in_with_provider('github', '2')")["token"].as_str().expect("signed in");
    let outcomes: Vec<String> =
        db.dba().column("select details ->> 'outcome' from auth.audit_log where action = 'sign_in_with_provider' order by id");
    assert_eq!(outcomes, ["ok", "BANNED_USER", "ok", "EMAIL_NOT_VERIFIED", "ok"]);
}

#[test]
fn an_identifier_changes_or_is_added_and_sessions_stay() {
    let db = Database::new();
    let (mut ann, bob) = (db.user("Ann"), db.user("Bob"));
    let mut service = db.service();
    let mut update = |id: &str| service.json(&format!("select auth.update_user_provider_id('{}', 'github', '{id}')", ann.id));
    assert_eq!(update("1")["email"], "ann@example.org");
    update("2");
    update("2");
    let github: Vec<String> = ann.column("select provider_user_id from auth.list_accounts() where provider = 'github'");
    assert_eq!(github, ["2"]);
    assert!(ann.is_signed_in());
    link(&db, &bob, "github", "3");
    db.service().is_refused(
        &format!("select auth.update_user_provider_id('{}', 'github', '3')", ann.id),
        "23505",
        "ACCOUNT_ALREADY_LINKED",
    );
}
