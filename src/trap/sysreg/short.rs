//! Registers and instructions of L1's that take a few instructions and nothing else.
//!
//! A hypervisor that goes back to its user space, or changes from one guest to another, exchanges a dozen registers and
//! more. So they are here, found by one multiplication, in a function that needs no stack: whatever is more than a few
//! instructions is left to [`super`], with nothing done.

use syndrome::{
    Esr, SysReg,
    esr::{SysRegTrap, ec},
    exception, merge, vncr,
};
use vgic::{IchRegister, Interface, ich};
use vtimer::{ENABLE, WRITABLE};

use crate::{
    arch::{barrier, sysreg::*, tlbi},
    interrupts::L1Interface,
    nested::{l2_page, timer},
    trace,
    vcpu::{VCpu, context::GuestFrame, vncr::VncrPage},
};

/// ICC_SRE_EL2 as L1 sees it: system registers only, for EL1 too.
const ICC_SRE_EL2: u64 = 0xf;

/// Declares the registers and instructions: those that a register of the hardware stands for, and by the table of registers
/// is said to; then what reading one gives, and what writing one does. Either may [`leave`].
macro_rules! registers {
    (
        $vcpu:ident, $value:ident;
        in_place { $($name:ident: $hardware:ident,)* }
        $($other:ident: $read:expr, $write:block;)*
    ) => {
        $(const _: () = assert!(SysReg::$name.is_in_place_of(SysReg::$hardware));)*

        /// What is here.
        const REGISTERS: &[SysReg] = &[$(SysReg::$name,)* $(SysReg::$other,)*];

        /// The places of all of them.
        mod at {
            use super::{PLACES, SysReg};
            $(pub const $name: usize = PLACES.of(SysReg::$name);)*
            $(pub const $other: usize = PLACES.of(SysReg::$other);)*
        }

        #[inline(always)]
        fn read($vcpu: &VCpu, place: usize) -> Option<u64> {
            Some(match place {
                $(at::$name => $hardware.get(),)*
                $(at::$other => $read,)*
                _ => return None,
            })
        }

        #[inline(always)]
        fn write($vcpu: &mut VCpu, place: usize, $value: u64) -> Option<()> {
            match place {
                $(at::$name => $hardware.set($value),)*
                $(at::$other => $write,)*
                _ => return None,
            }
            Some(())
        }
    };
}

registers! { vcpu, value;
    // These have the layout, and the place, of the EL1 register of the hardware.
    in_place {
        SCTLR_EL2: SCTLR_EL1,
        TCR_EL2: TCR_EL1,
        TTBR0_EL2: TTBR0_EL1,
        TTBR1_EL2: TTBR1_EL1,
        MAIR_EL2: MAIR_EL1,
        AMAIR_EL2: AMAIR_EL1,
        AFSR0_EL2: AFSR0_EL1,
        AFSR1_EL2: AFSR1_EL1,
        VBAR_EL2: VBAR_EL1,
        CPTR_EL2: CPACR_EL1,
        CPACR_EL1: CPACR_EL1,
        CONTEXTIDR_EL2: CONTEXTIDR_EL1,
        // With plain FEAT_NV alone: FEAT_NV2 redirects these.
        ESR_EL2: ESR_EL1,
        FAR_EL2: FAR_EL1,
        ELR_EL2: ELR_EL1,
        SPSR_EL2: SPSR_EL1,
    }
    // And these those of the hardware's timers below EL2.
    CNTHP_CTL_EL2: CNTP_CTL_EL0.get(), { CNTP_CTL_EL0.set(value); };
    CNTHP_CVAL_EL2: CNTP_CVAL_EL0.get(), { CNTP_CVAL_EL0.set(value); };
    CNTHV_CTL_EL2: CNTV_CTL_EL0.get(), { CNTV_CTL_EL0.set(value); };
    CNTHV_CVAL_EL2: CNTV_CVAL_EL0.get(), { CNTV_CVAL_EL0.set(value); };
    // The timers of L1's guest.
    CNTP_CTL_EL02: timer::guest_physical(vcpu).read_ctl(timer::now()), {
        set_control(vcpu.vncr, vncr::CNTP_CTL_EL0, value)?;
    };
    CNTP_CVAL_EL02: timer::guest_physical(vcpu).cval, {
        set_compare_value(vcpu.vncr, vncr::CNTP_CTL_EL0, vncr::CNTP_CVAL_EL0, value)?;
    };
    CNTV_CTL_EL02: timer::guest_virtual(vcpu).read_ctl(timer::guest_virtual_now(vcpu)), {
        set_control(vcpu.vncr, vncr::CNTV_CTL_EL0, value)?;
    };
    CNTV_CVAL_EL02: timer::guest_virtual(vcpu).cval, {
        set_compare_value(vcpu.vncr, vncr::CNTV_CTL_EL0, vncr::CNTV_CVAL_EL0, value)?;
    };
    // What is in neither the hardware nor the VNCR page.
    MDCR_EL2: vcpu.emulated.mdcr, { set_traps(&mut vcpu.emulated.mdcr, value)?; };
    HPFAR_EL2: vcpu.emulated.hpfar, { vcpu.emulated.hpfar = value; };
    CNTHCTL_EL2: vcpu.emulated.cnthctl(), { vcpu.emulated.set_cnthctl(value); };
    CNTKCTL_EL12: vcpu.emulated.cntkctl_el12, { vcpu.emulated.cntkctl_el12 = value; };
    // The interrupt interface. What says how it is with L1's guest is for reading alone.
    ICC_SRE_EL2: ICC_SRE_EL2, {};
    ICH_VTR_EL2: ich::vtr(vcpu.vm.lr_count), { leave::<()>()?; };
    ICH_MISR_EL2: ich::misr_at_once(&L1Interface(&vcpu.vncr), vcpu.vm.lr_count)?, { leave::<()>()?; };
    ICH_ELRSR_EL2: elrsr(vcpu)?, { leave::<()>()?; };
    // What of the performance monitors is neither about a counter nor different for a guest.
    PMSELR_EL0: PMSELR_EL0.get(), { PMSELR_EL0.set(value); };
    PMUSERENR_EL0: PMUSERENR_EL0.get(), { PMUSERENR_EL0.set(value); };
    // L1's own translations, which under `TGE` have EL1's names too.
    TLBI_ALLE2IS: leave()?, { of_el2(tlbi::vmalle1is)?; };
    TLBI_VAE2IS: leave()?, { of_el2(|| tlbi::vae1is(value))?; };
    TLBI_VALE2IS: leave()?, { of_el2(|| tlbi::vale1is(value))?; };
    TLBI_VMALLE1: leave()?, { of_el1(vcpu, tlbi::vmalle1is)?; };
    TLBI_VMALLE1IS: leave()?, { of_el1(vcpu, tlbi::vmalle1is)?; };
    TLBI_VAE1IS: leave()?, { of_el1(vcpu, || tlbi::vae1is(value))?; };
    TLBI_ASIDE1IS: leave()?, { of_el1(vcpu, || tlbi::aside1is(value))?; };
    TLBI_VAAE1IS: leave()?, { of_el1(vcpu, || tlbi::vaae1is(value))?; };
    TLBI_VALE1IS: leave()?, { of_el1(vcpu, || tlbi::vale1is(value))?; };
    TLBI_VAALE1IS: leave()?, { of_el1(vcpu, || tlbi::vaale1is(value))?; };
    TLBI_RVAE1IS: leave()?, { of_el1(vcpu, || tlbi::range_vae1is(value))?; };
    TLBI_RVALE1IS: leave()?, { of_el1(vcpu, || tlbi::range_vale1is(value))?; };
    TLBI_RVAALE1IS: leave()?, { of_el1(vcpu, || tlbi::range_vaale1is(value))?; };
}

/// How many places there are: a power of two, and so many that one multiplication finds a place of its own for each.
pub const PLACES_MAX: usize = 128;

/// Where each is to be found, by the syndrome of its access.
struct Places {
    /// The syndrome by place, without direction and general register; 0 where nothing is.
    keys: [u32; PLACES_MAX],
    /// Spreads the keys so that no two have the same place.
    multiplier: u32,
}

static PLACES_IN_MEMORY: [u32; PLACES_MAX] = PLACES.keys;
const PLACES: Places = Places::find();

impl Places {
    /// Tries multipliers until one serves.
    const fn find() -> Self {
        const STEP: u32 = 0x9e37_79b8;
        let mut multiplier = 1_u32;
        loop {
            if let Some(keys) = Self::keys_by(multiplier) {
                return Self { keys, multiplier };
            }
            multiplier = multiplier.wrapping_add(STEP);
        }
    }

    /// The keys in the places that `multiplier` gives them; `None` if two have the same.
    const fn keys_by(multiplier: u32) -> Option<[u32; PLACES_MAX]> {
        let mut keys = [0; PLACES_MAX];
        let mut index = 0;
        while index < REGISTERS.len() {
            let key = Self::key(REGISTERS[index]);
            let place = place_of(key, multiplier);
            if keys[place] != 0 {
                return None;
            }
            keys[place] = key;
            index += 1;
        }
        Some(keys)
    }

    /// The syndrome of an access to `reg`, as far as it says to what.
    const fn key(reg: SysReg) -> u32 {
        let access = SysRegTrap {
            reg,
            rt: 0,
            is_read: false,
        };
        Esr::new(ec::SYS64, access.encode()).0 as u32
    }

    const fn of(&self, reg: SysReg) -> usize {
        place_of(Self::key(reg), self.multiplier)
    }
}

#[inline(always)]
const fn place_of(key: u32, multiplier: u32) -> usize {
    (key.wrapping_mul(multiplier) >> (u32::BITS - PLACES_MAX.ilog2())) as usize
}

/// What is at `place`.
pub fn register_at(place: usize) -> Option<SysReg> {
    REGISTERS.iter().copied().find(|reg| PLACES.of(*reg) == place)
}

/// Emulates the access of L1's that has this syndrome, if it is one of these, and gives its place, under which it is to be
/// counted.
#[inline(always)]
pub fn access(vcpu: &mut VCpu, frame: &mut GuestFrame, esr: Esr) -> Option<usize> {
    /// Direction and general register.
    const OPERANDS: u32 = 0x3e1;
    let key = esr.0 as u32 & !OPERANDS;
    let place = place_of(key, PLACES.multiplier);
    if PLACES_IN_MEMORY.get(place) != Some(&key) {
        return None;
    }
    let rt = esr.rt();
    if esr.is_read() {
        let value = read(vcpu, place)?;
        frame.set(rt, value);
    } else {
        write(vcpu, place, frame.get(rt))?;
    }
    frame.skip_instruction();
    Some(place)
}

/// Leaves an access to [`super`].
const fn leave<T>() -> Option<T> {
    None
}

/// Invalidates something of L1's own, for all CPUs: a guest cannot tell. It is left while it is to be traced, and done once
/// more where something in software was made of L1's tables.
#[inline(always)]
fn of_el2(maintenance: impl FnOnce()) -> Option<()> {
    if trace::is_on() {
        return None;
    }
    maintenance();
    barrier::dsb_ish();
    (!l2_page::is_any_open()).then_some(())
}

/// The same by EL1's name, which means its guest's unless L1 is a host.
#[inline(always)]
fn of_el1(vcpu: &VCpu, maintenance: impl FnOnce()) -> Option<()> {
    if !exception::is_host(vcpu.vncr.get(vncr::HCR_EL2), vcpu.vm.is_e2h0) {
        return None;
    }
    of_el2(maintenance)
}

/// Writes `MDCR_EL2`, if only traps of L1's guest change. What is about counters is left.
#[inline(always)]
fn set_traps(mdcr: &mut u64, value: u64) -> Option<()> {
    if (*mdcr ^ value) & !merge::MDCR_FROM_L1 != 0 {
        return None;
    }
    *mdcr = value;
    Some(())
}

/// Writes the control register of a timer of L1's guest. One that is on, or comes on, is left: an interrupt may hang on it.
#[inline(always)]
fn set_control(page: VncrPage, offset: usize, value: u64) -> Option<()> {
    if (page.get(offset) | value) & ENABLE != 0 && page.get(offset) != value & WRITABLE {
        return None;
    }
    page.set(offset, value & WRITABLE);
    Some(())
}

/// The same with a compare value, which means nothing while the timer is off.
#[inline(always)]
fn set_compare_value(page: VncrPage, control: usize, offset: usize, value: u64) -> Option<()> {
    if page.get(control) & ENABLE != 0 && page.get(offset) != value {
        return None;
    }
    page.set(offset, value);
    Some(())
}

/// The list registers of L1's guest that are free. Where there are more than four, that takes a while.
#[inline(always)]
fn elrsr(vcpu: &VCpu) -> Option<u64> {
    let page = L1Interface(&vcpu.vncr);
    let is_free = |number| u64::from(ich::is_free(page.get(IchRegister::Lr(number))));
    let count = vcpu.vm.lr_count;
    let four = is_free(0) | is_free(1) << 1 | is_free(2) << 2 | is_free(3) << 3;
    (count <= 4).then_some(four & ((1 << count) - 1))
}
