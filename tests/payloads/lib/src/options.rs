//! The words of a payload's command line.

/// A command line: words apart by blanks, `NAME=VALUE` or a plain `NAME`.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a>(pub &'a str);

impl<'a> Options<'a> {
    /// The value of the last word `name=VALUE`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.words()
            .filter_map(|word| word.split_once('='))
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value)
            .last()
    }

    /// The number that the last word `name=NUMBER` gives, in decimal.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.value(name)?.parse().ok()
    }

    /// Whether the word `name` is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.words().any(|word| word == name)
    }

    fn words(&self) -> impl Iterator<Item = &'a str> {
        self.0.split_ascii_whitespace()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Options<'static> = Options("scenario=good  cpus=4 hold scenario=spin count=x");

    #[test]
    fn the_last_value_counts() {
        assert_eq!(LINE.value("scenario"), Some("spin"));
        assert_eq!(LINE.value("scen"), None);
    }

    #[test]
    fn a_number_is_decimal_or_none() {
        assert_eq!(LINE.number("cpus"), Some(4));
        assert_eq!(LINE.number("count"), None);
    }

    #[test]
    fn a_word_is_a_whole_word() {
        assert!(LINE.has("hold"));
        assert!(!LINE.has("hol") && !LINE.has("scenario"));
    }
}
