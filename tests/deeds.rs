//! What changes something, each with what must be seen of it afterwards: all of it or nothing. For the tests of faults.

use pgrx_tests::{Actor, Cluster, PASSWORD};
use std::thread;
use std::time::Duration;

/// As whom.
#[derive(Clone, Copy, PartialEq)]
pub enum By {
    /// A member of auth_admin.
    Service,
    /// The user, on the connection that holds the user's session.
    User,
    /// An application's connection, nobody signed in.
    App,
}

/// One of them. In the texts `{id}`, `{email}`, `{name}`, `{mailed}` and `{password}` stand for the user's.
pub struct Deed {
    /// The function, which is the action in the audit log.
    pub action: &'static str,
    pub by: By,
    /// What must have been done before.
    before: &'static str,
    pub call: &'static str,
    /// Conditions, of which all hold afterwards and none before.
    pub traces: &'static str,
    /// Whether the user's session ends with it.
    pub ends_session: bool,
}

const fn deed(action: &'static str, by: By, call: &'static str, traces: &'static str) -> Deed {
    Deed { action, by, before: "", call, traces, ends_session: false }
}

const fn after(before: &'static str, deed: Deed) -> Deed {
    Deed { before, ..deed }
}

const fn ending(deed: Deed) -> Deed {
    Deed { ends_session: true, ..deed }
}

const NEW_PASSWORD: &str = "exists (select from auth_private.passwords p join auth.audit_log l on l.user_id = p.user_id and l.action = 'sign_up' where p.user_id = '{id}' and p.updated_at > l.occurred_at)";
const EPOCH: &str = "exists (select from auth_private.session_epochs where user_id = '{id}' and epoch > 0)";
const GONE: &str = "not exists (select from auth.users where id = '{id}'), not exists (select from auth.sessions where user_id = '{id}'),
     not exists (select from auth_private.passwords where user_id = '{id}'), not exists (select from auth.accounts where user_id = '{id}')";
const BAN_AND_EPOCH: &str = "exists (select from auth.bans where user_id = '{id}'),
     exists (select from auth_private.session_epochs where user_id = '{id}' and epoch > 0)";

/// Of every kind that there is.
pub const DEEDS: &[Deed] = &[
    ending(deed("change_password", By::User, "auth.change_password('{password}', 'another password', true)", NEW_PASSWORD)),
    ending(deed("set_user_password", By::Service, "auth.set_user_password('{id}', 'another password')", NEW_PASSWORD)),
    ending(deed("ban_user", By::Service, "auth.ban_user('{id}')", BAN_AND_EPOCH)),
    ending(after(
        "select auth.ban_user('{id}')",
        deed("unban_user", By::Service, "auth.unban_user('{id}')", "not exists (select from auth.bans where user_id = '{id}')"),
    )),
    deed(
        "update_user",
        By::User,
        "auth.update_user('{id}', '{\"name\": \"changed\"}')",
        "exists (select from auth.users where id = '{id}' and name = 'changed')",
    ),
    ending(deed(
        "update_user",
        By::Service,
        "auth.update_user('{id}', '{\"email\": \"new-{email}\", \"roles\": [\"admin\"], \"banned\": true}')",
        "exists (select from auth.users where id = '{id}' and email = 'new-{email}'), exists (select from auth.bans where user_id = '{id}'),
         exists (select from auth.user_roles where user_id = '{id}' and role = 'admin'), exists (select from auth_private.session_epochs where user_id = '{id}' and epoch > 0)",
    )),
    deed(
        "update_user_attributes",
        By::User,
        "auth.update_user_attributes('{id}', '{\"colour\": 1}')",
        "exists (select from auth.users where id = '{id}' and attributes = '{\"colour\": 1}')",
    ),
    deed(
        "set_user_roles",
        By::Service,
        "auth.set_user_roles('{id}', '{admin,{name}}')",
        "exists (select from auth.user_roles where user_id = '{id}' and role = 'admin'), exists (select from auth.user_roles where user_id = '{id}' and role = '{name}'),
         not exists (select from auth.user_roles where user_id = '{id}' and role = 'user')",
    ),
    ending(deed("delete_user", By::User, "auth.delete_user('{id}')", GONE)),
    ending(deed("delete_user", By::Service, "auth.delete_user('{id}')", GONE)),
    deed(
        "link_account",
        By::Service,
        "auth.link_account('{id}', 'github', '{name}')",
        "exists (select from auth.accounts where user_id = '{id}' and provider = 'github')",
    ),
    ending(deed("sign_out", By::User, "auth.sign_out()", "not exists (select from auth.sessions where user_id = '{id}')")),
    ending(deed("revoke_sessions", By::User, "auth.revoke_sessions()", EPOCH)),
    ending(deed("revoke_user_sessions", By::Service, "auth.revoke_user_sessions('{id}')", EPOCH)),
    deed(
        "change_email",
        By::User,
        "auth.change_email('new-{email}')",
        "exists (select from auth_private.messages where user_id = '{id}' and kind = 'change-email'),
         exists (select from auth_private.messages where user_id = '{id}' and kind = 'email-changed')",
    ),
    ending(after(
        "select auth.request_password_reset('{email}')",
        deed(
            "reset_password",
            By::App,
            "auth.reset_password('{mailed}', 'another password')",
            "exists (select from auth_private.passwords p join auth.audit_log l on l.user_id = p.user_id and l.action = 'sign_up' where p.user_id = '{id}' and p.updated_at > l.occurred_at),
             exists (select from auth_private.session_epochs where user_id = '{id}' and epoch > 0),
             not exists (select from auth_private.one_time_tokens where user_id = '{id}')",
        ),
    )),
    deed(
        "define_user_role",
        By::Service,
        "auth.define_user_role('more-{name}', '{a:b,c:d}')",
        "exists (select from auth.roles where name = 'more-{name}'), (select count(*) = 2 from auth.role_permissions where role = 'more-{name}')",
    ),
    deed("drop_user_role", By::Service, "auth.drop_user_role('{name}')", "not exists (select from auth.roles where name = '{name}')"),
    deed(
        "create_role",
        By::Service,
        "auth.create_role('db_{name}')",
        "exists (select from pg_roles where rolname = 'db_{name}'),
         exists (select from pg_roles r join auth_private.managed_roles m on m.role_oid = r.oid where r.rolname = 'db_{name}')",
    ),
    after(
        "select auth.create_role('db_{name}')",
        deed("delete_role", By::Service, "auth.delete_role('db_{name}')", "not exists (select from pg_roles where rolname = 'db_{name}')"),
    ),
    after(
        "select auth.create_role('db_{name}')",
        deed(
            "protect_role",
            By::Service,
            "auth.protect_role('db_{name}')",
            "exists (select from pg_roles r join auth_private.managed_roles m on m.role_oid = r.oid where r.rolname = 'db_{name}' and m.protected)",
        ),
    ),
    deed(
        "import_users",
        By::Service,
        "auth.import_users('[{\"email\": \"one-{email}\"}, {\"email\": \"two-{email}\"}]')",
        "exists (select from auth.users where email = 'one-{email}'), exists (select from auth.users where email = 'two-{email}')",
    ),
    deed(
        "sign_in_with_provider",
        By::Service,
        "auth.sign_in_with_provider('github', '{name}', 'provider-{email}', true)",
        "exists (select from auth.users where email = 'provider-{email}'),
         exists (select from auth.accounts where provider = 'github' and provider_user_id = '{name}'),
         exists (select from auth.sessions s join auth.users u on u.id = s.user_id join auth_private.session_keys k on k.session_id = s.id where u.email = 'provider-{email}')",
    ),
    deed(
        "sign_in",
        By::App,
        "auth.sign_in('{email}', '{password}')",
        "(select count(*) = 2 from auth.sessions where user_id = '{id}'),
         (select count(*) = 2 from auth_private.session_keys k join auth.sessions s on s.id = k.session_id where s.user_id = '{id}')",
    ),
];

/// On whom it is tried.
#[derive(Clone)]
pub struct Subject {
    pub name: String,
    pub email: String,
    pub id: String,
    pub token: String,
    mailed: String,
}

/// Who does it: an application's connection and a back end's.
pub struct Crew {
    pub app: Actor,
    pub service: Actor,
    pub mailer: Actor,
}

impl Crew {
    pub fn of(connect: impl Fn(&str) -> Option<Actor>) -> Option<Self> {
        Some(Crew { app: connect("app")?, service: connect("service")?, mailer: connect("mailer")? })
    }

    /// Signs somebody up, who has a role's name free; none when the connection breaks off.
    pub fn sign_up(&mut self, name: &str) -> Option<Subject> {
        let email = format!("{name}@example.org");
        self.service.client.batch_execute(&format!("select auth.define_user_role('{name}', '{{post:edit}}')")).ok()?;
        let row = self
            .app
            .client
            .query_one(&format!("select r ->> 'token', r #>> '{{user,id}}' from auth.sign_up('{email}', '{PASSWORD}') r"), &[])
            .ok()?;
        let (token, id) = (row.get(0), row.get(1));
        Some(Subject { name: name.to_owned(), email, id, token, mailed: String::new() })
    }

    /// Does what must come before the deed.
    pub fn prepare(&mut self, deed: &Deed, subject: &mut Subject) -> Option<()> {
        if !deed.before.is_empty() {
            self.service.client.batch_execute(&subject.fill(deed.before)).ok()?;
        }
        if deed.action == "reset_password" {
            let claimed = format!("select max(token) filter (where recipient = '{}') from auth.claim_messages(1000)", subject.email);
            let token: Option<String> = self.mailer.client.query_one(&claimed, &[]).ok()?.get(0);
            subject.mailed = token?;
        }
        if deed.by == By::User {
            self.app.client.batch_execute(&format!("select auth.use_session('{}', false)", subject.token)).ok()?;
        }
        Some(())
    }

    /// Does it; what the server answered is none when the connection broke off.
    pub fn carry_out(&mut self, deed: &Deed, subject: &Subject) -> Result<(), postgres::Error> {
        let actor = if deed.by == By::Service { &mut self.service } else { &mut self.app };
        let outcome = actor.client.batch_execute(&format!("select {}", subject.fill(deed.call)));
        let _ = self.app.client.batch_execute("select auth.reset_session()");
        outcome
    }
}

impl Subject {
    fn fill(&self, text: &str) -> String {
        [
            ("{id}", &self.id),
            ("{email}", &self.email),
            ("{name}", &self.name),
            ("{mailed}", &self.mailed),
            ("{password}", &PASSWORD.to_owned()),
        ]
        .into_iter()
        .fold(text.to_owned(), |text, (mark, value)| text.replace(mark, value))
    }

    /// What is seen of a deed, the line in the audit log included. Some is not enough: that is a panic.
    pub fn is_done(&self, dba: &mut Actor, deed: &Deed) -> bool {
        let about = match deed.action {
            // Its line names nobody; see the sums in faults.rs.
            "import_users" => "exists (select from auth.users where email = 'one-{email}')".to_owned(),
            // There is one from before, about the role's other name.
            "define_user_role" => line(deed, "details::text like '%more-{name}%'"),
            "sign_in_with_provider" => line(deed, "user_id = (select id from auth.users where email = 'provider-{email}')"),
            _ => line(deed, "(user_id = '{id}' or details::text like '%{name}%')"),
        };
        let seen: Vec<bool> = dba.one(&self.fill(&format!("select array[{about}, {}]", deed.traces)));
        assert!(seen.iter().all(|one| *one == seen[0]), "{} of {} is half done: {seen:?}", deed.action, self.name);
        seen[0]
    }
}

fn line(deed: &Deed, about: &str) -> String {
    format!("exists (select from auth.audit_log where action = '{}' and details ->> 'outcome' = 'ok' and {about})", deed.action)
}

/// A cluster with the library preloaded, and the roles that a crew connects as.
pub fn cluster(name: &str, more: &[(&str, &str)]) -> Cluster {
    let settings = [
        ("fsync", "off"),
        ("shared_preload_libraries", "'pg_auth'"),
        ("auth.argon2_memory", "'8MB'"),
        ("auth.argon2_iterations", "1"),
        ("auth.message_interval", "0"),
    ];
    let cluster = Cluster::start(name, &[&settings, more].concat());
    cluster.connect("postgres", "postgres").run(
        "create role app login; create role service login; create role mailer login; create extension pg_auth cascade;
         grant anon, authenticated to app; grant auth_admin to service; grant auth_mailer to mailer",
    );
    cluster
}

/// Waits for a condition.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..3_000 {
        if condition() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("it does not come: {what}");
}
