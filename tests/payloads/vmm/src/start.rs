//! From the kernel's `execve` to a mode, and from there to the machine's end.

use core::arch::global_asm;
use core::ffi::{CStr, c_char};
use core::panic::PanicInfo;
use core::slice;

use crate::linux::{self, Guest};
use crate::out::{self, say};
use crate::stress::Goal;
use crate::{bench, golden, kexec, stress, sys};

/// The most arguments that are looked at.
const ARGUMENTS_MAX: usize = 12;

// The kernel enters with the argument count at SP and the arguments behind it.
global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, xzr",
    "mov x30, xzr",
    "mov x0, sp",
    "bl {start}",
    "brk #0",
    start = sym start,
);

/// The argument vector as the kernel leaves it on the stack.
#[repr(C)]
struct Arguments {
    count: usize,
    first: [*const c_char; 0],
}

/// # Safety
///
/// `arguments` is the stack pointer that the kernel started the program with.
unsafe extern "C" fn start(arguments: *const Arguments) -> ! {
    // SAFETY: the kernel put the count there, and that many pointers behind it.
    let pointers = unsafe { slice::from_raw_parts((*arguments).first.as_ptr(), (*arguments).count) };
    let mut words = [""; ARGUMENTS_MAX];
    let mut count = 0;
    for (word, &pointer) in words.iter_mut().zip(pointers.iter().skip(1)) {
        // SAFETY: each points to a string that ends with a zero byte and stays for the life of the process.
        *word = unsafe { CStr::from_ptr(pointer) }.to_str().unwrap_or("?");
        count += 1;
    }
    let started = bench::ticks();
    let is_init = sys::process_id() == 1;
    if is_init {
        mount_all();
    }
    let words = words.get(..count).unwrap_or_default();
    let words = match words.split_first() {
        Some((&"log", words)) => {
            out::to_kernel_log();
            words
        }
        _ => words,
    };
    let (words, restarts) = match words.split_last() {
        Some((&"restart", words)) => (words, true),
        _ => (words, false),
    };
    let (words, holds) = match words.split_last() {
        Some((&"hold", words)) => (words, true),
        _ => (words, false),
    };
    let (words, goes_on) = match words.split_first() {
        Some((&"kexec", words)) => (words, true),
        Some((&"again", words)) => (words, false),
        _ => (words, false),
    };
    let is_ok = run(words, holds, started);
    if holds {
        hold("done");
    }
    let is_ok = is_ok && (!goes_on || kexec::run());
    say!("{}", if is_ok { "OK" } else { "FAIL" });
    if is_init && restarts && is_ok {
        sys::restart();
    }
    if is_init {
        sys::power_off();
    }
    sys::exit(i32::from(!is_ok));
}

/// Does what the words say; the counter was at `started` when the program began.
fn run(words: &[&str], holds: bool, started: u64) -> bool {
    match words {
        ["stress", workers, seconds] => match (workers.parse(), seconds.parse()) {
            (Ok(workers), Ok(seconds)) => stress::run(workers, Goal::Seconds(seconds)),
            _ => usage(words),
        },
        ["faults", workers, seconds] => match (workers.parse(), seconds.parse()) {
            (Ok(workers), Ok(seconds)) => stress::run(workers, Goal::Faults(seconds)),
            _ => usage(words),
        },
        ["hotplug", workers, count] => match (workers.parse(), count.parse()) {
            (Ok(workers), Ok(count)) => stress::run(workers, Goal::Switches(count)),
            _ => usage(words),
        },
        ["golden"] => golden::run(holds),
        [kind @ ("linux" | "guest"), cpus, words @ ..] => match cpus.parse() {
            Ok(cpu_count @ 1..=linux::CPUS_MAX) => Guest {
                has_el2: *kind == "linux",
                cpu_count: cpu_count as u32,
                words,
            }
            .run(),
            _ => usage(words),
        },
        ["bench", case, count] => match count.parse() {
            Ok(count) => bench::run(case, count, started),
            Err(_) => usage(words),
        },
        _ => usage(words),
    }
}

fn usage(words: &[&str]) -> bool {
    say!("{words:?}?");
    say!(
        "usage: vmm stress|faults WORKERS SECONDS | hotplug WORKERS COUNT | golden | bench CASE|all COUNT | linux|guest CPUS WORDS, then \
         perhaps: hold"
    );
    false
}

/// Says so, and waits for somebody to type a line, so that whoever is below can look at what is there.
pub(crate) fn hold(what: &str) {
    say!("{what}: held");
    take_line();
}

/// Takes what was typed, or waits for it. Whatever comes, also the end of input, is the sign to go on.
pub(crate) fn take_line() {
    let _ = sys::read(sys::STDIN, &mut [0; 64]);
}

/// File systems of a ramdisk that has nothing but this program.
fn mount_all() {
    for (kind, at) in [
        (c"devtmpfs", c"/dev"),
        (c"proc", c"/proc"),
        (c"sysfs", c"/sys"),
        (c"debugfs", c"/sys/kernel/debug"),
    ] {
        if let Err(error) = sys::mount(kind, at) {
            say!("cannot mount {}: {error}", kind.to_str().unwrap_or("?"));
        }
    }
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    say!("{info}");
    say!("FAIL");
    if sys::process_id() == 1 {
        sys::power_off();
    }
    sys::exit(101);
}
