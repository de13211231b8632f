//! What identifies a guest stage 2.

use core::fmt;
use vmsa::stage2::{Shareability, Stage2Attrs, Stage2Table};

const CNP: u64 = 1;
const VMID_SHIFT: u32 = 48;
/// `VTCR_EL2.VS`: VMIDs have 16 bits.
const VTCR_VS: u64 = 1 << 19;
const VTCR_T0SZ: u64 = 0x3f;
const VTCR_SH0_SHIFT: u32 = 12;
const VTCR_DS: u64 = 1 << 32;

/// The identity of a translation context of L1's making.
///
/// With stage 2 on it is all of `VTTBR_EL2` (but `CnP`) and all of `VTCR_EL2`: L1 may use one VMID
/// for different tables, on different CPUs or after a change without invalidation. With stage 2 off
/// (`HCR_EL2.VM` = 0) only the VMID matters, since it tags stage-1 TLB entries. Equality follows
/// that.
#[derive(Clone, Copy, Debug)]
pub struct ShadowKey {
    vttbr: u64,
    vtcr: u64,
    enabled: bool,
}

impl ShadowKey {
    /// From L1's `VTTBR_EL2`, `VTCR_EL2` and `HCR_EL2.VM`.
    #[must_use]
    pub const fn new(vttbr: u64, vtcr: u64, enabled: bool) -> Self {
        Self {
            vttbr: vttbr & !CNP,
            vtcr,
            enabled,
        }
    }

    /// L1's `VTTBR_EL2`, `CnP` clear.
    #[must_use]
    pub const fn vttbr(self) -> u64 {
        self.vttbr
    }

    /// L1's `VTCR_EL2`.
    #[must_use]
    pub const fn vtcr(self) -> u64 {
        self.vtcr
    }

    /// Whether stage 2 is on.
    #[must_use]
    pub const fn enabled(self) -> bool {
        self.enabled
    }

    /// The shareability of all of a shadow for addresses of more than 48 bits, which is read with `VTCR_EL2.DS`; `None` if
    /// the addresses are not as large.
    ///
    /// It is as strict as L1's leaves: with `DS` that is `SH0`, but no less than what memory of L1's is in the host stage 2.
    /// Else each has its own.
    #[must_use]
    pub fn wide(self) -> Option<Shareability> {
        let ipa_bits = 64 - (self.vtcr & VTCR_T0SZ);
        if !self.enabled || ipa_bits <= u64::from(Stage2Table::IPA_BITS) {
            None
        } else if self.vtcr & VTCR_DS != 0 {
            Some(Shareability::decode(self.vtcr >> VTCR_SH0_SHIFT).max(Stage2Attrs::RAM.sh))
        } else {
            Some(Shareability::Outer)
        }
    }

    /// L1's VMID.
    #[must_use]
    pub const fn vmid(self) -> u16 {
        vmid_of(self.vttbr, self.vtcr)
    }
}

/// The VMID in a `VTTBR_EL2` value, of 8 or 16 bits as `VTCR_EL2.VS` says.
#[must_use]
pub const fn vmid_of(vttbr: u64, vtcr: u64) -> u16 {
    let vmid = (vttbr >> VMID_SHIFT) as u16;
    if vtcr & VTCR_VS != 0 { vmid } else { vmid & 0xff }
}

impl PartialEq for ShadowKey {
    fn eq(&self, other: &Self) -> bool {
        match (self.enabled, other.enabled) {
            (true, true) => self.vttbr == other.vttbr && self.vtcr == other.vtcr,
            (false, false) => self.vmid() == other.vmid(),
            _ => false,
        }
    }
}

impl Eq for ShadowKey {}

/// The name of KVM's debugfs file for the same context.
impl fmt::Display for ShadowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.enabled { "enabled" } else { "disabled" };
        write!(f, "0x{:016x}-0x{:016x}-s2-{state}", self.vttbr, self.vtcr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    const VTTBR: u64 = 0x0123_0000_4000_0000;

    #[test]
    fn cnp_is_no_part_of_the_key() {
        assert_eq!(ShadowKey::new(VTTBR | 1, 0x23, true), ShadowKey::new(VTTBR, 0x23, true));
    }

    #[test]
    fn every_register_counts_with_stage_2_on() {
        let key = ShadowKey::new(VTTBR, 0x23, true);
        assert_ne!(key, ShadowKey::new(VTTBR + 0x1000, 0x23, true));
        assert_ne!(key, ShadowKey::new(VTTBR, 0x24, true));
        assert_ne!(key, ShadowKey::new(VTTBR, 0x23, false));
    }

    #[test]
    fn only_the_vmid_counts_with_stage_2_off() {
        let key = ShadowKey::new(VTTBR, 0x23, false);
        assert_eq!(key, ShadowKey::new(VTTBR + 0x1000, 0x99, false));
        assert_ne!(key, ShadowKey::new(VTTBR + (1 << 48), 0x23, false));
    }

    #[test]
    fn vmid_has_eight_bits_unless_vs_is_set() {
        assert_eq!(vmid_of(VTTBR, 0), 0x23);
        assert_eq!(vmid_of(VTTBR, VTCR_VS), 0x123);
    }

    #[test]
    fn more_than_48_bits_have_one_shareability_that_no_leaf_of_l1s_is_stricter_than() {
        let wide = |vtcr| ShadowKey::new(VTTBR, vtcr, true).wide();
        assert_eq!(wide(16), None);
        assert_eq!(wide(16 | VTCR_DS), None);
        for (sh0, sh) in [
            (0b00, Shareability::Inner),
            (0b11, Shareability::Inner),
            (0b10, Shareability::Outer),
        ] {
            assert_eq!(wide(15 | VTCR_DS | sh0 << 12), Some(sh));
            assert_eq!(wide(12 | sh0 << 12), Some(Shareability::Outer));
        }
        assert_eq!(ShadowKey::new(VTTBR, 12, false).wide(), None);
    }

    #[test]
    fn name_is_that_of_kvm() {
        assert_eq!(
            ShadowKey::new(VTTBR | 1, 0x8_0000_3558, true).to_string(),
            "0x0123000040000000-0x0000000800003558-s2-enabled"
        );
        assert_eq!(
            ShadowKey::new(0, 0, false).to_string(),
            "0x0000000000000000-0x0000000000000000-s2-disabled"
        );
    }
}
