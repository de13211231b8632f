//! gnomon's own command line: the machine's `/chosen/bootargs`.

use core::fmt;

use log::LevelFilter;

/// What there is to choose from.
const KNOWN: &str =
    "log=off|error|warn|info|debug|trace, e2h=0|1, nv=1|2, fgt=0|1, lpa2=0|1, dma=allow|refuse, console=uart|none";

/// What the user chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct Options {
    /// `log=LEVEL`: how much goes to the debug console's log.
    pub log: LevelFilter,
    /// `e2h=0`: L1 is offered an EL2 without VHE.
    pub e2h0: bool,
    /// `nv=1`: plain FEAT_NV, which traps every EL2 register of L1's, instead of FEAT_NV2.
    pub plain_nv: bool,
    /// `fgt=1`: L1 is shown fine-grained traps, if the CPU has them.
    pub fgt: bool,
    /// `lpa2=1`: L1 is shown FEAT_LPA2, if the CPU has it.
    pub lpa2: bool,
    /// `dma=refuse`: L1 gets no device that masters the bus and that nothing confines.
    pub refuse_dma: bool,
    /// `console=none`: no UART is kept from L1 for a debug console.
    pub no_console: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            log: LevelFilter::Info,
            e2h0: false,
            plain_nv: false,
            fgt: false,
            lpa2: false,
            refuse_dma: false,
            no_console: false,
        }
    }
}

/// What is wrong with a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionError<'a> {
    /// A word that means nothing.
    Unknown(&'a str),
    /// With plain FEAT_NV the EL1 names of an L1 without VHE would reach registers of its own.
    PlainNvWithoutVhe,
}

impl fmt::Display for OptionError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(word) => write!(f, "unknown option '{word}': gnomon knows {KNOWN}"),
            Self::PlainNvWithoutVhe => f.write_str("nv=1 and e2h=0 do not go together"),
        }
    }
}

impl Options {
    /// Reads a command line of words separated by blanks; of an option given twice, the last counts.
    ///
    /// # Errors
    ///
    /// The first word that is no option; options that exclude each other.
    pub fn parse(line: &str) -> Result<Self, OptionError<'_>> {
        let mut options = Self::default();
        for word in line.split_ascii_whitespace() {
            match word.split_once('=') {
                Some(("log", level)) => options.log = level.parse().map_err(|_| OptionError::Unknown(word))?,
                Some(("e2h", "0")) => options.e2h0 = true,
                Some(("e2h", "1")) => options.e2h0 = false,
                Some(("nv", "1")) => options.plain_nv = true,
                Some(("nv", "2")) => options.plain_nv = false,
                Some(("fgt", "1")) => options.fgt = true,
                Some(("fgt", "0")) => options.fgt = false,
                Some(("lpa2", "1")) => options.lpa2 = true,
                Some(("lpa2", "0")) => options.lpa2 = false,
                Some(("dma", "refuse")) => options.refuse_dma = true,
                Some(("dma", "allow")) => options.refuse_dma = false,
                Some(("console", "none")) => options.no_console = true,
                Some(("console", "uart")) => options.no_console = false,
                _ => return Err(OptionError::Unknown(word)),
            }
        }
        if options.plain_nv && options.e2h0 {
            return Err(OptionError::PlainNvWithoutVhe);
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
        let options = Options::parse("log=off e2h=1  log=trace e2h=0 nv=1 nv=2").unwrap();
        assert_eq!(options.log, LevelFilter::Trace);
        assert!(options.e2h0 && !options.plain_nv);
        assert!(!Options::parse("e2h=0 e2h=1").unwrap().e2h0);
        assert!(Options::parse("nv=2 nv=1").unwrap().plain_nv);
        assert!(Options::parse("fgt=0 fgt=1").unwrap().fgt);
        assert!(!Options::parse("fgt=1 fgt=0").unwrap().fgt);
        assert!(Options::parse("lpa2=0 lpa2=1").unwrap().lpa2);
        assert!(!Options::parse("lpa2=1 lpa2=0").unwrap().lpa2);
        assert!(Options::parse("dma=allow dma=refuse").unwrap().refuse_dma);
        assert!(!Options::parse("dma=refuse dma=allow").unwrap().refuse_dma);
        assert!(Options::parse("console=uart console=none").unwrap().no_console);
        assert!(!Options::parse("console=none console=uart").unwrap().no_console);
    }

    #[test]
    fn plain_nv_is_for_vhe_alone() {
        let error = Options::parse("nv=1 e2h=0").unwrap_err();
        assert_eq!(error, OptionError::PlainNvWithoutVhe);
    }

    #[test]
    fn the_message_quotes_the_first_unknown_word() {
        for word in [
            "log", "log=", "log=loud", "=", "quiet", "LOG=info", "e2h", "e2h=2", "nv=0", "fgt=2", "lpa2=2", "dma=0",
            "console=",
        ] {
            let line = std::format!("log=debug {word} other");
            let message = Options::parse(&line).unwrap_err().to_string();
            let wanted = std::format!("unknown option '{word}': gnomon knows {KNOWN}");
            assert_eq!(message, wanted);
        }
    }
}
