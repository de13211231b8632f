//! Commands (IHI 0070, "Commands").

/// A command: what boot needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// `CMD_CFGI_ALL`: forget all stream table entries.
    ForgetConfiguration,
    /// `CMD_TLBI_NSNH_ALL`: forget all translations but those of EL2 and EL3.
    ForgetTranslations,
    /// `CMD_SYNC`: complete what came before, without any signal but the index that moves on.
    Sync,
}

impl Command {
    /// What boot says.
    pub const BOOT: [Self; 3] = [Self::ForgetConfiguration, Self::ForgetTranslations, Self::Sync];

    /// As it stands in the queue.
    #[must_use]
    pub const fn encode(self) -> [u64; 2] {
        /// `CMD_CFGI_STE_RANGE` of all streams.
        const ALL_STREAMS: u64 = 31;
        match self {
            Self::ForgetConfiguration => [0x04, ALL_STREAMS],
            Self::ForgetTranslations => [0x30, 0],
            Self::Sync => [0x46, 0],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_their_codes() {
        let words = Command::BOOT.map(Command::encode);
        assert_eq!(words, [[0x04, 31], [0x30, 0], [0x46, 0]]);
    }
}
