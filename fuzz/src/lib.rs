//! What reads untrusted bytes, fed with any.
//!
//! A [`Target`] makes of an input what a hostile guest, a device tree, a console or a file could have sent, and panics if
//! gnomon's answer breaks a rule: by a panic of its own (arithmetic is checked), or where it differs from a naive model.
//! Every input means something, so nothing is wasted on inputs that are refused.
//!
//! `cargo test -p fuzz` tries inputs that are drawn from a fixed seed, and those in `seeds/`. `scripts/fuzz-host` looks for
//! inputs that reach new code, with libFuzzer (`src/bin/guided.rs`).

#![forbid(unsafe_code)]

mod chance;
mod input;
mod targets;

pub use chance::Chance;
pub use input::Input;

/// Says which target the guided program is to run.
pub const TARGET_VARIABLE: &str = "GNOMON_FUZZ_TARGET";

/// Something that reads untrusted bytes.
#[derive(Clone, Copy)]
pub struct Target {
    /// In lower case, as on the command line.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Tries one input. Panics if a rule is broken.
    pub run: fn(&[u8]),
    /// How many inputs the short run tries: what takes some five seconds.
    pub executions: u32,
    /// The longest input that is worth trying.
    pub bytes_max: usize,
}

/// All targets.
pub const TARGETS: &[Target] = targets::ALL;

/// The target of that name.
#[must_use]
pub fn find(name: &str) -> Option<Target> {
    TARGETS.iter().find(|target| target.name == name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    /// An input of chance, or one of `seeds` with a few bytes changed.
    fn draw(chance: &mut Chance, seeds: &[Vec<u8>], bytes_max: usize) -> Vec<u8> {
        if seeds.is_empty() {
            return chance.bytes(bytes_max);
        }
        let mut input = seeds[chance.below(seeds.len())].clone();
        for _ in 0..=chance.below(4) {
            let at = chance.below(input.len());
            input[at] = chance.number() as u8;
        }
        input
    }

    fn seeds_of(name: &str) -> Vec<Vec<u8>> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name);
        let Ok(entries) = fs::read_dir(dir) else {
            return Vec::new();
        };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| fs::read(path).unwrap()).collect()
    }

    #[test]
    fn no_input_of_a_fixed_seed_breaks_a_rule() {
        const INPUTS: u32 = 300;
        for target in TARGETS {
            let seeds = seeds_of(target.name);
            seeds.iter().for_each(|seed| (target.run)(seed));
            (target.run)(&[]);
            let mut chance = Chance(1);
            for _ in 0..INPUTS {
                (target.run)(&draw(&mut chance, &seeds, target.bytes_max));
            }
        }
    }

    #[test]
    fn names_are_words_and_each_is_one_target() {
        for target in TARGETS {
            assert!(
                target
                    .name
                    .bytes()
                    .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
            );
            assert_eq!(TARGETS.iter().filter(|other| other.name == target.name).count(), 1);
        }
        assert!(find("no such").is_none());
    }
}
