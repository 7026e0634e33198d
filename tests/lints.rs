//! Rules about the catalogue and the sources, read from them.

use crate::domain::permission::is_built_in;
use crate::domain::user_query;
use pgrx_tests::{Database, development_directory};
use regex::Regex;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn files(folder: &str, extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![repository().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|e| e == extension) {
                let name = entry.strip_prefix(repository()).expect("inside").display().to_string();
                found.push((name, fs::read_to_string(&entry).expect("a text")));
            }
        }
    }
    found.sort();
    found
}

/// Rows that must not be there.
fn none(sql: &str) {
    let offenders: Vec<String> = Database::new().dba().column(sql);
    assert!(offenders.is_empty(), "{sql}\n{offenders:#?}");
}

const OURS: &str = "from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname in ('auth', 'auth_private')";

#[test]
fn every_function_is_pinned_commented_and_closed_to_public() {
    none(&format!(
        "select p.oid::regprocedure::text {OURS} and array_remove(array_remove(p.proconfig, 'enable_seqscan=off'), 'row_security=on') is distinct from '{{\"search_path=pg_catalog, pg_temp\"}}'"
    ));
    none(&format!("select p.oid::regprocedure::text {OURS} and coalesce(obj_description(p.oid, 'pg_proc'), '') = ''"));
    none(&format!(
        "select p.oid::regprocedure::text {OURS} and (p.proacl is null or exists (select from aclexplode(p.proacl) a where a.grantee = 0))"
    ));
    none(&format!("select p.oid::regprocedure::text {OURS} and p.proleakproof"));
}

#[test]
fn functions_are_nameable_not_overloaded_and_not_strict() {
    none(&format!("select p.proname::text {OURS} group by n.nspname, p.proname having count(*) > 1"));
    none(&format!("select p.oid::regprocedure::text {OURS} and p.pronargs > 0 and (p.proargnames is null or '' = any (p.proargnames))"));
    none(&format!("select p.oid::regprocedure::text {OURS} and p.proisstrict"));
    none(
        "select p.proname || ' ' || a from pg_proc p, unnest(p.proargnames[:p.pronargs]) a
           where p.pronamespace = 'auth'::regnamespace
             and (a in ('select', 'limit', 'offset', 'order', 'and', 'or', 'columns', 'on_conflict') or a !~ '^[a-z][a-z_]*$'
                  or a in (select word from pg_get_keywords() where catcode = 'R'))",
    );
    none(&format!("select p.oid::regprocedure::text {OURS} and n.nspname = 'auth' and p.provolatile = 'i'"));
}

#[test]
fn what_takes_a_secret_cannot_be_called_with_get() {
    none(
        "select p.oid::regprocedure::text from pg_proc p where p.pronamespace = 'auth'::regnamespace and p.provolatile <> 'v'
            and p.proargnames[:p.pronargs] && '{password,token,new_password,current_password}'",
    );
}

#[test]
fn every_function_belongs_to_the_owner_or_is_a_door() {
    none(&format!(
        "select p.oid::regprocedure::text {OURS} and pg_get_userbyid(p.proowner) not in ('auth_owner', 'auth_door', 'auth_eraser', 'auth_role_manager')"
    ));
    let doors: Vec<String> = Database::new().dba().column("select p.proname::text from pg_proc p where p.pronamespace = 'auth'::regnamespace and pg_get_userbyid(p.proowner) = 'auth_door' order by 1");
    assert_eq!(
        doors,
        [
            "actor_id",
            "current_user_roles",
            "get_session",
            "has_permission",
            "has_permissions",
            "jwks",
            "postgrest_config",
            "session_id",
            "uid",
            "use_session"
        ]
    );
    // Nobody but the owner calls what is private.
    none(
        "select p.oid::regprocedure::text from pg_proc p, aclexplode(p.proacl) a where p.pronamespace = 'auth_private'::regnamespace
            and pg_get_userbyid(a.grantee) not in ('auth_owner', 'auth_door', 'auth_eraser', 'auth_role_manager')",
    );
}

#[test]
fn anon_may_execute_just_what_the_contract_lists() {
    let granted: Vec<String> = Database::new().dba().column(
        "select p.proname::text from pg_proc p where p.pronamespace = 'auth'::regnamespace and has_function_privilege('anon', p.oid, 'execute') order by 1",
    );
    assert_eq!(
        granted,
        [
            "actor_id",
            "current_user_roles",
            "get_session",
            "has_permission",
            "jwks",
            "pre_request",
            "refresh_session",
            "request_password_reset",
            "reset_password",
            "reset_session",
            "send_verification_email",
            "session_id",
            "sign_in",
            "sign_up",
            "uid",
            "use_session",
            "verify_email"
        ]
    );
    let others = "'{postgrest_config,claim_messages,complete_message,fail_message}'";
    none(&format!(
        "select p.oid::regprocedure::text from pg_proc p where p.pronamespace = 'auth'::regnamespace and (p.proname = any ({others})) = has_function_privilege('authenticated', p.oid, 'execute')"
    ));
    let mailers: Vec<String> = Database::new().dba().column(
        "select p.proname::text from pg_proc p where p.pronamespace = 'auth'::regnamespace and has_function_privilege('auth_mailer', p.oid, 'execute') order by 1",
    );
    assert_eq!(mailers, ["claim_messages", "complete_message", "fail_message"]);
}

#[test]
fn every_table_has_forced_row_level_security_and_policies() {
    let tables =
        "from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname in ('auth', 'auth_private') and c.relkind = 'r'";
    none(&format!("select c.oid::regclass::text {tables} and not (c.relrowsecurity and c.relforcerowsecurity)"));
    none(&format!("select c.oid::regclass::text {tables} and not exists (select from pg_policy p where p.polrelid = c.oid)"));
    none(&format!("select c.oid::regclass::text {tables} and pg_get_userbyid(c.relowner) <> 'auth_owner'"));
    none(&format!(
        "select c.oid::regclass::text {tables} and c.relpersistence = 'p' and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)"
    ));
    none(&format!("select c.oid::regclass::text {tables} and n.nspname = 'auth' and obj_description(c.oid, 'pg_class') is null"));
    // One permissive policy a table, command and role; none for PUBLIC; "true" for the doors alone.
    none("select polrelid::regclass || ' ' || polname from pg_policy where not polpermissive or polroles = '{0}'");
    none(
        "select a.polrelid::regclass || ' ' || a.polname from pg_policy a join pg_policy b on a.polrelid = b.polrelid and a.oid < b.oid
            where a.polroles && b.polroles and (a.polcmd = b.polcmd or '*' in (a.polcmd, b.polcmd))",
    );
    none(
        "select polrelid::regclass || ' ' || polname from pg_policy where polroles <> array['auth_door'::regrole::oid]
            and 'true' in (pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))",
    );
    // A bare call costs one evaluation a row.
    none(
        r"select polrelid::regclass || ' ' || polname from pg_policy, concat(pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)) e
            where regexp_replace(e, 'SELECT auth(_private)?\.(uid|actor_id|has_permission|holds_any)\(', '', 'g') ~ 'auth(_private)?\.(uid|actor_id|has_permission|holds_any)\('",
    );
}

#[test]
fn every_foreign_key_is_indexed() {
    none(
        "select c.conrelid::regclass || ' ' || c.conname from pg_constraint c join pg_namespace n on n.oid = c.connamespace
           where n.nspname in ('auth', 'auth_private') and c.contype = 'f'
             and not exists (select from pg_index i where i.indrelid = c.conrelid and i.indkey[0] = c.conkey[1])",
    );
}

#[test]
fn no_secret_column_and_no_private_table_is_selectable() {
    let db = Database::new();
    db.dba().run("create role bystander");
    for role in ["anon", "authenticated", "auth_admin", "auth_mailer", "bystander", "app", "service"] {
        let seen: Vec<String> = db.dba().column(&format!(
            "select attrelid::regclass || '.' || attname from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
              where n.nspname in ('auth', 'auth_private') and c.relkind in ('r', 'v') and attnum > 0
                and has_column_privilege('{role}', attrelid, attnum, 'select')
                and (n.nspname = 'auth_private' or attname ~ 'hash|token|secret|password|key')"
        ));
        assert!(seen.is_empty(), "{role}: {seen:?}");
        let writes: Vec<String> = db.dba().column(&format!(
            "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname in ('auth', 'auth_private') and c.relkind in ('r', 'v')
                and has_table_privilege('{role}', c.oid, 'insert, update, delete, truncate, trigger')"
        ));
        assert!(writes.is_empty(), "{role}: {writes:?}");
        assert!(
            !db.dba().one::<bool>(&format!(
                "select has_schema_privilege('{role}', 'auth_private', 'usage') or has_schema_privilege('{role}', 'auth', 'create')"
            )),
            "{role}"
        );
    }
    db.dba().run("drop role bystander");
}

#[test]
fn the_roles_have_no_power_of_their_own() {
    none("select rolname::text from pg_roles where rolname in ('anon', 'authenticated', 'auth_admin', 'auth_mailer', 'auth_owner', 'auth_door', 'auth_eraser')
            and (rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication or rolcanlogin)");
    none(
        "select m.member::regrole::text from pg_auth_members m where m.roleid in ('auth_owner'::regrole, 'auth_door'::regrole, 'auth_eraser'::regrole, 'auth_role_manager'::regrole)",
    );
}

/// Every statement in `store/`, and every one that `user_query` can compose.
fn statements() -> BTreeSet<String> {
    let literal = Regex::new(r#"(?s)"((?:select|insert|update|delete)\b(?:[^"\\]|\\.)*)""#).unwrap();
    let mut found: BTreeSet<String> = files("src/store", "rs")
        .iter()
        .flat_map(|(_, text)| literal.captures_iter(text).map(|m| m[1].replace("\\\"", "\"").replace("\\\n", "")).collect::<Vec<_>>())
        .collect();
    assert!(found.len() > 45, "the pattern finds the statements: {}", found.len());
    found.extend(composed());
    found
}

fn composed() -> BTreeSet<String> {
    use user_query::{Request, UserQuery};
    let request = || Request {
        search_value: None,
        search_field: "email".into(),
        search_operator: "contains".into(),
        filter_field: None,
        filter_value: None,
        filter_operator: "eq".into(),
        sort_by: "created_at".into(),
        sort_direction: "desc".into(),
        page_size: 10,
        page_offset: 0,
        after_cursor: None,
    };
    let sorts = ["id", "email", "email_verified", "name", "banned", "ban_expires_at", "created_at", "updated_at", "last_sign_in_at"];
    let mut requests = Vec::new();
    for search_field in ["email", "name", "any"] {
        requests.push(Request { search_value: Some("x".into()), search_field: search_field.into(), ..request() });
    }
    for field in sorts.iter().copied().chain(["role", "attributes.plan"]) {
        for operator in ["eq", "ne", "lt", "lte", "gt", "gte", "contains", "starts_with", "ends_with", "in", "not_in"] {
            let value = match field {
                "id" => "00000000-0000-0000-0000-000000000000",
                "email_verified" | "banned" => "true",
                _ => "2026-01-01",
            };
            let value = if operator.ends_with("in") { format!("[\"{value}\"]") } else { value.to_owned() };
            requests.push(Request {
                filter_field: Some(field.into()),
                filter_operator: operator.into(),
                filter_value: Some(value),
                ..request()
            });
        }
    }
    for sort in sorts {
        for direction in ["asc", "desc"] {
            let plain = || Request { sort_by: sort.into(), sort_direction: direction.into(), ..request() };
            let key = match sort {
                "id" => "00000000-0000-0000-0000-000000000000",
                "email_verified" | "banned" => "true",
                _ => "2026-01-01",
            };
            let cursor = UserQuery::build(plain()).unwrap().cursor(key, "00000000-0000-0000-0000-000000000000");
            requests.push(Request { after_cursor: Some(cursor), ..plain() });
        }
    }
    requests
        .into_iter()
        .map(|request| UserQuery::build(request).unwrap())
        .flat_map(|query| [query.page(false).sql, query.page(true).sql, query.total().0])
        .collect()
}

#[test]
fn every_statement_can_be_prepared_with_nothing_in_the_path() {
    let db = Database::new();
    let mut dba = db.dba();
    dba.run("set search_path = pg_catalog, pg_temp");
    for (number, statement) in statements().iter().enumerate() {
        dba.run(&format!("prepare s{number} as {statement}"));
    }
}

fn pgspot(name: &str, text: &str) {
    // What CREATE OR REPLACE replaces in an upgrade is a member of the extension: the server refuses what is not.
    let text = &text.replace("create or replace function auth", "create function auth");
    let file = development_directory().join(format!("{name}.sql"));
    fs::write(&file, text).expect("a file for pgspot");
    let output = Command::new(development_directory().join("python/bin/pgspot")).arg("--summary-only").arg(&file).output().expect("pgspot");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let details = Command::new(development_directory().join("python/bin/pgspot")).arg(&file).output().expect("pgspot");
    assert!(said.contains("Errors: 0 Warnings: 0 Unknown: 0"), "{name}: {said}\n{}", String::from_utf8_lossy(&details.stdout));
}

#[test]
fn pgspot_finds_nothing_in_the_installation_and_the_upgrades() {
    let installation = repository().join(format!("target/pg{}", std::env::var("PG_MAJOR").expect("PG_MAJOR"))).join(concat!(
        "pg_auth--",
        env!("CARGO_PKG_VERSION"),
        ".sql"
    ));
    let upgrades = fs::read_dir(repository().join("sql/upgrades")).expect("sql/upgrades").map(|entry| entry.expect("an entry").path());
    for script in upgrades.chain([installation]) {
        let text = fs::read_to_string(&script).expect("a script");
        pgspot(
            script.file_stem().and_then(|stem| stem.to_str()).expect("a name"),
            &text
                .lines()
                .filter(|line| !line.starts_with("\\echo"))
                .collect::<Vec<_>>()
                .join("\n")
                .replace("MODULE_PATHNAME", "$libdir/pg_auth"),
        );
    }
}

#[test]
fn pgspot_finds_nothing_in_any_statement() {
    // pgspot judges what stands in functions; and a parameter is to it what an argument is to them.
    let statements = statements();
    let text: String = statements.iter().enumerate().map(|(n, s)| {
        let highest = (1..=20).rev().find(|n| s.contains(&format!("${n}"))).unwrap_or(0);
        let arguments = vec!["text"; highest].join(", ");
        format!("create function auth.s{n}({arguments}) returns void language sql set search_path = pg_catalog, pg_temp as $statement$ {s} $statement$;\n")
    }).collect();
    pgspot("statements-in-functions", &format!("create schema auth;\n{text}"));
    let bare: String = statements.iter().map(|s| format!("{s};\n")).collect();
    pgspot("statements", &bare);
}

/// has_permission() refuses a name that nobody knows; what policies and doors ask does not, and would be closed in silence.
#[test]
fn every_permission_that_the_installation_asks_for_is_built_in() {
    let asked = Regex::new(r"(?:holds_over|has_permission)\('([^']*)'").unwrap();
    let sql: String = files("sql", "sql").into_iter().map(|(_, text)| text).collect();
    let names: BTreeSet<&str> = asked.captures_iter(&sql).map(|found| found.get(1).unwrap().as_str()).collect();
    assert!(names.contains("user:ban") && names.len() > 8, "{names:?}");
    assert_eq!(names.iter().filter(|name| !is_built_in(name) && !name.is_empty()).collect::<Vec<_>>(), [&""; 0]);
}

#[test]
fn bodies_of_functions_are_valid() {
    // CREATE EXTENSION does not look at them.
    let db = Database::new();
    let mut dba = db.dba();
    for function in dba.column::<String>("select p.oid::regprocedure::text from pg_proc p join pg_language l on l.oid = p.prolang where l.lanname = 'plpgsql' and pronamespace in ('auth'::regnamespace, 'auth_private'::regnamespace)") {
        dba.run(&format!("select plpgsql_validator('{function}'::regprocedure)"));
    }
}

#[test]
fn nothing_imports_upwards() {
    let allowed = |layer: &str| -> &[&str] {
        match layer {
            "api" => &["backend", "caller", "config", "deeds", "domain", "error", "store"],
            "deeds" => &["backend", "caller", "config", "domain", "error", "store"],
            "caller" => &["backend", "config", "domain", "error", "store"],
            "store" => &["backend", "domain", "error"],
            "backend" => &["config", "domain", "error"],
            "config" => &["backend", "domain"],
            "domain" => &["error"],
            "error" => &[],
            other => panic!("no layer {other}"),
        }
    };
    let import = Regex::new(r"\bcrate::(\w+)").unwrap();
    for (name, text) in files("src", "rs").iter().filter(|(name, _)| name != "src/lib.rs") {
        let layer = name.trim_start_matches("src/").split(['/', '.']).next().unwrap();
        for imported in import.captures_iter(text) {
            assert!(&imported[1] == layer && layer != "api" || allowed(layer).contains(&&imported[1]), "{name} imports {}", &imported[1]);
        }
        assert!(!text.contains("super::super"), "{name}");
        let lines = text.lines().count();
        assert!(lines <= 400, "{name} has {lines} lines");
        assert!(name.starts_with("src/backend/") || name == "src/config.rs" || !text.contains("unsafe {"), "{name} is unsafe");
        assert!(name.starts_with("src/backend/") || name.starts_with("src/store/") || !text.contains("spi::"), "{name} names SPI");
    }
}

#[test]
fn every_public_function_is_in_sql_and_the_other_way_round() {
    let exported = Regex::new(r"(?m)^#\[pg_extern\(sql = false\)\]\n(?:#\[allow[^\n]*\n)?fn (\w+)").unwrap();
    let declared = Regex::new(r"'MODULE_PATHNAME', '(\w+)_wrapper'").unwrap();
    let names = |folder: &str, extension: &str, pattern: &Regex| -> BTreeSet<String> {
        files(folder, extension)
            .iter()
            .flat_map(|(_, text)| pattern.captures_iter(text).map(|m| m[1].to_owned()).collect::<Vec<_>>())
            .collect()
    };
    let released = names("tests/releases", "sql", &declared);
    let known: BTreeSet<String> = names("sql", "sql", &declared).union(&released).cloned().collect();
    assert_eq!(names("src", "rs", &exported), known);
}
