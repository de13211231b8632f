//! `tlbi`: the last TLB maintenance that L1 did for its guests.

use core::fmt::{self, Write};

use console_core::parse_number;
use hyp::{
    arch::sysreg::{CNTFRQ_EL0, Readable},
    nested::timer,
};
use shadow::{IpaOperand, RangeOperand, Tlbi, Ttl};
use syndrome::SysReg;
use wire::Hex;

use super::{Entry, Output, Progress, Task};
use crate::{error::CommandError, system::System, text::Text};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "tlbi",
    usage: "tlbi [N]",
    help: "the last TLBIs of L1 for its guests, the latest first: operands, shadows they were done on, what these lost",
    example: "tlbi 20",
    words: super::no_words,
    run,
};

fn run<'a>(_: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    let limit = match arguments {
        [] => u64::MAX,
        [number] => parse_number(number)?,
        _ => return Err(CommandError::Usage(ENTRY.usage)),
    };
    Ok(Task::Tlbi(Rows {
        limit,
        before: u64::MAX,
        has_begun: false,
    }))
}

/// The listing in progress.
pub struct Rows {
    /// How many are still wanted.
    limit: u64,
    /// The event that was printed last.
    before: u64,
    has_begun: bool,
}

impl Rows {
    /// Prints the next lines.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        const LINE_BYTES_MAX: usize = 320;
        if !self.has_begun {
            self.has_begun = true;
            out.heading(format_args!("{}", wire::Tlbi::COLUMNS))?;
        }
        while out.room() >= LINE_BYTES_MAX {
            if self.limit == 0 {
                return Ok(Progress::Done);
            }
            let next = system.vm.mmu.shadows.tlbi_before(self.before);
            let Some(tlbi) = next else { return Ok(Progress::Done) };
            print(&tlbi, out)?;
            self.before = tlbi.event;
            self.limit -= 1;
        }
        Ok(Progress::More)
    }
}

fn print(tlbi: &Tlbi, out: &mut Output) -> fmt::Result {
    let instruction = SysReg::from_bits(tlbi.origin.instruction);
    let (mut name, mut what) = (Text::<24>::new(), Text::<64>::new());
    write!(name, "{instruction}")?;
    let op = name.as_str();
    write!(what, "{}", What(instruction, tlbi))?;
    out.row(&wire::Tlbi {
        ago_us: micros_since(tlbi.origin.time),
        cpu: tlbi.origin.cpu,
        op: op.strip_prefix("TLBI ").unwrap_or(op),
        operand: Hex(tlbi.origin.operand),
        what: what.as_str(),
        vmid: tlbi.vmid,
        shadows: Hex(tlbi.stats.slots),
        leaves: tlbi.stats.leaves,
        bytes: Hex(tlbi.stats.bytes),
    })
}

/// Microseconds from `time`, in ticks of the counter, until now.
pub fn micros_since(time: u64) -> u64 {
    let ticks = u128::from(timer::now().saturating_sub(time));
    // Less than 2^64 for some hundred thousand years.
    (ticks * 1_000_000 / u128::from(CNTFRQ_EL0.get().max(1))) as u64
}

/// What an instruction does with its operand.
struct What<'a>(SysReg, &'a Tlbi);

impl fmt::Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(instruction, tlbi) = *self;
        let operand = tlbi.origin.operand;
        let name = instruction
            .name()
            .and_then(|name| name.strip_prefix("TLBI "))
            .unwrap_or_default();
        if name.starts_with("RIPAS2") {
            // The unit of the operand's address depends on L1's VTCR_EL2 at that time.
            write!(f, "ipa {:#x}-{:#x}", tlbi.stats.start, tlbi.stats.end)?;
            write_level(f, RangeOperand::decode(operand, false).ttl)
        } else if name.starts_with("IPAS2") {
            let operand = IpaOperand::decode(operand);
            write!(f, "ipa {}", operand.ipa)?;
            write_level(f, operand.ttl)
        } else if name.starts_with("ALL") || name.starts_with("VMALL") {
            f.write_str(match name {
                name if name.starts_with("VMALLS12") => "both stages",
                name if name.starts_with("ALL") => "both stages of all guests",
                _ => "stage 1",
            })
        } else {
            write!(f, "stage 1, {operand:#x}")
        }
    }
}

fn write_level(f: &mut fmt::Formatter<'_>, ttl: Option<Ttl>) -> fmt::Result {
    match ttl {
        Some(ttl) => write!(f, ", {}", ttl.level),
        None => Ok(()),
    }
}
