//! What happened, as the clients saw it.

use uuid::Uuid;

/// Nanoseconds since the beginning, by a clock that never goes back.
pub type Moment = u64;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Committed,
    RolledBack,
    /// The connection died while it may have committed.
    Unknown,
}

#[derive(Clone, Debug)]
pub struct Transaction {
    /// The server's process.
    pub pid: i32,
    /// Whether all its statements see what was there when it began: every level but READ COMMITTED.
    pub has_one_snapshot: bool,
    pub begun: Moment,
    /// When the client asked for the commit; of a single call, when that was made.
    pub committing: Moment,
    pub ended: Moment,
    pub fate: Fate,
}

/// A call in a transaction.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Which one of the history.
    pub transaction: usize,
    pub invoked: Moment,
    pub returned: Moment,
    /// The function.
    pub action: &'static str,
    /// "ok", or SQLSTATE and DETAIL, or "lost".
    pub outcome: String,
    /// Taken back by ROLLBACK TO SAVEPOINT.
    pub undone: bool,
    pub facts: Vec<Fact>,
}

/// What a call has done or seen.
#[derive(Clone, Debug)]
pub enum Fact {
    /// A one-time token was good.
    TokenUsed(String),
    /// A session; of an impersonation, with that of the person who runs it.
    Opened {
        session: Uuid,
        user: Uuid,
        parent: Option<Uuid>,
    },
    Ended(Which),
    /// Another password, or none; of a user whose id the client has not learned where it is none.
    PasswordSet {
        user: Option<Uuid>,
        password: Option<String>,
    },
    Banned(Uuid),
    Unbanned(Uuid),
    /// Other roles: impersonations by or of the user may end.
    Rights(Uuid),
    /// Whether a session was good.
    Checked {
        session: Uuid,
        good: bool,
    },
    /// A user got a session, for a password or for an account of a provider.
    Admitted {
        user: Uuid,
        password: Option<String>,
    },
    /// A line in the audit log: action and outcome.
    Audited(&'static str, String),
    /// What must never be, whatever else has happened.
    Breach(String),
}

/// Sessions.
#[derive(Clone, Copy, Debug)]
pub enum Which {
    One(Uuid),
    /// All of a user.
    All(Uuid),
    /// All of a user but one.
    Others(Uuid, Uuid),
    /// Those of somebody whom the client has not learned.
    Somebodys,
}

#[derive(Default)]
pub struct History {
    pub transactions: Vec<Transaction>,
    pub entries: Vec<Entry>,
}

impl History {
    /// Takes in what another connection has seen.
    pub fn append(&mut self, other: History) {
        let offset = self.transactions.len();
        self.transactions.extend(other.transactions);
        self.entries.extend(other.entries.into_iter().map(|entry| Entry { transaction: entry.transaction + offset, ..entry }));
    }

    /// How often calls ended so.
    pub fn count(&self, outcome: &str) -> usize {
        self.entries.iter().filter(|entry| entry.outcome.contains(outcome)).count()
    }
}

/// A user who was there before the history began.
pub fn made_before(user: Uuid, password: &str) -> History {
    let facts =
        vec![Fact::PasswordSet { user: Some(user), password: Some(password.to_owned()) }, Fact::Audited("create_user", "ok".to_owned())];
    let fate = Fate::Committed;
    History {
        transactions: vec![Transaction { pid: 0, has_one_snapshot: false, begun: 0, committing: 0, ended: 0, fate }],
        entries: vec![Entry {
            transaction: 0,
            invoked: 0,
            returned: 0,
            action: "create_user",
            outcome: "ok".to_owned(),
            undone: false,
            facts,
        }],
    }
}
