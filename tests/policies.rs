//! What remains of a verb when its check is gone: its statement, run by the owner of the tables under the caller's identity.
//! The policies refuse it; and each of them, loosened, is missed.

use crate::authority::{VERBS, fill};
use pgrx_tests::{Actor, Database};

/// Nobody's statements: no verb runs them, and the policies refuse them all the same.
const ALSO: &[&str] = &[
    "select 1 from auth.accounts where user_id = '{t}'",
    "select 1 from auth.bans where user_id <> auth.uid()",
    "select 1 from auth.user_roles where user_id = '{t}'",
    "select 1 from auth.sessions where user_id = '{t}'",
    "select 1 from auth_private.passwords where user_id = '{t}'",
    "select 1 from auth_private.session_epochs where user_id = '{t}'",
    "select 1 from auth.role_permissions",
    "update auth.bans set reason = 'x' returning 1",
    "update auth.roles set description = 'x' returning 1",
    "delete from auth.role_permissions returning 1",
    "delete from auth.users returning 1",
    "insert into auth_private.passwords (user_id, hash) values ('{n}', '$x')",
    "insert into auth.accounts (user_id, provider, provider_user_id) values ('{t}', 'x', 'x')",
    "update auth.accounts set provider_user_id = 'x' where user_id = '{t}' and provider <> 'credential' returning 1",
    "delete from auth.accounts where user_id = '{t}' returning 1",
    "insert into auth_private.session_epochs values ('{n}', true)",
    "delete from auth_private.session_epochs returning 1",
    "select 1 from auth_private.signing_keys",
    "select 1 from auth_private.directory_counts",
    "select 1 from auth_private.directory_facets",
    "insert into auth_private.directory_counts (facet, change) values ('users', 1)",
    "select 1 from auth_private.signing_secrets",
    "insert into auth_private.signing_keys (kid, public_key) values ('x', sha256('x'))",
    "delete from auth_private.signing_keys returning 1",
    "update auth.audit_log set action = 'x' returning 1",
    "select 1 from auth_private.one_time_tokens",
    "delete from auth_private.one_time_tokens returning 1",
    "insert into auth_private.one_time_tokens select '{n}', 'reset-password', sha256('x'), 'x', 0, now(), 'infinity'",
    "insert into auth_private.messages (kind, subject) values ('reset-password', 'x')",
    "delete from auth_private.messages returning 1",
    "insert into auth_private.rival_sign_ups (user_id) values ('{t}')",
    "select 1 from auth_private.rival_sign_ups",
    "insert into auth.accounts (user_id, provider, provider_user_id) select auth.uid(), 'x', 'x'",
];

/// Everything that one user may do to another, against somebody of higher rank.
const AGAINST_RANK: &[&str] = &[
    "update auth.users set name = 'x' where id = '{t}' returning 1",
    "select 1 where auth_private.may_erase('{t}')",
    "insert into auth.user_roles (user_id, role) values ('{t}', 'user')",
    "insert into auth.user_roles (user_id, role) select auth.uid(), 'admin'",
    "delete from auth.user_roles where user_id = '{t}' returning 1",
    "insert into auth_private.passwords (user_id, hash) values ('{n}', '$x')",
    "update auth_private.passwords set hash = '$x' where user_id = '{t}' returning 1",
    "delete from auth_private.passwords where user_id = '{t}' returning 1",
    "insert into auth.accounts (user_id, provider, provider_user_id) values ('{t}', 'x', 'x')",
    "insert into auth.accounts (user_id, provider, provider_user_id) values ('{n}', 'credential', '{n}')",
    "update auth.accounts set provider_user_id = 'x' where user_id = '{t}' and provider <> 'credential' returning 1",
    "update auth.accounts set updated_at = now() where user_id = '{t}' and provider = 'credential' returning 1",
    "delete from auth.accounts where user_id = '{t}' returning 1",
    "insert into auth.bans (user_id, reason) values ('{t}', 'x')",
    "update auth.bans set reason = 'x' where user_id = '{n}' returning 1",
    "delete from auth.bans where user_id = '{n}' returning 1",
    "insert into auth_private.session_epochs values ('{n}', true)",
    "update auth_private.session_epochs set epoch = 9 where user_id = '{t}' returning 1",
    "delete from auth.sessions where id = '{s}' returning 1",
    "select 1 where auth_private.open_impersonation('{t}', auth.uid(), auth.session_id(), sha256('x'), 3600, null) is not null",
    "insert into auth.role_permissions values ('helper', 'user:list')",
    "update auth.roles set description = 'x' where name = 'strong' returning 1",
    "delete from auth.roles where name = 'strong' returning 1",
    "delete from auth.role_permissions where role = 'strong' returning 1",
];

struct Arrangement {
    db: Database,
    /// An administrator, with everything that can be had.
    target: Actor,
    /// The id of an administrator without a password.
    bare: String,
}

fn arranged() -> Arrangement {
    let db = Database::new();
    let target = db.admin("Target");
    let mut dba = db.dba();
    let bare: String = dba.one("select auth.create_user('bare@example.org', roles => '{admin}') ->> 'id'");
    dba.run(&format!(
        "insert into auth_private.session_epochs values ('{t}', true), ('{t}', false);
         insert into auth.accounts (user_id, provider, provider_user_id) values ('{t}', 'github', '1');
         select auth.define_user_role('strong', '{{user:impersonate-admins}}');
         select auth.define_user_role('editor', '{{post:edit}}');
         select auth.ban_user((auth.create_user('banned@example.org') ->> 'id')::uuid);
         insert into auth.bans (user_id, reason) values ('{bare}', 'x');
         select auth.request_password_reset('target@example.org')",
        t = target.id
    ));
    Arrangement { db, target, bare }
}

impl Arrangement {
    /// A superuser's connection with the identity of this user.
    fn as_user(&self, token: &str) -> Actor {
        let mut owner = self.db.dba();
        owner.run(&format!("select auth.use_session('{token}', false)"));
        owner
    }

    /// Which statements are not refused, as the owner of the tables. Nothing of it stays.
    fn breaches(&self, owner: &mut Actor, loosened: &str, statements: &[&str]) -> Vec<String> {
        owner.run(&format!("begin; {loosened}; set local role auth_owner"));
        let mut breaches = Vec::new();
        for statement in statements {
            let statement = fill(statement, &self.target).replace("{n}", &self.bare);
            owner.run("savepoint s");
            match owner.client.query(&statement, &[]) {
                Ok(rows) if rows.is_empty() && (statement.starts_with("select") || statement.contains("returning")) => {}
                Err(error) if error.code().is_some_and(|code| code.code() == "42501") => {}
                // A constraint that stops it has let it past the policy.
                Ok(_) | Err(_) => breaches.push(statement),
            }
            owner.run("rollback to s");
        }
        owner.run("rollback");
        breaches
    }
}

fn of_plain_users() -> Vec<&'static str> {
    VERBS.iter().map(|verb| verb.owner).chain(ALSO.iter().copied()).collect()
}

fn helper(db: &Database) -> Actor {
    let held: Vec<&str> =
        VERBS.iter().map(|verb| verb.permission).filter(|permission| *permission != "user:list" && *permission != "user:create").collect();
    db.holder("helper", &held)
}

#[test]
fn without_the_check_the_policies_refuse_whoever_lacks_the_permission() {
    let arranged = arranged();
    let plain = arranged.db.user("Plain");
    let mut owner = arranged.as_user(&plain.token);
    assert_eq!(arranged.breaches(&mut owner, "select", &of_plain_users()), Vec::<String>::new());
}

#[test]
fn without_the_check_the_policies_refuse_whoever_is_outranked() {
    let arranged = arranged();
    let helper = helper(&arranged.db);
    let mut owner = arranged.as_user(&helper.token);
    assert_eq!(arranged.breaches(&mut owner, "select", AGAINST_RANK), Vec::<String>::new());
}

#[test]
fn it_is_the_policies_that_refuse() {
    let arranged = arranged();
    let target = arranged.db.user("Somebody");
    let root = arranged.db.admin("Root");
    arranged.db.dba().run(&format!("insert into auth_private.session_epochs values ('{}', true)", target.id));
    let arranged = Arrangement { target, ..arranged };
    let mut owner = arranged.as_user(&root.token);
    for verb in VERBS.iter().filter(|verb| !verb.owner.contains("infinity") && !verb.owner.contains("'user', 'user:ban'")) {
        assert_eq!(arranged.breaches(&mut owner, "select", &[verb.owner]).len(), 1, "{}", verb.owner);
    }
}

/// Statements that change the policies of auth_owner to a condition made of their own.
fn alterations(db: &Database, commands: &str, condition: &str) -> Vec<String> {
    db.dba().column(&format!(
        "select format('alter policy %I on %s %s (%s)', polname, polrelid::regclass, case polcmd when 'a' then 'with check' else 'using' end, {condition})
           from pg_policy, coalesce(pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)) as condition
          where polroles = array['auth_owner'::regrole::oid] and polcmd in ({commands}) and {condition} <> condition"
    ))
}

/// Loosens one policy after the other and sees it missed.
#[test]
fn every_policy_of_the_owner_is_missed_when_it_is_loosened() {
    let arranged = arranged();
    let (plain, helper) = (arranged.db.user("Plain"), helper(&arranged.db));
    let (mut plain, mut helper) = (arranged.as_user(&plain.token), arranged.as_user(&helper.token));
    let reads = alterations(&arranged.db, "'r'", "'true'");
    for policy in &reads {
        assert!(!arranged.breaches(&mut plain, policy, &of_plain_users()).is_empty(), "{policy}: nobody would notice");
    }
    // A row that cannot be seen cannot be written either. So that each policy stands for itself, everything is seen.
    let seen = reads.join("; ");
    let writes: Vec<&str> = of_plain_users().into_iter().filter(|statement| !statement.starts_with("select")).collect();
    assert_eq!(arranged.breaches(&mut plain, &seen, &writes), Vec::<String>::new());
    let all = alterations(&arranged.db, "'a', 'w', 'd'", "'true'");
    assert!(all.len() > 15, "{all:?}");
    for policy in &all {
        assert!(!arranged.breaches(&mut plain, &format!("{seen}; {policy}"), &writes).is_empty(), "{policy}: nobody would notice");
    }
    let against_rank: Vec<&str> = AGAINST_RANK.iter().copied().filter(|statement| !statement.starts_with("select")).collect();
    assert_eq!(arranged.breaches(&mut helper, &seen, &against_rank), Vec::<String>::new());
    let rank = r"regexp_replace(regexp_replace(condition, 'auth_private\.holds_over\((''[^'']+'')::text, [a-z_]+\)', 'auth.has_permission(\1)', 'g'),
                                'auth_private\.(dominates_roles|holds)\((ARRAY\[)?[a-z_]+\]?\)', 'true', 'g')";
    let ranked = alterations(&arranged.db, "'a', 'w', 'd'", rank);
    assert!(ranked.len() > 10, "{ranked:?}");
    for policy in &ranked {
        assert!(!arranged.breaches(&mut helper, &format!("{seen}; {policy}"), &against_rank).is_empty(), "{policy}: nobody would notice");
    }
}

/// Of a small table every row is read, and a policy that is asked of each of them makes a ban take longer the more are banned.
#[test]
fn a_policy_is_asked_of_the_row_in_question_alone() {
    let db = Database::new();
    let root = db.admin("Root");
    let mut owner = db.dba();
    owner.run("insert into auth.bans (user_id, reason) select gen_random_uuid(), 'spam' from generate_series(1, 200); analyze auth.bans");
    owner.run(&format!("select auth.use_session('{}', false); set role auth_owner", root.token));
    let plan = owner.column::<String>(&format!("explain delete from auth.bans where user_id = '{}'", root.id)).join("\n");
    let (row, policy) = (plan.find("user_id = '").expect("the row"), plan.find("holds_over").expect("the policy"));
    assert!(row < policy, "{plan}");
}
