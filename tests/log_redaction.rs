//! No password and no token in the server's log, whatever is logged. In a cluster of its own.

use pgrx_tests::{Cluster, Refusal};
use std::fs;

/// Stands for every secret: whatever holds it must not be in a log.
const CANARY: &str = "c4n4ry-th4t-s1ngs";

#[test]
fn what_is_secret_is_in_no_log_and_the_rest_is() {
    let settings = [
        ("fsync", "off"),
        ("shared_preload_libraries", "'pg_auth,auto_explain'"),
        ("log_statement", "all"),
        ("log_min_duration_statement", "0"),
        ("log_parameter_max_length_on_error", "-1"),
        ("log_min_error_statement", "debug5"),
        ("logging_collector", "on"),
        ("log_destination", "'stderr,csvlog,jsonlog'"),
        ("auto_explain.log_min_duration", "0"),
        ("auto_explain.log_nested_statements", "on"),
        ("auth.argon2_memory", "'8MB'"),
        ("auth.argon2_iterations", "1"),
    ];
    let cluster = Cluster::start("log", &settings);
    let mut dba = cluster.connect("postgres", "postgres");
    dba.run("create role app login; create extension pg_auth cascade; grant anon, authenticated to app");
    let mut app = cluster.connect("app", "postgres");
    let email = "ann@example.org";
    // As literals and as parameters, with success, as an answer and refused.
    let up = app.json(&format!("select auth.sign_up('{email}', '{CANARY}')"));
    let token = up["token"].as_str().expect("signed up").to_owned();
    app.is_answered(&format!("select auth.sign_in('{email}', '{CANARY} and more')"), "INVALID_EMAIL_OR_PASSWORD");
    app.client.query_one("select auth.sign_in($1, $2)", &[&email, &CANARY]).expect("signed in");
    let Refusal { sqlstate, .. } = app.refused(&format!("select auth.sign_up('{email}', '{CANARY}')"));
    assert_eq!(sqlstate, "23505");
    app.client.query_one("select auth.sign_up($1, $2)", &[&email, &CANARY]).expect_err("taken");
    app.client.query_one("select auth.reset_password($1, $2)", &[&CANARY, &CANARY]).expect_err("no such token");
    app.run(&format!("select auth.use_session('{token}', false); select auth.change_password('{CANARY}', '{CANARY}2')"));
    app.refused(&format!("select auth.use_session('{CANARY}')"));
    app.run(&format!("prepare p as select auth.verify_password($1); execute p('{CANARY}2')"));
    app.refused(&format!("prepare q as select auth.verify_email($1); execute q('{CANARY}')"));
    app.run(&format!("do $$ begin perform auth.sign_in('{email}', '{CANARY}'); end $$"));
    app.refused(&format!("do $$ begin execute 'select auth.verify_email(''{CANARY}'')'; end $$"));
    dba.run(&format!("create role somebody password '{CANARY}'"));
    app.refused(&format!("do $$ begin execute 'select auth.sign_in(''x'', ''{CANARY}'') bogus bogus'; end $$"));
    app.refused(&format!("select 1; /* c */ execute p('{CANARY}', 1)"));
    app.run(&format!("select auth.U&\"sign\\005Fin\"('{email}', '{CANARY}')"));
    app.run(&format!("select set_config('request.headers', '{{\"authorization\": \"Bearer {CANARY}\"}}', true)"));
    dba.run(&format!(
        "create function public.wrapped() returns void language plpgsql as $$ begin perform auth.verify_email('{CANARY}'); end $$"
    ));
    app.refused("select public.wrapped()");
    app.run("prepare function_p as select auth.verify_password($1)");
    for call in ["\tp", "\n p", "/**/p", " -- c\np", " function_p"] {
        app.refused(&format!("execute{call}('{CANARY}', 1)"));
    }
    // Anybody may have trees and plans printed, with what is in them octet by octet.
    let print = "set debug_print_parse = on; set debug_print_rewritten = on; set debug_print_plan = on; set debug_pretty_print = off";
    dba.run(&format!("alter database postgres set auth.require_email_verification = on; {print}"));
    let mut printing = cluster.connect("app", "postgres");
    printing.run(print);
    printing.run(&format!("select auth.sign_up('bob@example.org', '{CANARY}')"));
    printing.run(&format!("select auth.sign_up('bob@example.org', '{CANARY}2')"));
    printing.run("select 'nobody''s plan'");
    dba.run("select auth.rotate_signing_key()");
    dba.run("alter database postgres reset auth.require_email_verification");
    dba.run("set debug_print_parse = off; set debug_print_rewritten = off; set debug_print_plan = off");
    // Not ours: it stays as it is.
    app.run("do $$ begin raise log 'app event: order 15 paid'; perform 1 as password; end $$");
    // What is not secret is there, and so is how long the secret ones took.
    app.run("select 'this is nobody''s secret'");
    dba.run("set log_statement = 'none'; set log_min_duration_statement = -1");
    let log: String = fs::read_dir(cluster.data().join("log"))
        .expect("the log")
        .map(|file| String::from_utf8_lossy(&fs::read(file.expect("a file").path()).expect("a log")).into_owned())
        .collect();
    assert!(log.contains("nobody''s secret") && log.contains("duration: ") && log.contains("USER_ALREADY_EXISTS"), "something is logged");
    assert!(log.contains("app event: order 15 paid"), "what is nobody's statement is whole");
    let octets = |text: &str| text.bytes().map(|octet| octet.to_string()).collect::<Vec<_>>().join(" ");
    // Trees are broken into lines.
    let trees = log.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(trees.contains(&octets("nobody's plan")), "trees are printed");
    // The beginning of an Ed25519 key as PKCS#8: its version, its algorithm, and how long the key is.
    let key = "48 5 6 3 43 101 112 4 34 4 32";
    for secret in [&octets(CANARY), &octets("$argon2id$"), key] {
        assert!(!trees.contains(secret), "{secret}");
    }
    for secret in [CANARY, &token] {
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(secret)).collect();
        assert!(lines.is_empty(), "{lines:#?}");
    }
    // It is this that keeps it out.
    dba.run("set auth.redact_log = off; set log_statement = 'all'");
    dba.run(&format!("alter role somebody password '{CANARY}'"));
    let said = fs::read_dir(cluster.data().join("log"))
        .expect("the log")
        .any(|file| String::from_utf8_lossy(&fs::read(file.expect("a file").path()).expect("a log")).contains(CANARY));
    assert!(said);
}
