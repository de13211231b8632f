//! An event as numbers, which is how a ring keeps it.

use syndrome::SysReg;

use super::{Depth, Event, ExceptionKind, FaultOutcome};

/// Words of an event in a ring: what it is with the small fields, and up to four numbers.
pub(crate) const WORDS: usize = 5;

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
    pub(super) const SHADOW_SWITCH: u64 = 12;
    pub(super) const IRQ: u64 = 13;
    pub(super) const TIMER_IRQ: u64 = 14;
    pub(super) const VNCR_FAULT: u64 = 15;
}

const SMALL_SHIFT: u32 = 8;
const NUMBER_SHIFT: u32 = 16;

/// The first word: the tag, a small field and a number of 16 bits.
const fn head(tag: u64, small: u64, number: u16) -> u64 {
    tag | small << SMALL_SHIFT | (number as u64) << NUMBER_SHIFT
}

impl Event {
    /// The event as it is stored.
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
            Self::VncrFault { far, esr, at, is_told } => [head(tag::VNCR_FAULT, is_told.into(), 0), far, esr, at, 0],
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
            Self::ShadowSwitch { shadow, vttbr, vtcr } => [head(tag::SHADOW_SWITCH, 0, shadow), vttbr, vtcr, 0, 0],
            Self::Irq { intid, during } => [head(tag::IRQ, during as u64, 0), intid.into(), 0, 0, 0],
            Self::TimerIrq { vcpu, intid, level } => [head(tag::TIMER_IRQ, level.into(), intid), vcpu.into(), 0, 0, 0],
        }
    }

    /// The event that was stored; `None` of words that are none.
    pub(crate) fn from_words(words: [u64; WORDS]) -> Option<Self> {
        let [head, a, b, c, d] = words;
        let small = head >> SMALL_SHIFT & 0xff;
        let depth = Depth::ALL.get(small as usize).copied();
        Some(match head & 0xff {
            tag::EXIT => Self::Exit {
                esr: a,
                pc: b,
                from: depth?,
            },
            tag::INTERRUPT => Self::Interrupt { pc: a, from: depth? },
            tag::ENTRY => Self::Entry { pc: a, to: depth? },
            tag::IRQ => Self::Irq {
                intid: a as u32,
                during: depth?,
            },
            tag::GUEST_FAULT => Self::GuestFault {
                ipa: a,
                esr: b,
                far: c,
                pc: d,
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
            tag::VNCR_FAULT => Self::VncrFault {
                far: a,
                esr: b,
                at: c,
                is_told: small != 0,
            },
            tag::INJECT_NESTED => Self::InjectNested {
                kind: *ExceptionKind::ALL.get(small as usize)?,
                esr: a,
                elr: b,
                spsr: c,
                hcr: d,
            },
            _ => return Self::numbered_from_words(words),
        })
    }

    /// As [`from_words`](Self::from_words), of the events that use the number.
    fn numbered_from_words([head, a, b, ..]: [u64; WORDS]) -> Option<Self> {
        let small = head >> SMALL_SHIFT & 0xff;
        let number = (head >> NUMBER_SHIFT) as u16;
        let reg = SysReg::from_bits(number);
        Some(match head & 0xff {
            tag::SHADOW_FAULT => Self::ShadowFault {
                ipa: a,
                shadow: number,
                outcome: *FaultOutcome::ALL.get(small as usize)?,
            },
            tag::SHADOW_SWITCH => Self::ShadowSwitch {
                shadow: number,
                vttbr: a,
                vtcr: b,
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
            tag::TIMER_IRQ => Self::TimerIrq {
                vcpu: a as u16,
                intid: number,
                level: small != 0,
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    fn any_event() -> impl Strategy<Value = Event> {
        (0..14u8, any::<[u64; 4]>(), any::<u16>(), any::<u8>()).prop_map(|(which, [a, b, c, d], number, small)| {
            let depth = Depth::ALL[usize::from(small) % 2];
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
                10 => Event::Tlbi {
                    reg,
                    operand: a,
                    vmid: number,
                },
                11 => Event::ShadowSwitch {
                    shadow: number,
                    vttbr: a,
                    vtcr: b,
                },
                12 => Event::Irq {
                    intid: a as u32,
                    during: depth,
                },
                13 => Event::VncrFault {
                    far: a,
                    esr: b,
                    at: c,
                    is_told: flag,
                },
                _ => Event::TimerIrq {
                    vcpu: a as u16,
                    intid: number,
                    level: flag,
                },
            }
        })
    }

    proptest! {
        #[test]
        fn words_and_back(event in any_event()) {
            prop_assert_eq!(Event::from_words(event.to_words()), Some(event));
            prop_assert!(event.to_string().len() <= Event::TEXT_BYTES);
            prop_assert!(Event::NAMES.contains(&event.name()));
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
}
