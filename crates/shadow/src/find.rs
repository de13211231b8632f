//! Shadows by name, and one after the other: for the console.

use crate::{
    key::ShadowKey,
    lock::Locks,
    pool::ShadowPool,
    slot::{Shadow, SlotId},
};
use core::fmt;

/// Why a name does not name a shadow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindError {
    /// No shadow has this number or a name that begins so.
    NotFound,
    /// Several names begin so.
    Ambiguous,
}

impl fmt::Display for FindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "no such shadow",
            Self::Ambiguous => "several shadows have names that begin so",
        })
    }
}

impl core::error::Error for FindError {}

/// The shadow that a user means by `name`, with its key: the number in decimal, or the beginning of exactly one name.
/// `key_of` tells the keys of those in `slots`.
///
/// # Errors
///
/// [`FindError`].
pub fn find(
    name: &str,
    slots: impl Iterator<Item = SlotId>,
    key_of: impl Fn(SlotId) -> Option<ShadowKey>,
) -> Result<(SlotId, ShadowKey), FindError> {
    if let Ok(number) = name.parse() {
        let slot = SlotId(number);
        return key_of(slot).map(|key| (slot, key)).ok_or(FindError::NotFound);
    }
    let mut matching = slots.filter_map(|slot| {
        let key = key_of(slot)?;
        (!name.is_empty() && is_prefix(name, key)).then_some((slot, key))
    });
    let found = matching.next().ok_or(FindError::NotFound)?;
    match matching.next() {
        None => Ok(found),
        Some(_) => Err(FindError::Ambiguous),
    }
}

impl<L: Locks, const N: usize> ShadowPool<L, N> {
    /// The slots that may have a shadow of L1's `vmid`, as of now.
    pub fn slots_of(&self, vmid: u16) -> impl Iterator<Item = SlotId> + use<L, N> {
        self.vmids.slots(Some(vmid))
    }

    /// The shadow for `key`, if there is one.
    #[must_use]
    pub fn slot_of(&self, key: ShadowKey) -> Option<SlotId> {
        self.slots_of(key.vmid())
            .find(|slot| self.with(*slot, Shadow::key) == Some(key))
    }

    /// What `f` says of the shadow in `slot`, if there is one, which is locked as long.
    pub fn with<T>(&self, slot: SlotId, f: impl FnOnce(&Shadow) -> T) -> Option<T> {
        Some(f(self.lock(slot)?.as_ref()?))
    }
}

/// Whether `key`'s name begins with `prefix`.
fn is_prefix(prefix: &str, key: ShadowKey) -> bool {
    /// What of the prefix has not been met yet; an error as soon as the name differs.
    struct Rest<'a>(&'a str);

    impl fmt::Write for Rest<'_> {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            if let Some(rest) = self.0.strip_prefix(part) {
                self.0 = rest;
                return Ok(());
            }
            let is_end = part.starts_with(self.0);
            self.0 = "";
            if is_end { Ok(()) } else { Err(fmt::Error) }
        }
    }

    let mut rest = Rest(prefix);
    fmt::write(&mut rest, format_args!("{key}")).is_ok() && rest.0.is_empty()
}
