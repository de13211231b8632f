//! `TCR_EL1`, and `TCR_EL2` when `HCR_EL2.E2H` is 1: the layouts agree.

use super::field::fields;

fields! {
    /// Its fields.
    FIELDS:

    /// 64 minus the size of the lower range in bits.
    T0SZ = 0, 6;

    /// Walks of `TTBR0` fault.
    EPD0 = 7;

    /// Inner cacheability of walks, lower range.
    IRGN0 = 8, 2 {
        0: "Non-cacheable",
        1: "Write-Back",
        2: "Write-Through",
        3: "Write-Back, no write-allocate",
    };

    /// Outer cacheability of walks, lower range.
    ORGN0 = 10, 2 {
        0: "Non-cacheable",
        1: "Write-Back",
        2: "Write-Through",
        3: "Write-Back, no write-allocate",
    };

    /// Shareability of walks, lower range.
    SH0 = 12, 2 { 0: "Non-shareable", 2: "Outer Shareable", 3: "Inner Shareable" };

    /// Granule of the lower range.
    TG0 = 14, 2 { 0: "4K", 1: "64K", 2: "16K" };

    /// 64 minus the size of the upper range in bits.
    T1SZ = 16, 6;

    /// The ASID is `TTBR1`'s.
    A1 = 22;

    /// Walks of `TTBR1` fault.
    EPD1 = 23;

    /// Inner cacheability of walks, upper range.
    IRGN1 = 24, 2 {
        0: "Non-cacheable",
        1: "Write-Back",
        2: "Write-Through",
        3: "Write-Back, no write-allocate",
    };

    /// Outer cacheability of walks, upper range.
    ORGN1 = 26, 2 {
        0: "Non-cacheable",
        1: "Write-Back",
        2: "Write-Through",
        3: "Write-Back, no write-allocate",
    };

    /// Shareability of walks, upper range.
    SH1 = 28, 2 { 0: "Non-shareable", 2: "Outer Shareable", 3: "Inner Shareable" };

    /// Granule of the upper range.
    TG1 = 30, 2 { 1: "16K", 2: "4K", 3: "64K" };

    /// Output address size.
    IPS = 32, 3 {
        0: "32 bits",
        1: "36 bits",
        2: "40 bits",
        3: "42 bits",
        4: "44 bits",
        5: "48 bits",
        6: "52 bits",
    };

    /// 16-bit ASIDs.
    AS = 36;

    /// Top byte ignored, lower range.
    TBI0 = 37;

    /// Top byte ignored, upper range.
    TBI1 = 38;

    /// Hardware sets the access flag.
    HA = 39;

    /// Hardware manages dirty state.
    HD = 40;

    /// No permissions in tables, lower range.
    HPD0 = 41;

    /// No permissions in tables, upper range.
    HPD1 = 42;

    /// Descriptor bit 59 is for hardware use, lower range.
    HWU059 = 43;

    /// Descriptor bit 60 is for hardware use, lower range.
    HWU060 = 44;

    /// Descriptor bit 61 is for hardware use, lower range.
    HWU061 = 45;

    /// Descriptor bit 62 is for hardware use, lower range.
    HWU062 = 46;

    /// Descriptor bit 59 is for hardware use, upper range.
    HWU159 = 47;

    /// Descriptor bit 60 is for hardware use, upper range.
    HWU160 = 48;

    /// Descriptor bit 61 is for hardware use, upper range.
    HWU161 = 49;

    /// Descriptor bit 62 is for hardware use, upper range.
    HWU162 = 50;

    /// `TBI0` is about data only.
    TBID0 = 51;

    /// `TBI1` is about data only.
    TBID1 = 52;

    /// Non-fault walks of EL0 fault, lower range.
    NFD0 = 53;

    /// Non-fault walks of EL0 fault, upper range.
    NFD1 = 54;

    /// EL0 faults in the lower range.
    E0PD0 = 55;

    /// EL0 faults in the upper range.
    E0PD1 = 56;

    /// Tag 0 is unchecked.
    TCMA0 = 57;

    /// Tag 15 is unchecked.
    TCMA1 = 58;

    /// 52-bit addresses with 4K and 16K granules (FEAT_LPA2).
    DS = 59;

    /// Tags are no address bits, lower range.
    MTX0 = 60;

    /// Tags are no address bits, upper range.
    MTX1 = 61;
}
