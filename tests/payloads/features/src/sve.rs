//! SVE: who gets which vector length.

use core::arch::asm;

use bare::println;

use crate::guest::{Guest, Program};
use crate::registers::{CpacrEl12, CptrEl2, Pfr0, ZcrEl1, ZcrEl2, ZcrEl12, Zfr0};

/// `FPEN` and `ZEN` of `CPTR_EL2`, in the layout of `E2H` = 1, and of `CPACR_EL1`: no traps.
const FPEN: u64 = 3 << 20;
const ZEN: u64 = 3 << 16;
/// Tells the guest to leave its `ZCR_EL1` alone.
const LEAVE: u64 = u64::MAX;

pub(crate) fn run(guest: &mut Guest) {
    println!("P sve {} {:#x}", Pfr0::get() >> 32 & 0xf, Zfr0::get());
    CptrEl2::set(FPEN | ZEN);
    CpacrEl12::set(FPEN | ZEN);
    for len in [0xf, 1, 0x1f3] {
        ZcrEl2::set(len);
        println!("P sve L1 {len:#x}: {}", own());
        ZcrEl1::set(len ^ 2);
        println!("P sve L1 {:#x}: {}", len ^ 2, own());
    }
    // The least of both limits, and each has its own afterwards.
    for (l1, l2) in [(0xf, 0xf), (1, 0xf), (0xf, 1), (3, 2)] {
        ZcrEl2::set(l1);
        ZcrEl12::set(l2);
        println!("P sve L2 {l1:#x} {l2:#x}: {}", guest.run(Program::VectorLength, LEAVE));
        println!("P sve L1 afterwards: {}, L2 {:#x}", own(), ZcrEl12::get());
        println!("P sve L2 sets 5: {}", guest.run(Program::VectorLength, 5));
        println!("P sve L1 afterwards: {}, L2 {:#x}", own(), ZcrEl12::get());
    }
    // Denied to the guest by L1, by itself, and both; what is not in use is not lost.
    for (cptr, cpacr) in [
        (FPEN, FPEN | ZEN),
        (FPEN | ZEN, FPEN),
        (FPEN, FPEN),
        (FPEN | ZEN, FPEN | ZEN),
    ] {
        CptrEl2::set(cptr);
        CpacrEl12::set(cpacr);
        println!(
            "P sve L2 {cptr:#x} {cpacr:#x}: {}",
            guest.run(Program::VectorLength, LEAVE)
        );
        CptrEl2::set(FPEN | ZEN);
        println!("P sve L1 afterwards: {}, L2 {:#x}", own(), ZcrEl12::get());
    }
}

/// `ZCR_EL2` by both its names, and the bytes of a vector.
fn own() -> Own {
    let bytes: u64;
    // SAFETY: `rdvl {bytes}, #1` into x0, which only reads.
    unsafe { asm!(".inst 0x04bf5020", out("x0") bytes, options(nomem, nostack, preserves_flags)) }
    Own {
        zcr: [ZcrEl2::get(), ZcrEl1::get()],
        bytes,
    }
}

/// What L1 has.
struct Own {
    zcr: [u64; 2],
    bytes: u64,
}

impl core::fmt::Display for Own {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:#x} {:#x}, {} bytes", self.zcr[0], self.zcr[1], self.bytes)
    }
}
