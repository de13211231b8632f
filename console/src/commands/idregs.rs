//! `idregs`: the feature registers as the CPU has them, as L1 reads them, and who answers L1's guest.
//!
//! Every read of these registers below EL2 traps to gnomon. L1's own it answers with what `syndrome::idreg` shows. A read
//! by L1's guest goes to L1 if L1 asked for it (`HCR_EL2.TID3`, which KVM sets for its guests), and what L1 answers is
//! L1's affair; otherwise gnomon answers it as it answers L1. All CPUs are taken to be alike.

use core::fmt::{self, Write};

use hyp::{arch::sysreg::read_id_register, vcpu::vncr::VncrPage};
use syndrome::{
    SysReg,
    idreg::{self, Offer},
    regs::hcr_el2,
    vncr,
};
use wire::Hex;

use super::{Entry, Output, Progress, Task};
use crate::{error::CommandError, registers::NAME_BYTES, system::System, text::Text};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "idregs",
    usage: "idregs [REGISTER]",
    help: "the ID registers of the hardware and as L1 reads them, what differs, and who answers L2; or one by its fields",
    example: "idregs id_aa64mmfr0_el1",
    words,
    run,
};

/// No line is longer: a register all of whose fields differ.
const LINE_BYTES_MAX: usize = 256;

fn run<'a>(_: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    let register = match arguments {
        [] => None,
        [name] => Some(
            SysReg::from_name(name)
                .filter(|reg| is_listed(*reg))
                .ok_or(CommandError::UnknownRegister(name))?,
        ),
        _ => return Err(CommandError::Usage(ENTRY.usage)),
    };
    Ok(Task::IdRegisters(match register {
        Some(reg) => Rows::Fields(reg),
        None => Rows::All { next: None },
    }))
}

fn words(_: &System, found: &mut dyn FnMut(&str)) {
    for reg in listed() {
        let mut name = Text::<NAME_BYTES>::new();
        if write!(name, "{reg}").is_ok() {
            found(name.as_str());
        }
    }
}

/// The AArch64 ones: `CRm` 4 to 7.
fn is_listed(reg: SysReg) -> bool {
    reg.is_within(SysReg::new(3, 0, 0, 4, 0), SysReg::new(3, 0, 0, 7, 7))
}

fn listed() -> impl Iterator<Item = SysReg> {
    SysReg::all().map(|(reg, _)| reg).filter(|reg| is_listed(*reg))
}

/// The command in progress.
pub enum Rows {
    /// All registers, a line each.
    All {
        /// The one to go on with; none before the line of heads.
        next: Option<usize>,
    },
    /// One by its fields.
    Fields(SysReg),
}

impl Rows {
    /// Prints the next lines.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        match self {
            Self::All { next } => {
                if next.is_none() {
                    out.heading(format_args!("{}", wire::IdRegister::HEADING))?;
                }
                for (index, reg) in listed().enumerate().skip(next.unwrap_or(0)) {
                    if out.room() < LINE_BYTES_MAX {
                        *next = Some(index);
                        return Ok(Progress::More);
                    }
                    Seen::of(reg, system.vm.offer).print(out)?;
                }
                print_answers(system, out)?;
            }
            Self::Fields(reg) => {
                let seen = Seen::of(*reg, system.vm.offer);
                seen.print(out)?;
                seen.print_fields(out)?;
            }
        }
        Ok(Progress::Done)
    }
}

/// One register, seen twice.
struct Seen {
    reg: SysReg,
    hardware: u64,
    l1: u64,
}

impl Seen {
    fn of(reg: SysReg, offer: Offer) -> Self {
        let hardware = read_id_register(reg.crm(), reg.op2());
        Self {
            reg,
            hardware,
            l1: idreg::visible(reg, hardware, offer),
        }
    }

    /// Each four bits: the lowest, and both values.
    fn fields(&self) -> impl Iterator<Item = (u8, u8, u8)> {
        let (hardware, l1) = (self.hardware, self.l1);
        (0..64)
            .step_by(4)
            .map(move |low| (low, (hardware >> low) as u8 & 0xf, (l1 >> low) as u8 & 0xf))
    }

    fn print(&self, out: &mut Output) -> fmt::Result {
        let (mut name, mut differs) = (Text::<NAME_BYTES>::new(), Text::<LINE_BYTES_MAX>::new());
        write!(name, "{}", self.reg)?;
        for (low, hardware, l1) in self.fields() {
            if hardware != l1 {
                let separator = if differs.as_str().is_empty() { "" } else { " " };
                match idreg::field_name(self.reg, low) {
                    Some(field) => write!(differs, "{separator}{field}")?,
                    None => write!(differs, "{separator}[{}:{low}]", low + 3)?,
                }
            }
        }
        out.row(&wire::IdRegister {
            register: name.as_str(),
            hardware: Hex(self.hardware),
            l1: Hex(self.l1),
            differs: differs.as_str(),
        })
    }

    /// The fields that have a name or a value.
    fn print_fields(&self, out: &mut Output) -> fmt::Result {
        let mut name = Text::<NAME_BYTES>::new();
        write!(name, "{}", self.reg)?;
        for (low, hardware, l1) in self.fields() {
            let field = idreg::field_name(self.reg, low);
            if field.is_some() || hardware != 0 || l1 != 0 {
                out.row(&wire::IdField {
                    register: name.as_str(),
                    field: field.unwrap_or_default(),
                    low,
                    hardware,
                    l1,
                })?;
            }
        }
        Ok(())
    }
}

/// For each vCPU, who answers its guest.
fn print_answers(system: &System, out: &mut Output) -> fmt::Result {
    for vcpu in 0..system.vm.machine.cpus.len() {
        let Some(page) = VncrPage::of(vcpu) else { continue };
        let hcr = page.get(vncr::HCR_EL2);
        out.row(&wire::IdAnswer {
            vcpu,
            by: match (hcr & hcr_el2::TGE != 0, hcr & hcr_el2::TID3 != 0) {
                (true, _) => "none",
                (false, true) => "L1",
                (false, false) => "gnomon",
            },
        })?;
    }
    Ok(())
}
