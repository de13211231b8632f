//! A guest that is a Linux, whose only program is this one. If it begins at EL2, it is a hypervisor.
//!
//! The ramdisk has its kernel as `/kernel` and its ramdisk as `/ramdisk`. The guest has an interrupt controller in the kernel,
//! and a UART that can only be written to: its console, which is ours. Each of its CPUs is a thread; it ends on the first one.

use core::ffi::CStr;
use core::fmt::{self, Write};

use crate::guest::{GICD_IPA, GICR_IPA};
use crate::kvm::{Error, Event, Kvm, Vcpu};
use crate::out::{print_bytes, say};
use crate::sys::{self, Errno, Mapping};
use crate::tree::Tree;

/// The most CPUs that it may have.
pub(crate) const CPUS_MAX: usize = 4;

const RAM_IPA: u64 = 0x4000_0000;
const RAM_BYTES: usize = 256 << 20;
/// With room for a guest of its own.
const HYPERVISOR_RAM_BYTES: usize = 768 << 20;
/// Where things are in it: the kernel from a 2 MiB boundary on, with room for what it has no bytes for.
const KERNEL_AT: usize = 0;
const TREE_AT: usize = 128 << 20;
const RAMDISK_AT: usize = TREE_AT + (2 << 20);
/// A PL011.
const UART_IPA: u64 = 0x0900_0000;

/// Warnings are printed, and what a program writes to the kernel's log is one.
const COMMAND_LINE: &str = "earlycon=pl011,0x9000000 keep_bootcon panic=-1 loglevel=5 -- log";

/// A guest to boot.
pub(crate) struct Guest<'a> {
    /// Whether it begins at EL2, or at EL1.
    pub(crate) has_el2: bool,
    pub(crate) cpu_count: u32,
    /// The arguments of its program.
    pub(crate) words: &'a [&'a str],
}

impl Guest<'_> {
    /// Boots it. Says whether it came to its end.
    pub(crate) fn run(&self) -> bool {
        say!("linux with EL{}", 1 + u32::from(self.has_el2));
        match self.boot() {
            Ok(()) => true,
            Err(error) => {
                say!("{error}");
                false
            }
        }
    }

    const fn ram_bytes(&self) -> usize {
        if self.has_el2 { HYPERVISOR_RAM_BYTES } else { RAM_BYTES }
    }

    fn boot(&self) -> Result<(), Error> {
        let refused = |what| move |errno| Error::Refused(what, errno);
        let ram = Mapping::private(self.ram_bytes()).map_err(refused("mmap"))?;
        load(c"/kernel", &ram, KERNEL_AT).map_err(refused("/kernel"))?;
        let ramdisk_bytes = load(c"/ramdisk", &ram, RAMDISK_AT).map_err(refused("/ramdisk"))?;
        ram.copy_in(TREE_AT, self.describe(ramdisk_bytes).finish());
        let kvm = Kvm::open()?;
        let vm = kvm.bare_vm(40, self.has_el2)?;
        let mut others = [const { None }; CPUS_MAX];
        for (number, place) in others.iter_mut().enumerate().take(self.cpu_count as usize).skip(1) {
            *place = Some(kvm.add_vcpu(&vm, number, self.has_el2)?);
        }
        vm.add_gic()?;
        vm.set_region(0, 0, RAM_IPA, ram.address(), self.ram_bytes())?;
        vm.vcpu.begin_at(RAM_IPA + KERNEL_AT as u64, RAM_IPA + TREE_AT as u64)?;
        for vcpu in others.into_iter().flatten() {
            sys::spawn(move || say!("another CPU ended: {:?}", serve(&vcpu))).map_err(refused("clone"))?;
        }
        let end = serve(&vm.vcpu);
        // The threads of other CPUs keep the VM: its memory stays, or the kernel would take it out of the VM's tables first.
        core::mem::forget(ram);
        end
    }
    /// The guest's device tree.
    fn describe(&self, ramdisk_bytes: usize) -> Tree {
        const fn pair(value: u64) -> [u32; 2] {
            [(value >> 32) as u32, value as u32]
        }
        let mut arguments = Text {
            bytes: [0; 256],
            used: 0,
        };
        // What does not fit is left out.
        let _ = arguments.write_str(COMMAND_LINE);
        for word in self.words {
            let _ = write!(arguments, " {word}");
        }
        let ramdisk = RAM_IPA + RAMDISK_AT as u64;
        let mut tree = Tree::new();
        tree.begin("");
        tree.cells("#address-cells", [2]);
        tree.cells("#size-cells", [2]);
        tree.cells("interrupt-parent", [1]);
        tree.string("compatible", c"linux,dummy-virt");
        tree.begin("chosen");
        tree.property("bootargs", &arguments.bytes[..=arguments.used]);
        tree.cells("linux,initrd-start", pair(ramdisk));
        tree.cells("linux,initrd-end", pair(ramdisk + ramdisk_bytes as u64));
        tree.end();
        tree.begin("memory@40000000");
        tree.string("device_type", c"memory");
        tree.cells("reg", [0, RAM_IPA as u32, 0, self.ram_bytes() as u32]);
        tree.end();
        tree.begin("cpus");
        tree.cells("#address-cells", [1]);
        tree.cells("#size-cells", [0]);
        for (number, name) in (0..self.cpu_count).zip(["cpu@0", "cpu@1", "cpu@2", "cpu@3"]) {
            tree.begin(name);
            tree.string("device_type", c"cpu");
            tree.string("compatible", c"arm,armv8");
            tree.string("enable-method", c"psci");
            tree.cells("reg", [number]);
            tree.end();
        }
        tree.end();
        tree.begin("psci");
        tree.string("compatible", c"arm,psci-1.0");
        // Its EL2, or what is above its EL1.
        tree.string("method", if self.has_el2 { c"smc" } else { c"hvc" });
        tree.end();
        tree.begin("intc@8000000");
        tree.string("compatible", c"arm,gic-v3");
        tree.cells("#interrupt-cells", [3]);
        tree.property("interrupt-controller", &[]);
        tree.cells("phandle", [1]);
        tree.cells(
            "reg",
            [
                0,
                GICD_IPA as u32,
                0,
                0x1_0000,
                0,
                GICR_IPA as u32,
                0,
                self.cpu_count * 0x2_0000,
            ],
        );
        // The maintenance interrupt: PPI 9, level-sensitive.
        tree.cells("interrupts", [1, 9, 4]);
        tree.end();
        tree.begin("timer");
        tree.string("compatible", c"arm,armv8-timer");
        // Secure and non-secure physical, virtual, those of EL2.
        tree.cells("interrupts", [1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4, 1, 12, 4]);
        tree.property("always-on", &[]);
        tree.end();
        tree.end();
        tree
    }
}

/// Runs a CPU to the machine's end.
fn serve(vcpu: &Vcpu) -> Result<(), Error> {
    let mut line = Console::new();
    loop {
        match vcpu.next_event()? {
            Event::Store {
                address: UART_IPA,
                value,
            } => line.put(value as u8),
            Event::Load | Event::Store { .. } => {}
            Event::End => return Ok(()),
        }
    }
}

/// What the guest prints, a line at a time.
struct Console {
    bytes: [u8; 256],
    used: usize,
}

impl Console {
    const fn new() -> Self {
        Self {
            bytes: [0; 256],
            used: 0,
        }
    }

    fn put(&mut self, byte: u8) {
        self.bytes[self.used] = byte;
        self.used += 1;
        if byte == b'\n' || self.used == self.bytes.len() {
            print_bytes(&self.bytes[..self.used]);
            self.used = 0;
        }
    }
}

/// Reads a file into memory; returns its length.
fn load(path: &CStr, ram: &Mapping, at: usize) -> Result<usize, Errno> {
    let file = sys::open(path, sys::READ_ONLY)?;
    let mut piece = [0; 16 << 10];
    let mut length = 0;
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(length),
            count => {
                ram.copy_in(at + length, &piece[..count]);
                length += count;
            }
        }
    }
}

/// Text that ends with a zero byte.
struct Text {
    bytes: [u8; 256],
    used: usize,
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let place = self.bytes.get_mut(self.used..self.used + text.len());
        place.ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.used += text.len();
        Ok(())
    }
}
