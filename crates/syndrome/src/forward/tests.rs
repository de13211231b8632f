//! The forwarding rules, control by control: each names the registers it traps.

extern crate std;
use super::{wants as wants_row, *};
use crate::{
    SysReg, merge,
    regs::{cnthctl_el2, cptr_el2, ich_hcr_el2},
};
use std::vec::Vec;

/// Nothing traps: every enable set, every trap clear.
const OPEN: L1Controls = L1Controls {
    hstr: 0,
    hcr: hcr_el2::API | hcr_el2::APK | hcr_el2::EnSCXT,
    mdcr: 0,
    cptr: cpacr::FPEN | cpacr::ZEN | cpacr::SMEN,
    cnthctl: cnthctl_el2::EL1PCTEN | cnthctl_el2::EL1PTEN,
    ich_hcr: 0,
};

fn wants(reg: SysReg, is_read: bool, l1: &L1Controls) -> bool {
    wants_row(reg.row(), is_read, l1)
}

fn with_hcr(bits: u64) -> L1Controls {
    L1Controls {
        hcr: OPEN.hcr | bits,
        ..OPEN
    }
}

/// The named registers that trap for reads and writes under `l1`.
fn trapped(l1: &L1Controls) -> (Vec<&'static str>, Vec<&'static str>) {
    let names = |is_read| {
        SysReg::all()
            .filter(|&(reg, _)| wants(reg, is_read, l1))
            .map(|(_, name)| name)
            .collect()
    };
    (names(true), names(false))
}

#[test]
fn nothing_is_forwarded_that_l1_did_not_ask_for() {
    assert_eq!(trapped(&OPEN), (Vec::new(), Vec::new()));
    for ec in 0..64 {
        assert_eq!(
            wants_exception(Esr::new(ec, 0), &OPEN),
            matches!(ec, ec::HVC64 | ec::ERET | ec::SVC64 | ec::MOPS),
            "{}",
            ec::name(ec)
        );
    }
}

#[test]
fn with_tge_every_exception_is_l1s() {
    for ec in 0..64 {
        assert!(
            wants_exception(Esr::new(ec, 0), &with_hcr(hcr_el2::TGE)),
            "{}",
            ec::name(ec)
        );
    }
    assert!(wants_external_abort(&with_hcr(hcr_el2::TGE)));
}

#[test]
fn tvm_traps_writes_and_trvm_reads_of_the_same_registers() {
    let (reads, writes) = trapped(&with_hcr(hcr_el2::TVM));
    assert!(reads.is_empty());
    assert_eq!(
        writes,
        [
            "SCTLR_EL1",
            "TTBR0_EL1",
            "TTBR1_EL1",
            "TCR_EL1",
            "AFSR0_EL1",
            "AFSR1_EL1",
            "ESR_EL1",
            "FAR_EL1",
            "MAIR_EL1",
            "AMAIR_EL1",
            "CONTEXTIDR_EL1"
        ]
    );
    assert_eq!(trapped(&with_hcr(hcr_el2::TRVM)), (writes, Vec::new()));
}

#[test]
fn id_groups_trap_their_own_registers() {
    let reads = |bits| trapped(&with_hcr(bits)).0;
    assert_eq!(reads(hcr_el2::TID1), ["REVIDR_EL1", "SMIDR_EL1", "AIDR_EL1"]);
    assert_eq!(
        reads(hcr_el2::TID2),
        ["CCSIDR_EL1", "CLIDR_EL1", "CCSIDR2_EL1", "CSSELR_EL1", "CTR_EL0"]
    );
    assert_eq!(
        reads(hcr_el2::TID4),
        ["CCSIDR_EL1", "CLIDR_EL1", "CCSIDR2_EL1", "CSSELR_EL1"]
    );
    let group3: Vec<&str> = SysReg::all()
        .filter(|(reg, _)| reg.is_id_group3())
        .map(|(_, name)| name)
        .collect();
    assert_eq!(reads(hcr_el2::TID3), group3);
    // Unallocated encodings of the space are part of the group.
    assert!(wants(SysReg::new(3, 0, 0, 7, 7), true, &with_hcr(hcr_el2::TID3)));
    assert!(wants(SysReg::CSSELR_EL1, false, &with_hcr(hcr_el2::TID2)));
}

#[test]
fn tlbi_controls_divide_by_reach() {
    let counted = |bits| {
        let (_, writes) = trapped(&with_hcr(bits));
        assert!(
            writes
                .iter()
                .all(|name| name.starts_with("TLBI ") && name.contains("E1"))
        );
        writes
    };
    let all = counted(hcr_el2::TTLB);
    let inner = counted(hcr_el2::TTLBIS);
    let outer = counted(hcr_el2::TTLBOS);
    // Ten operations, each local, IS, OS, with and without nXS.
    assert_eq!(all.len(), 60);
    assert_eq!((inner.len(), outer.len()), (20, 20));
    assert!(inner.iter().all(|name| name.trim_end_matches("nXS").ends_with("IS")));
    assert!(outer.iter().all(|name| name.trim_end_matches("nXS").ends_with("OS")));
    assert!(!all.contains(&"TLBI IPAS2E1IS"));
}

#[test]
fn nv_traps_everything_of_el2_and_eret_and_nothing_else() {
    let l1 = with_hcr(hcr_el2::NV);
    let (reads, writes) = trapped(&l1);
    let of_el2: Vec<&str> = SysReg::all()
        .filter(|(reg, _)| matches!(reg.op1(), 4 | 5))
        .map(|(_, name)| name)
        .collect();
    assert_eq!((&reads, &writes), (&of_el2, &of_el2));
    for name in ["SCTLR_EL2", "CNTKCTL_EL12", "CNTP_TVAL_EL02", "TLBI ALLE2", "AT S1E2R"] {
        assert!(writes.contains(&name), "{name}");
    }
    assert!(wants_exception(Esr::new(ec::ERET, 2), &l1));
}

#[test]
fn at_traps_the_translations_of_el1() {
    let (_, writes) = trapped(&with_hcr(hcr_el2::AT));
    assert_eq!(writes.len(), 7);
    assert!(writes.iter().all(|name| name.starts_with("AT S1E")), "{writes:?}");
}

#[test]
fn cache_maintenance_controls_divide_by_kind() {
    let writes = |bits| trapped(&with_hcr(bits)).1;
    assert_eq!(writes(hcr_el2::TPU), ["IC IALLUIS", "IC IALLU", "IC IVAU", "DC CVAU"]);
    assert_eq!(writes(hcr_el2::TOCU), ["IC IALLU", "IC IVAU", "DC CVAU"]);
    assert_eq!(writes(hcr_el2::TICAB), ["IC IALLUIS"]);
    assert_eq!(writes(hcr_el2::TDZ), ["DC ZVA", "DC GVA", "DC GZVA"]);
    assert!(writes(hcr_el2::TSW).iter().all(|name| name.ends_with("SW")));
    assert_eq!(writes(hcr_el2::TSW).len(), 9);
    let tpc = writes(hcr_el2::TPCP);
    assert!(tpc.contains(&"DC CIVAC") && tpc.contains(&"DC CVAP") && tpc.contains(&"DC IVAC"));
    assert!(!tpc.contains(&"DC CVAU") && !tpc.iter().any(|name| name.ends_with("SW")));
}

#[test]
fn controls_that_trap_when_clear() {
    let without = |bits: u64| L1Controls {
        hcr: OPEN.hcr & !bits,
        ..OPEN
    };
    let (keys, _) = trapped(&without(hcr_el2::APK));
    assert_eq!(keys.len(), 10);
    assert!(keys.iter().all(|name| name.starts_with("AP") && name.contains("Key")));
    assert_eq!(trapped(&without(hcr_el2::EnSCXT)).0, ["SCXTNUM_EL1", "SCXTNUM_EL0"]);
    let closed = L1Controls { cnthctl: 0, ..OPEN };
    assert_eq!(
        trapped(&closed).0,
        [
            "CNTPCT_EL0",
            "CNTPCTSS_EL0",
            "CNTP_TVAL_EL0",
            "CNTP_CTL_EL0",
            "CNTP_CVAL_EL0"
        ]
    );
}

#[test]
fn virtual_timer_and_counter_trap_apart() {
    let with = |bits| {
        trapped(&L1Controls {
            cnthctl: OPEN.cnthctl | bits,
            ..OPEN
        })
        .0
    };
    assert_eq!(
        with(cnthctl_el2::EL1TVT),
        ["CNTV_TVAL_EL0", "CNTV_CTL_EL0", "CNTV_CVAL_EL0"]
    );
    assert_eq!(with(cnthctl_el2::EL1TVCT), ["CNTVCT_EL0", "CNTVCTSS_EL0"]);
}

#[test]
fn gic_controls_divide_by_group() {
    let with = |bits| trapped(&L1Controls { ich_hcr: bits, ..OPEN }).1;
    assert_eq!(
        with(ich_hcr_el2::TC),
        [
            "ICC_PMR_EL1",
            "ICC_DIR_EL1",
            "ICC_RPR_EL1",
            "ICC_SGI1R_EL1",
            "ICC_ASGI1R_EL1",
            "ICC_SGI0R_EL1",
            "ICC_CTLR_EL1"
        ]
    );
    assert_eq!(with(ich_hcr_el2::TDIR), ["ICC_DIR_EL1"]);
    assert!(with(ich_hcr_el2::TALL0).iter().all(|name| name.contains('0')));
    assert_eq!(with(ich_hcr_el2::TALL0).len(), 9);
    assert_eq!(with(ich_hcr_el2::TALL1).len(), 10);
    assert_eq!(
        trapped(&with_hcr(hcr_el2::IMO)).1,
        ["ICC_SGI1R_EL1", "ICC_ASGI1R_EL1", "ICC_SGI0R_EL1"]
    );
}

#[test]
fn debug_exceptions_imply_the_debug_register_traps() {
    let with = |bits| trapped(&L1Controls { mdcr: bits, ..OPEN }).0;
    let tde = with(mdcr_el2::TDE);
    for part in [mdcr_el2::TDA, mdcr_el2::TDRA, mdcr_el2::TDOSA] {
        let names = with(part);
        assert!(!names.is_empty() && names.iter().all(|name| tde.contains(name)));
    }
    assert_eq!(with(mdcr_el2::TDRA), ["MDRAR_EL1"]);
    // 64 breakpoint and watchpoint registers, MDSCR, OSECCR, MDSELR, claim
    // tags, authentication status, and the six of the channel.
    assert_eq!(with(mdcr_el2::TDA).len(), 64 + 3 + 3 + 6);
    assert_eq!(with(mdcr_el2::TDCC).len(), 6);
    let l1 = L1Controls {
        mdcr: mdcr_el2::TDE,
        ..OPEN
    };
    assert!(wants_exception(Esr::new(ec::BRK64, 0), &l1));
    assert!(wants_exception(Esr::new(ec::SOFTSTP_LOW, 0), &l1));
}

#[test]
fn counters_trap_together_and_pmcr_alone_too() {
    let with = |bits| trapped(&L1Controls { mdcr: bits, ..OPEN }).0;
    assert_eq!(with(mdcr_el2::TPMCR), ["PMCR_EL0"]);
    let tpm = with(mdcr_el2::TPM);
    assert!(tpm.iter().all(|name| name.starts_with("PM")));
    // Fourteen of EL0, three of EL1, 31 counters and their types.
    assert_eq!(tpm.len(), 14 + 3 + 62);
}

#[test]
fn cptr_traps_the_registers_it_names() {
    let with = |bits| {
        trapped(&L1Controls {
            cptr: OPEN.cptr | bits,
            ..OPEN
        })
        .0
    };
    assert_eq!(with(cptr_el2::TCPAC), ["CPACR_EL1"]);
    assert!(with(cpacr::TAM).iter().all(|name| name.starts_with("AM")));
    assert!(wants(
        SysReg::new(2, 1, 0, 1, 0),
        true,
        &L1Controls {
            cptr: cpacr::TTA,
            ..OPEN
        }
    ));
}

#[test]
fn implementation_defined_space_is_tidcp() {
    let l1 = with_hcr(hcr_el2::TIDCP);
    for reg in [
        SysReg::new(3, 0, 15, 1, 2),
        SysReg::new(3, 7, 11, 0, 0),
        SysReg::new(1, 1, 15, 0, 0),
    ] {
        assert!(wants(reg, true, &l1) && !wants(reg, true, &OPEN), "{reg}");
    }
    assert!(!wants(SysReg::SCTLR_EL1, true, &l1));
}

#[test]
fn waits_are_two_controls() {
    for (iss, bit) in [
        (0, hcr_el2::TWI),
        (1, hcr_el2::TWE),
        (2, hcr_el2::TWI),
        (3, hcr_el2::TWE),
    ] {
        assert!(wants_exception(Esr::new(ec::WFX, iss), &with_hcr(bit)));
        assert!(!wants_exception(
            Esr::new(ec::WFX, iss),
            &with_hcr((hcr_el2::TWI | hcr_el2::TWE) & !bit)
        ));
    }
}

#[test]
fn floating_point_is_trapped_by_the_low_bit_of_its_enable() {
    for (fpen, traps) in [(0, true), (1, false), (2, true), (3, false)] {
        let l1 = L1Controls {
            cptr: fpen << 20,
            ..OPEN
        };
        assert_eq!(wants_exception(Esr::new(ec::FP_ASIMD, 0), &l1), traps);
    }
    let l1 = L1Controls { hcr: 0, ..OPEN };
    assert!(wants_exception(Esr::new(ec::PAC, 0), &l1));
}

#[test]
fn hvc_goes_to_l1_or_is_undefined() {
    assert!(wants_exception(Esr::new(ec::HVC64, 0), &OPEN) && !hvc_is_undefined(OPEN.hcr));
    assert!(hvc_is_undefined(hcr_el2::HCD));
}

#[test]
fn controls_of_what_l1_does_not_have_trap_nothing() {
    let l1 = L1Controls { hstr: u64::MAX, ..OPEN };
    assert_eq!(trapped(&l1), (Vec::new(), Vec::new()));
}

/// A trap that L1 may ask for and the hardware is not told of would never come.
#[test]
fn what_the_table_forwards_is_asked_of_the_hardware() {
    const L0: u64 = merge::HCR_ENABLES | hcr_el2::IMO | hcr_el2::FMO;
    for (row, name) in SysReg::rows().filter(|(row, _)| !row.is_hidden()) {
        for control in row.trap.controls() {
            let mask = control.mask;
            let asked = match control.source {
                Source::Hcr if control.traps_when_set => merge::hcr_for_nested(L0, mask),
                Source::Hcr => !merge::hcr_for_nested(L0, !mask),
                Source::Mdcr => merge::mdcr_for_nested(0, mask),
                Source::Cptr => cptr_of(mask),
                Source::Cnthctl if control.traps_when_set => merge::cnthctl_for_nested(0, mask),
                Source::Cnthctl => {
                    !(merge::cnthctl_for_nested(cnthctl_el2::NVHE_EL1PCTEN, !mask)
                        | merge::cnthctl_for_nested(cnthctl_el2::NVHE_EL1PCEN, !mask))
                        << 10
                }
                Source::IchHcr => merge::ICH_HCR_TRAPS,
            };
            assert_eq!(asked & mask, mask, "{name} by {control:?}");
        }
    }
}

/// The traps of `CPTR_EL2` that registers have are at the same place in both layouts, but for that of trace registers, which
/// are hidden.
fn cptr_of(mask: u64) -> u64 {
    merge::cptr_for_nested(0, mask | OPEN.cptr)
}
