//! What a stage-2 leaf says about its memory besides the address.

use core::fmt;

/// What a stage 2 allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent permission")]
pub struct Perms {
    /// Data reads, and reads by stage-1 table walks.
    pub read: bool,
    /// Data writes.
    pub write: bool,
    /// Instruction fetch at EL1.
    pub exec_el1: bool,
    /// Instruction fetch at EL0.
    pub exec_el0: bool,
}

impl Perms {
    /// Everything allowed.
    pub const ALL: Self = Self {
        read: true,
        write: true,
        exec_el1: true,
        exec_el0: true,
    };
    /// Nothing allowed.
    pub const NONE: Self = Self {
        read: false,
        write: false,
        exec_el1: false,
        exec_el0: false,
    };
    /// Data accesses only.
    pub const READ_WRITE: Self = Self {
        read: true,
        write: true,
        exec_el1: false,
        exec_el0: false,
    };

    /// What both allow.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            read: self.read && other.read,
            write: self.write && other.write,
            exec_el1: self.exec_el1 && other.exec_el1,
            exec_el0: self.exec_el0 && other.exec_el0,
        }
    }

    /// Whether everything that `other` allows is allowed here too.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.and(other) == other
    }
}

impl fmt::Display for Perms {
    /// Four columns: `r`, `w`, and who may execute: `x` both, `p` EL1 only, `u` EL0 only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.read { "r" } else { "-" })?;
        f.write_str(if self.write { "w" } else { "-" })?;
        f.write_str(match (self.exec_el1, self.exec_el0) {
            (true, true) => "x",
            (true, false) => "p",
            (false, true) => "u",
            (false, false) => "-",
        })
    }
}

/// A stage-2 memory type, the strictest first.
///
/// Inner and outer cacheability are not kept apart: a leaf that names two has the stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemType {
    /// Device, no gathering, no reordering, no early write acknowledgement. Also stands for
    /// reserved encodings.
    DevicenGnRnE,
    /// Device, no gathering, no reordering.
    DevicenGnRE,
    /// Device, no gathering.
    DevicenGRE,
    /// Device, everything allowed that Device memory can allow.
    DeviceGRE,
    /// Normal Non-cacheable.
    NormalNonCacheable,
    /// Normal Write-Through. Has no encoding with `FEAT_S2FWB`.
    NormalWriteThrough,
    /// What stage 1 says, unchanged: `MemAttr` 0b0111 with `FEAT_S2FWB`, Write-Back without (where
    /// the combination rules let the stricter stage win, so that Write-Back never changes
    /// anything).
    Stage1,
    /// Normal Write-Back whatever stage 1 says: `MemAttr` 0b0110 with `FEAT_S2FWB`.
    NormalWriteBack,
}

impl MemType {
    /// Whether this is one of the Device types.
    #[must_use]
    pub fn is_device(self) -> bool {
        self <= Self::DeviceGRE
    }

    /// The memory type of a guest's leaf over one of ours: the stricter of the two.
    ///
    /// Between Write-Back and "as stage 1 says" there is no stricter one; there the guest's word
    /// counts. L1 forces Write-Back when it relies on L2 not to bypass the caches, which stays true
    /// over any host memory that is cacheable.
    #[must_use]
    pub const fn over(self, host: Self) -> Self {
        if host as u8 >= Self::Stage1 as u8 || (self as u8) < host as u8 {
            self
        } else {
            host
        }
    }

    /// From `MemAttr[3:0]`, bits above which are ignored.
    pub(super) const fn decode(mem_attr: u64, fwb: bool) -> Self {
        const PLAIN: [MemType; 16] = MemType::from_attrs(false);
        const FWB: [MemType; 16] = MemType::from_attrs(true);
        let types = if fwb { &FWB } else { &PLAIN };
        types[(mem_attr & 0b1111) as usize]
    }

    /// What each value of `MemAttr[3:0]` means.
    const fn from_attrs(fwb: bool) -> [Self; 16] {
        let mut types = [Self::DevicenGnRnE; 16];
        let mut attr = 0;
        while attr < types.len() {
            types[attr] = Self::from_attr(attr, fwb);
            attr += 1;
        }
        types
    }

    /// From `MemAttr[3:0]`, descriptor bits 5:2 (DDI 0487, "Stage 2 memory region type and
    /// cacheability attributes").
    const fn from_attr(mem_attr: usize, fwb: bool) -> Self {
        match (fwb, mem_attr) {
            // Bits 3:2 or, with FWB, bit 2 clear: bits 1:0 are the Device type.
            (_, 0b0001) | (true, 0b1001) => Self::DevicenGnRE,
            (_, 0b0010) | (true, 0b1010) => Self::DevicenGRE,
            (_, 0b0011) | (true, 0b1011) => Self::DeviceGRE,
            (true, 0b0101 | 0b1101) => Self::NormalNonCacheable,
            (true, 0b0110 | 0b1110) => Self::NormalWriteBack,
            (true, 0b0111 | 0b1111) => Self::Stage1,
            (false, 0b0101..=0b0111 | 0b1001 | 0b1101) => Self::NormalNonCacheable,
            (false, 0b1010 | 0b1011 | 0b1110) => Self::NormalWriteThrough,
            (false, 0b1111) => Self::Stage1,
            _ => Self::DevicenGnRnE,
        }
    }

    /// To `MemAttr[3:0]` in the `FEAT_S2FWB` form. Write-Through becomes Non-cacheable, the next
    /// stricter type.
    pub(super) const fn encode_fwb(self) -> u64 {
        match self {
            Self::DevicenGnRnE => 0b0000,
            Self::DevicenGnRE => 0b0001,
            Self::DevicenGRE => 0b0010,
            Self::DeviceGRE => 0b0011,
            Self::NormalNonCacheable | Self::NormalWriteThrough => 0b0101,
            Self::NormalWriteBack => 0b0110,
            Self::Stage1 => 0b0111,
        }
    }
}

impl fmt::Display for MemType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::DevicenGnRnE => "device-nGnRnE",
            Self::DevicenGnRE => "device-nGnRE",
            Self::DevicenGRE => "device-nGRE",
            Self::DeviceGRE => "device-GRE",
            Self::NormalNonCacheable => "normal-nc",
            Self::NormalWriteThrough => "normal-wt",
            Self::Stage1 => "as-stage-1",
            Self::NormalWriteBack => "normal-wb",
        })
    }
}

/// Shareability, `SH[1:0]`, the least shared first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shareability {
    /// Coherent for one CPU only.
    Non,
    /// Coherent within the inner shareability domain.
    Inner,
    /// Coherent within the outer shareability domain. Also stands for the reserved encoding.
    Outer,
}

impl Shareability {
    /// From `SH[1:0]`, bits above which are ignored.
    #[must_use]
    pub const fn decode(sh: u64) -> Self {
        match sh & 0b11 {
            0b00 => Self::Non,
            0b11 => Self::Inner,
            _ => Self::Outer,
        }
    }

    /// To `SH[1:0]`.
    #[must_use]
    pub const fn encode(self) -> u64 {
        match self {
            Self::Non => 0b00,
            Self::Outer => 0b10,
            Self::Inner => 0b11,
        }
    }
}

impl fmt::Display for Shareability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Non => "non",
            Self::Inner => "inner",
            Self::Outer => "outer",
        })
    }
}

/// The attributes of a stage-2 leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage2Attrs {
    /// What accesses are allowed: `S2AP` and `XN`.
    pub perms: Perms,
    /// The memory type: `MemAttr`.
    pub mem: MemType,
    /// The shareability: `SH`.
    pub sh: Shareability,
    /// The Access flag.
    pub af: bool,
    /// The Contiguous hint.
    pub contiguous: bool,
}

impl Stage2Attrs {
    /// RAM as a hypervisor gives it to its guest: all permissions, coherent, memory type left to
    /// stage 1.
    pub const RAM: Self = Self {
        perms: Perms::ALL,
        mem: MemType::Stage1,
        sh: Shareability::Inner,
        af: true,
        contiguous: false,
    };

    /// A device passed through: data only, nGnRE so that stage 1 chooses among the types that are
    /// not weaker.
    pub const DEVICE: Self = Self {
        perms: Perms::READ_WRITE,
        mem: MemType::DevicenGnRE,
        sh: Shareability::Outer,
        af: true,
        contiguous: false,
    };
}
