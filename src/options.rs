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
#[derive(Debug)]
pub struct UnknownOption<'a>(&'a str);

impl fmt::Display for UnknownOption<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown option '{}': gnomon knows log=off|error|warn|info|debug|trace", self.0)
    }
}

impl Options {
    /// Reads a command line of words separated by blanks.
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
