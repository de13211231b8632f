//! `VTCR_EL2`, Virtualization Translation Control Register.

/// 64 minus the IPA size in bits.
pub const T0SZ: u64 = 0x3f;

/// Start level, encoded per granule.
pub const SL0: u64 = 0x3 << 6;

/// Inner cacheability of walks.
pub const IRGN0: u64 = 0x3 << 8;

/// Outer cacheability of walks.
pub const ORGN0: u64 = 0x3 << 10;

/// Shareability of walks.
pub const SH0: u64 = 0x3 << 12;

/// Granule: 0 4K, 1 64K, 2 16K.
pub const TG0: u64 = 0x3 << 14;

/// Physical address size.
pub const PS: u64 = 0x7 << 16;

/// 16-bit VMIDs.
pub const VS: u64 = 1 << 19;

/// Hardware sets the access flag.
pub const HA: u64 = 1 << 21;

/// Hardware manages dirty state.
pub const HD: u64 = 1 << 22;

/// Descriptor bit 59 is for hardware use.
pub const HWU59: u64 = 1 << 25;

/// Descriptor bit 60 is for hardware use.
pub const HWU60: u64 = 1 << 26;

/// Descriptor bit 61 is for hardware use.
pub const HWU61: u64 = 1 << 27;

/// Descriptor bit 62 is for hardware use.
pub const HWU62: u64 = 1 << 28;

/// Walks of non-secure IPAs.
pub const NSW: u64 = 1 << 29;

/// Output space of non-secure IPAs.
pub const NSA: u64 = 1 << 30;

/// RES1.
pub const RES1: u64 = 1 << 31;

/// 52-bit addresses with 4K and 16K granules (FEAT_LPA2).
pub const DS: u64 = 1 << 32;

/// Start level -1.
pub const SL2: u64 = 1 << 33;
