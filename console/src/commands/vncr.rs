//! `vncr`: the VNCR page of a vCPU, register by register.
//!
//! The page is memory, and is read where it lies: while the vCPU runs, another register may have changed by the next line,
//! and those of L1's guest are out of date while that runs. It is there whatever became of its CPU.

use core::fmt::{self, Write};

use hyp::vcpu::vncr::VncrPage;
use syndrome::vncr::{self, Slot};
use wire::Hex;

use super::{Entry, Output, Progress, Task};
use crate::{error::CommandError, registers::NAME_BYTES, system::System, text::Text};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "vncr",
    usage: "vncr VCPU [-a]",
    help: "the registers in the VNCR page of a vCPU that are not zero; -a prints all",
    example: "vncr 0 | grep ICH_",
    words,
    run,
};

/// Prints what is zero as well.
const ALL: &str = "-a";
/// No line is longer.
const LINE_BYTES_MAX: usize = 96;

fn run<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    let is_all = arguments.contains(&ALL);
    let mut words = arguments.iter().copied().filter(|word| *word != ALL);
    let (Some(name), None) = (words.next(), words.next()) else {
        return Err(CommandError::Usage(ENTRY.usage));
    };
    let vcpu = super::find_vcpu(name, system)?;
    let page = VncrPage::of(vcpu).ok_or(CommandError::UnknownVcpu(name))?;
    Ok(Task::Vncr(Rows {
        vcpu,
        page,
        is_all,
        next: None,
    }))
}

fn words(system: &System, found: &mut dyn FnMut(&str)) {
    found(ALL);
    super::vcpu_names(system, found);
}

/// The page in progress.
pub struct Rows {
    vcpu: usize,
    page: VncrPage,
    is_all: bool,
    /// The slot to go on with; none before the line about the page.
    next: Option<usize>,
}

impl Rows {
    /// Prints the next lines.
    pub fn step(&mut self, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        if self.next.is_none() {
            self.print_page(out)?;
        }
        for (index, slot) in vncr::slots().enumerate().skip(self.next.unwrap_or(0)) {
            if out.room() < LINE_BYTES_MAX {
                self.next = Some(index);
                return Ok(Progress::More);
            }
            let value = self.page.get(slot.offset());
            if value != 0 || self.is_all {
                self.print_slot(slot, value, out)?;
            }
        }
        Ok(Progress::Done)
    }

    fn print_page(&self, out: &mut Output) -> fmt::Result {
        out.row(&wire::VncrPage {
            vcpu: self.vcpu,
            pa: Hex(self.page.address().bits()),
            registers: vncr::SLOT_COUNT,
            nonzero: vncr::slots().filter(|slot| self.page.get(slot.offset()) != 0).count(),
        })
    }

    fn print_slot(&self, slot: &Slot, value: u64, out: &mut Output) -> fmt::Result {
        let mut name = Text::<NAME_BYTES>::new();
        write!(name, "{}", slot.reg)?;
        out.row(&wire::VncrSlot {
            vcpu: self.vcpu,
            offset: Hex(slot.offset() as u64),
            register: name.as_str(),
            value: Hex(value),
        })
    }
}
