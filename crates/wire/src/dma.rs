//! Devices that master the bus.

use core::fmt;

use serde::Serialize;

use crate::Hex;

/// What confines PCI devices.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Dma {
    /// Whether something does.
    pub confined: bool,
    /// Where the registers of the SMMU are that does; 0 if none.
    pub smmu: Hex,
    /// How often a device was refused something.
    pub refused: u64,
    /// How often the SMMU said that it lost events, or could not go on.
    pub errors: u64,
}

record!(Dma, "dma");

impl fmt::Display for Dma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.confined {
            return f.write_str("PCI devices are not confined");
        }
        let Self {
            smmu, refused, errors, ..
        } = self;
        write!(f, "confined by the SMMU at {smmu}: {refused} refused, {errors} errors")
    }
}

/// Something that a device was refused.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Refusal<'a> {
    /// How long ago, in microseconds.
    pub ago_us: u64,
    /// The PCI device, as `bus:device.function`, or its stream if it is none.
    pub device: &'a str,
    /// Why, as the architecture calls it.
    pub reason: &'a str,
    /// `read` or `write`; empty if that is not known.
    pub access: &'a str,
    /// Where; 0 if that is not known.
    pub address: Hex,
    /// Whose memory is there.
    pub whose: &'a str,
}

record!(Refusal<'_>, "refusal");

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.ago_us / 1_000_000, self.ago_us % 1_000_000);
        let Self {
            device,
            reason,
            access,
            address,
            whose,
            ..
        } = self;
        write!(f, "{seconds:>7}.{micros:06} s ago {device} {reason}")?;
        if access.is_empty() {
            return Ok(());
        }
        write!(f, " {access} {address}, {whose}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn what_confines_is_a_line() {
        let dma = Dma {
            confined: true,
            smmu: Hex(0x905_0000),
            refused: 7,
            errors: 0,
        };
        let text = "confined by the SMMU at 0x9050000: 7 refused, 0 errors";
        assert_eq!(dma.to_string(), text);
        let open = Dma { confined: false, ..dma };
        assert_eq!(open.to_string(), "PCI devices are not confined");
    }

    #[test]
    fn a_refusal_is_a_line() {
        let refusal = Refusal {
            ago_us: 12_000_345,
            device: "00:02.0",
            reason: "F_TRANSLATION",
            access: "write",
            address: Hex(0x4020_0000),
            whose: "gnomon's image",
        };
        assert_eq!(
            refusal.to_string(),
            "     12.000345 s ago 00:02.0 F_TRANSLATION write 0x40200000, gnomon's image"
        );
        let bare = Refusal {
            access: "",
            reason: "C_BAD_STE",
            ..refusal
        };
        assert_eq!(bare.to_string(), "     12.000345 s ago 00:02.0 C_BAD_STE");
    }
}
