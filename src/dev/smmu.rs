//! The SMMUv3 (IHI 0070) in front of the PCI devices: they reach L1's RAM, at its physical addresses, and nothing else.
//!
//! Whatever its stream, a transaction is translated by one table of stage 2 that maps L1's RAM to itself. The table is
//! built at boot and never changes: the host stage 2 does, while writes are logged, and devices have nothing to do with
//! that. Until it is in force, every transaction is aborted.
//!
//! L1 sees no SMMU. What a device was refused comes back as an event, by an interrupt on CPU 0, which the console serves.

use alloc::alloc::{Layout, alloc_zeroed};
use core::ops::Range;

use smmu::{Driver, Features, Hardware, Memory, Silent, Unfit, map_to_itself, probe};
use vmsa::Pa;

use crate::{
    arch::barrier,
    mm::{frames, phys},
    vm::Vm,
};

/// An SMMU that confines the PCI devices.
pub struct Smmu {
    registers: Registers,
    driver: Driver,
    /// The root of the table that devices use.
    pub root: Pa,
}

/// Where the registers are: an SMMUv3's, mapped as Device memory and used by nobody else.
struct Registers(u64);

impl Registers {
    fn at(&self, register: usize) -> usize {
        // They are at a multiple of 64 KiB.
        (self.0 as usize).wrapping_add(register)
    }
}

impl Hardware for Registers {
    fn read(&self, register: usize) -> u32 {
        // SAFETY: a register, by what `Registers` is and the offsets that the driver uses.
        unsafe { (self.at(register) as *const u32).read_volatile() }
    }

    fn write(&self, register: usize, value: u32) {
        // SAFETY: as for `read`; and by the driver's order the SMMU gives no device access to anything but L1's RAM.
        unsafe { (self.at(register) as *mut u32).write_volatile(value) }
    }

    fn write_long(&self, register: usize, value: u64) {
        // SAFETY: as for `write`.
        unsafe { (self.at(register) as *mut u64).write_volatile(value) }
    }

    fn load(&self, at: u64) -> u64 {
        phys::read(Pa::new(at))
    }

    fn store(&self, at: u64, word: u64) {
        phys::write(Pa::new(at), word);
    }

    fn barrier(&self) {
        barrier::dsb_sy();
    }

    fn page(&self) -> Option<u64> {
        frames::alloc().map(Pa::bits)
    }
}

/// Why devices are not confined by this SMMU.
pub enum SmmuError {
    /// It lacks something; nothing was changed.
    Unfit(Unfit),
    /// It does not do what it is told.
    Silent,
    /// There is no memory for its tables.
    NoMemory,
}

impl From<Silent> for SmmuError {
    fn from(_: Silent) -> Self {
        Self::Silent
    }
}

impl Smmu {
    /// Takes the SMMU with these registers over, and gives all streams up to `last_stream` the RAM `ram`.
    ///
    /// # Safety
    ///
    /// The registers are an SMMUv3's, mapped as Device memory and used by nobody else.
    pub unsafe fn new(registers: &Range<u64>, last_stream: u32, ram: &[Range<u64>]) -> Result<Self, SmmuError> {
        let registers = Registers(registers.start);
        let features = probe(&registers, last_stream).map_err(SmmuError::Unfit)?;
        // SAFETY: the layout's size is not zero.
        let memory = unsafe { alloc_zeroed(Layout::new::<Memory>()) } as u64;
        if memory == 0 {
            return Err(SmmuError::NoMemory);
        }
        let driver = Driver::new(&registers, features, memory)?;
        let root = registers.page().ok_or(SmmuError::NoMemory)?;
        for bank in ram {
            map_to_itself(&registers, root, bank).map_err(|_| SmmuError::NoMemory)?;
        }
        driver.start(&registers, root)?;
        Ok(Self {
            registers,
            driver,
            root: Pa::new(root),
        })
    }

    /// What it has.
    pub fn features(&self) -> Features {
        self.driver.features
    }

    /// Takes events off the queue, a bounded number, and notes global errors; gives the errors that are new. Called by one CPU
    /// at a time. The SMMU interrupts only for the first event of an empty queue: if more are there, it does so again.
    pub fn take_events(&self, vm: &Vm, f: &mut dyn FnMut([u64; 4])) -> u32 {
        let is_more = self.driver.take_events(&self.registers, f);
        if let (true, Ok(node)) = (is_more, &vm.machine.smmu) {
            vm.gic.set_pending(node.events, true);
        }
        self.driver.take_errors(&self.registers)
    }
}

/// Has the SMMU of `vm`, if there is one, interrupt CPU 0.
pub fn listen(vm: &Vm) {
    let (Some(_), Ok(node)) = (&vm.smmu, &vm.machine.smmu) else {
        return;
    };
    for intid in [node.events, node.errors] {
        vm.gic.set_edge(intid, true);
        vm.gic.set_route(intid, 0);
        vm.gic.set_enabled(intid, true);
    }
}
