//! What is wrong with L1's own stage-2 tables, whatever the shadow has of them.
//!
//! Hardware does something definite, or something CONSTRAINED UNPREDICTABLE, with every bit pattern, so a hypervisor under
//! test may go on for a long time with tables that are not what it meant. A lint goes over all of them and says what
//! can hardly have been meant: tables where there is no memory, tables that contain themselves, encodings that are
//! reserved, leaves that lead to the hypervisor below, and Contiguous hints that do not hold (DDI 0487, "The Contiguous
//! bit").
//!
//! It is done in bounded pieces, reads nothing but L1's memory, and ends whatever the tables are: a table that contains
//! itself is not entered.

use crate::Place;
use core::fmt;
use vmsa::{
    AddressField, Enter, Entry, EntryKind, Found, Granule, Ipa, L1, L2, Level, ReadTable, TableLink,
    stage2::{Stage2Attrs, Stage2Config, survey, walk},
};

/// What there is at an address of L1's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// RAM.
    Ram,
    /// A device of L1's, or one that is emulated for it.
    Device,
    /// Nothing that L1 has.
    Absent(Place),
}

/// What is wrong with a descriptor of L1's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It leads to a table where L1 has no RAM.
    TableNotInRam {
        /// Where that is.
        table: Ipa<L1>,
        /// What is there.
        ground: Ground,
    },
    /// It leads to a table that is on the way to it.
    TableLoop {
        /// Where that is.
        table: Ipa<L1>,
    },
    /// It is beyond the output size of so many bits.
    OutOfRange {
        /// `VTCR_EL2.PS`, as far as the machine has it.
        oa_bits: u32,
    },
    /// It is marked as a block where there are none.
    NoLeafHere,
    /// These bits are reserved and not 0.
    ReservedBits(u64),
    /// `SH` is 0b01, which is reserved.
    ReservedShareability,
    /// `MemAttr` has a reserved value.
    ReservedMemAttr(u8),
    /// It leads to an address that L1 does not have.
    LeafNotThere {
        /// The address.
        output: Ipa<L1>,
        /// What is there.
        place: Place,
    },
    /// It has the Contiguous hint, but its output address is not at its place in an aligned run.
    ContiguousMisaligned {
        /// The bytes of a run.
        run: u64,
    },
    /// It has the Contiguous hint, but another entry of the run is not alike.
    ContiguousBroken {
        /// The other entry's address.
        other: Ipa<L2>,
        /// What is the matter with it.
        how: Breach,
    },
}

/// Why an entry does not belong to a contiguous run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// It maps nothing, or something of another size.
    Missing,
    /// It has no hint.
    NoHint,
    /// It leads elsewhere.
    Output(Ipa<L1>),
    /// It has other attributes.
    Attributes,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is not a valid entry of the same level"),
            Self::NoHint => f.write_str("has no Contiguous hint"),
            Self::Output(output) => write!(f, "overlaps or leaves a gap: it leads to {output}"),
            Self::Attributes => f.write_str("has other attributes"),
        }
    }
}

impl fmt::Display for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ram => f.write_str("RAM"),
            Self::Device => f.write_str("a device"),
            Self::Absent(place) => place.fmt(f),
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TableNotInRam { table, ground } => {
                write!(f, "L1's table descriptor leads to {table}, where there is {ground}")
            }
            Self::TableLoop { table } => {
                write!(
                    f,
                    "L1's table descriptor leads back to the table at {table}, which it is in or below"
                )
            }
            Self::OutOfRange { oa_bits } => {
                write!(f, "L1's descriptor leads beyond the {oa_bits}-bit output size")
            }
            Self::NoLeafHere => f.write_str("L1's descriptor is a block, and there are none at this level"),
            Self::ReservedBits(bits) => write!(f, "L1's descriptor has reserved bits set: {bits:#x}"),
            Self::ReservedShareability => f.write_str("L1's descriptor has the reserved shareability SH = 0b01"),
            Self::ReservedMemAttr(attr) => write!(f, "L1's descriptor has the reserved MemAttr {attr:#06b}"),
            Self::LeafNotThere { output, place } => {
                write!(f, "L1 maps this to its {output}, where there is {place}")
            }
            Self::ContiguousMisaligned { run } => write!(
                f,
                "L1's Contiguous hint is misaligned: the output is not at this place of an aligned run of {:#x} bytes",
                run
            ),
            Self::ContiguousBroken { other, how } => {
                write!(
                    f,
                    "L1's Contiguous hint does not hold: the entry for {other} in its run {how}"
                )
            }
        }
    }
}

/// Something wrong in L1's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LintFinding {
    /// The first address that the descriptor is for.
    pub ia: Ipa<L2>,
    /// The bytes it is for.
    pub size: u64,
    /// Its level.
    pub level: Level,
    /// Where it is.
    pub at: Ipa<L1>,
    /// What it is, in the byte order of this CPU.
    pub raw: u64,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// A lint in progress.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lint {
    next: u64,
    checked: u64,
    /// The contiguous run that was looked at last.
    run: Option<(u64, Level)>,
}

impl Lint {
    /// One that begins with the entry around `from`.
    #[must_use]
    pub const fn from(from: u64) -> Self {
        Self {
            next: from,
            checked: 0,
            run: None,
        }
    }

    /// The descriptors looked at so far.
    #[must_use]
    pub const fn checked(&self) -> u64 {
        self.checked
    }

    /// Looks at up to `budget` entries of the tables that `config` describes in `mem`, and tells `report` what is wrong
    /// with each. `ground` says what there is in so many bytes from an address of L1's. Says whether there is more.
    pub fn step(
        &mut self,
        config: &Stage2Config,
        mem: &impl ReadTable<L1>,
        ground: &impl Fn(Ipa<L1>, u64) -> Ground,
        budget: usize,
        report: &mut impl FnMut(LintFinding),
    ) -> bool {
        let (mut run, mut checked) = (self.run, 0);
        let next = survey(config, mem, self.next, budget, &mut |found| match found {
            Found::Table(link) => {
                checked += 1;
                lint_table(config, &link, ground, report)
            }
            Found::Entry { at, entry } => {
                checked += 1;
                let mut tell = |flaw| {
                    report(LintFinding {
                        ia: Ipa::new(entry.ia),
                        size: entry.size,
                        level: entry.level,
                        at: Ipa::new(at),
                        raw: entry.raw,
                        flaw,
                    });
                };
                lint_entry(config, &entry, ground, &mut tell);
                lint_run(config, &entry, mem, &mut run, &mut tell);
                Enter::Yes
            }
        });
        self.run = run;
        self.checked += checked;
        self.next = next.unwrap_or(0);
        next.is_some()
    }
}

/// Bits 63:59 of a table descriptor are reserved at stage 2; the others that are no address are ignored.
const TABLE_RESERVED: u64 = 0b1_1111 << 59;
/// `SH` of a leaf.
const SH: u64 = 0b11 << 8;
const SH_RESERVED: u64 = 0b01 << 8;
/// `nT`, which a block may have (`FEAT_BBM`).
const NT: u64 = 1 << 16;

fn lint_table(
    config: &Stage2Config,
    link: &TableLink,
    ground: &impl Fn(Ipa<L1>, u64) -> Ground,
    report: &mut impl FnMut(LintFinding),
) -> Enter {
    let table = Ipa::new(link.table);
    let mut tell = |flaw| {
        report(LintFinding {
            ia: Ipa::new(link.ia),
            size: link.size,
            level: link.level,
            at: Ipa::new(link.at),
            raw: link.raw,
            flaw,
        });
    };
    if link.raw & TABLE_RESERVED != 0 {
        tell(Flaw::ReservedBits(link.raw & TABLE_RESERVED));
    }
    if link.is_loop {
        tell(Flaw::TableLoop { table });
        return Enter::No;
    }
    match ground(table, config.granule.bytes()) {
        Ground::Ram => Enter::Yes,
        ground => {
            tell(Flaw::TableNotInRam { table, ground });
            Enter::No
        }
    }
}

fn lint_entry(
    config: &Stage2Config,
    entry: &Entry,
    ground: &impl Fn(Ipa<L1>, u64) -> Ground,
    tell: &mut impl FnMut(Flaw),
) {
    const VALID: u64 = 1;
    const TABLE_OR_PAGE: u64 = 2;
    let raw = entry.raw;
    match entry.kind {
        EntryKind::Leaf => {}
        // Its table has been told of.
        EntryKind::Unreadable => return,
        EntryKind::Invalid if raw & VALID == 0 => return,
        EntryKind::Invalid => {
            let has_blocks = entry.level < Level::THREE && config.format().has_leaf_at(entry.level);
            return tell(if raw & TABLE_OR_PAGE == 0 && !has_blocks {
                Flaw::NoLeafHere
            } else {
                Flaw::OutOfRange {
                    oa_bits: config.oa_bits,
                }
            });
        }
    }
    let reserved = raw & reserved_bits(config, entry);
    if reserved != 0 {
        tell(Flaw::ReservedBits(reserved));
    }
    if config.field != AddressField::Lpa2 && raw & SH == SH_RESERVED {
        tell(Flaw::ReservedShareability);
    }
    let mem_attr = (raw >> 2 & 0b1111) as u8;
    if is_reserved_mem_attr(mem_attr, config.fwb) {
        tell(Flaw::ReservedMemAttr(mem_attr));
    }
    let output = output_of(config, entry);
    if let Ground::Absent(place) = ground(output, entry.size) {
        tell(Flaw::LeafNotThere { output, place });
    }
}

/// The bits of a leaf that are no field: what is below the output address of a block, and bits 49:48 where there are no
/// address bits. Bit 50 and bits 63:55 are left to extensions and to software.
fn reserved_bits(config: &Stage2Config, entry: &Entry) -> u64 {
    let shift = config.granule.shift();
    let below = (entry.size - 1) & !((1 << shift) - 1) & ((1 << 48) - 1);
    let below = if entry.level == Level::THREE { 0 } else { below & !NT };
    match config.field {
        AddressField::Bits48 => {
            // With 16 KiB and 64 KiB granules a page's lower address bits, from 12 up.
            let page = (1 << shift) - (1 << 12);
            below | page | 0b11 << 48
        }
        // Bits 15:12 are address bits 51:48.
        AddressField::Lpa => below | 0b11 << 48,
        AddressField::Lpa2 => below,
    }
}

const fn is_reserved_mem_attr(attr: u8, fwb: bool) -> bool {
    if fwb {
        attr & 0b0111 == 0b0100
    } else {
        matches!(attr, 0b0100 | 0b1000 | 0b1100)
    }
}

fn output_of(config: &Stage2Config, entry: &Entry) -> Ipa<L1> {
    Ipa::new(config.format().address(entry.raw) & !(entry.size - 1))
}

/// The entries that a Contiguous hint joins; `None` where it has no meaning.
fn run_entries(granule: Granule, level: Level) -> Option<u64> {
    match (granule, level) {
        (Granule::K4, Level::ONE | Level::TWO | Level::THREE) => Some(16),
        (Granule::K16, Level::TWO) | (Granule::K64, Level::TWO | Level::THREE) => Some(32),
        (Granule::K16, Level::THREE) => Some(128),
        _ => None,
    }
}

/// Looks at all of the run that `entry` says it is in, unless that was the last one.
fn lint_run(
    config: &Stage2Config,
    entry: &Entry,
    mem: &impl ReadTable<L1>,
    last: &mut Option<(u64, Level)>,
    tell: &mut impl FnMut(Flaw),
) {
    if !entry.contiguous {
        return;
    }
    let Some(entries) = run_entries(config.granule, entry.level) else {
        return;
    };
    let run = entries * entry.size;
    let start = entry.ia & !(run - 1);
    if last.replace((start, entry.level)) == Some((start, entry.level)) {
        return;
    }
    let output = output_of(config, entry).bits();
    if (output ^ entry.ia) & (run - 1) != 0 {
        return tell(Flaw::ContiguousMisaligned { run });
    }
    let attrs = config.attrs_of(entry.raw);
    let base = output & !(run - 1);
    for other in (start..start + run).step_by(entry.size as usize) {
        if let Some(how) = breach(config, other, entry.level, base + (other - start), &attrs, mem) {
            let other = Ipa::new(other);
            return tell(Flaw::ContiguousBroken { other, how });
        }
    }
}

/// What keeps the entry for `ia` from being a leaf of `level` that leads to `output`, with `attrs`.
fn breach(
    config: &Stage2Config,
    ia: u64,
    level: Level,
    output: u64,
    attrs: &Stage2Attrs,
    mem: &impl ReadTable<L1>,
) -> Option<Breach> {
    let mapping = match walk(config, Ipa::<L2>::new(ia), mem) {
        Ok(mapping) if mapping.level == level => mapping,
        _ => return Some(Breach::Missing),
    };
    if !mapping.attrs.contiguous {
        Some(Breach::NoHint)
    } else if mapping.output.bits() != output {
        Some(Breach::Output(mapping.output))
    } else if mapping.attrs != *attrs {
        Some(Breach::Attributes)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
