//! The state of an interrupt, to look at.

use crate::Vgic;
use crate::intid::IntId;

/// One interrupt, for the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterruptState {
    /// `ISENABLER`.
    pub enabled: bool,
    /// `ISPENDR`.
    pub pending: bool,
    /// `ISACTIVER`.
    pub active: bool,
    /// `ICFGR`.
    pub edge: bool,
    /// Level of the emulated line.
    pub line: bool,
    /// `IGROUPR`.
    pub group1: bool,
    /// `IPRIORITYR`.
    pub priority: u8,
    /// The physical interrupt that is active on its behalf.
    pub linked: Option<u32>,
    /// The vCPU whose list register holds it.
    pub resident: Option<usize>,
    /// The vCPU it is delivered to; `None` when the affinity in `IROUTER` is nobody's.
    pub target: Option<usize>,
}

impl Vgic {
    /// One interrupt as `cpu` has it, or `None` when L1 does not have it.
    #[must_use]
    pub fn interrupt(&self, cpu: usize, intid: u32) -> Option<InterruptState> {
        let id = IntId::new(intid)?;
        let bank = self.bank(cpu, id)?;
        let has = |word: u32| word & id.mask() != 0;
        if !has(bank.implemented) {
            return None;
        }
        let private = id.is_private();
        Some(InterruptState {
            enabled: has(bank.enabled),
            pending: has(bank.pending_as_read()),
            active: has(bank.active),
            edge: has(bank.edge),
            line: has(bank.line),
            group1: has(bank.group1),
            priority: bank.priority_of(id),
            linked: has(bank.linked).then(|| self.pintid(cpu, id)),
            resident: if has(bank.resident) {
                if private { Some(cpu) } else { self.owner(id) }
            } else {
                None
            },
            target: if private { Some(cpu) } else { self.target(id) },
        })
    }
}
