//! Where L1's payload goes: which files may stay where the boot loader put them, and where there is room for the rest.
//!
//! Linux wants its kernel at an offset from a 2 MiB boundary with room for `.bss` behind it, which QEMU's guest-loader,
//! told an address by the user, knows nothing of. A kernel that does not lie right is moved; the ramdisk never is.
//! Nothing here reads or writes memory: a [`Plan`] says what is to be copied, first the kernel, then the device tree.

use alloc::vec::Vec;
use core::{fmt, ops::Range};

use crate::{ImageHeader, Machine, Module, ranges};

/// Why L1's payload cannot be started; each says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// No `multiboot,kernel` module.
    NoKernel,
    /// A module lies (partly) outside L1's RAM.
    OutsideRam(&'static str, Range<u64>),
    /// Kernel and ramdisk, in this order, have bytes in common.
    Overlap(Range<u64>, Range<u64>),
    /// The kernel has no arm64 Image header.
    NotAnImage,
    /// The kernel is big-endian.
    BigEndian,
    /// No room for the kernel (bytes) beside the rest.
    NoRoom(u64),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKernel => f.write_str(
                "no kernel for L1: give QEMU -device guest-loader,addr=...,kernel=IMAGE, or use scripts/run",
            ),
            Self::OutsideRam(what, range) => write!(
                f,
                "the {what} at {:#x}-{:#x} is not in L1's RAM: load it elsewhere or raise QEMU's -m",
                range.start, range.end
            ),
            Self::Overlap(kernel, ramdisk) => write!(
                f,
                "the kernel at {:#x}-{:#x} and the ramdisk at {:#x}-{:#x} overlap: load one of them elsewhere",
                kernel.start, kernel.end, ramdisk.start, ramdisk.end
            ),
            Self::NotAnImage => {
                f.write_str("L1's kernel is not an uncompressed arm64 Image: give --kernel an arch/arm64/boot/Image")
            }
            Self::BigEndian => {
                f.write_str("L1's kernel is big-endian, which is not supported: use a little-endian one")
            }
            Self::NoRoom(bytes) => {
                write!(
                    f,
                    "no room for L1's kernel of {} MiB: raise QEMU's -m or load the modules elsewhere",
                    bytes >> 20
                )
            }
        }
    }
}

/// The files to start, checked to lie in L1's RAM and apart from each other.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    /// The kernel's file.
    pub kernel: &'a Module,
    /// The initial ramdisk, if there is one.
    pub ramdisk: Option<&'a Module>,
    /// What is to stay where it is.
    pub passed_on: &'a [Module],
}

impl<'a> Payload<'a> {
    /// What `machine`'s modules are for an L1 that has `ram`.
    ///
    /// # Errors
    ///
    /// There is no kernel, or a module lies where it cannot.
    #[inline(never)]
    pub fn find(machine: &'a Machine, ram: &[Range<u64>]) -> Result<Self, LoadError> {
        let kernel = machine.kernel.as_ref().ok_or(LoadError::NoKernel)?;
        let ramdisk = machine.ramdisk.as_ref();
        check_place("kernel", kernel, ram)?;
        if let Some(ramdisk) = ramdisk {
            check_place("ramdisk", ramdisk, ram)?;
            if ranges::overlap(&kernel.range, &ramdisk.range) {
                return Err(LoadError::Overlap(kernel.range.clone(), ramdisk.range.clone()));
            }
        }
        Ok(Self {
            kernel,
            ramdisk,
            passed_on: &machine.passed_on,
        })
    }
}

/// Where everything goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// First byte of the kernel, which is its first instruction.
    pub kernel_at: u64,
    /// Whether the kernel's file lies elsewhere and is to be copied there. Old and new place may overlap.
    pub copy_needed: bool,
    /// Where the device tree is to be copied to, after the kernel.
    pub device_tree_at: u64,
}

impl Plan {
    /// Places `payload`, whose kernel has this `header`, and a device tree of `device_tree_bytes` in `ram`.
    ///
    /// # Errors
    ///
    /// [`LoadError::NoRoom`] if no bank has room for the kernel, or then for the device tree.
    #[inline(never)]
    pub fn make(
        payload: &Payload<'_>,
        header: &ImageHeader,
        ram: &[Range<u64>],
        device_tree_bytes: u64,
    ) -> Result<Self, LoadError> {
        let no_room = || LoadError::NoRoom(header.image_bytes);
        let loaded_at = payload.kernel.range.start;
        let stays = payload.ramdisk.into_iter().chain(payload.passed_on);
        let mut taken: Vec<Range<u64>> = stays.map(|module| module.range.clone()).collect();

        let is_aligned = loaded_at % ImageHeader::ALIGN == header.text_offset;
        let in_place =
            ranges::sized(loaded_at, header.image_bytes).filter(|place| is_aligned && is_free(place, ram, &taken));
        let copy_needed = in_place.is_none();
        let kernel = in_place
            .or_else(|| find_room(ram, &taken, header.text_offset, header.image_bytes))
            .ok_or_else(no_room)?;
        let kernel_at = kernel.start;
        taken.push(kernel);
        // A boundary for the tree, too: Linux maps it in 2 MiB blocks.
        let device_tree = find_room(ram, &taken, 0, device_tree_bytes).ok_or_else(no_room)?;
        Ok(Self {
            kernel_at,
            copy_needed,
            device_tree_at: device_tree.start,
        })
    }
}

fn check_place(what: &'static str, module: &Module, ram: &[Range<u64>]) -> Result<(), LoadError> {
    if module.range.is_empty() || !ranges::hold(ram, &module.range) {
        return Err(LoadError::OutsideRam(what, module.range.clone()));
    }
    Ok(())
}

fn is_free(range: &Range<u64>, ram: &[Range<u64>], taken: &[Range<u64>]) -> bool {
    ranges::hold(ram, range) && !taken.iter().any(|other| ranges::overlap(range, other))
}

/// The lowest free place for `bytes` at `offset` from a boundary of [`ImageHeader::ALIGN`].
fn find_room(ram: &[Range<u64>], taken: &[Range<u64>], offset: u64, bytes: u64) -> Option<Range<u64>> {
    // The lowest place begins right at a bank's start or behind something taken, but for alignment.
    let starts = ram
        .iter()
        .map(|bank| bank.start)
        .chain(taken.iter().map(|range| range.end));
    let places = starts.filter_map(|start| {
        let boundary = start.checked_next_multiple_of(ImageHeader::ALIGN)?;
        ranges::sized(boundary.checked_add(offset)?, bytes)
    });
    places
        .filter(|place| is_free(place, ram, taken))
        .min_by_key(|place| place.start)
}

#[cfg(test)]
mod tests;
