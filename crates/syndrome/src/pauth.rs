//! Pointer authentication of an address to return to (FEAT_PAuth).
//!
//! `ERETAA` and `ERETAB` authenticate `ELR_EL2` before they return. At virtual
//! EL2 they trap before that, so L0 has to do it. What the signature *is*, the
//! CPU computes (`PACGA` with the same key); where it lies in an address, and
//! what becomes of one that is wrong, is here (DDI 0487, pseudocode `Auth` and
//! `CalculateBottomPACBit`).

/// `TCR_ELx.{TBI0,TBI1}` and `{TBID0,TBID1}`: what a top byte means for
/// instructions.
const TBI0: u32 = 37;
const TBID0: u32 = 51;
/// Bit 55 says which of the two ranges an address is of. It is never signed.
const RANGE: u32 = 55;
/// The least a range is narrowed to.
const TXSZ_MIN: u64 = 16;

/// How much of FEAT_PAuth there is: `ID_AA64ISAR1_EL1.API`, or one of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(pub u8);

impl Level {
    /// FEAT_PAuth2: a signature is exclusive-ored into the address.
    const PAUTH2: Self = Self(3);
    /// FEAT_FPACCOMBINE: a wrong one is a fault, for the instructions that do
    /// more than authenticate.
    const FPAC_COMBINED: Self = Self(5);
}

/// The bits of `address` that a signature is in, for a regime with two ranges.
#[must_use]
pub const fn signature_bits(address: u64, tcr: u64) -> u64 {
    let upper = address >> RANGE & 1;
    let txsz = tcr >> (16 * upper) & 0x3f;
    let width = 64 - if txsz < TXSZ_MIN { TXSZ_MIN } else { txsz };
    let below_range = (1 << RANGE) - 1;
    let is_top_byte_ignored = tcr >> (TBI0 + upper as u32) & 1 != 0 && tcr >> (TBID0 + upper as u32) & 1 == 0;
    let top = if is_top_byte_ignored { 0 } else { 0xff << 56 };
    (below_range & !((1 << width) - 1)) | top
}

/// `address` as it was before it was signed.
#[must_use]
pub const fn unsigned(address: u64, tcr: u64) -> u64 {
    let bits = signature_bits(address, tcr);
    if address >> RANGE & 1 != 0 {
        address | bits
    } else {
        address & !bits
    }
}

/// Authenticates `address`; `signature` is that of [`unsigned`], for the key that
/// `is_key_b` says. `None` is a fault.
#[must_use]
pub const fn authenticate(address: u64, signature: u64, tcr: u64, level: Level, is_key_b: bool) -> Option<u64> {
    let bits = signature_bits(address, tcr);
    let plain = unsigned(address, tcr);
    let is_combined = level.0 >= Level::PAUTH2.0;
    let expected = if is_combined { plain ^ signature } else { signature };
    if (address ^ expected) & bits == 0 {
        Some(plain)
    } else if level.0 >= Level::FPAC_COMBINED.0 {
        None
    } else if is_combined {
        Some(address ^ (signature & bits))
    } else {
        Some(poisoned(plain, bits, is_key_b))
    }
}

/// An address that nothing can be at, as a wrong signature leaves it.
const fn poisoned(plain: u64, bits: u64, is_key_b: bool) -> u64 {
    let shift = if bits >> 62 & 1 != 0 { 61 } else { 53 };
    let code = if is_key_b { 0b10 } else { 0b01 };
    (plain & !(0b11 << shift)) | code << shift
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 48 bits below, 39 above, and the top byte of data ignored below.
    const TCR: u64 = 16 | 25 << 16 | 1 << TBI0 | 1 << TBID0;

    /// As the CPU signs.
    fn sign(plain: u64, signature: u64, tcr: u64, level: Level) -> u64 {
        let bits = signature_bits(plain, tcr);
        let own = if level >= Level::PAUTH2 { plain & bits } else { 0 };
        plain & !bits | (signature ^ own) & bits
    }

    #[test]
    fn a_signature_lies_above_the_range_and_never_in_bit_55() {
        assert_eq!(signature_bits(0, TCR), 0xff7f_0000_0000_0000);
        assert_eq!(signature_bits(1 << 55, TCR), 0xff7f_ff80_0000_0000);
        assert_eq!(signature_bits(0, TCR & !(1 << TBID0)), 0x007f_0000_0000_0000);
    }

    #[test]
    fn a_wrong_signature_faults_or_leads_nowhere() {
        let plain = 0x4820_0000;
        let wrong = |level, is_key_b| {
            let signed = sign(plain, 0x1234_5678 << 32, TCR, Level(level));
            authenticate(signed ^ 1 << 50, 0x1234_5678 << 32, TCR, Level(level), is_key_b)
        };
        assert_eq!(wrong(5, false), None);
        assert_eq!(wrong(3, false), Some(plain | 1 << 50));
        assert_eq!(wrong(1, false), Some(plain | 0b01 << 61));
        assert_eq!(wrong(1, true), Some(plain | 0b10 << 61));
    }

    proptest! {
        #[test]
        fn what_was_signed_is_authentic(address: u64, signature: u64, tcr: u64, level in 1_u8..=5) {
            let (plain, level) = (unsigned(address, tcr), Level(level));
            let signed = sign(plain, signature, tcr, level);
            prop_assert_eq!(authenticate(signed, signature, tcr, level, false), Some(plain));
        }

        #[test]
        fn what_was_not_is_not(address: u64, signature: u64, tcr: u64, level in 1_u8..=5, bit in 0_u32..64) {
            let (plain, level) = (unsigned(address, tcr), Level(level));
            let flip = 1 << bit & signature_bits(plain, tcr);
            prop_assume!(flip != 0);
            let signed = sign(plain, signature, tcr, level) ^ flip;
            prop_assert_ne!(authenticate(signed, signature, tcr, level, true), Some(plain));
        }
    }
}
