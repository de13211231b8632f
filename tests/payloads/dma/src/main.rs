//! A guest that has a PCI device read and write memory wherever it is told to.
//!
//! The device is QEMU's `edu`, which copies up to a page between RAM and a buffer of its own, past every table of the
//! CPU. The command line may say `touch=ADDRESS,..`: a word there is read first, by the CPU.
//!
//! Then the payload says `P READY`, and waits for its orders in the first of its frames, from whoever has the machine's
//! memory open as a file: a number of addresses, which is written last, and the addresses behind it. At each the device
//! writes a pattern, and reads what is there into this guest's own memory. With `flood=COUNT` it writes that often to one
//! after the other of them afterwards, without a word.

#![cfg_attr(target_os = "none", no_std, no_main)]
#![cfg_attr(
    target_os = "none",
    expect(unsafe_code, reason = "a device is driven by loads and stores")
)]

#[cfg(target_os = "none")]
mod edu;

#[cfg(target_os = "none")]
bare::payload!(run::main, run::secondary);

/// The payload's functions.
#[cfg(target_os = "none")]
mod run {
    use core::hint;

    use bare::memory::{self, Frames};
    use bare::options::Options;
    use bare::{println, psci};

    use crate::edu::{Edu, load};

    const BYTES: u64 = 64;
    const WORDS: u64 = BYTES / 8;

    pub(crate) fn main(options: Options<'_>) -> ! {
        let mut frames = Frames::all();
        let (orders, pattern, result) = (frames.page(), frames.page(), frames.page());
        for at in numbers(options, "touch") {
            println!("P {at:#x} reads {:#x}", load(at));
        }
        println!("P READY");
        let count = loop {
            match memory::read(orders) {
                0 => hint::spin_loop(),
                count => break count,
            }
        };
        let Some(edu) = Edu::find() else {
            panic!("there is no device")
        };
        for order in 1..=count {
            try_at(&edu, memory::read(orders + order * 8), pattern, result);
        }
        for round in 0..options.number("flood").unwrap_or(0) {
            edu.write(memory::read(orders + (1 + round % count) * 8), BYTES);
        }
        println!("P DONE");
        // Whoever looks on may still want to ask the console.
        while memory::read(orders) != 0 {
            hint::spin_loop();
        }
        println!("P OK");
        psci::power_off()
    }

    /// Has `edu` write to `at`, and read from there; says which of both it could.
    fn try_at(edu: &Edu, at: u64, pattern: u64, result: u64) {
        fill(pattern, |word| at ^ word << 56 ^ 0x5aa5_5aa5);
        edu.read(pattern, BYTES);
        edu.write(at, BYTES);
        // What the device has from now on is what is there, or zeros, if it could read them.
        fill(result, |_| 0);
        edu.read(result, BYTES);
        edu.read(at, BYTES);
        edu.write(result, BYTES);
        let same = (0..WORDS).all(|word| memory::read(result + word * 8) == memory::read(pattern + word * 8));
        let empty = (0..WORDS).all(|word| memory::read(result + word * 8) == 0);
        println!(
            "P {at:#x} {}",
            match (same, empty) {
                (true, _) => "was written",
                (false, true) => "was not reached",
                (false, false) => "was read",
            }
        );
    }

    fn fill(at: u64, word: impl Fn(u64) -> u64) {
        for index in 0..WORDS {
            memory::write(at + index * 8, word(index));
        }
    }

    /// The numbers, in hexadecimal, of the word `name=NUMBER,..`.
    fn numbers<'a>(options: Options<'a>, name: &str) -> impl Iterator<Item = u64> + use<'a> {
        let list = options.value(name).unwrap_or("");
        list.split(',')
            .filter_map(|number| u64::from_str_radix(number.trim_start_matches("0x"), 16).ok())
    }

    /// No CPU is started but the first.
    pub(crate) fn secondary(_: u64) -> ! {
        psci::wait_for_ever()
    }
}

/// On the host this is nothing: it only keeps the workspace whole.
#[cfg(not(target_os = "none"))]
fn main() {}
