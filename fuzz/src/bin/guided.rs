//! One target under libFuzzer, which looks for inputs that lead to new code: the one that the environment names.

#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls symbols of C")]

use std::{env, sync::OnceLock};

use fuzz::{TARGET_VARIABLE, Target};

static TARGET: OnceLock<Target> = OnceLock::new();

fn named() -> Target {
    let name = env::var(TARGET_VARIABLE).unwrap_or_default();
    match fuzz::find(&name) {
        Some(target) => target,
        None => panic!("{TARGET_VARIABLE}={name} is not a target"),
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (TARGET.get_or_init(named).run)(bytes));
