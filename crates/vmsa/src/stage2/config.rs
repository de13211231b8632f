//! The meaning of `VTCR_EL2` and `VTTBR_EL2`, and which combinations of them can be walked at all.
//!
//! The rules are those of the pseudocode `AArch64.S2InvalidSL`, `AArch64.S2InconsistentSL` and
//! `AArch64.S2TTBaseAddress` (DDI 0487, "AArch64 stage 2 translation"), for an implementation
//! without `FEAT_TTST`. Whether there are `FEAT_LPA` and `FEAT_LPA2`, [`Stage2Limits`] says. The
//! registers are a guest's: any value must give a configuration or a fault.

use super::{attrs::Shareability, unwalkable::Unwalkable};
use crate::{
    AddressField, Fault, Granule, Level, TableFormat,
    descent::Shape,
    format::{PS_52_BITS, output_bits},
};

/// The highest physical address size that is modelled, in bits: without `FEAT_D128`.
const PA_BITS_MAX: u32 = 52;

/// The lowest input address size, in bits, without `FEAT_TTST`.
const ADDRESS_BITS_MIN: u32 = 25;

/// The log2 of how many tables may be concatenated at the start level.
const CONCATENATION_BITS_MAX: u32 = 4;

/// A stage-2 translation that can be walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage2Config {
    /// The translation granule, `VTCR_EL2.TG0`.
    pub granule: Granule,
    /// How descriptors hold addresses, from `VTCR_EL2.DS`.
    pub field: AddressField,
    /// The input address size in bits, 64 − `VTCR_EL2.T0SZ`: 25 to 52.
    pub ipa_bits: u32,
    /// The level of the first lookup, from `VTCR_EL2.SL0` and, with `DS`, `SL2`.
    pub start_level: Level,
    /// The address of the (first of up to 16 concatenated) start-level table in the output address
    /// space.
    pub root: u64,
    /// The output address size in bits, at most 52. Table addresses are bound by it too.
    pub oa_bits: u32,
    /// `VTCR_EL2.SH0`, which is the shareability of all that is mapped where descriptors have no room for their own
    /// ([`AddressField::Lpa2`]).
    pub sh: Shareability,
    /// `VTCR_EL2.HA`: hardware sets the Access flag.
    pub hardware_af: bool,
    /// `SCTLR_EL2.EE`: descriptors are big-endian.
    pub big_endian: bool,
    /// `HCR_EL2.FWB`: `MemAttr` has the `FEAT_S2FWB` meaning.
    pub fwb: bool,
}

/// What the machine that owns the tables is, as far as walking them goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one bit of a register")]
pub struct Stage2Limits {
    /// The physical address size its `ID_AA64MMFR0_EL1.PARange` announces, in bits. Taken as 52 if
    /// greater; 52 means `FEAT_LPA`.
    pub pa_bits: u32,
    /// Whether it has `FEAT_LPA2` at stage 2 (`TGran4_2`, `TGran16_2`), so that `VTCR_EL2.DS` has a meaning.
    pub has_lpa2: bool,
    /// Its `SCTLR_EL2.EE`.
    pub big_endian: bool,
    /// Its `HCR_EL2.FWB`.
    pub fwb: bool,
    /// Whether it has the 4 KiB granule at stage 2 (`ID_AA64MMFR0_EL1.TGran4_2`).
    pub has_4k: bool,
    /// Whether it has the 16 KiB granule at stage 2 (`TGran16_2`).
    pub has_16k: bool,
    /// Whether it has the 64 KiB granule at stage 2 (`TGran64_2`).
    pub has_64k: bool,
}

impl Stage2Limits {
    /// All of it in one number, which is quickly compared.
    #[must_use]
    pub const fn word(&self) -> u64 {
        let flags = [
            self.has_lpa2,
            self.big_endian,
            self.fwb,
            self.has_4k,
            self.has_16k,
            self.has_64k,
        ];
        let mut word = self.pa_bits as u64;
        let mut index = 0;
        while index < flags.len() {
            word = word << 1 | flags[index] as u64;
            index += 1;
        }
        word
    }

    /// The same machine, with addresses of 52 bits in all formats if `has_lpa2`.
    #[must_use]
    pub const fn with_lpa2(self, has_lpa2: bool) -> Self {
        if has_lpa2 {
            Self {
                has_lpa2,
                pa_bits: PA_BITS_MAX,
                ..self
            }
        } else {
            self
        }
    }

    /// The inverse of [`word`](Self::word).
    #[must_use]
    pub const fn from_word(word: u64) -> Self {
        Self {
            pa_bits: (word >> 6) as u32,
            has_lpa2: word >> 5 & 1 != 0,
            big_endian: word >> 4 & 1 != 0,
            fwb: word >> 3 & 1 != 0,
            has_4k: word >> 2 & 1 != 0,
            has_16k: word >> 1 & 1 != 0,
            has_64k: word & 1 != 0,
        }
    }
}

impl Stage2Config {
    /// Reads the registers as hardware of the given `limits` does.
    ///
    /// # Errors
    ///
    /// The fault that every translation under these registers takes: [`Fault::Translation`]
    /// at level 0 when `T0SZ` and `SL0` are out of range or do not fit each other,
    /// [`Fault::AddressSize`] at level 0 when the tables lie beyond the output address size.
    pub fn from_registers(vtcr: u64, vttbr: u64, limits: &Stage2Limits) -> Result<Self, Fault> {
        Self::diagnose(vtcr, vttbr, limits).map_err(Unwalkable::fault)
    }

    /// [`from_registers`](Self::from_registers), telling what is wrong with the registers.
    ///
    /// # Errors
    ///
    /// The first rule that they break.
    pub fn diagnose(vtcr: u64, vttbr: u64, limits: &Stage2Limits) -> Result<Self, Unwalkable> {
        let vtcr = Vtcr(vtcr);
        let pa_bits = limits.pa_bits.min(PA_BITS_MAX);
        let granule = vtcr.granule(limits);
        let format = TableFormat::new(granule, limits.has_lpa2 && vtcr.has_ds(), pa_bits);
        let ipa_bits = 64 - vtcr.t0sz();
        if !(ADDRESS_BITS_MIN..=pa_bits.min(format.address_bits_max())).contains(&ipa_bits) {
            return Err(Unwalkable::InputSize { ipa_bits });
        }
        let start_level = vtcr
            .start_level(format)
            .filter(|&level| is_start_level_available(format, level, pa_bits))
            .ok_or(Unwalkable::StartLevel)?;
        if !is_start_level_consistent(granule, start_level, ipa_bits) {
            return Err(Unwalkable::StartLevelMismatch { start_level, ipa_bits });
        }

        // The start tables are aligned to their size; lower bits of BADDR are RES0.
        let root_shift = ipa_bits - granule.entry_shift(start_level) + 3;
        let is_wide = match format.field {
            AddressField::Bits48 => false,
            AddressField::Lpa => vtcr.ps() == PS_52_BITS,
            AddressField::Lpa2 => true,
        };
        let root = format.root(vttbr, root_shift, is_wide);
        let oa_bits = output_bits(vtcr.ps()).min(pa_bits).min(format.address_bits_max());
        if root >> oa_bits != 0 {
            return Err(Unwalkable::Root { root, oa_bits });
        }
        Ok(Self {
            granule,
            field: format.field,
            ipa_bits,
            start_level,
            root,
            oa_bits,
            sh: vtcr.sh(),
            hardware_af: vtcr.has_hardware_af(),
            big_endian: limits.big_endian,
            fwb: limits.fwb,
        })
    }

    /// The number of lookup levels: what Linux's debugfs file `stage2_levels` says.
    #[must_use]
    pub const fn levels(&self) -> u32 {
        self.start_level.count_to_last()
    }

    /// The first address beyond the input address space.
    #[must_use]
    pub const fn ipa_end(&self) -> u64 {
        1 << self.ipa_bits
    }

    /// Where descriptors have their addresses and which of them are leaves.
    #[must_use]
    pub const fn format(&self) -> TableFormat {
        TableFormat {
            granule: self.granule,
            field: self.field,
        }
    }

    pub(super) const fn shape(&self) -> Shape {
        Shape {
            format: self.format(),
            ia_bits: self.ipa_bits,
            ia_base: 0,
            start_level: self.start_level,
            root: self.root,
            oa_bits: self.oa_bits,
            big_endian: self.big_endian,
        }
    }
}

/// Whether an implementation with `pa_bits` of physical address may start at `level`
/// (`AArch64.S2InvalidSL`).
const fn is_start_level_available(format: TableFormat, level: Level, pa_bits: u32) -> bool {
    match (format.granule, format.field, level.get()) {
        (Granule::K4, AddressField::Lpa2, -1) | (Granule::K16, AddressField::Lpa2, 0) => pa_bits >= 52,
        (Granule::K4, _, 0) | (Granule::K64, _, 1) => pa_bits > 42,
        (Granule::K16, _, 1) => pa_bits > 40,
        (Granule::K16 | Granule::K64, _, 0) => false,
        _ => true,
    }
}

/// Whether a start at `level` resolves exactly `ipa_bits`: at least two entries and at most 16
/// concatenated tables (`AArch64.S2InconsistentSL`).
const fn is_start_level_consistent(granule: Granule, level: Level, ipa_bits: u32) -> bool {
    match ipa_bits.checked_sub(granule.entry_shift(level)) {
        Some(index_bits) => index_bits >= 1 && index_bits <= granule.stride() + CONCATENATION_BITS_MAX,
        None => false,
    }
}

/// A value of `VTCR_EL2`.
#[derive(Clone, Copy)]
struct Vtcr(u64);

impl Vtcr {
    fn field(self, shift: u32, width: u32) -> u32 {
        // At most six bits wide, so nothing is lost.
        ((self.0 >> shift) & ((1 << width) - 1)) as u32
    }

    fn t0sz(self) -> u32 {
        self.field(0, 6)
    }

    /// A granule that is reserved or absent is taken as one that is implemented, which the
    /// architecture leaves open; the choice is Linux KVM's, the smallest.
    fn granule(self, limits: &Stage2Limits) -> Granule {
        match self.field(14, 2) {
            0b01 if limits.has_64k => Granule::K64,
            0b10 if limits.has_16k => Granule::K16,
            _ if limits.has_4k => Granule::K4,
            _ if limits.has_16k => Granule::K16,
            _ => Granule::K64,
        }
    }

    /// `SL0`, and `SL2` where `DS` makes it one more bit (`AArch64.S2StartLevel`).
    fn start_level(self, format: TableFormat) -> Option<Level> {
        let sl0 = self.field(6, 2);
        if format.granule == Granule::K4 {
            return match (format.field == AddressField::Lpa2 && self.field(33, 1) != 0, sl0) {
                (false, 0b00) => Some(Level::TWO),
                (false, 0b01) => Some(Level::ONE),
                (false, 0b10) => Some(Level::ZERO),
                (true, 0b00) => Some(Level::MINUS_ONE),
                _ => None,
            };
        }
        match sl0 {
            0b00 => Some(Level::THREE),
            0b01 => Some(Level::TWO),
            0b10 => Some(Level::ONE),
            _ => Some(Level::ZERO),
        }
    }

    fn has_ds(self) -> bool {
        self.field(32, 1) != 0
    }

    fn ps(self) -> u64 {
        self.0 >> 16 & 0b111
    }

    fn sh(self) -> Shareability {
        Shareability::decode(self.0 >> 12)
    }

    fn has_hardware_af(self) -> bool {
        self.field(21, 1) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{LIMITS, vtcr};

    const NO_WALK: Fault = Fault::Translation(Level::ZERO);

    fn config(granule: Granule, ipa_bits: u32, start_level: i8, pa_bits: u32) -> Result<Stage2Config, Fault> {
        let limits = Stage2Limits { pa_bits, ..LIMITS };
        Stage2Config::from_registers(vtcr(granule, ipa_bits, start_level), 0x4000_0000, &limits)
    }

    #[test]
    fn start_level_must_fit_the_input_size() {
        // (granule, start level, smallest and largest input size at 48 physical bits)
        let table = [
            (Granule::K4, 2, 25, 34),
            (Granule::K4, 1, 31, 43),
            (Granule::K4, 0, 40, 48),
            (Granule::K16, 3, 25, 29),
            (Granule::K16, 2, 26, 40),
            (Granule::K16, 1, 37, 48),
            (Granule::K64, 3, 25, 33),
            (Granule::K64, 2, 30, 46),
            (Granule::K64, 1, 43, 48),
        ];
        for (granule, level, smallest, largest) in table {
            for ipa_bits in 20..=56 {
                let expect = (smallest..=largest).contains(&ipa_bits);
                assert_eq!(
                    config(granule, ipa_bits, level, 48).is_ok(),
                    expect,
                    "{granule} level {level} {ipa_bits}"
                );
            }
        }
    }

    #[test]
    fn start_level_needs_a_large_enough_physical_address() {
        assert_eq!(config(Granule::K4, 40, 0, 42), Err(NO_WALK));
        assert!(config(Granule::K4, 40, 0, 44).is_ok());
        assert_eq!(config(Granule::K16, 40, 1, 40), Err(NO_WALK));
        assert!(config(Granule::K16, 40, 1, 42).is_ok());
        assert_eq!(config(Granule::K64, 43, 1, 42), Err(NO_WALK));
        assert!(config(Granule::K64, 43, 1, 44).is_ok());
    }

    #[test]
    fn input_size_is_bound_by_the_physical_size() {
        assert!(config(Granule::K4, 40, 1, 40).is_ok());
        assert_eq!(config(Granule::K4, 41, 1, 40), Err(NO_WALK));
    }

    #[test]
    fn reserved_start_level_of_4k_is_a_translation_fault() {
        let vtcr = vtcr(Granule::K4, 48, 0) | 0b11 << 6;
        assert_eq!(Stage2Config::from_registers(vtcr, 0, &LIMITS), Err(NO_WALK));
    }

    #[test]
    fn root_is_aligned_to_the_concatenated_size() {
        let vtcr = vtcr(Granule::K4, 43, 1);
        let config = Stage2Config::from_registers(vtcr, 0x4001_f001, &LIMITS).unwrap();
        assert_eq!(config.root, 0x4001_0000);
        assert_eq!(config.levels(), 3);
    }

    #[test]
    fn root_beyond_the_output_size_is_an_address_size_fault() {
        let vtcr = vtcr(Granule::K4, 40, 1) & !(0b111 << 16);
        let fault = Fault::AddressSize(Level::ZERO);
        assert_eq!(Stage2Config::from_registers(vtcr, 1 << 32, &LIMITS), Err(fault));
        assert!(Stage2Config::from_registers(vtcr, 0xffff_0000, &LIMITS).is_ok());
    }

    #[test]
    fn vmid_and_cnp_are_no_part_of_the_root() {
        let config = Stage2Config::from_registers(vtcr(Granule::K4, 48, 0), 0xffff_0000_4000_0001, &LIMITS).unwrap();
        assert_eq!(config.root, 0x4000_0000);
    }

    #[test]
    fn a_word_tells_all_of_a_machine() {
        let flip: [fn(&mut Stage2Limits); 7] = [
            |limits| limits.pa_bits ^= 4,
            |limits| limits.has_lpa2 ^= true,
            |limits| limits.big_endian ^= true,
            |limits| limits.fwb ^= true,
            |limits| limits.has_4k ^= true,
            |limits| limits.has_16k ^= true,
            |limits| limits.has_64k ^= true,
        ];
        for choice in 0..1u32 << flip.len() {
            let mut limits = LIMITS;
            for (index, flip) in flip.iter().enumerate() {
                if choice >> index & 1 != 0 {
                    flip(&mut limits);
                }
            }
            assert_eq!(Stage2Limits::from_word(limits.word()), limits);
        }
    }

    #[test]
    fn absent_granule_falls_back_to_an_implemented_one() {
        let limits = Stage2Limits {
            has_64k: false,
            ..LIMITS
        };
        let vtcr = vtcr(Granule::K4, 40, 1) | 0b01 << 14;
        assert_eq!(
            Stage2Config::from_registers(vtcr, 0, &limits).unwrap().granule,
            Granule::K4
        );
        assert_eq!(
            Stage2Config::from_registers(vtcr | 0b10 << 14, 0, &LIMITS)
                .unwrap()
                .granule,
            Granule::K4
        );
    }

    #[test]
    fn bits_that_mean_nothing_change_no_table() {
        // Those of T0SZ, SL0, IRGN0, ORGN0, SH0, TG0, PS and HA; of the latter what walks are made of.
        const MEAN: u64 = 0x7_ffff | 1 << 21;
        let usual = vtcr(Granule::K4, 40, 1);
        let decoded = |vtcr, vttbr| Stage2Config::from_registers(vtcr, vttbr, &LIMITS);
        for bit in (0..64).map(|bit| 1 << bit).filter(|bit| bit & MEAN == 0) {
            assert_eq!(
                decoded(usual | bit, 0x4000_0000),
                decoded(usual & !bit, 0x4000_0000),
                "{bit:#x}"
            );
        }
        // CnP, and the VMID.
        for bit in [1, 1 << 48, 1 << 63] {
            assert_eq!(decoded(usual, 0x4000_0000 | bit), decoded(usual, 0x4000_0000));
        }
    }

    #[test]
    fn any_register_value_is_a_config_or_a_fault() {
        for seed in 0..20_000u64 {
            let value = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let limits = Stage2Limits {
                pa_bits: 32 + (seed % 40) as u32,
                ..LIMITS
            };
            let _ = Stage2Config::from_registers(value, value.rotate_left(17), &limits);
        }
    }
}
