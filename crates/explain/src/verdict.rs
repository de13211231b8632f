//! What a finding of the audit means, in a sentence for someone who writes a hypervisor.

use core::fmt;
use shadow::{Finding, Offence, Past, Tlbi};
use vmsa::{Pa, stage2::Stage2Desc};

/// A leaf that is not what the tables say, and what is known of its past.
#[derive(Clone, Copy, Debug)]
pub struct Verdict<'a> {
    /// The leaf.
    pub finding: &'a Finding,
    /// What is known of its past.
    pub past: Past,
    /// The guest's VMID.
    pub vmid: u16,
    /// What an instruction of a [`Tlbi`] is called.
    pub name: fn(u16) -> &'static str,
}

impl Verdict<'_> {
    /// Whose fault it is, if it is a fault: a name for programs.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self.past {
            Past::Survived(_) => "gnomon",
            Past::NotInvalidated { elsewhere: Some(_), .. } => "wrong-vmid",
            Past::NotInvalidated { .. } => "missing-tlbi",
            Past::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; ", Change(self.finding))?;
        match self.past {
            Past::Survived(tlbi) => write!(
                f,
                "{} covered it after the leaf was made, and it is still there: a DEFECT of gnomon",
                self.called(&tlbi)
            ),
            Past::NotInvalidated {
                elsewhere: Some(tlbi), ..
            } => {
                let wrong = tlbi.vmid.unwrap_or_default();
                write!(
                    f,
                    "since the leaf was made, {} was done for VMID {wrong}, but this guest's VMID is {}: \
                     TLBI under the wrong VMID in L1",
                    self.called(&tlbi),
                    self.vmid
                )
            }
            Past::NotInvalidated { before, .. } => {
                f.write_str("no TLBI covered it since the leaf was made")?;
                if let Some(tlbi) = before {
                    write!(f, " (the last one before was {})", self.called(&tlbi))?;
                }
                f.write_str(": missing TLBI IPAS2E1IS in L1")
            }
            Past::Unknown => {
                f.write_str("no TLBI that is remembered covered it: probably a missing TLBI IPAS2E1IS in L1")
            }
        }
    }
}

impl Verdict<'_> {
    fn called(&self, tlbi: &Tlbi) -> Called {
        Called((self.name)(tlbi.origin.instruction), tlbi.origin.cpu)
    }
}

/// `TLBI VMALLS12E1IS on CPU 1`
struct Called(&'static str, u16);

impl fmt::Display for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on CPU {}", self.0, self.1)
    }
}

/// What the tables say, and what the shadow still has.
struct Change<'a>(&'a Finding);

impl fmt::Display for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ADDRESS: u64 = ((1 << 48) - 1) & !0xfff;
        let have = Stage2Desc::from_raw(self.0.raw).attrs(true);
        match self.0.offence {
            Offence::NotInGuest(fault) => {
                write!(
                    f,
                    "L1's table does not map this any more ({fault}), but the shadow still does"
                )
            }
            Offence::NotInHost(l1, fault) => write!(
                f,
                "L1's table now leads to its {l1}, which the host stage 2 does not map ({fault}), but the shadow maps this"
            ),
            Offence::OtherOutput(pa) => {
                let old = Pa::new(self.0.raw & ADDRESS & !(self.0.size - 1));
                write!(f, "the tables now lead to {pa}, but the shadow still to {old}")
            }
            Offence::TooLarge(level) => {
                write!(
                    f,
                    "the tables now have leaves of {level}, but the shadow still a larger one"
                )
            }
            Offence::TooPermissive(perms) => {
                write!(f, "the tables now allow {perms}, but the shadow still {}", have.perms)
            }
            Offence::TooRelaxed(attrs) => write!(
                f,
                "the tables now say {} {} shareable, but the shadow still {} {}",
                attrs.mem, attrs.sh, have.mem, have.sh
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shadow::{InvalidationStats, Origin};
    use std::string::{String, ToString};
    use vmsa::{
        Ipa, Level,
        stage2::{Perms, Stage2Fault},
    };

    const FINDING: Finding = Finding {
        ia: Ipa::new(0x8000_1000),
        size: 0x1000,
        raw: 0x9000_0000 | 0x7ff,
        offence: Offence::TooPermissive(Perms {
            write: false,
            ..Perms::ALL
        }),
    };

    fn tlbi(vmid: u16) -> Tlbi {
        Tlbi {
            event: 7,
            origin: Origin {
                cpu: 1,
                ..Origin::default()
            },
            vmid: Some(vmid),
            is_stage2: true,
            stats: InvalidationStats::default(),
        }
    }

    fn words(offence: Offence, past: Past) -> String {
        let finding = Finding { offence, ..FINDING };
        let verdict = Verdict {
            finding: &finding,
            past,
            vmid: 1,
            name: |_| "TLBI IPAS2E1IS",
        };
        verdict.to_string()
    }

    #[test]
    fn a_missing_tlbi_is_named() {
        let past = Past::NotInvalidated {
            before: None,
            elsewhere: None,
        };
        assert_eq!(
            words(FINDING.offence, past),
            "the tables now allow r-x, but the shadow still rwx; no TLBI covered it since the leaf was made: \
             missing TLBI IPAS2E1IS in L1"
        );
    }

    #[test]
    fn a_tlbi_under_the_wrong_vmid_is_named() {
        let past = Past::NotInvalidated {
            before: Some(tlbi(1)),
            elsewhere: Some(tlbi(2)),
        };
        assert_eq!(
            words(Offence::NotInGuest(Stage2Fault::Translation(Level::THREE)), past),
            "L1's table does not map this any more (translation fault, level 3), but the shadow still does; since the \
             leaf was made, TLBI IPAS2E1IS on CPU 1 was done for VMID 2, but this guest's VMID is 1: TLBI under the \
             wrong VMID in L1"
        );
    }

    #[test]
    fn what_survived_its_tlbi_is_our_defect() {
        assert_eq!(
            words(Offence::OtherOutput(Pa::new(0xa000_0000)), Past::Survived(tlbi(1))),
            "the tables now lead to 0xa0000000, but the shadow still to 0x90000000; TLBI IPAS2E1IS on CPU 1 covered it \
             after the leaf was made, and it is still there: a DEFECT of gnomon"
        );
    }
}
