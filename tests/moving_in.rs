//! docs/import.md tells the truth: its queries read tables that the real packages have created and filled.

use pgrx_tests::{Database, development_directory, succeed};
use regex::Regex;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

fn documented(language: &str) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/import.md")).expect("docs/import.md");
    let block = Regex::new(&format!("(?s)```{language}\n(.*?)```")).unwrap();
    block.captures(&text).unwrap_or_else(|| panic!("a block {language}"))[1].to_owned()
}

fn run_with_node(db: &Database, script: &str) -> String {
    let (directory, cluster) = (development_directory(), Database::cluster());
    let file = directory.join("peers").join(format!("{}.mjs", db.name));
    fs::write(&file, script).expect("a script");
    let output = succeed(
        Command::new(directory.join("python/bin/node"))
            .arg(&file)
            .env("PGHOST", cluster.socket())
            .env("PGPORT", cluster.port.to_string())
            .env("PGUSER", "postgres")
            .env("PGDATABASE", &db.name)
            .env("BETTER_AUTH_TELEMETRY", "0"),
    );
    fs::remove_file(file).expect("the script");
    String::from_utf8(output.stdout).expect("text")
}

/// Each signs in twice: once with the old hash, and once with ours.
fn everybody_signs_in(db: &Database, passwords: &BTreeMap<&str, &str>) {
    let hashes =
        |kind: &str| -> i64 { db.dba().one(&format!("select count(*) from auth_private.passwords where hash {kind} '$argon2id$%'")) };
    assert_eq!((hashes("not like"), hashes("like")), (passwords.len() as i64, 0));
    for round in 0..2 {
        for (email, password) in passwords {
            let sign_in = |password: &str| -> serde_json::Value {
                db.app().client.query_one("select auth.sign_in($1, $2)", &[email, &password]).expect("an answer").get(0)
            };
            assert_eq!(sign_in("not the password")["code"], "INVALID_EMAIL_OR_PASSWORD", "{email}");
            let result = sign_in(password);
            if result["code"] != "BANNED_USER" {
                assert!(result["token"].is_string(), "{email}, {round}: {result}");
            }
        }
    }
}

const PASSWORDS: [(&str, &str); 4] = [
    ("ann@example.org", "correct horse battery"),
    ("bob@example.org", "\u{c5}ngstr\u{f6}m-1868 \u{fb01}n"),
    ("carl@example.org", "p\u{61}\u{308}sswort mit zeichen"),
    ("dora@example.org", "\u{1f600}\u{1f600} long enough"),
];

const BETTER_AUTH: &str = r#"
import { betterAuth } from "better-auth";
import { admin } from "better-auth/plugins";
import { getMigrations } from "better-auth/db/migration";
import pg from "pg";
const pool = new pg.Pool();
const auth = betterAuth({ database: pool, secret: "a secret for tests, of enough characters", baseURL: "http://localhost:3000",
  emailAndPassword: { enabled: true }, plugins: [admin()], logger: { disabled: true }, telemetry: { enabled: false } });
const { runMigrations } = await getMigrations(auth.options);
await runMigrations();
for (const [email, password] of PASSWORDS)
  await auth.api.signUpEmail({ body: { email, password, name: email.split("@")[0] } });
const { internalAdapter } = await auth.$context;
const id = async (email) => (await internalAdapter.findUserByEmail(email)).user.id;
await internalAdapter.updateUser(await id("ann@example.org"), { role: "user,admin", emailVerified: true });
await internalAdapter.updateUser(await id("dora@example.org"), { banned: true, banReason: "spam" });
await internalAdapter.linkAccount({ userId: await id("bob@example.org"), providerId: "github", accountId: "17" });
await internalAdapter.createUser({ email: "erin@example.org", name: "Erin", emailVerified: true });
await internalAdapter.linkAccount({ userId: await id("erin@example.org"), providerId: "google", accountId: "42" });
await pool.end();
"#;

#[test]
fn from_the_tables_of_better_auth() {
    let db = Database::new();
    run_with_node(&db, &BETTER_AUTH.replace("PASSWORDS", &serde_json::to_string(&PASSWORDS).unwrap()));
    db.dba().run(&documented("sql better-auth"));
    let mut dba = db.dba();
    assert_eq!(dba.column::<String>("select distinct status from public.moved_in"), ["created"]);
    everybody_signs_in(&db, &PASSWORDS.into());
    let users: Vec<String> = dba.column(
        "select format('%s %s %s %s', email, email_verified, roles, banned) from auth.list_users(sort_by => 'email', sort_direction => 'asc')",
    );
    assert_eq!(
        users,
        [
            "ann@example.org t {admin,user} f",
            "bob@example.org f {user} f",
            "carl@example.org f {user} f",
            "dora@example.org f {user} t",
            "erin@example.org t {user} f"
        ]
    );
    assert_eq!(
        dba.column::<String>("select provider || ' ' || provider_user_id from auth.accounts where provider <> 'credential' order by 1"),
        ["github 17", "google 42"]
    );
    let same: i64 = dba
        .one("select count(*) from auth.users o join public.\"user\" u on u.id = o.attributes ->> 'better_auth_id' and u.email = o.email");
    assert_eq!(same, 5);
}

const LUCIA: &str = r#"
import { lucia } from "lucia";
import { pg } from "@lucia-auth/adapter-postgresql";
import driver from "pg";
const pool = new driver.Pool();
await pool.query("create table auth_user (id text primary key, username text not null, plan text)");
await pool.query("create table user_session (id text primary key, user_id text not null references auth_user, active_expires bigint not null, idle_expires bigint not null)");
await pool.query("create table user_key (id text primary key, user_id text not null references auth_user, hashed_password text)");
const auth = lucia({ env: "PROD", adapter: pg(pool, { user: "auth_user", session: "user_session", key: "user_key" }) });
for (const [email, password] of PASSWORDS)
  await auth.createUser({ key: { providerId: "email", providerUserId: email, password }, attributes: { username: email.split("@")[0], plan: null } });
const bob = (await auth.getKey("email", "bob@example.org")).userId;
await auth.createKey({ userId: bob, providerId: "github", providerUserId: "17:x", password: null });
await pool.end();
"#;

#[test]
fn from_the_tables_of_lucia() {
    let db = Database::new();
    run_with_node(&db, &LUCIA.replace("PASSWORDS", &serde_json::to_string(&PASSWORDS).unwrap()));
    db.dba().run(&documented("sql lucia"));
    let mut dba = db.dba();
    assert_eq!(dba.column::<String>("select distinct status from public.moved_in"), ["created"]);
    everybody_signs_in(&db, &PASSWORDS.into());
    let bob: serde_json::Value = dba.one("select attributes - 'lucia_id' from auth.users where email = 'bob@example.org'");
    assert_eq!(bob, serde_json::json!({"username": "bob", "plan": null}));
    assert_eq!(
        dba.column::<String>("select provider || ' ' || provider_user_id from auth.accounts where provider <> 'credential'"),
        ["github 17:x"]
    );
    assert_eq!(dba.one::<i64>("select count(*) from auth.users u join public.auth_user o on o.id = u.attributes ->> 'lucia_id'"), 4);
}

/// The columns that the query reads, as Supabase declares them; its server cannot be had from a registry.
const SUPABASE: &str = r#"
create schema supabase_auth;
create table supabase_auth.users (
    instance_id uuid, id uuid primary key, aud varchar(255), role varchar(255), email varchar(255), encrypted_password varchar(255),
    email_confirmed_at timestamptz, last_sign_in_at timestamptz, raw_app_meta_data jsonb, raw_user_meta_data jsonb, is_super_admin boolean,
    created_at timestamptz, updated_at timestamptz, phone text unique, banned_until timestamptz, is_sso_user boolean not null default false,
    deleted_at timestamptz, is_anonymous boolean not null default false);
create table supabase_auth.identities (
    id uuid primary key default gen_random_uuid(), provider_id text not null, user_id uuid not null references supabase_auth.users on delete cascade,
    identity_data jsonb not null, provider text not null, last_sign_in_at timestamptz, created_at timestamptz, updated_at timestamptz,
    unique (provider_id, provider));
insert into supabase_auth.users (id, email, encrypted_password, email_confirmed_at, raw_user_meta_data, created_at, banned_until, deleted_at, phone) values
    ('00000000-0000-4000-8000-000000000001', 'ann@example.org', '$2a$04$7.krHb4cIu/y9szH7RoZ2.lMGNUUF2I/0DkQz5dnf6QSCB/YKpSCO', now(), '{"full_name": "Ann", "avatar_url": "https://example.org/a.png"}', '2022-02-03', null, null, null),
    ('00000000-0000-4000-8000-000000000002', 'bob@example.org', '', now(), '{}', now(), now() + interval '1 hour', null, null),
    ('00000000-0000-4000-8000-000000000003', 'gone@example.org', '', now(), '{}', now(), null, now(), null),
    ('00000000-0000-4000-8000-000000000004', null, '', null, '{}', now(), null, null, '4915112345678');
insert into supabase_auth.identities (provider_id, user_id, identity_data, provider) values
    ('ann@example.org', '00000000-0000-4000-8000-000000000001', '{}', 'email'),
    ('17', '00000000-0000-4000-8000-000000000002', '{}', 'github');
"#;

#[test]
fn from_the_tables_of_supabase() {
    let db = Database::new();
    let mut dba = db.dba();
    dba.run(SUPABASE);
    dba.run(&documented("sql supabase"));
    everybody_signs_in(&db, &[("ann@example.org", "correct horse battery")].into());
    let users: Vec<String> = dba.column(
        "select format('%s %s %s %s', right(id::text, 1), email, email_verified, banned) from auth.list_users(sort_by => 'email', sort_direction => 'asc')",
    );
    assert_eq!(users, ["1 ann@example.org t f", "2 bob@example.org t t"]);
    assert_eq!(dba.one::<String>("select name || image from auth.users where email = 'ann@example.org'"), "Annhttps://example.org/a.png");
    assert_eq!(dba.column::<String>("select provider from auth.accounts where provider <> 'credential'"), ["github"]);
}

#[test]
fn the_first_example_runs() {
    let db = Database::new();
    db.service().run(&documented("sql"));
    assert_eq!(db.dba().one::<i64>("select count(*) from auth.users where email = 'carl@example.org'"), 1);
}
