//! check_deployment finds what is wrong, and nothing else.

use pgrx_tests::{Actor, Cluster};

/// All but the advice to keep a key outside the database, which is in pepper.rs.
fn items(dba: &mut Actor) -> Vec<String> {
    dba.column("select item || ' ' || severity from auth.check_deployment() where item <> 'auth.pepper_file' order by 1")
}

#[test]
fn each_mistake_is_found_and_a_good_server_has_none() {
    let settings = [
        ("fsync", "off"),
        ("shared_preload_libraries", "'pg_auth'"),
        ("wal_level", "logical"),
        ("auth.password_min_length", "15"),
        ("idle_in_transaction_session_timeout", "'1min'"),
        ("log_min_error_statement", "panic"),
    ];
    let cluster = Cluster::start("deployment", &settings);
    let mut dba = cluster.connect("postgres", "postgres");
    dba.run("create extension pg_auth cascade; revoke create on schema public from public; create role authenticator login noinherit; create role service login; grant auth_admin to service");
    assert_eq!(items(&mut dba), Vec::<String>::new());
    for (mistake, remedy, found) in [
        ("set log_statement = 'all'", "reset log_statement", &["log_parameter_max_length high", "log_statement high"][..]),
        (
            "set log_statement = 'all'; set log_parameter_max_length = 0",
            "reset log_statement; reset log_parameter_max_length",
            &["log_statement high"],
        ),
        (
            "set log_min_duration_statement = 0",
            "reset log_min_duration_statement",
            &["log_parameter_max_length high", "log_statement high"],
        ),
        (
            "set log_parameter_max_length_on_error = -1",
            "reset log_parameter_max_length_on_error",
            &["log_parameter_max_length_on_error high"],
        ),
        ("set log_min_error_statement = error", "reset log_min_error_statement", &["log_min_error_statement low"]),
        (
            "set idle_in_transaction_session_timeout = 0",
            "reset idle_in_transaction_session_timeout",
            &["idle_in_transaction_session_timeout medium"],
        ),
        ("set auth.password_min_length = 7", "reset auth.password_min_length", &["auth.password_min_length high"]),
        ("set auth.password_min_length = 8", "reset auth.password_min_length", &["auth.password_min_length low"]),
        ("set auth.password_blocklist = off", "reset auth.password_blocklist", &["auth.password_blocklist high"]),
        ("set auth.argon2_memory = '8MB'", "reset auth.argon2_memory", &["auth.argon2_memory high"]),
        ("alter role authenticator superuser", "alter role authenticator nosuperuser", &["auth.trusted_gateways high"]),
        ("alter role authenticator inherit", "alter role authenticator noinherit", &["auth.trusted_gateways high"]),
        ("grant auth_owner to service", "revoke auth_owner from service", &["auth_owner high"]),
        ("grant create on schema public to public", "revoke create on schema public from public", &["schema medium"]),
        (
            "create type public.who as enum ('a'); create cast (public.who as uuid) with inout as implicit; create table public.profiles (user_id public.who references auth.users)",
            "drop table public.profiles; drop type public.who cascade",
            &["foreign key high"],
        ),
        (
            "create table public.visits (session_id uuid references auth.sessions on delete cascade)",
            "drop table public.visits",
            &["foreign key high"],
        ),
        (
            "create table public.visits (session_id uuid references auth.sessions, user_id uuid references auth.users on delete cascade)",
            "drop table public.visits",
            &[],
        ),
        ("grant auth_mailer to service with admin option", "revoke auth_mailer from service", &["auth_admin medium"]),
        (
            "create role somebody; alter database postgres owner to somebody",
            "create schema extensions; alter extension pg_trgm set schema extensions",
            &["pg_trgm medium"],
        ),
        ("alter schema extensions owner to somebody", "alter schema extensions owner to postgres", &["pg_trgm medium"]),
        ("create publication everything for all tables", "drop publication everything", &["publication high"]),
        (
            "select auth.create_user('ann@example.org'); select auth.request_password_reset('ann@example.org'); update auth_private.messages set created_at = now() - interval '1 hour'",
            "select auth.delete_user(id) from auth.users",
            &["mail medium"],
        ),
    ] {
        if mistake.starts_with("set log_") {
            dba.run(mistake);
            assert_eq!(items(&mut dba), Vec::<String>::new(), "the library keeps secrets out of it");
            dba.run("set auth.redact_log = off");
        }
        dba.run(mistake);
        assert_eq!(items(&mut dba), found, "{mistake}");
        dba.run(remedy);
        assert_eq!(items(&mut dba), Vec::<String>::new(), "{remedy}");
        dba.run("reset auth.redact_log");
    }
    let major: i32 = dba.one("select current_setting('server_version_num')::int / 10000");
    dba.run("create role maker createrole");
    assert_eq!(items(&mut dba), if major < 16 { vec!["createrole medium"] } else { vec![] });
    dba.run("drop role maker");
    std::fs::write(cluster.data().join("pg_hba.conf"), "local all all trust\nhost all all 0.0.0.0/0 scram-sha-256\n").expect("pg_hba.conf");
    dba.run("select pg_reload_conf()");
    assert_eq!(items(&mut dba), ["pg_hba.conf high"]);
    assert_eq!(items(&mut cluster.connect("service", "postgres")), ["pg_hba.conf low"], "who may not see it is told so");
}

#[test]
fn a_server_that_does_not_preload_is_told_what_that_costs() {
    let db = pgrx_tests::Database::new();
    let cost: String = db.service().one("select finding from auth.check_deployment() where item = 'shared_preload_libraries'");
    assert!(cost.contains("takes its failed attempts back"));
}
