//! What L1 is shown of the machine: an allow-list over the feature registers.
//!
//! `HCR_EL2.TID3` traps every read of the feature space (op0 = 3, op1 = 0,
//! `CRn` = 0, `CRm` = 1 to 7), and [`visible`] answers it. Each field that is
//! shown has a row with the highest value gnomon can stand for; everything
//! else, fields and whole registers that do not exist yet among them, reads as
//! zero. A feature a newer machine brings therefore stays hidden until somebody
//! has made it work for a guest of a guest. A block-list would offer it on the
//! day it appears.
//!
//! No rule shows more than the hardware has, but for what gnomon does by itself:
//! the granules of stage 2. L1's stage 2 is only ever read, and what runs is a
//! shadow of 4K pages. One field is *forced* to a value that denies something:
//! `ID_AA64MMFR4_EL1.E2H0`, which tells L1 that `HCR_EL2.E2H` cannot be 0. gnomon
//! cannot allow the switch: under FEAT_NV2 it does not see L1 write `HCR_EL2`.
//!
//! Field values: DDI 0487, section D24.2, `ID_AA64*_EL1`. A field is unsigned
//! unless its description says that 0b1111 means "not implemented"; then it is
//! signed and the smaller of two signed values is the lesser feature (section
//! D24.1.3, "Principles of the ID scheme for fields in ID registers").

mod names;

use crate::SysReg;

pub use names::field_name;

/// What the user chose to offer L1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Whether L1's `HCR_EL2.E2H` is fixed to 0 (an nVHE or protected kernel)
    /// instead of to 1.
    pub e2h0: bool,
    /// Whether L1 has fine-grained traps, which the machine has.
    pub fgt: bool,
    /// Whether L1 has `FEAT_LPA2`, which the machine has.
    pub lpa2: bool,
}

impl Offer {
    /// Whether a switch to L1's guest exchanges more than every switch does, for something that is offered.
    #[must_use]
    pub const fn has_exchanges(self) -> bool {
        self.fgt || self.lpa2
    }
}

/// How much of one field is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// The hardware's value, at most this one; 0 is "nothing".
    Upto(u8),
    /// As `Upto` for a signed field: 0b1111 (-1) is "nothing".
    SignedUpto(i8),
    /// This value: gnomon does it for L1, whatever the hardware has.
    Emulated(u8),
    /// This value, which goes with `E2H` = 1, if L1's is fixed to that, else 0.
    IfVhe(u8),
    /// As `Upto`, if L1 has fine-grained traps.
    IfFine(u8),
    /// As `SignedUpto` the first, or, if L1 has `FEAT_LPA2`, the second. All but `TGran4` are unsigned, of less than 8.
    Large(i8, i8),
    /// As `Emulated` the first, or, if L1 has `FEAT_LPA2`, the second.
    EmulatedLarge(u8, u8),
}

use Rule::{Emulated, EmulatedLarge, IfFine, IfVhe, Large, SignedUpto, Upto};

/// A field: position of its lowest bit, Arm's name, rule. All are four bits.
type Field = (u8, &'static str, Rule);

/// The registers that are not all zero, ascending by encoding.
const SHOWN: &[(SysReg, &[Field])] = &[
    (SysReg::ID_AA64PFR0_EL1, PFR0),
    (SysReg::ID_AA64PFR1_EL1, PFR1),
    (SysReg::ID_AA64ZFR0_EL1, ZFR0),
    (SysReg::ID_AA64DFR0_EL1, DFR0),
    (SysReg::ID_AA64ISAR0_EL1, ISAR0),
    (SysReg::ID_AA64ISAR1_EL1, ISAR1),
    (SysReg::ID_AA64ISAR2_EL1, ISAR2),
    (SysReg::ID_AA64MMFR0_EL1, MMFR0),
    (SysReg::ID_AA64MMFR1_EL1, MMFR1),
    (SysReg::ID_AA64MMFR2_EL1, MMFR2),
    (SysReg::ID_AA64MMFR4_EL1, MMFR4),
];

/// Exception levels are AArch64 only. No Secure EL2, MPAM, AMU, RME. `CSV2` = 2
/// would bring `SCXTNUM_ELx`, which is not switched between L1 and its guests.
const PFR0: &[Field] = &[
    (0, "EL0", Upto(1)),
    (4, "EL1", Upto(1)),
    (8, "EL2", Upto(1)),
    (12, "EL3", Upto(1)),
    (16, "FP", SignedUpto(1)),
    (20, "AdvSIMD", SignedUpto(1)),
    (24, "GIC", Upto(1)),
    (28, "RAS", Upto(1)),
    (32, "SVE", Upto(1)),
    (48, "DIT", Upto(1)),
    (56, "CSV2", Upto(1)),
    (60, "CSV3", Upto(1)),
];

/// No MTE, SME, NMI, GCS, THE; `CSV2_frac` = 2 is `SCXTNUM_ELx` again.
const PFR1: &[Field] = &[(0, "BT", Upto(1)), (4, "SSBS", Upto(2)), (32, "CSV2_frac", Upto(1))];

/// SVE2 and what it has optional; not what came with SVE2.1.
const ZFR0: &[Field] = &[
    (0, "SVEver", Upto(1)),
    (4, "AES", Upto(2)),
    (16, "BitPerm", Upto(1)),
    (20, "BF16", Upto(2)),
    (32, "SHA3", Upto(1)),
    (40, "SM4", Upto(1)),
    (44, "I8MM", Upto(1)),
    (52, "F32MM", Upto(1)),
    (56, "F64MM", Upto(1)),
];

/// Self-hosted debug of Armv8.2, performance monitors. No trace, SPE, TRBE, BRBE.
const DFR0: &[Field] = &[
    (0, "DebugVer", Upto(8)),
    (8, "PMUVer", SignedUpto(6)),
    (12, "BRPs", Upto(0xe)),
    (20, "WRPs", Upto(0xe)),
    (28, "CTX_CMPs", Upto(0xe)),
    (36, "DoubleLock", SignedUpto(0)),
    (60, "HPMN0", Upto(1)),
];

/// No TME.
const ISAR0: &[Field] = &[
    (4, "AES", Upto(2)),
    (8, "SHA1", Upto(1)),
    (12, "SHA2", Upto(2)),
    (16, "CRC32", Upto(1)),
    (20, "Atomic", Upto(2)),
    (28, "RDM", Upto(1)),
    (32, "SHA3", Upto(1)),
    (36, "SM3", Upto(1)),
    (40, "SM4", Upto(1)),
    (44, "DP", Upto(1)),
    (48, "FHM", Upto(1)),
    (52, "TS", Upto(2)),
    (56, "TLB", Upto(2)),
    (60, "RNDR", Upto(1)),
];

/// No 64-byte accesses, prediction restriction.
const ISAR1: &[Field] = &[
    (0, "DPB", Upto(2)),
    (4, "APA", Upto(5)),
    (8, "API", Upto(5)),
    (12, "JSCVT", Upto(1)),
    (16, "FCMA", Upto(1)),
    (20, "LRCPC", Upto(3)),
    (24, "GPA", Upto(1)),
    (28, "GPI", Upto(1)),
    (32, "FRINTTS", Upto(1)),
    (36, "SB", Upto(1)),
    (44, "BF16", Upto(2)),
    (48, "DGH", Upto(1)),
    (52, "I8MM", Upto(1)),
    (56, "XS", Upto(1)),
];

/// No `CLRBHB`.
const ISAR2: &[Field] = &[
    (0, "WFxT", Upto(2)),
    (4, "RPRES", Upto(1)),
    (8, "GPA3", Upto(1)),
    (12, "APA3", Upto(5)),
    (16, "MOPS", Upto(1)),
    (20, "BC", Upto(1)),
    (24, "PAC_frac", Upto(1)),
];

/// 48-bit addresses, or 52-bit ones with FEAT_LPA and FEAT_LPA2; every granule at stage 2. No `CNTPOFF_EL2` (`ECV` = 2).
const MMFR0: &[Field] = &[
    (0, "PARange", Large(5, 6)),
    (4, "ASIDBits", Upto(2)),
    (8, "BigEnd", Upto(1)),
    (16, "BigEndEL0", Upto(1)),
    (20, "TGran16", Large(1, 2)),
    (24, "TGran64", SignedUpto(0)),
    (28, "TGran4", Large(0, 1)),
    (32, "TGran16_2", EmulatedLarge(2, 3)),
    (36, "TGran64_2", Emulated(2)),
    (40, "TGran4_2", EmulatedLarge(2, 3)),
    (56, "FGT", IfFine(1)),
    (60, "ECV", Upto(1)),
];

/// Hardware access flag, no dirty state. FEAT_VHE comes with FEAT_NV2, and is not shown by a gnomon below.
const MMFR1: &[Field] = &[
    (0, "HAFDBS", Upto(1)),
    (4, "VMIDBits", Upto(2)),
    (8, "VH", IfVhe(1)),
    (12, "HPDS", Upto(2)),
    (16, "LO", Upto(1)),
    (20, "PAN", Upto(3)),
    (24, "SpecSEI", Upto(1)),
    (28, "XNX", Upto(1)),
    (36, "ETS", Upto(2)),
    (40, "HCX", Upto(1)),
    (44, "AFP", Upto(1)),
    (52, "TIDCP1", Upto(1)),
];

/// FEAT_NV is in `ID_AA64MMFR4_EL1`. No small tables, BBM levels; 52-bit VAs with FEAT_LPA2 only.
const MMFR2: &[Field] = &[
    (0, "CnP", Upto(1)),
    (4, "UAO", Upto(1)),
    (8, "LSM", Upto(1)),
    (12, "IESB", Upto(1)),
    (16, "VARange", Large(0, 1)),
    (20, "CCIDX", Upto(1)),
    (32, "AT", Upto(1)),
    (36, "IDS", Upto(1)),
    (40, "FWB", Upto(1)),
    (48, "TTL", Upto(1)),
    (56, "EVT", Upto(2)),
    (60, "E0PD", Upto(1)),
];

/// `NV_frac` = 1: FEAT_NV2, and no FEAT_NV without it. `E2H0` = 0b1110: `HCR_EL2.E2H` is RES1, and `HCR_EL2.NV1` is RES0.
const MMFR4: &[Field] = &[(20, "NV_frac", Emulated(1)), (24, "E2H0", IfVhe(0b1110))];

impl Rule {
    /// The most that is ever shown.
    const fn most(self) -> u8 {
        match self {
            Upto(most) | Emulated(most) | IfVhe(most) | IfFine(most) | EmulatedLarge(_, most) => most,
            SignedUpto(most) | Large(_, most) => most.cast_unsigned() & 0xf,
        }
    }

    /// The value shown for a field that is `hardware` (four bits).
    const fn apply(self, hardware: u8, offer: Offer) -> u8 {
        match self {
            Upto(max) => min(hardware, max),
            Large(_, max) if offer.lpa2 => signed_min(hardware, max),
            SignedUpto(max) | Large(max, _) => signed_min(hardware, max),
            EmulatedLarge(_, value) if offer.lpa2 => value,
            Emulated(value) | EmulatedLarge(value, _) => value,
            IfFine(max) if offer.fgt => min(hardware, max),
            IfVhe(value) if !offer.e2h0 => value,
            IfVhe(_) | IfFine(_) => 0,
        }
    }
}

/// The smaller of two values.
const fn min(a: u8, b: u8) -> u8 {
    if a < b { a } else { b }
}

/// The smaller of a signed field and a value.
const fn signed_min(field: u8, max: i8) -> u8 {
    let value = sign_extend(field);
    (if value < max { value } else { max }).cast_unsigned() & 0xf
}

/// A four-bit field as the signed number it is.
const fn sign_extend(field: u8) -> i8 {
    (field << 4).cast_signed() >> 4
}

/// What L1 reads from a feature register whose hardware value is `hardware`.
///
/// `reg` is any encoding of the space `HCR_EL2.TID3` traps
/// ([`SysReg::is_id_group3`]); one that is not allocated reads as zero, as the
/// architecture demands.
#[must_use]
pub fn visible(reg: SysReg, hardware: u64, offer: Offer) -> u64 {
    let fields = SHOWN
        .iter()
        .find(|(shown, _)| *shown == reg)
        .map_or(&[][..], |(_, fields)| *fields);
    fields.iter().fold(0, |value, &(shift, _, rule)| {
        let field = (hardware >> shift) as u8 & 0xf;
        value | u64::from(rule.apply(field, offer)) << shift
    })
}

/// The most that L1 is shown in the field of `reg` whose lowest bit is `shift`, whatever the machine.
pub(crate) const fn shown_at_most(reg: SysReg, shift: u8) -> u8 {
    let mut row = 0;
    while row < SHOWN.len() {
        let (shown, fields) = SHOWN[row];
        let mut field = 0;
        while field < fields.len() {
            let (at, _, rule) = fields[field];
            if shown.bits() == reg.bits() && at == shift {
                return rule.most();
            }
            field += 1;
        }
        row += 1;
    }
    0
}

/// The shown fields of a feature register, lowest first: position of the lowest
/// of the four bits, and Arm's name. For the console.
pub fn fields(reg: SysReg) -> impl Iterator<Item = (u8, &'static str)> {
    SHOWN
        .iter()
        .filter(move |(shown, _)| *shown == reg)
        .flat_map(|(_, fields)| fields.iter().map(|&(shift, name, _)| (shift, name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VHE: Offer = Offer {
        e2h0: false,
        fgt: false,
        lpa2: false,
    };
    const NVHE: Offer = Offer { e2h0: true, ..VHE };
    const FINE: Offer = Offer { fgt: true, ..VHE };
    const LARGE: Offer = Offer { lpa2: true, ..VHE };

    fn field(reg: SysReg, hardware: u64, shift: u8) -> u64 {
        visible(reg, hardware, VHE) >> shift & 0xf
    }

    #[test]
    fn registers_of_denied_features_are_hidden() {
        for reg in [SysReg::PMSCR_EL1, SysReg::TRFCR_EL1, SysReg::SCXTNUM_EL1] {
            assert!(reg.row().is_hidden(), "{reg}");
        }
    }

    #[test]
    fn registers_of_shown_features_are_not_hidden() {
        for reg in [
            SysReg::CPACR_EL1,
            SysReg::TPIDR_EL0,
            SysReg::ZCR_EL1,
            SysReg::CNTV_CTL_EL0,
            SysReg::ID_AA64PFR0_EL1,
        ] {
            assert!(!reg.row().is_hidden(), "{reg}");
        }
    }

    /// `-cpu max` of QEMU 10.0.2, and what L1 sees of it.
    const MAX: &[(SysReg, u64, u64)] = &[
        (SysReg::ID_AA64PFR0_EL1, 0x1301_0011_2111_0222, 0x1101_0001_1111_0111),
        (SysReg::ID_AA64PFR1_EL1, 0x0000_0010_0100_0121, 0x0000_0000_0000_0021),
        (SysReg::ID_AA64ZFR0_EL1, 0x0110_1101_0021_0021, 0x0110_1101_0021_0021),
        (SysReg::ID_AA64SMFR0_EL1, 0x80f1_00fd_0000_0000, 0),
        (SysReg::ID_AA64DFR0_EL1, 0x1000_0000_1030_560a, 0x1000_0000_1030_5608),
        (SysReg::ID_AA64ISAR0_EL1, 0x1221_1111_1021_2120, 0x1221_1111_1021_2120),
        (SysReg::ID_AA64ISAR1_EL1, 0x0111_2111_1021_1502, 0x0111_2011_1021_1502),
        (SysReg::ID_AA64ISAR2_EL1, 0x0000_0000_0011_0012, 0x0000_0000_0011_0012),
        (SysReg::ID_AA64MMFR0_EL1, 0x2100_0323_1020_1126, 0x1000_0222_0010_0125),
        (SysReg::ID_AA64MMFR1_EL1, 0x0110_1120_1031_2122, 0x0010_1120_1031_2121),
        (SysReg::ID_AA64MMFR2_EL1, 0x1221_0111_1201_1011, 0x1201_0111_0000_1011),
        (SysReg::ID_AA64MMFR3_EL1, 0x1000_0000_0000_0000, 0),
        (SysReg::ID_AA64MMFR4_EL1, 0, 0x0000_0000_0e10_0000),
    ];

    #[test]
    fn cpu_max_is_shown_field_by_field() {
        for &(reg, hardware, shown) in MAX {
            let seen = visible(reg, hardware, VHE);
            assert_eq!(seen, shown, "{reg}: {seen:#018x} for {shown:#018x}");
        }
    }

    #[test]
    fn fine_grained_traps_are_shown_if_they_are_asked_for() {
        let shown = |hardware, offer| visible(SysReg::ID_AA64MMFR0_EL1, hardware, offer) >> 56 & 0xf;
        assert_eq!((shown(u64::MAX, VHE), shown(u64::MAX, FINE), shown(0, FINE)), (0, 1, 0));
    }

    #[test]
    fn lpa2_is_shown_for_both_granules_at_both_stages_or_not_at_all() {
        let reg = SysReg::ID_AA64MMFR0_EL1;
        let (_, hardware, without) = MAX[8];
        assert_eq!(visible(reg, hardware, VHE), without);
        assert_eq!(visible(reg, hardware, LARGE), 0x1000_0323_1020_0126);
        // A 16K granule that has none at stage 1 is not promised more.
        assert_eq!(visible(reg, 0x0010_0000, LARGE) >> 20 & 0xf, 1);
    }

    #[test]
    fn e2h0_offer_hides_vhe_and_takes_back_the_denial() {
        assert_eq!(visible(SysReg::ID_AA64MMFR1_EL1, 0x100, NVHE), 0);
        assert_eq!(visible(SysReg::ID_AA64MMFR4_EL1, u64::MAX, NVHE), 0x10_0000);
    }

    #[test]
    fn aarch32_and_unallocated_registers_read_as_zero() {
        for bits in 0..=u16::MAX {
            let reg = SysReg::from_bits(bits);
            if reg.is_id_group3() && !SHOWN.iter().any(|(shown, _)| *shown == reg) {
                assert_eq!(visible(reg, u64::MAX, VHE), 0, "{reg}");
            }
        }
        assert_eq!(visible(SysReg::ID_PFR0_EL1, 0x131, VHE), 0);
    }

    #[test]
    fn table_is_sorted_inside_the_trapped_space_and_fields_do_not_overlap() {
        assert!(SHOWN.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (reg, fields) in SHOWN {
            assert!(reg.is_id_group3());
            assert!(fields.windows(2).all(|pair| pair[0].0 < pair[1].0), "{reg}");
            assert!(fields.iter().all(|(shift, ..)| shift % 4 == 0 && *shift < 64));
        }
    }

    #[test]
    fn absent_signed_features_stay_absent() {
        assert_eq!(field(SysReg::ID_AA64PFR0_EL1, 0x00ff_0000, 16), 0xf);
        assert_eq!(field(SysReg::ID_AA64MMFR0_EL1, 0xff00_0000, 24), 0xf);
        assert_eq!(field(SysReg::ID_AA64MMFR0_EL1, 0xff00_0000, 28), 0xf);
        // TGran4 = 1 is LPA2; without it the granule itself stays.
        assert_eq!(field(SysReg::ID_AA64MMFR0_EL1, 0x1000_0000, 28), 0);
        assert_eq!(visible(SysReg::ID_AA64MMFR0_EL1, 0xff00_0000, LARGE) >> 24 & 0xff, 0xff);
        assert_eq!(field(SysReg::ID_AA64DFR0_EL1, 0xf0_0000_0000, 36), 0xf);
    }

    proptest! {
        /// But for what is emulated and the denial, no field is above the hardware's, in the
        /// order of its own sign.
        #[test]
        fn never_more_than_the_hardware(hardware: u64, e2h0: bool, fgt: bool, lpa2: bool) {
            for (reg, fields) in SHOWN {
                let seen = visible(*reg, hardware, Offer { e2h0, fgt, lpa2 });
                for &(shift, name, rule) in *fields {
                    let have = (hardware >> shift) as u8 & 0xf;
                    let show = (seen >> shift) as u8 & 0xf;
                    let honest = match rule {
                        Upto(_) | IfFine(_) => show <= have,
                        SignedUpto(_) | Large(..) => sign_extend(show) <= sign_extend(have),
                        Emulated(_) | EmulatedLarge(..) | IfVhe(_) => true,
                    };
                    prop_assert!(honest, "{reg}.{name}: {show} of {have}");
                }
            }
        }
    }
}
