//! Invariants I1 to I3 of the design and L1's own tables, checked part by part while the guests run.
//!
//! The host's table and the shadows are gnomon's, and what is wrong with them (I2, I3) is wrong at once. What a shadow
//! has and L1's table has not (I1) may be on its way: L1 changes a descriptor first and invalidates then. So what
//! contradicts L1's tables is a [`Suspect`], looked at again after a quarter of a second, and counts if it is still there
//! and the shadow in use. Of tables that nobody uses any more L1 need not say so; what is found there is told and does
//! not count. While all vCPUs are stopped nothing can change, and nothing is waited for.
//!
//! Memory is bounded: a handful of suspects at a time, and no more of one table are told than [`TOLD_MAX`].

mod own;
mod suspect;

use core::fmt::Write;

use explain::Lint;
use shadow::GuestStage2;
use wire::Hex;

use super::{
    commands::{Output, Progress},
    error::CommandError,
    system::System,
    tables::{Context, Table, guest_limits},
    text::Text,
};
use own::Pass;
use suspect::{Suspect, Suspects};

/// Entries looked at while the lock is held.
const BATCH: usize = 32;
/// Batches in a step.
const BATCHES: usize = 32;
/// Suspects of one table that are judged; of the rest it is only said that they are there.
const TOLD_MAX: u64 = 48;
/// What a finding takes at most, in bytes of text; of [`own`]'s there may be one for each entry of a batch.
const FINDING_BYTES: usize = 1000;

/// What is audited.
#[derive(Clone, Copy, Debug)]
pub enum Scope {
    /// Everything.
    All,
    /// The host's table.
    Host,
    /// A shadow, and L1's table behind it.
    Shadow(Context),
    /// L1's table alone.
    Guest(Context),
}

/// What is looked at next.
enum Stage {
    /// The frames of all tables together.
    Frames,
    Host(Pass),
    /// The shadow with the lowest number from this one on.
    Next(u16),
    Guest(Context, Lint),
    Shadow(Context, Pass),
    End,
}

/// An audit in progress.
pub struct Audit {
    scope: Scope,
    stage: Stage,
    suspects: Suspects,
    /// Whether the suspects are judged before anything else is looked at.
    is_judging: bool,
    /// Suspects of this table so far.
    told: u64,
    sums: wire::Audit,
}

impl Audit {
    /// An audit that has not begun.
    pub fn new(scope: Scope) -> Self {
        Self {
            scope,
            stage: match scope {
                Scope::All => Stage::Frames,
                Scope::Host => Stage::Host(Pass::default()),
                Scope::Shadow(context) | Scope::Guest(context) => Stage::Guest(context, Lint::default()),
            },
            suspects: Suspects::new(),
            is_judging: false,
            told: 0,
            sums: wire::Audit {
                leaves: 0,
                descriptors: 0,
                pages: 0,
                findings: 0,
                unused: 0,
            },
        }
    }

    /// Does the next part.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        for _ in 0..BATCHES {
            if out.room() < 2 * FINDING_BYTES {
                break;
            }
            if self.is_judging {
                if !self.suspects.are_due(system) {
                    break;
                }
                self.judge_one(system, out)?;
                continue;
            }
            match self.part(system, out) {
                // It may end at any time; what was asked for by name must be there.
                Err(CommandError::ShadowGone) if matches!(self.scope, Scope::All) => self.leave_shadow(),
                result => result?,
            }
            if matches!(self.stage, Stage::End) && !self.is_judging {
                out.row(&self.sums)?;
                return Ok(Progress::Done);
            }
        }
        Ok(Progress::More)
    }

    /// Looks at the next few entries.
    fn part(&mut self, system: &System, out: &mut Output) -> Result<(), CommandError<'static>> {
        match &mut self.stage {
            Stage::Frames => {
                own::check_frames(system, &mut self.sums, out)?;
                self.stage = Stage::Host(Pass::default());
            }
            Stage::Host(pass) => {
                if pass.step(&Table::Host, system, &mut self.sums, out)? == Progress::Done {
                    self.stage = match self.scope {
                        Scope::All => Stage::Next(0),
                        _ => Stage::End,
                    };
                }
            }
            Stage::Next(number) => {
                let next = system.shadow_from(*number, |slot, shadow| Context {
                    slot,
                    key: shadow.key(),
                })?;
                self.stage = next.map_or(Stage::End, |context| Stage::Guest(context, Lint::default()));
            }
            Stage::Guest(..) => self.part_of_guest(system, out)?,
            Stage::Shadow(..) => self.part_of_shadow(system, out)?,
            Stage::End => {}
        }
        Ok(())
    }

    fn part_of_guest(&mut self, system: &System, out: &mut Output) -> Result<(), CommandError<'static>> {
        let Stage::Guest(context, lint) = &mut self.stage else {
            return Ok(());
        };
        let context = *context;
        let mut noted = Noted::new(&mut self.suspects, &mut self.told);
        let has_more = suspect::lint(context, lint, BATCH, system, &mut |suspect| noted.note(suspect))?;
        let checked = lint.checked();
        self.is_judging = noted.is_full();
        if !has_more {
            self.sums.descriptors += checked;
            self.end_table(Table::Guest(context), out)?;
            self.stage = match self.scope {
                Scope::Guest(_) => Stage::End,
                _ => Stage::Shadow(context, Pass::default()),
            };
        }
        Ok(())
    }

    fn part_of_shadow(&mut self, system: &System, out: &mut Output) -> Result<(), CommandError<'static>> {
        let Stage::Shadow(context, pass) = &mut self.stage else {
            return Ok(());
        };
        let context = *context;
        let from = pass.next();
        let mut noted = Noted::new(&mut self.suspects, &mut self.told);
        {
            let held = system.slot(context.slot)?;
            let shadow = context.shadow(&held)?;
            let guest = GuestStage2 {
                limits: guest_limits(shadow),
            };
            system.vm.mmu.audit(shadow, &guest, from, BATCH, &mut |finding| {
                noted.note(Suspect::leaf(context, finding, shadow.last_use()));
            });
        }
        self.is_judging = noted.is_full();
        if pass.step(&Table::Shadow(context), system, &mut self.sums, out)? == Progress::Done {
            self.end_table(Table::Shadow(context), out)?;
            self.leave_shadow();
        }
        Ok(())
    }

    /// Goes on behind a shadow.
    fn leave_shadow(&mut self) {
        self.stage = match (&self.stage, self.scope) {
            (Stage::Guest(context, _) | Stage::Shadow(context, _), Scope::All) => {
                Stage::Next(context.slot.number() + 1)
            }
            _ => Stage::End,
        };
    }

    /// What there is to do at the end of a table.
    fn end_table(&mut self, table: Table, out: &mut Output) -> Result<(), CommandError<'static>> {
        self.is_judging = !self.suspects.is_empty();
        let told = core::mem::take(&mut self.told);
        if told > TOLD_MAX {
            let mut text = Text::<128>::new();
            write!(
                text,
                "{table} has {} more suspects, which are not judged",
                told - TOLD_MAX
            )?;
            out.row(&wire::Note { text: text.as_str() })?;
        }
        Ok(())
    }

    /// Looks at one of the suspects again.
    fn judge_one(&mut self, system: &System, out: &mut Output) -> Result<(), CommandError<'static>> {
        let Some(suspect) = self.suspects.take() else {
            self.is_judging = false;
            return Ok(());
        };
        match suspect.judge(system, out)? {
            Some(true) => self.sums.findings += 1,
            Some(false) => self.sums.unused += 1,
            None => {}
        }
        Ok(())
    }
}

/// Where suspects of a table go.
struct Noted<'a> {
    suspects: &'a mut Suspects,
    told: &'a mut u64,
}

impl<'a> Noted<'a> {
    fn new(suspects: &'a mut Suspects, told: &'a mut u64) -> Self {
        Self { suspects, told }
    }

    fn note(&mut self, suspect: Suspect) {
        if *self.told < TOLD_MAX {
            self.suspects.push(suspect);
        }
        *self.told += 1;
    }

    /// Whether another batch might not fit.
    fn is_full(&self) -> bool {
        self.suspects.room() < BATCH
    }
}

/// A finding about a whole table, or a leaf of gnomon's own making, which counts whatever happens.
fn certain<'a>(rule: &'a str, table: &'a str, ia: u64, size: u64, text: &'a str) -> wire::Finding<'a> {
    wire::Finding {
        rule,
        table,
        ia: Hex(ia),
        size: Hex(size),
        counts: true,
        cause: "gnomon",
        text,
        guest: "",
        host: "",
        shadow: "",
    }
}
