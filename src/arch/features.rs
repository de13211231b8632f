//! What the CPU must have, checked once at boot.

use core::fmt;

use vmsa::stage1::Stage1Limits;

use super::sysreg;

/// A feature gnomon cannot do without, and how the register that reports it says so.
struct Required {
    name: &'static str,
    crm: u8,
    op2: u8,
    shift: u32,
    min: u64,
}

const REQUIRED: [Required; 6] = [
    Required {
        name: "FEAT_S2FWB",
        crm: 7,
        op2: 2,
        shift: 40,
        min: 1,
    },
    Required {
        name: "FEAT_Debugv8p2",
        crm: 5,
        op2: 0,
        shift: 0,
        min: 8,
    },
    Required {
        name: "FEAT_XNX",
        crm: 7,
        op2: 1,
        shift: 28,
        min: 1,
    },
    Required {
        name: "FEAT_VMID16",
        crm: 7,
        op2: 1,
        shift: 4,
        min: 2,
    },
    Required {
        name: "FEAT_HCX",
        crm: 7,
        op2: 1,
        shift: 40,
        min: 1,
    },
    Required {
        name: "48-bit physical addresses",
        crm: 7,
        op2: 0,
        shift: 0,
        min: 5,
    },
];

/// A feature that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing(&'static str);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this CPU has no {}: use QEMU 10.0 or newer with -cpu max", self.0)
    }
}

/// What stage 1 can do on this CPU. Nothing of that can be taken from L1, whose registers the hardware reads.
pub fn stage1_limits() -> Stage1Limits {
    Stage1Limits::from_id_registers(sysreg::read_id_register(7, 0), sysreg::read_id_register(7, 2))
}

/// A field of an ID register.
fn field(crm: u8, op2: u8, shift: u32) -> u64 {
    sysreg::read_id_register(crm, op2) >> shift & 0xf
}

/// Whether reads in the ID space that are undefined say so (FEAT_IDST, `ID_AA64MMFR2_EL1.IDS`).
pub fn has_idst() -> bool {
    field(7, 2, 36) != 0
}

/// Whether the CPU can trap single registers (FEAT_FGT, `ID_AA64MMFR0_EL1.FGT`).
pub fn has_fgt() -> bool {
    field(7, 0, 56) != 0
}

/// Whether the CPU has addresses of 52 bits (`ID_AA64MMFR0_EL1.PARange`), at both stages with the 4 KiB granule, too
/// (FEAT_LPA2, `TGran4` and `TGran4_2`).
pub fn has_lpa2() -> bool {
    field(7, 0, 0) == 6 && field(7, 0, 28) == 1 && field(7, 0, 40) == 3
}

/// Checks this CPU. FEAT_NV2 may be there with FEAT_NV (`ID_AA64MMFR2_EL1.NV`), or, as a gnomon below offers it, without
/// (`ID_AA64MMFR4_EL1.NV_frac`), unless L1 is to run on FEAT_NV alone. FEAT_VHE is not asked for: gnomon's own `E2H` is 0,
/// and the names that FEAT_VHE brings are L1's, at a virtual EL2.
pub fn check(is_plain_nv: bool) -> Result<(), Missing> {
    let nv = field(7, 2, 24);
    let nv_frac = field(7, 4, 20);
    if nv < 2 && (nv_frac == 0 || is_plain_nv) {
        return Err(Missing(if is_plain_nv { "FEAT_NV" } else { "FEAT_NV2" }));
    }
    for feature in &REQUIRED {
        if field(feature.crm, feature.op2, feature.shift) < feature.min {
            return Err(Missing(feature.name));
        }
    }
    // ID_AA64PFR0_EL1.GIC: system registers of a GICv3.
    if field(4, 0, 24) == 0 {
        return Err(Missing("GICv3 system registers (and -machine virt,gic-version=3)"));
    }
    Ok(())
}
