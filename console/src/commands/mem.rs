//! `mem`: words of memory.
//!
//! An address is L1's IPA unless it says otherwise: `pa:` a physical address of L1's RAM or of gnomon's own memory,
//! `el2:` the same as gnomon maps it, `shadow/1:` an IPA of that guest, as far as its shadow has it; `s1/0/el1:` and
//! `s1/0/vel2:` a virtual address in that stage 1, `vcpu0:` in the one in force. The registers that describe a stage 1 are
//! asked for once. Each word is translated by itself with the lock held, whatever permissions it has, and only RAM is
//! read: what is a device answers a read with an effect.

use console_core::parse_number;
use hyp::mm::{self, phys};
use vmsa::{
    EntryKind, GuestVa, Ipa, L1, Pa, ReadTable,
    stage1::{self, AccessKind},
    stage2::{self, Stage2Config},
};
use wire::{Hex, WORDS};

use super::{Entry, Output, Progress, Task};
use crate::{
    error::CommandError,
    inspect::{Inquiry, Request},
    system::System,
    tables::{CarveOut, Context, GuestRam, Table, dma_config, host_config},
    translation::{Stage1Name, Translation, Which},
};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "mem",
    usage: "mem [pa:|TABLE:|vcpuN:]ADDRESS [WORDS]",
    help: "words of RAM at an IPA of L1, a physical address, or what a table or a vCPU translates; 8 unless told",
    example: "mem 0x48200000 16",
    words,
    run,
};

/// Words printed unless told otherwise.
const WORDS_DEFAULT: u64 = 8;
const WORD_BYTES: u64 = 8;
/// No line is longer.
const LINE_BYTES_MAX: usize = 96;

fn run<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    let (place, count) = match arguments {
        [place] => (place, WORDS_DEFAULT),
        [place, count] => (place, parse_number(count)?),
        _ => return Err(CommandError::Usage(ENTRY.usage)),
    };
    let (space, address) = match place.rsplit_once(':') {
        None => (Space::L1, *place),
        Some((name, address)) => (Space::find(name, system)?, address),
    };
    let address = parse_number(address)?;
    if !address.is_multiple_of(WORD_BYTES) {
        return Err(CommandError::NotAligned);
    }
    Ok(Task::Mem(Rows { space, address, count }))
}

fn words(system: &System, found: &mut dyn FnMut(&str)) {
    found("pa:");
    super::ptdump::table_names(system, found);
    super::ptdump::stage1_names(system, found);
    super::vcpu_names(system, found);
}

/// What an address is an address of.
#[derive(Clone, Copy)]
enum Space {
    /// IPAs of L1.
    L1,
    /// Physical addresses, and gnomon's virtual ones: its map is one to one.
    Physical,
    /// Addresses that devices use.
    Dma,
    /// IPAs of a guest of L1's.
    L2(Context),
    /// Virtual addresses of a vCPU, which has been asked how it translates them; by the stage 1 in force, unless one is
    /// named.
    Asked(Inquiry, Option<Which>),
    /// Virtual addresses.
    Virtual(Translation),
}

impl Space {
    fn find<'a>(name: &'a str, system: &System) -> Result<Self, CommandError<'a>> {
        let ask = |cpu, which| Self::Asked(Inquiry::new(cpu, Request::Snapshot), which);
        if name == "pa" {
            return Ok(Self::Physical);
        }
        if let Some(Stage1Name { cpu, which }) = Stage1Name::find(name, system.vm.machine.cpus.len()) {
            return Ok(ask(cpu, Some(which)));
        }
        if let Some(cpu) = super::parse_vcpu(name, system) {
            return Ok(ask(cpu, None));
        }
        Ok(match Table::find(name, system)? {
            Table::Host => Self::L1,
            Table::El2 => Self::Physical,
            Table::Dma => Self::Dma,
            Table::Shadow(context) | Table::Guest(context) => Self::L2(context),
        })
    }

    /// The word at an address; `None` while the vCPU has not answered.
    fn read(&mut self, address: u64, system: &System) -> Result<Option<u64>, CommandError<'static>> {
        match self {
            Self::Physical => read(Pa::new(address), system),
            Self::L1 => {
                // Its root stays where it is, so it can be read even when the lock is lost to a panic.
                let _order = system.host();
                read(walk(&host_config(system)?, address, system)?, system)
            }
            Self::Dma => read(walk(&dma_config(system), address, system)?, system),
            Self::L2(context) => {
                let held = system.slot(context.slot)?;
                let config = context.shadow(&held)?.table().config();
                read(walk(&config, address, system)?, system)
            }
            Self::Virtual(translation) => read_virtual(translation, address, system),
            Self::Asked(inquiry, which) => {
                let translation = inquiry.poll_snapshot(system.vm, |snapshot| {
                    Translation::of(snapshot, which.unwrap_or(Which::of(snapshot.context)))
                })?;
                if let Some(translation) = translation {
                    *self = Self::Virtual(translation);
                }
                return Ok(None);
            }
        }
        .map(Some)
    }
}

/// Reads what a stage 1, and for L2 L1's stage 2, translate an address to.
fn read_virtual(translation: &Translation, address: u64, system: &System) -> Result<u64, CommandError<'static>> {
    let (va, config) = (GuestVa::new(address), &translation.stage1);
    let not_mapped = CommandError::NotMapped(address);
    match translation.which {
        Which::VirtualEl2 => {
            let at = stage1::walk(config, va, AccessKind::Read, &GuestRam).map_err(|_| not_mapped)?;
            GuestRam
                .read(at.output)
                .map_err(|_| CommandError::NotRam(at.output.bits()))
        }
        Which::El1 => {
            let memory = translation.l2_memory(system)?;
            let at = stage1::walk(config, va, AccessKind::Read, &memory).map_err(|_| not_mapped)?;
            memory
                .read(at.output)
                .map_err(|_| CommandError::NotRam(at.output.bits()))
        }
    }
}

/// Where a stage 2 of gnomon's leads.
#[inline(never)]
fn walk(config: &Stage2Config, address: u64, system: &System) -> Result<Pa, CommandError<'static>> {
    stage2::walk_steps(config, Ipa::<L1>::new(address), &CarveOut::of(system), &mut |_| {})
        .map(|mapping| mapping.output)
        .map_err(|_| CommandError::NotMapped(address))
}

/// Reads a word of RAM.
#[inline(never)]
fn read(pa: Pa, system: &System) -> Result<u64, CommandError<'static>> {
    // L1's IPA equals the PA.
    if let Ok(word) = phys::read_guest(Ipa::new(pa.bits())) {
        return Ok(word);
    }
    let own = CarveOut::of(system);
    // The pages below gnomon's stacks are not mapped.
    let mut is_mapped = false;
    stage1::visit_el2(mm::stage1::root(), &own, pa.bits(), 1, &mut |entry| {
        is_mapped = matches!(entry.kind, EntryKind::Leaf);
    });
    if own.contains(pa) && is_mapped {
        Ok(phys::peek(pa))
    } else {
        Err(CommandError::NotRam(pa.bits()))
    }
}

/// The words in progress.
pub struct Rows {
    space: Space,
    /// The next one.
    address: u64,
    /// How many are left.
    count: u64,
}

impl Rows {
    /// Prints the next lines.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        while out.room() >= LINE_BYTES_MAX {
            if self.count == 0 {
                return Ok(Progress::Done);
            }
            if !self.print_line(system, out)? {
                break;
            }
        }
        Ok(Progress::More)
    }

    /// Prints a line; says whether it could.
    fn print_line(&mut self, system: &System, out: &mut Output) -> Result<bool, CommandError<'static>> {
        let mut words = [Hex(0); WORDS];
        let mut len = 0;
        let first = self.address;
        for slot in words.iter_mut().take(usize::try_from(self.count).unwrap_or(WORDS)) {
            match self.space.read(self.address, system) {
                Ok(Some(word)) => *slot = Hex(word),
                Ok(None) => return Ok(false),
                // What was read is printed first.
                Err(_) if len > 0 => break,
                Err(error) => return Err(error),
            }
            len += 1;
            self.count -= 1;
            self.address = self.address.wrapping_add(WORD_BYTES);
        }
        let words = words.get(..len).unwrap_or_default();
        out.row(&wire::Memory {
            address: Hex(first),
            words,
            text: wire::as_text(words, &mut [0; WORDS * WORD_BYTES as usize]),
        })?;
        Ok(true)
    }
}
