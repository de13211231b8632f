//! The performance monitors, which are L1's.
//!
//! The counters are the hardware's. A filter means something else to the hardware than to L1 (`syndrome::pmu`): each has
//! two images, one for each context. They are exchanged at a switch, and only those of counters that count and whose images
//! differ.
//!
//! So accesses trap, of L1 and of its guest. With FEAT_FGT only those of L1 do that are about filters and about which
//! counters count, and about `PMCR_EL0`, which has another meaning at EL2; and all, where L1 has set counters apart from
//! its guest's, because the hardware sets them apart from L1 too.

use core::mem;

use syndrome::{SysReg, esr::SysRegTrap, pmu, regs::mdcr_el2};

use super::controls::MDCR_BASE;
use crate::{
    arch::{
        barrier, features,
        sysreg::{self, *},
    },
    vcpu::{Context, VCpu, context::GuestFrame},
};

/// PMCR_EL0: enables the counters, resets event counters, resets the cycle counter, and how many there are.
const PMCR_P: u64 = 1 << 1;
const PMCR_C: u64 = 1 << 2;
const PMCR_N_SHIFT: u32 = 11;
const PMCR_N: u64 = 0x1f << PMCR_N_SHIFT;
/// SPSR_EL2: the exception level.
const EL: u64 = 0xc;
/// Every counter.
const ALL: u64 = u32::MAX as u64;

/// What L1 says of the counters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Monitors {
    /// Its filters, by the counters' numbers.
    filters: [u64; 32],
    /// The counters whose filters are exchanged at a switch, one bit each.
    pub exchanged: u32,
    /// The hardware's `MDCR_EL2` as far as it is L1's.
    pub mdcr: u64,
    /// The whole of it, in the host context.
    pub mdcr_host: u64,
}

/// Whether the CPU has performance monitors.
fn is_there() -> bool {
    !matches!(sysreg::read_id_register(5, 0) >> 8 & 0xf, 0 | 0xf)
}

fn set_mdcr(vcpu: &mut VCpu, mdcr: u64) {
    let is_all_l1s = mdcr & mdcr_el2::HPMN == vcpu.vm.mdcr_hpmn;
    let needless = if is_all_l1s && features::has_fgt() {
        mdcr_el2::TPM
    } else {
        0
    };
    vcpu.monitors.mdcr = mdcr;
    vcpu.monitors.mdcr_host = mdcr | MDCR_BASE & !needless;
}

/// On a vCPU that is switched on: nothing counts.
pub fn reset(vcpu: &mut VCpu) {
    vcpu.monitors = Monitors::default();
    set_mdcr(vcpu, vcpu.vm.mdcr_hpmn);
    if is_there() {
        PMCR_EL0.set(PMCR_P | PMCR_C);
        PMCNTENCLR_EL0.set(ALL);
        PMINTENCLR_EL1.set(ALL);
        PMOVSCLR_EL0.set(ALL);
        PMUSERENR_EL0.set(0);
    }
}

/// Writes L1's `MDCR_EL2`.
pub fn write_mdcr(vcpu: &mut VCpu, value: u64) {
    const HPMD_HCCD: u64 = mdcr_el2::HPMD | mdcr_el2::HCCD;
    let old = mem::replace(&mut vcpu.emulated.mdcr, value);
    let hardware = pmu::hardware_mdcr(vcpu.emulated.mdcr, vcpu.vm.mdcr_hpmn);
    let is_same = hardware == vcpu.monitors.mdcr && (old ^ vcpu.emulated.mdcr) & HPMD_HCCD == 0;
    if !is_same && is_there() {
        set_mdcr(vcpu, hardware);
        // The nested context's, which only the console comes here in, is made anew at the next switch.
        if vcpu.context == Context::Host {
            MDCR_EL2.set(vcpu.monitors.mdcr_host);
        }
        refresh(vcpu);
    }
}

/// Brings the filters of the counters that count up to date with what L1 says, and finds those to be exchanged.
fn refresh(vcpu: &mut VCpu) {
    let enabled = PMCNTENSET_EL0.get() as u32;
    let differs = |number: &u32| filter(vcpu, *number, Context::Host) != filter(vcpu, *number, Context::Nested);
    vcpu.monitors.exchanged = bits(enabled).filter(differs).fold(0, |mask, number| mask | 1 << number);
    vcpu.has_exchanges = vcpu.vm.offer.has_exchanges() || vcpu.monitors.exchanged != 0;
    load(vcpu, enabled, vcpu.context);
}

/// The hardware's filter of a counter in a context.
fn filter(vcpu: &VCpu, number: u32, context: Context) -> u64 {
    let filter = vcpu.monitors.filters[number as usize & 31];
    pmu::hardware_filter(filter, number, vcpu.emulated.mdcr, context == Context::Host)
}

/// Exchanges filters, on the way into `context`.
pub fn exchange(vcpu: &VCpu, context: Context) {
    load(vcpu, vcpu.monitors.exchanged, context);
}

fn load(vcpu: &VCpu, numbers: u32, context: Context) {
    for number in bits(numbers) {
        selected(number, || PMXEVTYPER_EL0.set(filter(vcpu, number, context)));
    }
}

/// The numbers of the bits that are set.
fn bits(mask: u32) -> impl Iterator<Item = u32> {
    (0..32).filter(move |number| mask >> number & 1 != 0)
}

/// Does something while a counter is selected, and selects what was selected.
fn selected<T>(number: u32, f: impl FnOnce() -> T) -> T {
    let before = PMSELR_EL0.get();
    PMSELR_EL0.set(u64::from(number));
    barrier::isb();
    let result = f();
    PMSELR_EL0.set(before);
    barrier::isb();
    result
}

/// An access that nobody else wants. Returns whether it is done.
pub fn access(vcpu: &mut VCpu, frame: &mut GuestFrame, SysRegTrap { reg, rt, is_read }: SysRegTrap) -> bool {
    let which = indexed(vcpu, reg);
    let done = if is_read {
        read(vcpu, reg, which).map(|value| frame.set(rt, value))
    } else {
        write(vcpu, frame, reg, which, frame.get(rt))
    };
    done.map(|()| frame.skip_instruction()).is_some()
}

/// Whether `PMUSERENR_EL0` lets EL0 have it, so that a trap of it is gnomon's own.
pub fn is_open_to_el0(access: SysRegTrap) -> bool {
    pmu::is_open_to_el0(access, PMUSERENR_EL0.get())
}

/// The counters of who runs, one bit each.
fn own(vcpu: &VCpu) -> u64 {
    match vcpu.context {
        Context::Host => ALL,
        Context::Nested => pmu::guest_counters(vcpu.monitors.mdcr),
    }
}

/// The register of one counter that `reg` is, by its number or by the selected one; `None` if that is not who runs has.
fn indexed(vcpu: &VCpu, reg: SysReg) -> Option<pmu::Indexed> {
    let which = match reg {
        SysReg::PMXEVTYPER_EL0 => pmu::Indexed::Filter(PMSELR_EL0.get() as u32 & 31),
        SysReg::PMXEVCNTR_EL0 => pmu::Indexed::Counter(PMSELR_EL0.get() as u32 & 31),
        _ => pmu::indexed(reg)?,
    };
    let (pmu::Indexed::Counter(number) | pmu::Indexed::Filter(number)) = which;
    (own(vcpu) >> number & 1 != 0).then_some(which)
}

fn read(vcpu: &VCpu, reg: SysReg, which: Option<pmu::Indexed>) -> Option<u64> {
    if let Some(which) = which {
        return Some(match which {
            pmu::Indexed::Filter(number) => vcpu.monitors.filters[number as usize & 31],
            pmu::Indexed::Counter(number) => selected(number, || PMXEVCNTR_EL0.get()),
        });
    }
    let own = own(vcpu);
    Some(match reg {
        SysReg::PMCR_EL0 if vcpu.context == Context::Nested => {
            let hpmn = vcpu.monitors.mdcr & mdcr_el2::HPMN;
            PMCR_EL0.get() & !PMCR_N | hpmn << PMCR_N_SHIFT
        }
        SysReg::PMCR_EL0 => PMCR_EL0.get(),
        SysReg::PMCNTENSET_EL0 | SysReg::PMCNTENCLR_EL0 => PMCNTENSET_EL0.get() & own,
        SysReg::PMINTENSET_EL1 | SysReg::PMINTENCLR_EL1 => PMINTENSET_EL1.get() & own,
        SysReg::PMOVSSET_EL0 | SysReg::PMOVSCLR_EL0 => PMOVSSET_EL0.get() & own,
        SysReg::PMSELR_EL0 => PMSELR_EL0.get(),
        SysReg::PMCEID0_EL0 => PMCEID0_EL0.get(),
        SysReg::PMCEID1_EL0 => PMCEID1_EL0.get(),
        SysReg::PMCCNTR_EL0 => PMCCNTR_EL0.get(),
        SysReg::PMUSERENR_EL0 => PMUSERENR_EL0.get(),
        SysReg::PMMIR_EL1 => PMMIR_EL1.get(),
        _ => return None,
    })
}

fn write(vcpu: &mut VCpu, frame: &GuestFrame, reg: SysReg, which: Option<pmu::Indexed>, value: u64) -> Option<()> {
    if let Some(which) = which {
        match which {
            pmu::Indexed::Filter(number) => {
                vcpu.monitors.filters[number as usize & 31] = pmu::kept(value);
                refresh(vcpu);
            }
            pmu::Indexed::Counter(number) => selected(number, || PMXEVCNTR_EL0.set(value)),
        }
        return Some(());
    }
    let own = own(vcpu);
    match reg {
        SysReg::PMCR_EL0 => write_control(vcpu, value),
        SysReg::PMCNTENSET_EL0 => {
            PMCNTENSET_EL0.set(value & own);
            refresh(vcpu);
        }
        SysReg::PMCNTENCLR_EL0 => {
            PMCNTENCLR_EL0.set(value & own);
            refresh(vcpu);
        }
        SysReg::PMINTENSET_EL1 => PMINTENSET_EL1.set(value & own),
        SysReg::PMINTENCLR_EL1 => PMINTENCLR_EL1.set(value & own),
        SysReg::PMOVSSET_EL0 => PMOVSSET_EL0.set(value & own),
        SysReg::PMOVSCLR_EL0 => PMOVSCLR_EL0.set(value & own),
        SysReg::PMSWINC_EL0 => increment(vcpu, value & own, frame.spsr & EL == 0),
        SysReg::PMSELR_EL0 => PMSELR_EL0.set(value),
        SysReg::PMCCNTR_EL0 => PMCCNTR_EL0.set(value),
        SysReg::PMUSERENR_EL0 => PMUSERENR_EL0.set(value),
        _ => return None,
    }
    Some(())
}

/// `PMSWINC_EL0`, which is an event where it is written: at EL0 or EL1, and not here.
fn increment(vcpu: &VCpu, numbers: u64, is_el0: bool) {
    for number in bits(numbers as u32 & !(1 << pmu::CYCLES)) {
        let filter = filter(vcpu, number, vcpu.context);
        if pmu::counts(filter, is_el0) {
            selected(number, || {
                PMXEVTYPER_EL0.set(pmu::with_el2(filter));
                barrier::isb();
                PMSWINC_EL0.set(1 << number);
                barrier::isb();
                PMXEVTYPER_EL0.set(filter);
            });
        }
    }
}

/// A guest resets its own counters; at EL2 the hardware would reset all.
fn write_control(vcpu: &VCpu, value: u64) {
    if vcpu.context == Context::Host {
        PMCR_EL0.set(value);
        return;
    }
    PMCR_EL0.set(value & !PMCR_P);
    if value & PMCR_P != 0 {
        for number in bits(own(vcpu) as u32 & !(1 << pmu::CYCLES)) {
            selected(number, || PMXEVCNTR_EL0.set(0));
        }
    }
}
