//! VMs with tables of many kinds, and what Linux's debugfs says of them.
//!
//! For address spaces with different start levels and numbers of root tables, one VM each gets blocks of 1 GiB and 2 MiB,
//! pages, device memory, memory that may only be read, memory whose writes are logged, and pages that have not been used
//! for a while. Its three debugfs files are printed, between a line `vmm: golden BITS FILE` and a line `vmm: end`, as
//! they are. When held, a line `vmm: BITS: held` follows and nothing happens until somebody types a line, so that whoever
//! is below can look at the same table. The kernel's own stage 1 follows in the same way, as `vmm: golden kernel
//! kernel_page_tables`.
//!
//! L1 needs a kernel with `CONFIG_PTDUMP_STAGE2_DEBUGFS` and `CONFIG_PTDUMP_DEBUGFS`. Without huge pages set aside
//! (`hugepagesz=1G hugepages=1`), without `/dev/mem` or idle page tracking, those ranges are left out, with a line that
//! says so.

use core::ffi::CStr;
use core::fmt::{self, Write};

use crate::guest::{RET, Routine};
use crate::kvm::{Error, Kvm, LOG_DIRTY_PAGES, PAGE_BYTES, READ_ONLY, Vm};
use crate::out::say;
use crate::start::hold;
use crate::sys::{self, Errno, HUGE_PAGES, Mapping, NO_HUGE_PAGES};

/// IPA bits: starting at level 1, at level 1 with two root tables, with sixteen, at level 0.
const IPA_BITS: [u32; 4] = [32, 40, 43, 48];

const BLOCK_BYTES: usize = 2 << 20;
const STEP: u64 = PAGE_BYTES as u64;

/// Where things are in the guest.
const BLOCKS_IPA: u64 = 0x4000_0000;
const PAGES_IPA: u64 = 0x5000_0000;
const LOGGED_IPA: u64 = 0x6000_0000;
const READ_ONLY_IPA: u64 = 0x7000_0000;
const GIANT_IPA: u64 = 0x8000_0000;

/// QEMU's real-time clock: a device whose registers may be read by anybody.
const DEVICE: u64 = 0x0901_0000;

/// A gigabyte.
const GIANT_SHIFT: u32 = 30;

/// Builds the VMs one after the other; whether that went well.
pub(crate) fn run(holds: bool) -> bool {
    let result = Kvm::open().and_then(|kvm| {
        let bits_max = kvm.ipa_bits_max();
        for bits in IPA_BITS.into_iter().filter(|bits| *bits <= bits_max) {
            Scene::build(&kvm, bits)?.show(holds)?;
        }
        print_file("kernel", "kernel_page_tables", c"/sys/kernel/debug/kernel_page_tables")?;
        if holds {
            hold("kernel");
        }
        Ok(())
    });
    match result {
        Ok(()) => true,
        Err(error) => {
            say!("golden: {error}");
            false
        }
    }
}

fn refused(what: &'static str) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::Refused(what, errno)
}

/// A VM and the memory it has.
struct Scene {
    vm: Vm,
    bits: u32,
    slots: [Option<Mapping>; 8],
}

impl Scene {
    fn build(kvm: &Kvm, bits: u32) -> Result<Self, Error> {
        let mut scene = Self {
            vm: kvm.vm(bits)?,
            bits,
            slots: [const { None }; 8],
        };
        scene.add_blocks()?;
        let pages = scene.add_pages()?;
        scene.add_logged()?;
        scene.add_read_only()?;
        scene.add_giant()?;
        scene.add_device()?;
        scene.add_top()?;
        if let Err(error) = age(pages, 3) {
            say!("no idle page tracking: {error}");
        }
        Ok(scene)
    }

    /// Gives the guest memory in a slot; returns its address here.
    fn add(
        &mut self,
        slot: u32,
        flags: u32,
        ipa: u64,
        memory: Mapping,
        offset: usize,
        bytes: usize,
    ) -> Result<usize, Error> {
        let address = memory.address() + offset;
        self.vm.set_region(slot, flags, ipa, address, bytes)?;
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(memory);
        }
        Ok(address)
    }

    /// Gives the guest that many blocks of 2 MiB, which the kernel has as such.
    fn add_huge(&mut self, slot: u32, flags: u32, ipa: u64, count: usize) -> Result<usize, Error> {
        let bytes = count * BLOCK_BYTES;
        let memory = Mapping::private(bytes + BLOCK_BYTES).map_err(refused("mmap"))?;
        let offset = memory.address().next_multiple_of(BLOCK_BYTES) - memory.address();
        memory
            .advise(offset, bytes, HUGE_PAGES)
            .map_err(refused("madvise: no huge pages"))?;
        for block in 0..count {
            memory.store(offset + block * BLOCK_BYTES, 1);
        }
        self.add(slot, flags, ipa, memory, offset, bytes)
    }

    /// Blocks of 2 MiB with a hole between.
    fn add_blocks(&mut self) -> Result<(), Error> {
        self.add_huge(0, 0, BLOCKS_IPA, 4)?;
        self.read(BLOCKS_IPA, 2, BLOCK_BYTES as u64)?;
        self.read(BLOCKS_IPA + 3 * BLOCK_BYTES as u64, 1, BLOCK_BYTES as u64)
    }

    /// Pages side by side, pages with holes between, pages that were only read (all the kernel's one zero page), and
    /// pages that were executed. Returns the address of the first.
    fn add_pages(&mut self) -> Result<usize, Error> {
        const BYTES: usize = 1 << 20;
        const CODE: usize = 0xc_0000;
        let memory = Mapping::private(BYTES).map_err(refused("mmap"))?;
        memory
            .advise(0, BYTES, NO_HUGE_PAGES)
            .map_err(refused("madvise: no huge pages"))?;
        for page in 0..4 {
            memory.store(CODE + page * PAGE_BYTES, RET);
        }
        let address = self.add(1, 0, PAGES_IPA, memory, 0, BYTES)?;
        self.write(PAGES_IPA, 32, STEP)?;
        self.write(PAGES_IPA + 0x4_0000, 8, 3 * STEP)?;
        self.read(PAGES_IPA + 0x8_0000, 8, STEP)?;
        let code = PAGES_IPA + CODE as u64;
        self.vm.call(Routine::Call, [code, code + 4 * STEP, STEP])?;
        Ok(address)
    }

    /// Blocks whose writes are logged from some moment on: they may not be written any more, and the one that is written
    /// all the same is split into pages.
    fn add_logged(&mut self) -> Result<(), Error> {
        const COUNT: usize = 4;
        let address = self.add_huge(2, 0, LOGGED_IPA, COUNT)?;
        self.write(LOGGED_IPA, COUNT as u64, BLOCK_BYTES as u64)?;
        self.vm
            .set_region(2, LOG_DIRTY_PAGES, LOGGED_IPA, address, COUNT * BLOCK_BYTES)?;
        self.write(LOGGED_IPA + BLOCK_BYTES as u64 + 7 * STEP, 5, STEP)?;
        self.read(LOGGED_IPA + BLOCK_BYTES as u64 + 20 * STEP, 2, STEP)
    }

    /// A slot that the guest may only read.
    fn add_read_only(&mut self) -> Result<(), Error> {
        self.add_huge(3, READ_ONLY, READ_ONLY_IPA, 2)?;
        self.read(READ_ONLY_IPA + BLOCK_BYTES as u64, 1, STEP)
    }

    /// One block of 1 GiB.
    fn add_giant(&mut self) -> Result<(), Error> {
        let memory = match Mapping::huge(GIANT_SHIFT) {
            Ok(memory) => memory,
            Err(error) => {
                say!("no page of 1G: {error}");
                return Ok(());
            }
        };
        memory.store(0, 1);
        self.add(4, 0, GIANT_IPA, memory, 0, 1 << GIANT_SHIFT)?;
        self.read(GIANT_IPA, 1, STEP)
    }

    /// A page of device memory.
    fn add_device(&mut self) -> Result<(), Error> {
        let mapped = sys::open(c"/dev/mem", sys::READ_WRITE).and_then(|mem| Mapping::file(&mem, DEVICE, PAGE_BYTES));
        let memory = match mapped {
            Ok(memory) => memory,
            Err(error) => {
                say!("no device memory: {error}");
                return Ok(());
            }
        };
        self.add(5, 0, DEVICE, memory, 0, PAGE_BYTES)?;
        self.read(DEVICE, 1, STEP)
    }

    /// The very last page, which ends a dump without a hole behind it; some tables end with a hole.
    fn add_top(&mut self) -> Result<(), Error> {
        if self.bits <= 40 {
            return Ok(());
        }
        let ipa = (1 << self.bits) - STEP;
        let memory = Mapping::private(PAGE_BYTES).map_err(refused("mmap"))?;
        self.add(6, 0, ipa, memory, 0, PAGE_BYTES)?;
        self.write(ipa, 1, STEP)
    }

    fn read(&self, ipa: u64, count: u64, step: u64) -> Result<(), Error> {
        self.vm.call(Routine::Read, [ipa, ipa + count * step, step]).map(drop)
    }

    fn write(&self, ipa: u64, count: u64, step: u64) -> Result<(), Error> {
        self.vm.call(Routine::Write, [ipa, ipa + count * step, step]).map(drop)
    }

    /// Prints the VM's debugfs files.
    fn show(&self, holds: bool) -> Result<(), Error> {
        let mut bits = Path::default();
        let _ = write!(bits, "{}", self.bits);
        for file in ["stage2_page_tables", "stage2_levels", "ipa_range"] {
            let mut path = Path::default();
            let (process, vm) = (sys::process_id(), self.vm.number());
            let _ = write!(path, "/sys/kernel/debug/kvm/{process}-{vm}/{file}");
            print_file(bits.text(), file, path.c_str())?;
        }
        if holds {
            hold(bits.text());
        }
        Ok(())
    }
}

/// Text for the kernel, short and with a zero byte at its end.
struct Path {
    bytes: [u8; 128],
    used: usize,
}

impl Default for Path {
    fn default() -> Self {
        Self {
            bytes: [0; 128],
            used: 0,
        }
    }
}

impl Path {
    fn c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }

    fn text(&self) -> &str {
        self.c_str().to_str().unwrap_or_default()
    }
}

impl Write for Path {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.used + text.len();
        // The last byte stays zero.
        let room = self.bytes.get_mut(self.used..end).filter(|_| end < 128);
        room.ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.used = end;
        Ok(())
    }
}

/// Prints a file as it is, between two lines.
fn print_file(scene: &str, name: &str, path: &CStr) -> Result<(), Error> {
    let file = sys::open(path, sys::READ_ONLY).map_err(refused("a file of debugfs"))?;
    say!("golden {scene} {name}");
    let mut bytes = [0; 4096];
    loop {
        match file.read(&mut bytes).map_err(refused("reading debugfs"))? {
            0 => break,
            count => sys::write_all(sys::STDOUT, bytes.get(..count).unwrap_or_default()),
        }
    }
    say!("end");
    Ok(())
}

/// Makes the kernel forget that pages were used, which clears their Access flags in the guest's table.
fn age(address: usize, count: usize) -> Result<(), Errno> {
    let pagemap = sys::open(c"/proc/self/pagemap", sys::READ_ONLY)?;
    let bitmap = sys::open(c"/sys/kernel/mm/page_idle/bitmap", sys::READ_WRITE)?;
    for page in 0..count {
        let mut entry = [0; 8];
        pagemap.read_at(&mut entry, ((address / PAGE_BYTES + page) * 8) as u64)?;
        let frame = u64::from_ne_bytes(entry) & ((1 << 55) - 1);
        bitmap.write_at(&(1_u64 << (frame % 64)).to_ne_bytes(), frame / 64 * 8)?;
    }
    Ok(())
}
