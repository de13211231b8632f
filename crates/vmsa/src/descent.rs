//! The descent from the root of a set of tables to the descriptor that decides, common to both stages and to walks of
//! one address and of all.

use crate::{Addr, DescriptorKind, Fault, Granule, Level, ReadTable, TableFormat, format::beyond};

/// One descriptor that a walk read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<O> {
    /// The lookup level.
    pub level: Level,
    /// The start of the table. At the start level of a stage 2, of the first of the concatenated ones.
    pub table: Addr<O>,
    /// The index in that table; beyond one table's entries with concatenation.
    pub index: u64,
    /// The descriptor, in the byte order of this CPU; `None` where it cannot be read.
    pub raw: Option<u64>,
}

/// The shape of a set of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) format: TableFormat,
    /// Bits of the input address that are looked up.
    pub(crate) ia_bits: u32,
    /// The first input address: not 0 for the half that `TTBR1_ELx` translates.
    pub(crate) ia_base: u64,
    pub(crate) start_level: Level,
    /// The address of the start-level table.
    pub(crate) root: u64,
    pub(crate) oa_bits: u32,
    pub(crate) big_endian: bool,
}

/// What a descent ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// Where the input address itself ends up.
    pub(crate) output: u64,
    pub(crate) level: Level,
    pub(crate) size: u64,
    pub(crate) desc_at: u64,
    pub(crate) raw: u64,
}

/// A descriptor, where it is, and what it means.
pub(crate) struct LookUp {
    pub(crate) desc_at: u64,
    /// The descriptor in the byte order of this CPU; `None` where it cannot be read.
    pub(crate) raw: Option<u64>,
    pub(crate) kind: DescriptorKind,
}

impl Shape {
    /// Looks up the input address `offset` bytes above the first one in `table`, a table of `level`.
    pub(crate) fn look_up<O>(&self, mem: &impl ReadTable<O>, table: u64, offset: u64, level: Level) -> LookUp {
        let granule = self.format.granule;
        let shift = granule.entry_shift(level);
        let index = if level == self.start_level {
            offset >> shift
        } else {
            offset >> shift & ((1 << granule.stride()) - 1)
        };
        // At most 52 bits of table address and 17 of index: cannot overflow.
        let desc_at = table + index * 8;
        let Ok(stored) = mem.read(Addr::new(desc_at)) else {
            return LookUp {
                desc_at,
                raw: None,
                kind: DescriptorKind::Invalid,
            };
        };
        let raw = self.in_cpu_order(stored);
        LookUp {
            desc_at,
            raw: Some(raw),
            kind: self.format.decode(raw, level, self.oa_bits),
        }
    }

    /// The same, where that is known when this is compiled, if it is what nearly everybody has: 4 KiB, 48 bits, in the
    /// byte order of this CPU.
    #[inline(always)]
    pub(crate) fn usual(self) -> Option<Self> {
        const USUAL: TableFormat = TableFormat::bits48(Granule::K4);
        let is_usual = self.format == USUAL && !self.big_endian;
        is_usual.then_some(Self {
            format: USUAL,
            big_endian: false,
            ..self
        })
    }

    /// [`descend`](Self::descend) in a form of which there is one, whoever reads and observes: smaller, and slower.
    #[cold]
    pub(crate) fn descend_any<O>(
        &self,
        offset: u64,
        mem: &dyn ReadTable<O>,
        observe: &mut dyn FnMut(Step<O>),
    ) -> Result<Leaf, Fault> {
        self.descend(offset, &mem, &mut |step| observe(step))
    }

    /// Translates the input address `offset` bytes above the first one, which must be less than 2^`ia_bits`.
    // For a shape that is known when this is compiled, this is a few instructions a level.
    #[inline(always)]
    pub(crate) fn descend<O>(
        &self,
        offset: u64,
        mem: &impl ReadTable<O>,
        observe: &mut impl FnMut(Step<O>),
    ) -> Result<Leaf, Fault> {
        let format = self.format;
        let granule = format.granule;
        let beyond = beyond(self.oa_bits);
        let mut table = self.root;
        let mut level = self.start_level;
        let mut shift = granule.entry_shift(level);
        let mut index = offset.wrapping_shr(shift);
        loop {
            // At most 52 bits of table address and 17 of index: cannot overflow.
            let desc_at = table.wrapping_add(index * 8);
            let raw = mem
                .read(Addr::new(desc_at))
                .ok()
                .map(|stored| self.in_cpu_order(stored));
            observe(Step {
                level,
                table: Addr::new(table),
                index,
                raw,
            });
            let Some(raw) = raw else {
                return Err(Fault::ExternalAbortOnWalk(level));
            };
            // What is on the way is told apart first: all but one are.
            if let Some(next_level) = level.next()
                && let Some(next) = format.next_table(raw, beyond)
            {
                table = next;
                level = next_level;
                shift = shift.wrapping_sub(granule.stride());
                index = offset.wrapping_shr(shift) & ((1 << granule.stride()) - 1);
                continue;
            }
            let base = match format.decode_within(raw, level, beyond) {
                DescriptorKind::Leaf(base) => base,
                DescriptorKind::OutOfRange => return Err(Fault::AddressSize(level)),
                DescriptorKind::Table(_) | DescriptorKind::Invalid => return Err(Fault::Translation(level)),
            };
            let size = 1u64.wrapping_shl(shift);
            return Ok(Leaf {
                output: base | offset & size.wrapping_sub(1),
                level,
                size,
                desc_at,
                raw,
            });
        }
    }

    fn in_cpu_order(&self, stored: u64) -> u64 {
        if self.big_endian { stored.swap_bytes() } else { stored }
    }
}
