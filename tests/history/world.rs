//! What the clients have learned: who exists, which tokens there are. Much of it is out of date, as it is where there are many.

use super::deeds::Identity;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

/// So few that they collide.
pub const ADDRESSES: u64 = 12;
const REMEMBERED: usize = 24;

/// Numbers that look random and come again with their seed (splitmix64).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Chance(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

#[derive(Clone)]
pub struct Known {
    pub id: Uuid,
    pub email: String,
    pub password: String,
    /// The one before.
    pub former: String,
}

impl Known {
    pub fn new(id: Uuid, email: &str, password: &str) -> Self {
        Known { id, email: email.to_owned(), password: password.to_owned(), former: password.to_owned() }
    }
}

#[derive(Clone)]
pub struct Mailed {
    pub kind: String,
    pub token: String,
}

#[derive(Clone)]
pub struct Account {
    pub id: Uuid,
    pub user: Uuid,
    pub provider: String,
}

/// The last of each that anybody has learned.
#[derive(Default)]
pub struct World {
    users: Mutex<VecDeque<Known>>,
    sessions: Mutex<VecDeque<(String, Identity)>>,
    mailed: Mutex<VecDeque<Mailed>>,
    accounts: Mutex<VecDeque<Account>>,
    numbers: AtomicU64,
}

fn remember<T>(into: &Mutex<VecDeque<T>>, what: T) {
    let mut into = into.lock().expect("what is remembered");
    into.push_back(what);
    if into.len() > REMEMBERED {
        into.pop_front();
    }
}

/// Rather one of the later ones.
fn any<T: Clone>(of: &Mutex<VecDeque<T>>, chance: &mut Chance) -> Option<T> {
    let of = of.lock().expect("what is remembered");
    let mut at = || chance.below(of.len() as u64) as usize;
    (!of.is_empty()).then(|| of[at().max(at())].clone())
}

impl World {
    pub fn address(chance: &mut Chance) -> String {
        format!("u{}@example.org", chance.below(ADDRESSES))
    }

    /// One that nobody has had.
    pub fn new_password(&self) -> String {
        format!("password number {}", self.numbers.fetch_add(1, Ordering::Relaxed))
    }

    pub fn learn_user(&self, user: Known) {
        self.users.lock().expect("the users").retain(|known| known.id != user.id);
        remember(&self.users, user);
    }

    pub fn learn_password(&self, user: Uuid, password: &str) {
        let mut users = self.users.lock().expect("the users");
        if let Some(known) = users.iter_mut().find(|known| known.id == user) {
            known.former = std::mem::replace(&mut known.password, password.to_owned());
        }
    }

    pub fn password_of(&self, user: Uuid) -> String {
        let users = self.users.lock().expect("the users");
        users.iter().find(|known| known.id == user).map_or("no such password", |known| &known.password).to_owned()
    }

    pub fn forget_user(&self, user: Uuid) {
        self.users.lock().expect("the users").retain(|known| known.id != user);
    }

    /// Who there is; their passwords as far as they are known.
    pub fn learn_all(&self, there: &[(Uuid, String)]) {
        let mut users = self.users.lock().expect("the users");
        let known = |(id, email): &(Uuid, String)| {
            let known = users.iter().find(|known| known.id == *id).cloned();
            Known { email: email.clone(), ..known.unwrap_or_else(|| Known::new(*id, email, "no such password")) }
        };
        *users = there.iter().map(known).collect();
    }

    pub fn user(&self, chance: &mut Chance) -> Known {
        any(&self.users, chance).unwrap_or_else(|| Known::new(Uuid::nil(), &Self::address(chance), "no such password"))
    }

    pub fn learn_session(&self, token: &str, identity: Identity) {
        remember(&self.sessions, (token.to_owned(), identity));
    }

    pub fn forget_session(&self, session: Uuid) {
        self.sessions.lock().expect("the sessions").retain(|(_, identity)| identity.session != session);
    }

    pub fn session(&self, chance: &mut Chance) -> Option<(String, Identity)> {
        any(&self.sessions, chance)
    }

    pub fn learn_mail(&self, kind: &str, token: &str) {
        remember(&self.mailed, Mailed { kind: kind.to_owned(), token: token.to_owned() });
    }

    pub fn mail(&self, chance: &mut Chance) -> Option<Mailed> {
        any(&self.mailed, chance)
    }

    pub fn learn_account(&self, account: Account) {
        self.accounts.lock().expect("the accounts").retain(|known| known.id != account.id);
        remember(&self.accounts, account);
    }

    pub fn account(&self, chance: &mut Chance) -> Option<Account> {
        any(&self.accounts, chance)
    }
}
