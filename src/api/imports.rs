//! Moving in.

use crate::backend::json::WholeJson;
use crate::backend::raise::{could_not_serialize, run};
use crate::backend::{ids, state};
use crate::caller::{self, Record};
use crate::deeds::attributes;
use crate::domain::user_import::UserImport;
use crate::error::{Code, Result, invalid, required};
use crate::store::{callers, imports};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::{Uuid, name, pg_extern};
use std::collections::HashSet;

/// Rows that are in memory at a time, and that go into one statement.
const BATCH: i32 = 1_000;

/// Rounds in succession that settle nobody.
const MAX_FUTILE: u32 = 3;

/// What has become of a row.
struct Outcome {
    email: Option<String>,
    status: &'static str,
    user: Option<Uuid>,
}

const CREATED: &str = "created";
const EXISTS: &str = "exists";

/// `auth.import_users()`
#[pg_extern(sql = false)]
fn import_users(
    users: Option<WholeJson>,
) -> TableIterator<'static, (name!(email, Option<String>), name!(status, String), name!(user_id, Option<Uuid>))> {
    run(move || {
        let caller = caller::back_end()?;
        let users = required(users, "users")?;
        if !users.is_array() {
            return Err(invalid("users"));
        }
        let count = imports::count(&users);
        let mut outcomes: Vec<Outcome> = Vec::new();
        for from in (0..count).step_by(BATCH as usize) {
            pgrx::check_for_interrupts!();
            outcomes.extend(import(imports::slice(&users, from, count.min(from + BATCH))));
        }
        let counted = |status: &str| outcomes.iter().filter(|outcome| outcome.status == status).count();
        let (created, existing) = (counted(CREATED), counted(EXISTS));
        let record = Record::of(&caller, "import_users").with("created", created).with("exists", existing);
        record.with("refused", outcomes.len() - created - existing).ok()?;
        Ok(TableIterator::new(outcomes.into_iter().map(|outcome| (outcome.email, outcome.status.to_owned(), outcome.user))))
    })
}

/// One batch. Rows of the same address or account take turns, in rounds.
fn import(rows: Vec<Option<serde_json::Value>>) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(rows.len());
    let mut waiting: Vec<(usize, UserImport)> = Vec::new();
    for (number, row) in rows.into_iter().enumerate() {
        let email = row.as_ref().and_then(|row| row["email"].as_str().map(str::to_owned));
        let parsed = row.ok_or_else(|| invalid("users")).and_then(checked);
        match parsed {
            Ok(user) => {
                outcomes.push(Outcome { email: Some(user.email.clone()), status: CREATED, user: None });
                waiting.push((number, user));
            }
            Err(error) => outcomes.push(Outcome { email, status: error.code.entry().code, user: None }),
        }
    }
    // They stay until we are done.
    let known = imports::existing_roles(waiting.iter().flat_map(|(_, user)| user.roles.clone()).collect());
    let mut held: Vec<String> = known.iter().cloned().collect();
    held.sort_unstable();
    if !callers::hold_roles(&held) {
        could_not_serialize();
    }
    waiting.retain(|(number, user)| {
        let exist = user.roles.iter().all(|role| known.contains(role));
        if !exist {
            outcomes[*number].status = Code::INVALID_ROLE.entry().code;
        }
        exist
    });
    let mut futile = 0;
    while !waiting.is_empty() {
        let left = waiting.len();
        waiting = round(waiting, &mut outcomes, futile < MAX_FUTILE);
        futile = if waiting.len() < left { 0 } else { futile + 1 };
        // What somebody has taken meanwhile, the next round sees, but not in an older snapshot.
        if futile > 0 && state::keeps_snapshot() {
            could_not_serialize();
        }
    }
    outcomes
}

fn checked(row: serde_json::Value) -> Result<UserImport> {
    let user = UserImport::parse(row)?;
    if user.attributes.as_object().is_some_and(|keys| !keys.is_empty()) {
        attributes::stored(user.attributes.clone())?;
    }
    if let Some(text) = &user.created_at {
        let moment: TimestampWithTimeZone = text.parse().map_err(|_| invalid("created_at"))?;
        if !moment.is_finite() {
            return Err(invalid("created_at"));
        }
    }
    Ok(user)
}

/// Creates those whom nothing stands in the way of; returns those who must wait for one of these, and all where somebody has been faster. Without `gives_way`
/// what stands in the way is reported as it stands: a unique key that is not ours is in no look-up.
fn round(users: Vec<(usize, UserImport)>, outcomes: &mut [Outcome], gives_way: bool) -> Vec<(usize, UserImport)> {
    let holders = imports::holders(users.iter().map(|(_, user)| user.email.clone()).collect());
    let ids = imports::taken_ids(users.iter().filter_map(|(_, user)| own_id(user)).collect());
    let (providers, provider_ids) = users.iter().flat_map(|(_, user)| user.accounts.clone()).unzip();
    let accounts = imports::taken_accounts(providers, provider_ids);
    let (mut emails, mut new_ids, mut new_accounts) = (HashSet::new(), HashSet::new(), HashSet::new());
    let (mut now, mut later): (Vec<(usize, Uuid, UserImport)>, Vec<_>) = (Vec::new(), Vec::new());
    for (number, user) in users {
        let outcome = &mut outcomes[number];
        let id = own_id(&user).unwrap_or_else(ids::new);
        if let Some(holder) = holders.get(&user.email) {
            (outcome.status, outcome.user) = (EXISTS, Some(*holder));
        } else if ids.contains(&id) {
            outcome.status = Code::USER_ALREADY_EXISTS.entry().code;
        } else if user.accounts.iter().any(|account| accounts.contains(account)) {
            outcome.status = Code::ACCOUNT_ALREADY_LINKED.entry().code;
        } else {
            // Also those who wait keep others waiting, so that of two rows the first one counts.
            let mut is_free = emails.insert(user.email.clone()) & new_ids.insert(id);
            for account in &user.accounts {
                is_free &= new_accounts.insert(account.clone());
            }
            if is_free {
                now.push((number, id, user));
            } else {
                later.push((number, user));
            }
        }
    }
    if now.is_empty() {
        return later;
    }
    // In one order, or two imports of the same rows could wait for each other.
    now.sort_unstable_by(|(.., one), (.., other)| one.email.cmp(&other.email));
    let rows: Vec<_> = now.iter().map(|(_, id, user)| (*id, user)).collect();
    let done = if gives_way {
        imports::create_unless_taken(&rows, ids::new)
    } else {
        imports::create(&rows, ids::new);
        true
    };
    if done {
        for (number, id, _) in now {
            outcomes[number].user = Some(id);
        }
    } else {
        // Somebody has signed up at this moment with what was nobody's a moment ago.
        later.extend(now.into_iter().map(|(number, _, user)| (number, user)));
        later.sort_by_key(|(number, _)| *number);
    }
    later
}

fn own_id(user: &UserImport) -> Option<Uuid> {
    user.id.map(ids::servers)
}
