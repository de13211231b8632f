//! The table agrees with itself, and with what L1 is shown.

extern crate std;
use super::*;
use crate::{
    idreg::{self, Offer},
    vncr,
};
use proptest::prelude::*;
use std::{collections::BTreeSet, string::ToString, vec::Vec};

#[test]
fn el2_names_are_never_registers_of_the_hardware_that_l1_reaches() {
    for (row, name) in SysReg::rows().filter(|(row, _)| row.reg.op0() == 3) {
        let is_el2 = matches!(row.reg.op1(), 4..);
        let is_direct = matches!(row.place, Place::Hardware | Place::Twin(_));
        assert!(!(is_el2 && is_direct), "{name}");
        assert_eq!(
            row.reg.op1() == 5,
            matches!(row.place, Place::Alias(_)) || is_special_alias(&row),
            "{name}"
        );
    }
}

/// An `_EL12` or `_EL02` name that does not lead to the page.
fn is_special_alias(row: &Row) -> bool {
    row.reg.op1() == 5 && matches!(row.place, Place::Absent | Place::Emulated | Place::Computed)
}

#[test]
fn what_stands_in_the_place_of_an_el1_register_has_its_name() {
    for (row, name) in SysReg::rows() {
        let (Place::Mapped(word) | Place::Redirected(word) | Place::Unnamed(word)) = row.place else {
            continue;
        };
        let slot = vncr::slots()
            .find(|slot| slot.offset() == word.offset())
            .expect("an owner");
        let twin = slot.reg.name().expect("named");
        let expected = if name == "CPTR_EL2" { "CPACR_EL1" } else { twin };
        assert_eq!(expected, twin);
        assert!(
            name == "CPTR_EL2" || name.strip_suffix('2') == twin.strip_suffix('1'),
            "{name}: {twin}"
        );
    }
}

#[test]
fn a_feature_is_hidden_if_its_field_is() {
    for feature in Feature::ALL {
        let (reg, shift, least) = feature.field().expect("a field");
        assert!(reg.is_id_group3() && reg.name().is_some());
        let most = Offer {
            e2h0: false,
            fgt: true,
            lpa2: true,
        };
        let shown = idreg::visible(reg, u64::MAX, most) >> shift & 0xf;
        assert_eq!(feature.is_hidden(), shown < u64::from(least), "{feature:?}");
    }
    assert!(!Feature::Base.is_hidden());
}

#[test]
fn features_bring_registers_or_instructions() {
    for feature in Feature::ALL {
        let brings = |row: &Row| row.feature == *feature;
        let is_trace = *feature == Feature::Trace;
        assert!(is_trace || SysReg::rows().any(|(row, _)| brings(&row)), "{feature:?}");
    }
}

#[test]
fn encodings_without_a_name_are_not_there_and_belong_to_their_space() {
    let row = |bits| SysReg::from_bits(bits).row();
    for row in (0..=u16::MAX).map(row).filter(|row| row.reg.name().is_none()) {
        let expected = match row.reg {
            reg if reg.is_id_group3() => (Place::Id, Trap::TID3),
            reg if reg.is_implementation_defined() => (Place::Absent, Trap::TIDCP),
            reg if reg.is_trace() => (Place::Absent, Trap::TTA),
            _ => (Place::Absent, Trap::NONE),
        };
        assert_eq!((row.place, row.trap), expected, "{}", row.reg);
    }
}

#[test]
fn each_nxs_form_is_done_as_the_form_of_its_name() {
    for (reg, name) in SysReg::all().filter(|(_, name)| name.ends_with("nXS")) {
        assert_eq!(reg.with_xs().name(), name.strip_suffix("nXS"));
    }
    assert_eq!(SysReg::TLBI_VAE1.with_xs(), SysReg::TLBI_VAE1);
    for (reg, name) in SysReg::all().filter(|(reg, _)| reg.is_instruction()) {
        assert_eq!(reg.is_tlbi(), name.starts_with("TLBI "), "{name}");
    }
}

#[test]
fn a_row_is_found_as_it_was_written() {
    for (row, name) in SysReg::rows() {
        assert_eq!(row.reg.row(), row, "{name}");
        assert_eq!(row.reg.const_row(), row, "{name}");
    }
}

#[test]
fn registers_that_l0_makes_are_counters_or_not_those_of_its_guest() {
    let made: Vec<&str> = SysReg::rows()
        .filter(|(row, _)| row.reg.op0() == 3 && matches!(row.place, Place::Emulated | Place::Computed | Place::Zero))
        .map(|(_, name)| name)
        .collect();
    assert!(made.iter().all(|name| name.starts_with("PM")
        || name.ends_with("EL2")
        || name.ends_with("EL12")
        || name.ends_with("EL02")));
}

#[test]
fn tables_ascend_without_duplicates_and_each_row_is_found_in_its_own_table() {
    let regs: Vec<SysReg> = SysReg::all().map(|(reg, _)| reg).collect();
    assert!(regs.windows(2).all(|pair| pair[0] < pair[1]));
    for (reg, name) in SysReg::all() {
        assert_eq!(reg.name(), Some(name));
    }
}

#[test]
fn names_are_unique() {
    let names: BTreeSet<&str> = SysReg::all().map(|(_, name)| name).collect();
    assert_eq!(names.len(), SysReg::all().count());
}

#[test]
fn display_is_the_arm_name_or_the_generic_form() {
    assert_eq!(SysReg::new(3, 4, 1, 0, 0).to_string(), "SCTLR_EL2");
    assert_eq!(SysReg::new(1, 4, 8, 4, 1).to_string(), "TLBI IPAS2E1");
    assert_eq!(SysReg::new(1, 0, 9, 3, 0).to_string(), "TLBI VMALLE1ISnXS");
    assert_eq!(SysReg::new(3, 7, 15, 14, 6).to_string(), "S3_7_C15_C14_6");
    assert_eq!(SysReg::new(0, 0, 0, 0, 0).to_string(), "S0_0_C0_C0_0");
    assert_eq!(
        std::format!("{:>16}|", SysReg::new(3, 7, 15, 15, 7)),
        "  S3_7_C15_C15_7|"
    );
    assert_eq!(std::format!("{:<10}|", SysReg::CTR_EL0), "CTR_EL0   |");
}

#[test]
fn names_parse_in_any_case_and_the_generic_form_is_bounded() {
    assert_eq!(SysReg::from_name("vttbr_el2"), Some(SysReg::VTTBR_EL2));
    assert_eq!(SysReg::from_name("S3_4_C1_C0_0"), Some(SysReg::SCTLR_EL2));
    assert_eq!(SysReg::from_name("S3_4_C16_C0_0"), None);
    assert_eq!(SysReg::from_name("S3_4_C1_C0_0_0"), None);
    assert_eq!(SysReg::from_name(""), None);
}

#[test]
fn id_group_three_is_crm_one_to_seven() {
    assert!(SysReg::ID_PFR0_EL1.is_id_group3());
    assert!(SysReg::new(3, 0, 0, 7, 7).is_id_group3());
    assert!(!SysReg::MIDR_EL1.is_id_group3());
    assert!(!SysReg::SCTLR_EL1.is_id_group3());
    assert!(!SysReg::AIDR_EL1.is_id_group3());
}

proptest! {
    #[test]
    fn every_encoding_survives_its_fields_and_its_text(bits: u16) {
        let reg = SysReg::from_bits(bits);
        prop_assert_eq!(
            SysReg::new(reg.op0(), reg.op1(), reg.crn(), reg.crm(), reg.op2()),
            reg
        );
        prop_assert_eq!(SysReg::from_name(&reg.to_string()), Some(reg));
    }
}
