//! `vgic`: interrupts of L1 and of its guests.
//!
//! First the virtual CPU interfaces of each vCPU with the list registers that are in use: L1's own, from the hardware or
//! as they were saved when its guest's took their place there; and the one that L1 has built for its guest. Then the
//! interrupts of L1's GIC that are not idle. While an interrupt is in a list register, that is what is right.

use core::fmt;

use vgic::{InterruptState, ListRegister, Vgic, VirtualInterface, ich, lr::State, vmcr};
use wire::Hex;

use super::{Entry, Output, Progress, Task};
use crate::{error::CommandError, inspect::Snapshot, round::Round, system::System};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "vgic",
    usage: "vgic [vcpuN]",
    help: "list registers of L1 and L2, and the interrupts of L1 that are not idle; of one vCPU, or of all",
    example: "vgic vcpu0",
    words: super::vcpu_names,
    run,
};

/// Where an interface in use is.
const HARDWARE: &str = "hardware";
/// Interrupts below this are private to a vCPU.
const FIRST_SPI: u32 = 32;
/// SPIs are below this.
const SPI_END: u32 = 1020;
/// Interrupts looked at while the lock is held.
const BATCH: u32 = 32;
/// Room for a batch.
const ROOM: usize = BATCH as usize * 100;

fn run<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    let vcpu = match arguments {
        [] => None,
        [name] => Some(super::find_vcpu(name, system)?),
        _ => return Err(CommandError::Usage(ENTRY.usage)),
    };
    Ok(Task::Vgic(Rows {
        vcpu,
        part: Part::Interfaces(Round::new(vcpu, system)),
    }))
}

/// The listing in progress.
pub struct Rows {
    /// One vCPU's, or those of all.
    vcpu: Option<usize>,
    part: Part,
}

enum Part {
    /// Interfaces and list registers.
    Interfaces(Round),
    /// SGIs and PPIs of this vCPU.
    Private(usize),
    /// SPIs from this one on.
    Shared(u32),
}

impl Rows {
    /// Prints the next part.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        match &mut self.part {
            Part::Interfaces(round) => {
                if round.step(system, out, print_interfaces)? == Progress::Done {
                    self.part = Part::Private(self.vcpu.unwrap_or(0));
                    out.heading(format_args!("{}", wire::Interrupt::HEADING))?;
                }
            }
            Part::Private(vcpu) => {
                let vcpu = *vcpu;
                print_interrupts(&*system.vgic()?, Some(vcpu), 0, out, |_| true)?;
                let is_last = self.vcpu.is_some() || vcpu + 1 == system.vm.machine.cpus.len();
                self.part = if is_last {
                    Part::Shared(FIRST_SPI)
                } else {
                    Part::Private(vcpu + 1)
                };
            }
            Part::Shared(next) => {
                while *next < SPI_END && out.room() >= ROOM {
                    let is_wanted = |state: &InterruptState| self.vcpu.is_none() || state.target == self.vcpu;
                    print_interrupts(&*system.vgic()?, None, *next, out, is_wanted)?;
                    *next += BATCH;
                }
                if *next >= SPI_END {
                    return Ok(Progress::Done);
                }
            }
        }
        Ok(Progress::More)
    }
}

/// Prints those of a batch of interrupts that are not idle and wanted; `vcpu` is whose, for private ones.
fn print_interrupts(
    vgic: &Vgic,
    vcpu: Option<usize>,
    from: u32,
    out: &mut Output,
    is_wanted: impl Fn(&InterruptState) -> bool,
) -> fmt::Result {
    for intid in from..from + BATCH {
        let Some(state) = vgic.interrupt(vcpu.unwrap_or(0), intid) else {
            continue;
        };
        if is_idle(&state) || !is_wanted(&state) {
            continue;
        }
        out.row(&wire::Interrupt {
            vcpu,
            intid,
            enabled: state.enabled,
            pending: state.pending,
            active: state.active,
            edge: state.edge,
            line: state.line,
            group: u8::from(state.group1),
            priority: state.priority,
            physical: state.linked,
            resident: state.resident,
            target: state.target,
        })?;
    }
    Ok(())
}

fn is_idle(state: &InterruptState) -> bool {
    !(state.enabled || state.pending || state.active || state.line)
        && state.linked.is_none()
        && state.resident.is_none()
}

/// The interfaces of one vCPU: L1's, then its guest's.
fn print_interfaces(snapshot: &Snapshot, out: &mut Output) -> fmt::Result {
    let guests = guest_interface(snapshot);
    let (l1, l2) = if snapshot.is_guest_interface {
        ((&snapshot.l1_interface, "saved"), (&snapshot.interface, HARDWARE))
    } else {
        ((&snapshot.interface, HARDWARE), (&guests, "page"))
    };
    print_interface(snapshot, "L1", l1, out)?;
    print_interface(snapshot, "L2", l2, out)
}

/// The interface that L1 has built for its guest, from the VNCR page.
fn guest_interface(snapshot: &Snapshot) -> VirtualInterface {
    use syndrome::vncr;
    let get = |offset| snapshot.at_offset(offset).unwrap_or(0);
    VirtualInterface {
        hcr: get(vncr::ICH_HCR_EL2),
        vmcr: get(vncr::ICH_VMCR_EL2),
        ap0r0: get(vncr::ICH_AP0R0_EL2),
        ap1r0: get(vncr::ICH_AP1R0_EL2),
        lr: core::array::from_fn(|index| get(vncr::ICH_LR0_EL2 + index * 8)),
    }
}

fn print_interface(
    snapshot: &Snapshot,
    whose: &'static str,
    (vif, place): (&VirtualInterface, &'static str),
    out: &mut Output,
) -> fmt::Result {
    out.row(&wire::Interface {
        vcpu: snapshot.cpu,
        whose,
        place,
        hcr: Hex(vif.hcr),
        vmcr: Hex(vif.vmcr),
        running: vif.running_priority(),
        mask: (vif.vmcr >> vmcr::VPMR_SHIFT) as u8,
        misr: Hex(ich::misr(vif, snapshot.lr_count)),
        is_maintenance_active: place == HARDWARE && snapshot.is_maintenance_active,
    })?;
    for (index, lr) in vif.lr.iter().take(snapshot.lr_count).enumerate() {
        let lr = ListRegister(*lr);
        if lr.is_valid() || lr.has_eoi() {
            print_list_register(snapshot.cpu, whose, index, lr, out)?;
        }
    }
    Ok(())
}

fn print_list_register(
    vcpu: usize,
    whose: &'static str,
    index: usize,
    lr: ListRegister,
    out: &mut Output,
) -> fmt::Result {
    out.row(&wire::ListRegister {
        vcpu,
        whose,
        index,
        state: match lr.state() {
            State::Inactive => "ended",
            State::Pending => "pending",
            State::Active => "active",
            State::PendingActive => "pending and active",
        },
        intid: lr.vintid(),
        physical: lr.is_hw().then(|| lr.pintid()),
        priority: lr.priority(),
        group: u8::from(lr.is_group1()),
        eoi: lr.has_eoi(),
        value: Hex(lr.0),
    })
}
