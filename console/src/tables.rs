//! Page tables by name, and how each is read.
//!
//! `host` is what L1 runs on, `el2` gnomon's own stage 1, `dma` what devices use; `shadow/<name>` and `guest/<name>`
//! are the table that an L2 runs on and the one that L1 made for it. `<name>` is KVM's for the same context, a unique
//! beginning of it, or the number that `shadow` lists.
//!
//! Every word is read with a check of its address. gnomon's tables lie in the carve-out, whatever a descriptor says;
//! L1's tables are data of L1, and lead wherever they lead.

use core::{fmt, ops::Range};

use hyp::{
    mm::{self, phys, stage1},
    shadow_mmu::{self, Shadows},
    vm::Vm,
};
use shadow::{FindError, Shadow, ShadowKey, SlotId, find};
use syndrome::regs::hcr_el2;
use vmsa::{
    AddressField, Enter, Entry, Found, Granule, Level, Pa, Phys, ReadTable, TableFormat, Unreadable,
    ptdump::{LeafFormat, RangeDumper},
    stage1::survey_el2,
    stage2::{self, Shareability, Stage2Config, Stage2Limits},
};

use super::{error::CommandError, system::System};
pub use hyp::mm::phys::GuestRam;

/// Levels and input address bits of EL2's stage 1.
const EL2_LEVELS: u32 = 4;
const EL2_VA_BITS: u32 = 48;

/// No table's name is longer.
pub const NAME_BYTES: usize = 64;

/// A page table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// L1 IPA to PA.
    Host,
    /// EL2 VA to PA.
    El2,
    /// What the SMMU lets PCI devices reach, which is at the same PA.
    Dma,
    /// L2 IPA to PA.
    Shadow(Context),
    /// L2 IPA to L1 IPA, made by L1.
    Guest(Context),
}

/// A guest of L1, by the shadow it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The shadow's place in the pool.
    pub slot: SlotId,
    /// Whose shadow it was when the name was looked up.
    pub key: ShadowKey,
}

/// What a part of a table's walk ended with.
pub struct Visited {
    /// Where to go on; `None` at the end.
    pub next: Option<u64>,
    /// The end of the input address space.
    pub end: u64,
    /// What the table was.
    pub version: Version,
}

/// Tells whether a shadow has changed between two looks; 0 for tables whose changes gnomon does not see or make.
pub type Version = u64;

impl Table {
    /// The table that the user means by `name`.
    pub fn find<'a>(name: &'a str, system: &System) -> Result<Self, CommandError<'a>> {
        match name.split_once('/') {
            None if name == "host" => Ok(Self::Host),
            None if name == "el2" => Ok(Self::El2),
            None if name == "dma" && system.vm.smmu.is_some() => Ok(Self::Dma),
            Some(("shadow", context)) => Context::find(context, name, system).map(Self::Shadow),
            Some(("guest", context)) => Context::find(context, name, system).map(Self::Guest),
            _ => Err(CommandError::UnknownTable(name)),
        }
    }

    /// Levels of the walk.
    pub fn levels(&self, system: &System) -> Result<u32, CommandError<'static>> {
        Ok(self.config(system)?.map_or(EL2_LEVELS, |config| config.levels()))
    }

    /// Input address bits of a stage 2.
    pub fn ipa_bits(&self, system: &System) -> Result<u32, CommandError<'static>> {
        self.config(system)?
            .map(|config| config.ipa_bits)
            .ok_or(CommandError::NoIpa)
    }

    /// How a stage 2 is walked; `None` for a stage 1.
    fn config(&self, system: &System) -> Result<Option<Stage2Config>, CommandError<'static>> {
        match self {
            Self::El2 => Ok(None),
            Self::Host => host_config(system).map(Some),
            Self::Dma => Ok(Some(dma_config(system))),
            Self::Shadow(context) => Ok(Some(context.shadow(&*system.slot(context.slot)?)?.table().config())),
            Self::Guest(context) => context.guest_config(&*system.slot(context.slot)?).map(Some),
        }
    }

    /// What makes lines of its entries.
    pub fn dumper(&self) -> RangeDumper {
        match self {
            Self::El2 => RangeDumper::el2(stage1::MAIR),
            Self::Host | Self::Dma | Self::Shadow(_) | Self::Guest(_) => RangeDumper::stage2(),
        }
    }

    /// How its leaves are read.
    pub fn leaves(&self, system: &System) -> Result<LeafFormat, CommandError<'static>> {
        let config = self.config(system)?;
        Ok(config.map_or(LeafFormat::el2(stage1::MAIR), LeafFormat::Stage2))
    }

    /// Where its descriptors have their addresses.
    pub fn format(&self, system: &System) -> Result<TableFormat, CommandError<'static>> {
        let config = self.config(system)?;
        Ok(config.map_or(TableFormat::bits48(Granule::K4), |config| config.format()))
    }

    /// Calls `f` for at most `budget` leaves and holes from `from` on, in address order, with the table locked.
    pub fn visit(
        &self,
        system: &System,
        from: u64,
        budget: usize,
        f: &mut dyn FnMut(Entry),
    ) -> Result<Visited, CommandError<'static>> {
        self.survey(system, from, budget, &mut |found| {
            if let Found::Entry { entry, .. } = found {
                f(entry);
            }
            Enter::Yes
        })
    }

    /// [`visit`](Self::visit) with the tables in between, which are entered if `f` says so.
    pub fn survey(
        &self,
        system: &System,
        from: u64,
        budget: usize,
        f: &mut dyn FnMut(Found) -> Enter,
    ) -> Result<Visited, CommandError<'static>> {
        let own = CarveOut::of(system);
        let f = &mut |found: Found| f(found);
        match self {
            Self::El2 => Ok(Visited {
                next: survey_el2(stage1::root(), &own, from, budget, f),
                end: 1 << EL2_VA_BITS,
                version: 0,
            }),
            Self::Host => {
                // Its root stays where it is, so it can be read even when the lock is lost to a panic.
                let host = system.host();
                let version = host.as_ref().map_or(0, |host| host.generation());
                let config = host_config(system)?;
                Ok(Visited::of(
                    &config,
                    stage2::survey(&config, &own, from, budget, f),
                    version,
                ))
            }
            Self::Dma => {
                let config = dma_config(system);
                Ok(Visited::of(&config, stage2::survey(&config, &own, from, budget, f), 0))
            }
            Self::Shadow(context) => {
                let held = system.slot(context.slot)?;
                let table = context.shadow(&held)?.table();
                let config = table.config();
                let next = stage2::survey(&config, &own, from, budget, f);
                Ok(Visited::of(&config, next, table.generation()))
            }
            Self::Guest(context) => {
                let held = system.slot(context.slot)?;
                let config = context.guest_config(&held)?;
                let next = stage2::survey(&config, &GuestRam, from, budget, f);
                Ok(Visited::of(&config, next, 0))
            }
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::El2 => f.write_str("el2"),
            Self::Dma => f.write_str("dma"),
            Self::Shadow(context) => write!(f, "shadow/{}", context.key),
            Self::Guest(context) => write!(f, "guest/{}", context.key),
        }
    }
}

impl Context {
    /// The context of the shadow with this number or a name that begins so; `whole` is what the user typed.
    fn find<'a>(name: &str, whole: &'a str, system: &System) -> Result<Self, CommandError<'a>> {
        let key_of = |slot| system.slot(slot).ok()?.as_ref().map(Shadow::key);
        let (slot, key) = find(name, Shadows::slots(), key_of).map_err(|error| match error {
            FindError::NotFound => CommandError::UnknownTable(whole),
            FindError::Ambiguous => CommandError::AmbiguousTable(whole),
        })?;
        Ok(Self { slot, key })
    }

    /// How L1's table is walked: by its registers as the key has them, and in the byte order of the last fault.
    fn guest_config(&self, held: &Option<Shadow>) -> Result<Stage2Config, CommandError<'static>> {
        if !self.key.enabled() {
            return Err(CommandError::Stage2Off);
        }
        let shadow = self.shadow(held)?;
        let limits = guest_limits(shadow);
        Stage2Config::diagnose(self.key.vtcr(), self.key.vttbr(), &limits).map_err(CommandError::NotWalkable)
    }

    /// The shadow in its slot, which is `held`, if it is still this guest's.
    pub fn shadow<'h>(&self, held: &'h Option<Shadow>) -> Result<&'h Shadow, CommandError<'static>> {
        let shadow = held.as_ref().filter(|shadow| shadow.key() == self.key);
        shadow.ok_or(CommandError::ShadowGone)
    }
}

impl Visited {
    fn of(config: &Stage2Config, next: Option<u64>, version: Version) -> Self {
        Self {
            next,
            end: config.ipa_end(),
            version,
        }
    }
}

/// How the tables that L1 made for the guest of `shadow` are read: as they were at its last fault.
pub fn guest_limits(shadow: &Shadow) -> Stage2Limits {
    shadow.limits().copied().unwrap_or_else(|| limits(0, 0))
}

/// How L1's tables are read under these registers of it.
#[inline(never)]
pub fn limits(hcr_el2: u64, sctlr_el2: u64) -> Stage2Limits {
    shadow_mmu::limits(hcr_el2, sctlr_el2).with_lpa2(Vm::get().is_some_and(|vm| vm.offer.lpa2))
}

/// The host stage 2 by the registers that every CPU runs L1 with.
pub fn host_config(system: &System) -> Result<Stage2Config, CommandError<'static>> {
    let limits = shadow_mmu::limits(hcr_el2::FWB, 0);
    Stage2Config::diagnose(system.vm.vtcr, system.vm.host_vttbr, &limits).map_err(CommandError::NotWalkable)
}

/// How the SMMU walks the table that devices use. A table that is not there has no entries.
pub fn dma_config(system: &System) -> Stage2Config {
    Stage2Config {
        granule: Granule::K4,
        field: AddressField::Bits48,
        ipa_bits: smmu::INPUT_BITS,
        start_level: Level::ZERO,
        root: system.vm.smmu.as_ref().map_or(0, |smmu| smmu.root.bits()),
        oa_bits: smmu::INPUT_BITS,
        sh: Shareability::Inner,
        hardware_af: false,
        big_endian: false,
        fwb: false,
    }
}

/// gnomon's own memory: where its tables are.
pub struct CarveOut(Range<u64>);

impl CarveOut {
    /// Of this machine.
    pub fn of(system: &System) -> Self {
        let bank = system.vm.machine.home_bank();
        Self(bank.map_or(0..0, |bank| mm::CarveOut::of(&bank).whole))
    }

    /// Whether an address is in it.
    pub fn contains(&self, at: Pa) -> bool {
        self.0.contains(&at.bits())
    }
}

impl ReadTable<Phys> for CarveOut {
    fn read(&self, at: Pa) -> Result<u64, Unreadable> {
        if at.is_aligned(8) && self.0.contains(&at.bits()) {
            Ok(phys::read(at))
        } else {
            Err(Unreadable)
        }
    }
}
