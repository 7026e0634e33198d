//! Who cuts connections and cancels calls, and who counts the administrators all the while.

use super::world::Chance;
use pgrx_tests::Database;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// The server's processes of the clients.
pub struct Targets(Mutex<Vec<Option<i32>>>);

impl Targets {
    pub fn new(clients: usize) -> Self {
        Targets(Mutex::new(vec![None; clients]))
    }

    pub fn set(&self, client: usize, pid: Option<i32>) {
        self.0.lock().expect("the targets")[client] = pid;
    }

    fn any(&self, chance: &mut Chance) -> Option<i32> {
        *chance.pick(&self.0.lock().expect("the targets"))
    }
}

/// Until it is over: how many calls it cancelled and connections it cut.
pub fn haunt(db: &Database, targets: &Targets, over: &AtomicBool, seed: u64) -> (u32, u32) {
    let (mut dba, mut chance) = (db.dba(), Chance::new(seed));
    let (mut cancelled, mut cut) = (0, 0);
    while !over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_micros(chance.below(80_000)));
        let Some(pid) = targets.any(&mut chance) else { continue };
        let is_to_end = chance.percent(30);
        let function = if is_to_end { "pg_terminate_backend" } else { "pg_cancel_backend" };
        // Of our database: the process may be somebody else's by now.
        let order = format!("select count({function}(pid)) from pg_stat_activity where pid = {pid} and datname = current_database()");
        let done: i64 = dba.one(&order);
        *(if is_to_end { &mut cut } else { &mut cancelled }) += done as u32;
    }
    (cancelled, cut)
}

/// Until it is over: how often it looked, and how often it found no administrator or an address twice.
pub fn watch(db: &Database, over: &AtomicBool) -> (u32, u32) {
    let mut dba = db.dba();
    let (mut looks, mut breaches) = (0, 0);
    while !over.load(Ordering::Relaxed) {
        let is_well: bool = dba.one(
            "select exists (select from auth.user_roles r where r.role = 'admin' and not exists (select from auth.bans b where b.user_id = r.user_id))
                    and not exists (select from auth.users group by lower(email) having count(*) > 1)",
        );
        looks += 1;
        breaches += u32::from(!is_well);
        thread::sleep(Duration::from_millis(2));
    }
    (looks, breaches)
}
