//! What of a host's EL0 traps, `{E2H,TGE}` = `{1,1}`: some controls are about it, and others mean nothing then.

use bare::host::{CNTHCTL_OPEN, CPTR_OPEN};
use bare::println;
use bare::sysreg::{CNTHCTL_EL2, CPTR_EL2, PMUSERENR_EL0, SCTLR_EL2};
use syndrome::SysReg;
use syndrome::regs::{cpacr, hcr_el2};

use crate::probe::{Below, PSTATE_EL0, read_of};

const FMOV: u32 = 0x9e67_03e0;
const RDVL: u32 = 0x04bf_5020;
/// `EL0PCTEN`, `EL0VCTEN`, `EL0VTEN`, `EL0PTEN`
const CNTHCTL_OF_EL0: [u64; 4] = [1, 2, 1 << 8, 1 << 9];
/// `UCI`, `nTWE`, `nTWI`, `UCT`, `DZE`
const SCTLR_OPEN: u64 = 1 << 26 | 1 << 18 | 1 << 16 | 1 << 15 | 1 << 14;

pub(crate) fn of_host(user: &mut Below) {
    // Behind what is done comes an HVC, which EL0 has not.
    let try_it = |user: &mut Below, word| user.execute_at(word, user.place(), PSTATE_EL0).1;
    for fields in 0..4 {
        CPTR_EL2.set(CPTR_OPEN & !cpacr::FPEN & !cpacr::ZEN | fields << 20 | fields << 16);
        let [plain, sve] = [FMOV, RDVL].map(|word| try_it(user, word));
        println!("P HOST CPTR {fields}: {plain} {sve}");
    }
    CPTR_EL2.set(CPTR_OPEN);
    for bits in (0..16).map(|set: usize| {
        (0..4)
            .filter(|bit| set >> bit & 1 != 0)
            .map(|bit| CNTHCTL_OF_EL0[bit])
            .sum::<u64>()
    }) {
        CNTHCTL_EL2.set(CNTHCTL_OPEN & !0x303 | bits);
        for reg in [
            SysReg::CNTPCT_EL0,
            SysReg::CNTVCT_EL0,
            SysReg::CNTV_CTL_EL0,
            SysReg::CNTP_CTL_EL0,
        ] {
            println!("P HOST CNTHCTL {bits:#x} {reg} {}", try_it(user, read_of(reg)));
        }
    }
    CNTHCTL_EL2.set(CNTHCTL_OPEN);
    for userenr in [0, 1, 2, 4, 8] {
        PMUSERENR_EL0.set(userenr);
        for reg in [
            SysReg::PMCCNTR_EL0,
            SysReg::PMCR_EL0,
            SysReg::PMCNTENSET_EL0,
            SysReg::PMSELR_EL0,
        ] {
            println!("P HOST PMUSERENR_EL0 {userenr} {reg} {}", try_it(user, read_of(reg)));
        }
    }
    PMUSERENR_EL0.set(0);
    ineffective(user, try_it);
}

/// Controls of `HCR_EL2` that are about EL1, and about EL0 where that is not a host's.
fn ineffective(user: &mut Below, try_it: impl Fn(&mut Below, u32) -> crate::probe::Outcome) {
    const CONTROLS: u64 = hcr_el2::TID1
        | hcr_el2::TID2
        | hcr_el2::TID3
        | hcr_el2::TID4
        | hcr_el2::TPCP
        | hcr_el2::TPU
        | hcr_el2::TOCU
        | hcr_el2::TDZ
        | hcr_el2::TWE
        | hcr_el2::TVM
        | hcr_el2::TTLB
        | hcr_el2::TSC;
    // CTR_EL0, DCZID_EL0, ID_AA64PFR0_EL1; DC ZVA, DC CVAC, IC IVAU; WFE, SMC, and what is implementation defined
    const WORDS: [u32; 9] = [
        0xd53b_0020,
        0xd53b_00e0,
        0xd538_0400,
        0xd50b_7420,
        0xd50b_7a20,
        0xd50b_7520,
        0xd503_205f,
        0xd400_0003,
        0xd53b_f000,
    ];
    let sctlr = SCTLR_EL2.get();
    let usual = user.l2.controls;
    for open in [0, SCTLR_OPEN] {
        SCTLR_EL2.set(sctlr & !SCTLR_OPEN | open);
        for controls in [0, CONTROLS] {
            user.l2.controls = usual | controls;
            for word in WORDS {
                println!(
                    "P HOST HCR {controls:#x} SCTLR {open:#x} {word:#x} {}",
                    try_it(user, word)
                );
            }
        }
    }
    user.l2.controls = usual;
    SCTLR_EL2.set(sctlr);
}
