//! `explain`: every walk that an address goes through, step by step, and a sentence about how it ends.
//!
//! All tables are looked at with the lock held once, so that the steps, the shadow and the sentence belong together. That
//! is at most 15 descriptors for an address of L2.

use core::fmt::{self, Write};

use console_core::parse_number;
use shadow::{
    Access,
    explain::{HostSentence, NoteRow, Observed, Place, Sentence, Stage, StepRow, Tables, look, look_at_host},
};
use vmsa::{
    Fault, GuestVa, Ipa, L1, Phys, Step,
    stage1::{self, AccessKind, Regime, Stage1Config, Stage1Mapping, Stage1Registers, Stage1Words},
    stage2::{Stage2Config, Stage2Words},
};

use super::{Entry, Output, Progress, Task, ptdump};
use crate::{
    arch::{features, sysreg::*},
    console::{
        error::CommandError,
        system::System,
        tables::{CarveOut, Context, GuestRam, Table, guest_limits, host_config},
    },
    mm,
    vm::Vm,
};

/// The command.
pub const ENTRY: Entry = Entry {
    name: "explain",
    usage: "explain TABLE ADDRESS [r|w|x]",
    help: "walks the tables that an address goes through, and says how an access ends and who receives its fault",
    example: "explain shadow/1 0x40000000 w",
    words,
    run,
};

fn run<'a>(system: &System, arguments: &[&'a str]) -> Result<Task, CommandError<'a>> {
    let (name, address, access) = match arguments {
        [name, address] => (name, address, None),
        [name, address, access] => (name, address, Some(parse_access(access)?)),
        _ => return Err(CommandError::Usage(ENTRY.usage)),
    };
    Ok(Task::Explain(Explain {
        table: Table::find(name, system)?,
        address: parse_number(address)?,
        access,
    }))
}

fn parse_access(word: &str) -> Result<Access, CommandError<'static>> {
    match word {
        "r" => Ok(Access::Read),
        "w" => Ok(Access::Write),
        "x" => Ok(Access::Execute { el0: false }),
        _ => Err(CommandError::Usage(ENTRY.usage)),
    }
}

fn words(system: &System, found: &mut dyn FnMut(&str)) {
    ptdump::table_names(system, found);
}

/// The explanation of one address.
pub struct Explain {
    table: Table,
    address: u64,
    access: Option<Access>,
}

impl Explain {
    /// Prints it, in one step.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        match self.table {
            Table::Host => self.host(system, out)?,
            Table::El2 => self.own(system, out)?,
            Table::Shadow(context) | Table::Guest(context) => self.nested(context, system, out)?,
        }
        Ok(Progress::Done)
    }

    /// An IPA of L1.
    fn host(&self, system: &System, out: &mut Output) -> Result<(), CommandError<'static>> {
        // The table does not change after boot, so it can be read even when the lock is lost to a panic.
        let _order = system.mmu();
        let config = host_config(system)?;
        let l1 = Ipa::new(self.address);
        writeln!(out, "{}", note(Stage::Host, &config))?;
        let mut result = Ok(());
        let host = look_at_host(&config, l1, &CarveOut::of(system), &place_in(system.vm), &mut |step| {
            result = result.and_then(|()| writeln!(out, "{}", stage2_row(Stage::Host, &config, step)));
        });
        result?;
        let access = self.access;
        writeln!(out, "{}", HostSentence { l1, host, access })?;
        Ok(())
    }

    /// A virtual address of gnomon's own.
    fn own(&self, system: &System, out: &mut Output) -> Result<(), CommandError<'static>> {
        let registers = Stage1Registers {
            tcr: TCR_EL2.get(),
            ttbr0: TTBR0_EL2.get(),
            ttbr1: 0,
            mair: MAIR_EL2.get(),
            sctlr: SCTLR_EL2.get(),
            hcr: 0,
        };
        let config = Stage1Config::from_registers(Regime::El2, &registers, &features::stage1_limits());
        let range = config.lower.map_err(CommandError::NotWalkable)?;
        writeln!(out, "{}", note(Stage::First, &range))?;
        let (va, mem) = (GuestVa::new(self.address), CarveOut::of(system));
        let mut result = Ok(());
        let walked = stage1::walk_steps::<Phys>(&config, va, AccessKind::Read, &mem, &mut |step| {
            let words = Stage1Words {
                cfg: &config,
                range: &range,
                level: step.level,
                raw: step.raw,
            };
            result = result.and_then(|()| writeln!(out, "{}", row(Stage::First, step, words)));
        });
        result?;
        write_own(out, va, walked)?;
        Ok(())
    }

    /// An IPA of an L2.
    fn nested(&self, context: Context, system: &System, out: &mut Output) -> Result<(), CommandError<'static>> {
        let mmu = system.mmu()?;
        let shadow = context.shadow(&mmu)?;
        let own = CarveOut::of(system);
        let tables = Tables {
            l1: &GuestRam,
            shadow: &own,
            host: &own,
            host_config: host_config(system)?,
        };
        let (vttbr, vtcr) = (context.key.vttbr(), context.key.vtcr());
        let registers = format_args!("VTTBR_EL2 {vttbr:#018x}, VTCR_EL2 {vtcr:#018x}");
        writeln!(out, "{}", note(Stage::Guest, registers))?;
        let mut last = None;
        let mut result = Ok(());
        let ipa = Ipa::new(self.address);
        let situation = look(
            shadow,
            &guest_limits(shadow),
            ipa,
            &tables,
            &place_in(system.vm),
            &mut |observed| {
                result = result.and_then(|()| write_observed(out, &mut last, &observed));
            },
        );
        result?;
        let access = self.access;
        let situation = &situation;
        writeln!(out, "{}", Sentence { situation, access })?;
        Ok(())
    }
}

/// A descriptor of any of the three tables, behind a line about its table where that begins.
fn write_observed(out: &mut Output, last: &mut Option<Stage>, observed: &Observed<'_>) -> fmt::Result {
    let (stage, config) = match observed {
        Observed::Guest(config, _) => (Stage::Guest, config),
        Observed::Host(config, _) => (Stage::Host, config),
        Observed::Shadow(config, _) => (Stage::Shadow, config),
    };
    if last.replace(stage) != Some(stage) {
        writeln!(out, "{}", note(stage, config))?;
    }
    match *observed {
        Observed::Guest(config, step) => writeln!(out, "{}", stage2_row(stage, config, step)),
        Observed::Host(config, step) | Observed::Shadow(config, step) => {
            writeln!(out, "{}", stage2_row(stage, config, step))
        }
    }
}

fn write_own(out: &mut Output, va: GuestVa, walked: Result<Stage1Mapping<Phys>, Fault>) -> fmt::Result {
    match walked {
        Ok(mapping) => {
            let (perms, mem) = (mapping.attrs.perms.privileged, mapping.attrs.mem);
            let (level, output) = (mapping.level, mapping.output);
            writeln!(out, "gnomon maps VA {va} {perms} {mem} at {level}; it is PA {output}.")
        }
        Err(fault) => writeln!(
            out,
            "gnomon maps nothing at VA {va}; an access would be fatal ({fault})."
        ),
    }
}

const fn note<W>(stage: Stage, words: W) -> NoteRow<W> {
    NoteRow { stage, words }
}

fn stage2_row<O>(stage: Stage, cfg: &Stage2Config, step: Step<O>) -> StepRow<Stage2Words<'_>> {
    let words = Stage2Words {
        cfg,
        level: step.level,
        raw: step.raw,
    };
    row(stage, step, words)
}

fn row<O, W>(stage: Stage, step: Step<O>, words: W) -> StepRow<W> {
    StepRow {
        stage,
        level: step.level.get(),
        table: step.table.bits(),
        index: step.index,
        raw: step.raw,
        words,
    }
}

/// Tells what is at an IPA of L1's that is not its memory.
fn place_in(vm: &Vm) -> impl Fn(Ipa<L1>) -> Place {
    move |l1| {
        let at = l1.bits();
        if vm.machine.gicd.contains(&at) || vm.machine.gicr.contains(&at) {
            Place::Device
        } else if vm
            .machine
            .home_bank()
            .is_some_and(|bank| mm::CarveOut::of(&bank).whole.contains(&at))
        {
            Place::Hypervisor
        } else {
            Place::Nothing
        }
    }
}
