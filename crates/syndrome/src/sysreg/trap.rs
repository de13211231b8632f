//! Which of L1's controls trap an access of its guest's.
//!
//! Sources: DDI 0487, the descriptions of the controls in `HCR_EL2`, `MDCR_EL2`, `CPTR_EL2` and `CNTHCTL_EL2`; IHI 0069 for
//! `ICH_HCR_EL2`.

use crate::{
    forward::{Access, Control, Source},
    regs::{cnthctl_el2, cpacr, hcr_el2, ich_hcr_el2, mdcr_el2},
};

/// A control that traps reads and writes when set.
const fn set(source: Source, mask: u64) -> Control {
    Control {
        source,
        mask,
        traps_when_set: true,
        access: Access::Any,
    }
}

/// A control that traps reads and writes when clear.
const fn clear(source: Source, mask: u64) -> Control {
    Control {
        source,
        mask,
        traps_when_set: false,
        access: Access::Any,
    }
}

/// A control that traps one direction when set.
const fn on(access: Access, source: Source, mask: u64) -> Control {
    Control {
        source,
        mask,
        traps_when_set: true,
        access,
    }
}

/// Declares the sets of controls that there are. Each is called after its bits.
macro_rules! traps {
    ($($(#[$doc:meta])* $name:ident = [$($control:expr),*];)*) => {
        /// What traps an encoding.
        #[expect(non_camel_case_types, reason = "Arm ARM spelling")]
        #[expect(missing_docs, reason = "they are called after their bits")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Trap {
            $($(#[$doc])* $name,)*
        }

        impl Trap {
            /// The controls, any of which traps.
            pub(crate) const fn controls(self) -> &'static [Control] {
                match self {
                    $(Self::$name => const { &[$($control),*] },)*
                }
            }
        }
    };
}

traps! {
    /// Nothing.
    NONE = [];
    /// `TVM`, `TRVM`: the virtual memory control registers of EL1.
    VM = [on(Access::Write, Source::Hcr, hcr_el2::TVM), on(Access::Read, Source::Hcr, hcr_el2::TRVM)];
    TACR = [set(Source::Hcr, hcr_el2::TACR)];
    TIDCP = [set(Source::Hcr, hcr_el2::TIDCP)];
    TID1 = [on(Access::Read, Source::Hcr, hcr_el2::TID1)];
    TID2 = [set(Source::Hcr, hcr_el2::TID2)];
    TID2_TID4 = [set(Source::Hcr, hcr_el2::TID2 | hcr_el2::TID4)];
    TID3 = [on(Access::Read, Source::Hcr, hcr_el2::TID3)];
    TSW = [set(Source::Hcr, hcr_el2::TSW)];
    TPCP = [set(Source::Hcr, hcr_el2::TPCP)];
    TPU_TICAB = [set(Source::Hcr, hcr_el2::TPU | hcr_el2::TICAB)];
    TPU_TOCU = [set(Source::Hcr, hcr_el2::TPU | hcr_el2::TOCU)];
    TDZ = [set(Source::Hcr, hcr_el2::TDZ)];
    TTLB = [set(Source::Hcr, hcr_el2::TTLB)];
    TTLB_TTLBIS = [set(Source::Hcr, hcr_el2::TTLB | hcr_el2::TTLBIS)];
    TTLB_TTLBOS = [set(Source::Hcr, hcr_el2::TTLB | hcr_el2::TTLBOS)];
    TLOR = [set(Source::Hcr, hcr_el2::TLOR)];
    TERR = [set(Source::Hcr, hcr_el2::TERR)];
    AT = [set(Source::Hcr, hcr_el2::AT)];
    APK = [clear(Source::Hcr, hcr_el2::APK)];
    ENSCXT = [clear(Source::Hcr, hcr_el2::EnSCXT)];
    TDA = [set(Source::Mdcr, mdcr_el2::TDE | mdcr_el2::TDA)];
    TDA_TDCC = [set(Source::Mdcr, mdcr_el2::TDE | mdcr_el2::TDA | mdcr_el2::TDCC)];
    TDRA = [set(Source::Mdcr, mdcr_el2::TDE | mdcr_el2::TDRA)];
    TDOSA = [set(Source::Mdcr, mdcr_el2::TDE | mdcr_el2::TDOSA)];
    TPM = [set(Source::Mdcr, mdcr_el2::TPM)];
    TPM_TPMCR = [set(Source::Mdcr, mdcr_el2::TPM | mdcr_el2::TPMCR)];
    TPMS = [set(Source::Mdcr, mdcr_el2::TPMS)];
    TTRF = [set(Source::Mdcr, mdcr_el2::TTRF)];
    TCPAC = [set(Source::Cptr, cpacr::TCPAC)];
    TTA = [set(Source::Cptr, cpacr::TTA)];
    TAM = [set(Source::Cptr, cpacr::TAM)];
    EL1PCTEN = [clear(Source::Cnthctl, cnthctl_el2::EL1PCTEN)];
    EL1PTEN = [clear(Source::Cnthctl, cnthctl_el2::EL1PTEN)];
    EL1TVT = [set(Source::Cnthctl, cnthctl_el2::EL1TVT)];
    EL1TVCT = [set(Source::Cnthctl, cnthctl_el2::EL1TVCT)];
    TC = [set(Source::IchHcr, ich_hcr_el2::TC)];
    TC_TDIR = [set(Source::IchHcr, ich_hcr_el2::TC | ich_hcr_el2::TDIR)];
    TALL0 = [set(Source::IchHcr, ich_hcr_el2::TALL0)];
    TALL1 = [set(Source::IchHcr, ich_hcr_el2::TALL1)];
    /// Generation of software interrupts: a virtual CPU interface cannot do it.
    SGI = [
        on(Access::Write, Source::Hcr, hcr_el2::IMO | hcr_el2::FMO),
        on(Access::Write, Source::IchHcr, ich_hcr_el2::TC)
    ];
}
