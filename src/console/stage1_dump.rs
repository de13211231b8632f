//! A vCPU's stage 1 as text, in the format of Linux's ptdump: the lower half of the address space, then the upper.
//!
//! The registers are those of one moment, asked of the vCPU's CPU; the tables are read as they are, part by part.

use vmsa::{
    ReadTable,
    ptdump::RangeDumper,
    stage1::{Half, Stage1Config, Stage1Range, visit},
};

use super::{
    commands::{Output, Progress},
    error::CommandError,
    system::System,
    tables::GuestRam,
    translation::{Stage1Name, Translation, Which},
};
use crate::inspect::{Inquiry, Request};

/// Entries read while the lock is held.
const BATCH: usize = 32;
/// Batches in a step, as long as there is room for what they may print.
const BATCHES: usize = 16;
/// No line of a dump is longer; checked where it is written.
const LINE_BYTES_MAX: usize = 112;

/// A dump in progress.
pub struct Stage1Dump {
    which: Which,
    /// For the registers.
    inquiry: Inquiry,
    /// The half that is printed, once the registers are known.
    half: Option<HalfDump>,
}

impl Stage1Dump {
    /// A dump of the stage 1 with this name.
    pub fn new(name: Stage1Name) -> Self {
        Self {
            which: name.which,
            inquiry: Inquiry::new(name.cpu, Request::Snapshot),
            half: None,
        }
    }

    /// Prints the next part.
    pub fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        let Some(dump) = &mut self.half else {
            return self.ask(system, out);
        };
        if dump.step(system, out)? == Progress::More {
            return Ok(Progress::More);
        }
        let translation = dump.translation;
        if dump.half == Half::Upper || !translation.stage1.regime.has_el0() {
            return Ok(Progress::Done);
        }
        self.half = Some(HalfDump::new(translation, Half::Upper));
        Ok(Progress::More)
    }

    /// Looks for the registers.
    fn ask(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        let which = self.which;
        let answer = self
            .inquiry
            .poll_snapshot(system.vm, |snapshot| Translation::of(snapshot, which))?;
        match answer {
            Some(translation) if !translation.stage1.is_on => {
                out.row(&wire::Note {
                    text: "stage 1 is off: a virtual address is its own output",
                })?;
                return Ok(Progress::Done);
            }
            Some(translation) => self.half = Some(HalfDump::new(translation, Half::Lower)),
            None => {}
        }
        Ok(Progress::More)
    }
}

/// A dump of one half of the address space.
struct HalfDump {
    translation: Translation,
    half: Half,
    dumper: Option<RangeDumper>,
    /// Where to go on.
    next: u64,
}

impl HalfDump {
    const fn new(translation: Translation, half: Half) -> Self {
        Self {
            translation,
            half,
            dumper: None,
            next: 0,
        }
    }

    fn step(&mut self, system: &System, out: &mut Output) -> Result<Progress, CommandError<'static>> {
        let Ok(range) = self.translation.stage1.half(self.half) else {
            out.row(&wire::Note {
                text: match self.half {
                    Half::Lower => "TCR and TTBR0 describe no tables: any access to the lower half faults",
                    Half::Upper => "TCR and TTBR1 describe no tables: any access to the upper half faults",
                },
            })?;
            return Ok(Progress::Done);
        };
        // One line may be left over from before, and the header and the last range come in addition.
        const ROOM: usize = (BATCH + 3) * LINE_BYTES_MAX;
        for _ in 0..BATCHES {
            if out.room() < ROOM {
                break;
            }
            let next = match self.translation.which {
                // No TLBI of L1's is halfway while its tables are read.
                Which::VirtualEl2 => {
                    let _order = system.mmu();
                    self.batch(&range, &GuestRam, out)?
                }
                Which::El1 => {
                    let mmu = system.mmu()?;
                    self.batch(&range, &self.translation.l2_memory(&mmu), out)?
                }
            };
            let Some(next) = next else {
                if let Some(dumper) = &mut self.dumper {
                    dumper.finish(range.end(), out)?;
                }
                return Ok(Progress::Done);
            };
            self.next = next;
        }
        Ok(Progress::More)
    }

    /// Prints some entries; gives the address to go on from.
    fn batch<L>(
        &mut self,
        range: &Stage1Range,
        memory: &impl ReadTable<L>,
        out: &mut Output,
    ) -> Result<Option<u64>, CommandError<'static>> {
        let Stage1Config { regime, mair, .. } = self.translation.stage1;
        let dumper = self
            .dumper
            .get_or_insert_with(|| RangeDumper::stage1(regime, range, mair));
        let from = self.next;
        let mut result = Ok(());
        let next = visit(range, memory, from, BATCH, &mut |mut entry| {
            // A block may have taken the place of what was printed up to here.
            entry.ia = entry.ia.max(from);
            result = result.and_then(|()| dumper.note_entry(&entry, out));
        });
        result?;
        Ok(next)
    }
}
