//! Whether a history can be: what two clients saw at once may have come in either order, what had ended before may not.

use super::record::{Entry, Fact, Fate, History, Moment, Transaction, Which};
use crate::error::Code;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// An entry in its transaction.
#[derive(Clone, Copy)]
struct Deed<'a> {
    entry: &'a Entry,
    of: &'a Transaction,
}

impl Deed<'_> {
    /// Has happened for sure.
    fn happened(&self) -> bool {
        self.of.fate == Fate::Committed && !self.entry.undone
    }

    /// May be seen by this other one: it may have happened, or both are in one transaction.
    fn may_show_to(&self, reader: &Deed) -> bool {
        let may_have_happened = self.of.fate != Fate::RolledBack && !self.entry.undone;
        (may_have_happened || self.is_with(reader)) && self.entry.invoked <= reader.entry.returned
    }

    fn is_with(&self, other: &Deed) -> bool {
        self.entry.transaction == other.entry.transaction
    }

    /// The earliest moment as of which the call can have read.
    fn sees_from(&self) -> Moment {
        if self.of.has_one_snapshot { self.of.begun } else { self.entry.invoked }
    }

    /// Whether it was over, for everybody, when this one read.
    fn was_over_for(&self, reader: &Deed) -> bool {
        self.happened() && self.of.ended <= reader.sees_from()
    }

    /// Whether it has written over what this other one wrote. Both lock one row until they commit, so that the order of the commits
    /// is that of the writes.
    fn wrote_after(&self, other: &Deed) -> bool {
        if self.is_with(other) { self.entry.invoked >= other.entry.returned } else { self.of.committing >= other.of.ended }
    }
}

/// Who opened a session, and whose it is.
struct Opening<'a> {
    deed: Deed<'a>,
    user: Uuid,
    parent: Option<Uuid>,
}

#[derive(Default)]
struct Index<'a> {
    sessions: HashMap<Uuid, Opening<'a>>,
    /// By session, and by user.
    endings: HashMap<Uuid, Vec<(Deed<'a>, Which)>>,
    endings_of_somebody: Vec<Deed<'a>>,
    rights: HashMap<Uuid, Vec<Deed<'a>>>,
    bans: HashMap<Uuid, Vec<Deed<'a>>>,
    unbans: HashMap<Uuid, Vec<Deed<'a>>>,
    passwords: HashMap<Uuid, Vec<(Deed<'a>, Option<&'a str>)>>,
    writers: HashMap<&'a str, Vec<(Deed<'a>, Option<Uuid>)>>,
}

fn deeds(history: &History) -> impl Iterator<Item = (Deed<'_>, &Fact)> {
    history.entries.iter().flat_map(|entry| {
        let deed = Deed { entry, of: &history.transactions[entry.transaction] };
        entry.facts.iter().map(move |fact| (deed, fact))
    })
}

impl<'a> Index<'a> {
    fn of(history: &'a History) -> Self {
        let mut index = Index::default();
        for (deed, fact) in deeds(history) {
            match fact {
                Fact::Opened { session, user, parent } => {
                    index.sessions.insert(*session, Opening { deed, user: *user, parent: *parent });
                }
                Fact::Ended(Which::Somebodys) => index.endings_of_somebody.push(deed),
                Fact::Ended(which @ (Which::One(key) | Which::All(key) | Which::Others(key, _))) => {
                    index.endings.entry(*key).or_default().push((deed, *which));
                }
                Fact::Rights(user) => index.rights.entry(*user).or_default().push(deed),
                Fact::Banned(user) => index.bans.entry(*user).or_default().push(deed),
                Fact::Unbanned(user) => index.unbans.entry(*user).or_default().push(deed),
                Fact::PasswordSet { user, password } => {
                    if let Some(user) = user {
                        index.passwords.entry(*user).or_default().push((deed, password.as_deref()));
                    }
                    if let Some(password) = password {
                        index.writers.entry(password).or_default().push((deed, *user));
                    }
                }
                _ => {}
            }
        }
        index
    }

    /// What ends this very session.
    fn endings_of(&self, session: Uuid, user: Uuid) -> impl Iterator<Item = Deed<'a>> {
        let of = |key: Uuid| self.endings.get(&key).into_iter().flatten();
        let spares = move |which: &Which| matches!(which, Which::Others(_, kept) if *kept == session);
        of(session).chain(of(user)).filter(move |(_, which)| !spares(which)).map(|(deed, _)| *deed)
    }

    /// Why a session that was taken for good cannot have been.
    fn was_dead(&self, session: Uuid, reader: &Deed) -> Option<Deed<'a>> {
        let opening = self.sessions.get(&session)?;
        // The epoch that a session carries was read before the call that opened it returned.
        let comes_later = |ending: &Deed| {
            if ending.is_with(&opening.deed) {
                ending.entry.invoked >= opening.deed.entry.returned
            } else {
                ending.of.committing >= opening.deed.entry.returned
            }
        };
        let ended = self.endings_of(session, opening.user).find(|ending| ending.was_over_for(reader) && comes_later(ending));
        ended.or_else(|| self.was_dead(opening.parent?, reader))
    }

    /// Whether there is any reason for which a session can have been refused.
    fn may_be_dead(&self, session: Uuid, reader: &Deed) -> bool {
        let Some(opening) = self.sessions.get(&session) else { return true };
        let is_open = opening.deed.was_over_for(reader) || (opening.deed.is_with(reader) && !opening.deed.entry.undone);
        let rights = |user: Uuid| self.rights.get(&user).into_iter().flatten();
        !is_open
            || self.endings_of(session, opening.user).any(|ending| ending.may_show_to(reader))
            || self.endings_of_somebody.iter().any(|ending| ending.may_show_to(reader))
            || opening.parent.is_some_and(|parent| {
                let actor = self.sessions.get(&parent).map(|opening| opening.user);
                self.may_be_dead(parent, reader)
                    || rights(opening.user).chain(actor.into_iter().flat_map(rights)).any(|change| change.may_show_to(reader))
            })
    }

    /// The ban because of which a user cannot have been admitted.
    fn ban_in_force(&self, user: Uuid, reader: &Deed) -> Option<Deed<'a>> {
        let lifted = |ban: &Deed| {
            let unbans = self.unbans.get(&user).into_iter().flatten();
            unbans.into_iter().any(|unban| unban.may_show_to(reader) && !(unban.happened() && ban.wrote_after(unban)))
        };
        self.bans.get(&user)?.iter().find(|ban| ban.was_over_for(reader) && !lifted(ban)).copied()
    }

    /// Whether the password can have been the user's.
    fn may_have_password(&self, user: Uuid, password: &str, reader: &Deed) -> bool {
        let changes = self.passwords.get(&user);
        let written_over = |writer: &Deed| {
            changes
                .into_iter()
                .flatten()
                .any(|(change, new)| *new != Some(password) && change.was_over_for(reader) && change.wrote_after(writer))
        };
        let writers = self.writers.get(password).into_iter().flatten();
        let mut possible = writers.filter(|(writer, of)| of.is_none_or(|of| of == user) && writer.may_show_to(reader));
        possible.any(|(writer, _)| !written_over(writer))
    }
}

/// What in the history cannot be.
pub fn breaches(history: &History) -> Vec<String> {
    let index = Index::of(history);
    let mut breaches: Vec<String> = history.entries.iter().filter_map(unknown_error).collect();
    let mut used = HashSet::new();
    for (deed, fact) in deeds(history) {
        breaches.extend(breach(&index, &deed, fact));
        if let Fact::TokenUsed(token) = fact
            && deed.happened()
            && !used.insert(token)
        {
            breaches.push(format!("a token was used twice: {deed}"));
        }
    }
    breaches
}

fn breach(index: &Index, deed: &Deed, fact: &Fact) -> Option<String> {
    match fact {
        Fact::Checked { session, good: true } => {
            index.was_dead(*session, deed).map(|ending| format!("session {session} was good after its end: {deed} after {ending}"))
        }
        Fact::Checked { session, good: false } => {
            (!index.may_be_dead(*session, deed)).then(|| format!("session {session} was refused without a reason: {deed}"))
        }
        Fact::Admitted { user, password } => {
            if let Some(ban) = index.ban_in_force(*user, deed) {
                return Some(format!("a banned user was admitted: {deed} after {ban}"));
            }
            let password = password.as_deref()?;
            (!index.may_have_password(*user, password, deed)).then(|| format!("a password opened that was none any more: {deed}"))
        }
        Fact::Breach(what) => Some(format!("{what}: {deed}")),
        _ => None,
    }
}

/// An error that is not in the catalogue, nor one of those by which the server asks for another try or obeys an order.
fn unknown_error(entry: &Entry) -> Option<String> {
    let (sqlstate, detail) = entry.outcome.split_once(' ').unwrap_or((&entry.outcome, ""));
    let code = detail.split(':').next().unwrap_or_default();
    let is_known = matches!(sqlstate, "ok" | "lost" | "40001" | "40P01" | "57014")
        || Code::ALL.iter().any(|known| (known.entry().sqlstate, known.entry().code) == (sqlstate, code));
    (!is_known).then(|| format!("an unknown error of {}: {}", entry.action, entry.outcome))
}

impl std::fmt::Display for Deed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |moment: Moment| moment as f64 / 1e6;
        let Transaction { begun, committing, ended, has_one_snapshot, fate, .. } = self.of;
        let level = if *has_one_snapshot { "one snapshot" } else { "read committed" };
        write!(
            f,
            "{} ({}) in {:.3}-{:.3} ms of a transaction {:.3}-{:.3}-{:.3} ms, {level}, {fate:?}{}",
            self.entry.action,
            self.entry.outcome,
            ms(self.entry.invoked),
            ms(self.entry.returned),
            ms(*begun),
            ms(*committing),
            ms(*ended),
            if self.entry.undone { ", undone" } else { "" }
        )
    }
}

/// How many lines of each action and outcome the audit log must have: so many at least and at most.
pub fn audited(history: &History) -> HashMap<(&str, &str), (i64, i64)> {
    let mut bounds: HashMap<(&str, &str), (i64, i64)> = HashMap::new();
    for (deed, fact) in deeds(history) {
        if let Fact::Audited(action, outcome) = fact
            && !deed.entry.undone
            && deed.of.fate != Fate::RolledBack
        {
            let (least, most) = bounds.entry((action, outcome)).or_default();
            *least += i64::from(deed.happened());
            *most += 1;
        }
    }
    bounds
}

/// Deadlocks in which nobody had done anything before in their transaction: no order of the callers' making is to blame.
pub fn lone_deadlocks(history: &History) -> Vec<String> {
    let mut calls: HashMap<i32, Vec<(usize, &Entry)>> = HashMap::new();
    let mut so_far: HashMap<usize, usize> = HashMap::new();
    for entry in &history.entries {
        let before = so_far.entry(entry.transaction).or_default();
        calls.entry(history.transactions[entry.transaction].pid).or_default().push((*before, entry));
        // Only who has become somebody holds nothing yet.
        *before += usize::from(!matches!(entry.action, "use_session" | "uid"));
    }
    // What a process can have been waiting in: a client may be slow to see that a call has ended, and another has begun by then.
    let during = |pid: &i32, victim: &Entry| -> Vec<&(usize, &Entry)> {
        let calls = calls.get(pid).into_iter().flatten();
        calls.filter(|(_, entry)| entry.invoked < victim.returned && entry.returned > victim.invoked).collect()
    };
    let victims = history.entries.iter().filter(|entry| entry.outcome.starts_with("40P01"));
    let lone = victims.filter_map(|victim| {
        let numbers = victim.outcome.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse::<i32>().ok());
        let involved: HashSet<i32> = numbers.filter(|number| calls.contains_key(number)).collect();
        let calls: Vec<_> = involved.iter().map(|pid| during(pid, victim)).collect();
        let is_lone = calls.iter().all(|calls| !calls.is_empty() && calls.iter().all(|(before, _)| *before == 0));
        let actions = |calls: &Vec<&(usize, &Entry)>| calls.iter().map(|(_, entry)| entry.action).collect::<Vec<_>>();
        is_lone.then(|| format!("{:?}: {}", calls.iter().map(actions).collect::<Vec<_>>(), victim.outcome))
    });
    lone.collect()
}
