//! Register images.

use syndrome::vncr;

use super::vncr::VncrPage;
use crate::arch::sysreg::*;

/// A guest's general-purpose registers, program counter and processor state, as `boot/vectors.S` saves them.
///
/// The frame is the guest's state: handlers read and change it, and leaving the handler resumes from it.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug, Default)]
pub struct GuestFrame {
    /// `x0` to `x30`.
    pub x: [u64; 31],
    /// Program counter.
    pub elr: u64,
    /// Processor state, with EL1 where the guest believes to be at EL2.
    pub spsr: u64,
    reserved: u64,
}

/// Bytes of an A64 instruction.
pub const INSTRUCTION_BYTES: u64 = 4;
/// SPSR_EL2.SS: a step is due; completing an instruction by emulation uses it up.
const SPSR_SS: u64 = 1 << 21;
/// SPSR_EL2.BTYPE: the instruction just emulated was not a branch.
const SPSR_BTYPE: u64 = 3 << 10;

impl GuestFrame {
    /// Reads `x<index>`; 31 is `xzr`.
    pub fn get(&self, index: u8) -> u64 {
        self.x.get(usize::from(index)).copied().unwrap_or(0)
    }

    /// Writes `x<index>`; 31 is `xzr`.
    pub fn set(&mut self, index: u8, value: u64) {
        if let Some(register) = self.x.get_mut(usize::from(index)) {
            *register = value;
        }
    }

    /// The instruction at the program counter is done.
    pub fn skip_instruction(&mut self) {
        self.elr = self.elr.wrapping_add(INSTRUCTION_BYTES);
        self.spsr &= !(SPSR_SS | SPSR_BTYPE);
    }
}

macro_rules! el1_registers {
    (exception { $($goes:ident = $taken:ident, $slot:path;)* } $($stays:ident = $kept:ident, $at:path;)*) => {
        el1_registers!($($stays = $kept, $at;)* $($goes = $taken, $slot;)*);

        impl El1Registers {
            /// [`load`](Self::load), but for what the exception that is about to be taken writes.
            #[inline(always)]
            pub fn load_for_exception(&self) {
                $($kept.set(self.$stays);)*
            }
        }
    };
    ($($field:ident = $register:ident, $offset:path;)*) => {
        /// The EL1 registers of the hardware that belong to one context: L1's EL2 registers or its guest's EL1 registers.
        #[derive(Clone, Copy, Debug, Default)]
        pub struct El1Registers {
            $(#[doc = concat!("`", stringify!($register), "`")] pub $field: u64,)*
        }

        impl El1Registers {
            /// Takes them from the hardware.
            pub fn save(&mut self) {
                // All are read before any is stored, so that they are stored in pairs.
                *self = Self { $($field: $register.get(),)* };
            }

            /// Puts them into the hardware; in force after the next context synchronisation.
            pub fn load(&self) {
                $($register.set(self.$field);)*
            }

            /// The one that has this slot in the VNCR page.
            pub fn at(&self, offset: usize) -> Option<u64> {
                match offset {
                    $($offset => Some(self.$field),)*
                    _ => None,
                }
            }

            /// The one that has this slot in the VNCR page, to be changed.
            pub fn at_mut(&mut self, offset: usize) -> Option<&mut u64> {
                match offset {
                    $($offset => Some(&mut self.$field),)*
                    _ => None,
                }
            }

            /// Takes them from the VNCR page.
            pub fn from_vncr(page: VncrPage) -> Self {
                Self { $($field: page.get($offset),)* }
            }

            /// From the VNCR page, where L1 keeps its guest's, into the hardware.
            pub fn load_from_vncr(page: VncrPage) {
                $($register.set(page.get($offset));)*
            }

            /// From the hardware into the VNCR page.
            pub fn save_to_vncr(page: VncrPage) {
                $(page.set($offset, $register.get());)*
            }
        }
    };
}

el1_registers! {
    exception {
        elr = ELR_EL1, vncr::ELR_EL1;
        spsr = SPSR_EL1, vncr::SPSR_EL1;
    }
    sctlr = SCTLR_EL1, vncr::SCTLR_EL1;
    cpacr = CPACR_EL1, vncr::CPACR_EL1;
    tcr = TCR_EL1, vncr::TCR_EL1;
    ttbr0 = TTBR0_EL1, vncr::TTBR0_EL1;
    ttbr1 = TTBR1_EL1, vncr::TTBR1_EL1;
    mair = MAIR_EL1, vncr::MAIR_EL1;
    amair = AMAIR_EL1, vncr::AMAIR_EL1;
    vbar = VBAR_EL1, vncr::VBAR_EL1;
    contextidr = CONTEXTIDR_EL1, vncr::CONTEXTIDR_EL1;
    afsr0 = AFSR0_EL1, vncr::AFSR0_EL1;
    afsr1 = AFSR1_EL1, vncr::AFSR1_EL1;
    esr = ESR_EL1, vncr::ESR_EL1;
    far = FAR_EL1, vncr::FAR_EL1;
    sp = SP_EL1, vncr::SP_EL1;
}
