//! One sentence for one address: what L1 says, what the shadow has, and who receives the fault.

use super::{GuestStage, HostStage, Outcome, Place, ShadowState, Situation};
use core::fmt;
use shadow::{Access, Offence};
use vmsa::{
    Fault, Ipa, L1,
    stage2::{Mapping, Perms},
};

/// The accesses that are told apart where no particular one is asked about.
const ACCESSES: [Access; 4] = [
    Access::Read,
    Access::Write,
    Access::Execute { el0: false },
    Access::Execute { el0: true },
];

/// What a [`Situation`] comes to, as a sentence.
#[derive(Clone, Copy, Debug)]
pub struct Sentence<'a> {
    /// What the tables say.
    pub situation: &'a Situation,
    /// The access in question; `None` for all of them.
    pub access: Option<Access>,
}

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_guest(f)?;
        f.write_str("; ")?;
        self.write_shadow(f)?;
        f.write_str("; ")?;
        self.write_end(f)?;
        f.write_str(".")
    }
}

impl Sentence<'_> {
    fn write_guest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ipa = self.situation.ipa;
        match self.situation.guest {
            GuestStage::Off => write!(f, "L1 has stage 2 off, so that IPA {ipa} is L1's own {ipa}")?,
            GuestStage::Unwalkable(reason) => {
                return write!(f, "L1's VTCR_EL2 and VTTBR_EL2 cannot be walked: {reason}");
            }
            GuestStage::Beyond { ipa_bits } => return write!(f, "IPA {ipa} is beyond L1's {ipa_bits}-bit IPA size"),
            GuestStage::Faults(Fault::AddressSize(level)) => {
                return write!(
                    f,
                    "L1's descriptor of {level} for IPA {ipa} points beyond its output size"
                );
            }
            GuestStage::Faults(fault) => return write!(f, "L1 does not map IPA {ipa} at {}", fault.level()),
            GuestStage::Unreadable { fault, table, place } => {
                let level = fault.level();
                return write!(
                    f,
                    "L1's table of {level} for IPA {ipa} is at {table}, where there is {place}"
                );
            }
            GuestStage::Maps { mapping, hardware_af } => {
                let perms = PermWords(mapping.attrs.perms);
                write!(
                    f,
                    "L1 maps IPA {ipa} {perms} at {} to {}",
                    mapping.level, mapping.output
                )?;
                f.write_str(match (mapping.attrs.af, hardware_af) {
                    (true, _) => "",
                    (false, false) => " with the Access flag clear",
                    (false, true) => " with the Access flag clear, which is set on the next access",
                })?;
            }
        }
        match self.situation.host {
            Some(HostStage::Lacks { place, .. }) => write!(f, ", where there is {place}"),
            Some(HostStage::Maps(_)) | None => Ok(()),
        }
    }

    fn write_shadow(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.situation.shadow_state(), self.situation.shadow) {
            (ShadowState::Follows, _) => f.write_str("the shadow follows"),
            (ShadowState::Narrower(perms), _) => {
                write!(
                    f,
                    "the shadow has it {} so far and is widened on demand",
                    PermWords(perms)
                )
            }
            (ShadowState::Empty, _) => f.write_str("the shadow has nothing there yet and is filled on demand"),
            (ShadowState::Absent, _) => f.write_str("the shadow has nothing there either"),
            (ShadowState::Stale(offence), Ok(leaf)) => write_stale(f, offence, &leaf),
            (ShadowState::Stale(offence), Err(_)) => write!(f, "the shadow is stale ({offence})"),
        }
    }

    fn write_end(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (ShadowState::Stale(_), Ok(leaf)) = (self.situation.shadow_state(), self.situation.shadow) {
            match self.access {
                Some(access) if access.is_allowed(leaf.attrs.perms) => {
                    return write!(f, "{} still reaches PA {}", name(access), leaf.output);
                }
                None => return write!(f, "what the shadow allows still reaches PA {}", leaf.output),
                Some(_) => {}
            }
        }
        match self.access {
            Some(access) => write!(f, "{} {}", name(access), OutcomeWords(self.situation.outcome(access))),
            None => write_all(f, |access| self.situation.outcome(access)),
        }
    }
}

fn write_stale<O>(f: &mut fmt::Formatter<'_>, offence: Offence, leaf: &Mapping<O>) -> fmt::Result {
    let perms = PermWords(leaf.attrs.perms);
    match offence {
        Offence::NotInGuest(_) => write!(f, "the shadow still has it {perms}"),
        Offence::NotInHost(..) => write!(f, "the shadow has it {perms} although the host does not"),
        Offence::OtherOutput(pa) => write!(f, "the shadow leads to {} instead of {pa}", leaf.output),
        Offence::TooLarge(level) => write!(f, "the shadow has it at {}, larger than {level}", leaf.level),
        Offence::TooPermissive(_) => write!(f, "the shadow has it {perms}, wider than that"),
        Offence::TooRelaxed(attrs) => {
            let (mem, sh) = (leaf.attrs.mem, leaf.attrs.sh);
            write!(
                f,
                "the shadow has it {mem} {sh}, weaker than {} {}",
                attrs.mem, attrs.sh
            )
        }
    }?;
    f.write_str(match offence {
        Offence::NotInHost(..) => ", which is a bug",
        _ => ", which is a bug unless L1 has yet to invalidate it",
    })
}

/// How each kind of access ends, like ones together.
fn write_all(f: &mut fmt::Formatter<'_>, outcome: impl Fn(Access) -> Outcome) -> fmt::Result {
    let outcomes = ACCESSES.map(|access| (access, outcome(access)));
    let [(_, first), ..] = outcomes;
    if outcomes.iter().all(|&(_, outcome)| outcome == first) {
        let who = if matches!(first, Outcome::Reaches(_)) {
            "every"
        } else {
            "any"
        };
        return write!(f, "{who} access {}", OutcomeWords(first));
    }
    let mut separator = "";
    for (at, &(_, outcome)) in outcomes.iter().enumerate() {
        let is_said = outcomes.iter().take(at).any(|&(_, earlier)| earlier == outcome);
        if is_said || matches!(outcome, Outcome::Reaches(_)) {
            continue;
        }
        f.write_str(separator)?;
        separator = ", ";
        write_names(f, outcomes.map(|(access, other)| (other == outcome).then_some(access)))?;
        write!(f, " {}", OutcomeWords(outcome))?;
    }
    Ok(())
}

/// `a read, a write or a fetch`
fn write_names(f: &mut fmt::Formatter<'_>, accesses: [Option<Access>; 4]) -> fmt::Result {
    let [read, write, el1, el0] = accesses.map(|access| access.map(name));
    let fetches = match (el1, el0) {
        (Some(_), Some(_)) => [Some("a fetch"), None],
        one => one.into(),
    };
    let names = [read, write].into_iter().chain(fetches).flatten();
    let count = names.clone().count();
    for (at, name) in names.enumerate() {
        f.write_str(match at {
            0 => "",
            _ if at + 1 == count => " or ",
            _ => ", ",
        })?;
        f.write_str(name)?;
    }
    Ok(())
}

const fn name(access: Access) -> &'static str {
    match access {
        Access::Read => "a read",
        Access::Write => "a write",
        Access::Execute { el0: false } => "a fetch at EL1",
        Access::Execute { el0: true } => "a fetch at EL0",
    }
}

/// What comes behind "an access".
struct OutcomeWords(Outcome);

impl fmt::Display for OutcomeWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Outcome::Reaches(pa) => write!(f, "reaches PA {pa}"),
            Outcome::FaultsToL1(fault) => write!(f, "faults to L1 ({fault})"),
            Outcome::Emulated => f.write_str("is emulated by gnomon"),
            Outcome::ExternalAbort => f.write_str("takes an external abort"),
        }
    }
}

/// Permissions as people say them.
struct PermWords(Perms);

impl fmt::Display for PermWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Perms {
            read,
            write,
            exec_el1,
            exec_el0,
        } = self.0;
        match (read, write, exec_el1, exec_el0) {
            (true, true, true, true) => f.write_str("with all permissions"),
            (true, true, false, false) => f.write_str("read-write"),
            (true, false, false, false) => f.write_str("read-only"),
            (true, false, true, true) => f.write_str("read-only and executable"),
            (false, true, false, false) => f.write_str("write-only"),
            (false, false, false, false) => f.write_str("without any permission"),
            _ => write!(f, "as {}", self.0),
        }
    }
}

/// What the host stage 2 makes of an address of L1's own, as a sentence.
#[derive(Clone, Copy, Debug)]
pub struct HostSentence {
    /// The address.
    pub l1: Ipa<L1>,
    /// What the host says.
    pub host: HostStage,
    /// The access in question; `None` for all of them.
    pub access: Option<Access>,
}

impl HostSentence {
    /// How `access` ends.
    #[must_use]
    pub fn outcome(&self, access: Access) -> Outcome {
        match self.host {
            HostStage::Maps(mapping) if access.is_allowed(mapping.attrs.perms) => Outcome::Reaches(mapping.output),
            HostStage::Lacks {
                place: Place::Device, ..
            } if !matches!(access, Access::Execute { .. }) => Outcome::Emulated,
            _ => Outcome::ExternalAbort,
        }
    }
}

impl fmt::Display for HostSentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let l1 = self.l1;
        match self.host {
            HostStage::Maps(mapping) => {
                let perms = PermWords(mapping.attrs.perms);
                write!(f, "gnomon maps L1's {l1} {perms} at {}; ", mapping.level)?;
            }
            HostStage::Lacks { place, .. } => write!(f, "gnomon maps nothing at L1's {l1}, where there is {place}; ")?,
        }
        match self.access {
            Some(access) => write!(f, "{} {}.", name(access), OutcomeWords(self.outcome(access))),
            None => {
                write_all(f, |access| self.outcome(access))?;
                f.write_str(".")
            }
        }
    }
}
