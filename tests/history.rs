//! A history at random: many clients call whatever there is, on few users, while a nemesis cuts them off. Afterwards what they have
//! seen must be possible: every session that was good had a moment at which it could be, no token was used twice, and so on.

mod aftermath;
mod choice;
mod client;
mod deeds;
mod impossible;
mod judge;
mod nemesis;
mod record;
mod world;

use client::{Client, Shared};
use nemesis::Targets;
use pgrx_tests::{Database, figure, rounds};
use record::History;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use world::{Known, World};

/// Three administrators and as many users, by a superuser.
fn populate(db: &Database, world: &World, history: &mut History) {
    let mut dba = db.dba();
    for number in 0..6 {
        let (email, password) = (format!("u{number}@example.org"), world.new_password());
        let roles = if number < 3 { "{admin}" } else { "{user}" };
        let id: String = dba.one(&format!("select auth.create_user('{email}', '{password}', roles => '{roles}') ->> 'id'"));
        let id = id.parse().expect("an id");
        history.append(record::made_before(id, &password));
        world.learn_user(Known::new(id, &email, &password));
    }
}

fn settled() -> Database {
    let db = Database::new();
    let set = |setting: &str| db.dba().run(&format!("alter database {} set {setting}", db.name));
    ["auth.message_interval = 0", "auth.message_lease = 1"].iter().for_each(|setting| set(setting));
    ["auth.max_failed_attempts = 100", "auth.failed_attempt_window = 1"].iter().for_each(|setting| set(setting));
    set("deadlock_timeout = '50ms'");
    db
}

/// Lets them loose; what they have seen, and what the watchers have.
fn played(db: &Database, clients: usize, calls: u32, seed: u64) -> (History, Vec<String>) {
    let mut history = History::default();
    let shared =
        Shared { db, world: World::default(), targets: Targets::new(clients), start: Instant::now(), budget: AtomicI64::new(calls.into()) };
    populate(db, &shared.world, &mut history);
    let over = AtomicBool::new(false);
    let (haunted, watched) = thread::scope(|scope| {
        let nemesis = scope.spawn(|| nemesis::haunt(db, &shared.targets, &over, seed));
        let watcher = scope.spawn(|| nemesis::watch(db, &over));
        let shared = &shared;
        let threads: Vec<_> = (0..clients)
            .map(|number| scope.spawn(move || Client::new(shared, number, seed.wrapping_mul(31).wrapping_add(number as u64)).run()))
            .collect();
        for client in threads {
            history.append(client.join().expect("a client"));
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        (nemesis.join().expect("the nemesis"), watcher.join().expect("the watcher"))
    });
    println!("{} calls cancelled, {} connections cut, {} looks", haunted.0, haunted.1, watched.0);
    let unwatched = (watched.1 > 0).then(|| format!("no administrator, or an address twice, at {} of {} looks", watched.1, watched.0));
    (history, unwatched.into_iter().collect())
}

#[test]
fn whatever_many_do_at_random_can_be_explained() {
    let seed = std::env::var("PG_AUTH_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos() as u64);
    let (clients, calls) = (rounds(8, 16) as usize, rounds(4_000, 110_000));
    let began = Instant::now();
    let db = settled();
    let (history, mut breaches) = played(&db, clients, calls, seed);
    breaches.extend(judge::breaches(&history));
    breaches.extend(aftermath::breaches(&db, &history));
    // A deletion takes others' rows in no order: the foreign keys by which roles and bans name who gave them are set null.
    let (of_deletions, lone): (Vec<_>, Vec<_>) =
        judge::lone_deadlocks(&history).into_iter().partition(|deadlock| deadlock.contains("\"delete_user\""));
    breaches.extend(lone.iter().map(|deadlock| format!("a deadlock of single calls: {deadlock}")));
    let seconds = began.elapsed().as_secs();
    figure("random calls of which the history was checked", history.entries.len());
    figure("breaches of an invariant in it", breaches.len());
    figure("deadlocks in it, by the order of calls in a transaction", history.count("40P01") - lone.len() - of_deletions.len());
    figure("deadlocks in it of a deletion with another call", of_deletions.len());
    figure("seconds it took", seconds);
    db.dba().run(&format!("drop role if exists {}", choice::DATABASE_ROLES.join(", ")));
    // Were most of them refused, or one kind never made, little would have been tried.
    for action in ["sign_in", "use_session", "uid", "ban_user", "set_user_roles", "reset_password", "delete_user"] {
        assert!(history.entries.iter().any(|entry| entry.action == action && entry.outcome == "ok"), "no {action} went well; seed {seed}");
    }
    assert!(history.count("lost") > 0, "nobody was cut off; seed {seed}");
    let shown = &breaches[..breaches.len().min(20)];
    // Past what the test harness keeps back until the end: it comes once in a thousand times, and of a long output the end may be lost.
    shown.iter().for_each(|breach| writeln!(std::io::stderr(), "history, seed {seed}: {breach}").expect("a place to write to"));
    assert!(breaches.is_empty(), "{} breaches with seed {seed}", breaches.len());
}
