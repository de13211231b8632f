//! Interrupts: from the physical GIC to L1's emulated one, and through list registers to the guest that runs.
//!
//! In the host context the hardware's virtual interface is L1's, loaded from the emulated GIC. In the nested context it
//! is loaded from L1's `ICH_*` registers, provided L1 takes interrupts itself (`HCR_EL2.IMO`), and an interrupt for L1
//! is an exception into virtual EL2.
//!
//! List registers stay in the hardware from one exit to the next. They are folded back only where something changed:
//! an interrupt arrived, L1 touched its distributor, or the context switches.

mod interface;

use ::trace::Event;
use syndrome::{regs::hcr_el2, vncr};
use vgic::{PhysicalGic, Ppis, SgiRegister, Signal, Vgic, VirtualInterface, hcr, ich, nested};

use crate::{
    arch::sysreg::*,
    console,
    dev::gicv3::Gic,
    nested::timer,
    shadow_mmu, trace,
    vcpu::{Context, VCpu, context::GuestFrame, inject},
};

pub use interface::{L1Interface, hardware_interface, lr_count};
use interface::{all_lrs, read_interface, write_interface};

/// The SGI that makes a CPU leave its guest and look around.
pub const KICK: u8 = 0;
/// Maintenance interrupt of the virtual interface; L1 sees its own under the same number.
const MAINTENANCE: u32 = 25;
/// The EL2 physical timer: the wake-up of [`timer::update_emulated`].
const EL2_TIMER: u32 = 26;
/// The performance monitors'.
const MONITORS: u32 = 23;
/// The EL1 virtual timer's physical interrupt.
const VIRTUAL_TIMER: u32 = 27;
/// The EL2 virtual timer: the console's, on CPU 0.
const CONSOLE_TIMER: u32 = 28;
/// The EL1 physical timer's physical interrupt.
const PHYSICAL_TIMER: u32 = 30;
/// SGIs are below this.
const FIRST_PPI: u32 = 16;
/// PPIs are below this.
const FIRST_SPI: u32 = 32;

/// The private interrupts gnomon takes, as a mask for [`Gic::init_cpu`].
pub const PPIS: u32 =
    1 << MONITORS | 1 << MAINTENANCE | 1 << EL2_TIMER | 1 << VIRTUAL_TIMER | 1 << CONSOLE_TIMER | 1 << PHYSICAL_TIMER;

impl PhysicalGic for &Gic {
    fn set_enabled(&mut self, pintid: u32, enabled: bool) {
        Gic::set_enabled(self, pintid, enabled);
    }
    fn set_edge(&mut self, pintid: u32, edge: bool) {
        Gic::set_edge(self, pintid, edge);
    }
    fn set_route(&mut self, pintid: u32, cpu: usize) {
        Gic::set_route(self, pintid, cpu);
    }
    fn set_active(&mut self, cpu: usize, pintid: u32, active: bool) {
        Gic::set_active(self, cpu, pintid, active);
    }
    fn set_pending(&mut self, pintid: u32, pending: bool) {
        Gic::set_pending(self, pintid, pending);
    }
    fn is_pending(&self, cpu: usize, pintid: u32) -> bool {
        Gic::is_pending(self, cpu, pintid)
    }
    fn kick(&mut self, cpu: usize) {
        // This CPU looks at its interrupts on its way back to the guest anyway.
        if !self.is_this_cpu(cpu) {
            Gic::send_sgi(self, cpu, KICK);
        }
    }
}

/// The debug console's interrupts that were taken. They stay active, and quiet, until it has been served.
#[must_use]
pub struct ConsoleDue {
    is_uart: bool,
    is_timer: bool,
}

/// Takes every pending physical interrupt, and lets L1 have the CPU if one is for it while its guest runs.
#[inline(never)]
pub fn take(vcpu: &mut VCpu, frame: &mut GuestFrame) -> ConsoleDue {
    let mut due = ConsoleDue {
        is_uart: false,
        is_timer: false,
    };
    with_folded_vgic(vcpu, |vcpu, vgic, hw| {
        while let Some(intid) = hw.acknowledge() {
            trace::record(vcpu.cpu, || Event::Irq {
                intid,
                during: vcpu.context.into(),
            });
            match intid {
                CONSOLE_TIMER => due.is_timer = true,
                _ if is_of_debug_uart(vcpu, intid) => due.is_uart = true,
                // They are edges, so nothing keeps them up.
                _ if is_of_smmu(vcpu, intid) => {
                    hw.deactivate(intid);
                    console::call(vcpu.vm, vcpu.cpu);
                }
                _ => dispatch(vcpu, vgic, intid),
            }
        }
        timer::update_emulated(vcpu, vgic, hw);
    });
    if vcpu.is_nested_vif_loaded {
        // Until the guest goes on, its interface is as it has just been written back.
        vcpu.is_nested_vif_folded = true;
        interrupt_l1_if_due(vcpu, frame);
        vcpu.is_nested_vif_folded = false;
    }
    due
}

/// Whether `intid` is the interrupt of gnomon's own UART.
fn is_of_debug_uart(vcpu: &VCpu, intid: u32) -> bool {
    let uart = vcpu.vm.machine.debug_uart.as_ref();
    uart.is_some_and(|uart| uart.intid == intid)
}

/// Whether `intid` is an interrupt of the SMMU's that is enabled.
fn is_of_smmu(vcpu: &VCpu, intid: u32) -> bool {
    let smmu = vcpu.vm.machine.smmu.as_ref();
    intid >= FIRST_SPI && smmu.is_ok_and(|smmu| intid == smmu.events || intid == smmu.errors)
}

/// What a CPU does for gnomon itself before it goes back to its guest: serves the console, attends to it if called, and
/// gives up shadows that nobody uses. `frame` is the guest's, `None` while the vCPU is off.
pub fn do_own_work(vcpu: &mut VCpu, frame: Option<&mut GuestFrame>, due: ConsoleDue) {
    if due.is_uart || due.is_timer {
        console::receive(vcpu);
    }
    if due.is_uart
        && let Some(uart) = &vcpu.vm.machine.debug_uart
    {
        vcpu.vm.gic.deactivate(uart.intid);
    }
    if due.is_timer {
        vcpu.vm.gic.deactivate(CONSOLE_TIMER);
    }
    console::attend_if_called(vcpu, frame);
    sweep_shadows_if_due(vcpu);
}

/// At most once a second, and only while CPU 0 takes interrupts, shadows that L1 is done with are given up.
fn sweep_shadows_if_due(vcpu: &mut VCpu) {
    let now = timer::now();
    if vcpu.cpu != 0 || now < vcpu.next_sweep {
        return;
    }
    let frequency = CNTFRQ_EL0.get();
    vcpu.next_sweep = now.saturating_add(frequency);
    shadow_mmu::sweep(vcpu.vm, now, frequency);
}

/// What one physical interrupt means. It is active, with its priority dropped.
fn dispatch(vcpu: &mut VCpu, vgic: &mut Vgic, intid: u32) {
    let vm = vcpu.vm;
    let gic = &vm.gic;
    let mut hw = gic;
    let cpu = vcpu.cpu;
    match intid {
        // A kick only makes the CPU come here.
        0..FIRST_PPI => gic.deactivate(intid),
        // Its line stays up until it is armed anew, after the emulated timers are recomputed.
        EL2_TIMER => {
            timer::disarm();
            gic.deactivate(intid);
        }
        MAINTENANCE => take_maintenance(vcpu),
        MONITORS => vgic.forward_ppi(cpu, MONITORS, intid, &mut hw),
        VIRTUAL_TIMER => vgic.forward_ppi(cpu, timer::hardware_intid(vcpu.context, false), intid, &mut hw),
        PHYSICAL_TIMER => vgic.forward_ppi(cpu, timer::hardware_intid(vcpu.context, true), intid, &mut hw),
        FIRST_SPI.. => vgic.forward_spi(intid, &mut hw),
        _ => gic.deactivate(intid),
    }
}

/// The hardware's maintenance interrupt. Its line stays up as long as the interface says so.
///
/// L1's own interface was just folded and is filled anew afterwards, so it can be off for the moment. The one of L1's
/// guest is L1's to change: the interrupt stays active, and quiet, until the guest is left.
fn take_maintenance(vcpu: &mut VCpu) {
    if vcpu.is_nested_vif_loaded {
        vcpu.is_maintenance_active = true;
    } else {
        ICH_HCR_EL2.set(0);
        vcpu.vm.gic.deactivate(MAINTENANCE);
    }
}

/// Folds L1's list registers, if they are in the hardware, back into the emulated GIC, and recomputes L1's maintenance
/// interrupt when its guest's are.
fn fold(vcpu: &mut VCpu, vgic: &mut Vgic, hw: &mut &Gic) {
    if vcpu.is_nested_vif_loaded {
        if !vcpu.is_nested_vif_folded {
            write_back_nested(vcpu, vgic, hw);
        }
    } else {
        take_l1_interface(vcpu, vgic, hw);
    }
}

/// Takes L1's interface out of the hardware.
fn take_l1_interface(vcpu: &mut VCpu, vgic: &mut Vgic, hw: &mut &Gic) {
    read_interface(&mut vcpu.vif, vgic.used(vcpu.cpu));
    vgic.save(vcpu.cpu, &mut vcpu.vif, hw);
}

/// Puts L1's interface into the hardware.
fn put_l1_interface(vcpu: &mut VCpu, vgic: &mut Vgic, hw: &mut &Gic) {
    vgic.load(vcpu.cpu, &mut vcpu.vif, hw);
    write_interface(&vcpu.vif, vgic.used(vcpu.cpu), &mut vcpu.lrs_in_hardware);
}

/// The inverse of [`fold`], with the maintenance interrupt brought up to date.
fn refill(vcpu: &mut VCpu, vgic: &mut Vgic, hw: &mut &Gic) {
    update_maintenance(vcpu, vgic, hw);
    if !vcpu.is_nested_vif_loaded {
        put_l1_interface(vcpu, vgic, hw);
    }
}

/// Runs `f` on the emulated GIC with this vCPU's list registers folded in, and loads them again afterwards.
fn with_folded_vgic<T>(vcpu: &mut VCpu, f: impl FnOnce(&mut VCpu, &mut Vgic, &mut &Gic) -> T) -> T {
    let mut hw = &vcpu.vm.gic;
    let mut vgic = vcpu.vm.vgic.lock();
    fold(vcpu, &mut vgic, &mut hw);
    let result = f(vcpu, &mut vgic, &mut hw);
    refill(vcpu, &mut vgic, &mut hw);
    result
}

/// The same for an `f` that does without the rest of the interface: where L1's is in the hardware and empty, it stays there,
/// unless `f` finds something for it.
pub fn with_vgic<T>(vcpu: &mut VCpu, f: impl FnOnce(&mut VCpu, &mut Vgic, &mut &Gic) -> T) -> T {
    let mut hw = &vcpu.vm.gic;
    let mut vgic = vcpu.vm.vgic.lock();
    let stays = !vcpu.is_nested_vif_loaded && vgic.is_settled(vcpu.cpu);
    if !stays {
        fold(vcpu, &mut vgic, &mut hw);
    }
    let result = f(vcpu, &mut vgic, &mut hw);
    update_maintenance(vcpu, &mut vgic, &mut hw);
    if !vcpu.is_nested_vif_loaded {
        return_l1_interface(vcpu, &mut vgic, &mut hw, stays);
    }
    result
}

/// Puts L1's interface into the hardware, where it may have stayed, empty. Then that is little or nothing: what L1 has
/// ended meanwhile (`EOIcount`) was in no list register because it was nowhere.
#[inline(always)]
fn return_l1_interface(vcpu: &mut VCpu, vgic: &mut Vgic, hw: &mut &Gic, has_stayed: bool) {
    if has_stayed {
        if vgic.is_settled(vcpu.cpu) {
            return;
        }
        read_interface(&mut vcpu.vif, 0);
        vcpu.vif.hcr &= !hcr::EOICOUNT;
    }
    put_l1_interface(vcpu, vgic, hw);
}

/// Recomputes the lines of the emulated timers, after L1 changed one of them in the host context.
#[inline(never)]
pub fn timers_changed(vcpu: &mut VCpu) {
    let high = vcpu.vm.vgic.lock().high_ppis(vcpu.cpu);
    let is_done = timer::arm_if_low(vcpu, vcpu.context, high);
    if !is_done {
        with_vgic(vcpu, |vcpu, vgic, hw| timer::update_emulated(vcpu, vgic, hw));
    }
}

/// Whether an interrupt would be signalled to L1, in the host context, if it had interrupts unmasked.
#[inline(never)]
pub fn is_pending_for_l1(vcpu: &mut VCpu) -> bool {
    with_folded_vgic(vcpu, |vcpu, vgic, hw| {
        timer::update_emulated(vcpu, vgic, hw);
        vgic.has_deliverable(vcpu.cpu, &vcpu.vif)
    })
}

/// Lets L1 have the CPU if an interrupt is pending for it while its guest runs with an interface of its own: an exception
/// into virtual EL2, where the hardware then signals the interrupt.
fn interrupt_l1_if_due(vcpu: &mut VCpu, frame: &mut GuestFrame) {
    let signal = vcpu.vm.vgic.lock().deliverable(vcpu.cpu, &vcpu.vif);
    if let Some(signal) = signal {
        inject::interrupt_to_vel2(vcpu, frame, signal);
    }
}

/// Part of [`enter_nested`](crate::nested::switch::enter_nested): the timers' interrupts change their meaning, and the
/// interface its owner, if L1 takes interrupts itself. Returns the signal that L1 is due all the same.
#[must_use]
#[inline(always)]
pub fn switch_to_nested(vcpu: &mut VCpu) -> Option<Signal> {
    let mut hw = &vcpu.vm.gic;
    let mut vgic = vcpu.vm.vgic.lock();
    // With TGE both of the others count as set.
    let hcr = vcpu.vncr.get(vncr::HCR_EL2);
    vcpu.is_nested_vif_loaded = hcr & (hcr_el2::IMO | hcr_el2::FMO) != 0 || hcr & hcr_el2::TGE != 0;
    let stays = !vcpu.is_nested_vif_loaded && vgic.is_settled(vcpu.cpu);
    if !stays {
        take_l1_interface(vcpu, &mut vgic, &mut hw);
    }
    let high = map_timers(vcpu.cpu, Context::Nested, &mut vgic, hw);
    let is_low = timer::arm_if_low(vcpu, Context::Nested, high);
    if !is_low {
        timer::change_lines(vcpu, &mut vgic, &mut hw);
    }
    if vcpu.is_nested_vif_loaded {
        load_nested(vcpu, &vgic);
        return vgic.deliverable(vcpu.cpu, &vcpu.vif);
    }
    // Otherwise nothing has changed.
    if !(stays && is_low) {
        return_l1_interface(vcpu, &mut vgic, &mut hw, stays);
    }
    None
}

/// Part of [`leave_nested`](crate::nested::switch::leave_nested): takes the guest's interface out of the hardware while the
/// context is still nested, has `leave` make it the host's, timers included, and loads L1's interface.
#[inline(always)]
pub fn switch_to_host(vcpu: &mut VCpu, leave: impl FnOnce(&mut VCpu)) {
    let mut hw = &vcpu.vm.gic;
    let mut vgic = vcpu.vm.vgic.lock();
    let stays = !vcpu.is_nested_vif_loaded && vgic.is_settled(vcpu.cpu);
    if !stays {
        fold(vcpu, &mut vgic, &mut hw);
    }
    leave(vcpu);
    if vcpu.is_maintenance_active {
        vcpu.is_maintenance_active = false;
        ICH_HCR_EL2.set(0);
        vcpu.vm.gic.deactivate(MAINTENANCE);
    }
    vcpu.is_nested_vif_loaded = false;
    let high = map_timers(vcpu.cpu, Context::Host, &mut vgic, hw);
    let are_timers_low = timer::arm_if_low(vcpu, Context::Host, high);
    if !are_timers_low {
        timer::change_lines(vcpu, &mut vgic, &mut hw);
    }
    let is_settled = high & 1 << MAINTENANCE == 0 && !is_maintenance_news(vcpu);
    if !is_settled {
        update_maintenance(vcpu, &mut vgic, &mut hw);
    }
    // If nothing has changed, what stays is right.
    if !(stays && are_timers_low && is_settled) {
        return_l1_interface(vcpu, &mut vgic, &mut hw, stays);
    }
}

/// Tells the emulated GIC which of L1's timer interrupts the hardware's two stand for in `context`, which has just been
/// entered, and makes the physical ones active exactly if those are: L1 has taken them and not finished. Gives the private
/// interrupts whose line is high, one bit each.
#[inline(always)]
fn map_timers(cpu: usize, context: Context, vgic: &mut Vgic, hw: &Gic) -> u32 {
    let other = match context {
        Context::Host => Context::Nested,
        Context::Nested => Context::Host,
    };
    let Ppis { in_use, high } = vgic.remap_ppis(cpu, timer_ppis(context), timer_ppis(other));
    let is_active = |is_physical| in_use >> timer::hardware_intid(context, is_physical) & 1;
    let active = is_active(true) << PHYSICAL_TIMER | is_active(false) << VIRTUAL_TIMER;
    hw.set_active_ppis(cpu, 1 << PHYSICAL_TIMER | 1 << VIRTUAL_TIMER, active);
    high
}

/// L1's interrupts that they stand for in a context, one bit each.
const fn timer_ppis(context: Context) -> u32 {
    1 << timer::hardware_intid(context, true) | 1 << timer::hardware_intid(context, false)
}

/// Loads the virtual interface of L1's guest from L1's `ICH_*` registers.
fn load_nested(vcpu: &mut VCpu, vgic: &Vgic) {
    let cpu = vcpu.cpu;
    let page = L1Interface(&vcpu.vncr);
    vcpu.nested_lrs = nested::load(&page, &mut vcpu.nested_vif, vcpu.vm.lr_count, |intid| {
        vgic.link(cpu, intid)
    });
    write_interface(&vcpu.nested_vif, vcpu.nested_lrs, &mut vcpu.lrs_in_hardware);
}

/// Brings L1's `ICH_*` registers up to date with the hardware, and deactivates what its guest finished.
#[inline(never)]
fn write_back_nested(vcpu: &mut VCpu, vgic: &mut Vgic, hw: &mut &Gic) {
    read_interface(&mut vcpu.nested_vif_now, vcpu.nested_lrs);
    let mut page = L1Interface(&vcpu.vncr);
    let (before, valid) = (&mut vcpu.nested_vif, &mut vcpu.nested_lrs);
    nested::save(before, valid, &vcpu.nested_vif_now, &mut page, |ended| {
        if ended.in_hardware {
            vgic.deactivated(vcpu.cpu, ended.intid, hw);
        } else {
            vgic.deactivate(vcpu.cpu, ended.intid, hw);
        }
    });
}

/// Whether L1's registers for its guest ask for the maintenance interrupt.
#[inline(always)]
fn is_maintenance_due(vcpu: &VCpu) -> bool {
    ich::maintenance_level(&L1Interface(&vcpu.vncr), vcpu.vm.lr_count)
}

/// The same, unless whoever has folded the interface has found out already.
#[inline(always)]
fn is_maintenance_news(vcpu: &VCpu) -> bool {
    let page = L1Interface(&vcpu.vncr);
    ich::is_on(&page) && !vcpu.is_nested_vif_folded && ich::maintenance_level(&page, vcpu.vm.lr_count)
}

#[inline(never)]
fn update_maintenance(vcpu: &VCpu, vgic: &mut Vgic, hw: &mut &Gic) {
    vgic.set_level(vcpu.cpu, MAINTENANCE, is_maintenance_due(vcpu), hw);
}

/// L1 writes one of the registers that generate SGIs.
#[inline(never)]
pub fn send_sgi(vcpu: &mut VCpu, register: SgiRegister, value: u64) {
    with_vgic(vcpu, |vcpu, vgic, hw| vgic.send_sgi(vcpu.cpu, register, value, hw));
}

/// L1 deactivates an interrupt that is in none of its list registers, so that the hardware could not.
#[inline(never)]
pub fn deactivate(vcpu: &mut VCpu, value: u64) {
    const INTID: u64 = 0xff_ffff;
    with_vgic(vcpu, |vcpu, vgic, hw| {
        vgic.deactivate(vcpu.cpu, (value & INTID) as u32, hw)
    });
}

/// Prepares a vCPU that is about to be switched on: its interface is off, its own lines are low. What its list registers
/// hold of the distributor's goes back there, and nothing pending or active is forgotten: that is L1's to clear.
#[inline(never)]
pub fn reset(vcpu: &mut VCpu) {
    let mut hw = &vcpu.vm.gic;
    let mut vgic = vcpu.vm.vgic.lock();
    vcpu.is_nested_vif_loaded = false;
    take_l1_interface(vcpu, &mut vgic, &mut hw);
    vcpu.vif = VirtualInterface::EMPTY;
    // Whatever is in there.
    vcpu.lrs_in_hardware = all_lrs(vcpu.vm.lr_count);
    for context in [Context::Host, Context::Nested] {
        for (pintid, is_physical) in [(PHYSICAL_TIMER, true), (VIRTUAL_TIMER, false)] {
            let intid = timer::hardware_intid(context, is_physical);
            vgic.name_ppi(vcpu.cpu, intid, pintid);
            // The last word that came of it was of before: it does not count any more.
            vgic.set_level(vcpu.cpu, intid, false, &mut hw);
        }
    }
    vgic.name_ppi(vcpu.cpu, MONITORS, MONITORS);
    vgic.set_level(vcpu.cpu, MONITORS, false, &mut hw);
    let _ = map_timers(vcpu.cpu, vcpu.context, &mut vgic, hw);
    timer::update_emulated(vcpu, &mut vgic, &mut hw);
    refill(vcpu, &mut vgic, &mut hw);
}
