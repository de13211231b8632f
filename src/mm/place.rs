//! What lies at an address of EL2, in words: for the report of a fault.

use core::{fmt, ops::Range};

use super::{CarveOut, PAGE_BYTES, heap_range, phys, stage1};
use crate::{
    arch::at,
    layout::{self, CPU_COUNT_MAX, GUARD_BYTES},
    vm::Vm,
};

/// What lies at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// gnomon's instructions.
    Text,
    /// gnomon's constants.
    Constants,
    /// gnomon's statics.
    Statics,
    /// A CPU's stack.
    Stack(usize),
    /// The page below a CPU's stack, which is never mapped.
    Guard(usize),
    /// The stack that a CPU reports on.
    EmergencyStack(usize),
    /// The page below that.
    EmergencyGuard(usize),
    /// The heap.
    Heap,
    /// The frames of page tables.
    Frames,
    /// L1's memory.
    GuestRam,
    /// A CPU's window to memory of L1's guest.
    Window(usize),
    /// Nothing of these, but something is mapped: a device, or what the boot loader left.
    Mapped,
    /// Nothing.
    Unmapped,
}

impl Place {
    /// What lies at `address`. Takes no lock.
    pub fn of(address: u64) -> Self {
        let is_in = |range: Range<u64>| range.contains(&address);
        let below = |range: Range<u64>| range.start - GUARD_BYTES..range.start;
        for cpu in 0..CPU_COUNT_MAX {
            let places = [
                (layout::stack(cpu), Self::Stack(cpu)),
                (below(layout::stack(cpu)), Self::Guard(cpu)),
                (layout::emergency_stack(cpu), Self::EmergencyStack(cpu)),
                (below(layout::emergency_stack(cpu)), Self::EmergencyGuard(cpu)),
                (stage1::window(cpu)..stage1::window(cpu) + PAGE_BYTES, Self::Window(cpu)),
            ];
            if let Some((_, place)) = places.into_iter().find(|(range, _)| is_in(range.clone())) {
                return place;
            }
        }
        let home = Vm::get().and_then(|vm| vm.machine.home_bank());
        let frames = home.map_or(0..0, |bank| CarveOut::of(&bank).frames);
        match () {
            () if is_in(layout::text()) => Self::Text,
            () if is_in(layout::rodata()) => Self::Constants,
            () if is_in(layout::data()) => Self::Statics,
            () if is_in(heap_range()) => Self::Heap,
            () if is_in(frames) => Self::Frames,
            () if phys::is_guest_ram(address, 1) => Self::GuestRam,
            () if at::own_read(address) & at::PAR_F == 0 => Self::Mapped,
            () => Self::Unmapped,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "gnomon's instructions",
            Self::Constants => "gnomon's constants",
            Self::Statics => "gnomon's statics",
            Self::Heap => "gnomon's heap",
            Self::Frames => "the frames of page tables",
            Self::GuestRam => "L1's memory",
            Self::Mapped => "a device, or memory that gnomon does not use",
            Self::Unmapped => "where nothing is mapped",
            Self::Stack(cpu) => return write!(f, "the stack of CPU {cpu}"),
            Self::Guard(cpu) => return write!(f, "the guard page below the stack of CPU {cpu}"),
            Self::EmergencyStack(cpu) => return write!(f, "the emergency stack of CPU {cpu}"),
            Self::EmergencyGuard(cpu) => return write!(f, "the guard page below the emergency stack of CPU {cpu}"),
            Self::Window(cpu) => return write!(f, "the window of CPU {cpu}"),
        })
    }
}
