//! What contradicts L1's tables, or is wrong in them, at first sight.

use core::fmt::{self, Write};

use explain::{Ground, Lint, LintFinding, Place, Verdict};
use hyp::{
    arch::sysreg::{CNTFRQ_EL0, Readable},
    mm::{self, phys},
    nested::timer,
};
use shadow::{Finding, GuestStage2, Past, Shadow};
use syndrome::SysReg;
use vmsa::{
    Ipa, L1, Pa, Phys, ReadTable,
    stage2::{Mapping, Stage2Config, Stage2Words, Unwalkable, walk_steps},
};
use wire::Hex;

use super::BATCH;
use crate::{
    commands::Output,
    error::CommandError,
    halt,
    system::System,
    tables::{CarveOut, Context, GuestRam, guest_limits, host_config},
    text::Text,
};

/// A suspect must stay one for this part of a second.
const PATIENCE: u64 = 4;

/// Something that is looked at again.
#[derive(Clone, Copy, Debug)]
pub struct Suspect {
    context: Context,
    what: What,
    /// The shadow's last use, when this was seen.
    last_use: u64,
    /// When that was, in ticks.
    seen: u64,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// A leaf of a shadow.
    Leaf(Finding),
    /// A descriptor of L1's.
    Descriptor(LintFinding),
    /// L1's registers.
    Registers(Unwalkable),
    /// L1's root table is no RAM of its.
    Root(Ground),
}

/// Several, in the order in which they were seen.
pub struct Suspects {
    all: [Option<Suspect>; 2 * BATCH],
    first: usize,
    end: usize,
}

impl Suspects {
    /// None.
    pub const fn new() -> Self {
        Self {
            all: [None; 2 * BATCH],
            first: 0,
            end: 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.first == self.end
    }

    pub fn room(&self) -> usize {
        self.all.len() - self.end
    }

    pub fn push(&mut self, suspect: Suspect) {
        if let Some(place) = self.all.get_mut(self.end) {
            *place = Some(suspect);
            self.end += 1;
        }
    }

    /// Takes the one that was seen first.
    pub fn take(&mut self) -> Option<Suspect> {
        let suspect = self.all.get_mut(self.first).filter(|_| self.first < self.end)?.take();
        self.first += 1;
        if self.is_empty() {
            (self.first, self.end) = (0, 0);
        }
        suspect
    }

    /// Whether the next one has waited long enough.
    pub fn are_due(&self, system: &System) -> bool {
        let Some(Some(suspect)) = self.all.get(self.first) else {
            return true;
        };
        is_still(system) || timer::now().saturating_sub(suspect.seen) >= CNTFRQ_EL0.get() / PATIENCE
    }
}

/// Whether nothing can change.
fn is_still(system: &System) -> bool {
    system.has_panicked || halt::is_requested() && halt::is_complete(system.vm)
}

/// Looks at the next few descriptors of L1's table for `context`, and calls `note` with what is suspicious. Says
/// whether there are more.
pub fn lint(
    context: Context,
    lint: &mut Lint,
    budget: usize,
    system: &System,
    note: &mut dyn FnMut(Suspect),
) -> Result<bool, CommandError<'static>> {
    let held = system.slot(context.slot)?;
    let shadow = context.shadow(&held)?;
    let last_use = shadow.last_use();
    let mut note = |what| {
        note(Suspect {
            context,
            what,
            last_use,
            seen: timer::now(),
        });
    };
    if !context.key.enabled() {
        return Ok(false);
    }
    let config = match diagnose(context, shadow) {
        Ok(config) => config,
        Err(reason) => {
            note(What::Registers(reason));
            return Ok(false);
        }
    };
    let ground = |at, bytes| ground(system, at, bytes);
    let root = ground(Ipa::new(config.root), config.granule.bytes());
    if root != Ground::Ram {
        note(What::Root(root));
        return Ok(false);
    }
    Ok(lint.step(&config, &GuestRam, &ground, budget, &mut |finding| {
        note(What::Descriptor(finding));
    }))
}

fn diagnose(context: Context, shadow: &Shadow) -> Result<Stage2Config, Unwalkable> {
    Stage2Config::diagnose(context.key.vtcr(), context.key.vttbr(), &guest_limits(shadow))
}

/// What L1 has in `bytes` from `at` on.
fn ground(system: &System, at: Ipa<L1>, bytes: u64) -> Ground {
    let machine = &system.vm.machine;
    let (start, end) = (at.bits(), at.bits().saturating_add(bytes));
    let overlaps = |range: &core::ops::Range<u64>| start < range.end && range.start < end;
    if phys::is_guest_ram(start, bytes) {
        Ground::Ram
    } else if machine
        .debug_uart
        .as_ref()
        .is_some_and(|uart| overlaps(&uart.registers))
        || machine
            .home_bank()
            .is_some_and(|bank| overlaps(&mm::CarveOut::of(&bank).whole))
    {
        Ground::Absent(Place::Hypervisor)
    } else if overlaps(&machine.gicd) || overlaps(&machine.gicr) || is_mapped(system, at) {
        Ground::Device
    } else {
        Ground::Absent(Place::Nothing)
    }
}

fn is_mapped(system: &System, at: Ipa<L1>) -> bool {
    host_config(system).is_ok_and(|config| walk_steps(&config, at, &CarveOut::of(system), &mut |_| {}).is_ok())
}

impl Suspect {
    /// A leaf of a shadow that was used last at `last_use`.
    pub fn leaf(context: Context, finding: Finding, last_use: u64) -> Self {
        Self {
            context,
            what: What::Leaf(finding),
            last_use,
            seen: timer::now(),
        }
    }

    /// Looks again, and tells about it if it is still there. Then says whether it counts.
    pub fn judge(&self, system: &System, out: &mut Output) -> Result<Option<bool>, CommandError<'static>> {
        let slot = self.context.slot;
        let held = system.slot(slot)?;
        let Ok(shadow) = self.context.shadow(&held) else {
            return Ok(None);
        };
        let shadows = &system.vm.mmu.shadows;
        let is_used = shadows.refs(slot) > 0 || shadow.last_use() != self.last_use;
        let counts = is_used || is_still(system) && !shadow.is_idle();
        let limits = guest_limits(shadow);
        match self.what {
            What::Leaf(finding) => {
                let (mut again, from) = (None, finding.ia.bits());
                system
                    .vm
                    .mmu
                    .audit(shadow, &GuestStage2 { limits }, from, 1, &mut |found| {
                        again = Some(found)
                    });
                let past = shadows.past_of(slot, self.context.key.vmid(), &(from..from + finding.size));
                let Some(again) = again.filter(|again| again.ia == finding.ia) else {
                    return Ok(None);
                };
                drop(held);
                self.print_leaf(&again, past, counts, system, out)?;
            }
            What::Descriptor(finding) => {
                drop(held);
                let mut is_there = false;
                let mut once = Lint::from(finding.ia.bits());
                lint(self.context, &mut once, 1, system, &mut |again| {
                    is_there |= matches!(again.what, What::Descriptor(again) if again == finding);
                })?;
                if !is_there {
                    return Ok(None);
                }
                self.print_descriptor(&finding, counts, out)?;
            }
            What::Registers(reason) => {
                let mut text = Text::<320>::new();
                let (vtcr, fault) = (self.context.key.vtcr(), reason.fault());
                write!(
                    text,
                    "L1's VTCR_EL2 {vtcr:#x}: {reason}; every access of the guest takes a {fault}"
                )?;
                self.print(0..0, counts, text.as_str(), out)?;
            }
            What::Root(ground) => {
                let mut text = Text::<320>::new();
                let vttbr = self.context.key.vttbr();
                write!(
                    text,
                    "L1's VTTBR_EL2 {vttbr:#x} leads to a root table where there is {ground}"
                )?;
                self.print(0..0, counts, text.as_str(), out)?;
            }
        }
        Ok(Some(counts))
    }

    fn print(&self, range: core::ops::Range<u64>, counts: bool, text: &str, out: &mut Output) -> fmt::Result {
        let mut table = Text::<16>::new();
        write!(table, "guest/{}", self.context.slot)?;
        out.row(&wire::Finding {
            rule: "lint",
            table: table.as_str(),
            ia: Hex(range.start),
            size: Hex(range.end - range.start),
            counts,
            cause: "l1-table",
            text,
            guest: "",
            host: "",
            shadow: "",
        })
    }

    fn print_descriptor(&self, finding: &LintFinding, counts: bool, out: &mut Output) -> fmt::Result {
        let mut text = Text::<320>::new();
        let (level, at, raw) = (finding.level, finding.at, finding.raw);
        write!(text, "{} ({level}, descriptor {raw:#018x} at {at})", finding.flaw)?;
        let ia = finding.ia.bits();
        self.print(ia..ia + finding.size, counts, text.as_str(), out)
    }

    fn print_leaf(
        &self,
        finding: &Finding,
        past: Past,
        counts: bool,
        system: &System,
        out: &mut Output,
    ) -> Result<(), CommandError<'static>> {
        let verdict = Verdict {
            finding,
            past,
            vmid: self.context.key.vmid(),
            name: |instruction| SysReg::from_bits(instruction).name().unwrap_or("TLBI"),
        };
        let (mut table, mut text) = (Text::<16>::new(), Text::<400>::new());
        write!(table, "shadow/{}", self.context.slot)?;
        write!(text, "{verdict}")?;
        let leaves = self.leaves(finding, system)?;
        out.row(&wire::Finding {
            rule: "I1",
            table: table.as_str(),
            ia: Hex(finding.ia.bits()),
            size: Hex(finding.size),
            counts,
            cause: verdict.cause(),
            text: text.as_str(),
            guest: leaves[0].as_str(),
            host: leaves[1].as_str(),
            shadow: leaves[2].as_str(),
        })?;
        Ok(())
    }

    /// The leaves of L1's table, the host's and the shadow, in words; empty where there is none.
    fn leaves(&self, finding: &Finding, system: &System) -> Result<[Text<160>; 3], CommandError<'static>> {
        let mut texts = [const { Text::new() }; 3];
        let [guest, host, shadow] = &mut texts;
        let own = CarveOut::of(system);
        let held = system.slot(self.context.slot)?;
        let Ok(live) = self.context.shadow(&held) else {
            return Ok(texts);
        };
        let mut l1 = Some(Ipa::new(finding.ia.bits()));
        if self.context.key.enabled() {
            l1 = match diagnose(self.context, live) {
                Ok(config) => write_leaf(guest, &config, finding.ia, &GuestRam)?.map(|mapping| mapping.output),
                Err(_) => None,
            };
        }
        if let Some(l1) = l1 {
            write_leaf::<_, Phys>(host, &host_config(system)?, l1, &own)?;
        }
        write_leaf::<_, Phys>(shadow, &live.table().config(), finding.ia, &own)?;
        Ok(texts)
    }
}

/// Writes the leaf for `ia`, or why there is none.
fn write_leaf<I, O>(
    text: &mut Text<160>,
    cfg: &Stage2Config,
    ia: vmsa::Addr<I>,
    mem: &impl ReadTable<O>,
) -> Result<Option<Mapping<O>>, fmt::Error> {
    match walk_steps(cfg, ia, mem, &mut |_| {}) {
        Ok(mapping) => {
            let (level, raw) = (mapping.level, mapping.raw);
            let words = Stage2Words {
                cfg,
                level,
                raw: Some(raw),
            };
            let at = Pa::new(mapping.desc_at.bits());
            write!(text, "{level}  {at} = {raw:#018x}  {words}")?;
            Ok(Some(mapping))
        }
        Err(fault) => {
            write!(text, "{fault}")?;
            Ok(None)
        }
    }
}
