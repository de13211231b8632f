//! gnomon: a hypervisor for the people who write and test nested virtualisation on AArch64.
//!
//! It boots at EL2, gives almost the whole machine to one Linux with KVM (L1) at virtual EL2, and lets that KVM run guests
//! of its own (L2) through shadow stage-2 tables. This file is the order of boot; what runs afterwards starts in `trap`.

#![no_std]
#![no_main]
#![expect(
    unsafe_code,
    reason = "boot takes the hardware into use; each use says why it is sound"
)]

extern crate alloc;

mod dma;
mod entry;
mod loader;

use alloc::boxed::Box;
use core::fmt;

use hyp::{
    arch::{features, percpu},
    dev, interrupts,
    layout::CPU_COUNT_MAX,
    mm::{self, CarveOut, frames, heap, phys, stage1},
    nested, psci,
    shadow_mmu::Mmu,
    trace,
    vcpu::{VCpu, vncr::VncrPage},
    vm::Vm,
};
use machine::{Machine, Options};
use spin::Mutex;

use entry::secondary_entry_point;
use loader::Survey;

/// vCPUs waiting to be picked up by their CPUs.
static VCPUS: Mutex<[Option<&'static mut VCpu>; CPU_COUNT_MAX]> = Mutex::new([const { None }; CPU_COUNT_MAX]);

/// The boot CPU, from `boot/entry.S`: MMU on over the boot map, `.bss` clear; `device_tree` as the boot loader passed it.
extern "C" fn primary_main(device_tree: u64) -> ! {
    // SAFETY: the range behind the image is RAM by the boot protocol, and nothing has used it.
    unsafe { heap::init(mm::heap_range()) };
    let Survey {
        mut machine,
        carve_out,
        ram,
    } = loader::survey(device_tree).unwrap_or_else(|error| fail(None, &error));
    let options = Options::parse(&machine.options).unwrap_or_else(|error| fail(Some(&machine), &error));
    if let Err(missing) = features::check(options.plain_nv) {
        fail(Some(&machine), &missing);
    }
    if let Err(error) = machine.set_console(!options.no_console) {
        fail(Some(&machine), &error);
    }
    let virtio = dma::virtio_devices(&machine);
    let mut drives = [&machine.gicd, &machine.gicr, &machine.l1_uart.registers]
        .map(Clone::clone)
        .to_vec();
    drives.extend(machine.debug_uart.iter().map(|uart| uart.registers.clone()));
    drives.extend(machine.smmu.iter().map(|smmu| smmu.registers.clone()));
    if let Err(error) = stage1::activate(&machine.ram, &drives) {
        fail(Some(&machine), &error);
    }
    let uart = machine.debug_uart.as_ref().unwrap_or(&machine.l1_uart);
    // SAFETY: the device tree says what it is, `activate` mapped it, and L1 does not get it while it is in use.
    unsafe { dev::uart::init(uart.registers.start) };
    log::set_max_level(options.log);
    // SAFETY: the carve-out is gnomon's; this part of it is used for nothing else.
    unsafe { frames::init(carve_out.frames.clone()) };
    greet(&machine, &carve_out);

    phys::set_guest_ram(&ram);
    let smmu = dma::confine(&mut machine, &ram, options.refuse_dma, &virtio)
        .unwrap_or_else(|error| fail(Some(&machine), &error));
    if options.e2h0 {
        trace::close_short_ways();
    }
    let mmu = Mmu::new(&ram, &machine.l1_devices()).unwrap_or_else(|error| fail(Some(&machine), &error));
    let entry = loader::load(&machine, &ram).unwrap_or_else(|error| fail(Some(&machine), &error));

    // SAFETY: the device tree says where it is, `activate` mapped it, and L1 gets an emulated one instead.
    let gic = unsafe { dev::gicv3::Gic::new(&machine.gicd, &machine.gicr, &machine.cpus) };
    let vm = Vm::create(machine, gic, smmu, mmu, &options);
    create_vcpus(vm);
    frames::note_baseline();
    join(0);
    start_secondaries(vm);
    log::info!(
        "L1 starts at {:#x}, device tree at {:#x}, {} ticks after reset",
        entry.pc,
        entry.device_tree,
        nested::timer::now(),
    );
    if let Some(uart) = &vm.machine.debug_uart {
        console::init();
        vm.gic.set_route(uart.intid, 0);
        vm.gic.set_enabled(uart.intid, true);
    } else {
        dev::uart::leave();
    }
    dev::smmu::listen(vm);

    if vm.power[0].switch_on(entry.pc, entry.device_tree).is_err() {
        panic!("the boot CPU is on before it was switched on");
    }
    psci::run_vcpu(0)
}

/// The other CPUs, from `boot/entry.S`, on the final map.
extern "C" fn secondary_main(cpu: usize) -> ! {
    stage1::forbid_writable_code();
    join(cpu);
    psci::run_vcpu(cpu)
}

/// Makes CPU `cpu`, the one this runs on, ready for guests.
fn join(cpu: usize) {
    let Some(vcpu) = VCPUS.lock().get_mut(cpu).and_then(Option::take) else {
        panic!("CPU {cpu} has no vCPU waiting for it");
    };
    vcpu.vm.gic.init_cpu(cpu, interrupts::PPIS);
    percpu::install(vcpu);
}

fn create_vcpus(vm: &'static Vm) {
    let mut vcpus = VCPUS.lock();
    for (cpu, slot) in vcpus.iter_mut().enumerate().take(vm.machine.cpus.len()) {
        let page = VncrPage::new(cpu).unwrap_or_else(|| fail(Some(&vm.machine), &"no memory for the vCPUs"));
        *slot = Some(Box::leak(Box::new(VCpu::new(cpu, vm, page))));
    }
}

fn start_secondaries(vm: &Vm) {
    for (cpu, affinity) in vm.machine.cpus.iter().enumerate().skip(1) {
        if !vm.gic.has_cpu(cpu) {
            fail(
                Some(&vm.machine),
                &format_args!("CPU {cpu} has no redistributor in the GIC"),
            );
        }
        if let Err(error) = psci::start_cpu(*affinity, secondary_entry_point(), cpu) {
            fail(Some(&vm.machine), &format_args!("CPU {cpu} does not start: {error}"));
        }
    }
}

fn greet(machine: &Machine, carve_out: &CarveOut) {
    let ram: u64 = machine.ram.iter().map(|bank| bank.end - bank.start).sum();
    let (_, pages) = frames::usage();
    log::info!(
        "gnomon {}: {} CPUs, {} MiB of RAM",
        env!("CARGO_PKG_VERSION"),
        machine.cpus.len(),
        ram >> 20
    );
    log::info!(
        "carve-out {:#x}-{:#x}, {pages} table pages",
        carve_out.whole.start,
        carve_out.whole.end,
    );
}

/// Ends a boot that cannot go on: one line on both UARTs, and the machine off.
fn fail(machine: Option<&Machine>, reason: &dyn fmt::Display) -> ! {
    /// The first UART of QEMU's virt board, for when not even the device tree can be read.
    const UART_OF_VIRT: u64 = 0x0900_0000;
    let bases = match machine {
        Some(machine) => {
            let debug_uart = machine.debug_uart.as_ref();
            [
                machine.l1_uart.registers.start,
                debug_uart.map_or(0, |uart| uart.registers.start),
            ]
        }
        None => [UART_OF_VIRT, 0],
    };
    for base in bases {
        use fmt::Write;
        // SAFETY: both maps cover the UARTs, and L1 does not run.
        if let Some(mut uart) = unsafe { dev::uart::borrow(base) } {
            let _ = writeln!(uart, "gnomon: error: {reason}");
        }
    }
    psci::power_off()
}
