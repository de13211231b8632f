//! One user at one terminal: bytes to lines, lines to commands, commands to output.
//!
//! While a command is in progress, what is typed is kept and not looked at, but for Ctrl-C, which ends the command and
//! forgets what was typed ahead. When no more can be kept, the UART is left to hold the rest back.

use core::fmt::{self, Write};

use console_core::{Command, Editor, Event, FilterState, Filtered};

use super::{
    commands::{self, Output, Progress, Task},
    error::CommandError,
    system::System,
    terminal::Terminal,
    typeahead::TypeAhead,
};

const CTRL_C: u8 = 0x03;

/// A session.
pub struct Session {
    editor: Editor,
    typed: TypeAhead,
    /// The command in progress. Its line stays in the editor, which gets no key meanwhile.
    job: Option<Job>,
    /// What the step in progress printed.
    output: Output,
}

/// A command in progress.
struct Job {
    task: Task,
    filters: FilterState,
}

impl Session {
    /// A session that has not been opened.
    pub const fn new() -> Self {
        Self {
            editor: Editor::new(),
            typed: TypeAhead::new(),
            job: None,
            output: Output::new(),
        }
    }

    /// Says that the console is there.
    pub fn open(&mut self, terminal: &mut Terminal) {
        let _ = writeln!(terminal, "gnomon debug console; 'help' lists the commands");
        self.editor.prompt(terminal);
    }

    /// Takes in what was typed and does the next step. Says whether there was anything to do.
    pub fn serve(&mut self, system: &System, terminal: &mut Terminal) -> bool {
        self.take_in(system, terminal);
        if self.job.is_none() {
            if self.typed.is_empty() {
                return false;
            }
            self.edit(system, terminal);
        }
        self.advance(system, terminal);
        true
    }

    /// Prints a line above the one being typed.
    pub fn announce(&mut self, news: fmt::Arguments<'_>, terminal: &mut Terminal) {
        let _ = writeln!(terminal, "\n{news}");
        if self.job.is_none() {
            self.editor.prompt(terminal);
        }
    }

    /// Empties the UART into the type-ahead.
    fn take_in(&mut self, system: &System, terminal: &mut Terminal) {
        while !self.typed.is_full() {
            let Some(byte) = terminal.read() else { return };
            if byte == CTRL_C && self.job.is_some() {
                self.cancel(system, terminal);
            } else {
                self.typed.push(byte);
            }
        }
    }

    /// Ends the command in progress, and forgets what was typed ahead.
    fn cancel(&mut self, system: &System, terminal: &mut Terminal) {
        if let Some(job) = self.job.take() {
            job.task.cancel(system);
        }
        self.typed.clear();
        let _ = terminal.write_str("^C\n");
        self.editor.prompt(terminal);
    }

    /// Gives what was typed to the editor, up to a command.
    fn edit(&mut self, system: &System, terminal: &mut Terminal) {
        let completer =
            |before: &str, _word: &str, found: &mut dyn FnMut(&str)| commands::candidates(before, system, found);
        while let Some(byte) = self.typed.pop() {
            match self.editor.input(byte, &completer, terminal) {
                Event::None => {}
                Event::Cancel => self.editor.prompt(terminal),
                Event::Line => {
                    self.begin(system, terminal);
                    if self.job.is_some() {
                        return;
                    }
                }
            }
        }
    }

    /// Begins the command on the editor's line.
    fn begin(&mut self, system: &System, terminal: &mut Terminal) {
        match commands::start(self.editor.line(), system) {
            Ok(Some(task)) => {
                self.job = Some(Job {
                    task,
                    filters: FilterState::new(),
                })
            }
            Ok(None) => self.editor.prompt(terminal),
            Err(error) => self.fail(error, terminal),
        }
    }

    /// Does one step of the command in progress.
    fn advance(&mut self, system: &System, terminal: &mut Terminal) {
        let Some(job) = &mut self.job else { return };
        // It was taken apart before, when the command began.
        let Ok(command) = Command::parse(self.editor.line()) else {
            return;
        };
        self.output.clear();
        let progress = job.task.step(system, &mut self.output);
        let mut filtered = Filtered::new(&mut *terminal, command.filters(), &mut job.filters);
        // A terminal that is not there loses its output and nothing else.
        let _ = filtered.write_str(self.output.as_str());
        match progress {
            Ok(Progress::More) if !filtered.is_done() => {}
            Ok(_) => {
                let _ = filtered.finish();
                if let Some(note) = job.task.note() {
                    let _ = writeln!(terminal, "note: {note}");
                }
                self.job = None;
                self.editor.prompt(terminal);
            }
            Err(error) => {
                let _ = filtered.finish();
                self.job = None;
                self.fail(error, terminal);
            }
        }
    }

    /// Says why there is no answer.
    fn fail(&self, error: CommandError<'_>, terminal: &mut Terminal) {
        let _ = writeln!(terminal, "error: {error}");
        self.editor.prompt(terminal);
    }
}
