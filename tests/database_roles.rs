//! Database roles: real ones, which log in over TCP with scram-sha-256.

use pgrx_tests::{Actor, Database};
use serde_json::Value;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// Roles belong to the cluster: each test takes names of its own.
pub fn fresh(name: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("{name}_{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// The password that a result carries.
pub fn password(result: &Value) -> String {
    result["role"]["password"].as_str().unwrap_or_else(|| panic!("no password: {result}")).to_owned()
}

/// Makes a role; its password.
pub fn created(actor: &mut Actor, name: &str) -> String {
    password(&actor.json(&format!("select auth.create_role('{name}')")))
}

#[test]
fn a_role_logs_in_until_it_is_reset_or_deleted() {
    let db = Database::new();
    let (mut root, name) = (db.admin("Root"), fresh("sally"));
    let result = root.json(&format!("select auth.create_role('{name}')"));
    let keys: Vec<_> = result["role"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["can_login", "created_at", "name", "password", "protected", "updated_at"]);
    let first = password(&result);
    assert!(db.logs_in(&name, &first) && !db.logs_in(&name, "not the password"));
    let reset = root.json(&format!("select auth.reset_role_password('{name}')"));
    let second = password(&reset);
    assert!(!db.logs_in(&name, &first) && db.logs_in(&name, &second));
    assert_eq!(reset["role"]["created_at"], result["role"]["created_at"]);
    assert!(reset["role"]["updated_at"].as_str() > result["role"]["updated_at"].as_str());
    let deleted = root.json(&format!("select auth.delete_role('{name}')"));
    assert_eq!((deleted["role"]["name"].as_str(), &deleted["role"]["password"]), (Some(name.as_str()), &Value::Null));
    assert!(!db.logs_in(&name, &second));
    assert_eq!(root.one::<Option<Value>>(&format!("select auth.delete_role('{name}')")), None);
    assert_eq!(root.one::<i64>("select count(*) from auth.list_roles()"), 0);
    let lines: Vec<Value> = db.dba().column("select jsonb_build_array(action, details ->> 'role', actor_id) from auth.audit_log where action like '%role%' and details ? 'role' order by id");
    let actor = root.id.to_string();
    assert_eq!(lines, ["create_role", "reset_role_password", "delete_role"].map(|action| serde_json::json!([action, name, actor])));
}

#[test]
fn rollback_undoes_everything() {
    let db = Database::new();
    let (mut root, name) = (db.admin("Root"), fresh("sally"));
    root.run("begin");
    let never = created(&mut root, &name);
    root.run("rollback");
    assert!(!db.logs_in(&name, &never));
    assert_eq!(root.one::<i64>("select count(*) from auth.list_roles()"), 0);
    let first = created(&mut root, &name);
    root.run("begin; savepoint s");
    let second = password(&root.json(&format!("select auth.reset_role_password('{name}')")));
    assert!(db.logs_in(&name, &first), "until it commits");
    root.run("rollback to s; commit");
    assert!(db.logs_in(&name, &first) && !db.logs_in(&name, &second));
    root.run(&format!("begin; select auth.delete_role('{name}'); rollback"));
    assert!(db.logs_in(&name, &first));
    assert_eq!(root.column::<String>("select name from auth.list_roles()"), std::slice::from_ref(&name));
    root.run(&format!("select auth.reset_role_password('{name}')"));
}

#[test]
fn without_login_there_is_no_password() {
    let db = Database::new();
    let (mut root, name) = (db.admin("Root"), fresh("group"));
    let result = root.json(&format!("select auth.create_role('{name}', can_login => false)"));
    assert_eq!((&result["role"]["can_login"], result["role"].get("password")), (&Value::Bool(false), None));
    root.is_refused(&format!("select auth.reset_role_password('{name}')"), "22023", "INVALID_ARGUMENT: role_name");
    root.run(&format!("select auth.delete_role('{name}')"));
}

#[test]
fn names_are_checked_before_postgresql_would_cut_them() {
    let db = Database::new();
    let mut root = db.admin("Root");
    for name in ["repeat('x', 64)", "repeat('ä', 32)", "'pg_x'", "'public'", "'none'", "''", "'auth_x'", "'anon'", "'authenticated'"] {
        root.is_refused(&format!("select auth.create_role({name})"), "22023", "INVALID_ARGUMENT: role_name");
    }
    root.is_refused("select auth.create_role('authenticator')", "22023", "INVALID_ARGUMENT: role_name");
    root.is_refused("select auth.create_role(null)", "22004", "MISSING_ARGUMENT: role_name");
    let odd = fresh("Ünusual \"quoted\" name; drop role app; -- $1 %I \\ 😀");
    let password = created(&mut root, &odd.replace('\'', "''"));
    assert!(db.logs_in(&odd, &password));
    root.is_refused(&format!("select auth.create_role('{odd}')"), "42710", "ROLE_ALREADY_EXISTS");
    root.run(&format!("select auth.reset_role_password('{odd}'); select auth.delete_role('{odd}')"));
    let longest = format!("{}{}", fresh("l"), "x".repeat(60))[..63].to_owned();
    created(&mut root, &longest);
    root.run(&format!("select auth.delete_role('{longest}')"));
    root.is_refused("select auth.create_role('app')", "42710", "ROLE_ALREADY_EXISTS");
}

#[test]
fn only_plain_roles_made_here_can_be_changed() {
    let db = Database::new();
    let (mut root, mut dba, name) = (db.admin("Root"), db.dba(), fresh("made"));
    created(&mut root, &name);
    let others = [
        ("postgres", "a superuser"),
        ("app", "the caller"),
        ("service", "not made here"),
        ("auth_owner", "ours"),
        ("auth_admin", "ours"),
        ("anon", "ours"),
        ("pg_monitor", "PostgreSQL's"),
        ("auth_role_manager", "ours"),
    ];
    for (other, why) in others {
        for call in [
            format!("auth.reset_role_password('{other}')"),
            format!("auth.delete_role('{other}')"),
            format!("auth.set_role_verifier('{other}', '{VERIFIER}')"),
        ] {
            root.is_refused(&format!("select {call}"), "42501", &format!("PROTECTED_ROLE: {other}"));
            assert_eq!(dba.refused(&format!("select {call}")).code(), "PROTECTED_ROLE", "{why}, by the DBA too");
        }
    }
    // What was made here can have been given power since.
    for (give, take) in [
        ("alter role {} superuser", "alter role {} nosuperuser"),
        ("alter role {} replication", "alter role {} noreplication"),
        ("alter role {} bypassrls", "alter role {} nobypassrls"),
        ("alter role {} createrole", "alter role {} nocreaterole"),
        ("grant pg_read_all_data to {}", "revoke pg_read_all_data from {}"),
        ("grant postgres to {}", "revoke postgres from {}"),
        ("grant auth_admin to {}", "revoke auth_admin from {}"),
        ("grant authenticated to {}", "revoke authenticated from {}"),
        ("grant app to {}", "revoke app from {}"),
    ] {
        dba.run(&give.replace("{}", &name));
        for call in [format!("auth.reset_role_password('{name}')"), format!("auth.delete_role('{name}')")] {
            root.is_refused(&format!("select {call}"), "42501", &format!("PROTECTED_ROLE: {name}"));
        }
        dba.run(&take.replace("{}", &name));
    }
    let gateway = fresh("gateway");
    created(&mut root, &gateway);
    dba.run(&format!("alter database {} set auth.trusted_gateways = 'authenticator, {gateway}'", db.name));
    db.signed_in("Root").is_refused(&format!("select auth.delete_role('{gateway}')"), "42501", &format!("PROTECTED_ROLE: {gateway}"));
    // Another database of the cluster did not make it.
    let elsewhere = Database::new();
    elsewhere.service().is_refused(&format!("select auth.delete_role('{name}')"), "42501", &format!("PROTECTED_ROLE: {name}"));
    elsewhere.service().is_refused(&format!("select auth.get_role('{name}')"), "42704", "ROLE_NOT_FOUND");
    root.run(&format!("select auth.reset_role_password('{name}'); select auth.delete_role('{name}')"));
    root.is_refused(&format!("select auth.reset_role_password('{name}')"), "42704", "ROLE_NOT_FOUND");
}

const VERIFIER: &str =
    "SCRAM-SHA-256$4096:AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

#[test]
fn a_protected_role_stays_as_it_is() {
    let db = Database::new();
    let (mut root, name) = (db.admin("Root"), fresh("kept"));
    let password = created(&mut root, &name);
    assert_eq!(root.json(&format!("select auth.protect_role('{name}')"))["role"]["protected"], true);
    for call in [
        format!("auth.reset_role_password('{name}')"),
        format!("auth.delete_role('{name}')"),
        format!("auth.set_role_verifier('{name}', '{VERIFIER}')"),
    ] {
        root.is_refused(&format!("select {call}"), "42501", &format!("PROTECTED_ROLE: {name}"));
    }
    assert!(db.logs_in(&name, &password));
    assert_eq!(root.json(&format!("select auth.get_role('{name}')"))["role"]["protected"], true);
    root.run(&format!("select auth.protect_role('{name}', false); select auth.delete_role('{name}')"));
    // One that was not made here is listed while it is protected.
    root.run("select auth.protect_role('service')");
    assert_eq!(root.column::<String>("select name from auth.list_roles() where protected"), ["service"]);
    root.run("select auth.protect_role('service', false)");
    assert_eq!(root.one::<i64>("select count(*) from auth.list_roles()"), 0);
    root.is_refused("select auth.protect_role('service', false)", "42704", "ROLE_NOT_FOUND");
    root.is_refused("select auth.protect_role('nobody at all')", "42704", "ROLE_NOT_FOUND");
}

#[test]
fn what_is_dropped_or_renamed_behind_our_back_is_reconciled() {
    let db = Database::new();
    let (mut root, mut dba, name) = (db.admin("Root"), db.dba(), fresh("moved"));
    created(&mut root, &name);
    let renamed = fresh("renamed");
    dba.run(&format!("alter role {name} rename to {renamed}"));
    assert_eq!(root.column::<String>("select name from auth.list_roles()"), std::slice::from_ref(&renamed));
    root.run(&format!("select auth.reset_role_password('{renamed}')"));
    dba.run(&format!("drop role {renamed}; create role {renamed} login"));
    assert_eq!(root.one::<i64>("select count(*) from auth.list_roles()"), 0, "another role of that name is not ours");
    root.is_refused(&format!("select auth.delete_role('{renamed}')"), "42501", &format!("PROTECTED_ROLE: {renamed}"));
    dba.run(&format!("drop role {renamed}"));
    created(&mut root, &renamed);
    assert_eq!(dba.one::<i64>("select count(*) from auth_private.managed_roles"), 1);
    root.run(&format!("select auth.delete_role('{renamed}')"));
}

#[test]
fn deletion_refuses_with_a_report_of_what_is_owned() {
    let (db, other) = (Database::new(), Database::new());
    let (mut root, mut dba, name) = (db.admin("Root"), db.dba(), fresh("owner"));
    let password = created(&mut root, &name);
    let refused = |root: &mut Actor| {
        let refusal = root.refused(&format!("select auth.delete_role('{name}')"));
        assert_eq!((refusal.sqlstate.as_str(), refusal.code()), ("2BP01", "ROLE_OWNS_OBJECTS"));
        refusal.detail
    };
    dba.run(&format!("create table public.things (); alter table public.things owner to {name}; create function public.f() returns int language sql as 'select 1'; alter function public.f() owner to {name}"));
    other.dba().run(&format!("create table public.more (); grant select on public.more to {name}; create table public.most (); alter table public.most owner to {name}"));
    dba.run(&format!("create database owned_{name} owner {name}"));
    let detail = refused(&mut root);
    for part in [
        format!("database {}: owner of table public.things", db.name),
        format!("database {}: owner of function public.f()", db.name),
        format!("owner of database owned_{name}"),
        format!("database {}: owner of 1 objects, privileges on 1", other.name),
    ] {
        assert!(detail.contains(&part), "{part} in {detail}");
    }
    dba.run("drop table public.things; drop function public.f()");
    dba.run(&format!("drop database owned_{name}"));
    assert!(refused(&mut root).contains(&other.name), "elsewhere still");
    other.dba().run("drop table public.most");
    assert!(refused(&mut root).contains("privileges on 1"), "mere privileges elsewhere");
    other.dba().run("drop table public.more");
    let mut config = postgres::Config::new();
    config.host("127.0.0.1").port(Database::cluster().port).user(&name).password(&password).dbname(&db.name);
    let connection = config.connect(postgres::NoTls).expect("a connection");
    assert!(refused(&mut root).contains("1 live connections"));
    drop(connection);
    while !dba.column::<String>(&format!("select usename::text from pg_stat_activity where usename = '{name}'")).is_empty() {}
    // Mere privileges here go with it.
    dba.run(&format!(
        "create table public.kept (a int); grant select, update (a) on public.kept to {name}; grant usage on schema public to {name}; grant connect on database {} to {name};
         alter default privileges in schema public grant select on tables to {name}; create policy p on public.kept to {name} using (true)",
        db.name
    ));
    root.run(&format!("select auth.delete_role('{name}')"));
    assert_eq!(dba.one::<i64>(&format!("select count(*) from pg_roles where rolname = '{name}'")), 0);
    assert_eq!(dba.one::<i64>("select count(*) from pg_class where relname = 'kept'"), 1);
}

#[test]
fn what_a_role_gave_to_others_or_holds_on_another_database_keeps_it() {
    let (db, other) = (Database::new(), Database::new());
    let (mut root, mut dba, name) = (db.admin("Root"), db.dba(), fresh("giver"));
    created(&mut root, &name);
    dba.run(&format!("create table public.k (); grant select on public.k to {name} with grant option; grant {name} to postgres; set role {name}; grant select on public.k to service; reset role; revoke {name} from postgres"));
    assert_eq!(root.refused(&format!("select auth.delete_role('{name}')")).detail, "ROLE_OWNS_OBJECTS: gave privileges on table public.k");
    assert!(dba.one::<bool>("select has_table_privilege('service', 'public.k', 'select')"));
    dba.run(&format!("revoke select on public.k from {name} cascade; grant connect on database {} to {name}", other.name));
    assert_eq!(
        root.refused(&format!("select auth.delete_role('{name}')")).detail,
        format!("ROLE_OWNS_OBJECTS: privileges on database {}", other.name)
    );
    dba.run(&format!("revoke connect on database {} from {name}", other.name));
    let (team, is_grantors) = (fresh("team"), dba.one::<bool>("select current_setting('server_version_num')::int >= 160000"));
    dba.run(&format!("create role {team}; grant {team} to {name} with admin option; set role {name}; grant {team} to service; reset role"));
    if is_grantors {
        assert_eq!(
            root.refused(&format!("select auth.delete_role('{name}')")).detail,
            format!("ROLE_OWNS_OBJECTS: gave membership in {team}")
        );
        assert!(dba.one::<bool>(&format!("select pg_has_role('service', '{team}', 'member')")));
    }
    dba.run(&format!("drop role {team}"));
    // Seen once, and again.
    root.run(&format!("begin; select count(*) from pg_stat_activity where usename = '{name}'; select auth.delete_role('{name}'); commit"));
}

#[test]
fn a_copy_of_the_database_manages_none_of_its_roles() {
    let db = Database::new();
    let name = fresh("copied");
    db.service().run(&format!("select auth.create_role('{name}')"));
    let copy = db.copy();
    copy.service().is_refused(&format!("select auth.reset_role_password('{name}')"), "42501", &format!("PROTECTED_ROLE: {name}"));
    assert_eq!(copy.service().one::<i64>("select count(*) from auth.list_roles()"), 0);
    copy.service().run(&format!("select auth.protect_role('{name}'); select auth.protect_role('{name}', false)"));
    db.service().run(&format!("select auth.reset_role_password('{name}'); select auth.delete_role('{name}')"));
}

#[test]
fn an_old_snapshot_is_told_to_try_again() {
    let db = Database::new();
    let (mut old, mut new, name) = (db.service(), db.service(), fresh("newer"));
    old.run("begin isolation level repeatable read; select 1 from auth.users");
    created(&mut new, &name);
    for call in ["protect_role", "reset_role_password", "delete_role"] {
        old.run("savepoint s");
        assert_eq!(old.refused(&format!("select auth.{call}('{name}')")).sqlstate, "40001", "{call}");
        old.run("rollback to s");
    }
    old.run("commit");
    old.run(&format!("select auth.get_role('{name}'); select auth.delete_role('{name}')"));
}

#[test]
fn a_privilege_given_by_somebody_else_is_named() {
    let db = Database::new();
    let (mut root, mut dba, name) = (db.admin("Root"), db.dba(), fresh("granted"));
    created(&mut root, &name);
    dba.run(&format!("create table public.lent (); grant select on public.lent to app with grant option; set role app; grant select on public.lent to {name}; reset role"));
    assert_eq!(
        root.refused(&format!("select auth.delete_role('{name}')")).detail,
        format!("ROLE_OWNS_OBJECTS: database {}: privileges on table public.lent", db.name)
    );
    dba.run("drop table public.lent");
    root.run(&format!("select auth.delete_role('{name}')"));
}

#[test]
fn each_function_needs_its_permission() {
    let db = Database::new();
    let name = fresh("target");
    db.service().run(&format!("select auth.create_role('{name}')"));
    let verbs = [
        ("database-role:create", format!("auth.create_role('{name}_x')")),
        ("database-role:list", "auth.list_roles()".to_owned()),
        ("database-role:get", format!("auth.get_role('{name}')")),
        ("database-role:reset-password", format!("auth.reset_role_password('{name}')")),
        ("database-role:reset-password", format!("auth.set_role_verifier('{name}', '{VERIFIER}')")),
        ("database-role:protect", format!("auth.protect_role('{name}', false)")),
        ("database-role:delete", format!("auth.delete_role('{name}')")),
    ];
    let mut plain = db.user("Plain");
    for (number, (permission, call)) in verbs.iter().enumerate() {
        db.app().is_refused(&format!("select * from {call}"), "28000", "NOT_SIGNED_IN");
        plain.is_refused(&format!("select * from {call}"), "42501", &format!("PERMISSION_DENIED: {permission}"));
        let others: Vec<&str> = verbs.iter().map(|verb| verb.0).filter(|other| other != permission).collect();
        db.holder(&format!("others{number}"), &others).is_refused(
            &format!("select * from {call}"),
            "42501",
            &format!("PERMISSION_DENIED: {permission}"),
        );
        db.holder(&format!("holder{number}"), &[permission]).run(&format!("select * from {call}"));
    }
    db.service().run(&format!("select auth.delete_role('{name}_x')"));
    for statement in [
        "create role x",
        "alter role app superuser",
        "select * from auth_private.managed_roles",
        "insert into auth_private.managed_roles values (10, (select oid from pg_database where datname = current_database()), true)",
    ] {
        assert_eq!(plain.refused(statement).sqlstate, "42501", "{statement}");
    }
    // What remains without the check: the row that says who may, under its policy.
    let mut manager = db.dba();
    manager.run(&format!(
        "select auth.use_session('{}', false); insert into auth_private.managed_roles values (10, (select oid from pg_database where datname = current_database()), true); set role auth_role_manager",
        plain.token
    ));
    for statement in [
        "select 1 from auth_private.managed_roles",
        "update auth_private.managed_roles set protected = true returning 1",
        "delete from auth_private.managed_roles returning 1",
    ] {
        assert!(manager.client.query(statement, &[]).unwrap().is_empty(), "{statement}");
    }
    assert_eq!(manager.refused("insert into auth_private.managed_roles values (11, 1, true)").sqlstate, "42501");
}

#[test]
fn two_at_once_have_one_winner_and_no_raw_error() {
    for level in ["read committed", "repeatable read"] {
        for calls in [
            ["auth.create_role('{}')", "auth.create_role('{}')"],
            ["auth.reset_role_password('{}')", "auth.reset_role_password('{}')"],
            ["auth.delete_role('{}')", "auth.delete_role('{}')"],
            ["auth.delete_role('{}')", "auth.reset_role_password('{}')"],
            ["auth.protect_role('{}')", "auth.delete_role('{}')"],
        ] {
            for _ in 0..3 {
                let (db, name) = (Database::new(), fresh("race"));
                if !calls[0].contains("create") {
                    created(&mut db.service(), &name);
                }
                let barrier = Barrier::new(2);
                let outcomes: Vec<String> = thread::scope(|scope| {
                    let runs: Vec<_> = calls
                        .iter()
                        .map(|call| {
                            let (mut actor, call, barrier) = (db.service(), call.replace("{}", &name), &barrier);
                            scope.spawn(move || {
                                actor.run(&format!("set default_transaction_isolation = '{level}'; begin; select 1 from auth.users"));
                                barrier.wait();
                                let outcome = actor.client.batch_execute(&format!("select {call}"));
                                thread::sleep(std::time::Duration::from_millis(5));
                                let committed = actor.client.batch_execute("commit");
                                match outcome.and(committed) {
                                    Ok(()) => "ok".to_owned(),
                                    Err(error) if error.code().is_some_and(|code| code.code() == "40001") => "40001".to_owned(),
                                    Err(error) => error.as_db_error().and_then(|e| e.detail()).unwrap_or("no detail").to_owned(),
                                }
                            })
                        })
                        .collect();
                    runs.into_iter().map(|run| run.join().expect("a call")).collect()
                });
                assert!(outcomes.iter().any(|outcome| outcome == "ok"), "{level} {calls:?}: {outcomes:?}");
                let known = ["ok", "40001", "ROLE_ALREADY_EXISTS", "ROLE_NOT_FOUND", "PROTECTED_ROLE"];
                assert!(
                    outcomes.iter().all(|outcome| known.iter().any(|code| outcome.starts_with(code))),
                    "{level} {calls:?}: {outcomes:?}"
                );
                db.dba().run(&format!("drop role if exists {name}"));
            }
        }
    }
}
