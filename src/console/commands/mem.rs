//! `mem`: words of memory.
//!
//! An address is L1's IPA unless it says otherwise: `pa:` a physical address of L1's RAM or of gnomon's own memory,
//! `el2:` the same as gnomon maps it, `shadow/1:` an IPA of that guest, as far as its shadow has it. Each line is
//! translated by itself with the lock held, and only RAM is read: what is a device answers a read with an effect.

use console_core::parse_number;
use vmsa::{
    EntryKind, Ipa, L1, Pa,
    stage1::visit_el2,
    stage2::{self, Stage2Config},
};
use wire::{Hex, WORDS};

use super::{Entry, Output, Progress, Task};
use crate::{
    console::{
        error::CommandError,
        system::System,
        tables::{CarveOut, Context, Table, host_config},
    },
    mm::{phys, stage1},
};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "mem",
    usage: "mem [pa:|el2:|shadow/NAME:]ADDRESS [WORDS]",
    help: "words of RAM at an IPA of L1, or at a physical address, gnomon's own, or an IPA of a guest; 8 unless told",
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
        Some(("pa", address)) => (Space::Physical, address),
        Some((table, address)) => (Space::of(Table::find(table, system)?), address),
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
}

/// What an address is an address of.
#[derive(Clone, Copy)]
enum Space {
    /// IPAs of L1.
    L1,
    /// Physical addresses.
    Physical,
    /// gnomon's virtual addresses.
    El2,
    /// IPAs of a guest of L1's.
    L2(Context),
}

impl Space {
    /// The input addresses of a table.
    fn of(table: Table) -> Self {
        match table {
            Table::Host => Self::L1,
            Table::El2 => Self::El2,
            Table::Shadow(context) | Table::Guest(context) => Self::L2(context),
        }
    }

    /// The physical address of a word.
    fn translate(self, address: u64, system: &System) -> Result<Pa, CommandError<'static>> {
        match self {
            Self::Physical => Ok(Pa::new(address)),
            // gnomon's map is one to one; what it leaves out is found when the word is read.
            Self::El2 => Ok(Pa::new(address)),
            Self::L1 => {
                // It does not change after boot, so it can be read even when the lock is lost to a panic.
                let _order = system.mmu();
                walk(&host_config(system)?, address, system)
            }
            Self::L2(context) => {
                let mmu = system.mmu()?;
                walk(&context.shadow(&mmu)?.table().config(), address, system)
            }
        }
    }
}

/// Where a stage 2 of gnomon's leads.
fn walk(config: &Stage2Config, address: u64, system: &System) -> Result<Pa, CommandError<'static>> {
    stage2::walk(config, Ipa::<L1>::new(address), &CarveOut::of(system))
        .map(|mapping| mapping.output)
        .map_err(|_| CommandError::NotMapped(address))
}

/// Reads a word of RAM.
fn read(pa: Pa, system: &System) -> Option<u64> {
    // L1's IPA equals the PA.
    if let Ok(word) = phys::read_guest(Ipa::new(pa.bits())) {
        return Some(word);
    }
    let own = CarveOut::of(system);
    // The pages below gnomon's stacks are not mapped.
    let mut is_mapped = false;
    visit_el2(stage1::root(), &own, pa.bits(), 1, &mut |entry| {
        is_mapped = matches!(entry.kind, EntryKind::Leaf);
    });
    own.contains(pa).then_some(is_mapped)?.then(|| phys::read(pa))
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
            self.print_line(system, out)?;
        }
        Ok(Progress::More)
    }

    fn print_line(&mut self, system: &System, out: &mut Output) -> Result<(), CommandError<'static>> {
        let mut words = [Hex(0); WORDS];
        let mut len = 0;
        let first = self.address;
        for slot in words.iter_mut().take(usize::try_from(self.count).unwrap_or(WORDS)) {
            let pa = self.space.translate(self.address, system);
            let word = pa.and_then(|pa| read(pa, system).ok_or(CommandError::NotRam(pa.bits())));
            match word {
                Ok(word) => *slot = Hex(word),
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
        Ok(())
    }
}
