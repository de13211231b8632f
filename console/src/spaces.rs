//! What dumps and snapshots go over: address spaces that one set of tables translates.
//!
//! A [`Table`] is one. A stage 1 of a vCPU is up to two, the halves of its address space, and only the vCPU's registers
//! say where their tables are: its CPU is asked first. So a name becomes a [`Source`], and that, when it has an answer, the
//! spaces.

use alloc::sync::Arc;
use core::fmt;

use vmsa::{
    Enter, Found, TableFormat,
    ptdump::{LeafFormat, RangeDumper},
    stage1::{self, Half, Regime, Stage1Range},
};

use super::{
    error::CommandError,
    system::System,
    tables::{GuestRam, Table, Visited},
    translation::{Stage1Name, Translation, Which},
};
use crate::inspect::{Inquiry, Request};

/// What the user named.
pub enum Source {
    /// A table.
    Table(Table),
    /// A stage 1, whose registers are asked for.
    Stage1 {
        /// Its name.
        name: Stage1Name,
        /// The question.
        inquiry: Inquiry,
    },
}

/// A part of what was named: a space, or why there is none.
pub type Part = Result<Space, &'static str>;

/// At most two: the halves of a stage 1.
pub type Parts = [Option<Part>; 2];

impl Source {
    /// What the user means by `name`.
    pub fn find<'a>(name: &'a str, system: &System) -> Result<Self, CommandError<'a>> {
        match Stage1Name::find(name, system.vm.machine.cpus.len()) {
            Some(name) => Ok(Self::stage1(name)),
            None => Table::find(name, system).map(Self::Table),
        }
    }

    /// The same, to be asked anew.
    pub fn again(&self) -> Self {
        match self {
            Self::Table(table) => Self::Table(*table),
            Self::Stage1 { name, .. } => Self::stage1(*name),
        }
    }

    fn stage1(name: Stage1Name) -> Self {
        Self::Stage1 {
            name,
            inquiry: Inquiry::new(name.cpu, Request::Snapshot),
        }
    }

    /// Its parts; `None` while the registers are not known.
    pub fn poll(&mut self, system: &System) -> Result<Option<Parts>, CommandError<'static>> {
        let (name, inquiry) = match self {
            Self::Table(table) => return Ok(Some([Some(Ok(Space::Table(*table))), None])),
            Self::Stage1 { name, inquiry } => (*name, inquiry),
        };
        let translation = inquiry.poll_snapshot(system.vm, |snapshot| Translation::of(snapshot, name.which))?;
        Ok(translation.map(|translation| halves(name, translation)))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(table) => table.fmt(f),
            Self::Stage1 { name, .. } => name.fmt(f),
        }
    }
}

fn halves(name: Stage1Name, translation: Translation) -> Parts {
    if !translation.stage1.is_on {
        return [Some(Err("stage 1 is off: a virtual address is its own output")), None];
    }
    let part = |half, why| match translation.stage1.half(half) {
        Ok(range) => Ok(Space::Half(Arc::new(HalfSpace {
            name,
            translation,
            range,
        }))),
        Err(_) => Err(why),
    };
    let lower = part(
        Half::Lower,
        "TCR and TTBR0 describe no tables: any access to the lower half faults",
    );
    let upper = translation.stage1.regime.has_el0().then(|| {
        part(
            Half::Upper,
            "TCR and TTBR1 describe no tables: any access to the upper half faults",
        )
    });
    [Some(lower), upper]
}

/// An address space.
#[derive(Clone)]
pub enum Space {
    /// What a table translates.
    Table(Table),
    /// Half of what a vCPU's stage 1 translates.
    Half(Arc<HalfSpace>),
}

/// Half of what a vCPU's stage 1 translates.
pub struct HalfSpace {
    /// Whose stage 1, and which.
    name: Stage1Name,
    /// It, as the registers were when they were asked for.
    translation: Translation,
    /// The half.
    range: Stage1Range,
}

impl HalfSpace {
    /// Whose stage 1 it is.
    pub fn regime(&self) -> Regime {
        self.translation.stage1.regime
    }

    const fn mair(&self) -> u64 {
        self.translation.stage1.mair
    }
}

impl Space {
    /// What makes lines of its entries.
    pub fn dumper(&self) -> RangeDumper {
        match self {
            Self::Table(table) => table.dumper(),
            Self::Half(half) => RangeDumper::stage1(half.regime(), &half.range, half.mair()),
        }
    }

    /// How its leaves are read.
    pub fn leaves(&self, system: &System) -> Result<LeafFormat, CommandError<'static>> {
        match self {
            Self::Table(table) => table.leaves(system),
            Self::Half(half) => Ok(LeafFormat::stage1(&half.range, half.mair())),
        }
    }

    /// Where its descriptors have their addresses.
    pub fn format(&self, system: &System) -> Result<TableFormat, CommandError<'static>> {
        match self {
            Self::Table(table) => table.format(system),
            Self::Half(half) => Ok(half.range.format),
        }
    }

    /// Whether a dump goes up to the end whoever asks. Linux's of a stage 2 do not.
    pub fn is_printed_to_its_end(&self) -> bool {
        matches!(self, Self::Half(_))
    }

    /// Calls `f` for at most `budget` leaves, holes and tables from `from` on; see [`Table::survey`].
    pub fn survey(
        &self,
        system: &System,
        from: u64,
        budget: usize,
        f: &mut dyn FnMut(Found) -> Enter,
    ) -> Result<Visited, CommandError<'static>> {
        let (translation, range) = match self {
            Self::Table(table) => return table.survey(system, from, budget, f),
            Self::Half(half) => (&half.translation, &half.range),
        };
        let f = &mut |found: Found| f(found);
        let next = match translation.which {
            Which::VirtualEl2 => stage1::survey(range, &GuestRam, from, budget, f),
            Which::El1 => stage1::survey(range, &translation.l2_memory(system)?, from, budget, f),
        };
        Ok(Visited {
            next,
            end: range.end(),
            version: 0,
        })
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(table) => table.fmt(f),
            Self::Half(half) => half.name.fmt(f),
        }
    }
}
