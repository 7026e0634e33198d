//! Histories that cannot be: the judge must say so of each, and of its possible twin nothing.

use super::aftermath::audit_breaches;
use super::judge::{breaches, lone_deadlocks};
use super::record::{Entry, Fact, Fate, History, Moment, Transaction, Which};
use std::collections::HashMap;
use uuid::Uuid;

const ANN: Uuid = Uuid::from_u128(1);
const BOB: Uuid = Uuid::from_u128(2);
const PHONE: Uuid = Uuid::from_u128(11);
const LAPTOP: Uuid = Uuid::from_u128(12);

impl History {
    /// A transaction of one call, from one moment to another.
    fn with(self, from: Moment, to: Moment, fact: Fact) -> Self {
        self.having(
            Transaction { pid: 1, has_one_snapshot: false, begun: from, committing: from, ended: to, fate: Fate::Committed },
            from,
            to,
            fact,
        )
    }

    /// A call in the midst of a transaction.
    fn having(mut self, transaction: Transaction, invoked: Moment, returned: Moment, fact: Fact) -> Self {
        self.transactions.push(transaction);
        self.entries.push(Entry {
            transaction: self.transactions.len() - 1,
            invoked,
            returned,
            action: "call",
            outcome: "ok".to_owned(),
            undone: false,
            facts: vec![fact],
        });
        self
    }

    /// The last transaction ended otherwise.
    fn ending(mut self, fate: Fate) -> Self {
        self.transactions.last_mut().expect("a transaction").fate = fate;
        self
    }

    fn refused(mut self, outcome: &str) -> Self {
        self.entries.last_mut().expect("an entry").outcome = outcome.to_owned();
        self.ending(Fate::RolledBack)
    }

    #[track_caller]
    fn assert_impossible(self, why: &str) {
        let found = breaches(&self);
        assert!(found.len() == 1 && found[0].contains(why), "{found:?}");
    }

    #[track_caller]
    fn assert_possible(self) {
        assert_eq!(breaches(&self), Vec::<String>::new());
    }
}

fn opened() -> History {
    History::default().with(10, 20, Fact::Opened { session: PHONE, user: ANN, parent: None })
}

fn good(session: Uuid) -> Fact {
    Fact::Checked { session, good: true }
}

fn token() -> Fact {
    Fact::TokenUsed("a token".to_owned())
}

#[test]
fn a_token_that_worked_twice() {
    History::default().with(10, 20, token()).with(15, 25, token()).assert_impossible("a token was used twice");
    History::default().with(10, 20, token()).with(15, 25, token()).ending(Fate::RolledBack).assert_possible();
    History::default().with(10, 20, token()).with(15, 25, token()).ending(Fate::Unknown).assert_possible();
}

#[test]
fn a_session_that_was_good_after_its_end() {
    for which in [Which::One(PHONE), Which::All(ANN), Which::Others(ANN, LAPTOP)] {
        let ended = || opened().with(30, 40, Fact::Ended(which));
        ended().with(50, 60, good(PHONE)).assert_impossible("was good after its end");
        // At the same time, either may have been first; what was taken back has not been; another's end is nobody's business.
        ended().with(35, 60, good(PHONE)).assert_possible();
        opened().with(30, 40, Fact::Ended(which)).ending(Fate::RolledBack).with(50, 60, good(PHONE)).assert_possible();
        opened().with(30, 40, Fact::Ended(which)).ending(Fate::Unknown).with(50, 60, good(PHONE)).assert_possible();
    }
    for which in [Which::One(LAPTOP), Which::All(BOB), Which::Others(ANN, PHONE), Which::Somebodys] {
        opened().with(30, 40, Fact::Ended(which)).with(50, 60, good(PHONE)).assert_possible();
    }
}

#[test]
fn a_session_of_before_the_end_that_was_opened_in_a_transaction_that_committed_after_it() {
    let signing = |returned: Moment| Transaction {
        pid: 1,
        has_one_snapshot: false,
        begun: 5,
        committing: returned + 100,
        ended: returned + 110,
        fate: Fate::Committed,
    };
    let fact = || Fact::Opened { session: PHONE, user: ANN, parent: None };
    let ban = Transaction { pid: 2, has_one_snapshot: false, begun: 20, committing: 40, ended: 50, fate: Fate::Committed };
    // Signed in before the ban was committed, or while it was.
    let early = History::default().having(signing(30), 10, 30, fact()).having(ban.clone(), 20, 25, Fact::Ended(Which::All(ANN)));
    early.with(200, 210, good(PHONE)).assert_impossible("was good after its end");
    let late = History::default().having(signing(45), 10, 45, fact()).having(ban, 20, 25, Fact::Ended(Which::All(ANN)));
    late.with(200, 210, good(PHONE)).assert_possible();
}

#[test]
fn a_transaction_with_one_snapshot_may_see_what_was() {
    let old = |has_one_snapshot| Transaction { pid: 1, has_one_snapshot, begun: 25, committing: 70, ended: 80, fate: Fate::Committed };
    let ended = || opened().with(30, 40, Fact::Ended(Which::All(ANN)));
    ended().having(old(true), 50, 60, good(PHONE)).assert_possible();
    ended().having(old(false), 50, 60, good(PHONE)).assert_impossible("was good after its end");
}

#[test]
fn an_impersonation_that_outlives_the_session_of_who_runs_it() {
    let opened = opened().with(21, 22, Fact::Opened { session: LAPTOP, user: BOB, parent: Some(PHONE) });
    opened.with(30, 40, Fact::Ended(Which::All(ANN))).with(50, 60, good(LAPTOP)).assert_impossible("was good after its end");
}

#[test]
fn a_session_that_was_refused_without_a_reason() {
    let bad = || Fact::Checked { session: PHONE, good: false };
    opened().with(50, 60, bad()).assert_impossible("refused without a reason");
    opened().with(30, 40, Fact::Ended(Which::All(BOB))).with(50, 60, bad()).assert_impossible("refused without a reason");
    opened()
        .with(30, 40, Fact::Ended(Which::All(ANN)))
        .ending(Fate::RolledBack)
        .with(50, 60, bad())
        .assert_impossible("refused without a reason");
    opened().with(30, 40, Fact::Ended(Which::All(ANN))).ending(Fate::Unknown).with(50, 60, bad()).assert_possible();
    opened().with(55, 90, Fact::Ended(Which::Somebodys)).with(50, 60, bad()).assert_possible();
    opened().ending(Fate::RolledBack).with(50, 60, bad()).assert_possible();
}

#[test]
fn a_banned_user_who_was_admitted() {
    let admitted = || Fact::Admitted { user: ANN, password: None };
    let banned = || History::default().with(10, 20, Fact::Banned(ANN));
    banned().with(30, 40, admitted()).assert_impossible("a banned user was admitted");
    banned().with(15, 40, admitted()).assert_possible();
    banned().with(22, 25, Fact::Unbanned(ANN)).with(30, 40, admitted()).assert_possible();
    banned().with(22, 25, Fact::Unbanned(BOB)).with(30, 40, admitted()).assert_impossible("a banned user was admitted");
    banned()
        .with(22, 25, Fact::Unbanned(ANN))
        .ending(Fate::RolledBack)
        .with(30, 40, admitted())
        .assert_impossible("a banned user was admitted");
    History::default()
        .with(1, 5, Fact::Unbanned(ANN))
        .with(10, 20, Fact::Banned(ANN))
        .with(30, 40, admitted())
        .assert_impossible("a banned user");
}

#[test]
fn a_password_that_opened_when_there_was_another() {
    let set = |password: &str| Fact::PasswordSet { user: Some(ANN), password: Some(password.to_owned()) };
    let admitted = || Fact::Admitted { user: ANN, password: Some("first".to_owned()) };
    let changed = || History::default().with(1, 5, set("first")).with(10, 20, set("second"));
    changed().with(30, 40, admitted()).assert_impossible("none any more");
    changed().with(15, 40, admitted()).assert_possible();
    History::default().with(1, 15, set("first")).with(10, 20, set("second")).with(30, 40, admitted()).assert_possible();
    History::default().with(30, 40, admitted()).assert_impossible("none any more");
    let removed = Fact::PasswordSet { user: Some(ANN), password: None };
    History::default().with(1, 5, set("first")).with(10, 20, removed).with(30, 40, admitted()).assert_impossible("none any more");
}

#[test]
fn an_error_that_is_in_no_catalogue() {
    let refused = |outcome: &str| History::default().with(1, 2, Fact::Ended(Which::Somebodys)).refused(outcome);
    refused("XX000 tuple concurrently updated").assert_impossible("an unknown error");
    refused("42501 new row violates row-level security policy").assert_impossible("an unknown error");
    refused("23503 USER_NOT_FOUND").assert_impossible("an unknown error");
    refused("42501 PERMISSION_DENIED: user:ban").assert_possible();
    refused("40001 could not serialize access").assert_possible();
}

#[test]
fn what_the_caller_was_told_and_is_not_so() {
    History::default().with(1, 2, Fact::Breach("somebody else".to_owned())).assert_impossible("somebody else");
}

#[test]
fn an_audit_log_with_a_line_too_few_or_too_many() {
    let ban = || Fact::Audited("ban_user", "ok".to_owned());
    let history = History::default().with(1, 2, ban()).with(3, 4, ban()).with(5, 6, ban()).ending(Fate::Unknown);
    let history = history.with(7, 8, ban()).ending(Fate::RolledBack);
    let lines = |action: &str, count: i64| HashMap::from([((action.to_owned(), "ok".to_owned()), count)]);
    let wrong = [1, 2, 3, 4].map(|count| audit_breaches(&history, &lines("ban_user", count)).len());
    assert_eq!(wrong, [1, 0, 0, 1]);
    assert_eq!(audit_breaches(&History::default(), &lines("ban_user", 1)).len(), 1);
}

#[test]
fn a_deadlock_that_no_caller_is_to_blame_for() {
    let call = |pid: i32| Transaction { pid, has_one_snapshot: false, begun: 10, committing: 10, ended: 90, fate: Fate::Committed };
    let fact = || Fact::Ended(Which::Somebodys);
    let deadlock = |history: History| {
        let history = history.having(call(8), 10, 80, fact()).refused("40P01 Process 8 waits for Lock; blocked by process 9.");
        lone_deadlocks(&history).len()
    };
    assert_eq!(deadlock(History::default().having(call(9), 10, 90, fact())), 1);
    // Who has done something before in their transaction.
    let mut two = History::default().having(call(9), 11, 12, fact()).having(call(9), 13, 90, fact());
    two.entries[1].transaction = 0;
    assert_eq!(deadlock(two), 0);
    // Who had, and was calling anew when the other saw that it had been refused.
    let ms = |number: Moment| number * 1_000_000;
    let mut three = History::default().having(call(9), 11, 12, fact()).having(call(9), 13, ms(60), fact());
    three.entries[1].transaction = 0;
    let late = three.having(call(9), ms(61), ms(99), fact()).having(call(8), 10, ms(90), fact());
    assert_eq!(lone_deadlocks(&late.refused("40P01 Process 8 waits for Lock; blocked by process 9.")).len(), 0);
}
