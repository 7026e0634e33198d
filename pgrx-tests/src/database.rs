//! A database for one test, cloned from a template with the extension in it.

use crate::actor::{Actor, connect};
use crate::cluster::Cluster;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use uuid::Uuid;

static CLUSTER: OnceLock<Cluster> = OnceLock::new();
static NUMBER: AtomicU32 = AtomicU32::new(0);

const TEMPLATE: &str = "with_pg_auth";

/// The password of every user of a test.
pub const PASSWORD: &str = "a password for tests";

/// A database of its own. It is dropped with the test.
pub struct Database {
    /// Its name.
    pub name: String,
    cluster: &'static Cluster,
}

/// A mail in the queue.
#[derive(Debug)]
pub struct Mail {
    /// Its id.
    pub id: Uuid,
    /// What it is about.
    pub kind: String,
    /// To whom.
    pub recipient: String,
    /// Empty where there is none.
    pub token: String,
    /// What else it needs.
    pub payload: serde_json::Value,
}

extern "C" fn stop_at_exit() {
    if let Some(cluster) = CLUSTER.get() {
        cluster.control("stop");
    }
}

/// Checking a hash as cheaply as the settings allow: few tests are about its cost.
const SETTINGS: &[(&str, &str)] = &[
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
    ("max_connections", "200"),
    ("listen_addresses", "'127.0.0.1'"),
    ("auth.argon2_memory", "'8MB'"),
    ("auth.argon2_iterations", "1"),
];

impl Database {
    /// The cluster that all tests of this process share.
    pub fn cluster() -> &'static Cluster {
        CLUSTER.get_or_init(|| {
            let cluster = Cluster::start("tests", SETTINGS);
            // SAFETY: the handler takes nothing and stops the server.
            unsafe { libc::atexit(stop_at_exit) };
            let mut dba = connect(&cluster, "postgres", "postgres");
            // "app" is an application's login role; "service" a trusted back end.
            for statement in [&format!("create database {TEMPLATE}"), "create role app login", "create role service login", "create role mailer login", "create role authenticator login noinherit"] {
                dba.batch_execute(statement).expect("the template");
            }
            let mut template = connect(&cluster, "postgres", TEMPLATE);
            template
                .batch_execute("create extension pg_auth cascade; grant anon, authenticated to app; grant auth_admin to service; grant auth_mailer to mailer; grant anon, authenticated to authenticator")
                .expect("CREATE EXTENSION");
            cluster
        })
    }

    /// A clone of the template.
    pub fn new() -> Self {
        Self::from_template(TEMPLATE)
    }

    /// A database without the extension.
    pub fn empty() -> Self {
        Self::from_template("template0")
    }

    /// A copy of this database. Nobody may be connected to it.
    pub fn copy(&self) -> Self {
        Self::from_template(&self.name)
    }

    fn from_template(template: &str) -> Self {
        let cluster = Self::cluster();
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        connect(cluster, "postgres", "postgres").batch_execute(&format!("create database {name} template {template}")).expect("a database");
        Database { name, cluster }
    }

    /// A login role, with no identity yet.
    pub fn connect(&self, role: &str) -> Actor {
        Actor::anonymous(connect(self.cluster, role, &self.name))
    }

    /// The superuser.
    pub fn dba(&self) -> Actor {
        self.connect("postgres")
    }

    /// An application's login role, with no identity yet.
    pub fn app(&self) -> Actor {
        self.connect("app")
    }

    /// A trusted back end: a member of auth_admin.
    pub fn service(&self) -> Actor {
        self.connect("service")
    }

    /// Comes back when a statement that mentions this waits for somebody's lock.
    pub fn until_it_waits(&self, mentioned: &str) {
        self.until_so_many_wait(1, mentioned);
    }

    /// The same of several at once; half a minute at most.
    pub fn until_so_many_wait(&self, statements: i64, mentioned: &str) {
        let waiting = format!(
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%{mentioned}%' and datname = current_database()"
        );
        let (mut dba, began) = (self.dba(), std::time::Instant::now());
        while dba.one::<i64>(&waiting) < statements {
            assert!(began.elapsed().as_secs() < 30, "not {statements} wait: {mentioned}");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// The process that delivers mail.
    pub fn mailer(&self) -> Actor {
        self.connect("mailer")
    }

    /// Takes all the mail that is due out of the queue, as the mailer does, and calls it sent.
    pub fn mail(&self) -> Vec<Mail> {
        let mut mailer = self.mailer();
        let rows = mailer.client.query("select id, kind, recipient, token, payload from auth.claim_messages(1000)", &[]).expect("mail");
        let mail = rows.iter().map(|row| Mail {
            id: row.get(0),
            kind: row.get(1),
            recipient: row.get(2),
            token: row.get::<_, Option<String>>(3).unwrap_or_default(),
            payload: row.get(4),
        });
        let mail: Vec<Mail> = mail.collect();
        for message in &mail {
            assert!(mailer.one::<bool>(&format!("select auth.complete_message('{}')", message.id)));
        }
        mail
    }

    /// The token in the one mail that is due.
    pub fn mailed_token(&self, kind: &str, recipient: &str) -> String {
        let mut tokens = self.mail().into_iter().filter(|mail| mail.kind == kind && mail.recipient == recipient).map(|mail| mail.token);
        let token = tokens.next().unwrap_or_else(|| panic!("no mail {kind} to {recipient}"));
        assert!(tokens.next().is_none() && token.starts_with("ot_"), "one mail {kind} to {recipient}, with a token");
        token
    }

    /// Whether a role can log in over TCP with this password.
    pub fn logs_in(&self, role: &str, password: &str) -> bool {
        let mut config = postgres::Config::new();
        config.host("127.0.0.1").port(self.cluster.port).user(role).password(password).dbname(&self.name);
        match config.connect(postgres::NoTls) {
            Ok(client) => {
                drop(client);
                // Gone is who the server no longer knows.
                let mut dba = self.dba();
                while dba.one::<i64>(&format!("select count(*) from pg_stat_activity where usename = $role${role}$role$")) > 0 {}
                true
            }
            Err(error) => {
                let code = error.code().map(|code| code.code().to_owned());
                assert!(code.is_some_and(|code| code.starts_with("28")), "{role}: {error:?}");
                false
            }
        }
    }

    /// A user who has signed up, on a connection of their own that holds their session.
    pub fn user(&self, name: &str) -> Actor {
        let mut anybody = self.app();
        let email = address(name);
        let result = anybody.json(&format!("select auth.sign_up('{email}', '{PASSWORD}', name => '{name}')"));
        anybody.adopt(&email, &result)
    }

    /// A user with the role "admin".
    pub fn admin(&self, name: &str) -> Actor {
        self.made(name, "admin")
    }

    /// A user with a role of their own that holds just these permissions.
    pub fn holder(&self, name: &str, permissions: &[&str]) -> Actor {
        self.dba().run(&format!("select auth.define_user_role('{name}', '{{{}}}')", permissions.join(",")));
        self.made(name, name)
    }

    fn made(&self, name: &str, role: &str) -> Actor {
        self.dba().run(&format!("select auth.create_user('{}', '{PASSWORD}', '{name}', '{{{role}}}')", address(name)));
        self.signed_in(name)
    }

    /// A user who exists, signed in once more.
    pub fn signed_in(&self, name: &str) -> Actor {
        let mut anybody = self.app();
        let result = anybody.json(&format!("select auth.sign_in('{}', '{PASSWORD}')", address(name)));
        anybody.adopt(&address(name), &result)
    }

    /// A gateway's login role, with nothing noted about a request yet.
    pub fn gateway(&self) -> Actor {
        crate::allow_gateway(&mut self.dba().client);
        self.connect("authenticator")
    }

    /// PostgREST in front of this database; of its settings these are other than README's.
    pub fn postgrest(&self, settings: &[(&str, &str)]) -> crate::PostgRest {
        crate::allow_gateway(&mut self.dba().client);
        crate::PostgRest::start(self.cluster, &self.name, settings)
    }

    /// A pooler in front of this database, with these settings besides.
    pub fn pooler(&self, settings: &[(&str, &str)]) -> crate::Pooler {
        crate::Pooler::start(self.cluster, &self.name, settings)
    }

    /// Many users without passwords; their ids.
    pub fn many_users(&self, count: u32) -> Vec<Uuid> {
        let created = format!(
            "select (auth.create_user('user' || n || '@many.example', name => 'User ' || n) ->> 'id')::uuid from generate_series(1, {count}) n"
        );
        self.dba().column(&created)
    }
}

impl Default for Database {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Ok(mut dba) = crate::actor::try_connect(self.cluster, "postgres", "postgres") {
            let _ = dba.batch_execute(&format!("drop database if exists {} with (force)", self.name));
        }
    }
}

/// The address of a user of a test.
pub fn address(name: &str) -> String {
    format!("{}@example.org", name.to_lowercase())
}
