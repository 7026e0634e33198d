//! Installing and dropping.

use pgrx_tests::{Cluster, Database};

#[test]
fn a_schema_of_somebody_else_stops_the_installation() {
    let db = Database::empty();
    let mut dba = db.dba();
    for schema in ["auth", "auth_private"] {
        dba.run(&format!("create schema {schema}"));
        assert_eq!(dba.refused("create extension pg_auth cascade").sqlstate, "42P06", "{schema}");
        dba.run(&format!("drop schema {schema}"));
    }
    dba.run("create extension pg_auth cascade");
}

#[test]
fn a_database_that_cannot_store_every_name_is_refused() {
    let db = Database::empty();
    let mut dba = db.dba();
    dba.run("create database latin1 template template0 encoding 'LATIN1' locale 'C'");
    let refused = Database::cluster().client("psql", "postgres", "latin1", ["-XAtc", "create extension pg_auth cascade"]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("must be UTF8"), "{refused:?}");
    dba.run("drop database latin1");
}

#[test]
fn drop_extension_leaves_nothing_and_a_second_installation_works() {
    let db = Database::new();
    db.user("Ann");
    let mut dba = db.dba();
    dba.run("drop extension pg_auth");
    let left: i64 = dba.one(
        "select (select count(*) from pg_namespace where nspname like 'auth%') + (select count(*) from pg_proc p where prosrc like '%_wrapper')
              + (select count(*) from pg_class where relname like '%session%' and relnamespace <> 'pg_catalog'::regnamespace)",
    );
    assert_eq!(left, 0);
    dba.run("create extension pg_auth");
    assert_eq!(dba.one::<i64>("select count(*) from auth.users"), 0);
}

#[test]
fn two_databases_of_one_cluster_know_nothing_of_each_other() {
    let (one, two) = (Database::new(), Database::new());
    let ann = one.user("Ann");
    two.app().is_refused(&format!("select auth.use_session('{}')", ann.token), "28000", "INVALID_SESSION");
    assert_eq!(two.dba().one::<i64>("select count(*) from auth.users"), 0);
}

#[test]
fn hostile_default_privileges_open_nothing() {
    let db = Database::empty();
    let mut dba = db.dba();
    dba.run(
        "alter default privileges grant all on tables to anon, app, public; alter default privileges grant all on functions to anon, app, public;
         alter default privileges grant all on sequences to anon, app, public; alter default privileges grant all on schemas to app, public;
         create extension pg_auth cascade; grant anon, authenticated to app;
         alter default privileges revoke all on tables from anon, app, public; alter default privileges revoke all on functions from anon, app, public;
         alter default privileges revoke all on sequences from anon, app, public; alter default privileges revoke all on schemas from app, public",
    );
    let acl = "select string_agg(format('%s %s', o, a), E'\\n' order by o) from (
                   select c.oid::regclass::text as o, relacl::text as a from pg_class c where relnamespace::regnamespace::text like 'auth%'
                   union all select p.oid::regprocedure::text, proacl::text from pg_proc p where pronamespace::regnamespace::text like 'auth%'
                   union all select nspname, nspacl::text from pg_namespace where nspname like 'auth%') x";
    let (here, usual) = (dba.one::<String>(acl), Database::new().dba().one::<String>(acl));
    assert_eq!(here, usual);
}

#[test]
fn a_dangerous_role_of_that_name_stops_the_installation() {
    // A cluster of its own: roles belong to the cluster.
    let cluster = Cluster::start("install", &[("fsync", "off")]);
    let psql = |sql: &str| {
        cluster
            .client("psql", "postgres", "postgres", ["-XAt", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-c", sql])
            .output()
            .unwrap()
    };
    for (attributes, repair) in [
        ("role anon superuser", "role anon nosuperuser"),
        ("role authenticated bypassrls", "role authenticated nobypassrls"),
        ("role auth_owner login", "role auth_owner nologin"),
        ("role auth_door createrole", "role auth_door nocreaterole"),
        ("role auth_eraser bypassrls", "role auth_eraser nobypassrls"),
    ] {
        assert!(psql(&format!("create {attributes}")).status.success());
        let refused = psql("create extension pg_auth cascade");
        let message = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            !refused.status.success() && message.contains("42501") && message.contains("cannot be installed"),
            "{attributes}: {message}"
        );
        assert!(psql(&format!("alter {repair}")).status.success());
    }
    assert!(psql("create role mallory login").status.success() && psql("grant auth_owner to mallory").status.success());
    assert!(!psql("create extension pg_auth cascade").status.success());
    assert!(psql("revoke auth_owner from mallory").status.success());
    assert!(psql("create extension pg_auth cascade").status.success());
    assert!(psql("create role plain login createrole createdb").status.success());
    let unprivileged =
        cluster.client("psql", "plain", "template1", ["-XAtc", "create extension pg_trgm; create extension pg_auth"]).output().unwrap();
    assert!(!unprivileged.status.success(), "not a trusted extension");
}

/// Roles are the cluster's: whoever holds one already holds it in the new database too.
#[test]
fn the_installation_says_whom_it_lets_in() {
    let cluster = Cluster::start("members", &[("fsync", "off")]);
    let install = || {
        let output = cluster.client("psql", "postgres", "postgres", ["-Xqc", "create extension pg_auth cascade"]).output().expect("psql");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(!install().contains("WARNING"));
    let mut dba = cluster.connect("postgres", "postgres");
    dba.run("drop extension pg_auth; create role anybody login; grant auth_admin, auth_mailer to anybody");
    let said = install();
    for role in ["auth_admin", "auth_mailer"] {
        assert!(said.contains(&format!("WARNING:  the role {role} already exists: its members will")), "{said}");
    }
}
