//! `/dev/kvm`: VMs, most of them with one vCPU, and the few requests that they need.

use core::fmt;

use crate::guest::{self, CODE_IPA, GICD_IPA, GICR_IPA, MAILBOX_IPA, Routine};
use crate::sys::{self, Errno, Fd, INTERRUPTED, Mapping};

/// Flags of a memory slot.
pub(crate) const LOG_DIRTY_PAGES: u32 = 1;
pub(crate) const READ_ONLY: u32 = 2;

/// The page size of everything here.
pub(crate) const PAGE_BYTES: usize = 4096;

/// The slot of the guest's code.
const CODE_SLOT: u32 = 31;

const CREATE_VM: u32 = 0xae01;
const CHECK_EXTENSION: u32 = 0xae03;
const GET_VCPU_MMAP_SIZE: u32 = 0xae04;
const CREATE_VCPU: u32 = 0xae41;
const GET_DIRTY_LOG: u32 = 0x4010_ae42;
const SET_USER_MEMORY_REGION: u32 = 0x4020_ae46;
const RUN: u32 = 0xae80;
const SET_ONE_REG: u32 = 0x4010_aeac;
const CREATE_DEVICE: u32 = 0xc00c_aee0;
const SET_DEVICE_ATTR: u32 = 0x4018_aee1;
const ARM_VCPU_INIT: u32 = 0x4020_aeae;
const ARM_PREFERRED_TARGET: u32 = 0x8020_aeaf;

const CAP_ARM_VM_IPA_SIZE: usize = 165;
/// What a vCPU is made with: switched off, with PSCI, beginning at EL2.
const VCPU_POWER_OFF: u32 = 1 << 0;
const VCPU_PSCI_0_2: u32 = 1 << 2;
const VCPU_HAS_EL2: u32 = 1 << 7;

const DEVICE_VGIC_V3: u32 = 7;
/// Groups of that device's attributes, and attributes in them.
const GIC_ADDRESS: u32 = 0;
const GIC_CONTROL: u32 = 4;
const GIC_ADDRESS_GICD: u64 = 2;
const GIC_ADDRESS_GICR: u64 = 3;
const GIC_CONTROL_INIT: u64 = 0;

/// A core register, by its place in `struct kvm_regs` in units of four bytes.
const CORE_REGISTER: u64 = 0x6030_0000_0010_0000;
const X0: u64 = 0;
const PC: u64 = 0x40;

const EXIT_MMIO: u32 = 6;
const EXIT_SYSTEM_EVENT: u32 = 24;

/// Offsets in `struct kvm_run`.
const RUN_EXIT_REASON: usize = 8;
const RUN_MMIO_ADDRESS: usize = 32;
const RUN_MMIO_DATA: usize = 40;
/// The length, and in the byte behind it whether it is a write.
const RUN_MMIO_LENGTH: usize = 48;

#[repr(C)]
struct MemoryRegion {
    slot: u32,
    flags: u32,
    guest_address: u64,
    bytes: u64,
    user_address: u64,
}

#[repr(C)]
struct VcpuInit {
    target: u32,
    features: [u32; 7],
}

#[repr(C)]
struct CreateDevice {
    kind: u32,
    fd: u32,
    flags: u32,
}

#[repr(C)]
struct DeviceAttribute {
    flags: u32,
    group: u32,
    attribute: u64,
    address: u64,
}

#[repr(C)]
struct OneReg {
    id: u64,
    address: u64,
}

#[repr(C)]
struct DirtyLog {
    slot: u32,
    padding: u32,
    bitmap: u64,
}

/// What a vCPU wants.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// A load where there is no memory, which gives 0.
    Load,
    /// A store there.
    Store { address: u64, value: u64 },
    /// The machine off, or a reset.
    End,
}

/// What went wrong with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Error {
    /// The kernel refused it.
    Refused(&'static str, Errno),
    /// `KVM_RUN` came back for another reason than the mailbox; with `struct kvm_run`'s reason, and address for MMIO.
    Exit { reason: u32, address: u64 },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Refused(what, errno) => write!(f, "{what}: {errno}"),
            Self::Exit { reason, address } => write!(f, "KVM_RUN ended with reason {reason} at {address:#x}"),
        }
    }
}

fn refused(what: &'static str) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::Refused(what, errno)
}

/// The device.
pub(crate) struct Kvm(Fd);

impl Kvm {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// When it is not there.
    pub(crate) fn open() -> Result<Self, Error> {
        sys::open(c"/dev/kvm", sys::READ_WRITE)
            .map(Self)
            .map_err(refused("/dev/kvm"))
    }

    /// The most IPA bits that a VM may have.
    pub(crate) fn ipa_bits_max(&self) -> u32 {
        match self.0.ioctl(CHECK_EXTENSION, CAP_ARM_VM_IPA_SIZE) {
            Ok(bits) if bits > 0 => bits.cast_unsigned(),
            _ => 40,
        }
    }

    /// A VM with that many IPA bits, with its code and one vCPU about to run.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(crate) fn vm(&self, ipa_bits: u32) -> Result<Vm, Error> {
        let vm = self.empty_vm(ipa_bits, 0)?;
        vm.set_region(CODE_SLOT, 0, CODE_IPA, vm.code.address(), PAGE_BYTES)?;
        vm.vcpu.set_core(PC, guest::entry())?;
        Ok(vm)
    }

    /// A VM with nothing in it but a vCPU, which begins at EL2 or at EL1. Others may follow, and then the interrupt controller.
    ///
    /// # Errors
    ///
    /// The kernel's: not every one has EL2 for guests.
    pub(crate) fn bare_vm(&self, ipa_bits: u32, has_el2: bool) -> Result<Vm, Error> {
        self.empty_vm(ipa_bits, if has_el2 { VCPU_HAS_EL2 } else { 0 })
    }

    fn empty_vm(&self, ipa_bits: u32, features: u32) -> Result<Vm, Error> {
        let vm = self
            .0
            .ioctl(CREATE_VM, ipa_bits as usize)
            .map(Fd::from)
            .map_err(refused("KVM_CREATE_VM"))?;
        let code = Mapping::private(PAGE_BYTES).map_err(refused("mmap"))?;
        code.copy_in(0, guest::code());
        let vcpu = self.vcpu(&vm, 0, features)?;
        Ok(Vm { vcpu, vm, code })
    }

    /// One more vCPU, which the guest has to switch on.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(crate) fn add_vcpu(&self, vm: &Vm, number: usize, has_el2: bool) -> Result<Vcpu, Error> {
        let features = VCPU_POWER_OFF | if has_el2 { VCPU_HAS_EL2 } else { 0 };
        self.vcpu(&vm.vm, number, features)
    }

    fn vcpu(&self, vm: &Fd, number: usize, features: u32) -> Result<Vcpu, Error> {
        let fd = vm
            .ioctl(CREATE_VCPU, number)
            .map(Fd::from)
            .map_err(refused("KVM_CREATE_VCPU"))?;
        let run_bytes = self.0.ioctl(GET_VCPU_MMAP_SIZE, 0).map_err(refused("mmap size"))?;
        let run = Mapping::file(&fd, 0, run_bytes as usize).map_err(refused("mmap of the vCPU"))?;
        let mut init = VcpuInit {
            target: 0,
            features: [0; 7],
        };
        vm.ioctl_with(ARM_PREFERRED_TARGET, &mut init)
            .map_err(refused("KVM_ARM_PREFERRED_TARGET"))?;
        init.features = [VCPU_PSCI_0_2 | features, 0, 0, 0, 0, 0, 0];
        fd.ioctl_with(ARM_VCPU_INIT, &mut init)
            .map_err(refused("KVM_ARM_VCPU_INIT"))?;
        Ok(Vcpu { fd, run })
    }
}

/// A vCPU.
pub(crate) struct Vcpu {
    fd: Fd,
    run: Mapping,
}

impl Vcpu {
    fn set_core(&self, register: u64, value: u64) -> Result<(), Error> {
        let mut one = OneReg {
            id: CORE_REGISTER | register,
            address: (&raw const value).expose_provenance() as u64,
        };
        self.fd
            .ioctl_with(SET_ONE_REG, &mut one)
            .map(drop)
            .map_err(refused("KVM_SET_ONE_REG"))
    }

    /// Has it begin at `pc` with `x0`.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(crate) fn begin_at(&self, pc: u64, x0: u64) -> Result<(), Error> {
        self.set_core(PC, pc)?;
        self.set_core(X0, x0)
    }

    /// Runs it until it wants something.
    ///
    /// # Errors
    ///
    /// The kernel's, and when it wants something that is not an [`Event`].
    pub(crate) fn next_event(&self) -> Result<Event, Error> {
        let (reason, address) = self.run()?;
        match reason {
            EXIT_MMIO if self.run.load(RUN_MMIO_LENGTH) >> 32 & 0xff != 0 => Ok(Event::Store {
                address,
                value: self.run.load(RUN_MMIO_DATA),
            }),
            EXIT_MMIO => {
                self.run.store(RUN_MMIO_DATA, 0);
                Ok(Event::Load)
            }
            EXIT_SYSTEM_EVENT => Ok(Event::End),
            _ => Err(Error::Exit { reason, address }),
        }
    }

    /// Why it came back, and the address for MMIO.
    fn run(&self) -> Result<(u32, u64), Error> {
        loop {
            match self.fd.ioctl(RUN, 0) {
                Ok(_) => break,
                Err(INTERRUPTED) => {}
                Err(errno) => return Err(Error::Refused("KVM_RUN", errno)),
            }
        }
        let reason = self.run.load(RUN_EXIT_REASON) as u32;
        Ok((reason, self.run.load(RUN_MMIO_ADDRESS)))
    }
}

/// A VM. Closed in this order: vCPU, VM, memory.
pub(crate) struct Vm {
    /// The first vCPU, which for most is the only one.
    pub(crate) vcpu: Vcpu,
    vm: Fd,
    code: Mapping,
}

impl Vm {
    /// The VM's descriptor, by which debugfs names it.
    pub(crate) const fn number(&self) -> i32 {
        self.vm.number()
    }

    /// Gives the guest a `GICv3` in the kernel. After the last vCPU, and before one has run.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(crate) fn add_gic(&self) -> Result<(), Error> {
        let mut create = CreateDevice {
            kind: DEVICE_VGIC_V3,
            fd: 0,
            flags: 0,
        };
        self.vm
            .ioctl_with(CREATE_DEVICE, &mut create)
            .map_err(refused("KVM_CREATE_DEVICE"))?;
        // The VM keeps the device when this is closed.
        let gic = Fd::from(create.fd.cast_signed());
        for (group, attribute, value) in [
            (GIC_ADDRESS, GIC_ADDRESS_GICD, GICD_IPA),
            (GIC_ADDRESS, GIC_ADDRESS_GICR, GICR_IPA),
            (GIC_CONTROL, GIC_CONTROL_INIT, 0),
        ] {
            let mut attribute = DeviceAttribute {
                flags: 0,
                group,
                attribute,
                address: (&raw const value).expose_provenance() as u64,
            };
            gic.ioctl_with(SET_DEVICE_ATTR, &mut attribute)
                .map_err(refused("KVM_SET_DEVICE_ATTR"))?;
        }
        Ok(())
    }

    /// Sets a memory slot; 0 bytes deletes it.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(crate) fn set_region(
        &self,
        slot: u32,
        flags: u32,
        ipa: u64,
        address: usize,
        bytes: usize,
    ) -> Result<(), Error> {
        let mut region = MemoryRegion {
            slot,
            flags,
            guest_address: ipa,
            bytes: bytes as u64,
            user_address: address as u64,
        };
        self.vm
            .ioctl_with(SET_USER_MEMORY_REGION, &mut region)
            .map(drop)
            .map_err(refused("KVM_SET_USER_MEMORY_REGION"))
    }

    /// Reads which pages of a slot of at most 64 × N pages were written since the last time.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(crate) fn dirty_log<const N: usize>(&self, slot: u32) -> Result<[u64; N], Error> {
        let mut bitmap = [0; N];
        let mut log = DirtyLog {
            slot,
            padding: 0,
            bitmap: bitmap.as_mut_ptr().expose_provenance() as u64,
        };
        self.vm
            .ioctl_with(GET_DIRTY_LOG, &mut log)
            .map_err(refused("KVM_GET_DIRTY_LOG"))?;
        // What the kernel wrote through the address it was given.
        Ok(core::hint::black_box(bitmap))
    }

    /// Tells the guest to go on with a routine and its arguments, x1 to x3.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(crate) fn prepare(&self, routine: Routine, arguments: [u64; 3]) -> Result<(), Error> {
        let [x1, x2, x3] = arguments;
        for (register, value) in [x1, x2, x3, MAILBOX_IPA, routine.ipa()].into_iter().enumerate() {
            // x1 to x5, two units each.
            self.vcpu.set_core(2 * (register as u64 + 1), value)?;
        }
        Ok(())
    }

    /// Runs the vCPU until it uses the mailbox; returns what it stored.
    ///
    /// # Errors
    ///
    /// When it stops for another reason.
    pub(crate) fn resume(&self) -> Result<u64, Error> {
        let (reason, address) = self.vcpu.run()?;
        if reason == EXIT_MMIO && address == MAILBOX_IPA {
            Ok(self.vcpu.run.load(RUN_MMIO_DATA))
        } else {
            Err(Error::Exit { reason, address })
        }
    }

    /// [`Vm::prepare`] and [`Vm::resume`].
    ///
    /// # Errors
    ///
    /// As for those.
    pub(crate) fn call(&self, routine: Routine, arguments: [u64; 3]) -> Result<u64, Error> {
        self.prepare(routine, arguments)?;
        self.resume()
    }
}
