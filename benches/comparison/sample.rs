//! Taking times.

use std::time::Instant;

/// The times of several things, in microseconds, taken in turns, so that whatever else the machine does strikes all of them.
pub fn in_turns<const N: usize>(times: usize, mut things: [&mut dyn FnMut(usize); N]) -> [Vec<f64>; N] {
    let mut took = [const { Vec::new() }; N];
    for n in 0..times + times / 10 + 2 {
        for (thing, took) in things.iter_mut().zip(&mut took) {
            let began = Instant::now();
            thing(n);
            // The first tenth warms up.
            if n >= times / 10 + 2 {
                took.push(began.elapsed().as_secs_f64() * 1e6);
            }
        }
    }
    took
}

/// The middle one.
pub fn median(took: &[f64]) -> f64 {
    let mut sorted = took.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
