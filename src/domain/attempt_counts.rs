//! Counts of attempts at passwords, in a table of fixed size: it lies in shared memory, where nothing can be allocated.

/// What is counted: a hash of the account or the address, and of the database.
pub type Key = [u8; 16];

/// Entries that a key may be in.
const WAYS: usize = 8;
const SETS: usize = 2_048;
/// The first pause, in seconds; doubled with each further attempt, up to the window.
const FIRST_PAUSE: i64 = 30;
const MICROS: i64 = 1_000_000;

#[derive(Clone, Copy)]
struct Entry {
    key: Key,
    attempts: u32,
    /// Microseconds.
    latest: i64,
    /// The latest but one: what holds when the latest was not made after all.
    before: i64,
}

/// The table: half a megabyte.
pub struct Counts {
    /// Mixed into every key: whoever knew where a key stands could drive it out by attempts at others of their choice.
    pub secret: Key,
    entries: [[Entry; WAYS]; SETS],
}

impl Counts {
    /// Nothing counted yet.
    pub const fn new(secret: Key) -> Self {
        Counts { secret, entries: [[Entry { key: [0; 16], attempts: 0, latest: 0, before: 0 }; WAYS]; SETS] }
    }

    /// Whether none of these keys must wait, or for how many seconds.
    pub fn may(&mut self, keys: &[Key], most: u32, window: i64, now: i64) -> Result<(), i64> {
        let wait = keys.iter().map(|key| self.wait(key, most, window, now)).max().unwrap_or(0);
        if wait > 0 { Err(wait) } else { Ok(()) }
    }

    /// Counts an attempt under each of these keys, before it is made: whatever becomes of it, a verdict has then been paid for. Where
    /// one of them must wait it counts nothing and says for how many seconds. `window` in seconds, `now` in microseconds.
    pub fn charge(&mut self, keys: &[Key], most: u32, window: i64, now: i64) -> Result<(), i64> {
        self.may(keys, most, window, now)?;
        for key in keys {
            let entry = self.entry(key, window, now);
            entry.attempts = entry.attempts.saturating_add(1);
            (entry.before, entry.latest) = (entry.latest, now);
        }
        Ok(())
    }

    /// Takes back everything that was counted under a key.
    pub fn forgive(&mut self, key: &Key) {
        if let Some(entry) = self.find(key) {
            entry.attempts = 0;
        }
    }

    /// Takes back one attempt: it was not made, or it was right.
    pub fn give_back(&mut self, key: &Key) {
        if let Some(entry) = self.find(key) {
            entry.attempts -= 1;
            entry.latest = entry.before;
        }
    }

    fn wait(&mut self, key: &Key, most: u32, window: i64, now: i64) -> i64 {
        let Some(entry) = self.find(key).filter(|entry| entry.is_current(window, now)) else { return 0 };
        if entry.attempts < most {
            return 0;
        }
        let doublings = (entry.attempts - most).min(30);
        let pause = (FIRST_PAUSE << doublings).min(window) * MICROS;
        // A clock that was set back makes no pause longer.
        let left = pause - (now - entry.latest).max(0);
        (left.max(0) + MICROS - 1) / MICROS
    }

    fn find(&mut self, key: &Key) -> Option<&mut Entry> {
        self.set(key).iter_mut().find(|entry| entry.attempts > 0 && entry.key == *key)
    }

    /// The entry of this key, a new one where there is none. It takes the place of one that is out of date or else has the fewest
    /// attempts: who floods the table drives out their own single attempts, and not the count of an account that they are guessing at.
    fn entry(&mut self, key: &Key, window: i64, now: i64) -> &mut Entry {
        let set = self.set(key);
        let rank = |entry: &Entry| if entry.is_current(window, now) { (entry.attempts, entry.latest) } else { (0, 0) };
        let place = match set.iter().position(|entry| entry.attempts > 0 && entry.key == *key) {
            Some(place) => place,
            None => (0..WAYS).min_by_key(|way| rank(&set[*way])).unwrap_or(0),
        };
        let entry = &mut set[place];
        if entry.key != *key || !entry.is_current(window, now) {
            *entry = Entry { key: *key, attempts: 0, latest: now, before: now };
        }
        entry
    }

    fn set(&mut self, key: &Key) -> &mut [Entry; WAYS] {
        // The key is a hash already.
        let number = usize::from(u16::from_le_bytes([key[0], key[1]])) % SETS;
        &mut self.entries[number]
    }
}

impl Entry {
    fn is_current(&self, window: i64, now: i64) -> bool {
        // What lies further in the future than the window is from before the clock was set back.
        self.attempts > 0 && (now - self.latest).abs() <= window * MICROS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = MICROS;

    fn key(n: u32) -> Key {
        let mut key = [7; 16];
        key[12..].copy_from_slice(&n.to_le_bytes());
        key
    }

    fn counts() -> Box<Counts> {
        Box::new(Counts::new([0; 16]))
    }

    #[test]
    fn after_so_many_attempts_a_pause_that_doubles_up_to_the_window() {
        let mut counts = counts();
        let mut now = 1_000 * SECOND;
        for _ in 0..10 {
            assert_eq!(counts.charge(&[key(1)], 10, 900, now), Ok(()));
        }
        for pause in [30, 60, 120, 240, 480, 900, 900] {
            assert_eq!(counts.charge(&[key(1)], 10, 900, now), Err(pause));
            assert_eq!(counts.charge(&[key(1)], 10, 900, now + pause * SECOND - 1), Err(1));
            now += pause * SECOND;
            assert_eq!(counts.charge(&[key(1)], 10, 900, now), Ok(()), "never for ever");
        }
        assert_eq!(counts.charge(&[key(2)], 10, 900, now), Ok(()), "others are not concerned");
        assert_eq!(counts.charge(&[key(1)], 10, 900, now + 901 * SECOND), Ok(()));
        assert_eq!(counts.charge(&[key(1)], 10, 900, now + 901 * SECOND), Ok(()), "forgotten");
    }

    #[test]
    fn one_that_must_wait_keeps_the_other_from_being_charged() {
        let mut counts = counts();
        for _ in 0..3 {
            counts.charge(&[key(1)], 3, 900, SECOND).unwrap();
        }
        for _ in 0..5 {
            assert!(counts.charge(&[key(1), key(2)], 3, 900, SECOND).is_err());
        }
        assert_eq!(counts.charge(&[key(2)], 1, 900, SECOND), Ok(()));
    }

    #[test]
    fn a_right_password_clears_the_account_and_gives_the_address_one_back() {
        let mut counts = counts();
        for _ in 0..3 {
            counts.charge(&[key(1), key(2)], 3, 900, SECOND).unwrap();
        }
        counts.forgive(&key(1));
        counts.give_back(&key(2));
        assert_eq!(counts.charge(&[key(1)], 3, 900, SECOND), Ok(()));
        assert_eq!(counts.charge(&[key(2)], 3, 900, SECOND), Ok(()));
        assert!(counts.charge(&[key(2)], 3, 900, SECOND).is_err());
        counts.charge(&[key(3)], 1, 900, SECOND).unwrap();
        counts.charge(&[key(3)], 1, 900, 31 * SECOND).unwrap();
        counts.give_back(&key(3));
        assert_eq!(counts.charge(&[key(3)], 1, 900, 31 * SECOND), Ok(()), "the pause is not renewed by what was not made");
        counts.forgive(&key(9));
        counts.give_back(&key(10));
    }

    #[test]
    fn flooding_does_not_drive_out_what_is_guessed_at() {
        let mut counts = counts();
        for _ in 0..10 {
            counts.charge(&[key(0)], 10, 900, SECOND).unwrap();
        }
        for n in 1..1_000 {
            let _ = counts.charge(&[key(n)], 10, 900, 2 * SECOND);
        }
        assert!(counts.charge(&[key(0)], 10, 900, 3 * SECOND).is_err(), "all of these are in the same set");
    }

    #[test]
    fn a_clock_that_jumps_locks_nobody_out() {
        let mut counts = counts();
        for _ in 0..10 {
            counts.charge(&[key(1)], 10, 900, 100_000 * SECOND).unwrap();
        }
        assert_eq!(counts.charge(&[key(1)], 10, 900, SECOND), Ok(()), "a day back");
        for _ in 0..9 {
            counts.charge(&[key(1)], 10, 900, SECOND).unwrap();
        }
        assert_eq!(counts.charge(&[key(1)], 10, 900, -800 * SECOND), Err(30), "not longer than the pause");
    }
}
