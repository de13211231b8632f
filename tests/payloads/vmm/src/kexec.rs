//! L1 boots itself again by `kexec_load`, without the machine's being reset, while guests run.
//!
//! The ramdisk has its kernel as `/kernel` and its ramdisk as `/ramdisk`. They are put elsewhere in memory than they were, with
//! the device tree that this kernel was given: in that, only the ramdisk's addresses change, and in the command line the
//! word that began all this.

use core::arch::global_asm;
use core::ffi::CStr;
use core::slice;

use crate::guest::Routine;
use crate::kvm::{Error, Kvm, PAGE_BYTES};
use crate::out::say;
use crate::sys::{self, Errno, Fork, Mapping, Segment};

/// The word on the command line that leads here, and what the next kernel finds in its place.
const WORD: &[u8] = b" kexec ";
const NEXT_WORD: &[u8] = b" again ";

/// Where the pieces go. A kernel begins on a 2 MiB boundary, and a device tree has no more than these.
const ENTRY_AT: u64 = 0x6000_0000;
const TREE_AT: u64 = 0x6020_0000;
const KERNEL_AT: u64 = 0x6040_0000;
const RAMDISK_AT: u64 = 0x6c00_0000;
/// Room for each to be read to.
const TREE_BYTES: usize = 2 << 20;
const KERNEL_BYTES: usize = 128 << 20;
const RAMDISK_BYTES: usize = 8 << 20;
/// Memory that a kernel uses behind its file.
const KERNEL_BSS_BYTES: usize = 4 << 20;

/// Guests that are left running, and memory of theirs.
const GUESTS: usize = 2;
const GUEST_RAM_BYTES: usize = 2 << 20;
const GUEST_RAM_IPA: u64 = 0x4000_0000;

// The kernel begins with the device tree in x0 and zeroes behind it (arm64's boot protocol).
global_asm!(
    ".pushsection .rodata.kexec, \"a\"",
    ".balign 8",
    "kexec_entry:",
    "ldr x0, 1f",
    "ldr x4, 2f",
    "mov x1, xzr",
    "mov x2, xzr",
    "mov x3, xzr",
    "br x4",
    "1: .quad {tree}",
    "2: .quad {kernel}",
    "kexec_entry_end:",
    ".popsection",
    tree = const TREE_AT,
    kernel = const KERNEL_AT,
);

unsafe extern "C" {
    static kexec_entry: u8;
    static kexec_entry_end: u8;
}

/// Starts the next kernel. It returns only if that cannot be.
pub(crate) fn run() -> bool {
    match load() {
        Ok(()) => {}
        Err(error) => {
            say!("{error}");
            return false;
        }
    }
    if let Err(error) = start_guests() {
        say!("guests: {error}");
        return false;
    }
    say!("next kernel");
    let error = sys::boot_loaded();
    say!("kexec: {error}");
    false
}

/// Starts guests that are never closed, and waits until they run.
fn start_guests() -> Result<(), Errno> {
    let shared = Mapping::shared(PAGE_BYTES)?;
    for number in 0..GUESTS {
        if let Fork::Child = sys::fork()? {
            let has_run = || shared.store(8 * number, 1);
            sys::exit(i32::from(spin(has_run).is_err()));
        }
    }
    while (0..GUESTS).any(|number| shared.load(8 * number) == 0) {
        sys::sleep_ms(10);
    }
    Ok(())
}

/// A guest that never ends; calls `has_run` when it has begun.
fn spin(has_run: impl FnOnce()) -> Result<(), Error> {
    let ram = Mapping::private(GUEST_RAM_BYTES).map_err(|errno| Error::Refused("mmap", errno))?;
    let vm = Kvm::open()?.vm(40)?;
    vm.set_region(0, 0, GUEST_RAM_IPA, ram.address(), GUEST_RAM_BYTES)?;
    vm.call(
        Routine::Write,
        [GUEST_RAM_IPA, GUEST_RAM_IPA + GUEST_RAM_BYTES as u64, 4096],
    )?;
    has_run();
    vm.call(Routine::Spin, [0; 3]).map(drop)
}

fn load() -> Result<(), Error> {
    let tree = file(c"/sys/firmware/fdt", TREE_BYTES)?;
    let kernel = file(c"/kernel", KERNEL_BYTES)?;
    let ramdisk = file(c"/ramdisk", RAMDISK_BYTES)?;
    let is_changed = [
        set_number(tree, b"linux,initrd-start", RAMDISK_AT),
        set_number(tree, b"linux,initrd-end", RAMDISK_AT + ramdisk.len() as u64),
        replace(tree, WORD, NEXT_WORD),
    ];
    if is_changed.contains(&None) {
        return Err(Error::Refused("the device tree", Errno(0)));
    }
    let segments = [
        Segment::new(entry(), ENTRY_AT, 0),
        Segment::new(tree, TREE_AT, 0),
        Segment::new(kernel, KERNEL_AT, KERNEL_BSS_BYTES),
        Segment::new(ramdisk, RAMDISK_AT, 0),
    ];
    sys::load_kernel(ENTRY_AT, &segments).map_err(|errno| Error::Refused("kexec_load", errno))
}

/// What is in a file that has no more than so many bytes.
fn file(path: &'static CStr, bytes_max: usize) -> Result<&'static mut [u8], Error> {
    let refused = |errno| Error::Refused(path.to_str().unwrap_or("?"), errno);
    let file = sys::open(path, sys::READ_ONLY).map_err(refused)?;
    let room = Mapping::private(bytes_max).map_err(refused)?.leak();
    let mut used = 0;
    loop {
        match file.read(&mut room[used..]).map_err(refused)? {
            0 => return Ok(&mut room[..used]),
            count => used += count,
        }
    }
}

/// The first place of some bytes among others.
fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// Puts other bytes where some are; as many.
fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) -> Option<()> {
    let at = find(bytes, old)?;
    bytes.get_mut(at..at + old.len())?.copy_from_slice(new);
    Some(())
}

/// Sets a property of a device tree that is a number of 64 bits. Its place is found by its name's (Devicetree
/// Specification, "Structure block"): the token, the length, the offset of the name.
fn set_number(tree: &mut [u8], name: &[u8], value: u64) -> Option<()> {
    const STRINGS: usize = 12;
    const PROPERTY: [u8; 8] = [0, 0, 0, 3, 0, 0, 0, 8];
    let strings = u32::from_be_bytes(*tree.get(STRINGS..)?.first_chunk()?) as usize;
    let offset = find(tree.get(strings..)?, name)? as u32;
    let mut head = [0; 12];
    head[..8].copy_from_slice(&PROPERTY);
    head[8..].copy_from_slice(&offset.to_be_bytes());
    let at = find(tree, &head)? + head.len();
    tree.get_mut(at..at + 8)?.copy_from_slice(&value.to_be_bytes());
    Some(())
}

fn entry() -> &'static [u8] {
    let begin = &raw const kexec_entry;
    let bytes = (&raw const kexec_entry_end).addr() - begin.addr();
    // SAFETY: both labels bound one piece of read-only data.
    unsafe { slice::from_raw_parts(begin, bytes) }
}
