//! What a hypervisor's registers look like with `HCR_EL2.E2H` = 1, and, in a payload with the feature `nvhe`, with 0.

/// `HCR_EL2` of the payload: `E2H`, and AArch64 below. `TGE` stays clear, so that TLBI and ERET are about the guest.
pub const HCR_HOST: u64 = if NVHE { 1 << 31 } else { 1 << 34 | 1 << 31 };

/// Whether `E2H` is 0.
pub const NVHE: bool = cfg!(feature = "nvhe");

/// `MAIR_EL2`: 0 is Device-nGnRnE, 1 is Normal write-back.
pub const MAIR: u64 = 0xff << 8;

/// `TCR_EL2`: 39 bits from `TTBR0_EL2`, write-back walks, 40-bit output. With `E2H` = 1 there is no `TTBR1_EL2`; with 0 bits
/// 31 and 23 are RES1.
pub const TCR: u64 = if NVHE {
    1 << 31 | 1 << 23 | 2 << 16
} else {
    2 << 32 | 1 << 23
} | 3 << 12
    | 1 << 10
    | 1 << 8
    | 25;

/// `SCTLR_EL2`: the bits that are RES1, MMU, data and instruction cache.
pub const SCTLR: u64 = if NVHE { 0x30c5_0830 } else { 0x30d0_0800 } | 1 << 12 | 1 << 2 | 1;

/// `AP[1]`, which is RES1 in a regime of one exception level.
pub(crate) const AP1: u64 = if NVHE { 1 << 6 } else { 0 };
/// Blocks of 1 GiB in EL2's own table: the Access flag, and for devices no execution.
pub const DEVICE_BLOCK: u64 = 0b11 << 53 | 1 << 10 | AP1 | 0b01;
/// The same of memory.
pub const MEMORY_BLOCK: u64 = 1 << 10 | 3 << 8 | AP1 | 1 << 2 | 0b01;

/// `CPTR_EL2`: floating point, SVE and SME are let through.
pub const CPTR_OPEN: u64 = if NVHE { 0x22ff } else { 3 << 24 | 3 << 20 | 3 << 16 };
/// `CNTHCTL_EL2`: the physical counter and timer are let through.
pub const CNTHCTL_OPEN: u64 = if NVHE { 3 } else { 3 << 10 | 3 };
