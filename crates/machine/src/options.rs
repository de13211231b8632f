//! gnomon's own command line: the machine's `/chosen/bootargs`.

use core::fmt;

use log::LevelFilter;

/// What the user chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// `log=LEVEL`: how much goes to the debug console's log.
    pub log: LevelFilter,
}

/// A word of the command line that means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownOption<'a>(&'a str);

impl fmt::Display for UnknownOption<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown option '{}': gnomon knows log=off|error|warn|info|debug|trace",
            self.0
        )
    }
}

impl Options {
    /// Reads a command line of words separated by blanks; of an option given twice, the last counts.
    ///
    /// # Errors
    ///
    /// The first word that is no option.
    pub fn parse(line: &str) -> Result<Self, UnknownOption<'_>> {
        let mut options = Self { log: LevelFilter::Info };
        for word in line.split_ascii_whitespace() {
            match word.split_once('=') {
                Some(("log", level)) => options.log = level.parse().map_err(|_| UnknownOption(word))?,
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
        assert_eq!(Options::parse(" \t"), Ok(Options { log: LevelFilter::Info }));
    }

    #[test]
    fn the_last_of_two_counts() {
        assert_eq!(
            Options::parse("log=off  log=trace"),
            Ok(Options {
                log: LevelFilter::Trace
            })
        );
    }

    #[test]
    fn the_message_quotes_the_first_unknown_word() {
        for word in ["log", "log=", "log=loud", "=", "quiet", "LOG=info"] {
            let line = std::format!("log=debug {word} other");
            let message = Options::parse(&line).unwrap_err().to_string();
            let wanted = std::format!("unknown option '{word}': gnomon knows log=off|error|warn|info|debug|trace");
            assert_eq!(message, wanted);
        }
    }
}
