//! L1's payload: the kernel, the ramdisk and the device tree, put where an arm64 Linux expects them.

use alloc::vec::Vec;
use core::{fmt, ops::Range};

use crate::{
    machine::{Machine, Module},
    mm::phys,
};

/// Where L1 starts.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// First instruction.
    pub pc: u64,
    /// Its device tree, for x0.
    pub device_tree: u64,
}

/// Why L1's payload cannot be started; each says what to do.
#[derive(Debug)]
pub enum LoadError {
    /// No `multiboot,kernel` module.
    NoKernel,
    /// A module lies (partly) outside L1's RAM.
    OutsideRam(&'static str, Range<u64>),
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
            Self::NoKernel => {
                f.write_str("no kernel for L1: give QEMU -device guest-loader,addr=...,kernel=IMAGE, or use scripts/run")
            }
            Self::OutsideRam(what, range) => write!(
                f,
                "the {what} at {:#x}-{:#x} is not in L1's RAM: load it elsewhere or raise QEMU's -m",
                range.start, range.end
            ),
            Self::NotAnImage => f.write_str("L1's kernel is not an uncompressed arm64 Image: give --kernel an arch/arm64/boot/Image"),
            Self::BigEndian => f.write_str("L1's kernel is big-endian, which is not supported: use a little-endian one"),
            Self::NoRoom(bytes) => {
                write!(f, "no room for L1's kernel of {} MiB: raise QEMU's -m or load the modules elsewhere", bytes >> 20)
            }
        }
    }
}

/// The header of an arm64 Image (Documentation/arch/arm64/booting): what matters of it.
struct ImageHeader {
    /// Bytes from a 2 MiB boundary to the first instruction.
    text_offset: u64,
    /// Bytes it needs in memory, `.bss` included.
    image_bytes: u64,
}

const IMAGE_MAGIC: u64 = 0x644d_5241;
const KERNEL_ALIGN: u64 = 2 << 20;

impl ImageHeader {
    fn read(image: &[u8]) -> Result<Self, LoadError> {
        let double = |at: usize| {
            image.get(at..).and_then(|rest| rest.first_chunk()).map(|bytes| u64::from_le_bytes(*bytes)).ok_or(LoadError::NotAnImage)
        };
        if double(56)? & 0xffff_ffff != IMAGE_MAGIC {
            return Err(LoadError::NotAnImage);
        }
        if double(24)? & 1 != 0 {
            return Err(LoadError::BigEndian);
        }
        let image_bytes = double(16)?.max(image.len() as u64);
        Ok(Self { text_offset: double(8)? % KERNEL_ALIGN, image_bytes })
    }
}

/// Places kernel, ramdisk and the tree that `edit` makes of the machine's for L1, whose RAM is `ram`.
pub fn load(
    machine: &Machine,
    ram: &[Range<u64>],
    edit: impl FnOnce(&str, Option<Range<u64>>) -> Vec<u8>,
) -> Result<Entry, LoadError> {
    let kernel = machine.kernel.as_ref().ok_or(LoadError::NoKernel)?;
    check_place("kernel", kernel)?;
    if let Some(ramdisk) = &machine.ramdisk {
        check_place("ramdisk", ramdisk)?;
    }
    // SAFETY: checked to be L1's RAM, which nothing else uses before L1 runs.
    let image = unsafe { phys::boot_bytes(kernel.range.start, (kernel.range.end - kernel.range.start) as usize) };
    let header = ImageHeader::read(image)?;
    let mut taken: Vec<Range<u64>> = machine.ramdisk.iter().map(|module| module.range.clone()).collect();

    let in_place = kernel.range.start..kernel.range.start + header.image_bytes;
    let is_aligned = kernel.range.start % KERNEL_ALIGN == header.text_offset;
    let place = if is_aligned && is_free(&in_place, ram, &taken) {
        in_place
    } else {
        let start = find_room(ram, &taken, header.text_offset, header.image_bytes).ok_or(LoadError::NoRoom(header.image_bytes))?;
        phys::copy_to_guest(start, image).map_err(|_| LoadError::NoRoom(header.image_bytes))?;
        start..start + header.image_bytes
    };
    taken.push(place.clone());

    let tree = edit(&kernel.bootargs, machine.ramdisk.as_ref().map(|module| module.range.clone()));
    let bytes = tree.len() as u64;
    let device_tree = find_room(ram, &taken, 0, bytes).ok_or(LoadError::NoRoom(bytes))?;
    phys::copy_to_guest(device_tree, &tree).map_err(|_| LoadError::NoRoom(bytes))?;
    Ok(Entry { pc: place.start, device_tree })
}

fn check_place(what: &'static str, module: &Module) -> Result<(), LoadError> {
    let Range { start, end } = module.range;
    if end <= start || !phys::is_guest_ram(start, end - start) {
        return Err(LoadError::OutsideRam(what, module.range.clone()));
    }
    Ok(())
}

fn overlaps(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

fn is_free(range: &Range<u64>, ram: &[Range<u64>], taken: &[Range<u64>]) -> bool {
    ram.iter().any(|bank| bank.start <= range.start && range.end <= bank.end)
        && !taken.iter().any(|other| overlaps(range, other))
}

/// The lowest free place for `bytes` at `offset` from a 2 MiB boundary.
fn find_room(ram: &[Range<u64>], taken: &[Range<u64>], offset: u64, bytes: u64) -> Option<u64> {
    let starts = ram.iter().map(|bank| bank.start).chain(taken.iter().map(|range| range.end));
    let mut candidates: Vec<u64> = starts.map(|start| start.next_multiple_of(KERNEL_ALIGN) + offset).collect();
    candidates.sort_unstable();
    candidates.into_iter().find(|start| is_free(&(*start..start.saturating_add(bytes)), ram, taken))
}
