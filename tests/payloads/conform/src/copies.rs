//! Memory copy and set instructions, whose controls and exception are of their own.

use bare::l2::PSTATE_EL1H_MASKED;
use bare::println;
use bare::sysreg::HCRX_EL2;
use syndrome::regs::{hcrx_el2, sctlr};

use crate::probe::{Below, DATA_IPA, PSTATE_EL0};

/// `SETP [x0]!, x1!, x2`
const SETP: u32 = 0x19c2_0420;
/// `SETM [x0]!, x1!, x2`
const SETM: u32 = 0x19c2_4420;
/// `SETM` is to take this for option B, and QEMU has option A.
const PSTATE_C: u64 = 1 << 29;

/// Memory copies and sets, which EL1 and EL0 may use, and whose exceptions are to EL2 if it wants those of EL1.
pub(crate) fn run(guest: &mut Below) {
    for hcrx in 0..4 {
        HCRX_EL2.set(hcrx * hcrx_el2::MCE2);
        for el0 in [sctlr::MSCEn, 0] {
            guest.l2.sctlr = guest.l2.sctlr & !sctlr::MSCEn | el0;
            for (name, word, bytes, pstate) in [
                ("SETP", SETP, 0, PSTATE_EL1H_MASKED),
                ("SETM", SETM, -16, PSTATE_EL1H_MASKED),
                ("SETM for B", SETM, -16, PSTATE_EL1H_MASKED | PSTATE_C),
                ("SETM EL0 for B", SETM, -16, PSTATE_EL0 | PSTATE_C),
            ] {
                guest.l2.x[1] = i64::cast_unsigned(bytes);
                let (_, outcome) = guest.execute_at(word, DATA_IPA + 16, pstate);
                println!("P MOPS {hcrx} {} {name} {outcome}", el0 != 0);
            }
        }
    }
    HCRX_EL2.set(0);
}
