//! Descriptors as they are in memory, in a form that fits into the project.
//!
//! ```text
//! vttbr_el2 0x10001009bc000
//! vtcr_el2 0x800d3520
//! table 0x1009bc000
//! 0 0x1009c0003
//! 5+32 0x10b0007ff 0x1000
//! ```
//!
//! First the registers, then the tables, root first. A line of a table is an index and a descriptor, or the first of a
//! number of descriptors that grow by a constant. Zeroes are left out.
//!
//! The walk is as simple as can be, and not `vmsa`'s, which is what is to be tested: 4 KiB granule, and a descriptor
//! above level 3 with both low bits set is a table.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Result, ensure};

use super::monitor::{Monitor, TABLE_BYTES};

/// Where a descriptor has an address, without `FEAT_LPA2`.
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// More tables than any of these translations has, should memory be something else than tables.
const TABLES_MAX: usize = 20_000;

/// Where a translation begins.
pub(super) struct Root {
    registers: Vec<(&'static str, u64)>,
    address: u64,
    level: u64,
    /// Tables side by side.
    count: u64,
}

impl Root {
    /// As `VTTBR_EL2` and `VTCR_EL2` say.
    pub(super) fn stage2(vttbr: u64, vtcr: u64) -> Self {
        let bits = 64 - (vtcr & 0x3f);
        let level = 2 - (vtcr >> 6 & 0b11);
        Self {
            registers: vec![("vttbr_el2", vttbr), ("vtcr_el2", vtcr)],
            // Bit 0 is CnP.
            address: vttbr & ADDRESS,
            level,
            count: 1 << bits.saturating_sub(bits_from(level)),
        }
    }

    /// As `TTBR1_EL2`, `TCR_EL2` and `MAIR_EL2` say, the upper half.
    pub(super) fn stage1(ttbr1: u64, tcr: u64, mair: u64) -> Self {
        let bits = 64 - (tcr >> 16 & 0x3f);
        let level = (0..4).rev().find(|level| bits <= bits_from(*level));
        Self {
            registers: vec![("ttbr1_el2", ttbr1), ("tcr_el2", tcr), ("mair_el2", mair)],
            address: ttbr1 & ADDRESS,
            level: level.unwrap_or(0),
            count: 1,
        }
    }
}

/// Input bits of a table of that level and those below.
const fn bits_from(level: u64) -> u64 {
    12 + 9 * (4 - level)
}

/// All tables of a translation.
pub(super) struct Tables {
    registers: Vec<(&'static str, u64)>,
    /// Address and descriptors, in the order of the walk.
    tables: Vec<(u64, Vec<u64>)>,
}

impl Tables {
    /// Reads them.
    pub(super) fn read(monitor: &mut Monitor, root: &Root) -> Result<Self> {
        let mut tables = Vec::new();
        let mut seen = BTreeSet::new();
        let roots = (0..root.count).map(|index| (root.address + index * TABLE_BYTES as u64, root.level));
        let mut next: Vec<(u64, u64)> = roots.rev().collect();
        while let Some((address, level)) = next.pop() {
            if !seen.insert(address) {
                continue;
            }
            ensure!(seen.len() <= TABLES_MAX, "this is no page table");
            let descriptors = monitor.table(address)?;
            let below = descriptors.iter().rev().filter(|raw| level < 3 && **raw & 3 == 3);
            next.extend(below.map(|raw| (raw & ADDRESS, level + 1)));
            tables.push((address, descriptors));
        }
        Ok(Self {
            registers: root.registers.clone(),
            tables,
        })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.tables.len()
    }
}

impl fmt::Display for Tables {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (name, value) in &self.registers {
            writeln!(f, "{name} {value:#x}")?;
        }
        for (address, descriptors) in &self.tables {
            writeln!(f, "table {address:#x}")?;
            write_table(descriptors, f)?;
        }
        Ok(())
    }
}

fn write_table(descriptors: &[u64], f: &mut fmt::Formatter) -> fmt::Result {
    let mut index = 0;
    while let Some(rest) = descriptors.get(index..).filter(|rest| !rest.is_empty()) {
        let raw = rest[0];
        let step = rest.get(1).map_or(0, |next| next.wrapping_sub(raw));
        let alike = rest.windows(2).take_while(|pair| pair[1].wrapping_sub(pair[0]) == step);
        match 1 + alike.count() {
            _ if raw == 0 => {
                index += rest.iter().take_while(|raw| **raw == 0).count();
                continue;
            }
            // Two alike by chance are two lines.
            count @ 3.. => {
                writeln!(f, "{index}+{count} {raw:#x} {step:#x}")?;
                index += count;
            }
            _ => {
                writeln!(f, "{index} {raw:#x}")?;
                index += 1;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeroes_are_left_out_and_runs_are_one_line() {
        let mut descriptors = vec![0; 512];
        descriptors[3] = 0x40_0003;
        for (index, raw) in descriptors[5..37].iter_mut().enumerate() {
            *raw = 0x1_0007 + 0x1000 * index as u64;
        }
        descriptors[511] = 1;
        let tables = Tables {
            registers: vec![("vttbr_el2", 0x1000)],
            tables: vec![(0x1000, descriptors)],
        };
        let text = "vttbr_el2 0x1000\ntable 0x1000\n3 0x400003\n5+32 0x10007 0x1000\n511 0x1\n";
        assert_eq!(tables.to_string(), text);
    }

    #[test]
    fn the_root_is_where_the_registers_say() {
        // 40 bits from level 1: two root tables.
        let root = Root::stage2(0x3_0000_4000_2001, 0x8002_3558);
        assert_eq!((root.address, root.level, root.count), (0x4000_2000, 1, 2));
        // 32 bits from level 2: four.
        let root = Root::stage2(0x4000_0000, 0x800d_3520);
        assert_eq!((root.level, root.count), (2, 4));
        let root = Root::stage1(0x486f_d000, 0x35_b550_3510, 0);
        assert_eq!((root.address, root.level, root.count), (0x486f_d000, 0, 1));
    }
}
