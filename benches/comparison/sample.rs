//! Taking times.

use std::time::Instant;

/// The times of several things, in microseconds, taken in turns, so that whatever else the machine does strikes all of them. In a turn each is
/// done so many times on end, as a connection's client would: with one at a time every turn would begin with a change of process.
pub fn in_turns<const N: usize>(turns: usize, on_end: usize, mut things: [&mut dyn FnMut(usize); N]) -> [Vec<f64>; N] {
    let mut took = [const { Vec::new() }; N];
    let warming_up = warming_up(turns);
    for turn in 0..turns + warming_up {
        for (thing, took) in things.iter_mut().zip(&mut took) {
            for n in 0..on_end {
                let began = Instant::now();
                thing(turn * on_end + n);
                // The first of many on end brings its process back into the cores' caches.
                if turn >= warming_up && (n > 0 || on_end == 1) {
                    took.push(began.elapsed().as_secs_f64() * 1e6);
                }
            }
        }
    }
    took
}

/// How many turns come before those that count.
pub fn warming_up(turns: usize) -> usize {
    turns / 10 + 1
}

/// The middle one.
pub fn median(took: &[f64]) -> f64 {
    let mut sorted = took.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
