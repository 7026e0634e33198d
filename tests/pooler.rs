//! Behind a pooler two users share one connection to the server, and neither is ever the other.
//!
//! The pooler is pgbouncer in transaction mode with one connection; it resets nothing between its clients. 1.18 knows nothing of prepared
//! statements: it passes them on, and they stay on the connection. So each client prepares with the protocol once and for all, or anew for
//! a statement, or has none (unnamed, and simple queries); and one statement, PREPAREd in SQL, both of them EXECUTE, as they would share
//! those of a pooler that follows them (from 1.21 on, where this is switched on).

use crate::fuzz_values::Chance;
use pgrx_tests::{Actor, Database, PASSWORD, Pooler, figure, rounds};
use postgres::Statement;
use postgres::types::Type;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use uuid::Uuid;

const NOTES: &str = "create table public.notes (owner uuid not null references auth.users, note text);
    alter table public.notes enable row level security;
    create policy own on public.notes to authenticated using (owner = (select auth.uid())) with check (owner = (select auth.uid()));
    grant select, insert on public.notes to authenticated";

/// Everything by which somebody would notice that they are somebody else; and which connection served them.
const LOOK: &str = "select jsonb_build_array(auth.uid(), auth.session_id(), auth.get_session() #> '{user,id}',
    (select jsonb_agg(distinct owner) from public.notes), (select count(*) from public.notes), (select jsonb_agg(id) from auth.users),
    auth.has_permission('user:ban'), pg_backend_pid())::text";

const WRONG: &str = "select auth.use_session('as_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA')";

/// Whom the connection has served last.
static SERVED: AtomicU64 = AtomicU64::new(0);

/// A user at the pooler, and an administrator who acts on them.
struct Somebody {
    user: Actor,
    other: Uuid,
    root: Actor,
    pooled_root: Actor,
    chance: Chance,
    prepared: Statement,
    connection: i32,
    /// How often the connection has come from the other.
    turns: u32,
    notes: i64,
    is_over: bool,
    is_banned: bool,
}

impl Somebody {
    fn new(db: &Database, pooler: &Pooler, mut user: Actor, other: Uuid, seed: u64) -> Self {
        user.client = pooler.app().client;
        let (root, pooled_root, chance) = (db.signed_in("Root"), pooler.app(), Chance(seed));
        let (prepared, connection) = (user.client.prepare(LOOK).expect("a statement"), user.one("select pg_backend_pid()"));
        let (turns, notes, is_over, is_banned) = (0, 0, false, false);
        Somebody { user, other, root, pooled_root, chance, prepared, connection, turns, notes, is_over, is_banned }
    }

    /// What is seen, asked in one of the ways that a client has.
    fn seen(&mut self) -> Value {
        let client = &mut self.user.client;
        let text: String = match self.chance.below(5) {
            0 => client.query_one(LOOK, &[]).expect("a look").get(0),
            1 => client.query_one(&self.prepared, &[]).expect("a look").get(0),
            2 => client.query_typed(LOOK, &[]).expect("a look")[0].get(0),
            3 => self.user.print(LOOK).0.remove(0),
            _ => self.user.print("execute look").0.remove(0),
        };
        serde_json::from_str(&text).expect("json")
    }

    fn is_nobody(&mut self) {
        let seen = self.seen();
        assert_eq!(seen, json!([null, null, null, null, 0, null, false, self.connection]), "{}", self.user.email);
    }

    fn is_oneself(&mut self, notes: i64) {
        let id = self.user.id;
        let own = json!([id, self.user.session, id, (notes > 0).then_some([id]), notes, [id], false, self.connection]);
        assert_eq!(self.seen(), own, "{}", self.user.email);
    }

    /// Begins a transaction, and has the connection to itself from here.
    fn begin(&mut self, how: &str) {
        self.user.run(how);
        let me = self.user.id.as_u64_pair().1;
        self.turns += u32::from(SERVED.swap(me, Ordering::Relaxed) != me);
    }

    /// Shows the token: it ends with the transaction, which may be the statement.
    fn use_session(&mut self) {
        let calls = ["select auth.use_session($1)", "select auth.use_session($1, true)"];
        let (call, client) = (self.chance.of(&calls), &mut self.user.client);
        let result = if self.chance.one_in(2) {
            client.query(call, &[&self.user.token])
        } else {
            client.query_typed(call, &[(&self.user.token, Type::TEXT)])
        };
        assert_eq!(result.expect("a good token")[0].get::<_, Uuid>(0), self.user.id);
    }

    /// An administrator's call, on a connection of their own or through the same one.
    fn administrate(&mut self, call: &str, must_be_elsewhere: bool) {
        if must_be_elsewhere || self.chance.one_in(2) {
            self.root.run(call);
        } else {
            self.pooled_root.run(&format!("begin; select auth.use_session('{}'); {call}; commit", self.root.token));
        }
    }

    fn is_ended(&mut self, must_be_elsewhere: bool) {
        let (id, session) = (self.user.id, self.user.session);
        let calls = [format!("revoke_user_session('{session}')"), format!("revoke_user_sessions('{id}')"), format!("ban_user('{id}')")];
        let which = self.chance.below(calls.len());
        self.administrate(&format!("select auth.{}", calls[which]), must_be_elsewhere);
        self.is_banned = which == 2;
        self.is_over = true;
    }

    /// What has ended is refused; and then, perhaps after the ban is lifted, a sign-in begins anew.
    fn comes_back(&mut self) {
        let stale = format!("select auth.use_session('{}')", self.user.token);
        self.begin("begin");
        self.user.is_refused(&stale, "28000", "INVALID_SESSION");
        self.user.run("rollback");
        let sign_in = format!("select auth.sign_in('{}', '{PASSWORD}')", self.user.email);
        if self.is_banned && self.chance.one_in(2) {
            return self.user.is_answered(&sign_in, "BANNED_USER");
        }
        if self.is_banned {
            self.administrate(&format!("select auth.unban_user('{}')", self.user.id), false);
            self.is_banned = false;
        }
        let result = self.user.json(&sign_in);
        self.user.token = result["token"].as_str().unwrap_or_else(|| panic!("no sign-in: {result}")).to_owned();
        self.user.session = result["session"]["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
        self.is_over = false;
    }

    /// Fails inside a savepoint and goes back to it.
    fn fails(&mut self, sql: &str, sqlstate: &str) {
        self.user.run("savepoint s");
        assert_eq!(self.user.refused(sql).sqlstate, sqlstate, "{sql}");
        self.user.run("rollback to s");
    }

    /// A transaction as oneself, in the midst of which anything may happen.
    fn works(&mut self) {
        let is_frozen = self.chance.one_in(4);
        self.begin(if is_frozen { "begin isolation level repeatable read" } else { "begin" });
        self.use_session();
        let mut notes = self.notes;
        let write = format!("insert into public.notes values ('{}', 'mine')", self.user.id);
        for _ in 0..=self.chance.below(2) {
            match self.chance.below(8) {
                0 => {
                    self.user.run(&format!("savepoint s; {write}"));
                    self.is_oneself(notes + 1);
                    self.user.run("rollback to s");
                }
                1 => {
                    self.user.run(&write);
                    notes += 1;
                }
                2 => {
                    self.user.run("savepoint s; select auth.reset_session()");
                    self.is_nobody();
                    self.user.run("rollback to s");
                }
                3 => {
                    self.user.run("savepoint s");
                    self.use_session();
                    self.user.run("release s");
                }
                4 => self.fails("select 1 / 0", "22012"),
                5 => self.fails(WRONG, "28000"),
                6 => self.fails(&format!("insert into public.notes values ('{}', 'not mine')", self.other), "42501"),
                // In a frozen transaction it is felt by the next one only.
                _ if !is_frozen && self.chance.one_in(4) => {
                    self.is_ended(true);
                    self.is_nobody();
                    self.user.is_refused("select * from auth.list_sessions()", "28000", "INVALID_SESSION");
                    return self.user.run("rollback");
                }
                _ => {}
            }
            self.is_oneself(notes);
        }
        let end = self.chance.below(4);
        if end == 0 {
            assert_eq!(self.user.refused("select 1 / 0").sqlstate, "22012");
        }
        self.user.run(if end == 1 { "rollback" } else { "commit" });
        self.notes = if end > 1 { notes } else { self.notes };
    }

    fn step(&mut self) {
        match self.chance.below(20) {
            _ if self.is_over => self.comes_back(),
            0 => self.is_nobody(),
            1 => self.use_session(),
            2 => {
                let together = format!("select auth.use_session('{}'); select auth.uid()::text", self.user.token);
                assert_eq!(self.user.print(&together).0, vec![self.user.id.to_string(); 2], "sent together they are one transaction");
            }
            3 => self.user.is_refused(WRONG, "28000", "INVALID_SESSION"),
            4 => {
                self.begin("begin");
                self.user.is_refused(WRONG, "28000", "INVALID_SESSION");
                self.user.run("commit");
            }
            5 => {
                self.begin("begin");
                self.use_session();
                assert!(self.user.one::<bool>("select auth.sign_out()"));
                self.is_nobody();
                self.user.run("commit");
                self.is_over = true;
            }
            6 => self.is_ended(false),
            _ => self.works(),
        }
        self.is_nobody();
    }
}

#[test]
fn of_two_users_on_one_connection_each_is_themselves_or_nobody() {
    let db = Database::new();
    db.dba().run(NOTES);
    db.admin("Root");
    let (ann, bob) = (db.user("Ann"), db.user("Bob"));
    let (ann_id, bob_id, pooler) = (ann.id, bob.id, db.pooler(&[]));
    pooler.app().run(&format!("prepare look as {LOOK}"));
    let mut ann = Somebody::new(&db, &pooler, ann, bob_id, 1);
    let mut bob = Somebody::new(&db, &pooler, bob, ann_id, 2);
    assert_eq!(ann.connection, bob.connection);
    let (mut chance, mut steps, wanted) = (Chance(3), 0, rounds(10_000, 200_000));
    while steps < wanted {
        // Where both ask, one of them waits in the pooler and is served as soon as the other's transaction ends.
        let who = chance.below(3);
        thread::scope(|scope| {
            if who > 0 {
                scope.spawn(|| ann.step());
            }
            if who < 2 {
                bob.step();
            }
        });
        steps += if who == 1 { 2 } else { 1 };
    }
    assert!(ann.turns + bob.turns > wanted / 5, "the connection went from one to the other");
    assert!(ann.notes > 0 && bob.notes > 0);
    figure("Transactions and statements of two users in turn on one connection of pgbouncer, each themselves or nobody", steps);
}

/// README warns of it: who keeps a session for the connection keeps it for everybody whom the pooler gives that connection to.
#[test]
fn an_identity_of_the_connection_passes_to_whoever_comes_next() {
    let db = Database::new();
    db.dba().run(NOTES);
    let (ann, bob) = (db.user("Ann"), db.user("Bob"));
    db.dba().run(&format!("insert into public.notes values ('{}', 'private')", ann.id));
    let pooler = db.pooler(&[]);
    let (mut first, mut next) = (pooler.app(), pooler.app());
    let keep = format!("select auth.use_session('{}', false)", ann.token);
    let uid = "select auth.uid()";
    first.run(&keep);
    assert_eq!(next.one::<Option<Uuid>>(uid), Some(ann.id));
    assert_eq!(next.one::<String>("select note from public.notes"), "private");
    next.run(&format!("begin; select auth.use_session('{}')", bob.token));
    assert_eq!((next.one::<Option<Uuid>>(uid), next.one::<i64>("select count(*) from public.notes")), (Some(bob.id), 0));
    next.run("commit");
    assert_eq!(next.one::<Option<Uuid>>(uid), Some(ann.id), "beneath Bob's transaction");
    drop(first);
    assert_eq!(next.one::<Option<Uuid>>(uid), Some(ann.id), "she has gone");
    for end in ["select auth.reset_session()", "discard all"] {
        next.run(&keep);
        next.run(end);
        assert_eq!(pooler.app().one::<Option<Uuid>>(uid), None, "{end}");
    }
    next.run(&keep);
    db.dba().run(&format!("select auth.ban_user('{}')", ann.id));
    assert_eq!(next.one::<Option<Uuid>>(uid), None, "a ban ends it here too");
}

/// With the identity it takes what clients have prepared: these have prepared nothing.
#[test]
fn a_pooler_that_resets_its_connections_passes_no_identity_on() {
    let db = Database::new();
    let ann = db.user("Ann");
    let look = "select auth.uid(), pg_backend_pid()";
    for (setting, value, kept) in [("server_reset_query_always", "1", "null"), ("pool_mode", "session", &ann.id.to_string())] {
        let pooler = db.pooler(&[(setting, value)]);
        let mut first = pooler.app();
        let connection = first.print("select pg_backend_pid()").0.remove(0);
        first.run(&format!("select auth.use_session('{}', false)", ann.token));
        assert_eq!(first.print(look).0, [format!("{kept} | {connection}")], "{setting}");
        drop(first);
        assert_eq!(pooler.app().print(look).0, [format!("null | {connection}")], "{setting}");
    }
}
