//! Glues `boot/entry.S` to Rust: constants in, entry points out.

use core::arch::global_asm;

use hyp::mm::stage1;

global_asm!(
    include_str!("../../boot/entry.S"),
    tcr = const stage1::TCR,
    mair = const stage1::MAIR,
    sctlr = const stage1::SCTLR,
    device_block = const stage1::BOOT_DEVICE_BLOCK,
    memory_block = const stage1::BOOT_MEMORY_BLOCK,
    secondary_ttbr0 = sym stage1::SECONDARY_TTBR0,
    primary_main = sym crate::primary_main,
    secondary_main = sym crate::secondary_main,
);

unsafe extern "C" {
    static secondary_entry: u8;
}

/// Where PSCI starts a secondary CPU.
pub fn secondary_entry_point() -> u64 {
    core::ptr::addr_of!(secondary_entry) as u64
}
