//! PSCI (DEN0022), in both directions: what L1 asks of gnomon, and what gnomon asks of the firmware.
//!
//! Every physical CPU stays on from boot to the end and runs gnomon's code; a vCPU that is off is a CPU that waits in
//! [`run_vcpu`] for somebody to switch its vCPU on.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use arm_psci::{AffinityInfo, EntryPoint, ErrorCode, Function, Mpidr, PsciFeature};
use smccc::{Smc, psci};

use crate::{
    arch::{barrier, percpu},
    boot, console, interrupts,
    nested::switch,
    vcpu::{Context, VCpu, context::GuestFrame},
    vm::Vm,
};

const SMCCC_VERSION: u32 = 0x8000_0000;
const SMCCC_ARCH_FEATURES: u32 = 0x8000_0001;
/// SMCCC 1.1.
const SMCCC_VERSION_1_1: u64 = 0x1_0001;
/// PSCI 1.1.
const PSCI_VERSION_1_1: u64 = 0x1_0001;
/// MIGRATE_INFO_TYPE: no trusted OS, so nothing to migrate.
const NO_TRUSTED_OS: u64 = 2;
const SUCCESS: u64 = 0;
const AFFINITY: u64 = 0xff_00ff_ffff;

const OFF: u8 = 0;
const ON_PENDING: u8 = 1;
const ON: u8 = 2;

/// The power state of one vCPU, and where it starts.
pub struct CpuPower {
    state: AtomicU8,
    entry: AtomicU64,
    argument: AtomicU64,
}

impl CpuPower {
    /// Off.
    pub(crate) const fn new() -> Self {
        Self {
            state: AtomicU8::new(OFF),
            entry: AtomicU64::new(0),
            argument: AtomicU64::new(0),
        }
    }

    /// Asks the CPU to start its vCPU at `entry` with `argument` in `x0`; fails unless it is off.
    pub fn switch_on(&self, entry: u64, argument: u64) -> Result<(), ErrorCode> {
        // Taken to "pending" only when the entry is in place, so that the target never sees a stale one; two callers
        // cannot both come from "off", because the exchange decides which of them owns the fields.
        match self
            .state
            .compare_exchange(OFF, CLAIMED, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => {}
            Err(ON) => return Err(ErrorCode::AlreadyOn),
            Err(_) => return Err(ErrorCode::OnPending),
        }
        self.entry.store(entry, Ordering::Relaxed);
        self.argument.store(argument, Ordering::Relaxed);
        self.state.store(ON_PENDING, Ordering::Release);
        Ok(())
    }

    /// Takes a request to start, if there is one.
    fn take_request(&self) -> Option<(u64, u64)> {
        if self.state.load(Ordering::Acquire) != ON_PENDING {
            return None;
        }
        let request = (
            self.entry.load(Ordering::Relaxed),
            self.argument.load(Ordering::Relaxed),
        );
        self.state.store(ON, Ordering::Release);
        Some(request)
    }

    fn switch_off(&self) {
        self.state.store(OFF, Ordering::Release);
    }

    fn affinity_info(&self) -> AffinityInfo {
        match self.state.load(Ordering::Acquire) {
            OFF => AffinityInfo::Off,
            ON => AffinityInfo::On,
            _ => AffinityInfo::OnPending,
        }
    }
}

/// Between off and pending, while the entry is being written.
const CLAIMED: u8 = 3;

/// Answers an SMC of L1's (or of its guest's, if L1 does not trap them), which the frame is already behind.
pub fn call(vcpu: &mut VCpu, frame: &mut GuestFrame) {
    let result = match frame.x[0] as u32 {
        SMCCC_VERSION => SMCCC_VERSION_1_1,
        SMCCC_ARCH_FEATURES => arch_features(frame.x[1] as u32),
        _ => {
            let arguments = [frame.x[0], frame.x[1], frame.x[2], frame.x[3]];
            match Function::try_from(&arguments) {
                Ok(function) => execute(vcpu, &function),
                Err(reason) => error(reason.into()),
            }
        }
    };
    frame.x[0] = result;
}

/// No workaround is offered: what the CPU needs, QEMU does not have.
fn arch_features(function: u32) -> u64 {
    match function {
        SMCCC_VERSION | SMCCC_ARCH_FEATURES => SUCCESS,
        _ => error(ErrorCode::NotSupported),
    }
}

fn error(code: ErrorCode) -> u64 {
    i64::from(i32::from(code)) as u64
}

fn execute(vcpu: &mut VCpu, function: &Function) -> u64 {
    match function {
        Function::Version => PSCI_VERSION_1_1,
        Function::Features { psci_func_id } => features(psci_func_id),
        Function::MigrateInfoType => NO_TRUSTED_OS,
        Function::CpuOn { target_cpu, entry } => cpu_on(vcpu.vm, *target_cpu, *entry),
        Function::CpuOff => cpu_off(vcpu),
        Function::AffinityInfo {
            mpidr,
            lowest_affinity_level: 0,
        } => match find(vcpu.vm, *mpidr) {
            Some(cpu) => vcpu.vm.power[cpu].affinity_info() as u64,
            None => error(ErrorCode::InvalidParameters),
        },
        Function::AffinityInfo { .. } => error(ErrorCode::InvalidParameters),
        Function::CpuSuspend { .. } => suspend(vcpu),
        Function::SystemOff => end("L1 powered off"),
        Function::SystemReset => reset("L1 reset"),
        _ => error(ErrorCode::NotSupported),
    }
}

fn features(feature: &PsciFeature) -> u64 {
    use arm_psci::FunctionId::*;
    let is_supported = match feature {
        PsciFeature::SmcccVersion => true,
        PsciFeature::PsciFunction(id) => matches!(
            id,
            PsciVersion
                | PsciFeatures
                | CpuOn32
                | CpuOn64
                | CpuOff
                | CpuSuspend32
                | CpuSuspend64
                | AffinityInfo32
                | AffinityInfo64
                | MigrateInfoType
                | SystemOff
                | SystemReset
        ),
    };
    if is_supported {
        SUCCESS
    } else {
        error(ErrorCode::NotSupported)
    }
}

fn find(vm: &Vm, mpidr: Mpidr) -> Option<usize> {
    let wanted = u64::from(mpidr.aff3.unwrap_or(0)) << 32
        | u64::from(mpidr.aff2) << 16
        | u64::from(mpidr.aff1) << 8
        | u64::from(mpidr.aff0);
    vm.machine
        .cpus
        .iter()
        .position(|affinity| affinity & AFFINITY == wanted)
}

fn cpu_on(vm: &Vm, target: Mpidr, entry: EntryPoint) -> u64 {
    let Some(cpu) = find(vm, target) else {
        return error(ErrorCode::InvalidParameters);
    };
    match vm.power[cpu].switch_on(entry.entry_point_address(), entry.context_id()) {
        Ok(()) => {
            vm.gic.send_sgi(cpu, interrupts::KICK);
            SUCCESS
        }
        Err(code) => error(code),
    }
}

/// Every state is a standby state: nothing is lost, and any interrupt ends it. A virtual one is no wake-up event at EL2,
/// so it must not be there before the CPU sleeps; later it comes by way of a physical one.
fn suspend(vcpu: &mut VCpu) -> u64 {
    if vcpu.is_nested_vif_loaded || !interrupts::is_pending_for_l1(vcpu) {
        barrier::wfi();
    }
    SUCCESS
}

fn cpu_off(vcpu: &mut VCpu) -> u64 {
    if vcpu.context == Context::Nested {
        switch::leave_nested(vcpu);
    }
    vcpu.vm.power[vcpu.cpu].switch_off();
    // SAFETY: the guest's frame and everything else on this CPU's stack are dead with the vCPU.
    unsafe { boot::restart(run_vcpu, vcpu.cpu) }
}

/// Waits until this CPU's vCPU is switched on, and runs it.
pub extern "C" fn run_vcpu(cpu: usize) -> ! {
    // SAFETY: an entry point: this CPU's stack is empty, so no other reference to the vCPU is alive.
    let vcpu = unsafe { percpu::vcpu() };
    let (entry, argument) = loop {
        if let Some(request) = vcpu.vm.power[cpu].take_request() {
            break request;
        }
        barrier::wfi();
        let due = interrupts::take(vcpu, &mut GuestFrame::default());
        interrupts::do_own_work(vcpu, None, due);
    };
    switch::reset(vcpu);
    interrupts::reset(vcpu);
    let mut frame = GuestFrame::default();
    frame.x[0] = argument;
    frame.elr = entry;
    frame.spsr = switch::RESET_PSTATE;
    // SAFETY: `cpu` is this CPU's number; the vCPU's registers and controls were just loaded.
    unsafe { boot::start_guest(&frame, cpu) }
}

/// Starts physical CPU `cpu` at `entry`, with its number in `x0`.
pub fn start_cpu(mpidr: u64, entry: u64, cpu: usize) -> Result<(), psci::Error> {
    psci::cpu_on::<Smc>(mpidr, entry, cpu as u64)
}

/// Says why and switches the machine off.
pub fn end(why: &str) -> ! {
    console::announce(format_args!("gnomon: {why}"));
    power_off()
}

/// Says why and restarts the machine, gnomon and L1 with it: L1 has devices of its own, and nothing else resets those.
pub fn reset(why: &str) -> ! {
    console::announce(format_args!("gnomon: {why}"));
    restart()
}

/// Restarts the machine.
pub fn restart() -> ! {
    let _ = psci::system_reset::<Smc>();
    park()
}

/// Switches the machine off.
pub fn power_off() -> ! {
    // It does not return; if it does, there is nothing left to do but wait.
    let _ = psci::system_off::<Smc>();
    park()
}

/// Stops this CPU for good.
pub fn park() -> ! {
    loop {
        barrier::wfi();
    }
}
