//! Syndromes, processor states, and controls of L1's.

use syndrome::{
    Esr, SysReg, e2h0,
    esr::hpfar,
    exception::{self, Kind, Source},
    fgt::FineControls,
    forward::{self, L1Controls},
    idreg::{self, Offer},
    merge::{self, Claims, Controls, LastMerged},
    pauth, pmu,
    register::{self, Register},
    regs::hcr_el2,
    sysreg::Row,
};

use crate::Input;

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    check_syndrome(Esr(input.word()), &mut input);
    check_returns(&mut input);
    check_controls(&mut input);
    check_addresses(&mut input);
    check_registers(&mut input);
}

fn check_syndrome(esr: Esr, input: &mut Input<'_>) {
    assert!(!esr.to_string().is_empty());
    assert_eq!(esr.with_ec(esr.ec()), esr);
    assert_eq!(esr.with_fsc(esr.fault().encode()), esr);
    let abort = esr.data_abort();
    let _ = (esr.instruction_abort(), esr.wfx(), esr.eret(), abort.needs_write());
    let raw = input.double();
    let extended = abort.extend(raw);
    assert_eq!(abort.extend(extended), extended, "extended once is extended");
    let (ipa, far) = (input.double(), input.double());
    let page = ipa & 0xf_ffff_ffff_f000;
    assert_eq!(hpfar::faulting_ipa(hpfar::for_ipa(ipa), far), page | far & 0xfff);
    let _ = hpfar::is_valid(esr.fault(), input.bit());
}

/// Returns and exceptions: nothing leads out of the mode that a context may be in.
fn check_returns(input: &mut Input<'_>) {
    let (spsr, hcr, old) = (input.word(), input.word(), input.word());
    let is_e2h0 = input.bit();
    if let Ok(target) = exception::check_eret(spsr, hcr, is_e2h0)
        && target.is_host_context()
    {
        let physical = exception::to_physical(spsr);
        assert!(physical & 0xc != 0x8, "a guest never runs at EL2: {physical:#x}");
    }
    let illegal = exception::illegal_return_pstate(old, spsr);
    assert_eq!(illegal & 0x1f, old & 0x1f, "neither level nor stack change");
    let entry = exception::Entry {
        pstate: input.word(),
        sctlr_el2: input.word(),
        is_host: exception::is_host(hcr, is_e2h0),
        kind: input.pick(&[Kind::Sync, Kind::Irq, Kind::Fiq, Kind::SError]),
        has_mte: input.bit(),
    };
    let entered = exception::enter_vel2(&entry);
    assert_eq!((entered.pstate & 0x1f, entered.spsr_el2), (0b01001, entry.pstate));
    assert!(entered.vector_offset < 0x800 && entered.vector_offset.is_multiple_of(0x80));
    let _ = Source::of(spsr);
}

fn check_controls(input: &mut Input<'_>) {
    let l0 = Controls {
        hcr: input.word(),
        hcrx: input.word(),
        mdcr: input.word(),
        cptr: input.word(),
        cnthctl: input.word(),
    };
    let claims = Claims {
        hcr: input.word(),
        hcrx: input.word(),
        mdcr: input.word(),
        cptr: input.word(),
        cnthctl: input.word(),
    };
    let merged = Controls::merged(&l0, &claims);
    assert_eq!(LastMerged::new(&l0).merged(&l0, &claims), &merged);
    // What only L0 may decide is as L0 has it.
    let of_l0 = hcr_el2::VM | hcr_el2::IMO | hcr_el2::FMO | hcr_el2::AMO;
    assert_eq!(merged.hcr & l0.hcr & of_l0, l0.hcr & of_l0, "{l0:x?} {claims:x?}");
    let _ = merge::is_enabled(claims.cptr, 0b11 << 20);
    let l1 = L1Controls {
        hcr: claims.hcr,
        mdcr: claims.mdcr,
        cptr: claims.cptr,
        cnthctl: claims.cnthctl,
        ich_hcr: input.word(),
        hstr: input.word(),
    };
    let row = SysReg::from_bits(input.half()).row();
    let is_read = input.bit();
    let without = L1Controls { hstr: 0, ..l1 };
    assert_eq!(
        forward::wants(row, is_read, &l1),
        forward::wants(row, is_read, &without)
    );
    let _ = forward::wants_exception(Esr(input.word()), &l1);
    check_fine_traps(row, is_read, input);
}

/// L0's traps stay, and what L1 wants to see of what it is shown traps.
fn check_fine_traps(row: Row, is_read: bool, input: &mut Input<'_>) {
    let mut controls = || FineControls {
        hfgrtr: input.word(),
        hfgwtr: input.word(),
        hfgitr: input.word(),
        hdfgrtr: input.word(),
        hdfgwtr: input.word(),
    };
    let (l0, l1) = (controls(), controls());
    let merged = FineControls::for_nested(&l0, &l1);
    let hcrx = input.word();
    let is_wanted = !row.is_hidden() && (l0.wants(row, is_read, hcrx) || l1.wants(row, is_read, hcrx));
    assert!(!is_wanted || merged.wants(row, is_read, 0), "{row:?}");
}

fn check_addresses(input: &mut Input<'_>) {
    let (address, tcr, signature) = (input.word(), input.word(), input.word());
    let plain = pauth::unsigned(address, tcr);
    assert_eq!(pauth::unsigned(plain, tcr), plain);
    assert_eq!((plain ^ address) & !pauth::signature_bits(address, tcr), 0);
    let level = pauth::Level(input.byte() & 15);
    let _ = pauth::authenticate(address, signature, tcr, level, input.bit());
}

fn check_registers(input: &mut Input<'_>) {
    let (reg, value) = (SysReg::from_bits(input.half()), input.word());
    if let Some(name) = reg.name() {
        assert_eq!(SysReg::from_name(name), Some(reg));
    }
    for register in [Register::Sys(reg), Register::Hardware(reg), Register::Pstate] {
        let _ = (register::layout(register, value), register::unnamed(register, value));
    }
    let _ = (register::home(reg), pmu::indexed(reg), e2h0::with_vhe(reg));
    let shown = idreg::visible(
        reg,
        value,
        Offer {
            e2h0: input.bit(),
            fgt: input.bit(),
            lpa2: input.bit(),
        },
    );
    if reg.is_id_group3() {
        assert_eq!(
            idreg::visible(reg, value, Offer::default()),
            idreg::visible(reg, value, Offer::default())
        );
    }
    let _ = (
        shown,
        e2h0::tcr_el1(value),
        e2h0::tcr_el2(value),
        e2h0::operand(reg, value),
    );
    let _ = (
        pmu::hardware_mdcr(value, input.word()),
        pmu::guest_counters(input.word()),
    );
    let filter = pmu::hardware_filter(value, u32::from(input.byte() & 31), input.word(), input.bit());
    assert_eq!(
        pmu::with_el2(filter) ^ filter,
        1 << 27,
        "EL2 counts for nobody but where L0 says so"
    );
}
