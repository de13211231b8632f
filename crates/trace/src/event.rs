//! The events, as numbers and in words.

use core::fmt;

use syndrome::{Esr, SysReg, esr::ec};

/// Words of an event in a ring: what it is with the small fields, and up to four numbers.
pub(crate) const WORDS: usize = 5;

/// How deep the code runs or ran: L1 at virtual EL2, or what it runs below that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// L1.
    L1,
    /// Its guest.
    L2,
}

impl Depth {
    /// As it prints.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::L1 => "L1",
            Self::L2 => "L2",
        }
    }

    const fn from_bit(bit: u64) -> Self {
        if bit & 1 == 0 { Self::L1 } else { Self::L2 }
    }
}

/// What kind of exception virtual EL2 took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExceptionKind {
    /// Synchronous.
    Sync,
    /// IRQ.
    Irq,
    /// FIQ.
    Fiq,
    /// SError.
    SError,
}

impl ExceptionKind {
    const ALL: [Self; 4] = [Self::Sync, Self::Irq, Self::Fiq, Self::SError];

    /// KVM's name.
    const fn name(self) -> &'static str {
        match self {
            Self::Sync => "SYNC",
            Self::Irq => "IRQ",
            Self::Fiq => "FIQ",
            Self::SError => "SERROR",
        }
    }
}

/// How a fault on a shadow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultOutcome {
    /// L0 mapped it, or it was mapped meanwhile.
    Handled,
    /// L1's tables say no: L1 has it.
    Injected,
    /// It leads to where L1 has no memory: a device of L0's, or nothing.
    NotMemory,
}

impl FaultOutcome {
    const ALL: [Self; 3] = [Self::Handled, Self::Injected, Self::NotMemory];

    /// As it prints.
    const fn name(self) -> &'static str {
        match self {
            Self::Handled => "handled",
            Self::Injected => "to L1",
            Self::NotMemory => "no memory",
        }
    }
}

/// Something that happened on a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// `kvm_exit`: a guest was left by a synchronous exception.
    Exit {
        /// `ESR_EL2`
        esr: u64,
        /// The guest's program counter.
        pc: u64,
        /// Whose.
        from: Depth,
    },
    /// `kvm_exit`: a guest was left by an interrupt.
    Interrupt {
        /// The guest's program counter.
        pc: u64,
        /// Whose.
        from: Depth,
    },
    /// `kvm_entry`: a guest goes on.
    Entry {
        /// Where.
        pc: u64,
        /// Which.
        to: Depth,
    },
    /// `kvm_guest_fault`: a stage-2 abort.
    GuestFault {
        /// The address that faulted: an L2 IPA, or an L1 IPA.
        ipa: u64,
        /// `ESR_EL2`
        esr: u64,
        /// `FAR_EL2`
        far: u64,
        /// The guest's program counter.
        pc: u64,
    },
    /// `gnomon_shadow_fault`: what came of a fault of L1's guest.
    ShadowFault {
        /// The L2 IPA.
        ipa: u64,
        /// The shadow's number.
        shadow: u16,
        /// What came of it.
        outcome: FaultOutcome,
    },
    /// `kvm_nested_eret`: L1 enters its guest.
    NestedEret {
        /// L1's `ELR_EL2`
        elr: u64,
        /// L1's `SPSR_EL2`
        spsr: u64,
        /// L1's `HCR_EL2`
        hcr: u64,
    },
    /// `gnomon_illegal_eret`: L1's `SPSR_EL2` names a state that cannot be returned to.
    IllegalEret {
        /// L1's `ELR_EL2`
        elr: u64,
        /// L1's `SPSR_EL2`
        spsr: u64,
        /// L1's `HCR_EL2`
        hcr: u64,
    },
    /// `kvm_inject_nested_exception`: L1 takes an exception of its guest.
    InjectNested {
        /// What kind.
        kind: ExceptionKind,
        /// L1's `ESR_EL2`; 0 for an interrupt.
        esr: u64,
        /// L1's `ELR_EL2`
        elr: u64,
        /// L1's `SPSR_EL2`
        spsr: u64,
        /// L1's `HCR_EL2`
        hcr: u64,
    },
    /// `kvm_forward_sysreg_trap`: an access of L1's guest that L1 traps.
    ForwardSysreg {
        /// The register or instruction.
        reg: SysReg,
        /// Whether it is read.
        is_read: bool,
        /// The guest's program counter.
        pc: u64,
    },
    /// `kvm_sys_access`: a trapped access that L0 carries out.
    SysAccess {
        /// The register or instruction.
        reg: SysReg,
        /// Whether it is written.
        is_write: bool,
        /// The guest's program counter.
        pc: u64,
    },
    /// `gnomon_tlbi`: L1 invalidates translations of its guest.
    Tlbi {
        /// The instruction.
        reg: SysReg,
        /// Its operand.
        operand: u64,
        /// The VMID that it speaks of.
        vmid: u16,
    },
}

/// Which event, in the low byte of the first word.
mod tag {
    pub(super) const EXIT: u64 = 1;
    pub(super) const INTERRUPT: u64 = 2;
    pub(super) const ENTRY: u64 = 3;
    pub(super) const GUEST_FAULT: u64 = 4;
    pub(super) const SHADOW_FAULT: u64 = 5;
    pub(super) const NESTED_ERET: u64 = 6;
    pub(super) const ILLEGAL_ERET: u64 = 7;
    pub(super) const INJECT_NESTED: u64 = 8;
    pub(super) const FORWARD_SYSREG: u64 = 9;
    pub(super) const SYS_ACCESS: u64 = 10;
    pub(super) const TLBI: u64 = 11;
}

const SMALL_SHIFT: u32 = 8;
const NUMBER_SHIFT: u32 = 16;

/// The first word: the tag, a small field and a number of 16 bits.
const fn head(tag: u64, small: u64, number: u16) -> u64 {
    tag | small << SMALL_SHIFT | (number as u64) << NUMBER_SHIFT
}

impl Event {
    /// The name, in the manner of the kernel's trace events.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Exit { .. } | Self::Interrupt { .. } => "kvm_exit",
            Self::Entry { .. } => "kvm_entry",
            Self::GuestFault { .. } => "kvm_guest_fault",
            Self::ShadowFault { .. } => "gnomon_shadow_fault",
            Self::NestedEret { .. } => "kvm_nested_eret",
            Self::IllegalEret { .. } => "gnomon_illegal_eret",
            Self::InjectNested { .. } => "kvm_inject_nested_exception",
            Self::ForwardSysreg { .. } => "kvm_forward_sysreg_trap",
            Self::SysAccess { .. } => "kvm_sys_access",
            Self::Tlbi { .. } => "gnomon_tlbi",
        }
    }

    /// Who left or is entered, for exits and entries.
    #[must_use]
    pub const fn depth(&self) -> Option<Depth> {
        match *self {
            Self::Exit { from, .. } | Self::Interrupt { from, .. } => Some(from),
            Self::Entry { to, .. } => Some(to),
            _ => None,
        }
    }

    pub(crate) fn to_words(self) -> [u64; WORDS] {
        match self {
            Self::Exit { esr, pc, from } => [head(tag::EXIT, from as u64, 0), esr, pc, 0, 0],
            Self::Interrupt { pc, from } => [head(tag::INTERRUPT, from as u64, 0), pc, 0, 0, 0],
            Self::Entry { pc, to } => [head(tag::ENTRY, to as u64, 0), pc, 0, 0, 0],
            Self::GuestFault { ipa, esr, far, pc } => [head(tag::GUEST_FAULT, 0, 0), ipa, esr, far, pc],
            Self::ShadowFault { ipa, shadow, outcome } => {
                [head(tag::SHADOW_FAULT, outcome as u64, shadow), ipa, 0, 0, 0]
            }
            Self::NestedEret { elr, spsr, hcr } => [head(tag::NESTED_ERET, 0, 0), elr, spsr, hcr, 0],
            Self::IllegalEret { elr, spsr, hcr } => [head(tag::ILLEGAL_ERET, 0, 0), elr, spsr, hcr, 0],
            Self::InjectNested {
                kind,
                esr,
                elr,
                spsr,
                hcr,
            } => [head(tag::INJECT_NESTED, kind as u64, 0), esr, elr, spsr, hcr],
            Self::ForwardSysreg { reg, is_read, pc } => {
                [head(tag::FORWARD_SYSREG, is_read.into(), reg.bits()), pc, 0, 0, 0]
            }
            Self::SysAccess { reg, is_write, pc } => [head(tag::SYS_ACCESS, is_write.into(), reg.bits()), pc, 0, 0, 0],
            Self::Tlbi { reg, operand, vmid } => [head(tag::TLBI, 0, reg.bits()), operand, vmid.into(), 0, 0],
        }
    }

    pub(crate) fn from_words([head, a, b, c, d]: [u64; WORDS]) -> Option<Self> {
        let small = head >> SMALL_SHIFT & 0xff;
        let number = (head >> NUMBER_SHIFT) as u16;
        let depth = Depth::from_bit(small);
        let reg = SysReg::from_bits(number);
        Some(match head & 0xff {
            tag::EXIT => Self::Exit {
                esr: a,
                pc: b,
                from: depth,
            },
            tag::INTERRUPT => Self::Interrupt { pc: a, from: depth },
            tag::ENTRY => Self::Entry { pc: a, to: depth },
            tag::GUEST_FAULT => Self::GuestFault {
                ipa: a,
                esr: b,
                far: c,
                pc: d,
            },
            tag::SHADOW_FAULT => Self::ShadowFault {
                ipa: a,
                shadow: number,
                outcome: *FaultOutcome::ALL.get(small as usize)?,
            },
            tag::NESTED_ERET => Self::NestedEret {
                elr: a,
                spsr: b,
                hcr: c,
            },
            tag::ILLEGAL_ERET => Self::IllegalEret {
                elr: a,
                spsr: b,
                hcr: c,
            },
            tag::INJECT_NESTED => Self::InjectNested {
                kind: *ExceptionKind::ALL.get(small as usize)?,
                esr: a,
                elr: b,
                spsr: c,
                hcr: d,
            },
            tag::FORWARD_SYSREG => Self::ForwardSysreg {
                reg,
                is_read: small != 0,
                pc: a,
            },
            tag::SYS_ACCESS => Self::SysAccess {
                reg,
                is_write: small != 0,
                pc: a,
            },
            tag::TLBI => Self::Tlbi {
                reg,
                operand: a,
                vmid: b as u16,
            },
            _ => return None,
        })
    }
}

/// What the event says, without its name: KVM's text where KVM has it.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Exit { esr, pc, .. } => {
                let class = Esr(esr).ec();
                write!(f, "TRAP: HSR_EC: 0x{class:04x} ({}), PC: 0x{pc:016x}", ec::name(class))
            }
            Self::Interrupt { pc, .. } => write!(f, "IRQ: HSR_EC: 0x0000 (UNKNOWN), PC: 0x{pc:016x}"),
            Self::Entry { pc, .. } => write!(f, "PC: 0x{pc:016x}"),
            Self::GuestFault { ipa, esr, far, pc } => {
                write!(f, "ipa {ipa:#x}, hsr {esr:#08x}, hxfar {far:#08x}, pc {pc:#016x}")
            }
            Self::ShadowFault { ipa, shadow, outcome } => {
                write!(f, "shadow/{shadow} ipa {ipa:#x}: {}", outcome.name())
            }
            Self::NestedEret { elr, spsr, hcr } => {
                write!(
                    f,
                    "elr_el2: 0x{elr:x} spsr_el2: 0x{spsr:08x} (M: {}) hcr_el2: {hcr:x}",
                    Mode(spsr)
                )
            }
            Self::IllegalEret { elr, spsr, hcr } => {
                write!(
                    f,
                    "elr_el2: 0x{elr:x} spsr_el2: 0x{spsr:08x} (M: {}) hcr_el2: {hcr:x}: no state to return to, PSTATE.IL is set",
                    Mode(spsr)
                )
            }
            Self::InjectNested {
                kind,
                esr,
                elr,
                spsr,
                hcr,
            } => write!(
                f,
                "{}: esr_el2 0x{esr:x} elr_el2: 0x{elr:x} spsr_el2: 0x{spsr:08x} (M: {}) hcr_el2: {hcr:x}",
                kind.name(),
                Mode(spsr)
            ),
            Self::ForwardSysreg { reg, is_read, pc } => {
                write!(
                    f,
                    "{} {reg} at 0x{pc:016x}",
                    if is_read { "read of" } else { "write to" }
                )
            }
            Self::SysAccess { reg, is_write, pc } => {
                let (op0, op1, crn, crm, op2) = (reg.op0(), reg.op1(), reg.crn(), reg.crm(), reg.op2());
                let access = if is_write { "write" } else { "read" };
                let name = reg.name().unwrap_or("UNKN");
                write!(f, "PC: {pc:x} {name} ({op0},{op1},{crn},{crm},{op2}) {access}")
            }
            Self::Tlbi { reg, operand, vmid } => write!(f, "{reg} vmid {vmid} operand {operand:#x}"),
        }
    }
}

/// `SPSR_ELx.M`, as KVM prints it.
struct Mode(u64);

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const M: u64 = 0x1f;
        match self.0 & M {
            0b0_0000 => f.write_str("EL0t"),
            0b0_0100 => f.write_str("EL1t"),
            0b0_0101 => f.write_str("EL1h"),
            0b0_1000 => f.write_str("EL2t"),
            0b0_1001 => f.write_str("EL2h"),
            0b0_1100 => f.write_str("EL3t"),
            0b0_1101 => f.write_str("EL3h"),
            mode => write!(f, "{mode:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    fn any_event() -> impl Strategy<Value = Event> {
        (0..11u8, any::<[u64; 4]>(), any::<u16>(), any::<u8>()).prop_map(|(which, [a, b, c, d], number, small)| {
            let depth = Depth::from_bit(small.into());
            let reg = SysReg::from_bits(number);
            let flag = small & 1 != 0;
            match which {
                0 => Event::Exit {
                    esr: a,
                    pc: b,
                    from: depth,
                },
                1 => Event::Interrupt { pc: a, from: depth },
                2 => Event::Entry { pc: a, to: depth },
                3 => Event::GuestFault {
                    ipa: a,
                    esr: b,
                    far: c,
                    pc: d,
                },
                4 => Event::ShadowFault {
                    ipa: a,
                    shadow: number,
                    outcome: FaultOutcome::ALL[usize::from(small) % 3],
                },
                5 => Event::NestedEret {
                    elr: a,
                    spsr: b,
                    hcr: c,
                },
                6 => Event::IllegalEret {
                    elr: a,
                    spsr: b,
                    hcr: c,
                },
                7 => Event::InjectNested {
                    kind: ExceptionKind::ALL[usize::from(small) % 4],
                    esr: a,
                    elr: b,
                    spsr: c,
                    hcr: d,
                },
                8 => Event::ForwardSysreg {
                    reg,
                    is_read: flag,
                    pc: a,
                },
                9 => Event::SysAccess {
                    reg,
                    is_write: flag,
                    pc: a,
                },
                _ => Event::Tlbi {
                    reg,
                    operand: a,
                    vmid: number,
                },
            }
        })
    }

    proptest! {
        #[test]
        fn words_and_back(event in any_event()) {
            prop_assert_eq!(Event::from_words(event.to_words()), Some(event));
            prop_assert!(event.to_string().len() < 200);
        }

        #[test]
        fn any_words_are_an_event_or_none(words: [u64; WORDS]) {
            if let Some(event) = Event::from_words(words) {
                let _ = event.to_string();
            }
        }
    }

    #[test]
    fn an_empty_slot_is_no_event() {
        assert_eq!(Event::from_words([0; WORDS]), None);
    }

    #[test]
    fn kvms_events_print_as_kvm_prints_them() {
        let from = Depth::L2;
        for (event, text) in [
            (
                Event::Exit {
                    esr: 0x9200_0007,
                    pc: 0x4020_1234,
                    from,
                },
                "kvm_exit: TRAP: HSR_EC: 0x0024 (DABT_LOW), PC: 0x0000000040201234",
            ),
            (
                Event::Interrupt { pc: 0x10, from },
                "kvm_exit: IRQ: HSR_EC: 0x0000 (UNKNOWN), PC: 0x0000000000000010",
            ),
            (Event::Entry { pc: 0x10, to: from }, "kvm_entry: PC: 0x0000000000000010"),
            (
                Event::NestedEret {
                    elr: 0x1000,
                    spsr: 0x3c5,
                    hcr: 0x80,
                },
                "kvm_nested_eret: elr_el2: 0x1000 spsr_el2: 0x000003c5 (M: EL1h) hcr_el2: 80",
            ),
            (
                Event::SysAccess {
                    reg: SysReg::SCTLR_EL1,
                    is_write: true,
                    pc: 0x20,
                },
                "kvm_sys_access: PC: 20 SCTLR_EL1 (3,0,1,0,0) write",
            ),
        ] {
            assert_eq!(std::format!("{}: {event}", event.name()), text);
        }
    }
}
