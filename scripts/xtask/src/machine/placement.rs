//! Where QEMU's guest loader puts L1's kernel and ramdisk.
//!
//! gnomon keeps the first 64 MiB of RAM and one part in 256 of it. QEMU itself puts the machine's device
//! tree at half of RAM or 128 MiB, whichever is less, and refuses to start when
//! anything overlaps it. So L1's kernel comes 2 MiB above both, and the ramdisk
//! well above what the kernel says it occupies.

use std::fmt;

use crate::memory::MemorySize;

const MIB: u64 = 1 << 20;

/// Linux's boot protocol asks for kernels at such boundaries.
const ALIGNMENT: u64 = 2 * MIB;

/// QEMU's `virt`: the device tree goes no further than this from the start of RAM.
const DEVICE_TREE_OFFSET_LIMIT: u64 = 128 * MIB;

/// What gnomon keeps of any machine, and the share of RAM that it keeps beside.
const CARVE_OUT_BYTES: u64 = 64 * MIB;
const CARVE_OUT_SHARE: u64 = 256;

/// Kept free between the kernel and the ramdisk: Linux may use a little beyond its
/// `image_size` before it reads its memory map, and a wrong size should show as a fault.
const GAP: u64 = 16 * MIB;

/// Physical addresses of L1's modules. L1's addresses are the same: gnomon maps IPA = PA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Where the kernel goes, 2 MiB aligned.
    pub kernel: u64,
    /// Where the ramdisk goes, 2 MiB aligned.
    pub initrd: u64,
}

/// Where everything is when L1 is another gnomon, whose own L1 the payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InnerPlacement {
    /// Where the other gnomon goes, and is to be linked for.
    pub inner: u64,
    /// Where its L1 goes.
    pub payload: Placement,
}

/// The machine has too little RAM for what it should boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoesNotFit {
    /// RAM the machine has.
    pub have: MemorySize,
    /// RAM with which everything would find its place.
    pub need: MemorySize,
}

impl fmt::Display for DoesNotFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of RAM cannot hold L1's kernel and ramdisk: use --memory {} or more",
            self.have, self.need
        )
    }
}

impl std::error::Error for DoesNotFit {}

/// Places a kernel that occupies `kernel_bytes` in memory and a ramdisk of `initrd_bytes`.
///
/// # Errors
///
/// [`DoesNotFit`] when the end of RAM comes first.
pub fn place(ram_base: u64, memory: MemorySize, kernel_bytes: u64, initrd_bytes: u64) -> Result<Placement, DoesNotFit> {
    fit(ram_base, memory, |memory| {
        place_at(first_kernel(ram_base, memory), kernel_bytes, initrd_bytes)
    })
}

/// The same for a payload that another gnomon is to start, which is L1.
///
/// # Errors
///
/// As for [`place`].
pub fn place_inner(
    ram_base: u64,
    memory: MemorySize,
    kernel_bytes: u64,
    initrd_bytes: u64,
) -> Result<InnerPlacement, DoesNotFit> {
    fit(ram_base, memory, |memory| {
        let inner = first_kernel(ram_base, memory);
        let kernel = (inner + carve_out(memory)).next_multiple_of(ALIGNMENT);
        let (payload, end) = place_at(kernel, kernel_bytes, initrd_bytes);
        (InnerPlacement { inner, payload }, end)
    })
}

/// The placement, if it ends where RAM does or before.
fn fit<P>(ram_base: u64, memory: MemorySize, place: impl Fn(MemorySize) -> (P, u64)) -> Result<P, DoesNotFit> {
    let (placement, end) = place(memory);
    if end <= ram_base + memory.bytes() {
        return Ok(placement);
    }
    // Between 256 MiB and 16 GiB hardly anything depends on the size of RAM, so this is enough.
    let ample = MemorySize::from_mib(256);
    let (_, end) = place(ample);
    let need = MemorySize::from_mib((end - ram_base).div_ceil(MIB).next_multiple_of(64));
    Err(DoesNotFit {
        have: memory,
        need: need.max(ample),
    })
}

/// What gnomon keeps of a machine.
const fn carve_out(memory: MemorySize) -> u64 {
    CARVE_OUT_BYTES + memory.bytes() / CARVE_OUT_SHARE
}

/// The lowest place for L1's kernel.
fn first_kernel(ram_base: u64, memory: MemorySize) -> u64 {
    let device_tree = ram_base + (memory.bytes() / 2).min(DEVICE_TREE_OFFSET_LIMIT);
    let carve_out = carve_out(memory);
    // A machine so small that this would push the kernel out of RAM is gnomon's to refuse.
    let taken = if carve_out > DEVICE_TREE_OFFSET_LIMIT {
        ram_base + carve_out
    } else {
        device_tree
    };
    taken.next_multiple_of(ALIGNMENT) + ALIGNMENT
}

/// The placement of a kernel at `kernel`, and the first address after everything.
fn place_at(kernel: u64, kernel_bytes: u64, initrd_bytes: u64) -> (Placement, u64) {
    let initrd = (kernel + kernel_bytes + GAP).next_multiple_of(ALIGNMENT);
    (Placement { kernel, initrd }, initrd + initrd_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0x4000_0000;

    #[test]
    fn the_kernel_is_clear_of_qemus_device_tree() {
        let placement = place(BASE, MemorySize::from_mib(4096), 45 * MIB, 100 * MIB).unwrap();
        assert_eq!(placement.kernel, 0x4820_0000);
        assert!(placement.initrd >= placement.kernel + 45 * MIB + GAP);
        assert_eq!((placement.kernel % ALIGNMENT, placement.initrd % ALIGNMENT), (0, 0));
    }

    #[test]
    fn the_kernel_is_clear_of_a_large_carve_out() {
        let placement = place(BASE, MemorySize::from_mib(64 << 10), 45 * MIB, 100 * MIB).unwrap();
        assert!(placement.kernel >= BASE + CARVE_OUT_BYTES + (64 << 30) / CARVE_OUT_SHARE);
    }

    #[test]
    fn addresses_do_not_move_with_ram_once_there_is_enough() {
        let at = |mib| place(BASE, MemorySize::from_mib(mib), 45 * MIB, 100 * MIB).unwrap();
        assert_eq!(at(512), at(16384));
    }

    #[test]
    fn too_little_ram_says_how_much_is_needed() {
        let small = MemorySize::from_mib(64);
        let error = place(BASE, small, 45 * MIB, 100 * MIB).unwrap_err();
        assert!(place(BASE, error.need, 45 * MIB, 100 * MIB).is_ok(), "{error}");
        assert!(error.to_string().contains("64M of RAM"), "{error}");
    }

    #[test]
    fn a_gnomon_below_has_a_carve_out_of_its_own() {
        let memory = MemorySize::from_mib(4096);
        let placement = place_inner(BASE, memory, 45 * MIB, 100 * MIB).unwrap();
        assert_eq!((placement.inner, placement.payload.kernel), (0x4820_0000, 0x4d20_0000));
        let error = place_inner(BASE, MemorySize::from_mib(256), 45 * MIB, 100 * MIB).unwrap_err();
        assert!(place_inner(BASE, error.need, 45 * MIB, 100 * MIB).is_ok(), "{error}");
    }

    #[test]
    fn a_tiny_payload_fits_a_machine_that_is_too_small_for_gnomon() {
        // gnomon, not the host tool, must have the last word on that.
        assert!(place(BASE, MemorySize::from_mib(64), 4096, 4096).is_ok());
    }
}
