//! Dumping and restoring: every row, every privilege, and passwords and sessions that go on working.

use pgrx_tests::{Actor, Cluster, Database, PASSWORD, succeed};
use std::path::{Path, PathBuf};
use std::process::Output;

/// A database with something in every table that is dumped.
fn populated() -> (Database, Actor) {
    let db = Database::new();
    let (ann, mut root) = (db.user("Ann"), db.admin("Root"));
    root.run("select auth.define_user_role('editor', '{post:edit,post:read}', 'edits')");
    root.run(&format!("select auth.set_user_roles('{}', '{{user,editor}}'); select auth.impersonate_user('{}')", ann.id, ann.id));
    let mut service = db.service();
    service.run("select auth.ban_user((auth.create_user('banned@example.org') ->> 'id')::uuid, 'spam')");
    service.run(&format!("select auth.link_account('{}', 'github', '4711'); select auth.revoke_user_sessions((auth.create_user('x@example.org') ->> 'id')::uuid)", ann.id));
    db.app().run("select auth.request_password_reset('ann@example.org')");
    let mut dba = db.dba();
    dba.run(
        "insert into auth_private.one_time_tokens select id, 'verify-email', sha256('x'), email, 0, now(), now() + '1 day' from auth.users where email = 'ann@example.org';
         insert into auth_private.rival_sign_ups (user_id, address) select id, email from auth.users where email = 'x@example.org';
         create table public.profiles (user_id uuid primary key references auth.users on delete cascade, nickname text);
         create view public.nicknames as select p.nickname, u.email from public.profiles p join auth.users u on u.id = p.user_id;
         alter table public.profiles enable row level security; create policy own on public.profiles using (user_id = (select auth.uid()));
         grant select on public.profiles to authenticated; grant select on auth.users to app",
    );
    dba.run(&format!("insert into public.profiles values ('{}', 'a')", ann.id));
    (db, ann)
}

const TABLES: [&str; 14] = [
    "auth.users",
    "auth.accounts",
    "auth.sessions",
    "auth.user_roles",
    "auth.bans",
    "auth.roles where not built_in",
    "auth.role_permissions where role <> all ('{admin,user}')",
    "auth.audit_log",
    "auth_private.passwords",
    "auth_private.session_keys",
    "auth_private.session_epochs",
    "auth_private.messages",
    "auth_private.one_time_tokens",
    "auth_private.rival_sign_ups",
];

/// Every row that is a deployment's own, by table; none of these tables is empty.
fn rows(db: &Database) -> Vec<String> {
    let mut dba = db.dba();
    let of = |table: &&str| {
        dba.one::<Option<String>>(&format!(
            "select '{}' || string_agg(x::text, E'\\n' order by x::text) from (select * from {table}) x",
            table.replace('\'', "")
        ))
    };
    TABLES.iter().map(of).map(|rows| rows.unwrap_or_else(|| "empty".to_owned())).collect()
}

/// What decides who may do what; and where the audit log goes on.
fn authority(db: &Database) -> Vec<String> {
    db.dba().column(
        "select * from (
             select format('%s %s %s %s', c.oid::regclass, relrowsecurity, relforcerowsecurity, array(select a::text from unnest(relacl) a order by 1)) from pg_class c where relnamespace::regnamespace::text like 'auth%' and relkind in ('r', 'v', 'S')
             union all select format('%s %s', p.oid::regprocedure, array(select a::text from unnest(proacl) a order by 1)) from pg_proc p where pronamespace::regnamespace::text like 'auth%'
             union all select format('%s %s', nspname, array(select a::text from unnest(nspacl) a order by 1)) from pg_namespace where nspname like 'auth%'
             union all select format('%s %s', p.polrelid::regclass, p.polname) from pg_policy p
             union all select format('%s %s', conrelid::regclass, pg_get_constraintdef(oid)) from pg_constraint where conrelid = 'public.profiles'::regclass
             union all select format('next %s', last_value) from auth.audit_log_id_seq) x order by 1",
    )
}

fn works(db: &Database, ann: &Actor) {
    assert!(db.signed_in("Ann").is_signed_in(), "the password");
    let mut old = db.app();
    old.run(&format!("select auth.use_session('{}', false)", ann.token));
    assert_eq!(old.column::<Vec<String>>("select auth.current_user_roles()"), [["editor", "user"]]);
    assert!(old.one::<bool>("select auth.has_permission('post:edit')"));
    assert_eq!(old.one::<i64>("select count(*) from public.profiles"), 1);
    db.signed_in("Root").run(&format!("select auth.ban_user('{}')", ann.id));
    assert!(!old.is_signed_in());
    db.dba().run(&format!("delete from auth.users where id = '{}'", ann.id));
    assert_eq!(db.dba().one::<i64>("select count(*) from public.profiles"), 0, "the foreign key");
}

fn dump(role: &str, db: &Database, arguments: &[&str], into: &Path) -> Output {
    let file = format!("--file={}", into.display());
    Database::cluster().client("pg_dump", role, &db.name, arguments.iter().copied().chain([file.as_str()])).output().expect("pg_dump")
}

fn restore(db: &Database, from: &Path, arguments: &[&str]) {
    let path = from.to_str().expect("a path");
    let cluster = Database::cluster();
    if from.extension().is_some_and(|extension| extension == "sql") {
        succeed(&mut cluster.client("psql", "postgres", &db.name, ["-Xq", "-v", "ON_ERROR_STOP=1", "-f", path]));
    } else {
        succeed(&mut cluster.client(
            "pg_restore",
            "postgres",
            &db.name,
            ["--exit-on-error"].iter().chain(arguments).copied().chain([path]),
        ));
    }
}

fn files(db: &Database, name: &str) -> PathBuf {
    let directory = Database::cluster().socket().join("dumps");
    std::fs::create_dir_all(&directory).expect("a directory");
    directory.join(format!("{}.{name}", db.name))
}

fn dumped(role: &str, db: &Database, arguments: &[&str], name: &str) -> PathBuf {
    let file = files(db, name);
    let output = dump(role, db, arguments, &file);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    file
}

#[test]
fn every_format_brings_back_every_row_and_every_privilege() {
    let (db, ann) = populated();
    let before = (rows(&db), authority(&db));
    assert!(!before.0.contains(&"empty".to_owned()), "{:?}", before.0);
    let same = |copy: &Database, how: &str| {
        for (after, before) in rows(copy).iter().zip(&before.0) {
            assert!(after == before, "{how}:\n{before}\nhas become\n{after}");
        }
        assert_eq!(authority(copy), before.1, "{how}");
        assert_eq!(
            copy.dba().column::<String>("select object from auth.verify_install() where object <> 'relation auth.users'"),
            Vec::<String>::new()
        );
    };
    for (file, arguments) in [
        (dumped("postgres", &db, &["--format=plain"], "sql"), &[][..]),
        (dumped("postgres", &db, &["--format=custom"], "custom"), &[]),
        (dumped("postgres", &db, &["--format=tar"], "tar"), &["--single-transaction"]),
        (dumped("postgres", &db, &["--format=directory", "--jobs=2"], "directory"), &[]),
    ] {
        let copy = Database::empty();
        restore(&copy, &file, arguments);
        same(&copy, file.to_str().expect("a path"));
        if file.extension().is_some_and(|extension| extension == "directory") {
            // Over what is there already; and with several processes, in which only what follows the rows may be restored: about the
            // rows of an extension's tables pg_restore does not know which come first.
            restore(&copy, &file, &["--clean", "--if-exists"]);
            same(&copy, "--clean");
            let parallel = Database::empty();
            for arguments in [&["--section=pre-data", "--jobs=2"][..], &["--section=data"], &["--section=post-data", "--jobs=2"]] {
                restore(&parallel, &file, arguments);
            }
            same(&parallel, "in parallel");
        }
        works(&copy, &ann);
    }
}

#[test]
fn who_row_level_security_binds_gets_no_dump_rather_than_part_of_one() {
    let (db, ann) = populated();
    let before = rows(&db);
    let mut dba = db.dba();
    let made = "do $$ begin create role dump_all login bypassrls; exception when duplicate_object then null; end $$;
                do $$ begin create role dump_some login; exception when duplicate_object then null; end $$";
    dba.run(made);
    dba.run("grant pg_read_all_data to dump_all, dump_some; alter role dump_all password 'x'; alter role dump_some password 'x'");
    let with_password = |role: &str, format: &str, file: &Path| {
        let arguments = [format!("--format={format}"), format!("--file={}", file.display())];
        Database::cluster().client("pg_dump", role, &db.name, arguments).env("PGPASSWORD", "x").output().expect("pg_dump")
    };
    let (whole, part) = (files(&db, "whole"), files(&db, "part"));
    let output = with_password("dump_all", "custom", &whole);
    assert!(output.status.success(), "{output:?}");
    let copy = Database::empty();
    restore(&copy, &whole, &[]);
    assert_eq!(rows(&copy), before);
    works(&copy, &ann);
    let output = with_password("dump_some", "plain", &part);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && message.contains("row-level security policy"), "{message}");
    let text = std::fs::read_to_string(part).unwrap_or_default();
    assert!(!text.contains("example.org"), "part of one");
}

#[test]
fn data_alone_goes_into_a_database_that_has_the_extension() {
    let (db, ann) = populated();
    let before = rows(&db);
    db.dba().run("drop view public.nicknames; drop table public.profiles");
    for (arguments, name) in [
        (&["--data-only", "--format=custom"][..], "data"),
        (&["--data-only"], "data.sql"),
        (&["--data-only", "--extension=pg_auth", "--format=custom"], "extension"),
        (&["--data-only", "--table=auth.*", "--table=auth_private.*"], "tables.sql"),
    ] {
        let file = dumped("postgres", &db, arguments, name);
        let copy = Database::new();
        copy.dba().run("create table public.profiles (user_id uuid primary key references auth.users on delete cascade, nickname text); grant select on public.profiles to authenticated");
        restore(&copy, &file, &[]);
        assert_eq!(rows(&copy), before, "{arguments:?}");
        copy.dba().run(&format!("insert into public.profiles values ('{}', 'a')", ann.id));
        works(&copy, &ann);
    }
}

/// PostgreSQL's own rule: what belongs to an extension is in no dump of its schema. Whoever wants ours alone names the extension.
#[test]
fn a_dump_of_the_schemas_alone_has_no_rows_and_one_of_the_extension_has_them_all() {
    let (db, ann) = populated();
    let before = rows(&db);
    let file = dumped("postgres", &db, &["--schema=auth", "--schema=auth_private"], "schemas.sql");
    assert!(!std::fs::read_to_string(file).expect("a dump").contains("ann@example.org"));
    let file = dumped(
        "postgres",
        &db,
        &["--extension=pg_auth", "--extension=pg_trgm", "--schema=auth", "--schema=auth_private", "--format=custom"],
        "pg_auth",
    );
    let copy = Database::empty();
    restore(&copy, &file, &[]);
    assert_eq!(rows(&copy), before);
    copy.dba().run("create table public.profiles (user_id uuid primary key references auth.users on delete cascade, nickname text); grant select on public.profiles to authenticated");
    copy.dba().run(&format!("insert into public.profiles values ('{}', 'a')", ann.id));
    works(&copy, &ann);
}

#[test]
fn what_a_dba_has_changed_about_a_table_is_listed_before_and_lost_after() {
    let (db, _) = populated();
    let mut dba = db.dba();
    dba.run("create policy support on auth.users for select to app using (email like '%@example.org')");
    dba.run("alter policy users_client_select on auth.users using (false)");
    let problems = "select object || ' ' || problem from auth.verify_install() where object like 'policy %' order by 1";
    let before: Vec<String> = dba.column(problems);
    assert_eq!(before.len(), 2, "{before:?}");
    assert!(before.iter().any(|line| line == "policy support of auth.users is not ours"), "{before:?}");
    let copy = Database::empty();
    restore(&copy, &dumped("postgres", &db, &["--format=custom"], "policies"), &[]);
    assert_eq!(copy.dba().column::<String>(problems), Vec::<String>::new(), "as it was shipped");
    // And a policy that is missing is said to be.
    copy.dba().run("drop policy users_client_select on auth.users");
    assert_eq!(copy.dba().column::<String>(problems), ["policy users_client_select of auth.users is missing"]);
}

#[test]
fn dropping_the_extension_stops_at_foreign_keys_and_leaves_the_roles_that_it_made() {
    let cluster = Cluster::start("drop", &[("fsync", "off"), ("auth.argon2_memory", "'8MB'"), ("auth.argon2_iterations", "1")]);
    let mut dba = cluster.connect("postgres", "postgres");
    dba.run("create extension pg_auth cascade; create role service login; grant auth_admin to service");
    dba.run("create database second");
    let mut second = cluster.connect("postgres", "second");
    second.run("create extension pg_auth cascade");
    let mut service = cluster.connect("service", "postgres");
    service.run(&format!("select auth.create_user('ann@example.org', '{PASSWORD}'); select auth.create_role('reporter')"));
    // They are the cluster's, and another database's to name but not to change.
    let mut elsewhere = cluster.connect("service", "second");
    for call in ["auth.reset_role_password('reporter')", "auth.delete_role('reporter')", "auth.set_role_verifier('reporter', 'x')"] {
        let code = elsewhere.refused(&format!("select {call}")).code().to_owned();
        assert!(["PROTECTED_ROLE", "INVALID_ARGUMENT"].contains(&&*code), "{call}: {code}");
    }
    elsewhere.is_refused("select auth.create_role('reporter')", "42710", "ROLE_ALREADY_EXISTS");
    dba.run("create table public.profiles (user_id uuid references auth.users); insert into public.profiles select id from auth.users; create view public.everybody as select email from auth.users");
    assert_eq!(dba.refused("drop extension pg_auth").sqlstate, "2BP01");
    assert_eq!(dba.one::<i64>("select count(*) from auth.users"), 1);
    dba.run("drop extension pg_auth cascade");
    assert_eq!(dba.one::<i64>("select count(*) from public.profiles"), 1, "the application's own rows stay");
    assert_eq!(dba.one::<i64>("select count(*) from pg_class where relname = 'everybody'"), 0);
    assert_eq!(dba.one::<i64>("select count(*) from pg_roles where rolname in ('reporter', 'auth_owner', 'anon')"), 3);
    // What was made before is nobody's afterwards.
    dba.run("create extension pg_auth");
    let mut service = cluster.connect("service", "postgres");
    assert_eq!(service.one::<i64>("select count(*) from auth.list_roles()"), 0);
    service.is_refused("select auth.delete_role('reporter')", "42501", "PROTECTED_ROLE: reporter");
    assert_eq!(service.json(&format!("select auth.create_user('ann@example.org', '{PASSWORD}')"))["email"], "ann@example.org");
    assert_eq!(second.one::<i64>("select count(*) from auth.verify_install()"), 0);
}
