//! Logical replication: what a subscriber gets of us, and that applying it makes nobody anything. In a cluster of its own.

use crate::deeds::until;
use pgrx_tests::{Actor, Cluster, PASSWORD};

/// Two databases of one cluster, of which the second follows the first.
struct Stage {
    cluster: Cluster,
    name: &'static str,
}

impl Stage {
    fn new(name: &'static str) -> Self {
        let settings = [("fsync", "off"), ("wal_level", "logical"), ("auth.argon2_memory", "'8MB'"), ("auth.argon2_iterations", "1")];
        let cluster = Cluster::start(name, &settings);
        let mut dba = cluster.connect("postgres", "postgres");
        dba.run("create role app login; create role service login");
        dba.run("create database copy");
        for database in ["postgres", "copy"] {
            cluster
                .connect("postgres", database)
                .run("create extension pg_auth cascade; grant anon, authenticated to app; grant auth_admin to service");
        }
        Stage { cluster, name }
    }

    fn here(&self, role: &str) -> Actor {
        self.cluster.connect(role, "postgres")
    }

    fn there(&self, role: &str) -> Actor {
        self.cluster.connect(role, "copy")
    }

    /// The slot is made by hand: to make one waits for all transactions, also for the one that would make it from the other database.
    fn follow(&self, publication: &str) {
        self.here("postgres").run(&format!("create publication p {publication}"));
        self.here("postgres").run("select pg_create_logical_replication_slot('s', 'pgoutput')");
        let source = format!("host={} port={} user=postgres dbname=postgres", self.cluster.socket().display(), self.cluster.port);
        let mut there = self.there("postgres");
        // Since version 16 rows are applied as the owner of the table, whom row-level security binds here.
        let as_whom =
            if there.one::<i32>("select current_setting('server_version_num')::int") < 160_000 { "" } else { ", run_as_owner = true" };
        there.run(&format!(
            "create subscription s connection '{source}' publication p with (create_slot = false, slot_name = 's'{as_whom})"
        ));
    }

    fn stop(&self) {
        self.there("postgres").run("drop subscription s");
    }

    /// Waits until everything that is committed here has been applied there.
    fn catch_up(&self) {
        let mut there = self.there("postgres");
        until("the copies", || there.one::<bool>("select not exists (select from pg_subscription_rel where srsubstate <> 'r')"));
        let mut here = self.here("postgres");
        let now: String = here.one("select pg_current_wal_lsn()::text");
        until(self.name, || {
            here.one::<bool>(&format!("select confirmed_flush_lsn >= '{now}' from pg_replication_slots where slot_name = 's'"))
        });
    }
}

fn warnings(dba: &mut Actor) -> Vec<String> {
    dba.column("select finding from auth.check_deployment() where item = 'publication'")
}

#[test]
fn a_subscriber_of_everything_follows_every_deed_and_the_dba_is_warned() {
    let stage = Stage::new("replication");
    // What is made at installation is in both, and differs.
    stage.there("postgres").run(
        "alter table auth.audit_log disable trigger audit_log_append_only; truncate auth.roles, auth.role_permissions, auth.user_roles, auth_private.admin_guard, auth_private.signing_keys, auth_private.signing_secrets;
         alter table auth.audit_log enable trigger audit_log_append_only",
    );
    stage.follow("for all tables");
    let mut here = stage.here("service");
    let ann = here.json(&format!("select auth.create_user('ann@example.org', '{PASSWORD}')"))["id"].as_str().expect("an id").to_owned();
    let bob = here.json("select auth.create_user('bob@example.org', null, 'Bob', '{admin}')")["id"].as_str().expect("an id").to_owned();
    let token = stage.here("app").json(&format!("select auth.sign_in('ann@example.org', '{PASSWORD}')"))["token"]
        .as_str()
        .expect("a token")
        .to_owned();
    here.run(&format!("select auth.update_user('{ann}', '{{\"name\": \"Ann\"}}')"));
    here.run("select auth.define_user_role('editor', '{post:edit}')");
    here.run(&format!("select auth.set_user_roles('{ann}', '{{editor}}'); select auth.create_user('gone@example.org')"));
    here.run("select auth.delete_user((auth.get_user_by_email('gone@example.org') ->> 'id')::uuid)");
    stage.catch_up();
    let mut there = stage.there("app");
    there.run(&format!("select auth.use_session('{token}', false)"));
    assert_eq!(there.column::<Vec<String>>("select auth.current_user_roles()"), [["editor"]]);
    assert_eq!(there.json("select auth.get_session()")["user"]["name"], "Ann");
    here.run(&format!("select auth.ban_user('{ann}')"));
    stage.catch_up();
    assert!(!there.is_signed_in());
    let rows = "select jsonb_build_array((select jsonb_agg(u order by id) from auth.users u), (select jsonb_agg(l order by id) from auth.audit_log l), (select jsonb_agg(p order by user_id) from auth_private.passwords p))";
    assert_eq!(stage.there("postgres").json(rows), stage.here("postgres").json(rows));
    // So it can sign tokens for here, and knows every hash: that is what the warning is for.
    let secret = "select private_key from auth_private.signing_secrets";
    assert_eq!(stage.there("postgres").one::<Vec<u8>>(secret), stage.here("postgres").one::<Vec<u8>>(secret));
    assert_eq!(warnings(&mut stage.here("postgres")), ["p"]);
    // Applying has not let anybody change the record here or there, and nobody is more than they were.
    assert_eq!(stage.there("postgres").refused("delete from auth.audit_log").sqlstate, "42501");
    assert_eq!(stage.there("app").refused("insert into auth.user_roles select id, 'admin' from auth.users").sqlstate, "42501");
    assert_eq!(stage.there("postgres").one::<i64>("select count(*) from auth.user_roles where role = 'admin'"), 1, "{bob}");
    stage.stop();
}

#[test]
fn the_tables_without_secrets_can_be_published_and_no_secret_goes_along() {
    let stage = Stage::new("publication");
    let mut dba = stage.here("postgres");
    for (publication, warned) in [
        ("for tables in schema auth_private", true),
        ("for table auth_private.passwords", true),
        ("for table auth.users, table auth_private.session_keys (token_hash, session_id)", true),
        ("for all tables", true),
        ("for tables in schema public", false),
        ("for table auth.users, auth.user_roles", false),
        ("for tables in schema auth", false),
    ] {
        dba.run(&format!("create publication q {publication}"));
        assert_eq!(warnings(&mut dba), if warned { vec!["q"] } else { vec![] }, "{publication}");
        dba.run("drop publication q");
    }
    stage.follow("for table auth.users");
    stage.here("service").run(&format!("select auth.create_user('ann@example.org', '{PASSWORD}')"));
    stage.catch_up();
    let mut there = stage.there("postgres");
    until("the user", || there.one::<i64>("select count(*) from auth.users") == 1);
    assert_eq!(there.one::<i64>("select (select count(*) from auth_private.passwords) + (select count(*) from auth.accounts) + (select count(*) from auth.user_roles)"), 0);
    // Who is known there has no way in.
    stage.there("app").is_answered(&format!("select auth.sign_in('ann@example.org', '{PASSWORD}')"), "INVALID_EMAIL_OR_PASSWORD");
    stage.stop();
}

/// Triggers sleep and foreign keys are not followed for whoever may set this; policies and privileges hold.
#[test]
fn who_may_switch_triggers_off_gets_no_further() {
    let stage = Stage::new("replica");
    let mut dba = stage.here("postgres");
    let ann = stage.here("app").json(&format!("select auth.sign_up('ann@example.org', '{PASSWORD}')"));
    let token = ann["token"].as_str().expect("a token");
    let id = ann["user"]["id"].as_str().expect("an id");
    dba.run("grant set on parameter session_replication_role to app, service");
    let mut app = stage.here("app");
    app.run(&format!("set session_replication_role = replica; select auth.use_session('{token}', false)"));
    assert_eq!(app.one::<i64>("select count(*) from auth.users"), 1);
    for (call, code) in [
        (format!("select auth.ban_user('{id}')"), "42501"),
        (format!("select auth.set_user_roles('{id}', '{{admin}}')"), "42501"),
        ("delete from auth.audit_log".to_owned(), "42501"),
        (format!("insert into auth.user_roles values ('{id}', 'admin')"), "42501"),
        ("select auth.list_users()".to_owned(), "42501"),
    ] {
        assert_eq!(app.refused(&call).sqlstate, code, "{call}");
    }
    assert_eq!(app.one::<i64>("select count(*) from auth.list_sessions()"), 1);
    // Even an administrator who does it leaves no way in behind: what refers to the user stays, and is dead.
    let mut service = stage.here("service");
    service.run("set session_replication_role = replica");
    let _ = service.client.batch_execute(&format!("select auth.delete_user('{id}')"));
    if dba.one::<i64>("select count(*) from auth.users") == 0 {
        assert_eq!(app.one::<Option<uuid::Uuid>>("select auth.uid()"), None);
        stage.here("app").is_answered(&format!("select auth.sign_in('ann@example.org', '{PASSWORD}')"), "INVALID_EMAIL_OR_PASSWORD");
    }
}
