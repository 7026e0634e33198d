//! Every function, called by chance: by everybody, with arguments that nobody expects and with such as reach deep. No crash, no error
//! that is not in the catalogue, no secret in one, and no right that was not there before. In a cluster of its own.

use crate::calls::{Signature, signatures};
use crate::fuzz_texts::{PASSWORD, SECRET};
use crate::fuzz_values::{Chance, Real, value};
use crate::fuzz_verdict::judged;
use pgrx_tests::{Actor, Cluster, figure, rounds};
use std::collections::{BTreeMap, BTreeSet};

/// Somebody who calls.
struct Caller {
    actor: Actor,
    /// Before each call, in its transaction.
    kind: Kind,
    /// The application role that a user must hold.
    role: &'static str,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Nobody,
    User,
    BackEnd,
    Gateway,
}

struct Fuzz {
    cluster: Cluster,
    dba: Actor,
    chance: Chance,
    real: Real,
    functions: BTreeMap<String, Signature>,
    callers: Vec<Caller>,
    succeeded: BTreeSet<String>,
    codes: BTreeMap<String, u32>,
    users_made: u32,
}

impl Fuzz {
    fn start(seed: u64) -> Self {
        let settings = [
            ("fsync", "off"),
            ("synchronous_commit", "off"),
            ("auth.argon2_memory", "'8MB'"),
            ("auth.argon2_iterations", "1"),
            ("auth.max_failed_attempts", "100"),
            ("auth.message_interval", "0"),
            ("auth.issuer", "'fuzz'"),
            ("auth.client_address_header", "'x-forwarded-for'"),
            // A call that takes so long is a fault.
            ("statement_timeout", "'60s'"),
            ("restart_after_crash", "off"),
        ];
        let cluster = Cluster::start("fuzz", &settings);
        let mut dba = cluster.connect("postgres", "postgres");
        dba.run("create role app login; create role service login; create role mailer login; create extension pg_auth cascade");
        dba.run("grant anon, authenticated to app; grant auth_admin to service; grant auth_mailer to mailer");
        pgrx_tests::allow_gateway(&mut dba.client);
        dba.run("select auth.create_role('made_0'), auth.create_role('made_1')");
        let functions = signatures(&mut dba);
        let mut callers = Vec::new();
        // Up to PLAIN of them have no permission.
        for (login, kind, role) in [
            ("app", Kind::Nobody, ""),
            ("app", Kind::User, "user"),
            ("app", Kind::User, "user"),
            ("authenticator", Kind::Gateway, "user"),
            ("mailer", Kind::BackEnd, ""),
            ("app", Kind::User, "helper"),
            ("app", Kind::User, "admin"),
            ("app", Kind::User, "admin"),
            ("authenticator", Kind::Gateway, "admin"),
            ("service", Kind::BackEnd, ""),
        ] {
            callers.push(Caller { actor: cluster.connect(login, "postgres"), kind, role });
        }
        let mut fuzz = Fuzz {
            cluster,
            dba,
            chance: Chance(seed),
            real: Real::default(),
            functions,
            callers,
            succeeded: BTreeSet::new(),
            codes: BTreeMap::new(),
            users_made: 0,
        };
        for _ in 0..3 {
            fuzz.make_user("user", "Bystander-n4me-th4t-nobody-reads", "what nobody types");
        }
        fuzz
    }

    fn make_user(&mut self, role: &str, name: &str, password: &str) -> (String, String) {
        self.users_made += 1;
        let email = format!("user{}@example.org", self.users_made);
        let id = self.dba.one(&format!("select auth.create_user('{email}', '{password}', '{name}', '{{{role}}}') ->> 'id'"));
        self.real.emails.push(email.clone());
        (id, email)
    }

    /// Signs in who is no longer, as somebody new where the old one is gone, and looks around for what is real: of tokens those of so many callers.
    fn revive(&mut self, callers: usize) {
        // Somebody may have dropped it, or taken something from it.
        self.dba.run("select auth.define_user_role('helper', '{user:ban,user:list,user:get,session:list,user:impersonate}')");
        for number in 0..self.callers.len() {
            let Caller { kind, role, .. } = self.callers[number];
            if !matches!(kind, Kind::User | Kind::Gateway) {
                continue;
            }
            let id = self.callers[number].actor.id;
            let good = format!(
                "select exists (select from auth.users u join auth.user_roles r on r.user_id = u.id where u.id = '{id}' and r.role = '{role}'
                    and (select count(*) from auth.user_roles r where r.user_id = u.id) = 1
                    and not exists (select from auth.bans b where b.user_id = u.id) and exists (select from auth_private.passwords p where p.user_id = u.id))"
            );
            let email = if self.dba.one::<bool>(&good) {
                self.dba.one::<String>(&format!("select email from auth.users where id = '{id}'"))
            } else {
                self.make_user(role, "A caller", PASSWORD).1
            };
            self.dba.run("delete from auth_private.failed_attempts");
            let sign_in = format!("select auth.sign_in('{email}', '{PASSWORD}')");
            let mut result = self.dba.json(&sign_in);
            if result["token"].is_null() {
                self.dba.run(&format!("select auth.set_user_password(id, '{PASSWORD}', false) from auth.users where email = '{email}'"));
                result = self.dba.json(&sign_in);
            }
            let actor = &mut self.callers[number].actor;
            (actor.id, actor.token, actor.email) = (
                result["user"]["id"].as_str().expect("signed in").parse().expect("an id"),
                result["token"].as_str().expect("a token").to_owned(),
                email,
            );
            if kind == Kind::User {
                actor.run(&format!("select auth.use_session('{}', false)", actor.token));
            }
        }
        let mailed = self.dba.client.query("select token from auth.claim_messages(20) where token is not null and recipient not in (select email from auth.users where name like 'Bystander%')", &[]).expect("mail");
        let dba = &mut self.dba;
        self.real = Real {
            users: dba.column("select id::text from auth.users order by created_at desc limit 30"),
            sessions: dba.column("select id::text from auth.sessions order by created_at desc limit 30"),
            messages: dba.column("select id::text from auth_private.messages order by created_at desc limit 30"),
            ..Real::default()
        };
        let dba = &mut self.dba;
        self.real = Real {
            ids: [self.real.users.clone(), self.real.sessions.clone(), self.real.messages.clone()].concat(),
            emails: dba.column("select email from auth.users where email is not null order by created_at desc limit 50"),
            passwords: [PASSWORD, "another s3cr3t-th4t-no-error-says"].map(str::to_owned).to_vec(),
            tokens: self.callers[..callers].iter().map(|caller| caller.actor.token.clone()).filter(|token| !token.is_empty()).collect(),
            mailed: mailed.iter().map(|row| row.get(0)).collect(),
            accounts: dba.column("select id::text from auth.accounts order by created_at desc limit 20"),
            roles: dba.column("select name from auth.roles limit 20"),
            database_roles: dba.column("select rolname::text from pg_roles limit 40"),
            cursors: dba.column("select auth.list_users_page(page_size => 1, sort_by => s) ->> 'next_cursor' from unnest('{created_at,email,name}'::text[]) s"),
            ..std::mem::take(&mut self.real)
        };
        assert!(
            self.dba.one::<bool>("select exists (select from auth.user_roles r where r.role = 'admin' and not exists (select from auth.bans b where b.user_id = r.user_id and (b.expires_at is null or b.expires_at > clock_timestamp())))"),
            "an active administrator is left"
        );
    }

    /// A call's text, and its parameters where it is not written out.
    fn compose(&mut self) -> (String, String, Option<Vec<Option<String>>>) {
        let names: Vec<&String> = self.functions.keys().collect();
        let function = names[self.chance.below(names.len())].clone();
        let chance = &mut self.chance;
        self.real.tame = chance.one_in(2);
        let named = !chance.one_in(4);
        let as_parameters = chance.one_in(3);
        let (mut passed, mut parameters) = (Vec::new(), Vec::new());
        let signature = &self.functions[&function];
        for (name, type_name) in &signature.arguments {
            let is_required = passed.len() < signature.required;
            if chance.one_in(if is_required { 60 } else { 3 }) {
                if named {
                    continue;
                }
                break;
            }
            let value = value(chance, &self.real, name, type_name);
            let expression = match &value {
                _ if as_parameters => format!("${}::pg_catalog.text::{type_name}", parameters.len() + 1),
                None => format!("null::{type_name}"),
                // In a statement's text there can be no NUL.
                Some(text) => format!("$literal${}$literal$::{type_name}", text.replace('\0', "").replace("$literal$", "")),
            };
            passed.push(if named { format!("{name} => {expression}") } else { expression });
            parameters.push(value);
        }
        let statement = format!("select r::text from auth.{function}({}) r", passed.join(", "));
        (function, statement, as_parameters.then_some(parameters))
    }

    /// What a gateway notes about a request, some of it nonsense.
    fn request(&mut self, number: usize) -> String {
        let token = self.callers[number].actor.token.clone();
        let any = value(&mut self.chance, &self.real, "x", "pg_catalog.text").unwrap_or_default().replace(['\0', '$'], "");
        let headers = match self.chance.below(8) {
            0 => serde_json::json!({"authorization": format!("Bearer {any}")}).to_string(),
            1 => serde_json::json!({"cookie": format!("session={token}; {any}"), "origin": any, "host": "x"}).to_string(),
            2 => any,
            _ => serde_json::json!({"x-session-token": token, "x-forwarded-for": any}).to_string(),
        };
        let method = self.chance.of(&["GET", "POST", "POST", "POST"]);
        format!(
            "select set_config('request.method', '{method}', true), set_config('request.path', '/rpc/x', true), set_config('request.headers', $request${headers}$request$, true);
             set local role anon; select auth.pre_request()"
        )
    }

    fn step(&mut self, callers: usize) {
        let number = self.chance.below(callers);
        let kind = self.callers[number].kind;
        let (function, statement, parameters) = self.compose();
        let begin = match self.chance.below(16) {
            0 => "begin read only",
            1 => "begin isolation level serializable",
            2 => "begin isolation level repeatable read",
            _ => "begin",
        };
        let end = if self.chance.one_in(4) { "rollback" } else { "commit" };
        let mut before = vec![begin.to_owned()];
        match kind {
            Kind::Gateway if self.chance.one_in(10) => {}
            Kind::Gateway => before.push(self.request(number)),
            Kind::Nobody if self.chance.one_in(2) => before.push("set local role anon".to_owned()),
            _ => {}
        }
        if self.chance.one_in(4) {
            before.push("savepoint here".to_owned());
        }
        let twice = self.chance.one_in(6);
        let outcome = {
            let client = &mut self.callers[number].actor.client;
            client.batch_execute(&before.join("; ")).and_then(|()| {
                let mut run = || match &parameters {
                    Some(parameters) => {
                        let parameters: Vec<&(dyn postgres::types::ToSql + Sync)> = parameters.iter().map(|p| p as _).collect();
                        client
                            .query(&statement, &parameters)
                            .map(|rows| rows.iter().filter_map(|row| row.get::<_, Option<String>>(0)).collect::<String>())
                    }
                    None => client.simple_query(&statement).map(|rows| format!("{rows:?}")),
                };
                if twice { run().and_then(|_| run()) } else { run() }
            })
        };
        let back =
            if before.iter().any(|statement| statement == "savepoint here") && outcome.is_err() { "rollback to here; commit" } else { end };
        match outcome {
            Ok(shown) => {
                // A new session, an impersonation's too, is somebody's next.
                if let Some(token) = shown.find("as_").and_then(|at| shown.get(at..at + 46)).filter(|_| callers > PLAIN) {
                    self.real.tokens.push(token.to_owned());
                }
                self.succeeded.insert(function.clone());
                assert!(callers > PLAIN || !shown.contains("Bystander-n4me"), "{function} shows a stranger: {statement}");
            }
            Err(error) => self.judge(&function, &statement, error),
        }
        if let Err(error) = self.callers[number].actor.client.batch_execute(back)
            && self.callers[number].actor.client.batch_execute("rollback").is_err()
        {
            panic!("{function}: {error:?} at the end of {}", shortened(&statement));
        }
    }

    fn judge(&mut self, function: &str, statement: &str, error: postgres::Error) {
        let Some(error) = error.as_db_error() else { panic!("{function}: {error:?}: {}", shortened(statement)) };
        let told = format!("{} {:?} {:?} {:?} {:?}", error.message(), error.detail(), error.hint(), error.where_(), error.schema());
        let context = format!("{function}: {error:?}\n{}", shortened(statement));
        let tokens = self.real.tokens.iter().chain(&self.real.mailed);
        assert!(!told.contains(SECRET) && !tokens.into_iter().any(|token| told.contains(token)), "a secret: {context}");
        let code = judged(error).unwrap_or_else(|| panic!("not in the catalogue: {context}"));
        *self.codes.entry(code).or_default() += 1;
    }

    /// What nobody without a permission may have changed.
    fn bystanders(&mut self) -> String {
        let theirs = |table: &str, column: &str| {
            format!(
                "(select md5(coalesce(string_agg(t::text, '|' order by t::text), '')) from {table} t where t.{column} in (select id from auth.users where name like 'Bystander%'))"
            )
        };
        let parts: Vec<String> =
            ["auth.accounts", "auth.sessions", "auth.user_roles", "auth.bans", "auth_private.passwords", "auth_private.session_epochs"]
                .iter()
                .map(|table| theirs(table, "user_id"))
                .collect();
        self.dba.one(&format!("select concat_ws(' ', {}, {})", theirs("auth.users", "id"), parts.join(", ")))
    }

    fn audit(&mut self, up_to: i64) -> (i64, String) {
        let sql = format!("select md5(coalesce(string_agg(a::text, '|' order by id), '')) from auth.audit_log a where id <= {up_to}");
        (self.dba.one("select coalesce(max(id), 0) from auth.audit_log"), self.dba.one(&sql))
    }
}

/// How many of the callers have no permission.
const PLAIN: usize = 5;

fn shortened(statement: &str) -> String {
    statement.chars().take(2_000).collect()
}

#[test]
fn whatever_is_called_with_whatever_nothing_breaks() {
    let seed = std::env::var("PG_AUTH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121);
    println!("PG_AUTH_SEED={seed}");
    let calls = rounds(3_000, 300_000);
    let mut fuzz = Fuzz::start(seed);
    let started: String = fuzz.dba.one("select pg_postmaster_start_time()::text");
    fuzz.revive(PLAIN);
    let bystanders = fuzz.bystanders();
    let mut ended = 0;
    for call in 0..calls {
        let callers = if call < calls / 3 { PLAIN } else { fuzz.callers.len() };
        // Also when too many sessions are over.
        if call % 150 == 149 || fuzz.codes.get("INVALID_SESSION").is_some_and(|count| *count > ended + 6) {
            ended = fuzz.codes.get("INVALID_SESSION").copied().unwrap_or(0);
            fuzz.revive(callers);
        }
        if call == calls / 3 {
            assert_eq!(fuzz.bystanders(), bystanders, "nobody without a permission changed anybody else");
            // Whoever shows what was mailed to somebody, or knows the password, is that somebody; and anybody may ask for mail to them.
            let deeds: Vec<String> = fuzz.dba.column(
                "select action || ' ' || details from auth.audit_log
                  where actor_id is not null and user_id <> actor_id and action not in ('reset_password', 'verify_email', 'sign_in', 'send_verification_email', 'request_password_reset')",
            );
            assert!(deeds.is_empty(), "nor did anything to them: {deeds:?}");
        }
        fuzz.step(callers);
    }
    let (newest, first) = fuzz.audit(i64::MAX);
    fuzz.revive(PLAIN);
    let (later, again) = fuzz.audit(newest);
    assert!(later > newest && first == again, "the audit log only grows");
    for table in ["auth.sessions", "auth.accounts", "auth.user_roles", "auth_private.passwords", "auth_private.one_time_tokens"] {
        let orphans: i64 =
            fuzz.dba.one(&format!("select count(*) from {table} t where not exists (select from auth.users u where u.id = t.user_id)"));
        assert_eq!(orphans, 0, "{table}");
    }
    assert_eq!(fuzz.dba.one::<String>("select pg_postmaster_start_time()::text"), started, "no crash");
    let log = fuzz.cluster.log();
    let bad: Vec<&str> = log
        .lines()
        .filter(|line| ["PANIC:", "FATAL:", "terminated by signal", "TRAP:", "panicked"].iter().any(|mark| line.contains(mark)))
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
    let missed: Vec<&String> = fuzz.functions.keys().filter(|function| !fuzz.succeeded.contains(*function)).collect();
    println!("never with success: {missed:?}\n{:?}", fuzz.codes);
    let may_miss = rounds(20, 2) as usize;
    assert!(missed.len() <= may_miss && fuzz.codes.len() >= 25, "it reaches deep: {missed:?} {:?}", fuzz.codes);
    figure(
        "calls by chance of every function, all refusals within the catalogue",
        format!(
            "{calls} (seed {seed}; {} codes; {} of {} functions with success)",
            fuzz.codes.len(),
            fuzz.succeeded.len(),
            fuzz.functions.len()
        ),
    );
}
