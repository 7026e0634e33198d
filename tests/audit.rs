//! The audit log.

use pgrx_tests::{Database, PASSWORD};
use serde_json::Value;

#[test]
fn every_change_leaves_one_line_and_no_secret() {
    let db = Database::new();
    let mut root = db.admin("Root");
    let mut ann = db.user("Ann");
    let id = ann.id;
    db.admin("Second");
    let mut dba = db.dba();
    let before: i64 = dba.one("select count(*) from auth.audit_log");
    let calls = [
        format!("auth.update_user('{id}', '{{\"name\": \"x\"}}')"),
        format!("auth.update_user_attributes('{id}', '{{\"a\": 1}}')"),
        format!("auth.set_user_password('{id}', 'another password', false)"),
        "auth.define_user_role('editor', '{}')".to_owned(),
        format!("auth.set_user_roles('{id}', '{{editor}}')"),
        format!("auth.impersonate_user('{id}')"),
        format!("auth.revoke_user_session('{}')", ann.session),
        format!("auth.revoke_user_sessions('{id}')"),
        format!("auth.ban_user('{id}')"),
        format!("auth.unban_user('{id}')"),
        "auth.create_user('new@example.org', 'a fine password')".to_owned(),
        format!("auth.delete_user('{id}')"),
        "auth.drop_user_role('editor')".to_owned(),
        format!("auth.change_password('{PASSWORD}', 'another password', true)"),
    ];
    for call in &calls {
        root.run(&format!("select {call}"));
    }
    let expected: Vec<&str> = calls.iter().map(|call| call.trim_start_matches("auth.").split('(').next().unwrap()).collect();
    let actions: Vec<String> = dba.column(&format!("select action from auth.audit_log order by id offset {before}"));
    assert_eq!(actions, expected);
    let actors: i64 = dba.one(&format!("select count(*) from auth.audit_log where id > {before} and actor_id = '{}' and details ->> 'outcome' = 'ok' and database_role = 'app'", root.id));
    assert_eq!(actors as usize, calls.len());
    let everything: String = dba.one("select string_agg(a::text, '') from auth.audit_log a");
    for secret in [PASSWORD, "another password", "argon2"] {
        assert!(!everything.contains(secret));
    }
    assert!(!regex::Regex::new("as_[A-Za-z0-9_-]{43}").unwrap().is_match(&everything));
    assert!(!ann.is_signed_in());
}

#[test]
fn before_and_after_are_told() {
    let db = Database::new();
    let (ann, mut root) = (db.user("Ann"), db.admin("Root"));
    root.run(&format!("select auth.update_user('{}', '{{\"name\": \"Anna\"}}')", ann.id));
    let details: Value = root.one("select details from auth.list_audit_log(action => 'update_user')");
    assert_eq!((&details["before"], &details["after"]), (&serde_json::json!({"name": "Ann"}), &serde_json::json!({"name": "Anna"})));
}

#[test]
fn it_is_written_with_the_deed_or_not_at_all() {
    let db = Database::new();
    let (ann, mut root) = (db.user("Ann"), db.admin("Root"));
    root.run(&format!("begin; select auth.ban_user('{}'); rollback", ann.id));
    assert_eq!(root.one::<i64>("select count(*) from auth.list_audit_log(action => 'ban_user')"), 0);
    db.dba().run("alter table auth.audit_log add constraint full_disk check (action <> 'ban_user') not valid");
    assert_eq!(root.refused(&format!("select auth.ban_user('{}')", ann.id)).sqlstate, "23514");
    assert_eq!(root.one::<i64>("select count(*) from auth.bans"), 0);
}

#[test]
fn nobody_changes_it_not_even_the_owner_or_a_superuser() {
    let db = Database::new();
    db.user("Ann");
    let mut dba = db.dba();
    for role in ["postgres", "auth_owner"] {
        dba.run(&format!("set role {role}"));
        for statement in ["update auth.audit_log set action = 'x'", "delete from auth.audit_log", "truncate auth.audit_log"] {
            assert_eq!(dba.refused(statement).sqlstate, "42501", "{role}: {statement}");
        }
    }
}

#[test]
fn it_is_paged_and_filtered() {
    let db = Database::new();
    let (ann, mut root) = (db.user("Ann"), db.admin("Root"));
    for n in 0..7 {
        root.run(&format!("select auth.update_user('{}', '{{\"name\": \"n{n}\"}}')", ann.id));
    }
    let all: Vec<i64> = root.column("select id from auth.list_audit_log()");
    assert!(all.is_sorted_by(|a, b| a > b));
    let (mut walked, mut cursor) = (Vec::new(), "null".to_owned());
    loop {
        let page: Vec<i64> = root.column(&format!("select id from auth.list_audit_log(page_size => 3, after_cursor => {cursor})"));
        let Some(last) = page.last() else { break };
        cursor = format!("'{last}'");
        walked.extend(page);
    }
    assert_eq!(walked, all);
    assert_eq!(root.one::<i64>(&format!("select count(*) from auth.list_audit_log('{}', 'update_user')", ann.id)), 7);
    assert_eq!(root.one::<i64>("select count(*) from auth.list_audit_log(since => clock_timestamp())"), 0);
    assert_eq!(root.one::<i64>("select count(*) from auth.list_audit_log(action => 'no such')"), 0);
    for (arguments, argument) in
        [("page_size => 0", "page_size"), ("page_size => 1001", "page_size"), ("after_cursor => 'x'", "after_cursor")]
    {
        root.is_refused(&format!("select auth.list_audit_log({arguments})"), "22023", &format!("INVALID_ARGUMENT: {argument}"));
    }
}
