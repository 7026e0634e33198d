//! ALTER EXTENSION pg_auth UPDATE: from every release, with data, to exactly what a fresh installation is.

use pgrx_tests::{Actor, Database, PASSWORD, succeed};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The releases whose scripts are kept in tests/releases, as their users have them.
fn releases() -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/releases");
    let names =
        fs::read_dir(directory).expect("tests/releases").map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
    let releases: Vec<String> = names.filter_map(|name| Some(name.strip_prefix("pg_auth--")?.strip_suffix(".sql")?.to_owned())).collect();
    assert!(!releases.is_empty());
    releases
}

fn installed(release: &str) -> Database {
    let db = Database::empty();
    db.dba().run(&format!(
        "create extension pg_auth version '{release}' cascade; grant anon, authenticated to app; grant auth_admin to service; grant auth_mailer to mailer"
    ));
    db
}

/// Every row of every table of ours, as text; columns that an upgrade has added are null.
fn rows(dba: &mut Actor) -> BTreeMap<String, String> {
    let tables: Vec<String> = dba.column(
        "select c.oid::regclass::text from pg_class c where c.relkind = 'r' and c.relnamespace in ('auth'::regnamespace, 'auth_private'::regnamespace)",
    );
    let rows = |table: &String| {
        format!(
            "select coalesce(string_agg(t, E'\\n' order by t), '') from {table} r, lateral (select jsonb_strip_nulls(to_jsonb(r))::text) as j (t)"
        )
    };
    tables.iter().map(|table| (table.clone(), dba.one(&rows(table)))).collect()
}

/// Every definition, members of the extension included, as `pg_upgrade` would carry them.
fn definitions(db: &Database) -> Vec<String> {
    let arguments = ["--schema-only", "--binary-upgrade", "--no-comments"];
    let output = succeed(&mut Database::cluster().client("pg_dump", "postgres", &db.name, arguments));
    let dump = String::from_utf8(output.stdout).expect("UTF-8");
    // Numbers of this very database, and the key that pg_dump makes up for psql.
    let theirs = ["SELECT pg_catalog.binary_upgrade_", "SET relfrozenxid", "WHERE oid = ", "\\restrict", "\\unrestrict"];
    dump.lines()
        .filter(|line| !theirs.iter().any(|prefix| line.starts_with(prefix)) && !line.trim().is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_release_becomes_this_one_and_keeps_what_is_in_it() {
    let fresh = Database::new();
    for release in releases() {
        let db = installed(&release);
        let mut dba = db.dba();
        // The library is this version's already: who has not updated yet goes on working.
        let (mut ann, mut root) = (db.user("Ann"), db.admin("Root"));
        db.holder("helper", &["user:list", "ticket:close"]);
        let banned = db.user("Bob");
        root.run(&format!(
            "select auth.set_user_roles('{0}', '{{helper}}'), auth.update_user('{0}', '{{\"roles\": [\"user\"]}}')",
            banned.id
        ));
        root.run(&format!("select auth.ban_user('{}', 'spam')", banned.id));
        ann.run("select auth.change_email('ann@elsewhere.example')");
        assert_eq!(ann.json("select auth.get_session()")["user"]["name"], "Ann");
        assert_eq!(root.json("select auth.list_users_page(page_size => 1)")["total"], 4);
        dba.run("create table public.profiles (user_id uuid primary key references auth.users); insert into public.profiles select id from auth.users");
        dba.run("create policy theirs on public.profiles for select to authenticated using (user_id = (select auth.uid()))");
        dba.run("alter table public.profiles enable row level security; grant select on public.profiles to authenticated");
        dba.run("create view public.me as select auth.get_session() as session");
        let before = rows(&mut dba);
        dba.run("create role greedy; alter default privileges grant all on functions to greedy; alter default privileges grant all on tables to greedy");

        dba.run("alter extension pg_auth update");
        assert_eq!(
            dba.one::<String>("select extversion from pg_extension where extname = 'pg_auth'"),
            env!("CARGO_PKG_VERSION"),
            "{release}"
        );
        let given = "select count(*) from pg_proc p, aclexplode(p.proacl) a where a.grantee = 'greedy'::regrole and p.pronamespace::regnamespace::text like 'auth%'";
        assert_eq!(dba.one::<i64>(given), 0, "{release}: default privileges open nothing");
        dba.run("drop owned by greedy; drop role greedy");
        let after = rows(&mut dba);
        for (table, rows) in &before {
            assert_eq!(after.get(table), Some(rows), "{release}: {table}");
        }
        assert!(ann.is_signed_in() && root.is_signed_in(), "{release}: sessions live on");
        assert_eq!(ann.one::<i64>("select count(*) from public.profiles"), 1);
        assert!(db.signed_in("Ann").is_signed_in(), "{release}: passwords are known");
        db.app().is_answered(&format!("select auth.sign_in('bob@example.org', '{PASSWORD}')"), "BANNED_USER");
        assert!(db.signed_in("helper").one::<bool>("select auth.has_permission('ticket:close')"), "{release}: roles are held");
        let mailed = db.mailed_token("change-email", "ann@elsewhere.example");
        ann.run(&format!("select auth.verify_email('{mailed}')"));
        let problems: Vec<String> = dba.column("select object || ' | ' || problem from auth.verify_install()");
        assert!(problems.is_empty(), "{release}: {problems:#?}");
    }
    for release in releases() {
        let db = installed(&release);
        db.dba().run("alter extension pg_auth update");
        let (upgraded, installed) = (definitions(&db), definitions(&fresh));
        let difference = upgraded.iter().zip(&installed).find(|(one, other)| one != other);
        assert_eq!((difference, upgraded.len()), (None, installed.len()), "{release}: an upgrade that sql/upgrades forgets");
    }
}

#[test]
fn the_comments_are_those_of_this_version_too() {
    let comments = "select string_agg(format('%s %s', objoid::regprocedure, description), E'\\n' order by objoid::regprocedure::text) from pg_description
                     where classoid = 'pg_proc'::regclass and objoid in (select oid from pg_proc where pronamespace in ('auth'::regnamespace, 'auth_private'::regnamespace))";
    let fresh: String = Database::new().dba().one(comments);
    for release in releases() {
        let db = installed(&release);
        db.dba().run("alter extension pg_auth update");
        assert_eq!(db.dba().one::<String>(comments), fresh, "{release}");
    }
}
