//! Some thousand inputs for every parser of what clients send; `make soak` lets libFuzzer search.

use crate::properties::PROPERTIES;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::panic;

/// What parsers trip over.
const PIECES: &[&str] = &[
    "\0",
    "\u{7f}",
    "\u{85}",
    "\u{a0}",
    "\u{200b}",
    "\u{202e}",
    "\u{feff}",
    "\u{ff20}",
    "\u{130}",
    "\u{212a}",
    "e\u{301}",
    "ß",
    "😀",
    "\\",
    "'",
    "\"",
    "$",
    "@",
    "@@",
    ".",
    "..",
    ":",
    ",",
    "=",
    "%",
    "_",
    "{",
    "}",
    "[",
    "]",
    "null",
    "true",
    "1e400",
    "-1",
    "4294967295",
    "99999999999999999999",
    "xn--",
    "$argon2id$",
    "m=4294967295",
    "pg_",
    "\n",
    "\r\n",
    "\t",
    " ",
    "AAAA",
    "\\u0000",
    "\\ud800",
];

/// A seed with a few things done to it, at the borders of its characters.
fn mutated(seed: &str, random: &mut StdRng) -> String {
    let mut text: Vec<char> = seed.chars().collect();
    for _ in 0..random.random_range(0..6) {
        let at = random.random_range(0..=text.len());
        match random.random_range(0..5) {
            0 => drop(text.splice(at..at, PIECES[random.random_range(0..PIECES.len())].chars())),
            1 if at < text.len() => drop(text.remove(at)),
            2 if at < text.len() => text[at] = char::from_u32(random.random_range(0..0x11_0000)).unwrap_or('\u{fffd}'),
            3 => text.truncate(at),
            4 => {
                let repeated: Vec<char> = text[..at.min(40)].repeat(random.random_range(0..20));
                text.extend(repeated);
            }
            _ => {}
        }
    }
    text.into_iter().collect()
}

#[test]
fn what_must_hold_for_every_input_holds_for_these() {
    for property in PROPERTIES {
        for seed in 0..1_500 {
            let mut random = StdRng::seed_from_u64(seed);
            let input = mutated(property.seeds[random.random_range(0..property.seeds.len())], &mut random);
            if panic::catch_unwind(|| (property.check)(&input)).is_err() {
                panic!("{} does not hold for {input:?}", property.name);
            }
        }
    }
}

#[test]
fn the_parsers_understand_what_the_search_starts_from() {
    for property in PROPERTIES {
        for seed in property.seeds {
            assert!((property.check)(seed), "{}: {seed}", property.name);
        }
    }
}

/// Otherwise the search would begin in front of a closed door.
#[test]
fn every_parser_has_a_fuzz_target() {
    let manifest = include_str!("fuzz/Cargo.toml");
    for property in PROPERTIES {
        assert!(manifest.contains(&format!("name = \"{0}\"\npath = \"targets/{0}.rs\"", property.name)), "{}", property.name);
    }
    assert_eq!(manifest.matches("[[bin]]").count(), PROPERTIES.len());
}
