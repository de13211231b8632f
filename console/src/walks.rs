//! The walks of one address as rows: what `explain` prints.
//!
//! All tables are looked at with the shadow locked once, so that the steps, the shadow and the sentence belong together. That
//! is at most 15 descriptors for an IPA of L2.

pub mod vcpu;
mod view;

use core::fmt;

use explain::{
    HostSentence, HostStage, NestedStage2, Observed, Outcome, Place, Sentence, Situation, Tables, look, look_at_host,
};
use hyp::{
    arch::{features, sysreg::*},
    mm,
    vm::Vm,
};
use shadow::Access;
use vmsa::{
    Fault, GuestVa, Ipa, L1, L2, Pa, Phys, Step,
    stage1::{self, AccessKind, Regime, Stage1Config, Stage1Mapping, Stage1Range, Stage1Registers, Stage1Words},
    stage2::{Stage2Config, Stage2Words},
};
use wire::Hex;

use super::{
    commands::Output,
    error::CommandError,
    system::System,
    tables::{CarveOut, Context, GuestRam, guest_limits, host_config},
};

/// Where stage 2 of L1 comes from, in rows.
const HOST: &str = "host";
/// Any stage 1, in rows.
const STAGE1: &str = "stage1";

/// Prints how an IPA of L1's is translated.
pub fn of_host(
    address: u64,
    access: Option<Access>,
    system: &System,
    out: &mut Output,
) -> Result<(), CommandError<'static>> {
    let text = HostSentence {
        l1: Ipa::new(address),
        host: host_rows(Ipa::new(address), system, out)?,
        access,
    };
    out.row(&walk(
        address,
        access,
        text.outcome(access.unwrap_or(Access::Read)),
        None,
        format_args!("{text}"),
    ))?;
    Ok(())
}

/// The steps of the host stage 2 for `l1`, and what they come to.
fn host_rows(l1: Ipa<L1>, system: &System, out: &mut Output) -> Result<HostStage, CommandError<'static>> {
    // Its root stays where it is, so it can be read even when the lock is lost to a panic.
    let _order = system.host();
    let config = host_config(system)?;
    stage(out, HOST, format_args!("{config}"))?;
    let mut result = Ok(());
    let host = look_at_host(&config, l1, &CarveOut::of(system), &place_in(system.vm), &mut |step| {
        result = result.and_then(|()| stage2_step(out, HOST, &config, step));
    });
    result?;
    Ok(host)
}

/// Prints how a virtual address of gnomon's own is translated.
pub fn of_own(address: u64, system: &System, out: &mut Output) -> Result<(), CommandError<'static>> {
    let registers = Stage1Registers {
        tcr: TCR_EL2.get(),
        ttbr0: TTBR0_EL2.get(),
        ttbr1: 0,
        mair: MAIR_EL2.get(),
        sctlr: SCTLR_EL2.get(),
        hcr: 0,
    };
    let config = Stage1Config::from_registers(Regime::El2, &registers, &features::stage1_limits());
    let range = config.lower.map_err(CommandError::OwnNotWalkable)?;
    stage(out, STAGE1, format_args!("{range}"))?;
    let (va, mem) = (GuestVa::new(address), CarveOut::of(system));
    let mut result = Ok(());
    let walked = stage1::walk_steps(&config, va, AccessKind::Read, &mem, &mut |step| {
        result = result.and_then(|()| stage1_step(out, &config, &range, step));
    });
    result?;
    let outcome = walked.map_or(Outcome::ExternalAbort, |mapping| Outcome::Reaches(mapping.output));
    let text = OwnSentence { va, walked };
    out.row(&walk(address, None, outcome, None, format_args!("{text}")))?;
    Ok(())
}

/// Prints how an IPA of an L2's is translated: by L1's table and the host's, and by the shadow.
pub fn of_nested(
    context: Context,
    address: u64,
    access: Option<Access>,
    system: &System,
    out: &mut Output,
) -> Result<(), CommandError<'static>> {
    let situation = {
        let held = system.slot(context.slot)?;
        let shadow = context.shadow(&held)?;
        let stage2 = NestedStage2::of(shadow, guest_limits(shadow));
        nested_rows(&stage2, Ipa::new(address), system, out)?
    };
    let outcome = situation.outcome(access.unwrap_or(Access::Read));
    let text = Sentence {
        situation: &situation,
        access,
    };
    out.row(&walk(
        address,
        access,
        outcome,
        Some(situation.shadow_state().name()),
        format_args!("{text}"),
    ))?;
    Ok(())
}

/// The steps of all three tables for `ipa`, and what they come to. The caller holds the lock.
fn nested_rows(
    stage2: &NestedStage2,
    ipa: Ipa<L2>,
    system: &System,
    out: &mut Output,
) -> Result<Situation, CommandError<'static>> {
    let (vttbr, vtcr) = (stage2.key.vttbr(), stage2.key.vtcr());
    let registers = format_args!("VTTBR_EL2 {vttbr:#018x}, VTCR_EL2 {vtcr:#018x}");
    stage(out, "guest", registers)?;
    let mut last = None;
    let mut result = Ok(());
    let situation = look_in(stage2, ipa, system, &mut |observed| {
        result = result.and_then(|()| observed_step(out, &mut last, &observed));
    })?;
    result?;
    Ok(situation)
}

/// What all three tables say about `ipa`. The caller holds the lock.
fn look_in(
    stage2: &NestedStage2,
    ipa: Ipa<L2>,
    system: &System,
    observe: &mut dyn FnMut(Observed<'_>),
) -> Result<Situation, CommandError<'static>> {
    let own = CarveOut::of(system);
    let tables = Tables {
        l1: &GuestRam,
        shadow: &own,
        host: &own,
        host_config: host_config(system)?,
    };
    Ok(look(stage2, ipa, &tables, &place_in(system.vm), observe))
}

/// A descriptor of any of the three tables, behind a row about its table where that begins.
fn observed_step(out: &mut Output, last: &mut Option<&'static str>, observed: &Observed<'_>) -> fmt::Result {
    let name = observed.stage();
    if last.replace(name) != Some(name) {
        stage(out, name, format_args!("{}", observed.config()))?;
    }
    match *observed {
        Observed::Guest(config, step) => stage2_step(out, name, config, step),
        Observed::Host(config, step) | Observed::Shadow(config, step) => stage2_step(out, name, config, step),
    }
}

fn stage(out: &mut Output, name: &str, words: fmt::Arguments<'_>) -> fmt::Result {
    out.row(&wire::Stage { stage: name, words })
}

fn stage2_step<O>(out: &mut Output, name: &str, cfg: &Stage2Config, step: Step<O>) -> fmt::Result {
    let words = Stage2Words {
        cfg,
        level: step.level,
        raw: step.raw,
    };
    out.row(&step_row(name, step, format_args!("{words}")))
}

fn stage1_step<O>(out: &mut Output, cfg: &Stage1Config, range: &Stage1Range, step: Step<O>) -> fmt::Result {
    let words = Stage1Words {
        cfg,
        range,
        level: step.level,
        raw: step.raw,
    };
    out.row(&step_row(STAGE1, step, format_args!("{words}")))
}

fn step_row<'a, O>(stage: &'a str, step: Step<O>, words: fmt::Arguments<'a>) -> wire::Step<'a> {
    wire::Step {
        stage,
        level: step.level.get(),
        table: Hex(step.table.bits()),
        index: step.index,
        raw: step.raw.map(Hex),
        words,
    }
}

fn walk<'a>(
    address: u64,
    access: Option<Access>,
    outcome: Outcome,
    shadow: Option<&'a str>,
    text: fmt::Arguments<'a>,
) -> wire::Walk<'a> {
    wire::Walk {
        address: Hex(address),
        access: match access {
            None | Some(Access::Read) => "r",
            Some(Access::Write) => "w",
            Some(Access::Execute { .. }) => "x",
        },
        end: outcome.name(),
        receiver: matches!(outcome, Outcome::FaultsToL1(_)).then_some("l1"),
        pa: outcome.pa().map(Pa::bits).map(Hex),
        shadow,
        text,
    }
}

/// What gnomon's own map makes of an address.
struct OwnSentence {
    va: GuestVa,
    walked: Result<Stage1Mapping<Phys>, Fault>,
}

impl fmt::Display for OwnSentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let va = self.va;
        match self.walked {
            Ok(mapping) => {
                let (perms, mem) = (mapping.attrs.perms.privileged, mapping.attrs.mem);
                let (level, output) = (mapping.level, mapping.output);
                write!(f, "gnomon maps VA {va} {perms} {mem} at {level}; it is PA {output}.")
            }
            Err(fault) => write!(f, "gnomon maps nothing at VA {va}; an access would be fatal ({fault})."),
        }
    }
}

/// Tells what is at an IPA of L1's that is not its memory.
fn place_in(vm: &Vm) -> impl Fn(Ipa<L1>) -> Place {
    move |l1| {
        let at = l1.bits();
        let is_own = |bank| mm::CarveOut::of(bank).whole.contains(&at);
        if vm.machine.gicd.contains(&at) || vm.machine.gicr.contains(&at) {
            Place::Device
        } else if vm.machine.home_bank().as_ref().is_some_and(is_own) {
            Place::Hypervisor
        } else {
            Place::Nothing
        }
    }
}
