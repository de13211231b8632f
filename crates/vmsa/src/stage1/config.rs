//! The meaning of a regime's registers, and which addresses can be walked at all.
//!
//! The rules are those of the pseudocode `AArch64.S1TxSZFaults`, `AArch64.S1StartLevel` and `AArch64.S1TTBaseAddress`
//! (DDI 0487, "AArch64 stage 1 translation"). The registers are a guest's: any value must give a configuration, in which
//! each range of addresses can be walked or has the fault that every access to it takes.

use super::{
    attrs::Context,
    registers::{CommonControls, RangeControls, Regime, Stage1Registers, Tcr},
};
use crate::{
    AddressField, Fault, Granule, GuestVa, Level, TableFormat,
    descent::Shape,
    format::{PS_52_BITS, output_bits},
    stage2::Shareability,
};
use core::fmt;

const SCTLR_M: u64 = 1 << 0;
const SCTLR_WXN: u64 = 1 << 19;
const SCTLR_EE: u64 = 1 << 25;
/// `HCR_EL2.DC`: EL1&0 has no stage 1, and its memory is cacheable.
const HCR_DC: u64 = 1 << 12;
/// `HCR_EL2.TGE`: EL1 is not used, and its stage 1 is off.
const HCR_TGE: u64 = 1 << 27;

/// The highest physical address size that is modelled, in bits: without `FEAT_D128`.
const PA_BITS_MAX: u32 = 52;
/// The smallest `TxSZ`, of which 52-bit input addresses have the smaller.
const TXSZ_MIN: u32 = 16;
const TXSZ_MIN_52_BITS: u32 = 12;
/// The largest `TxSZ`, and with `FEAT_TTST`, which goes one less far with the 64 KiB granule.
const TXSZ_MAX: u32 = 39;
const TXSZ_MAX_TTST: u32 = 48;
const TXSZ_MAX_TTST_64K: u32 = 47;
/// The address bit that tells the ranges apart, whether or not the top byte is ignored.
const IS_UPPER: u64 = 1 << 55;

/// A range of virtual addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// From 0 on, translated by `TTBR0_ELx`.
    Lower,
    /// Up to 2^64 − 1, translated by `TTBR1_ELx`.
    Upper,
}

impl Half {
    /// The half that `va` is in.
    #[must_use]
    pub const fn of(va: GuestVa) -> Self {
        if va.bits() & IS_UPPER == 0 {
            Self::Lower
        } else {
            Self::Upper
        }
    }
}

impl fmt::Display for Half {
    /// The register that translates it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lower => "TTBR0",
            Self::Upper => "TTBR1",
        })
    }
}

/// What the machine that walks the tables is, as far as that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one feature")]
pub struct Stage1Limits {
    /// The physical address size (`ID_AA64MMFR0_EL1.PARange`), in bits. Taken as 52 if greater; 52 means `FEAT_LPA`.
    pub pa_bits: u32,
    /// Whether it has the 4 KiB granule (`TGran4`).
    pub has_4k: bool,
    /// Whether it has the 16 KiB granule (`TGran16`).
    pub has_16k: bool,
    /// Whether it has the 64 KiB granule (`TGran64`).
    pub has_64k: bool,
    /// Whether it has `FEAT_LPA2`, so that `TCR_ELx.DS` has a meaning.
    pub has_lpa2: bool,
    /// Whether it has `FEAT_LVA` (`ID_AA64MMFR2_EL1.VARange`): 52-bit addresses with the 64 KiB granule.
    pub has_lva: bool,
    /// Whether it has `FEAT_TTST` (`ID_AA64MMFR2_EL1.ST`): ranges down to 16 bits.
    pub has_ttst: bool,
}

impl Stage1Limits {
    /// From `ID_AA64MMFR0_EL1` and `ID_AA64MMFR2_EL1`.
    #[must_use]
    pub const fn from_id_registers(mmfr0: u64, mmfr2: u64) -> Self {
        /// `PARange`, in bits.
        const PA_BITS: [u32; 8] = [32, 36, 40, 42, 44, 48, 52, 52];
        const NOT_IMPLEMENTED: u64 = 0b1111;
        let parange = (mmfr0 & 0b111) as usize;
        let tgran16 = mmfr0 >> 20 & 0b1111;
        let tgran64 = mmfr0 >> 24 & 0b1111;
        let tgran4 = mmfr0 >> 28 & 0b1111;
        Self {
            pa_bits: PA_BITS[parange],
            has_4k: tgran4 != NOT_IMPLEMENTED,
            has_16k: tgran16 != 0,
            has_64k: tgran64 != NOT_IMPLEMENTED,
            has_lpa2: tgran4 == 1 || tgran16 == 2,
            has_lva: mmfr2 >> 16 & 0b1111 != 0,
            has_ttst: mmfr2 >> 28 & 0b1111 != 0,
        }
    }
}

/// A range that can be walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one bit of a register")]
pub struct Stage1Range {
    /// Which half of the address space it is in.
    pub half: Half,
    /// Granule, and how descriptors hold addresses.
    pub format: TableFormat,
    /// The input address size in bits, 64 − `TCR_ELx.TxSZ`: 16 to 52.
    pub ia_bits: u32,
    /// The level of the first lookup.
    pub start_level: Level,
    /// The address of the start-level table in the output address space.
    pub root: u64,
    /// The output address size in bits, at most 52.
    pub oa_bits: u32,
    /// Whether table descriptors restrict what is below them: `TCR_ELx.HPDx` is clear.
    pub is_hierarchical: bool,
    /// `TCR_ELx.TBIx`: the top byte of a data address is ignored.
    pub ignores_top_byte: bool,
    /// The same for an instruction's address: not with `TBIDx`.
    pub ignores_top_byte_of_fetch: bool,
    /// `TCR_ELx.E0PDx`: any access of EL0 is a translation fault at level 0.
    pub keeps_el0_out: bool,
    /// `TCR_ELx.SHx`, the shareability of leaves that have none of their own ([`AddressField::Lpa2`]).
    pub sh: Shareability,
    big_endian: bool,
}

/// A stage 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one bit of a register")]
pub struct Stage1Config {
    /// Whose it is.
    pub regime: Regime,
    /// Whether it translates at all: `SCTLR_ELx.M`, and for EL1&0 neither `HCR_EL2.DC` nor `TGE`.
    pub is_on: bool,
    /// `HCR_EL2.DC`: with the stage off, memory is Normal Write-Back rather than Device.
    pub is_cacheable_when_off: bool,
    /// The addresses below, and the fault of all of them if they cannot be walked.
    pub lower: Result<Stage1Range, Fault>,
    /// The addresses above; a translation fault where the regime has none.
    pub upper: Result<Stage1Range, Fault>,
    /// The physical address size in bits, which bounds addresses with the stage off.
    pub pa_bits: u32,
    /// `MAIR_ELx`
    pub mair: u64,
    /// `SCTLR_ELx.WXN`: what can be written cannot be executed.
    pub wxn: bool,
    /// `TCR_ELx.HA`: hardware sets the Access flag.
    pub hardware_af: bool,
    /// `TCR_ELx.HD`: hardware makes clean pages writable.
    pub hardware_dirty: bool,
    /// `SCTLR_ELx.EE`: descriptors are big-endian.
    pub big_endian: bool,
}

impl Stage1Config {
    /// Reads the registers as hardware of the given `limits` does.
    #[must_use]
    pub fn from_registers(regime: Regime, registers: &Stage1Registers, limits: &Stage1Limits) -> Self {
        let tcr = Tcr {
            regime,
            raw: registers.tcr,
        };
        let common = tcr.common();
        let builder = Builder {
            common: &common,
            limits,
            big_endian: registers.sctlr & SCTLR_EE != 0,
        };
        let hcr = if regime == Regime::El1And0 { registers.hcr } else { 0 };
        Self {
            regime,
            is_on: registers.sctlr & SCTLR_M != 0 && hcr & (HCR_DC | HCR_TGE) == 0,
            is_cacheable_when_off: hcr & HCR_DC != 0,
            lower: builder.range(Half::Lower, &tcr.lower(), registers.ttbr0),
            upper: if regime.has_el0() {
                builder.range(Half::Upper, &tcr.upper(), registers.ttbr1)
            } else {
                Err(Fault::Translation(Level::ZERO))
            },
            pa_bits: limits.pa_bits.min(PA_BITS_MAX),
            mair: registers.mair,
            wxn: registers.sctlr & SCTLR_WXN != 0,
            hardware_af: common.ha,
            hardware_dirty: common.hd,
            big_endian: builder.big_endian,
        }
    }

    /// A half of the address space.
    ///
    /// # Errors
    ///
    /// The fault that every access to it takes.
    pub const fn half(&self, half: Half) -> Result<Stage1Range, Fault> {
        match half {
            Half::Lower => self.lower,
            Half::Upper => self.upper,
        }
    }

    /// The range that translates `va`, and how many bytes above its first address that is.
    ///
    /// # Errors
    ///
    /// The fault of an address that is in no range: a translation fault at level 0, or that of the whole half.
    pub fn range_of(&self, va: GuestVa, is_fetch: bool) -> Result<(Stage1Range, u64), Fault> {
        let outside = Fault::Translation(Level::ZERO);
        // In a regime with one range, bit 55 selects nothing and is out of range like any other high bit.
        let half = if self.regime.has_el0() {
            Half::of(va)
        } else {
            Half::Lower
        };
        let range = self.half(half)?;
        let ignores_top_byte = if is_fetch {
            range.ignores_top_byte_of_fetch
        } else {
            range.ignores_top_byte
        };
        // The top byte is taken as copies of the bit that selects the range.
        let canonical = match (ignores_top_byte, half) {
            (false, _) => va.bits(),
            (true, Half::Lower) => va.bits() << 8 >> 8,
            (true, Half::Upper) => va.bits() | 0xff << 56,
        };
        let offset = canonical.checked_sub(range.base()).ok_or(outside)?;
        if offset >> range.ia_bits == 0 {
            Ok((range, offset))
        } else {
            Err(outside)
        }
    }

    pub(super) const fn context(&self, range: &Stage1Range) -> Context {
        Context {
            regime: self.regime,
            mair: self.mair,
            wxn: self.wxn,
            hardware_dirty: self.hardware_dirty,
            sh: match range.format.field {
                AddressField::Lpa2 => Some(range.sh),
                AddressField::Bits48 | AddressField::Lpa => None,
            },
        }
    }
}

impl Stage1Range {
    /// The first address.
    #[must_use]
    pub const fn base(&self) -> u64 {
        match self.half {
            Half::Lower => 0,
            Half::Upper => u64::MAX << self.ia_bits,
        }
    }

    /// The first address beyond; 0 for an upper half, where that is 2^64.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.base().wrapping_add(1 << self.ia_bits)
    }

    /// The number of lookup levels.
    #[must_use]
    pub const fn levels(&self) -> u32 {
        self.start_level.count_to_last()
    }

    pub(super) const fn shape(&self) -> Shape {
        Shape {
            format: self.format,
            ia_bits: self.ia_bits,
            ia_base: self.base(),
            start_level: self.start_level,
            root: self.root,
            oa_bits: self.oa_bits,
            big_endian: self.big_endian,
        }
    }
}

/// What both ranges have in common.
struct Builder<'a> {
    common: &'a CommonControls,
    limits: &'a Stage1Limits,
    big_endian: bool,
}

impl Builder<'_> {
    fn range(&self, half: Half, controls: &RangeControls, ttbr: u64) -> Result<Stage1Range, Fault> {
        let pa_bits = self.limits.pa_bits.min(PA_BITS_MAX);
        let granule = self.granule(controls.tg0);
        let format = TableFormat::new(granule, self.limits.has_lpa2 && self.common.ds, pa_bits);
        if controls.epd || !self.is_size_available(format, controls.txsz) {
            return Err(Fault::Translation(Level::ZERO));
        }
        let ia_bits = 64 - controls.txsz;
        let start_level = start_level(granule, ia_bits);
        let table_shift = ia_bits - granule.entry_shift(start_level) + 3;
        let is_wide = match format.field {
            AddressField::Bits48 => false,
            AddressField::Lpa => self.common.ps == PS_52_BITS,
            AddressField::Lpa2 => true,
        };
        let root = format.root(ttbr, table_shift, is_wide);
        let oa_bits = output_bits(self.common.ps).min(pa_bits).min(format.address_bits_max());
        if root >> oa_bits != 0 {
            return Err(Fault::AddressSize(Level::ZERO));
        }
        Ok(Stage1Range {
            half,
            format,
            ia_bits,
            start_level,
            root,
            oa_bits,
            is_hierarchical: !controls.hpd,
            ignores_top_byte: controls.tbi,
            ignores_top_byte_of_fetch: controls.tbi && !controls.tbid,
            keeps_el0_out: controls.e0pd,
            sh: Shareability::decode(controls.sh),
            big_endian: self.big_endian,
        })
    }

    /// A granule that is reserved or absent is taken as one that is implemented, which the architecture leaves open; the
    /// choice is the smallest, as at stage 2.
    fn granule(&self, tg0: u64) -> Granule {
        match tg0 {
            0b01 if self.limits.has_64k => Granule::K64,
            0b10 if self.limits.has_16k => Granule::K16,
            _ if self.limits.has_4k => Granule::K4,
            _ if self.limits.has_16k => Granule::K16,
            _ => Granule::K64,
        }
    }

    fn is_size_available(&self, format: TableFormat, txsz: u32) -> bool {
        let is_52_bits = match format.granule {
            Granule::K64 => self.limits.has_lva,
            Granule::K4 | Granule::K16 => format.field == AddressField::Lpa2,
        };
        let min = if is_52_bits { TXSZ_MIN_52_BITS } else { TXSZ_MIN };
        let max = match (self.limits.has_ttst, format.granule) {
            (false, _) => TXSZ_MAX,
            (true, Granule::K64) => TXSZ_MAX_TTST_64K,
            (true, Granule::K4 | Granule::K16) => TXSZ_MAX_TTST,
        };
        (min..=max).contains(&txsz)
    }
}

/// The level that `ia_bits` (16 to 52) start at: as many levels as it takes to resolve them.
fn start_level(granule: Granule, ia_bits: u32) -> Level {
    [Level::THREE, Level::TWO, Level::ONE, Level::ZERO]
        .into_iter()
        .find(|&level| ia_bits <= granule.entry_shift(level) + granule.stride())
        .unwrap_or(Level::MINUS_ONE)
}

#[cfg(test)]
mod tests;
