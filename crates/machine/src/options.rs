//! gnomon's own command line: the machine's `/chosen/bootargs`.

use core::fmt;

use log::LevelFilter;

/// What there is to choose from.
const KNOWN: &str = "log=off|error|warn|info|debug|trace, e2h=0|1";

/// What the user chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// `log=LEVEL`: how much goes to the debug console's log.
    pub log: LevelFilter,
    /// `e2h=0`: L1 is offered an EL2 without VHE.
    pub e2h0: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            log: LevelFilter::Info,
            e2h0: false,
        }
    }
}

/// A word of the command line that means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownOption<'a>(&'a str);

impl fmt::Display for UnknownOption<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown option '{}': gnomon knows {KNOWN}", self.0)
    }
}

impl Options {
    /// Reads a command line of words separated by blanks; of an option given twice, the last counts.
    ///
    /// # Errors
    ///
    /// The first word that is no option.
    pub fn parse(line: &str) -> Result<Self, UnknownOption<'_>> {
        let mut options = Self::default();
        for word in line.split_ascii_whitespace() {
            match word.split_once('=') {
                Some(("log", level)) => options.log = level.parse().map_err(|_| UnknownOption(word))?,
                Some(("e2h", "0")) => options.e2h0 = true,
                Some(("e2h", "1")) => options.e2h0 = false,
                _ => return Err(UnknownOption(word)),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn nothing_said_means_info() {
        let options = Options::parse(" \t").unwrap();
        assert_eq!(options, Options::default());
        assert_eq!(options.log, LevelFilter::Info);
        assert!(!options.e2h0);
    }

    #[test]
    fn the_last_of_two_counts() {
        let options = Options::parse("log=off e2h=1  log=trace e2h=0").unwrap();
        assert_eq!(options.log, LevelFilter::Trace);
        assert!(options.e2h0);
        assert!(!Options::parse("e2h=0 e2h=1").unwrap().e2h0);
    }

    #[test]
    fn the_message_quotes_the_first_unknown_word() {
        for word in ["log", "log=", "log=loud", "=", "quiet", "LOG=info", "e2h", "e2h=2"] {
            let line = std::format!("log=debug {word} other");
            let message = Options::parse(&line).unwrap_err().to_string();
            let wanted = std::format!("unknown option '{word}': gnomon knows {KNOWN}");
            assert_eq!(message, wanted);
        }
    }
}
