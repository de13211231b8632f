//! From the first instruction to the payload's `main`, and the two ways it ends badly.
#![expect(unsafe_code, reason = "assembly, and a device tree at an address")]

use core::arch::{asm, global_asm};
use core::ffi::CStr;
use core::panic::PanicInfo;
use core::slice;
use core::sync::atomic::{AtomicU64, Ordering};

use dtoolkit::{Node, Property, fdt::Fdt};

use crate::host::{DEVICE_BLOCK, HCR_HOST, MAIR, MEMORY_BLOCK, SCTLR, TCR};
use crate::options::Options;
use crate::sysreg::{ELR_EL2, ESR_EL2, FAR_EL2};
use crate::{l2, println, psci};

global_asm!(
    include_str!("boot.S"),
    hcr = const HCR_HOST,
    mair = const MAIR,
    tcr = const TCR,
    sctlr = const SCTLR,
    device_block = const DEVICE_BLOCK,
    memory_block = const MEMORY_BLOCK,
    primary_main = sym primary_main,
    secondary_main = sym secondary_main,
);

global_asm!(
    include_str!("vectors.S"),
    kind_sync = const l2::KIND_SYNC,
    kind_irq = const l2::KIND_IRQ,
    kind_serror = const l2::KIND_SERROR,
    kind_self = const l2::KIND_SELF,
    unexpected_exception = sym unexpected_exception,
);

global_asm!(include_str!("programs.S"));

unsafe extern "Rust" {
    safe fn payload_main(options: Options<'_>) -> !;
    safe fn payload_secondary(cpu: u64) -> !;
}

/// Names a payload's functions: `main`, which gets the words of the command line on the first CPU, and `secondary`, for
/// CPUs that [`psci::cpu_on`] starts. Neither returns.
#[macro_export]
macro_rules! payload {
    ($main:path, $secondary:path) => {
        #[allow(unsafe_code, reason = "the names are those that `boot` calls")]
        const _: () = {
            #[unsafe(no_mangle)]
            fn payload_main(options: $crate::options::Options<'_>) -> ! {
                $main(options)
            }
            #[unsafe(no_mangle)]
            fn payload_secondary(cpu: u64) -> ! {
                $secondary(cpu)
            }
        };
    };
}

/// Where the device tree is.
static DEVICE_TREE: AtomicU64 = AtomicU64::new(0);

/// The address of the device tree, as the boot loader passed it.
#[must_use]
pub fn device_tree() -> u64 {
    DEVICE_TREE.load(Ordering::Relaxed)
}

extern "C" fn primary_main(device_tree: u64) -> ! {
    DEVICE_TREE.store(device_tree, Ordering::Relaxed);
    let Ok(tree) = Fdt::new(device_tree_blob(device_tree)) else {
        panic!("no device tree at {device_tree:#x}");
    };
    let chosen = tree.find_node("/chosen");
    let bootargs = chosen.as_ref().and_then(|node| node.property("bootargs"));
    let words = bootargs.as_ref().and_then(text);
    payload_main(Options(words.unwrap_or("")))
}

extern "C" fn secondary_main(cpu: u64) -> ! {
    payload_secondary(cpu)
}

/// A property as text.
fn text(property: &impl Property) -> Option<&str> {
    CStr::from_bytes_until_nul(property.value()).ok()?.to_str().ok()
}

/// The bytes of the device tree at `at`.
fn device_tree_blob(at: u64) -> &'static [u8] {
    /// The first two words of a tree's header, of which the second is the size of the whole.
    const HEADER_BYTES: usize = 8;
    // SAFETY: by the boot protocol x0 is the address of a device tree in RAM, which nothing writes; frames and image
    // lie elsewhere.
    let header = unsafe { slice::from_raw_parts(at as *const u8, HEADER_BYTES) };
    let size = header.last_chunk().map_or(0, |size| u32::from_be_bytes(*size));
    // SAFETY: as above, with the tree's own size.
    unsafe { slice::from_raw_parts(at as *const u8, size as usize) }
}

/// Takes an exception at EL2.
pub fn take_exception() -> ! {
    // SAFETY: the exception ends the payload.
    unsafe { asm!("udf #0", options(noreturn)) }
}

/// An exception from EL2 itself.
extern "C" fn unexpected_exception() -> ! {
    panic!(
        "exception at EL2: ESR_EL2 {:#x}, ELR_EL2 {:#x}, FAR_EL2 {:#x}",
        ESR_EL2.get(),
        ELR_EL2.get(),
        FAR_EL2.get()
    )
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    println!("P FAIL {}", info.message());
    psci::power_off()
}
