//! Stage-2 tables of a guest hypervisor, 4 KiB granule, any start level.
//!
//! Nothing is checked: input size and start level may contradict each other, any descriptor can be put anywhere. What
//! is built without such help is right, and like what Linux builds (`DDI 0487`, "VMSAv8-64 stage 2").

/// Bytes of a page and of a table.
pub const PAGE_BYTES: u64 = 4096;

/// `VTCR_EL2.DS`: descriptors hold addresses of 52 bits.
pub const VTCR_DS: u64 = 1 << 32;

/// Memory that tables are in.
pub trait TableMemory {
    /// The address of `count` zeroed pages in a row, aligned to their size if `count` is a power of two.
    fn alloc(&mut self, count: u64) -> u64;
    /// The descriptor at `at`.
    fn read(&self, at: u64) -> u64;
    /// Makes `desc` the descriptor at `at`, and completes that before anything that follows.
    fn write(&mut self, at: u64, desc: u64);
}

/// Input size and start level, which `VTCR_EL2` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Bits of an input address: 64 - `T0SZ`.
    pub ipa_bits: u32,
    /// Level of the first lookup: 0, 1 or 2, else `SL0` is its reserved value.
    pub start_level: u32,
}

impl Format {
    /// 40 bits from level 1 on, two concatenated tables: what KVM uses for a guest of default size.
    pub const USUAL: Self = Self {
        ipa_bits: 40,
        start_level: 1,
    };

    /// `VTCR_EL2`: 16-bit VMIDs, 40-bit output, write-back walks.
    #[must_use]
    pub fn vtcr(self) -> u64 {
        const RES1: u64 = 1 << 31;
        const VS_16_BITS: u64 = 1 << 19;
        const PS_40_BITS: u64 = 2 << 16;
        const INNER_SHAREABLE: u64 = 3 << 12;
        const WRITE_BACK: u64 = 1 << 10 | 1 << 8;
        let sl0 = u64::from(2_u32.checked_sub(self.start_level).unwrap_or(3));
        let t0sz = u64::from(64 - self.ipa_bits);
        RES1 | VS_16_BITS | PS_40_BITS | INNER_SHAREABLE | WRITE_BACK | sl0 << 6 | t0sz
    }

    /// Concatenated tables at the start level: 1 to 16.
    #[must_use]
    pub fn root_pages(self) -> u64 {
        let index_bits = self.ipa_bits.saturating_sub(shift(self.start_level));
        1 << index_bits.saturating_sub(9).min(4)
    }
}

/// The lowest bit of an input address that selects an entry of `level`.
const fn shift(level: u32) -> u32 {
    12 + 9 * (3 - level)
}

/// Bytes that an entry of `level` (0 to 3) maps.
#[must_use]
pub const fn entry_bytes(level: u32) -> u64 {
    1 << shift(level)
}

/// What a leaf allows. The memory is Normal, write-back, inner shareable; the Access flag is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Perms {
    /// `S2AP[0]`
    pub read: bool,
    /// `S2AP[1]`
    pub write: bool,
    /// `XN` clear, for EL1 and EL0 alike.
    pub execute: bool,
}

impl Perms {
    /// Read, write, execute.
    pub const RWX: Self = Self {
        read: true,
        write: true,
        execute: true,
    };
    /// Read, write.
    pub const RW: Self = Self {
        execute: false,
        ..Self::RWX
    };
    /// Read.
    pub const RO: Self = Self {
        write: false,
        ..Self::RW
    };
    /// Read, execute.
    pub const RX: Self = Self {
        write: false,
        ..Self::RWX
    };
}

/// Bits of descriptors.
pub mod desc {
    use super::{Perms, entry_bytes};

    /// A table descriptor, but for the address.
    pub const TABLE: u64 = 0b11;
    /// The Access flag.
    pub const AF: u64 = 1 << 10;
    /// The contiguous hint.
    pub const CONTIGUOUS: u64 = 1 << 52;
    const VALID: u64 = 1;
    /// What tells a page from a reserved descriptor at level 3.
    const PAGE: u64 = 1 << 1;
    const NORMAL_WRITE_BACK: u64 = 0b1111 << 2;
    const READ: u64 = 1 << 6;
    const WRITE: u64 = 1 << 7;
    /// What the memory is without `VTCR_EL2.DS`.
    pub const INNER_SHAREABLE: u64 = 3 << 8;
    const EXECUTE_NEVER: u64 = 1 << 54;

    /// The leaf of `level` that maps to `output`, cut to the size of the leaf.
    #[must_use]
    pub const fn leaf(output: u64, level: u32, perms: Perms) -> u64 {
        let mut desc = output & !(entry_bytes(level) - 1) | VALID | NORMAL_WRITE_BACK | INNER_SHAREABLE | AF;
        if level == 3 {
            desc |= PAGE;
        }
        if perms.read {
            desc |= READ;
        }
        if perms.write {
            desc |= WRITE;
        }
        if !perms.execute {
            desc |= EXECUTE_NEVER;
        }
        desc
    }
}

/// A guest's stage 2.
#[derive(Clone, Copy, Debug)]
pub struct Stage2 {
    format: Format,
    vtcr: u64,
    vmid: u16,
    root: u64,
}

impl Stage2 {
    /// An empty one.
    pub fn new(format: Format, vmid: u16, memory: &mut impl TableMemory) -> Self {
        let root = memory.alloc(format.root_pages());
        Self::at(root, format, vmid)
    }

    /// The one whose root is at `root`.
    #[must_use]
    pub fn at(root: u64, format: Format, vmid: u16) -> Self {
        Self {
            format,
            vtcr: format.vtcr(),
            vmid,
            root,
        }
    }

    /// The same tables under another VMID.
    #[must_use]
    pub fn with_vmid(self, vmid: u16) -> Self {
        Self { vmid, ..self }
    }

    /// The same tables, read in another way.
    #[must_use]
    pub fn with_format(self, format: Format) -> Self {
        Self::at(self.root, format, self.vmid)
    }

    /// The same tables, with another `VTCR_EL2`.
    #[must_use]
    pub fn with_vtcr(self, vtcr: u64) -> Self {
        Self { vtcr, ..self }
    }

    /// `VTTBR_EL2`
    #[must_use]
    pub fn vttbr(&self) -> u64 {
        u64::from(self.vmid) << 48 | self.root
    }

    /// `VTCR_EL2`
    #[must_use]
    pub fn vtcr(&self) -> u64 {
        self.vtcr
    }

    /// The address of the (first) root table.
    #[must_use]
    pub fn root(&self) -> u64 {
        self.root
    }

    /// The address of the entry of `level` for `ipa`. Tables on the way are made where there is no valid descriptor.
    pub fn entry(&self, ipa: u64, level: u32, memory: &mut impl TableMemory) -> u64 {
        const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
        let mut table = self.root;
        let mut index = ipa >> shift(self.format.start_level);
        for above in self.format.start_level..level {
            let at = table + index * 8;
            if memory.read(at) & desc::TABLE != desc::TABLE {
                let next = memory.alloc(1);
                memory.write(at, next | desc::TABLE);
            }
            table = memory.read(at) & ADDRESS;
            index = ipa >> shift(above + 1) & 0x1ff;
        }
        table + index * 8
    }

    /// Maps one leaf of `level` at `ipa`.
    pub fn map(&self, ipa: u64, output: u64, level: u32, perms: Perms, memory: &mut impl TableMemory) {
        let at = self.entry(ipa, level, memory);
        let desc = desc::leaf(output, level, perms);
        // With DS the shareability is the register's, and its bits are bits of the address.
        let address = if self.vtcr & VTCR_DS != 0 {
            desc::INNER_SHAREABLE
        } else {
            0
        };
        memory.write(at, desc & !address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    struct Memory {
        next: u64,
        words: BTreeMap<u64, u64>,
    }

    impl TableMemory for Memory {
        fn alloc(&mut self, count: u64) -> u64 {
            let at = self.next.next_multiple_of(count * PAGE_BYTES);
            self.next = at + count * PAGE_BYTES;
            at
        }

        fn read(&self, at: u64) -> u64 {
            self.words.get(&at).copied().unwrap_or(0)
        }

        fn write(&mut self, at: u64, desc: u64) {
            self.words.insert(at, desc);
        }
    }

    fn memory() -> Memory {
        Memory {
            next: 0x8000_0000,
            words: BTreeMap::new(),
        }
    }

    #[test]
    fn the_usual_format_is_what_kvm_uses() {
        // KVM's own value but for hardware management of the Access flag, and a 40-bit PS.
        assert_eq!(Format::USUAL.vtcr(), 0x800a_3558);
        assert_eq!(Format::USUAL.root_pages(), 2);
    }

    #[test]
    fn a_start_level_that_is_none_is_the_reserved_sl0() {
        let format = Format {
            ipa_bits: 40,
            start_level: 3,
        };
        assert_eq!(format.vtcr() >> 6 & 3, 3);
    }

    #[test]
    fn a_walk_of_what_was_mapped_finds_it() {
        for format in [
            Format::USUAL,
            Format {
                ipa_bits: 48,
                start_level: 0,
            },
            Format {
                ipa_bits: 34,
                start_level: 2,
            },
        ] {
            let mut memory = memory();
            let tables = Stage2::new(format, 1, &mut memory);
            let ipa = (1 << (format.ipa_bits - 1)) + 0x20_3000;
            tables.map(ipa, 0x9000_0000, 3, Perms::RW, &mut memory);
            let at = tables.entry(ipa, 3, &mut memory);
            assert_eq!(memory.read(at), desc::leaf(0x9000_0000, 3, Perms::RW), "{format:?}");
            let root_end = tables.root() + format.root_pages() * PAGE_BYTES;
            let first = memory.words.range(tables.root()..root_end).count();
            assert_eq!(first, 1, "one entry of the root is used: {format:?}");
        }
    }

    #[test]
    fn a_leaf_says_what_is_allowed() {
        assert_eq!(desc::leaf(0x4000_0000, 3, Perms::RW), 0x0040_0000_4000_07ff);
        assert_eq!(desc::leaf(0x4012_3000, 2, Perms::RX), 0x4000_077d);
    }

    #[test]
    fn root_and_vmid_make_vttbr() {
        let mut memory = memory();
        let tables = Stage2::new(Format::USUAL, 1, &mut memory);
        assert_eq!(tables.with_vmid(2).vttbr(), 0x0002_0000_8000_0000);
    }
}
