//! What the DBA of this server should change.

use crate::backend::attempt_counters;
use crate::backend::pepper;
use crate::backend::raise::run;
use crate::backend::settings::{self, setting};
use crate::caller;
use crate::config;
use crate::store::{deployment, manifest};
use pgrx::iter::TableIterator;
use pgrx::{name, pg_extern};
use std::collections::BTreeMap;
use std::ffi::CStr;

/// What was found.
struct Finding {
    item: &'static str,
    severity: &'static str,
    finding: String,
    advice: &'static str,
}

/// OWASP's Password Storage Cheat Sheet: 19 MiB and 2 passes, or as much work otherwise.
const LEAST_ARGON2: (u32, u32) = (19_456, 2);

/// The installation as it is when nobody has touched it: "object: what it must be", a line each. A test writes and compares it.
const MANIFEST: &str = include_str!("manifest.txt");

/// `auth.verify_install()`
#[pg_extern(sql = false)]
fn verify_install() -> TableIterator<'static, (name!(object, String), name!(problem, String))> {
    run(move || {
        caller::with_permission("settings:get")?;
        let expected: BTreeMap<&str, &str> = MANIFEST.lines().filter_map(|line| line.split_once(": ")).collect();
        // The server writes intervals and backslashes in what it has parsed as the caller would have them written.
        let plainly = [(c"intervalstyle", c"postgres"), (c"standard_conforming_strings", c"on")];
        let found = settings::with(&plainly, || manifest::read(config::trusted_gateways()));
        let found: BTreeMap<String, String> = found.into_iter().collect();
        let missing =
            expected.keys().filter(|object| !found.contains_key(**object)).map(|object| (object.to_string(), "is missing".to_owned()));
        let wrong = found.iter().filter_map(|(object, is)| match expected.get(object.as_str()) {
            None => Some((object.clone(), "is not ours".to_owned())),
            Some(should_be) if should_be != is => Some((object.clone(), format!("is {is}, and should be {should_be}"))),
            Some(_) => None,
        });
        Ok(TableIterator::new(missing.chain(wrong).collect::<Vec<_>>()))
    })
}

/// `auth.check_deployment()`
#[pg_extern(sql = false)]
fn check_deployment()
-> TableIterator<'static, (name!(item, String), name!(severity, String), name!(finding, String), name!(advice, String))> {
    run(move || {
        caller::with_permission("settings:get")?;
        let findings = [logs(), server(), roles(), settings(), queue()].into_iter().flatten();
        let rows: Vec<_> = findings.map(|f| (f.item.to_owned(), f.severity.to_owned(), f.finding, f.advice.to_owned())).collect();
        Ok(TableIterator::new(rows))
    })
}

fn found(item: &'static str, severity: &'static str, finding: impl Into<String>, advice: &'static str) -> Option<Finding> {
    Some(Finding { item, severity, finding: finding.into(), advice })
}

fn listed(item: &'static str, severity: &'static str, names: Vec<String>, advice: &'static str) -> Option<Finding> {
    if names.is_empty() { None } else { found(item, severity, names.join(", "), advice) }
}

fn is(name: &CStr, values: &[&str]) -> bool {
    setting(name).is_some_and(|value| values.contains(&value.as_str()))
}

fn logs() -> Vec<Finding> {
    // Then nothing of ours is in them, whatever is logged.
    if attempt_counters::are_there() && config::redact_log() {
        return Vec::new();
    }
    let logged = |name: &CStr, unless: &str| setting(name).filter(|value| value != unless);
    let mut findings = Vec::new();
    if is(c"log_statement", &["all", "mod"])
        || logged(c"log_min_duration_statement", "-1").is_some()
        || logged(c"log_min_duration_sample", "-1").is_some()
    {
        findings.extend(found(
            "log_statement",
            "high",
            "statements are logged, and passwords and tokens in them",
            "alter role app set log_statement = none; likewise log_min_duration_statement = -1",
        ));
        if logged(c"log_parameter_max_length", "0").is_some() {
            findings.extend(found(
                "log_parameter_max_length",
                "high",
                "bind parameters are logged with them",
                "alter role app set log_parameter_max_length = 0",
            ));
        }
    }
    if logged(c"log_parameter_max_length_on_error", "0").is_some() {
        findings.extend(found(
            "log_parameter_max_length_on_error",
            "high",
            "bind parameters of statements that fail are logged",
            "alter system set log_parameter_max_length_on_error = 0",
        ));
    }
    if !is(c"log_min_error_statement", &["panic", "fatal", "log"]) {
        findings.extend(found(
            "log_min_error_statement",
            "low",
            "statements that fail are logged, with what is written out in them",
            "use bind parameters; alter role app set log_min_error_statement = panic",
        ));
    }
    findings
}

fn server() -> Vec<Finding> {
    let mut findings = Vec::new();
    if !attempt_counters::are_there() {
        findings.extend(found(
            "shared_preload_libraries",
            "high",
            "pg_auth is not preloaded: a client that rolls back takes its failed attempts back, and nothing is purged by itself",
            "shared_preload_libraries = 'pg_auth', and restart",
        ));
    }
    let is_remote = setting(c"listen_addresses")
        .is_some_and(|list| list.split(',').any(|host| !["localhost", "127.0.0.1", "::1"].contains(&host.trim())));
    if is_remote && !is(c"ssl", &["on"]) {
        findings.extend(found(
            "ssl",
            "high",
            "other machines can connect, and nothing is encrypted",
            "ssl = on, with a certificate; hostssl in pg_hba.conf",
        ));
    }
    match deployment::open_doors_of_the_server() {
        Some(lines) => {
            findings.extend(listed("pg_hba.conf", "high", lines, "hostssl instead of host, scram-sha-256 instead of trust and password"))
        }
        None => findings.extend(found("pg_hba.conf", "low", "only superusers may see it", "call this as a superuser too")),
    }
    if is(c"idle_in_transaction_session_timeout", &["0"]) {
        findings.extend(found(
            "idle_in_transaction_session_timeout",
            "medium",
            "a transaction that is left open keeps what it has locked, and sees what its snapshot saw",
            "alter role app set idle_in_transaction_session_timeout = '1min'",
        ));
    }
    findings.extend(listed("schema", "medium", deployment::open_schemas(), "revoke create on schema … from public"));
    findings.extend(listed(
        "foreign key",
        "high",
        deployment::casting_foreign_keys(),
        "PostgreSQL checks it as auth_owner, with a cast that is not ours: make the column a uuid",
    ));
    findings.extend(listed(
        "foreign key",
        "high",
        deployment::following_foreign_keys(),
        "code of that table's owner runs as auth_owner when a row goes: refer to auth.users (id), or let nothing follow (no action)",
    ));
    findings.extend(listed(
        "pg_trgm",
        "medium",
        deployment::owners_of_what_we_need(),
        "may drop it or its schema, and all users and the audit log with it: as a superuser, create schema extensions; alter extension pg_trgm set schema extensions; one that somebody else has made must be made anew before pg_auth is installed",
    ));
    findings.extend(listed(
        "publication",
        "high",
        deployment::publications_of_secrets(),
        "hashes and signing keys go to every subscriber: alter publication … drop table …, drop tables in schema auth_private; create one of everything anew, for tables",
    ));
    findings
}

fn roles() -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(listed(
        "auth.trusted_gateways",
        "high",
        deployment::mighty(config::trusted_gateways()),
        "alter role … nosuperuser nobypassrls nocreaterole noinherit",
    ));
    findings.extend(listed(
        "createrole",
        "medium",
        deployment::role_makers(),
        "on PostgreSQL 15 CREATEROLE makes itself anything: take it away",
    ));
    findings.extend(listed(
        "auth_admin",
        "medium",
        deployment::grantors_of_admin(),
        "may make anybody an administrator or read all mail with its tokens: revoke admin option for auth_admin, auth_mailer from …",
    ));
    findings.extend(listed(
        "auth_owner",
        "high",
        deployment::members_of_owners(),
        "revoke auth_owner, auth_door, auth_eraser, auth_role_manager from …",
    ));
    findings
}

fn settings() -> Vec<Finding> {
    let mut findings = Vec::new();
    let (policy, cost) = (config::password_policy(), config::password_cost());
    if policy.min_length < 8 {
        findings.extend(found(
            "auth.password_min_length",
            "high",
            policy.min_length.to_string(),
            "NIST SP 800-63B-4: at least 8, and 15 where nothing else is asked for",
        ));
    } else if policy.min_length < 15 {
        findings.extend(found(
            "auth.password_min_length",
            "low",
            policy.min_length.to_string(),
            "NIST SP 800-63B-4: 15 where a password is the only factor",
        ));
    }
    if !policy.blocklist {
        findings.extend(found("auth.password_blocklist", "high", "off", "NIST SP 800-63B-4 3.1.1.2 asks for it"));
    }
    if u64::from(cost.memory_kib) * u64::from(cost.iterations) < u64::from(LEAST_ARGON2.0 * LEAST_ARGON2.1) {
        let cost = format!("{} kB, {} passes", cost.memory_kib, cost.iterations);
        findings.extend(found("auth.argon2_memory", "high", cost, "OWASP: 19 MiB with 2 passes at least"));
    }
    findings.extend(listed(
        "keys of passwords",
        "high",
        pepper::missing(deployment::key_names()),
        "hashes name these keys, and auth.pepper_file has them not: bring the file back, or their users need reset_password",
    ));
    if let Some(problem) = pepper::problem() {
        findings.extend(found("auth.pepper_file", "high", problem, "until it is mended nobody can sign in with a password"));
    } else if config::pepper_file().is_none() {
        findings.extend(found(
            "auth.pepper_file",
            "low",
            "not set: whoever has a backup can try passwords at leisure",
            "auth.pepper_file = '/etc/postgresql/pepper', a line \"name key\" made with openssl rand -base64 32, chmod 600",
        ));
    }
    findings
}

fn queue() -> Vec<Finding> {
    match deployment::late_messages() {
        0 => Vec::new(),
        late => found(
            "mail",
            "medium",
            format!("{late} messages have waited for a quarter of an hour"),
            "is the mailer running? see auth.list_messages()",
        )
        .into_iter()
        .collect(),
    }
}
