//! `VTCR_EL2`, Virtualization Translation Control Register.

use super::field::fields;

fields! {
    /// Its fields.
    FIELDS:

    /// 64 minus the IPA size in bits.
    T0SZ = 0, 6;

    /// Start level, encoded per granule.
    SL0 = 6, 2;

    /// Inner cacheability of walks.
    IRGN0 = 8, 2 { 0: "Non-cacheable", 1: "Write-Back", 2: "Write-Through", 3: "Write-Back, no write-allocate" };

    /// Outer cacheability of walks.
    ORGN0 = 10, 2 { 0: "Non-cacheable", 1: "Write-Back", 2: "Write-Through", 3: "Write-Back, no write-allocate" };

    /// Shareability of walks.
    SH0 = 12, 2 { 0: "Non-shareable", 2: "Outer Shareable", 3: "Inner Shareable" };

    /// Granule: 0 4K, 1 64K, 2 16K.
    TG0 = 14, 2 { 0: "4K", 1: "64K", 2: "16K" };

    /// Physical address size.
    PS = 16, 3 { 0: "32 bits", 1: "36 bits", 2: "40 bits", 3: "42 bits", 4: "44 bits", 5: "48 bits", 6: "52 bits" };

    /// 16-bit VMIDs.
    VS = 19;

    /// Hardware sets the access flag.
    HA = 21;

    /// Hardware manages dirty state.
    HD = 22;

    /// Descriptor bit 59 is for hardware use.
    HWU59 = 25;

    /// Descriptor bit 60 is for hardware use.
    HWU60 = 26;

    /// Descriptor bit 61 is for hardware use.
    HWU61 = 27;

    /// Descriptor bit 62 is for hardware use.
    HWU62 = 28;

    /// Walks of non-secure IPAs.
    NSW = 29;

    /// Output space of non-secure IPAs.
    NSA = 30;

    /// RES1.
    RES1 = 31;

    /// 52-bit addresses with 4K and 16K granules (FEAT_LPA2).
    DS = 32;

    /// Start level -1.
    SL2 = 33;
}
