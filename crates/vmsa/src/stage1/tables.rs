//! Which descriptors a walk of the EL1&0 stage 1 reads.
//!
//! Not a translation: permissions, attributes and the result are left to the hardware's `AT`. What hardware cannot do is
//! fill a shadow stage 2 on the way, and for that it is enough to know the addresses of the tables.

use crate::{Granule, Level};

/// The registers that govern the walk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stage1Registers {
    /// `TCR_EL1`
    pub tcr: u64,
    /// `TTBR0_EL1`
    pub ttbr0: u64,
    /// `TTBR1_EL1`
    pub ttbr1: u64,
}

/// Bit 55 of an address selects the table base register, whether or not the top byte is ignored.
const SELECT_TTBR1: u64 = 1 << 55;
/// Bits of a base register and of a table descriptor that can hold a table address: 48-bit output addresses.
const TABLE_ADDRESS: u64 = 0x0000_ffff_ffff_f000;
const DESCRIPTOR_BYTES: u64 = 8;
/// A descriptor that is valid and, above level 3, points to a table.
const IS_TABLE: u64 = 0b11;
/// The largest input address: FEAT_LVA is not modelled.
const INPUT_BITS_MAX: u32 = 48;
/// The smallest input address, that of `TxSZ` = 39.
const INPUT_BITS_MIN: u32 = 25;

/// Calls `read` with the intermediate physical address of each descriptor that a walk for `va` reads, from the start
/// level on, until one is no table descriptor or `read` returns `None`. `read` returns the descriptor.
///
/// Does nothing where `TCR_EL1` describes no table that this model knows (DDI 0487, `AArch64.S1Walk`).
pub fn visit_tables(registers: &Stage1Registers, va: u64, mut read: impl FnMut(u64) -> Option<u64>) {
    let Some((granule, input_bits, base)) = half_of(registers, va) else {
        return;
    };
    let index_bits = input_bits - granule.shift();
    let levels = index_bits.div_ceil(granule.stride());
    let mut level = match levels {
        1 => Level::THREE,
        2 => Level::TWO,
        3 => Level::ONE,
        _ => Level::ZERO,
    };
    // A start table may be smaller than a page; its address is then aligned to its size only.
    let mut table = base & 0x0000_ffff_ffff_ffc0;
    let mut bits = input_bits;
    loop {
        let shift = granule.entry_shift(level);
        let index = (va & low_bits(bits)) >> shift;
        let Some(descriptor) = read(table + index * DESCRIPTOR_BYTES) else {
            return;
        };
        let Some(next) = level.next() else { return };
        if descriptor & IS_TABLE != IS_TABLE {
            return;
        }
        table = descriptor & TABLE_ADDRESS & !(granule.bytes() - 1);
        bits = shift;
        level = next;
    }
}

/// Granule, input size in bits, and base register for the half of the address space that `va` is in.
fn half_of(registers: &Stage1Registers, va: u64) -> Option<(Granule, u32, u64)> {
    let is_upper = va & SELECT_TTBR1 != 0;
    let (size, granule, base) = if is_upper {
        (registers.tcr >> 16, registers.tcr >> 30 & 3, registers.ttbr1)
    } else {
        (registers.tcr, registers.tcr >> 14 & 3, registers.ttbr0)
    };
    // TG0 and TG1 number the granules differently.
    let granule = match (is_upper, granule) {
        (false, 0) | (true, 2) => Granule::K4,
        (false, 2) | (true, 1) => Granule::K16,
        (false, 1) | (true, 3) => Granule::K64,
        _ => return None,
    };
    let input_bits = 64 - (size & 0x3f) as u32;
    (INPUT_BITS_MIN..=INPUT_BITS_MAX)
        .contains(&input_bits)
        .then_some((granule, input_bits, base))
}

const fn low_bits(count: u32) -> u64 {
    (1 << count) - 1
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, vec::Vec};

    use super::*;

    /// The addresses read for `va`, of tables whose descriptors are `memory`.
    fn addresses(registers: &Stage1Registers, va: u64, memory: &BTreeMap<u64, u64>) -> Vec<u64> {
        let mut seen = Vec::new();
        visit_tables(registers, va, |at| {
            seen.push(at);
            Some(memory.get(&at).copied().unwrap_or(0))
        });
        seen
    }

    fn tcr(t0sz: u64, tg0: u64, t1sz: u64, tg1: u64) -> u64 {
        t0sz | tg0 << 14 | t1sz << 16 | tg1 << 30
    }

    #[test]
    fn lower_half_with_4k_and_48_bits_reads_four_levels() {
        let registers = Stage1Registers {
            tcr: tcr(16, 0, 16, 2),
            ttbr0: 0x1_0000,
            ttbr1: 0x9_0000,
        };
        let va = 1 << 39 | 2 << 30 | 3 << 21 | 4 << 12;
        let memory = BTreeMap::from([(0x1_0008, 0x2_0003), (0x2_0010, 0x3_0003), (0x3_0018, 0x4_0003)]);
        assert_eq!(
            addresses(&registers, va, &memory),
            [0x1_0008, 0x2_0010, 0x3_0018, 0x4_0020]
        );
    }

    #[test]
    fn upper_half_uses_ttbr1_and_its_size() {
        let registers = Stage1Registers {
            tcr: tcr(16, 0, 25, 2),
            ttbr0: 0x1_0000,
            ttbr1: 0xabcd_0000_0009_0000,
        };
        let va = !0 << 39 | 5 << 30;
        assert_eq!(addresses(&registers, va, &BTreeMap::new()), [0x9_0000 + 5 * 8]);
    }

    #[test]
    fn a_block_ends_the_walk() {
        let registers = Stage1Registers {
            tcr: tcr(25, 0, 25, 2),
            ttbr0: 0x1_0000,
            ttbr1: 0,
        };
        let memory = BTreeMap::from([(0x1_0000, 0x2_0003), (0x2_0000, 0x4000_0001)]);
        assert_eq!(addresses(&registers, 0, &memory), [0x1_0000, 0x2_0000]);
    }

    #[test]
    fn granules_of_64k_and_16k_are_numbered_per_half() {
        let with_64k = Stage1Registers {
            tcr: tcr(22, 1, 22, 3),
            ttbr0: 0x1_0000,
            ttbr1: 0x2_0000,
        };
        assert_eq!(addresses(&with_64k, 1 << 29, &BTreeMap::new()), [0x1_0008]);
        let with_16k = Stage1Registers {
            tcr: tcr(17, 2, 17, 1),
            ttbr0: 0x1_0000,
            ttbr1: 0x2_0000,
        };
        assert_eq!(addresses(&with_16k, 1 << 36, &BTreeMap::new()), [0x1_0008]);
    }

    #[test]
    fn a_table_that_points_to_itself_ends_at_level_3() {
        let registers = Stage1Registers {
            tcr: tcr(16, 0, 16, 2),
            ttbr0: 0x1_0000,
            ttbr1: 0,
        };
        let memory = BTreeMap::from([(0x1_0000, 0x1_0003)]);
        assert_eq!(addresses(&registers, 0, &memory).len(), 4);
    }

    #[test]
    fn sizes_and_granules_that_do_not_exist_read_nothing() {
        for tcr in [tcr(0, 0, 0, 2), tcr(63, 0, 63, 2), tcr(16, 3, 16, 0)] {
            let registers = Stage1Registers {
                tcr,
                ttbr0: 0x1_0000,
                ttbr1: 0x1_0000,
            };
            assert!(addresses(&registers, 0, &BTreeMap::new()).is_empty());
            assert!(addresses(&registers, !0, &BTreeMap::new()).is_empty());
        }
    }
}
