//! The walks of a virtual address of a vCPU: its stage 1, whose tables are themselves behind stage 2, and then stage 2.
//!
//! The registers are asked of the vCPU's CPU, and so is the hardware's own opinion, if it is wanted: the CPU executes `AT`
//! in the context that it runs. Between the two the vCPU goes on, so they are only compared if its registers are the same
//! before and after; a difference is looked at several times before it is believed.

use core::{cell::Cell, fmt};

use explain::{
    AtSentence, HostSentence, L2Memory, Outcome, Sentence, Situation, VirtualEnd, VirtualSentence, stage2_access,
};
use shadow::Access;
use vmsa::{
    Fault, GuestVa, Ipa, L1, L2, ReadTable,
    par::Par,
    stage1::{AccessKind, Half, Stage1Mapping, walk_steps},
};
use wire::Hex;

use super::{
    STAGE1, host_rows, nested_rows, stage, stage1_step,
    view::{InForce, View, Walked, situation_of},
    walk,
};
use crate::{
    commands::{Output, Progress},
    error::CommandError,
    inspect::{Inquiry, Request},
    system::System,
    tables::GuestRam,
    translation::{Translation, Which},
};

/// How often a difference between the hardware and the tables is looked at before it is believed.
const LOOKS: u32 = 4;

/// An explanation in progress.
pub struct VcpuWalk {
    va: GuestVa,
    /// Of which stage 1; `None` for the one that is in force.
    which: Option<Which>,
    kind: Option<AccessKind>,
    is_at_wanted: bool,
    inquiry: Inquiry,
    phase: Phase,
    /// What was in force for the walk.
    walked: Option<InForce>,
    /// What was in force before `AT`.
    view: Option<View>,
    /// What `AT` found.
    par: u64,
    looks_left: u32,
}

/// What comes next.
#[derive(Clone, Copy)]
enum Phase {
    /// The registers, and the walk of stage 1.
    Stage1,
    /// The walk of stage 2, and the sentence.
    Stage2,
    /// What `AT` finds.
    At,
    /// The registers after it, and the comparison.
    After,
}

impl VcpuWalk {
    /// An explanation of `va` of the vCPU of `cpu`, as `which` stage 1 translates it when the answer comes, or else the one
    /// that is in force then.
    pub fn new(cpu: usize, which: Option<Which>, va: u64, kind: Option<AccessKind>) -> Self {
        Self {
            va: GuestVa::new(va),
            which,
            kind,
            is_at_wanted: false,
            inquiry: Inquiry::new(cpu, Request::Snapshot),
            phase: Phase::Stage1,
            walked: None,
            view: None,
            par: 0,
            looks_left: LOOKS,
        }
    }

    /// With what the CPU's `AT` finds, once the stage 1 in question is in force.
    pub fn with_at(self, is_at_wanted: bool) -> Self {
        Self { is_at_wanted, ..self }
    }

    /// Prints the next part.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        match self.phase {
            Phase::Stage1 => self.stage1(system, out),
            Phase::Stage2 => self.stage2(system, out),
            Phase::At => self.at(system, out),
            Phase::After => self.after(system, out),
        }
    }

    fn ask(&mut self, request: Request, phase: Phase) -> Progress {
        self.inquiry = Inquiry::new(self.inquiry.cpu(), request);
        self.phase = phase;
        Progress::More
    }

    /// The vCPU's translation, if the answer is there.
    fn poll_view(&mut self, system: &System) -> Result<Option<View>, CommandError<'static>> {
        let which = self.which;
        let view = self
            .inquiry
            .poll_snapshot(system.vm, |snapshot| View::of(snapshot, which))?;
        Ok(view)
    }

    fn stage1(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        let Some(mut view) = self.poll_view(system)? else {
            return Ok(Progress::More);
        };
        view.walked = match view.translation.which {
            Which::VirtualEl2 => Walked::ToL1(self.stage1_rows(&view, &GuestRam, &Cell::new(None), out)?),
            Which::El1 => {
                let last = Cell::new(None);
                let look = |ipa| situation_of(&view.translation, ipa, system);
                let memory = L2Memory::new(&GuestRam, look, &last);
                let walked = self.stage1_rows(&view, &memory, &last, out)?;
                let is_unreadable = matches!(walked, Err(Fault::ExternalAbortOnWalk(_)));
                let table = last.get().filter(|_| is_unreadable);
                Walked::ToL2(walked, table.map(|situation| situation.ipa))
            }
        };
        self.walked = Some(view.in_force);
        self.which = Some(view.translation.which);
        self.view = Some(view);
        self.phase = Phase::Stage2;
        Ok(Progress::More)
    }

    /// The steps of stage 1, each behind what stage 2 makes of its table's address, as `last` has it after each read.
    fn stage1_rows<O>(
        &self,
        view: &View,
        memory: &impl ReadTable<O>,
        last: &Cell<Option<Situation>>,
        out: &mut Output,
    ) -> Result<Result<Stage1Mapping<O>, Fault>, CommandError<'static>> {
        let Translation { stage1, registers, .. } = &view.translation;
        let half = Half::of(self.va);
        let ttbr = match half {
            Half::Lower => registers.ttbr0,
            Half::Upper => registers.ttbr1,
        };
        let level = if view.in_force.is_el0 { "EL0" } else { "its own level" };
        let (regime, tcr) = (stage1.regime, registers.tcr);
        stage(
            out,
            STAGE1,
            format_args!("{regime}, at {level}: TCR {tcr:#018x}, {half} {ttbr:#018x}"),
        )?;
        let kind = self.kind.unwrap_or(AccessKind::Read);
        let Ok(range) = stage1.half(half) else {
            return Ok(walk_steps(stage1, self.va, kind, memory, &mut |_| {}));
        };
        if stage1.is_on {
            stage(out, STAGE1, format_args!("{range}"))?;
        }
        let mut result = Ok(());
        let walked = walk_steps(stage1, self.va, kind, memory, &mut |step| {
            if let Some(situation) = last.get() {
                result = result.and_then(|()| stage(out, STAGE1, format_args!("{situation}")));
            }
            result = result.and_then(|()| stage1_step(out, stage1, &range, step));
        });
        result?;
        Ok(walked)
    }

    fn stage2(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        if let Some(view) = self.view {
            match view.walked {
                Walked::No => {}
                Walked::ToL1(walked) => self.end_in_l1(&view, walked, system, out)?,
                Walked::ToL2(walked, table) => self.end_in_l2(&view, walked, table, system, out)?,
            }
        }
        match self.view {
            Some(view) if self.is_at_wanted => Ok(self.ask_at(&view)),
            _ => Ok(Progress::Done),
        }
    }

    /// How the access goes on behind stage 1 of L1.
    fn end_in_l1(
        &self,
        view: &View,
        walked: Result<Stage1Mapping<L1>, Fault>,
        system: &System,
        out: &mut Output,
    ) -> Result<(), CommandError<'static>> {
        let refused = self.refused(view, walked);
        let host = match (walked, refused) {
            (Ok(mapping), None) => Some((mapping, host_rows(mapping.output, system, out)?)),
            _ => None,
        };
        let access = self.kind.map(|kind| stage2_access(view.access(kind)));
        let then = host.map(|(mapping, host)| HostSentence {
            l1: mapping.output,
            host,
            access,
        });
        let end = match (host, &then, refused) {
            (Some((mapping, _)), Some(then), _) => VirtualEnd::Goes { mapping, then },
            (_, _, Some(fault)) => VirtualEnd::Faults {
                fault,
                mapping: walked.ok(),
            },
            _ => return Ok(()),
        };
        let outcome = then.map(|then| then.outcome(access.unwrap_or(Access::Read)));
        let sentence = self.sentence(view, "L1's", end);
        self.walk_row(access, outcome, None, format_args!("{sentence}"), out)
    }

    /// How the access goes on behind stage 1 of L2, or why a `table` of that cannot be read.
    fn end_in_l2(
        &self,
        view: &View,
        walked: Result<Stage1Mapping<L2>, Fault>,
        table: Option<Ipa<L2>>,
        system: &System,
        out: &mut Output,
    ) -> Result<(), CommandError<'static>> {
        let refused = self.refused(view, walked);
        let ipa = match (walked, refused) {
            (Ok(mapping), None) => Some(mapping.output),
            _ => table,
        };
        let situation = match ipa {
            Some(ipa) => {
                let nested = view.translation.nested(system)?.ok_or(CommandError::NoGuest)?;
                Some(nested_rows(&nested.stage2, ipa, system, out)?)
            }
            None => None,
        };
        let access = match (walked, self.kind) {
            (Err(_), _) => Some(Access::Read),
            (Ok(_), kind) => kind.map(|kind| stage2_access(view.access(kind))),
        };
        let then = situation.as_ref().map(|situation| Sentence { situation, access });
        let end = match (walked, &then, refused) {
            (Ok(mapping), Some(then), None) => VirtualEnd::Goes { mapping, then },
            (Err(fault), Some(why), _) => VirtualEnd::Unreadable { fault, why },
            (_, _, Some(fault)) => VirtualEnd::Faults {
                fault,
                mapping: walked.ok(),
            },
            _ => return Ok(()),
        };
        let outcome = situation.map(|situation| situation.outcome(access.unwrap_or(Access::Read)));
        let shadow = situation.map(|situation| situation.shadow_state().name());
        let sentence = self.sentence(view, "IPA", end);
        self.walk_row(access, outcome, shadow, format_args!("{sentence}"), out)
    }

    /// The fault of stage 1, of the walk or of the access that is asked about.
    fn refused<O>(&self, view: &View, walked: Result<Stage1Mapping<O>, Fault>) -> Option<Fault> {
        match walked {
            Err(fault) => Some(fault),
            Ok(mapping) => mapping.check(view.access(self.kind?)).err(),
        }
    }

    fn sentence<'a, O, S>(
        &self,
        view: &'a View,
        output_name: &'a str,
        end: VirtualEnd<'a, O, S>,
    ) -> VirtualSentence<'a, O, S> {
        VirtualSentence {
            va: self.va,
            access: self.kind.map(|kind| view.access(kind)),
            owner: view.owner(),
            output_name,
            end,
        }
    }

    /// The last row; without an `outcome` of stage 2, stage 1 faults.
    fn walk_row(
        &self,
        access: Option<Access>,
        outcome: Option<Outcome>,
        shadow: Option<&str>,
        text: fmt::Arguments<'_>,
        out: &mut Output,
    ) -> Result<(), CommandError<'static>> {
        let row = walk(
            self.va.bits(),
            access,
            outcome.unwrap_or(Outcome::ExternalAbort),
            shadow,
            text,
        );
        out.row(&match outcome {
            Some(_) => row,
            None => wire::Walk {
                end: "faults",
                receiver: Some("guest"),
                ..row
            },
        })?;
        Ok(())
    }

    /// Asks for `AT` in the context that the stage 1 is in force in.
    fn ask_at(&mut self, view: &View) -> Progress {
        let request = Request::At {
            instruction: view.instruction(self.kind),
            context: view.context(),
            va: self.va.bits(),
        };
        self.ask(request, Phase::At)
    }

    fn at(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        match self.inquiry.poll_translation(system.vm)? {
            None => Ok(Progress::More),
            Some(Some(par)) => {
                self.par = par;
                Ok(self.ask(Request::Snapshot, Phase::After))
            }
            Some(None) => {
                out.row(&wire::Note {
                    text: "AT was not executed: the vCPU has had no guest, or that has lost its shadow",
                })?;
                Ok(Progress::Done)
            }
        }
    }

    fn after(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        let Some(view) = self.poll_view(system)? else {
            return Ok(Progress::More);
        };
        let is_settled = self.view.is_some_and(|before| before.in_force == view.in_force);
        self.view = Some(view);
        self.looks_left = self.looks_left.saturating_sub(1);
        if is_settled {
            let sentence = AtSentence {
                expected: view.expected(self.va, self.kind, system)?,
                par: Par(self.par),
            };
            if sentence.agrees() || self.looks_left == 0 {
                return self.conclude(&view, sentence, out);
            }
        } else if self.looks_left == 0 {
            out.row(&wire::Note {
                text: "the vCPU changes its translation faster than AT can be compared; under 'stop' it does not",
            })?;
            return Ok(Progress::Done);
        }
        Ok(self.ask_at(&view))
    }

    fn conclude(&self, view: &View, sentence: AtSentence, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        if self.walked != Some(view.in_force) {
            out.row(&wire::Note {
                text: "the vCPU has switched tables since the walk above; AT is compared with those of now",
            })?;
        }
        out.row(&wire::At {
            par: Hex(self.par),
            agrees: sentence.agrees(),
            text: format_args!("{sentence}"),
        })?;
        Ok(Progress::Done)
    }
}
