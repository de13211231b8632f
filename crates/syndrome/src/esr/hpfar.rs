//! `HPFAR_EL2`: the page of the IPA a stage 2 abort is about.
//!
//! The register holds the page number of the IPA in bits 43 to 4; the offset in
//! the page is only in `FAR_EL2`. The two fit together unless the abort hit a
//! stage 1 walk (`S1PTW`): then the IPA is that of the stage 1 descriptor, and
//! the low bits of the faulting *virtual* address have nothing to do with it.

use super::FaultStatus;
use crate::esr::FaultKind;

/// Bits 43 to 4, the page number.
const FIPA: u64 = 0xff_ffff_ffff << 4;
/// Offset of an address in a 4 KiB page.
const PAGE_OFFSET: u64 = 0xfff;

/// First byte of the page that faulted.
#[must_use]
pub const fn page(hpfar: u64) -> u64 {
    (hpfar & FIPA) << 8
}

/// The IPA that faulted, to the byte. Not for an abort with `S1PTW`, for which
/// [`page`] is all there is.
#[must_use]
pub const fn faulting_ipa(hpfar: u64, far: u64) -> u64 {
    page(hpfar) | (far & PAGE_OFFSET)
}

/// The value of `HPFAR_EL2` for a fault at `ipa`.
#[must_use]
pub const fn for_ipa(ipa: u64) -> u64 {
    (ipa >> 8) & FIPA
}

/// Whether the hardware promises a meaningful `HPFAR_EL2` for this abort.
///
/// For a permission fault outside a stage 1 walk the register may hold
/// anything (DDI 0487, `HPFAR_EL2`); the IPA then has to be found with `AT
/// S1E1R` on the faulting address.
#[must_use]
pub const fn is_valid(fault: FaultStatus, s1ptw: bool) -> bool {
    match fault.kind {
        FaultKind::Translation | FaultKind::AccessFlag | FaultKind::AddressSize => true,
        FaultKind::Permission => s1ptw,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn page_number_sits_in_bits_43_to_4() {
        assert_eq!(page(0x0008_0000), 0x0800_0000);
        assert_eq!(faulting_ipa(0x0008_0000, 0xffff_8000_0001_0ffe), 0x0800_0ffe);
        assert_eq!(for_ipa(0x0f_ffff_ffff_f000), 0x0fff_ffff_fff0);
    }

    #[test]
    fn non_secure_bit_is_no_part_of_the_address() {
        assert_eq!(page(1 << 63 | 0x10), 0x1000);
    }

    proptest! {
        #[test]
        fn ipa_survives(ipa in 0u64..1 << 52) {
            prop_assert_eq!(faulting_ipa(for_ipa(ipa), ipa), ipa);
        }
    }
}
