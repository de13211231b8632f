//! A vCPU's stage 1, as its registers describe it, and the memory that its tables are in.
//!
//! There are two that L1 makes: that of its own virtual EL2, and the EL1&0 regime of what runs below. Tables of the first
//! are in L1's memory; tables of the second are in L2's, which is found through L1's stage 2 in software. The shadow has
//! no part in that: it may lack what L2 has not touched.

use core::{cell::Cell, fmt};

use explain::NestedStage2;
use hyp::{arch::features, lock::Spin, mm::PAGE_BYTES, nested::walk, vcpu::Context, vm::Vm};
use shadow::{Held, ShadowKey};
use syndrome::{e2h0, regs::hcr_el2, vncr};
use vmsa::{
    Ipa, L1, L2, ReadTable, Unreadable,
    stage1::{Regime, Stage1Config, Stage1Registers},
    stage2::{Stage2Config, Stage2Limits, walk_steps},
};

use super::{
    error::CommandError,
    system::System,
    tables::{GuestRam, guest_limits, limits},
};
use crate::inspect::Snapshot;

/// Which of a vCPU's stages 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Of L1 at virtual EL2.
    VirtualEl2,
    /// Of EL1 and EL0 below it: L2's, or L1's own EL1 as KVM's host has none.
    El1,
}

impl Which {
    /// The one that is in force in `context`.
    pub const fn of(context: Context) -> Self {
        match context {
            Context::Host => Self::VirtualEl2,
            Context::Nested => Self::El1,
        }
    }

    /// All of them.
    pub const ALL: [Self; 2] = [Self::VirtualEl2, Self::El1];

    const fn name(self) -> &'static str {
        match self {
            Self::VirtualEl2 => "vel2",
            Self::El1 => "el1",
        }
    }
}

/// The name of a stage 1: `s1/<cpu>/<regime>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage1Name {
    /// Whose.
    pub cpu: usize,
    /// Which.
    pub which: Which,
}

impl Stage1Name {
    /// The stage 1 that `name` means on a machine with so many CPUs, if it means one.
    pub fn find(name: &str, cpu_count: usize) -> Option<Self> {
        let (cpu, regime) = name.strip_prefix("s1/")?.split_once('/')?;
        Some(Self {
            cpu: cpu.parse().ok().filter(|cpu| *cpu < cpu_count)?,
            which: Which::ALL.into_iter().find(|which| which.name() == regime)?,
        })
    }
}

impl fmt::Display for Stage1Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s1/{}/{}", self.cpu, self.which.name())
    }
}

/// The stage 2 of an L2, with its shadow locked, if it has one.
pub struct Nested {
    /// It.
    pub stage2: NestedStage2,
    held: Option<Held<'static, Spin>>,
}

/// A stage 1 and the stage 2 behind it, as a snapshot has them.
#[derive(Clone, Copy, Debug)]
pub struct Translation {
    /// Which of the vCPU's.
    pub which: Which,
    /// Its registers.
    pub registers: Stage1Registers,
    /// What they mean.
    pub stage1: Stage1Config,
    /// The stage 2 of L2, as L1's registers described it when it last ran; `None` if it never did.
    key: Option<ShadowKey>,
    /// How L1's tables are read, if the shadow does not tell.
    limits: Stage2Limits,
}

impl Translation {
    /// Of the vCPU of which `snapshot` was taken.
    pub fn of(snapshot: &Snapshot, which: Which) -> Self {
        let hcr = snapshot.at_offset(vncr::HCR_EL2).unwrap_or(0);
        let mut vel2 = snapshot.vel2;
        let (regime, registers, hcr_stage1) = match which {
            Which::VirtualEl2 if Vm::get().is_some_and(|vm| vm.is_e2h0) => {
                vel2.tcr = e2h0::tcr_el2(vel2.tcr);
                (Regime::El2, &vel2, 0)
            }
            Which::VirtualEl2 => (Regime::El2And0, &vel2, 0),
            // While L1 is a host, its HCR_EL2 is not what it is for its guest.
            Which::El1 if snapshot.context == Context::Host => (Regime::El1And0, &snapshot.guest, 0),
            Which::El1 => (Regime::El1And0, &snapshot.guest, hcr & (hcr_el2::DC | hcr_el2::TGE)),
        };
        let registers = walk::registers(registers, hcr_stage1);
        Self {
            which,
            registers,
            stage1: Stage1Config::from_registers(regime, &registers, &features::stage1_limits()),
            key: snapshot.guest_stage2,
            limits: limits(hcr, snapshot.vel2.sctlr),
        }
    }

    /// The stage 2 behind [`Which::El1`], with the shadow that it has now, locked; `None` if L1 has never run a guest there.
    #[inline(never)]
    pub fn nested(&self, system: &System) -> Result<Option<Nested>, CommandError<'static>> {
        let Some(key) = self.key else { return Ok(None) };
        for slot in system.vm.mmu.shadows.slots_of(key.vmid()) {
            let held = system.slot(slot)?;
            if let Some(shadow) = held.as_ref().filter(|shadow| shadow.key() == key) {
                let stage2 = NestedStage2::of(shadow, guest_limits(shadow));
                return Ok(Some(Nested {
                    stage2,
                    held: Some(held),
                }));
            }
        }
        let stage2 = NestedStage2 {
            key,
            limits: self.limits,
            shadow: None,
        };
        Ok(Some(Nested { stage2, held: None }))
    }

    /// L2's memory, for reading tables.
    pub fn l2_memory(&self, system: &System) -> Result<L2Ram, CommandError<'static>> {
        let nested = self.nested(system)?;
        let stage2 = match nested.as_ref().map(|nested| nested.stage2) {
            None => Err(Unreadable),
            Some(stage2) if !stage2.key.enabled() => Ok(None),
            Some(NestedStage2 { key, limits, .. }) => Stage2Config::from_registers(key.vtcr(), key.vttbr(), &limits)
                .map(Some)
                .map_err(|_| Unreadable),
        };
        Ok(L2Ram {
            stage2,
            last: Cell::new(None),
            _held: nested.and_then(|nested| nested.held),
        })
    }
}

/// L2's memory as L1's stage 2 has it at the moment: for the reads of one visit, and not to be kept.
pub struct L2Ram {
    /// How L1's table is walked, if stage 2 is on and it can be.
    stage2: Result<Option<Stage2Config>, Unreadable>,
    /// The page of the last read, by both addresses: neighbouring words need no walk of their own.
    last: Cell<Option<(Ipa<L2>, Ipa<L1>)>>,
    /// No TLBI of L1's is halfway meanwhile.
    _held: Option<Held<'static, Spin>>,
}

impl L2Ram {
    fn page(&self, page: Ipa<L2>) -> Result<Ipa<L1>, Unreadable> {
        if let Some((ipa, l1)) = self.last.get()
            && ipa == page
        {
            return Ok(l1);
        }
        let l1 = match &self.stage2 {
            Err(unreadable) => return Err(*unreadable),
            Ok(None) => Ipa::new(page.bits()),
            Ok(Some(config)) => {
                walk_steps(config, page, &GuestRam, &mut |_| {})
                    .map_err(|_| Unreadable)?
                    .output
            }
        };
        self.last.set(Some((page, l1)));
        Ok(l1)
    }
}

impl ReadTable<L2> for L2Ram {
    fn read(&self, at: Ipa<L2>) -> Result<u64, Unreadable> {
        let l1 = self.page(at.align_down(PAGE_BYTES))?;
        GuestRam.read(l1.checked_add(at.page_offset()).ok_or(Unreadable)?)
    }
}
