//! A client: calls at random, in transactions at random, on connections that a nemesis cuts.

use super::choice;
use super::deeds::{Deed, Identity};
use super::nemesis::Targets;
use super::record::{Entry, Fact, Fate, History, Moment, Transaction};
use super::world::{Chance, World};
use pgrx_tests::{Actor, Database};
use postgres::SimpleQueryMessage;
use serde_json::Value;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

/// What all clients share.
pub struct Shared<'a> {
    pub db: &'a Database,
    pub world: World,
    pub targets: Targets,
    pub start: Instant,
    /// How many calls are still to be made.
    pub budget: AtomicI64,
}

/// Somebody connected, as which role, and the server's process.
type Connection = (Actor, &'static str, i32);

pub struct Client<'a> {
    shared: &'a Shared<'a>,
    number: usize,
    chance: Chance,
    connection: Option<Connection>,
    /// Those as other roles.
    resting: Vec<Connection>,
    identity: Option<Identity>,
    history: History,
}

enum Reply {
    Result(Value),
    Refused(String),
    Lost,
}

impl<'a> Client<'a> {
    pub fn new(shared: &'a Shared<'a>, number: usize, seed: u64) -> Self {
        Client {
            shared,
            number,
            chance: Chance::new(seed),
            connection: None,
            resting: Vec::new(),
            identity: None,
            history: History::default(),
        }
    }

    /// Calls until enough calls were made.
    pub fn run(mut self) -> History {
        while self.shared.budget.load(Ordering::Relaxed) > 0 {
            let role = *self.chance.pick(&["app", "app", "app", "app", "app", "app", "service", "service", "service", "mailer"]);
            self.connect(role);
            if self.chance.percent(50) { self.one_transaction() } else { self.single_calls() }
        }
        self.history
    }

    fn now(&self) -> Moment {
        self.shared.start.elapsed().as_nanos() as Moment
    }

    /// A connection as this role: the one that there is, or a new one.
    fn connect(&mut self, role: &'static str) {
        self.identity = None;
        self.resting.extend(self.connection.take());
        let connection = match self.resting.iter().position(|(_, of, _)| *of == role) {
            Some(at) => self.resting.swap_remove(at),
            None => {
                let mut actor = self.shared.db.connect(role);
                let pid = actor.one("select pg_backend_pid()");
                (actor, role, pid)
            }
        };
        self.shared.targets.set(self.number, Some(connection.2));
        self.connection = Some(connection);
    }

    fn lose(&mut self) {
        self.connection = None;
        self.identity = None;
        self.shared.targets.set(self.number, None);
    }

    fn ask(&mut self, sql: &str) -> Reply {
        let Some((actor, ..)) = &mut self.connection else { return Reply::Lost };
        match actor.client.simple_query(sql) {
            Ok(messages) => {
                let row = messages.iter().find_map(|message| if let SimpleQueryMessage::Row(row) = message { Some(row) } else { None });
                let text = row.filter(|row| !row.is_empty()).and_then(|row| row.get(0));
                let parsed = text.map(|text| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())));
                Reply::Result(parsed.unwrap_or(Value::Null))
            }
            Err(error) => match error.as_db_error() {
                Some(error) if !error.severity().starts_with("FATAL") && !error.severity().starts_with("PANIC") => {
                    let detail = error.detail().unwrap_or(error.message()).replace('\n', "; ");
                    Reply::Refused(format!("{} {detail}", error.code().code()))
                }
                _ => {
                    self.lose();
                    Reply::Lost
                }
            },
        }
    }

    fn transaction(&mut self, has_one_snapshot: bool) -> usize {
        let pid = self.connection.as_ref().map_or(0, |(_, _, pid)| *pid);
        let now = self.now();
        let fate = Fate::RolledBack;
        self.history.transactions.push(Transaction { pid, has_one_snapshot, begun: now, committing: now, ended: Moment::MAX, fate });
        self.history.transactions.len() - 1
    }

    fn end(&mut self, transaction: usize, committing: Moment, fate: Fate) {
        let ended = self.now();
        let transaction = &mut self.history.transactions[transaction];
        (transaction.committing, transaction.ended, transaction.fate) = (committing, ended, fate);
    }

    /// Makes a call and writes it down; how it ended.
    fn call(&mut self, transaction: usize, deed: &Deed) -> Reply {
        self.shared.budget.fetch_sub(1, Ordering::Relaxed);
        let as_whom = self.identity;
        let invoked = self.now();
        let reply = self.ask(&deed.sql());
        let returned = self.now();
        let (outcome, facts) = match &reply {
            Reply::Result(result) => {
                deed.tell(&self.shared.world, result, as_whom);
                (result["code"].as_str().map_or("ok".to_owned(), |code| format!("ok {code}")), deed.facts(result, as_whom))
            }
            Reply::Refused(why) => {
                let facts = refusal(deed, why, as_whom);
                // Some are tried again, dead as they are.
                if let [Fact::Checked { session, .. }] = facts[..]
                    && self.chance.percent(50)
                {
                    self.shared.world.forget_session(session);
                }
                (why.clone(), facts)
            }
            Reply::Lost => ("lost".to_owned(), deed.facts_if_lost(as_whom)),
        };
        if matches!(&reply, Reply::Result(result) if result["code"].is_null()) {
            self.identity = deed.identity_after(as_whom);
        }
        self.history.entries.push(Entry { transaction, invoked, returned, action: deed.action, outcome, undone: false, facts });
        reply
    }

    fn role(&self) -> &'static str {
        self.connection.as_ref().map_or("", |(_, role, _)| role)
    }

    fn next(&mut self) -> Deed {
        let (world, chance) = (&self.shared.world, &mut self.chance);
        match (self.connection.as_ref().map(|(_, role, _)| *role), self.identity) {
            (Some("mailer"), _) => choice::of_mailer(),
            (Some("service"), _) => choice::of_service(world, chance),
            (_, Some(_)) if chance.percent(35) => choice::of_administrator(world, chance),
            (_, Some(who)) => choice::of_user(world, chance, who),
            _ => choice::of_anybody(world, chance),
        }
    }

    /// The first call of an application's: often it becomes somebody.
    fn first(&mut self, is_local: bool) -> Deed {
        let session = self.shared.world.session(&mut self.chance).filter(|_| self.role() == "app" && self.chance.percent(70));
        session.map(|(token, identity)| choice::use_session(&token, identity, is_local)).unwrap_or_else(|| self.next())
    }

    /// Calls that are a transaction each, as one user.
    fn single_calls(&mut self) {
        let mut deed = self.first(false);
        for _ in 0..=self.chance.below(4) {
            let transaction = self.transaction(false);
            let committing = self.history.transactions[transaction].begun;
            let reply = self.call(transaction, &deed);
            // What had not returned may have been committed all the same.
            let fate = match reply {
                Reply::Result(_) => Fate::Committed,
                Reply::Refused(_) => Fate::RolledBack,
                Reply::Lost => Fate::Unknown,
            };
            self.end(transaction, committing, fate);
            if self.connection.is_none() {
                return;
            }
            deed = self.next();
        }
        if self.identity.is_some() {
            self.ask("select auth.reset_session()");
        }
        self.identity = None;
    }

    fn one_transaction(&mut self) {
        let level = *self.chance.pick(&["read committed", "read committed", "repeatable read", "serializable"]);
        let transaction = self.transaction(level != "read committed");
        if !matches!(self.ask(&format!("begin isolation level {level}")), Reply::Result(_)) {
            self.roll_back();
            return self.end(transaction, Moment::MAX, Fate::RolledBack);
        }
        let mut is_whole = true;
        for number in 0..=self.chance.below(4) {
            let deed = if number == 0 { self.first(true) } else { self.next() };
            is_whole = self.call_perhaps_undone(transaction, &deed);
            if !is_whole {
                break;
            }
        }
        let committing = self.now();
        let fate = if !is_whole || self.chance.percent(20) {
            self.roll_back();
            Fate::RolledBack
        } else {
            match self.ask("commit") {
                Reply::Result(_) => Fate::Committed,
                Reply::Refused(_) => {
                    self.roll_back();
                    Fate::RolledBack
                }
                Reply::Lost => Fate::Unknown,
            }
        };
        self.end(transaction, committing, fate);
        self.identity = None;
    }

    /// Also where the nemesis cancels just that: the transaction would go on, with the next calls in it.
    fn roll_back(&mut self) {
        while matches!(self.ask("rollback"), Reply::Refused(_)) {}
    }

    /// A call, sometimes behind a savepoint and taken back to it; false when the transaction cannot go on.
    fn call_perhaps_undone(&mut self, transaction: usize, deed: &Deed) -> bool {
        if self.chance.percent(70) {
            return matches!(self.call(transaction, deed), Reply::Result(_));
        }
        let before = self.identity;
        if !matches!(self.ask("savepoint s"), Reply::Result(_)) {
            return false;
        }
        let refused = match self.call(transaction, deed) {
            Reply::Lost => return false,
            Reply::Refused(_) => true,
            Reply::Result(_) => false,
        };
        if !refused && self.chance.percent(50) {
            return matches!(self.ask("release savepoint s"), Reply::Result(_));
        }
        self.identity = before;
        if let Some(entry) = self.history.entries.last_mut() {
            entry.undone = true;
        }
        matches!(self.ask("rollback to savepoint s"), Reply::Result(_))
    }
}

/// What a refusal says about the session.
fn refusal(deed: &Deed, why: &str, as_whom: Option<Identity>) -> Vec<Fact> {
    let session = match &deed.meaning {
        super::deeds::Meaning::Use(identity) | super::deeds::Meaning::Refresh(identity) => Some(identity.session),
        _ => as_whom.map(|who| who.session),
    };
    let bad = session.filter(|_| why.contains("INVALID_SESSION"));
    bad.map(|session| Fact::Checked { session, good: false }).into_iter().collect()
}
