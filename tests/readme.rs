//! README tells the truth: its SQL was run, its tables are those of the catalogue. `BLESS=1` writes the tables anew.

use crate::error::Code;
use pgrx_tests::{Database, succeed};
use regex::Regex;
use std::fs;
use std::path::{Path, PathBuf};

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")
}

fn readme() -> String {
    fs::read_to_string(path()).expect("README.md")
}

#[test]
fn every_sql_block_runs() {
    let db = Database::empty();
    let readme = readme();
    let blocks = Regex::new(r"(?s)```sql( app)?\n(.*?)```").unwrap();
    let mut number = 0;
    for block in blocks.captures_iter(&readme) {
        let role = if block.get(1).is_some() { "app" } else { "postgres" };
        let file = Database::cluster().socket().join(format!("{}-{number}.sql", db.name));
        fs::write(&file, &block[2]).expect("a script");
        let output = succeed(&mut Database::cluster().client(
            "psql",
            role,
            &db.name,
            ["-Xq", "-v", "ON_ERROR_STOP=1", "-f", file.to_str().unwrap()],
        ));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!said.contains("\"code\""), "{}\n{said}", &block[2]);
        number += 1;
    }
    assert!(number >= 5, "the blocks were found");
    let mut dba = db.dba();
    assert_eq!(dba.column::<String>("select nickname from public.profiles"), ["annie"]);
    assert_eq!(dba.one::<i64>("select count(*) from auth.users"), 2);
    // What the back end's second role says is believed.
    dba.run("alter role app_door password 'for the test'");
    let sign_in = "select auth.sign_in('ann@example.org', 'another fine password', ip_address => '203.0.113.9') #>> '{session,ip_address}'";
    let said = |role: &str| {
        let mut psql = Database::cluster().client("psql", role, &db.name, ["-XAtc", sign_in]);
        String::from_utf8_lossy(&succeed(psql.env("PGPASSWORD", "for the test")).stdout).trim().to_owned()
    };
    assert_eq!((said("app_door").as_str(), said("app").as_str()), ("203.0.113.9", ""));
}

/// The part between two markers is exactly this.
fn says(marker: &str, expected: &str) {
    let readme = readme();
    let (before, rest) = readme.split_once(&format!("<!-- {marker} -->\n")).expect("the marker");
    let (said, after) = rest.split_once(&format!("<!-- /{marker} -->")).expect("its end");
    if std::env::var_os("BLESS").is_some() {
        fs::write(path(), format!("{before}<!-- {marker} -->\n{expected}<!-- /{marker} -->{after}")).expect("README.md");
    } else {
        assert!(said == expected, "README's {marker} differ; BLESS=1 writes them anew. Expected:\n{expected}");
    }
}

/// One after the other: they may write the same file.
#[test]
fn its_tables_are_those_of_the_catalogue() {
    let db = Database::new();
    let mut dba = db.dba();
    let functions: Vec<String> = dba.column(
        r"select format('| `auth.%s(%s)` | %s | %s | %s |', p.proname,
                        regexp_replace(pg_get_function_arguments(p.oid), '::(timestamp with time zone|[a-z]+)(\[\])?', '', 'g'),
                        case when pg_get_function_result(p.oid) like 'TABLE%' then 'table' else pg_get_function_result(p.oid) end,
                        coalesce(substring(obj_description(p.oid) from 'Permission: ([^.;]*)'), ''),
                        split_part(obj_description(p.oid), E'\n', 1))
            from pg_proc p where p.pronamespace = 'auth'::regnamespace order by p.proname",
    );
    let table: String = functions.iter().map(|line| format!("{line}\n")).collect();
    says("functions", &format!("| function | returns | permission | |\n|---|---|---|---|\n{table}"));

    let answers = [Code::INVALID_EMAIL_OR_PASSWORD, Code::INVALID_PASSWORD, Code::EMAIL_NOT_VERIFIED];
    let errors: String = Code::ALL
        .iter()
        .map(|code| {
            let entry = code.entry();
            let raised = match code {
                Code::BANNED_USER => "answer at sign-in, 28000".to_owned(),
                code if answers.contains(code) => "answer".to_owned(),
                _ => entry.sqlstate.to_owned(),
            };
            format!("| `{}` | {raised} | {} | {} |\n", entry.code, entry.http, entry.sentence)
        })
        .collect();
    says("errors", &format!("| code | SQLSTATE | HTTP | |\n|---|---|---|---|\n{errors}"));

    dba.run("select auth.uid()");
    let settings: Vec<String> = dba.column(
        "select format('| `%s` | %s | %s |', name, case when unit is null then coalesce(nullif(boot_val, ''), '(none)')
                           when unit = 's' then case when boot_val::int % 86400 = 0 and boot_val <> '0' then boot_val::int / 86400 || 'd' when boot_val::int % 3600 = 0 and boot_val <> '0' then boot_val::int / 3600 || 'h'
                                                     when boot_val::int % 60 = 0 and boot_val <> '0' then boot_val::int / 60 || 'min' else boot_val || 's' end
                           when unit = 'ms' then boot_val::int / 1000 || 's' when unit = 'kB' then boot_val::int / 1024 || 'MB' end, short_desc)
           from pg_settings where name like 'auth.%' and name <> 'auth.identity' order by name",
    );
    let table: String = settings.iter().map(|line| format!("{line}\n")).collect();
    says("settings", &format!("| setting | default | |\n|---|---|---|\n{table}"));
}
