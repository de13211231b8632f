//! Pointer authentication with a guest's keys, which lie in the hardware while the guest does not run.

use core::arch::asm;

use super::{
    barrier::isb,
    sysreg::{self, *},
};

/// The signature of `address` with `modifier`, by the guest's instruction key B or A.
///
/// `PACGA` computes it, whatever is enabled at EL2: it gives the upper half of the same function, with a key of its own
/// that is lent the other's value meanwhile.
pub fn signature(address: u64, modifier: u64, is_key_b: bool) -> u64 {
    let own = [APGAKEYLO_EL1.get(), APGAKEYHI_EL1.get()];
    let [low, high] = if is_key_b {
        [APIBKEYLO_EL1.get(), APIBKEYHI_EL1.get()]
    } else {
        [APIAKEYLO_EL1.get(), APIAKEYHI_EL1.get()]
    };
    set_generic_key([low, high]);
    let signature: u64;
    // SAFETY: it computes a value of two others.
    unsafe {
        asm!(
            ".arch_extension pauth",
            "pacga {}, {}, {}",
            out(reg) signature, in(reg) address, in(reg) modifier,
            options(nomem, nostack, preserves_flags),
        );
    }
    set_generic_key(own);
    signature
}

fn set_generic_key([low, high]: [u64; 2]) {
    APGAKEYLO_EL1.set(low);
    APGAKEYHI_EL1.set(high);
    isb();
}

/// `ID_AA64ISAR1_EL1.{API,APA}` or `ID_AA64ISAR2_EL1.APA3`, whichever there is.
pub fn level() -> u8 {
    let (isar1, isar2) = (sysreg::read_id_register(6, 1), sysreg::read_id_register(6, 2));
    let field = |value: u64, shift: u32| (value >> shift) as u8 & 0xf;
    field(isar1, 4).max(field(isar1, 8)).max(field(isar2, 12))
}
