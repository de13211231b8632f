//! The rows about permissions, attributes and flags: one page each.

use super::{ROOT, Shape, TABLES};
use crate::{
    AddressField, Fault, Granule, GuestVa, Ipa, L1, L2, Level,
    stage1::{self, AccessKind, Regime, Stage1Access, Stage1Config, Stage1Mapping, Stage1Registers},
    stage2::{self, MemType, Stage2Config, Stage2Limits},
    testing::{LIMITS, STAGE1_LIMITS, vtcr},
};
use std::{format, string::String};

/// A page at `offset` 0x1234 of a 4 KiB, 39-bit stage 1 whose tables have `limits` and whose leaf has `bits`.
fn stage1_page(regime: Regime, limits: u64, bits: u64, tcr: u64, sctlr: u64) -> Stage1Mapping<L2> {
    let shape = Shape {
        granule: Granule::K4,
        ia_bits: 39,
        start: Level::ONE,
        field: AddressField::Bits48,
    };
    let (mut mem, _) = shape.build(0x1234, Level::THREE, bits & !1 | 3, false);
    for table in [ROOT, TABLES] {
        let desc = mem.get(table).unwrap();
        mem.set(table, desc | if table == ROOT { limits } else { 0 });
    }
    let registers = Stage1Registers {
        tcr,
        ttbr0: ROOT,
        mair: 0xff,
        sctlr: sctlr | 1,
        ..Stage1Registers::default()
    };
    let config = Stage1Config::from_registers(regime, &registers, &STAGE1_LIMITS);
    stage1::walk(&config, GuestVa::new(0x1234), AccessKind::Read, &mem).unwrap()
}

fn perms(regime: Regime, limits: u64, bits: u64, tcr: u64, sctlr: u64) -> String {
    format!("{}", stage1_page(regime, limits, bits, tcr, sctlr).attrs.perms)
}

fn check(bits: u64, tcr: u64, el0: bool) -> Result<(), Fault> {
    let access = Stage1Access {
        kind: AccessKind::Read,
        el0,
        pan: false,
    };
    stage1_page(Regime::El1And0, 0, bits, tcr, 0).check(access)
}

/// A page of a 4 KiB, 40-bit stage 2 whose leaf is `bits`.
fn stage2_page(bits: u64, limits: &Stage2Limits) -> stage2::Mapping<L1> {
    let shape = Shape {
        granule: Granule::K4,
        ia_bits: 40,
        start: Level::ONE,
        field: AddressField::Bits48,
    };
    let (mem, _) = shape.build(0x1234, Level::THREE, bits | 3, limits.big_endian);
    let config = Stage2Config::from_registers(vtcr(Granule::K4, 40, 1), ROOT, limits).unwrap();
    stage2::walk::<L2, L1>(&config, Ipa::new(0x1234), &mem).unwrap()
}

/// 39-bit `TCR_EL1` (lower half), and the same for the regime with one range.
const TCR: u64 = 25 | 16 << 16 | 0b10 << 30 | 0b101 << 32;
const TCR_E2H0: u64 = 25 | 0b101 << 16;
const HPD0: u64 = 1 << 41;
const AP_EL0: u64 = 1 << 6;
const PXN_TABLE: u64 = 1 << 59;
const UXN_TABLE: u64 = 1 << 60;
const AP_TABLE_NO_EL0: u64 = 1 << 61;
const AP_TABLE_READ_ONLY: u64 = 1 << 62;

#[test]
fn attributes_follow_the_architecture_row_by_row() {
    use Regime::{El1And0, El2, El2And0};
    let page = AP_EL0 | 1 << 10;
    let no_fwb = Stage2Limits { fwb: false, ..LIMITS };
    let exec = |xn: u64| format!("{}", stage2_page(xn << 53, &LIMITS).attrs.perms);
    for (row, found, expected) in [
        (
            "APTable[0] keeps EL0 out",
            perms(El1And0, AP_TABLE_NO_EL0, page, TCR, 0),
            "rwx/--x",
        ),
        (
            "APTable[1] is read-only",
            perms(El1And0, AP_TABLE_READ_ONLY, page, TCR, 0),
            "r-x/r-x",
        ),
        ("PXNTable", perms(El1And0, PXN_TABLE, 1 << 7, TCR, 0), "r--/--x"),
        ("UXNTable", perms(El1And0, UXN_TABLE, page, TCR, 0), "rw-/rw-"),
        (
            "HPD0 ignores all four",
            perms(El1And0, 0xf << 59, page, TCR | HPD0, 0),
            "rw-/rwx",
        ),
        (
            "EL2&0 is laid out like EL1&0",
            perms(El2And0, PXN_TABLE, 0, TCR, 0),
            "rw-/--x",
        ),
        (
            "E2H = 0 has no PXNTable",
            perms(El2, PXN_TABLE, page, TCR_E2H0, 0),
            "rwx/---",
        ),
        (
            "E2H = 0 has XNTable",
            perms(El2, UXN_TABLE, page, TCR_E2H0, 0),
            "rw-/---",
        ),
        (
            "E2H = 0 has HPD at bit 24",
            perms(El2, UXN_TABLE, page, TCR_E2H0 | 1 << 24, 0),
            "rwx/---",
        ),
        ("WXN", perms(El1And0, 0, page, TCR, 1 << 19), "rw-/rw-"),
        ("stage 2 XN = 0b00", exec(0b00), "--x"),
        ("stage 2 XN = 0b01 (XNX)", exec(0b01), "--u"),
        ("stage 2 XN = 0b10", exec(0b10), "---"),
        ("stage 2 XN = 0b11 (XNX)", exec(0b11), "--p"),
        (
            "FWB, MemAttr 6",
            format!("{}", stage2_page(6 << 2, &LIMITS).attrs.mem),
            "normal-wb",
        ),
        (
            "no FWB, MemAttr 6",
            format!("{}", stage2_page(6 << 2, &no_fwb).attrs.mem),
            "normal-nc",
        ),
        (
            "stage 1 memory type",
            format!("{}", stage1_page(El1And0, 0, page, TCR, 0).attrs.mem),
            "normal-wb",
        ),
    ] {
        assert_eq!(found, expected, "{row}");
    }
}

#[test]
fn hints_and_flags_are_reported_row_by_row() {
    let big = Stage2Limits {
        big_endian: true,
        ..LIMITS
    };
    let stage1 = |bits| stage1_page(Regime::El1And0, 0, bits, TCR, 0).attrs;
    for (row, holds) in [
        (
            "stage 1 Contiguous",
            stage1(1 << 52).contiguous && !stage1(0).contiguous,
        ),
        (
            "stage 2 Contiguous",
            stage2_page(1 << 52, &LIMITS).attrs.contiguous && !stage2_page(0, &LIMITS).attrs.contiguous,
        ),
        ("stage 1 AF", stage1(1 << 10).af && !stage1(0).af),
        (
            "stage 2 AF",
            stage2_page(1 << 10, &LIMITS).attrs.af && !stage2_page(0, &LIMITS).attrs.af,
        ),
        (
            "AF clear without HA faults",
            check(0, TCR, false) == Err(Fault::AccessFlag(Level::THREE)),
        ),
        ("AF clear with HA does not", check(0, TCR | 1 << 39, false).is_ok()),
        (
            "no EL0 access",
            check(1 << 10, TCR, true) == Err(Fault::Permission(Level::THREE)),
        ),
        (
            "E0PD0 faults at level 0",
            check(AP_EL0 | 1 << 10, TCR | 1 << 55, true) == Err(Fault::Translation(Level::ZERO)),
        ),
        (
            "stage 2 big-endian",
            stage2_page(0x5000, &big).output == Ipa::new(0x5234),
        ),
        (
            "stage 2 memory type of reserved FWB",
            stage2_page(4 << 2, &LIMITS).attrs.mem == MemType::DevicenGnRnE,
        ),
    ] {
        assert!(holds, "{row}");
    }
}
