//! Passwords and verifiers of database roles: which are taken, and that nothing else ever sees them.

use crate::database_roles::{created, fresh, password};
use pgrx_tests::{Cluster, Database, development_directory, succeed};
use serde_json::Value;
use std::process::Command;

#[test]
fn only_verifiers_are_set() {
    let db = Database::new();
    let (mut root, name) = (db.admin("Root"), fresh("verified"));
    let password = created(&mut root, &name);
    for verifier in ["", "a password", "md5d41d8cd98f00b204e9800998ecf8427e", "SCRAM-SHA-256$1:AAAA$AAAA:AAAA", "scram-sha-256$4096:x$y:z"]
    {
        root.is_refused(&format!("select auth.set_role_verifier('{name}', '{verifier}')"), "22023", "INVALID_ARGUMENT: verifier");
    }
    root.is_refused(&format!("select auth.set_role_verifier('{name}', null)"), "22004", "MISSING_ARGUMENT: verifier");
    assert!(db.logs_in(&name, &password), "nothing has changed");
    root.run(&format!("select auth.delete_role('{name}')"));
}

const BY_HAND: &str = r#"
import sys, psycopg
host, port, dbname, role, token = sys.argv[1:]
typed = ["plain", "soft\u00adhyphen\u00adin it", "no\u00a0break\u00a0space", "\uff26\uff35\uff2c\uff2c\uff37\uff29\uff24\uff34\uff28", "emoji \U0001F600 \U0001F468\u200d\U0001F469", "\u2168 roman", "e\u0301 apart", " spaces "]
with psycopg.connect(host=host, port=port, dbname=dbname, user="app", autocommit=True) as db:
    db.execute("select auth.use_session(%s, false)", [token])
    for password in typed:
        verifier = db.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
        assert verifier.startswith("SCRAM-SHA-256$"), verifier
        db.execute("select auth.set_role_verifier(%s, %s)", [role, verifier])
        psycopg.connect(host="127.0.0.1", port=port, dbname=dbname, user=role, password=password).close()
        try:
            psycopg.connect(host="127.0.0.1", port=port, dbname=dbname, user=role, password=password + "x").close()
            raise SystemExit("a wrong password logged in")
        except psycopg.OperationalError:
            pass
    print("ok")
"#;

#[test]
fn passwords_typed_by_hand_log_in_through_libpqs_own_verifier() {
    let db = Database::new();
    let (mut root, name) = (db.admin("Root"), fresh("typed"));
    created(&mut root, &name);
    let cluster = Database::cluster();
    let arguments = [cluster.socket().to_str().unwrap(), &cluster.port.to_string(), &db.name, &name, &root.token].map(str::to_owned);
    let output = succeed(Command::new(development_directory().join("python/bin/python")).args(["-c", BY_HAND]).args(arguments));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "ok");
}

#[test]
fn no_password_and_no_verifier_is_written_anywhere() {
    let cluster = Cluster::start(
        "canary",
        &[
            ("fsync", "off"),
            ("shared_preload_libraries", "'pg_stat_statements'"),
            ("pg_stat_statements.track", "'all'"),
            ("log_statement", "'all'"),
            ("log_min_messages", "'debug5'"),
            ("log_min_error_statement", "'debug5'"),
            ("log_error_verbosity", "'verbose'"),
            ("log_min_duration_statement", "0"),
            ("log_parameter_max_length_on_error", "-1"),
            ("debug_print_plan", "on"),
        ],
    );
    let psql =
        |sql: &str| String::from_utf8(succeed(&mut cluster.client("psql", "postgres", "postgres", ["-XAtq", "-c", sql])).stdout).unwrap();
    psql("create extension pg_auth cascade");
    psql("create extension pg_stat_statements");
    let mut secrets: Vec<String> = Vec::new();
    for call in ["auth.create_role('canary')", "auth.reset_role_password('canary')"] {
        let result: Value = serde_json::from_str(psql(&format!("select {call}")).trim()).unwrap();
        secrets.push(password(&result));
    }
    let failing = "do $$ begin perform auth.reset_role_password('canary'); raise exception 'no'; end $$";
    assert!(!cluster.client("psql", "postgres", "postgres", ["-XAtqc", failing]).output().unwrap().status.success());
    secrets.push("SCRAM-SHA-256$4096".to_owned());
    let statements = psql("select string_agg(query, E'\\n') from pg_stat_statements");
    let tables = psql("select string_agg(a::text, '') from auth.audit_log a")
        + &psql("select string_agg(m::text, '') from auth_private.managed_roles m");
    let log = cluster.log();
    assert!(log.contains("reset_role_password") && statements.contains("reset_role_password"), "they do record");
    for secret in &secrets {
        for (place, text) in [("the log", &log), ("pg_stat_statements", &statements), ("a table", &tables)] {
            assert!(!text.contains(secret.as_str()), "a secret is in {place}");
        }
    }
}
