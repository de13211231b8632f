//! Operands of TLBIs, and what stage-1 TLBIs end of the windows to VNCR pages.

use shadow::{IpaOperand, RangeOperand, Stage1Scope, VncrEntry, VncrTag, access_flag_update};
use vmsa::{
    Granule,
    stage1::{Regime, Stage1Config, Stage1Limits, Stage1Registers},
};

use super::tables::Pages;
use crate::Input;

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    check_ipa(input.word());
    let word = input.word();
    check_range(word, false);
    check_range(word, true);
    check_vncr(&mut input);
}

/// Bits `low` to `high` of `word`.
fn bits(word: u64, low: u32, high: u32) -> u128 {
    u128::from(word) >> low & ((1 << (high - low + 1)) - 1)
}

/// `DDI 0487`, "TLBI IPAS2E1": `IPA[51:12]` in bits 39:0, `TTL` in 47:44.
fn check_ipa(word: u64) {
    let operand = IpaOperand::decode(word);
    assert_eq!(u128::from(operand.ipa.bits()), bits(word, 0, 39) << 12);
    let size = match (bits(word, 46, 47), bits(word, 44, 45)) {
        (1, 1) => Some(1 << 30),
        (1, 2) => Some(2 << 20),
        (1, 3) => Some(4 << 10),
        (2, 2) => Some(32 << 20),
        (2, 3) => Some(16 << 10),
        (3, 2) => Some(512 << 20),
        (3, 3) => Some(64 << 10),
        _ => None,
    };
    assert_eq!(operand.ttl.map(|ttl| ttl.bytes()), size);
}

/// `DDI 0487`, "TLBI RIPAS2E1": `BaseADDR` in 36:0, of 64 KiB with `DS`, `TTL` in 38:37, `NUM` in 43:39, `SCALE` in
/// 45:44, `TG` in 47:46.
fn check_range(word: u64, ds: bool) {
    let operand = RangeOperand::decode(word, ds);
    let page_bytes = page_bytes(word);
    let pages = (bits(word, 39, 43) + 1) * 2u128.pow(5 * bits(word, 44, 45) as u32 + 1);
    assert_eq!(
        u128::from(operand.base.bits()),
        bits(word, 0, 36) * if ds { 64 << 10 } else { page_bytes }
    );
    assert_eq!(u128::from(operand.size), pages * page_bytes);
    let range = operand.range();
    assert!(range.start < range.end);
}

/// Of `TG`; the reserved one is taken as the largest.
fn page_bytes(word: u64) -> u128 {
    match bits(word, 46, 47) {
        1 => 4 << 10,
        2 => 16 << 10,
        _ => 64 << 10,
    }
}

/// A page of L1's by its own tables, and TLBIs of L1's that may name it.
fn check_vncr(input: &mut Input<'_>) {
    let registers = Stage1Registers {
        tcr: 16 | 16 << 16 | 0b10 << 30 | 0b101 << 32 | u64::from(input.bit()) << 22,
        ttbr0: u64::from(input.half()) << 48,
        ttbr1: u64::from(input.half()) << 48,
        mair: 0xff,
        sctlr: 1,
        hcr: 0,
    };
    let limits = Stage1Limits::from_id_registers(0x1126, 0);
    let config = Stage1Config::from_registers(Regime::El2And0, &registers, &limits);
    let va = (input.word() << 16).cast_signed() >> 16;
    let tag = VncrTag::new(va.cast_unsigned(), &registers);
    let memory = Pages::take(input);
    let Ok((entry, mapping)) = VncrEntry::walk(tag, &config, input.bit(), &memory) else {
        return;
    };
    assert!(entry.answers(&tag) && entry.at.is_aligned(0x1000));
    let _ = access_flag_update(&config, &mapping);
    for _ in 0..4 {
        let (crm, op2) = (input.pick(&[1, 2, 3, 5, 6, 7]), input.below(8) as u8);
        // Mostly of the page itself.
        let operand = match input.below(4) {
            0 => input.word(),
            1 => (tag.va.bits() >> 12 & ((1 << 44) - 1)) ^ u64::from(input.byte()) | u64::from(input.half()) << 48,
            2 => (tag.va.bits() >> 12 & ((1 << 37) - 1)) ^ u64::from(input.byte()) | 1 << 46 | registers.ttbr0,
            _ => (tag.va.bits() >> 12 & ((1 << 44) - 1)) | registers.ttbr1,
        };
        let is_covered = entry.is_covered_by(&Stage1Scope::decode(crm, op2, operand));
        let is_of_asid = has_asid(&registers, operand) || !mapping.attrs.not_global;
        let must = match op2 {
            0 | 4 | 6 => true,
            2 => has_asid(&registers, operand) && mapping.attrs.not_global,
            1 | 5 => is_of_asid && names(crm, operand, tag.va.bits(), mapping.size),
            _ => names(crm, operand, tag.va.bits(), mapping.size),
        };
        assert!(is_covered || !must, "TLBI {crm} {op2} {operand:#x} leaves {entry:x?}");
    }
}

fn has_asid(registers: &Stage1Registers, operand: u64) -> bool {
    let is_upper = registers.tcr >> 22 & 1 != 0;
    let ttbr = if is_upper { registers.ttbr1 } else { registers.ttbr0 };
    ttbr >> 48 == operand >> 48
}

/// Whether the operand names an address of the leaf of `size` bytes around `va`: by the 44 bits of a page number that
/// count, one page, or a range from a base that is sign-extended from 37 bits.
fn names(crm: u8, operand: u64, va: u64, size: u64) -> bool {
    const SPACE: u128 = 1 << 56;
    let leaf = u128::from(va & !(size - 1)) % SPACE;
    let leaf = leaf..leaf + u128::from(size);
    let named = if matches!(crm, 2 | 5 | 6) {
        let base = ((operand << 27).cast_signed() >> 27).cast_unsigned();
        let pages = (bits(operand, 39, 43) + 1) * 2u128.pow(5 * bits(operand, 44, 45) as u32 + 1);
        let start = u128::from(base) * page_bytes(operand) % SPACE;
        start..start + pages * page_bytes(operand)
    } else {
        let start = bits(operand, 0, 43) << 12;
        start..start + u128::from(Granule::K4.bytes())
    };
    named.start < leaf.end && leaf.start < named.end
}
