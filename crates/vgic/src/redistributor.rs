//! L1's accesses to a redistributor, `GICR_*` (IHI 0069, "The Redistributor register
//! descriptions"): the control frame, and 64 KiB above it the frame of SGIs and PPIs.

use crate::bits::{BitRegister, IPRIORITYR};
use crate::distributor::{ICFGR, IIDR, PIDR2, PIDR2_OFFSET, low_half, spread_config};
use crate::intid::IntId;
use crate::vgic::SGIS;
use crate::{PhysicalGic, Vgic};

const IIDR_OFFSET: u64 = 0x4;
const TYPER: u64 = 0x8;
const TYPER_HIGH: u64 = 0xc;
const WAKER: u64 = 0x14;
/// The SGI frame's offset, and past it the end.
const SGI_FRAME: u64 = 0x1_0000;
const FRAMES_END: u64 = 0x2_0000;
const IPRIORITYR_END: u64 = IPRIORITYR + 32;
const ICFGR1: u64 = ICFGR + 4;

const TYPER_LAST: u64 = 1 << 4;
const TYPER_PROCESSOR_SHIFT: u32 = 8;
const TYPER_AFFINITY_SHIFT: u32 = 32;
const WAKER_PROCESSOR_SLEEP: u32 = 1 << 1;
const WAKER_CHILDREN_ASLEEP: u32 = 1 << 2;

impl Vgic {
    /// L1 reads `bytes` (1, 2, 4 or 8) at `offset` (0 to `0x1_ffff`) of the redistributor of `cpu`.
    /// Reserved registers and sizes the architecture does not allow read as zero.
    #[must_use]
    pub fn read_redistributor(&self, cpu: usize, offset: u64, bytes: u8, hw: &impl PhysicalGic) -> u64 {
        if !self.has_cpu(cpu) {
            return 0;
        }
        match (bytes, offset) {
            (8, TYPER) => self.redistributor_typer(cpu),
            (4, 0..SGI_FRAME) if offset.is_multiple_of(4) => u64::from(self.read_control_word(cpu, offset)),
            (1, SGI_FRAME..FRAMES_END) => {
                u64::from(private_priority_at(offset - SGI_FRAME).map_or(0, |id| self.priority(cpu, id)))
            }
            (4, SGI_FRAME..FRAMES_END) if offset.is_multiple_of(4) => {
                u64::from(self.read_sgi_word(cpu, offset - SGI_FRAME, hw))
            }
            _ => 0,
        }
    }

    /// L1 writes `bytes` (1, 2, 4 or 8) at `offset` (0 to `0x1_ffff`) of the redistributor of
    /// `cpu`. Reserved registers and sizes the architecture does not allow ignore it.
    pub fn write_redistributor(&mut self, cpu: usize, offset: u64, bytes: u8, value: u64, hw: &mut impl PhysicalGic) {
        if !self.has_cpu(cpu) {
            return;
        }
        match (bytes, offset) {
            (4, WAKER) => {
                if let Some(state) = self.cpus.get_mut(cpu) {
                    state.asleep = low_half(value) & WAKER_PROCESSOR_SLEEP != 0;
                }
            }
            (1, SGI_FRAME..FRAMES_END) => {
                if let Some(id) = private_priority_at(offset - SGI_FRAME) {
                    self.set_priority(cpu, id, (value & 0xff) as u8);
                }
            }
            (4, SGI_FRAME..FRAMES_END) if offset.is_multiple_of(4) => {
                self.write_sgi_word(cpu, offset - SGI_FRAME, low_half(value), hw);
            }
            _ => {}
        }
    }

    fn read_control_word(&self, cpu: usize, offset: u64) -> u32 {
        match offset {
            IIDR_OFFSET => IIDR,
            TYPER => low_half(self.redistributor_typer(cpu)),
            TYPER_HIGH => (self.redistributor_typer(cpu) >> TYPER_AFFINITY_SHIFT) as u32,
            WAKER if self.cpus.get(cpu).is_some_and(|cpu| cpu.asleep) => WAKER_PROCESSOR_SLEEP | WAKER_CHILDREN_ASLEEP,
            PIDR2_OFFSET => PIDR2,
            _ => 0,
        }
    }

    fn redistributor_typer(&self, cpu: usize) -> u64 {
        let affinity = self.cpus.get(cpu).map_or(0, |cpu| u64::from(cpu.affinity));
        let last = if cpu + 1 == self.cpu_count { TYPER_LAST } else { 0 };
        affinity << TYPER_AFFINITY_SHIFT | (cpu as u64) << TYPER_PROCESSOR_SHIFT | last
    }

    fn read_sgi_word(&self, cpu: usize, offset: u64, hw: &impl PhysicalGic) -> u32 {
        match offset {
            IPRIORITYR..IPRIORITYR_END => u32::from_le_bytes(
                [0, 1, 2, 3].map(|byte| private_priority_at(offset + byte).map_or(0, |id| self.priority(cpu, id))),
            ),
            ICFGR => spread_config(SGIS),
            ICFGR1 => {
                let edge = self.cpus.get(cpu).map_or(0, |cpu| cpu.private.edge);
                spread_config(edge >> 16)
            }
            PIDR2_OFFSET => PIDR2,
            _ => match BitRegister::decode(offset) {
                Some((register, 0)) => self.read_bits(cpu, 0, register, hw),
                _ => 0,
            },
        }
    }

    fn write_sgi_word(&mut self, cpu: usize, offset: u64, value: u32, hw: &mut impl PhysicalGic) {
        match offset {
            IPRIORITYR..IPRIORITYR_END => {
                for (byte, priority) in (0..).zip(value.to_le_bytes()) {
                    if let Some(id) = private_priority_at(offset + byte) {
                        self.set_priority(cpu, id, priority);
                    }
                }
            }
            ICFGR1 => self.write_config(cpu, 0, 16, value, hw),
            _ => {
                if let Some((register, 0)) = BitRegister::decode(offset) {
                    self.write_bits(cpu, 0, register, value, hw);
                }
            }
        }
    }
}

/// The SGI or PPI whose priority is the byte at `offset` of the SGI frame.
fn private_priority_at(offset: u64) -> Option<IntId> {
    let number = u32::try_from(offset.checked_sub(IPRIORITYR)?).ok()?;
    IntId::new(number).filter(|id| id.is_private())
}
