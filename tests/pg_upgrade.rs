//! pg_upgrade from the earlier server to this one, with data: `make test` runs it where it has both.

use pgrx_tests::{Cluster, PASSWORD};

const SETTINGS: [(&str, &str); 4] =
    [("fsync", "off"), ("shared_preload_libraries", "'pg_auth'"), ("auth.argon2_memory", "'8MB'"), ("auth.argon2_iterations", "1")];

#[test]
#[ignore = "needs two servers: make test runs it with the second one"]
fn everything_is_there_after_a_change_of_major_version() {
    let older = Cluster::start_older("upgraded_from", &SETTINGS);
    let mut dba = older.connect("postgres", "postgres");
    dba.run("create role app login; create role service login; create extension pg_auth cascade; grant anon, authenticated to app; grant auth_admin to service");
    dba.run("create table public.profiles (user_id uuid primary key references auth.users, nickname text)");
    let ann = older.connect("app", "postgres").json(&format!("select auth.sign_up('ann@example.org', '{PASSWORD}')"));
    let mut service = older.connect("service", "postgres");
    service.run("select auth.define_user_role('editor', '{ticket:close}'); select auth.set_user_roles(id, '{editor}') from auth.users");
    service.run(&format!("select auth.create_user('bob@example.org', '{PASSWORD}'); select auth.ban_user(id, 'spam') from auth.users where email = 'bob@example.org'"));
    service.run("select auth.request_password_reset('ann@example.org')");
    let made = service.json("select auth.create_role('made_here')")["role"]["password"].as_str().expect("a password").to_owned();
    dba.run("insert into public.profiles select id, 'Annie' from auth.users where email = 'ann@example.org'");
    let audit: i64 = dba.one("select count(*) from auth.audit_log");
    drop((dba, service));

    let newer = older.upgraded("upgraded_to", &SETTINGS);
    let mut dba = newer.connect("postgres", "postgres");
    let problems: Vec<String> = dba.column("select object || ' | ' || problem from auth.verify_install()");
    assert!(problems.is_empty(), "{problems:#?}");
    assert_eq!(dba.one::<i64>("select count(*) from auth.audit_log"), audit);
    let mut app = newer.connect("app", "postgres");
    app.run(&format!("select auth.use_session('{}', false)", ann["token"].as_str().expect("a token")));
    assert!(app.is_signed_in() && app.one::<bool>("select auth.has_permission('ticket:close')"));
    let mut app = newer.connect("app", "postgres");
    app.is_answered(&format!("select auth.sign_in('bob@example.org', '{PASSWORD}')"), "BANNED_USER");
    assert!(app.json(&format!("select auth.sign_in('ann@example.org', '{PASSWORD}')"))["access_token"].is_string());
    dba.run("select * from auth.claim_messages()");
    // A role keeps its oid, and so whether it was made here; but since version 16 CREATEROLE alone does not reach it.
    let mut service = newer.connect("service", "postgres");
    service.is_refused("select auth.reset_role_password('made_here')", "42501", "PROTECTED_ROLE: made_here");
    service.is_refused("select auth.delete_role('made_here')", "42501", "PROTECTED_ROLE: made_here");
    dba.run("grant made_here to auth_role_manager with admin option");
    let reset = service.json("select auth.reset_role_password('made_here')");
    assert_ne!(reset["role"]["password"].as_str().expect("a password"), made);
    assert_eq!(dba.refused("drop extension pg_auth").sqlstate, "2BP01", "profiles refer to it");
}
