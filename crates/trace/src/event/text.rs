//! An event in words: KVM's where KVM has the event (Linux 7.2, `arch/arm64/kvm/trace_arm.h` and
//! `trace_handle_exit.h`).

use core::fmt;

use syndrome::{
    Esr, SysReg,
    esr::{FaultKind, ec},
    vncr,
};

use super::Event;

impl Event {
    /// No event is longer in words.
    pub const TEXT_BYTES: usize = 192;
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
            Self::NestedEret { elr, spsr, hcr } => write!(f, "{}", Eret { elr, spsr, hcr }),
            Self::IllegalEret { elr, spsr, hcr } => {
                write!(
                    f,
                    "{}: no state to return to, PSTATE.IL is set",
                    Eret { elr, spsr, hcr }
                )
            }
            Self::VncrFault { far, esr, at, is_told } => vncr_fault(f, far, Esr(esr), at, is_told),
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
                write!(f, "{pc:x} {} {}", if is_read { 'R' } else { 'W' }, Encoding(reg))
            }
            Self::SysAccess { reg, is_write, pc } => {
                let access = if is_write { "write" } else { "read" };
                let name = reg.name().unwrap_or("UNKN");
                write!(f, "PC: {pc:x} {name} {} {access}", Encoding(reg))
            }
            Self::Tlbi { reg, operand, vmid } => write!(f, "{reg} vmid {vmid} operand {operand:#x}"),
            Self::ShadowSwitch { shadow, vttbr, vtcr } => {
                write!(f, "shadow/{shadow} vttbr_el2: 0x{vttbr:016x} vtcr_el2: 0x{vtcr:016x}")
            }
            Self::Irq { intid, during } => write!(f, "intid {intid} while {} ran", during.name()),
            Self::TimerIrq { vcpu, intid, level } => {
                write!(f, "VCPU: {vcpu}, IRQ {intid}, level {}", u8::from(level))
            }
        }
    }
}

/// A register or instruction by its encoding, as KVM prints it.
struct Encoding(SysReg);

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reg = self.0;
        let (op0, op1, crn, crm, op2) = (reg.op0(), reg.op1(), reg.crn(), reg.crm(), reg.op2());
        write!(f, "({op0},{op1},{crn},{crm},{op2})")
    }
}

/// What L1 returns to.
struct Eret {
    elr: u64,
    spsr: u64,
    hcr: u64,
}

impl fmt::Display for Eret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { elr, spsr, hcr } = self;
        let mode = Mode(*spsr);
        write!(
            f,
            "elr_el2: 0x{elr:x} spsr_el2: 0x{spsr:08x} (M: {mode}) hcr_el2: {hcr:x}"
        )
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
            0b1_0000 => f.write_str("32-bit USR"),
            0b1_0001 => f.write_str("32-bit FIQ"),
            0b1_0010 => f.write_str("32-bit IRQ"),
            0b1_0011 => f.write_str("32-bit SVC"),
            0b1_0111 => f.write_str("32-bit ABT"),
            0b1_1010 => f.write_str("32-bit HYP"),
            0b1_1011 => f.write_str("32-bit UND"),
            0b1_1111 => f.write_str("32-bit SYS"),
            mode => write!(f, "{mode:#x}"),
        }
    }
}

fn vncr_fault(f: &mut fmt::Formatter<'_>, far: u64, esr: Esr, at: u64, is_told: bool) -> fmt::Result {
    let how = if esr.data_abort().wnr { "write" } else { "read" };
    write!(f, "{how} of ")?;
    let offset = far as usize % vncr::PAGE_BYTES;
    match vncr::slots().find(|slot| slot.offset() == offset) {
        Some(slot) => write!(f, "{}", slot.reg)?,
        None => write!(f, "VNCR_EL2 + {offset:#x}")?,
    }
    write!(f, " at {far:#x}: ")?;
    match esr.fault() {
        _ if !is_told => write!(f, "L1's page is at {at:#x}"),
        status if status.kind == FaultKind::External => write!(f, "to L1, {status}: it has no memory at {at:#x}"),
        status => write!(f, "to L1, {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Depth, ExceptionKind};
    use std::string::ToString;

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
            (
                Event::ForwardSysreg {
                    reg: SysReg::SCTLR_EL1,
                    is_read: true,
                    pc: 0xffff_8000_0010_0000,
                },
                "kvm_forward_sysreg_trap: ffff800000100000 R (3,0,1,0,0)",
            ),
            (
                Event::GuestFault {
                    ipa: 0x900_0018,
                    esr: 0x9381_0006,
                    far: 0x18,
                    pc: 0x4020_1234,
                },
                "kvm_guest_fault: ipa 0x9000018, hsr 0x93810006, hxfar 0x000018, pc 0x00000040201234",
            ),
            (
                Event::InjectNested {
                    kind: ExceptionKind::Irq,
                    esr: 0,
                    elr: 0x1000,
                    spsr: 0x10,
                    hcr: 0x80,
                },
                "kvm_inject_nested_exception: \
                 IRQ: esr_el2 0x0 elr_el2: 0x1000 spsr_el2: 0x00000010 (M: 32-bit USR) hcr_el2: 80",
            ),
            (
                Event::TimerIrq {
                    vcpu: 1,
                    intid: 27,
                    level: true,
                },
                "kvm_timer_update_irq: VCPU: 1, IRQ 27, level 1",
            ),
        ] {
            assert_eq!(std::format!("{}: {event}", event.name()), text);
        }
    }

    #[test]
    fn a_state_that_cannot_be_returned_to_is_named() {
        let event = Event::IllegalEret {
            elr: 0x1000,
            spsr: 0x3cd,
            hcr: 0x80,
        };
        assert_eq!(event.name(), "gnomon_illegal_eret");
        assert!(event.to_string().contains("spsr_el2: 0x000003cd (M: EL3h)"), "{event}");
    }

    #[test]
    fn a_register_that_cannot_be_reached_is_named_with_the_reason() {
        let event = |esr, is_told| Event::VncrFault {
            far: 0xffff_8000_0000_1090,
            esr,
            at: 0x4020_0000,
            is_told,
        };
        let begin = "TPIDR_EL2 at 0xffff800000001090: ";
        for (esr, is_told, text) in [
            (0x9600_2047, false, "L1's page is at 0x40200000"),
            (0x9600_2047, true, "to L1, translation fault, level 3"),
            (
                0x9600_2050,
                true,
                "to L1, external abort: it has no memory at 0x40200000",
            ),
        ] {
            assert_eq!(event(esr, is_told).to_string(), std::format!("write of {begin}{text}"));
        }
    }
}
