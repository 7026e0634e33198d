//! Who may do what: each verb allowed, refused, and tried in raw SQL.

use pgrx_tests::{Actor, Database};

/// A verb on a target, the permission that it needs, and its twin in plain SQL. `{t}` is the target's id, `{s}` the id of a session of
/// theirs. What remains of a verb without its check is in `policies.rs`.
pub struct Verb {
    pub permission: &'static str,
    pub call: &'static str,
    /// Refused to every client with 42501; empty where it is a question and the answer must be empty.
    pub client: &'static str,
    /// As the owner with a plain user's identity: refused with 42501 or without any effect.
    pub owner: &'static str,
}

const fn verb(permission: &'static str, call: &'static str, client: &'static str, owner: &'static str) -> Verb {
    Verb { permission, call, client, owner }
}

pub const VERBS: &[Verb] = &[
    verb(
        "user:create",
        "auth.create_user('new@example.org')",
        "insert into auth.users (email) values ('new@example.org')",
        "insert into auth.users (email) values ('new@example.org')",
    ),
    verb("user:list", "auth.list_users()", "", "select from auth_private.user_directory"),
    verb("user:list", "auth.list_users_page()", "", "select from auth_private.user_directory"),
    verb("user:get", "auth.get_user('{t}')", "", "select from auth.users where id = '{t}'"),
    verb("user:get", "auth.get_user_by_email('target@example.org')", "", "select from auth.users where email = 'target@example.org'"),
    verb(
        "user:update",
        "auth.update_user('{t}', '{\"name\": \"x\"}')",
        "update auth.users set name = 'x' where id = '{t}'",
        "update auth.users set name = 'x' where id = '{t}' returning 1",
    ),
    verb(
        "user:update",
        "auth.update_user_attributes('{t}', '{\"a\": 1}')",
        "update auth.users set attributes = '{}' where id = '{t}'",
        "update auth.users set attributes = '{}' where id = '{t}' returning 1",
    ),
    verb(
        "user:delete",
        "auth.delete_user('{t}')",
        "delete from auth.users where id = '{t}'",
        "select 1 where auth_private.may_erase('{t}')",
    ),
    verb(
        "user:set-role",
        "auth.set_user_roles('{t}', '{user}')",
        "insert into auth.user_roles (user_id, role) values ('{t}', 'admin')",
        "insert into auth.user_roles (user_id, role) values ('{t}', 'admin')",
    ),
    verb(
        "user:set-role",
        "auth.set_user_roles('{t}', '{user}')",
        "delete from auth.user_roles where user_id = '{t}'",
        "delete from auth.user_roles where user_id = '{t}' returning 1",
    ),
    verb(
        "user:set-password",
        "auth.set_user_password('{t}', 'another password')",
        "update auth_private.passwords set hash = '$x'",
        "update auth_private.passwords set hash = '$x' where user_id = '{t}' returning 1",
    ),
    verb(
        "user:set-password",
        "auth.set_user_password('{t}', null)",
        "delete from auth_private.passwords",
        "delete from auth_private.passwords where user_id = '{t}' returning 1",
    ),
    verb(
        "user:ban",
        "auth.ban_user('{t}')",
        "insert into auth.bans (user_id, reason) values ('{t}', 'x')",
        "insert into auth.bans (user_id, reason) values ('{t}', 'x')",
    ),
    verb(
        "user:ban",
        "auth.ban_user('{t}')",
        "update auth_private.session_epochs set epoch = 9",
        "insert into auth_private.session_epochs as e (user_id, administrative, epoch) values ('{t}', true, 1) on conflict (user_id, administrative) do update set epoch = e.epoch + 1",
    ),
    verb("user:ban", "auth.unban_user('{t}')", "delete from auth.bans", "delete from auth.bans returning 1"),
    verb("session:list", "auth.list_user_sessions('{t}')", "", "select from auth_private.live_sessions where user_id = '{t}'"),
    verb(
        "session:revoke",
        "auth.revoke_user_session('{s}')",
        "delete from auth.sessions where id = '{s}'",
        "delete from auth.sessions where id = '{s}' returning 1",
    ),
    verb(
        "session:revoke",
        "auth.revoke_user_sessions('{t}')",
        "delete from auth_private.session_keys",
        "update auth_private.session_epochs set epoch = epoch + 1 where user_id = '{t}' and administrative returning 1",
    ),
    verb(
        "user:impersonate",
        "auth.impersonate_user('{t}')",
        "insert into auth.sessions (user_id, expires_at) values ('{t}', 'infinity')",
        "insert into auth.sessions (user_id, expires_at) values ('{t}', 'infinity')",
    ),
    verb(
        "user:impersonate",
        "auth.impersonate_user('{t}')",
        "select auth_private.open_impersonation('{t}', auth.uid(), auth.session_id(), sha256('x'), 3600, null)",
        "select 1 where auth_private.open_impersonation('{t}', auth.uid(), auth.session_id(), sha256('x'), 3600, null) is not null",
    ),
    verb(
        "role:define",
        "auth.define_user_role('editor', '{}')",
        "insert into auth.roles (name) values ('boss')",
        "insert into auth.roles (name) values ('boss')",
    ),
    verb(
        "role:define",
        "auth.define_user_role('editor', '{}')",
        "insert into auth.role_permissions values ('user', 'user:ban')",
        "insert into auth.role_permissions values ('user', 'user:ban')",
    ),
    verb("role:define", "auth.drop_user_role('unused')", "delete from auth.roles", "delete from auth.roles returning 1"),
    verb("role:list", "auth.list_user_roles()", "", "select from auth.roles"),
    verb(
        "settings:update",
        "auth.rotate_signing_key()",
        "update auth_private.signing_keys set verifies_until = now()",
        "update auth_private.signing_keys set verifies_until = now() returning 1",
    ),
    verb(
        "settings:update",
        "auth.rotate_signing_key()",
        "select private_key from auth_private.signing_secrets",
        "insert into auth_private.signing_secrets select 'x', 'x'",
    ),
    verb("settings:get", "auth.check_deployment()", "", "select from auth_private.messages"),
    verb("settings:get", "auth.verify_install()", "", "select from auth_private.messages"),
    verb("settings:get", "auth.list_messages()", "", "select from auth_private.messages"),
    verb(
        "settings:update",
        "auth.retry_message(gen_random_uuid())",
        "update auth_private.messages set attempts = 0",
        "update auth_private.messages set attempts = 0 returning 1",
    ),
    verb(
        "user:get",
        "auth.get_user_by_provider_id('credential', '{t}')",
        "",
        "select from auth.accounts where provider = 'credential' and provider_user_id = '{t}'",
    ),
    verb(
        "settings:update",
        "auth.purge_expired()",
        "delete from auth_private.failed_attempts",
        "update auth_private.messages set due_at = now() returning 1",
    ),
    verb("audit:read", "auth.list_audit_log()", "", "select from auth.audit_log"),
];

/// A statement about this target.
pub fn fill(text: &str, target: &Actor) -> String {
    text.replace("{t}", &target.id.to_string()).replace("{s}", &target.session.to_string())
}

/// A database in which each verb has a target.
pub fn arranged() -> (Database, Actor) {
    let db = Database::new();
    db.dba().run("select auth.define_user_role('unused', '{}')");
    let target = db.user("Target");
    (db, target)
}

#[test]
fn holders_of_just_the_permission_may() {
    for verb in VERBS {
        let (db, target) = arranged();
        let mut holder = db.holder("holder", &[verb.permission]);
        holder.run(&format!("select * from {}", fill(verb.call, &target)));
    }
}

#[test]
fn a_trusted_database_role_may_without_a_session() {
    for verb in VERBS.iter().filter(|verb| verb.permission != "user:impersonate") {
        let (db, target) = arranged();
        db.service().run(&format!("select * from {}", fill(verb.call, &target)));
    }
    let (db, target) = arranged();
    db.service().is_refused(&format!("select auth.impersonate_user('{}')", target.id), "28000", "NOT_SIGNED_IN");
}

#[test]
fn everybody_else_is_refused_and_learns_nothing_about_the_target() {
    let (db, target) = arranged();
    let mut plain = db.user("Plain");
    // Everything but what is asked for.
    let others: Vec<&str> = VERBS.iter().map(|verb| verb.permission).collect();
    for verb in VERBS {
        let refusal = format!("PERMISSION_DENIED: {}", verb.permission);
        for target_id in [target.id, uuid::Uuid::new_v4()] {
            let call = fill(verb.call, &target).replace(&target.id.to_string(), &target_id.to_string());
            plain.is_refused(&format!("select * from {call}"), "42501", &refusal);
        }
        plain.is_refused(
            &format!("select * from {}", fill(verb.call, &target).replace(&format!("'{}'", target.id), "null")),
            "42501",
            &refusal,
        );
    }
    for verb in VERBS {
        let all_but: Vec<&str> = others.iter().copied().filter(|other| *other != verb.permission).collect();
        let name = verb.permission.replace(':', "-");
        db.dba().run(&format!("select auth.define_user_role('no-{name}', '{{{}}}')", all_but.join(",")));
        db.dba().run(&format!("select auth.set_user_roles('{}', '{{no-{name}}}')", plain.id));
        plain.is_refused(
            &format!("select * from {}", fill(verb.call, &target)),
            "42501",
            &format!("PERMISSION_DENIED: {}", verb.permission),
        );
    }
}

#[test]
fn anonymous_callers_are_refused() {
    let (db, target) = arranged();
    for verb in VERBS {
        db.app().is_refused(&format!("select * from {}", fill(verb.call, &target)), "28000", "NOT_SIGNED_IN");
    }
}

#[test]
fn no_client_writes_with_plain_sql_not_even_an_administrator() {
    let (db, target) = arranged();
    for client in &mut [db.user("Plain"), db.admin("Root"), db.service()] {
        for verb in VERBS.iter().filter(|verb| !verb.client.is_empty()) {
            assert_eq!(client.refused(&fill(verb.client, &target)).sqlstate, "42501", "{}", verb.client);
        }
        for table in ["users", "accounts", "sessions", "user_roles", "bans", "roles", "role_permissions", "audit_log"] {
            for statement in [
                format!("truncate auth.{table} cascade"),
                format!("delete from auth.{table}"),
                format!("insert into auth.{table} default values"),
            ] {
                assert_eq!(client.refused(&statement).sqlstate, "42501", "{statement}");
            }
        }
    }
}

#[test]
fn select_star_shows_own_rows_to_users_and_all_to_administrators() {
    let db = Database::new();
    let (mut ann, mut root, _) = (db.user("Ann"), db.admin("Root"), db.user("Bob"));
    for (table, own) in [
        ("users", 1),
        ("accounts", 1),
        ("sessions", 1),
        ("user_roles", 1),
        ("bans", 0),
        ("roles", 0),
        ("role_permissions", 0),
        ("audit_log", 1),
    ] {
        let mine: i64 = ann.client.query(&format!("select * from auth.{table}"), &[]).unwrap().len() as i64;
        assert_eq!(mine, own, "{table}");
    }
    assert_eq!(root.client.query("select * from auth.users", &[]).unwrap().len(), 3);
    assert!(root.client.query("select * from auth.audit_log", &[]).unwrap().len() > 3);
    assert_eq!(db.app().client.query("select * from auth.users", &[]).unwrap().len(), 0, "no identity, no rows");
    let mut anybody = db.app();
    anybody.run("set role anon");
    for table in ["users", "accounts", "sessions", "user_roles", "bans", "roles", "role_permissions", "audit_log"] {
        assert_eq!(anybody.refused(&format!("select * from auth.{table}")).sqlstate, "42501", "{table}");
    }
    for secret in ["auth_private.passwords", "auth_private.session_keys", "auth_private.session_epochs", "auth_private.failed_attempts"] {
        for client in [&mut ann, &mut root] {
            assert_eq!(client.refused(&format!("select * from {secret}")).sqlstate, "42501", "{secret}");
        }
    }
}

#[test]
fn nobody_acts_on_a_user_who_outranks_them() {
    let db = Database::new();
    let root = db.admin("Root");
    db.admin("Second");
    let mut helper = db.holder(
        "helper",
        &[
            "user:ban",
            "user:update",
            "user:delete",
            "user:set-role",
            "user:set-password",
            "user:set-email",
            "user:impersonate",
            "session:revoke",
            "role:define",
        ],
    );
    let (id, session) = (root.id, root.session);
    for call in [
        format!("auth.ban_user('{id}')"),
        format!("auth.unban_user('{id}')"),
        format!("auth.update_user('{id}', '{{\"name\": \"x\"}}')"),
        format!("auth.update_user('{id}', '{{\"email\": \"mine@example.org\"}}')"),
        format!("auth.update_user_attributes('{id}', '{{\"a\": 1}}')"),
        format!("auth.delete_user('{id}')"),
        format!("auth.set_user_roles('{id}', '{{user}}')"),
        format!("auth.set_user_password('{id}', 'taken over by me')"),
        format!("auth.revoke_user_session('{session}')"),
        format!("auth.revoke_user_sessions('{id}')"),
    ] {
        helper.is_refused(&format!("select {call}"), "42501", "TARGET_OUTRANKS_YOU");
    }
    helper.is_refused(&format!("select auth.impersonate_user('{id}')"), "42501", "YOU_CANNOT_IMPERSONATE_ADMINS");
}

#[test]
fn nobody_grants_what_they_lack() {
    let db = Database::new();
    let mut helper = db.holder("helper", &["user:set-role", "user:create", "role:define", "user:ban"]);
    let (own, ann) = (helper.id, db.user("Ann").id);
    for call in [
        format!("auth.set_user_roles('{own}', '{{admin}}')"),
        format!("auth.set_user_roles('{ann}', '{{user,admin}}')"),
        "auth.create_user('puppet@example.org', roles => '{admin}')".to_owned(),
        "auth.define_user_role('helper2', '{user:delete}')".to_owned(),
        "auth.define_user_role('helper', '{user:set-role,user:delete}')".to_owned(),
        "auth.define_user_role('helper3', '{post:edit}')".to_owned(),
    ] {
        helper.is_refused(&format!("select {call}"), "42501", "TARGET_OUTRANKS_YOU");
    }
    helper.run(&format!("select auth.set_user_roles('{ann}', '{{helper}}')"));
    db.admin("Root").is_refused("select auth.define_user_role('root', '{user:impersonate-admins}')", "42501", "TARGET_OUTRANKS_YOU");
    db.dba().run("select auth.define_user_role('root', '{user:impersonate-admins}')");
}

#[test]
fn a_misspelt_permission_is_an_error_and_never_null() {
    let db = Database::new();
    let mut ann = db.user("Ann");
    for mut caller in [db.app(), db.user("Bob"), db.service()] {
        caller.is_refused("select auth.has_permission('user:bann')", "22023", "INVALID_ARGUMENT: permission");
        caller.is_refused("select auth.has_permission(null)", "22004", "MISSING_ARGUMENT: permission");
    }
    assert!(!ann.one::<bool>("select auth.has_permission('user:ban')"));
    assert!(!db.app().one::<bool>("select auth.has_permission('user:ban')"));
    assert!(db.service().one::<bool>("select auth.has_permission('user:impersonate-admins')"));
}

#[test]
fn has_permissions_unites_over_roles() {
    let db = Database::new();
    db.dba().run("select auth.define_user_role('reader', '{order:read}'); select auth.define_user_role('writer', '{order:write}')");
    let (mut ann, mut root) = (db.user("Ann"), db.admin("Root"));
    db.dba().run(&format!("select auth.set_user_roles('{}', '{{reader,writer}}')", ann.id));
    let both = "'{\"order\": [\"read\", \"write\"]}'";
    assert!(ann.one::<bool>(&format!("select auth.has_permissions({both})")));
    assert!(!ann.one::<bool>(&format!("select auth.has_permissions({both}, roles => '{{reader}}')")));
    assert!(ann.one::<bool>(&format!("select auth.has_permissions({both}, roles => '{{reader,writer}}', user_id => '{}')", root.id)));
    assert!(root.one::<bool>(&format!("select auth.has_permissions({both}, '{}')", ann.id)), "about another user");
    for empty in ["'{}'", "'{\"order\": []}'", "'{\"order\": [], \"user\": [\"ban\"]}'"] {
        assert!(!root.one::<bool>(&format!("select auth.has_permissions({empty})")), "{empty}");
    }
    ann.is_refused(&format!("select auth.has_permissions({both}, '{}')", root.id), "42501", "PERMISSION_DENIED: user:get");
    ann.is_refused("select auth.has_permissions('{\"order\": [\"burn\"]}')", "22023", "INVALID_ARGUMENT: permissions");
    ann.is_refused("select auth.has_permissions('[]')", "22023", "INVALID_ARGUMENT: permissions");
    ann.is_refused("select auth.has_permissions(null)", "22004", "MISSING_ARGUMENT: permissions");
    ann.is_refused(&format!("select auth.has_permissions({both}, roles => '{{nobody}}')"), "22023", "INVALID_ROLE: roles");
    root.is_refused(&format!("select auth.has_permissions({both}, '{}')", uuid::Uuid::new_v4()), "42704", "USER_NOT_FOUND");
}

#[test]
fn an_applications_policies_stand_on_ours() {
    let db = Database::new();
    db.dba().run(
        "create table public.notes (owner uuid not null default auth.uid() references auth.users, text text);
         alter table public.notes enable row level security;
         create policy own on public.notes to authenticated using (owner = (select auth.uid()) or (select auth.has_permission('user:list')));
         grant select, insert on public.notes to authenticated",
    );
    let (mut ann, mut bob, mut root) = (db.user("Ann"), db.user("Bob"), db.admin("Root"));
    ann.run("insert into public.notes (text) values ('mine')");
    bob.run("insert into public.notes (text) values ('his')");
    assert_eq!(ann.column::<String>("select text from public.notes"), ["mine"]);
    assert_eq!(root.one::<i64>("select count(*) from public.notes"), 2);
    db.dba().run(&format!("select auth.ban_user('{}')", ann.id));
    assert_eq!(ann.one::<i64>("select count(*) from public.notes"), 0);
}
