//! The fields of the AArch64 feature registers by name, those that L1 is not shown among them.
//!
//! Every one here is four bits wide (DDI 0487, section D24.2, `ID_AA64*_EL1`). A dash stands for bits without a field of
//! that width. Registers whose fields are of other widths are left out; their bits are compared without names.

use crate::SysReg;

/// A register and the names of its fields, lowest first.
type Row = (SysReg, [&'static str; 16]);

#[rustfmt::skip]
static NAMES: &[Row] = &[
    (SysReg::ID_AA64PFR0_EL1, [
        "EL0", "EL1", "EL2", "EL3", "FP", "AdvSIMD", "GIC", "RAS",
        "SVE", "SEL2", "MPAM", "AMU", "DIT", "RME", "CSV2", "CSV3",
    ]),
    (SysReg::ID_AA64PFR1_EL1, [
        "BT", "SSBS", "MTE", "RAS_frac", "MPAM_frac", "-", "SME", "RNDR_trap",
        "CSV2_frac", "NMI", "MTE_frac", "GCS", "THE", "MTEX", "DF2", "PFAR",
    ]),
    (SysReg::ID_AA64ZFR0_EL1, [
        "SVEver", "AES", "-", "EltPerm", "BitPerm", "BF16", "B16B16", "-",
        "SHA3", "-", "SM4", "I8MM", "F16MM", "F32MM", "F64MM", "-",
    ]),
    (SysReg::ID_AA64DFR0_EL1, [
        "DebugVer", "TraceVer", "PMUVer", "BRPs", "PMSS", "WRPs", "SEBEP", "CTX_CMPs",
        "PMSVer", "DoubleLock", "TraceFilt", "TraceBuffer", "MTPMU", "BRBE", "ExtTrcBuff", "HPMN0",
    ]),
    (SysReg::ID_AA64ISAR0_EL1, [
        "-", "AES", "SHA1", "SHA2", "CRC32", "Atomic", "TME", "RDM",
        "SHA3", "SM3", "SM4", "DP", "FHM", "TS", "TLB", "RNDR",
    ]),
    (SysReg::ID_AA64ISAR1_EL1, [
        "DPB", "APA", "API", "JSCVT", "FCMA", "LRCPC", "GPA", "GPI",
        "FRINTTS", "SB", "SPECRES", "BF16", "DGH", "I8MM", "XS", "LS64",
    ]),
    (SysReg::ID_AA64ISAR2_EL1, [
        "WFxT", "RPRES", "GPA3", "APA3", "MOPS", "BC", "PAC_frac", "CLRBHB",
        "SYSREG_128", "SYSINSTR_128", "PRFMSLC", "PCDPHINT", "RPRFM", "CSSC", "LUT", "ATS1A",
    ]),
    (SysReg::ID_AA64MMFR0_EL1, [
        "PARange", "ASIDBits", "BigEnd", "SNSMem", "BigEndEL0", "TGran16", "TGran64", "TGran4",
        "TGran16_2", "TGran64_2", "TGran4_2", "ExS", "-", "-", "FGT", "ECV",
    ]),
    (SysReg::ID_AA64MMFR1_EL1, [
        "HAFDBS", "VMIDBits", "VH", "HPDS", "LO", "PAN", "SpecSEI", "XNX",
        "TWED", "ETS", "HCX", "AFP", "nTLBPA", "TIDCP1", "CMOW", "ECBHB",
    ]),
    (SysReg::ID_AA64MMFR2_EL1, [
        "CnP", "UAO", "LSM", "IESB", "VARange", "CCIDX", "NV", "ST",
        "AT", "IDS", "FWB", "-", "TTL", "BBM", "EVT", "E0PD",
    ]),
    (SysReg::ID_AA64MMFR3_EL1, [
        "TCRX", "SCTLRX", "S1PIE", "S2PIE", "S1POE", "S2POE", "AIE", "MEC",
        "D128", "D128_2", "SNERR", "ANERR", "-", "SDERR", "ADERR", "Spec_FPACC",
    ]),
    (SysReg::ID_AA64MMFR4_EL1, [
        "PoPS", "EIESB", "ASID2", "HACDBS", "FGWTE3", "NV_frac", "E2H0", "-",
        "-", "E3DSE", "-", "-", "-", "-", "-", "-",
    ]),
];

/// The name of the four bits from `low` on; `None` where there is no field of four bits, or no name for it here.
#[must_use]
pub fn field_name(reg: SysReg, low: u8) -> Option<&'static str> {
    let (_, names) = NAMES.iter().find(|(known, _)| *known == reg)?;
    names
        .get(usize::from(low / 4))
        .copied()
        .filter(|name| low.is_multiple_of(4) && *name != "-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idreg;

    #[test]
    fn what_is_shown_has_the_same_name_here() {
        for (reg, _) in SysReg::all().filter(|(reg, _)| reg.is_id_group3()) {
            for (low, name) in idreg::fields(reg) {
                assert_eq!(field_name(reg, low), Some(name), "{reg} bit {low}");
            }
        }
    }

    #[test]
    fn only_the_lowest_bit_of_a_field_has_a_name() {
        assert_eq!(field_name(SysReg::ID_AA64PFR0_EL1, 32), Some("SVE"));
        assert_eq!(field_name(SysReg::ID_AA64PFR0_EL1, 33), None);
        assert_eq!(field_name(SysReg::ID_AA64PFR0_EL1, 64), None);
        assert_eq!(field_name(SysReg::ID_AA64SMFR0_EL1, 0), None);
    }
}
