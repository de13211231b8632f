//! Saying what is going on while long work is under way.
//!
//! On a terminal a moving line; elsewhere (a log) one line per step, because
//! a log full of carriage returns helps nobody. Everything goes to standard
//! error: standard output belongs to the guest's console.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A step of work being shown.
#[derive(Debug)]
pub struct Step {
    bar: ProgressBar,
}

impl Step {
    /// Begins a step whose length is not known.
    #[must_use]
    pub fn begin(what: &str) -> Self {
        Self::show(ProgressBar::new_spinner(), "{spinner} {msg} ({elapsed})", what)
    }

    /// Begins a step of that many bytes.
    #[must_use]
    pub fn begin_bytes(what: &str, bytes: u64) -> Self {
        Self::show(
            ProgressBar::new(bytes),
            "{spinner} {msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            what,
        )
    }

    fn show(bar: ProgressBar, template: &str, what: &str) -> Self {
        if !stderr().is_terminal() {
            say(what);
        }
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar }
    }

    /// Says how many bytes are done so far.
    pub fn set_bytes(&self, bytes: u64) {
        self.bar.set_position(bytes);
    }

    /// Ends the step and removes its line.
    pub fn end(self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// One line to the user.
pub fn say(what: &str) {
    eprintln!("{what}");
}
