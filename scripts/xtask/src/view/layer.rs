//! The columns of a picture, which are address spaces, and the layers between them, which are kinds of table.

/// An address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Of the L2.
    L2Ipa,
    /// Of L1.
    L1Ipa,
    /// Of the machine.
    Pa,
}

/// Which table a ribbon is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// L1's own table for the L2.
    Guest,
    /// The host's table for L1.
    Host,
    /// The shadow.
    Shadow,
}

impl Space {
    /// All, from left to right.
    pub const ALL: [Self; 3] = [Self::L2Ipa, Self::L1Ipa, Self::Pa];

    /// Place among the columns.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::L2Ipa => 0,
            Self::L1Ipa => 1,
            Self::Pa => 2,
        }
    }

    /// Its name.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::L2Ipa => "L2 IPA",
            Self::L1Ipa => "L1 IPA",
            Self::Pa => "PA",
        }
    }

    /// Whose addresses they are.
    #[must_use]
    pub fn subtitle(self) -> &'static str {
        match self {
            Self::L2Ipa => "what the L2 takes for physical",
            Self::L1Ipa => "what L1 takes for physical",
            Self::Pa => "the machine's own",
        }
    }
}

impl Layer {
    /// All, in the order in which they are drawn.
    pub const ALL: [Self; 3] = [Self::Host, Self::Guest, Self::Shadow];

    /// Its name in style sheets and the page's data.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Host => "host",
            Self::Shadow => "shadow",
        }
    }

    /// Its name for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Guest => "guest stage 2",
            Self::Host => "host stage 2",
            Self::Shadow => "shadow stage 2",
        }
    }

    /// The columns it leads from and to.
    #[must_use]
    pub fn spaces(self) -> (Space, Space) {
        match self {
            Self::Guest => (Space::L2Ipa, Space::L1Ipa),
            Self::Host => (Space::L1Ipa, Space::Pa),
            Self::Shadow => (Space::L2Ipa, Space::Pa),
        }
    }

    /// The table of that kind which belongs to the L2.
    #[must_use]
    pub fn table_name(self, l2: &str) -> String {
        match self {
            Self::Host => "host".to_owned(),
            _ => format!("{}/{l2}", self.id()),
        }
    }
}
