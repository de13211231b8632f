//! Events (IHI 0070, "Event records").

use core::fmt;

/// Why a transaction was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `F_UUT`: a kind of transaction that is not supported.
    Unsupported,
    /// `C_BAD_STREAMID`: a stream that is in no table.
    BadStream,
    /// `F_STE_FETCH`: its entry could not be read.
    EntryFetch,
    /// `C_BAD_STE`: its entry makes no sense.
    BadEntry,
    /// `F_BAD_ATS_TREQ`: a request for a translation, which devices do not get.
    TranslationRequest,
    /// `F_STREAM_DISABLED`: a stream that is off.
    Disabled,
    /// `F_TRANSL_FORBIDDEN`: an address that the device claims to have had translated.
    Forbidden,
    /// `C_BAD_SUBSTREAMID`: a substream, of which there are none.
    BadSubstream,
    /// `F_WALK_EABT`: a table could not be read.
    WalkAbort,
    /// `F_TRANSLATION`: nothing is mapped there.
    Translation,
    /// `F_ADDR_SIZE`: a table leads beyond all addresses.
    AddressSize,
    /// `F_ACCESS`: the Access flag is clear.
    AccessFlag,
    /// `F_PERMISSION`: what is mapped there does not allow it.
    Permission,
    /// `F_TLB_CONFLICT` or `F_CFG_CONFLICT`: two cached entries disagree.
    Conflict,
    /// Any other, by its number.
    Other(u8),
}

impl Reason {
    const fn decode(number: u8) -> Self {
        match number {
            0x01 => Self::Unsupported,
            0x02 => Self::BadStream,
            0x03 => Self::EntryFetch,
            0x04 => Self::BadEntry,
            0x05 => Self::TranslationRequest,
            0x06 => Self::Disabled,
            0x07 => Self::Forbidden,
            0x08 => Self::BadSubstream,
            0x0b => Self::WalkAbort,
            0x10 => Self::Translation,
            0x11 => Self::AddressSize,
            0x12 => Self::AccessFlag,
            0x13 => Self::Permission,
            0x20 | 0x21 => Self::Conflict,
            other => Self::Other(other),
        }
    }

    /// Whether its record says what was accessed, and how.
    const fn has_access(self) -> bool {
        use Reason::{AccessFlag, AddressSize, Forbidden, Permission, Translation, Unsupported, WalkAbort};
        matches!(
            self,
            Unsupported | Forbidden | WalkAbort | Translation | AddressSize | AccessFlag | Permission
        )
    }

    /// As the architecture calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unsupported => "F_UUT",
            Self::BadStream => "C_BAD_STREAMID",
            Self::EntryFetch => "F_STE_FETCH",
            Self::BadEntry => "C_BAD_STE",
            Self::TranslationRequest => "F_BAD_ATS_TREQ",
            Self::Disabled => "F_STREAM_DISABLED",
            Self::Forbidden => "F_TRANSL_FORBIDDEN",
            Self::BadSubstream => "C_BAD_SUBSTREAMID",
            Self::WalkAbort => "F_WALK_EABT",
            Self::Translation => "F_TRANSLATION",
            Self::AddressSize => "F_ADDR_SIZE",
            Self::AccessFlag => "F_ACCESS",
            Self::Permission => "F_PERMISSION",
            Self::Conflict => "CONFLICT",
            Self::Other(_) => "EVENT",
        }
    }
}

/// What a device tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Where: the address that the device used.
    pub address: u64,
    /// Whether it would have read.
    pub is_read: bool,
}

impl Access {
    /// As it prints.
    #[must_use]
    pub const fn name(self) -> &'static str {
        if self.is_read { "read" } else { "write" }
    }
}

/// An event: a transaction that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whose.
    pub stream: u32,
    /// Why.
    pub reason: Reason,
    /// What it was, if the record says so.
    pub access: Option<Access>,
}

impl Event {
    /// Reads a record.
    #[must_use]
    pub const fn decode(record: [u64; 4]) -> Self {
        const READ: u64 = 1 << 35;
        let [head, kind, address, _] = record;
        let reason = Reason::decode(head as u8);
        let access = if reason.has_access() {
            Some(Access {
                address,
                is_read: kind & READ != 0,
            })
        } else {
            None
        };
        Self {
            stream: (head >> 32) as u32,
            reason,
            access,
        }
    }
}

/// Who caused an event: a PCI device as `bus:device.function`, or a stream that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// The stream.
    pub stream: u32,
    /// The requester ID, if that is known.
    pub requester: Option<u16>,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.requester {
            Some(id) => write!(f, "{:02x}:{:02x}.{}", id >> 8, id >> 3 & 0x1f, id & 7),
            None => write!(f, "stream {:#x}", self.stream),
        }
    }
}

/// An event in words, for a line of the log.
#[derive(Clone, Copy, Debug)]
pub struct Incident {
    /// What happened.
    pub event: Event,
    /// Who did it.
    pub device: Device,
    /// Whose memory is at the address.
    pub whose: &'static str,
    /// Events before it that nothing was said of.
    pub silent: u64,
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            event, device, whose, ..
        } = self;
        write!(f, "DMA refused: {device}")?;
        if let Some(access) = event.access {
            write!(f, ", {} at {:#x}, {whose}", access.name(), access.address)?;
        }
        write!(f, " ({})", event.reason.name())?;
        match self.silent {
            0 => Ok(()),
            count => write!(f, "; {count} more before"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_write_to_nowhere_is_read_as_such() {
        let event = Event::decode([0x10 << 32 | 0x10, 0, 0x4020_0000, 0]);
        let access = Some(Access {
            address: 0x4020_0000,
            is_read: false,
        });
        assert_eq!(
            event,
            Event {
                stream: 0x10,
                reason: Reason::Translation,
                access
            }
        );
        assert_eq!(
            Event::decode([0x13, 1 << 35, 0, 0]).access.map(|access| access.is_read),
            Some(true)
        );
    }

    #[test]
    fn an_event_without_an_address_has_none() {
        for number in [0x02, 0x04, 0x20, 0xe0] {
            assert_eq!(Event::decode([number, u64::MAX, u64::MAX, 0]).access, None);
        }
        assert_eq!(Event::decode([0xe0, 0, 0, 0]).reason, Reason::Other(0xe0));
    }

    #[test]
    fn a_device_prints_as_lspci_does() {
        let device = |requester| {
            Device {
                stream: 0x99,
                requester,
            }
            .to_string()
        };
        assert_eq!(device(Some(0x10)), "00:02.0");
        assert_eq!(device(Some(0xffff)), "ff:1f.7");
        assert_eq!(device(None), "stream 0x99");
    }

    #[test]
    fn an_incident_says_who_did_what_where() {
        let mut incident = Incident {
            event: Event::decode([0x10 << 32 | 0x10, 0, 0x4020_0000, 0]),
            device: Device {
                stream: 0x10,
                requester: Some(0x10),
            },
            whose: "gnomon's image",
            silent: 0,
        };
        let text = "DMA refused: 00:02.0, write at 0x40200000, gnomon's image (F_TRANSLATION)";
        assert_eq!(incident.to_string(), text);
        incident.silent = 7;
        assert_eq!(incident.to_string(), std::format!("{text}; 7 more before"));
        incident = Incident {
            event: Event::decode([0x99 << 32 | 2, 0, 0, 0]),
            device: Device {
                stream: 0x99,
                requester: None,
            },
            whose: "",
            silent: 0,
        };
        assert_eq!(incident.to_string(), "DMA refused: stream 0x99 (C_BAD_STREAMID)");
    }

    proptest! {
        #[test]
        fn every_record_is_an_event(record: [u64; 4]) {
            let event = Event::decode(record);
            prop_assert_eq!(u64::from(event.stream), record[0] >> 32);
            prop_assert!(!event.reason.name().is_empty());
            if let Some(access) = event.access {
                prop_assert_eq!(access.address, record[2]);
                prop_assert_eq!(access.is_read, record[1] >> 35 & 1 != 0);
            }
        }
    }
}
