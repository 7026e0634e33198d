//! verify_install: its list is that of a fresh installation, and every tampering that we try is found.

use pgrx_tests::Database;
use std::fs;
use std::path::Path;

/// The list, as the function itself sees it.
#[test]
fn its_manifest_is_that_of_a_fresh_installation() {
    let db = Database::new();
    let mut dba = db.dba();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/api/manifest.txt");
    let found: Vec<String> = dba.column("select object || ' | ' || problem from auth.verify_install()");
    if std::env::var_os("BLESS").is_some() {
        let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/store/manifest.rs")).expect("the statement");
        let statement = source.split_once("\"with ours").and_then(|(_, rest)| rest.split_once("\",\n")).expect("the statement").0;
        let statement = statement.replace("$1", "'{}'");
        dba.run("set search_path = pg_catalog, pg_temp");
        let lines: Vec<String> = dba.column(&format!(
            r#"select line from (select format('%s: %s', object, btrim(regexp_replace(is_now, '\s+', ' ', 'g'))) as line from (with ours{statement}) as m (object, is_now)) l order by line collate "C""#
        ));
        fs::write(path, lines.join("\n") + "\n").expect("the manifest");
    } else {
        assert!(found.is_empty(), "BLESS=1 writes it anew; then build again: {found:#?}");
    }
}

#[test]
fn every_tampering_is_found() {
    let db = Database::new();
    let mut dba = db.dba();
    dba.run("create table public.profiles (user_id uuid references auth.users on delete cascade)");
    for (tampering, object) in [
        ("alter table auth.users no force row level security", "relation auth.users"),
        ("alter table auth.bans disable row level security", "relation auth.bans"),
        ("grant update on auth.users to app", "relation auth.users"),
        ("grant select on auth_private.passwords to app", "relation auth_private.passwords"),
        ("grant select (hash) on auth_private.passwords to app", "column auth_private.passwords.hash"),
        ("grant usage on schema auth_private to app", "schema auth_private"),
        ("grant execute on function auth.claim_messages to app", "function auth.claim_messages(integer)"),
        (
            "grant execute on function auth_private.open_impersonation to public",
            "function auth_private.open_impersonation(uuid,uuid,uuid,bytea,numeric,inet)",
        ),
        ("alter function auth.sign_in reset search_path", "function auth.sign_in(text,text,boolean,text,text)"),
        ("alter function auth.has_permission security invoker", "function auth.has_permission(text)"),
        ("alter function auth.ban_user owner to app", "function auth.ban_user(uuid,text,interval)"),
        (
            "create or replace function auth_private.may_erase(target uuid) returns boolean language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as 'begin return true; end'",
            "function auth_private.may_erase(uuid)",
        ),
        ("create function auth.is_admin() returns boolean language sql as 'select true'", "function auth.is_admin()"),
        ("alter policy users_update on auth.users using (true)", "policy users_update of auth.users"),
        ("drop policy bans_insert on auth.bans", "policy bans_insert of auth.bans"),
        ("create policy open on auth.users for select to app using (true)", "policy open of auth.users"),
        ("alter table auth.audit_log disable trigger audit_log_append_only", "trigger audit_log_append_only of auth.audit_log"),
        (
            "create function public.f() returns trigger language plpgsql as 'begin return new; end' ;; create trigger spy before insert on auth_private.passwords for each row execute function public.f()",
            "trigger spy of auth_private.passwords",
        ),
        ("create rule r as on update to auth.bans do instead nothing", "rule r of auth.bans"),
        ("alter table auth.users drop constraint users_name_check", "constraint users_name_check of auth.users"),
        ("drop index auth_private.session_keys_token_hash_idx", "index auth_private.session_keys_token_hash_idx"),
        ("drop index auth.users_email_key", "unique index auth.users_email_key"),
        ("alter table auth.sessions disable trigger all", "internal trigger of auth.sessions"),
        ("alter table auth.users add column is_admin boolean", "column auth.users.is_admin"),
        ("alter view auth_private.user_directory owner to app", "relation auth_private.user_directory"),
        ("create table public.more () inherits (auth_private.passwords)", "child public.more of auth_private.passwords"),
        ("alter table auth.users alter email_verified set default true", "column auth.users.email_verified"),
        ("grant pg_read_all_data to auth_door", "role auth_door"),
        ("alter role auth_owner replication", "role auth_owner"),
        ("create type auth.token as enum ('x')", "type auth.token"),
        ("create table auth_private.copies (x text)", "relation auth_private.copies"),
    ] {
        dba.run("begin");
        // The extension keeps its members; a superuser who tampers takes them out first where that is needed.
        for statement in tampering.split(" ;; ") {
            dba.run("savepoint s");
            if dba.client.batch_execute(statement).is_err() {
                dba.run("rollback to s; delete from pg_depend where refclassid = 'pg_extension'::regclass and deptype = 'e'");
                dba.run(statement);
            }
        }
        let found: Vec<String> = dba.column("select object from auth.verify_install()");
        assert!(found.iter().any(|one| one == object), "{tampering}: {found:?}");
        dba.run("rollback");
    }
    assert!(dba.column::<String>("select object from auth.verify_install()").is_empty(), "applications may refer to users");
}

#[test]
fn what_a_gateway_needs_is_no_tampering_and_what_it_does_not_need_is() {
    let db = Database::new();
    pgrx_tests::allow_gateway(&mut db.dba().client);
    let mut dba = db.dba();
    let found = "select object from auth.verify_install()";
    assert_eq!(dba.column::<String>(found), Vec::<String>::new());
    for (tampering, object) in [
        ("grant usage on schema auth_private to authenticator", "schema auth_private"),
        ("grant create on schema auth to authenticator", "schema auth"),
        ("grant execute on function auth.claim_messages to authenticator", "function auth.claim_messages(integer)"),
        ("grant execute on function auth_private.new_id to authenticator", "function auth_private.new_id()"),
        ("grant execute on function auth_private.mint_token to authenticator", "function auth_private.mint_token(uuid,bytea,integer)"),
        ("grant execute on function auth.postgrest_config to authenticator with grant option", "function auth.postgrest_config()"),
        ("grant usage on schema auth to app", "schema auth"),
    ] {
        dba.run(&format!("begin; {tampering}"));
        assert_eq!(dba.column::<String>(found), [object], "{tampering}");
        dba.run("rollback");
    }
}
