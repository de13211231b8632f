//! The column of fine-grained traps is that of the manual, and what is merged is no more than asked for.

extern crate std;
use super::*;
use crate::sysreg::Feature;
use proptest::prelude::*;
use std::vec::Vec;

/// Bits that no encoding of the table has: what they are about is no encoding, or not named, or there is nothing.
const WITHOUT_ROW: [(FineRegister, &[u8]); 6] = [
    // Guarded control stacks, RCWMASK_EL1.
    (FineRegister::HFGRTR, &[51, 52, 53, 56]),
    // The same, and what cannot be written.
    (
        FineRegister::HFGWTR,
        &[2, 9, 10, 14, 15, 18, 21, 25, 26, 28, 40, 42, 46, 51, 52, 53, 56],
    ),
    // ERET and SVC; branch records, guarded control stacks, COSP RCTX, PSB CSYNC.
    (FineRegister::HFGITR, &[51, 52, 53, 55, 56, 57, 58, 59, 60, 61, 63]),
    // What cannot be read, and the trace unit.
    (
        FineRegister::HDFGRTR,
        &[
            8, 20, 21, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49,
        ],
    ),
    // What cannot be written, and the trace unit.
    (
        FineRegister::HDFGWTR,
        &[
            6, 9, 22, 30, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 51, 58, 59, 63,
        ],
    ),
    (
        FineRegister::HAFGRTR,
        &[
            5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63,
        ],
    ),
];

/// The rows of a bit, with its polarity.
fn rows_of(register: FineRegister, bit: u8) -> Vec<(Row, &'static str, bool)> {
    let control = |row: Row, is_read| row.fine.control(is_read).filter(|control| control.register == register);
    SysReg::rows()
        .filter_map(|(row, name)| {
            let control = control(row, true).or_else(|| control(row, false))?;
            (control.mask == 1 << bit).then_some((row, name, control.traps_when_set))
        })
        .collect()
}

#[test]
fn each_bit_traps_what_belongs_together_or_nothing_that_is_there() {
    for (register, without) in WITHOUT_ROW {
        for bit in 0..64 {
            let rows = rows_of(register, bit);
            assert_eq!(rows.is_empty(), without.contains(&bit), "{register:?} {bit}");
            for ((first, name, polarity), (row, other, same)) in rows.iter().zip(rows.iter().skip(1)) {
                assert_eq!(name.get(..2), other.get(..2), "{register:?} {bit}");
                assert_eq!(polarity, same, "{name} {other}");
                assert_eq!(first.reg.is_instruction(), row.reg.is_instruction());
            }
        }
    }
}

#[test]
fn bits_that_trap_when_0_are_about_features_that_came_later() {
    for (register, _) in WITHOUT_ROW {
        for (row, name, when_set) in (0..64).flat_map(|bit| rows_of(register, bit)) {
            assert!(when_set || row.feature != Feature::Base, "{name}");
        }
    }
}

#[test]
fn instructions_are_in_their_own_register_and_nxs_forms_with_the_others() {
    for (row, name) in SysReg::rows() {
        let control = row.fine.control(false);
        let of_instructions = control.is_some_and(|control| control.register == FineRegister::HFGITR);
        assert!(!of_instructions || row.reg.is_instruction(), "{name}");
        if row.reg.is_instruction() && row.reg.op1() < 4 {
            assert!(of_instructions && row.fine.control(true).is_none(), "{name}");
            assert!(!row.reg.is_nxs() || row.fine == row.reg.with_xs().row().fine, "{name}");
        }
        // Registers of EL2, and the other names of those of EL1, are never trapped so.
        assert!(row.reg.op1() < 4 || row.fine == FineTrap::NONE, "{name}");
    }
}

#[test]
fn a_few_are_where_the_manual_has_them() {
    let control = |reg: SysReg, is_read| {
        let control = reg.row().fine.control(is_read)?;
        Some((control.register, control.mask.trailing_zeros(), control.traps_when_set))
    };
    let (hfgrtr, hfgwtr) = (FineRegister::HFGRTR, FineRegister::HFGWTR);
    assert_eq!(control(SysReg::SCTLR_EL1, true), Some((hfgrtr, 29, true)));
    assert_eq!(control(SysReg::SCTLR_EL1, false), Some((hfgwtr, 29, true)));
    assert_eq!(control(SysReg::MIDR_EL1, true), Some((hfgrtr, 25, true)));
    assert_eq!(control(SysReg::MIDR_EL1, false), None);
    assert_eq!(control(SysReg::TPIDR2_EL0, false), Some((hfgwtr, 55, false)));
    assert_eq!(
        control(SysReg::OSLAR_EL1, false),
        Some((FineRegister::HDFGWTR, 8, true))
    );
    assert_eq!(
        control(SysReg::TLBI_VAALE1, false),
        Some((FineRegister::HFGITR, 47, true))
    );
    assert_eq!(control(SysReg::CNTVCT_EL0, true), None);
}

#[test]
fn nothing_traps_that_l1_did_not_ask_for() {
    let none = FineControls::default();
    for (row, name) in SysReg::rows().filter(|(row, _)| !row.is_hidden()) {
        assert!(!none.wants(row, true, 0) && !none.wants(row, false, 0), "{name}");
    }
}

#[test]
fn nxs_forms_are_exempt_if_l1_says_so() {
    let l1 = FineControls {
        hfgitr: u64::MAX,
        ..FineControls::default()
    };
    let wants = |reg: SysReg, hcrx| l1.wants(reg.row(), false, hcrx);
    assert!(wants(SysReg::TLBI_VAE1NXS, !hcrx_el2::FGTnXS));
    assert!(!wants(SysReg::TLBI_VAE1NXS, hcrx_el2::FGTnXS));
    assert!(wants(SysReg::TLBI_VAE1, hcrx_el2::FGTnXS) && wants(SysReg::AT_S1E1RP, hcrx_el2::FGTnXS));
}

#[test]
fn names_of_what_is_trapped_are_those_of_bits() {
    let names = |register, value| -> Vec<_> { trapped_names(register, value).collect() };
    assert_eq!(
        names(FineRegister::HFGRTR, 1 << 29 | 1 << 39),
        ["SCTLR_EL1", "ICC_IGRPEN0_EL1"]
    );
    assert_eq!(names(FineRegister::HDFGWTR, 1 << 12).len(), 1);
    assert!(names(FineRegister::HFGITR, 0).is_empty());
}

proptest! {
    /// What either traps is trapped, what is hidden from L1 stays as L0 has it, and nothing else of L1's gets there.
    #[test]
    fn no_fine_trap_of_l1_is_lost_and_no_other_bit_gets_through(l0: [u64; 5], l1: [u64; 5]) {
        let controls = |[hfgrtr, hfgwtr, hfgitr, hdfgrtr, hdfgwtr]: [u64; 5]| {
            FineControls { hfgrtr, hfgwtr, hfgitr, hdfgrtr, hdfgwtr }
        };
        let (l0, l1) = (controls(l0), controls(l1));
        let merged = FineControls::for_nested(&l0, &l1);
        for (register, reg) in FineRegister::ALL.into_iter().zip(FineRegister::ENCODINGS) {
            let (traps, enables) = (TRAPS[register as usize], ENABLES[register as usize]);
            let [l0, l1, merged] = [l0, l1, merged].map(|controls| controls.get(reg).expect("a value"));
            prop_assert_eq!((merged ^ l0) & !(traps | enables), 0);
            prop_assert_eq!(merged & traps, (l0 | l1) & traps);
            prop_assert_eq!(merged & enables, l0 & l1 & enables);
        }
        for (row, _) in SysReg::rows().filter(|(row, _)| !row.is_hidden()) {
            for is_read in [true, false] {
                if l1.wants(row, is_read, 0) {
                    let control = row.fine.control(is_read).expect("wanted");
                    let value = merged.of(control.register).expect("a value");
                    prop_assert_eq!(value & control.mask != 0, control.traps_when_set);
                }
            }
        }
    }
}
