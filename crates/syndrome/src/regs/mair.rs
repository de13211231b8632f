//! `MAIR_EL1`, and `MAIR_EL2`: eight memory types, by the index in a descriptor.
//!
//! Only the encodings that software uses have names.
#![expect(non_upper_case_globals, reason = "Arm ARM spelling")]

use super::field::fields;

fields! {
    /// Its fields.
    FIELDS:

    /// Memory type 0.
    Attr0 = 0, 8 {
        0x00: "Device-nGnRnE",
        0x04: "Device-nGnRE",
        0x08: "Device-nGRE",
        0x0c: "Device-GRE",
        0x40: "Normal Non-cacheable, XS = 0",
        0x44: "Normal Non-cacheable",
        0xa0: "Normal Write-Through, XS = 0",
        0xbb: "Normal Write-Through",
        0xee: "Normal Write-Back, no write-allocate",
        0xf0: "Normal Write-Back, Tagged",
        0xff: "Normal Write-Back",
    };

    /// Memory type 1.
    Attr1 = 8, 8 {
        0x00: "Device-nGnRnE",
        0x04: "Device-nGnRE",
        0x08: "Device-nGRE",
        0x0c: "Device-GRE",
        0x40: "Normal Non-cacheable, XS = 0",
        0x44: "Normal Non-cacheable",
        0xa0: "Normal Write-Through, XS = 0",
        0xbb: "Normal Write-Through",
        0xee: "Normal Write-Back, no write-allocate",
        0xf0: "Normal Write-Back, Tagged",
        0xff: "Normal Write-Back",
    };

    /// Memory type 2.
    Attr2 = 16, 8 {
        0x00: "Device-nGnRnE",
        0x04: "Device-nGnRE",
        0x08: "Device-nGRE",
        0x0c: "Device-GRE",
        0x40: "Normal Non-cacheable, XS = 0",
        0x44: "Normal Non-cacheable",
        0xa0: "Normal Write-Through, XS = 0",
        0xbb: "Normal Write-Through",
        0xee: "Normal Write-Back, no write-allocate",
        0xf0: "Normal Write-Back, Tagged",
        0xff: "Normal Write-Back",
    };

    /// Memory type 3.
    Attr3 = 24, 8 {
        0x00: "Device-nGnRnE",
        0x04: "Device-nGnRE",
        0x08: "Device-nGRE",
        0x0c: "Device-GRE",
        0x40: "Normal Non-cacheable, XS = 0",
        0x44: "Normal Non-cacheable",
        0xa0: "Normal Write-Through, XS = 0",
        0xbb: "Normal Write-Through",
        0xee: "Normal Write-Back, no write-allocate",
        0xf0: "Normal Write-Back, Tagged",
        0xff: "Normal Write-Back",
    };

    /// Memory type 4.
    Attr4 = 32, 8 {
        0x00: "Device-nGnRnE",
        0x04: "Device-nGnRE",
        0x08: "Device-nGRE",
        0x0c: "Device-GRE",
        0x40: "Normal Non-cacheable, XS = 0",
        0x44: "Normal Non-cacheable",
        0xa0: "Normal Write-Through, XS = 0",
        0xbb: "Normal Write-Through",
        0xee: "Normal Write-Back, no write-allocate",
        0xf0: "Normal Write-Back, Tagged",
        0xff: "Normal Write-Back",
    };

    /// Memory type 5.
    Attr5 = 40, 8 {
        0x00: "Device-nGnRnE",
        0x04: "Device-nGnRE",
        0x08: "Device-nGRE",
        0x0c: "Device-GRE",
        0x40: "Normal Non-cacheable, XS = 0",
        0x44: "Normal Non-cacheable",
        0xa0: "Normal Write-Through, XS = 0",
        0xbb: "Normal Write-Through",
        0xee: "Normal Write-Back, no write-allocate",
        0xf0: "Normal Write-Back, Tagged",
        0xff: "Normal Write-Back",
    };

    /// Memory type 6.
    Attr6 = 48, 8 {
        0x00: "Device-nGnRnE",
        0x04: "Device-nGnRE",
        0x08: "Device-nGRE",
        0x0c: "Device-GRE",
        0x40: "Normal Non-cacheable, XS = 0",
        0x44: "Normal Non-cacheable",
        0xa0: "Normal Write-Through, XS = 0",
        0xbb: "Normal Write-Through",
        0xee: "Normal Write-Back, no write-allocate",
        0xf0: "Normal Write-Back, Tagged",
        0xff: "Normal Write-Back",
    };

    /// Memory type 7.
    Attr7 = 56, 8 {
        0x00: "Device-nGnRnE",
        0x04: "Device-nGnRE",
        0x08: "Device-nGRE",
        0x0c: "Device-GRE",
        0x40: "Normal Non-cacheable, XS = 0",
        0x44: "Normal Non-cacheable",
        0xa0: "Normal Write-Through, XS = 0",
        0xbb: "Normal Write-Through",
        0xee: "Normal Write-Back, no write-allocate",
        0xf0: "Normal Write-Back, Tagged",
        0xff: "Normal Write-Back",
    };
}
