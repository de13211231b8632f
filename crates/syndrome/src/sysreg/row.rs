//! What is known of each encoding: the columns of the table.

use super::{Feature, SysReg, Trap};
use crate::{fgt::FineTrap, vncr::Word};

/// Where L1, a VHE hypervisor at virtual EL2 under FEAT_NV2, finds a register, and how it gets there.
///
/// The word is always that of the VNCR page. An EL2 register without a word of its own has the word of the EL1 register
/// that stands for it: that says which register of the hardware it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Not there: undefined.
    Absent,
    /// In the hardware's register of that name, without an exit; one for L1 and its guest. An instruction: executed.
    Hardware,
    /// An EL2 register in the page, without an exit.
    Page(Word),
    /// A register of its guest's in the page under its only name, without an exit.
    Guest(Word),
    /// A register of its guest's EL1 or EL0, for which an alias leads to the page. Under this name it is L1's own: the
    /// hardware's register, without an exit.
    Twin(Word),
    /// The `_EL12` or `_EL02` name of a [`Twin`](Self::Twin).
    Alias(Word),
    /// An EL2 register in the hardware's EL1 register, to which FEAT_NV2 redirects it without an exit.
    Redirected(Word),
    /// An EL2 register in the hardware's EL1 register, by way of a trap.
    Mapped(Word),
    /// In the hardware's EL1 register, and none of L1's instructions names it.
    Unnamed(Word),
    /// A timer of its own: in the hardware while it runs, by way of a trap.
    Timer,
    /// Kept by L0, or an instruction that L0 carries out.
    Emulated,
    /// Made by L0 at each access.
    Computed,
    /// Reads as zero, ignores writes.
    Zero,
    /// A feature register, read by way of a trap.
    Id,
}

/// One encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The encoding.
    pub reg: SysReg,
    /// Where L1 finds it.
    pub place: Place,
    /// What of L1's controls traps it, when its guest uses it.
    pub trap: Trap,
    /// The fine-grained trap for that.
    pub fine: FineTrap,
    /// What must be shown for it to be there.
    pub feature: Feature,
}

impl Row {
    /// The row of an encoding that has no name.
    pub(super) const fn unnamed(reg: SysReg) -> Self {
        let (place, trap, feature) = if reg.is_id_group3() {
            (Place::Id, Trap::TID3, Feature::Base)
        } else if reg.is_implementation_defined() {
            (Place::Absent, Trap::TIDCP, Feature::Base)
        } else if reg.is_trace() {
            (Place::Absent, Trap::TTA, Feature::Trace)
        } else {
            (Place::Absent, Trap::NONE, Feature::Base)
        };
        Self {
            reg,
            place,
            trap,
            fine: FineTrap::NONE,
            feature,
        }
    }

    /// Whether it belongs to a feature that the feature registers deny: an access that traps is undefined, for L1 and its
    /// guests alike, whatever L1's trap controls say.
    #[must_use]
    pub const fn is_hidden(&self) -> bool {
        self.feature.is_hidden()
    }
}

impl Place {
    /// The word that a register owns in the page.
    #[must_use]
    pub const fn own_word(self) -> Option<Word> {
        match self {
            Self::Page(word) | Self::Guest(word) | Self::Twin(word) => Some(word),
            _ => None,
        }
    }

    /// The word of the page that an access from virtual EL2 with VHE means. FEAT_NV2 makes it one to memory; with plain
    /// FEAT_NV it traps.
    #[must_use]
    pub const fn word_with_vhe(self) -> Option<Word> {
        match self {
            Self::Page(word) | Self::Guest(word) | Self::Alias(word) => Some(word),
            _ => None,
        }
    }

    /// Whether FEAT_NV2 makes an access from virtual EL2 one to the page, given `HCR_EL2.NV1`: with `NV1` = 1 L1 means its
    /// guest's registers by their own names, and has no aliases.
    #[must_use]
    pub const fn is_memory(self, nv1: bool) -> bool {
        match self {
            Self::Page(_) | Self::Guest(_) => true,
            Self::Twin(_) => nv1,
            Self::Alias(_) => !nv1,
            _ => false,
        }
    }
}
