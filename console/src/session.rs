//! One user at one terminal: bytes to lines, lines to commands, commands to output.
//!
//! The user is a person, who gets an echo, a prompt and text, or after `set json on` a program, which gets records and
//! nothing else: an answer to each line, numbered from 1, that ends with the record `end`.
//!
//! While a command is in progress, what is typed is kept and not looked at, but for Ctrl-C, which ends the command and
//! forgets what was typed ahead. When no more can be kept, the UART is left to hold the rest back.

use core::{
    cell::Cell,
    fmt::{self, Write},
};

use console_core::{Command, Editor, Event, FilterState, Filtered};
use wire::{LINE_BYTES, Record};

use super::{
    commands::{self, Output, Progress, Task},
    error::CommandError,
    output::Form,
    system::System,
    terminal::Terminal,
    text::Text,
    typeahead::TypeAhead,
};

const CTRL_C: u8 = 0x03;
/// No error is longer, with what was typed in it.
const ERROR_BYTES: usize = 512;

/// A session. A new one is all zero, so that the image need not hold it.
pub struct Session {
    editor: Editor,
    typed: TypeAhead,
    /// How the command in progress, or the last one, is answered.
    form: Form,
    /// The command in progress. Its line stays in the editor, which gets no key meanwhile.
    job: Option<Job>,
    /// What the step in progress printed.
    output: Output,
}

/// A command in progress.
struct Job {
    /// In a cell, which has no niche: so an absent job is zero.
    task: Cell<Task>,
    filters: FilterState,
}

impl Session {
    /// A session that has not been opened.
    pub const fn new() -> Self {
        Self {
            editor: Editor::new(),
            typed: TypeAhead::new(),
            form: Form::Text,
            job: None,
            output: Output::new(),
        }
    }

    /// Says that the console is there.
    pub fn open(&mut self, terminal: &mut Terminal) {
        let _ = writeln!(terminal, "gnomon debug console; 'help' lists the commands");
        self.prompt(terminal);
    }

    /// Asks a person for a line. A program knows.
    fn prompt(&self, terminal: &mut Terminal) {
        if self.form == Form::Text {
            self.editor.prompt(terminal);
        }
    }

    /// Sends a record to a program, a line to a person.
    fn say(&self, record: &dyn Record, terminal: &mut Terminal) {
        let _ = match self.form {
            Form::Text => writeln!(terminal, "{record}"),
            Form::Json { id } => {
                let mut line = [0; LINE_BYTES];
                wire::write_line(&mut line, id, record)
                    .map_err(fmt::Error::from)
                    .and_then(|line| terminal.write_str(line))
            }
        };
    }

    /// Ends an answer.
    fn end(&self, terminal: &mut Terminal) {
        match self.form {
            Form::Text => self.editor.prompt(terminal),
            Form::Json { .. } => self.say(&wire::End {}, terminal),
        }
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
        if self.form != Form::Text {
            return;
        }
        let _ = writeln!(terminal, "\n{news}");
        if self.job.is_none() {
            self.prompt(terminal);
        }
    }

    /// Empties the UART into the type-ahead.
    fn take_in(&mut self, system: &System, terminal: &mut Terminal) {
        while !self.typed.is_full() {
            let Some(byte) = terminal.read() else { return };
            if byte == CTRL_C && self.job.is_some() {
                self.typed.clear();
                self.cancel(system, terminal);
            } else {
                self.typed.push(byte);
            }
        }
    }

    /// Ends the command in progress.
    fn cancel(&mut self, system: &System, terminal: &mut Terminal) {
        if let Some(job) = self.job.take() {
            job.task.into_inner().cancel(system);
        }
        match self.form {
            Form::Text => {
                let _ = terminal.write_str("^C\n");
            }
            Form::Json { .. } => self.say(&wire::Error { text: "cancelled" }, terminal),
        }
        self.end(terminal);
    }

    /// Gives what was typed to the editor, up to a command.
    fn edit(&mut self, system: &System, terminal: &mut Terminal) {
        let completer =
            |before: &str, _word: &str, found: &mut dyn FnMut(&str)| commands::candidates(before, system, found);
        while let Some(byte) = self.typed.pop() {
            let echo: &mut dyn Write = match self.form {
                Form::Text => terminal,
                Form::Json { .. } => &mut Nowhere,
            };
            match self.editor.input(byte, &completer, echo) {
                Event::None => {}
                Event::Cancel => self.prompt(terminal),
                Event::Line => {
                    self.begin(system, terminal);
                    // The Ctrl-C may have come together with the line.
                    if self.job.is_some() && self.typed.forget_through(CTRL_C) {
                        self.cancel(system, terminal);
                    }
                    if self.job.is_some() {
                        return;
                    }
                }
            }
        }
    }

    /// Begins the command on the editor's line.
    fn begin(&mut self, system: &System, terminal: &mut Terminal) {
        if let Form::Json { id } = &mut self.form {
            *id += 1;
        }
        match commands::start(self.editor.line(), system) {
            Ok(Some(task)) => {
                self.job = Some(Job {
                    task: Cell::new(task),
                    filters: FilterState::new(),
                })
            }
            Ok(None) => self.end(terminal),
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
        self.output.clear(self.form);
        let progress = job.task.get_mut().step(system, &mut self.output);
        let mut filtered = Filtered::new(&mut *terminal, command.filters(), &mut job.filters);
        // A terminal that is not there loses its output and nothing else.
        let _ = filtered.write_str(self.output.as_str());
        if progress == Ok(Progress::More) && !filtered.is_done() {
            return;
        }
        let form = self.form;
        let _ = filtered.finish(|count, out| write_count(form, count, out));
        match progress {
            Ok(_) => self.finish(terminal),
            Err(error) => {
                self.job = None;
                self.fail(error, terminal);
            }
        }
    }

    /// Ends the command in progress, which is through.
    fn finish(&mut self, terminal: &mut Terminal) {
        let Some(task) = self.job.take().map(|job| job.task.into_inner()) else {
            return;
        };
        if let Some(text) = task.note() {
            self.say(&wire::Note { text }, terminal);
        }
        match task {
            Task::SetJson(true) => {
                if self.form == Form::Text {
                    self.form = Form::Json { id: 1 };
                }
                self.say(&HELLO, terminal);
                self.end(terminal);
            }
            Task::SetJson(false) => {
                if self.form != Form::Text {
                    self.end(terminal);
                }
                self.form = Form::Text;
                self.prompt(terminal);
            }
            _ => self.end(terminal),
        }
    }

    /// Says why there is no answer.
    fn fail(&self, error: CommandError<'_>, terminal: &mut Terminal) {
        let mut text = Text::<ERROR_BYTES>::new();
        let _ = write!(text, "{error}");
        self.say(&wire::Error { text: text.as_str() }, terminal);
        self.end(terminal);
    }
}

const HELLO: wire::Hello<'static> = wire::Hello {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
};

/// What is left of an answer by the filter `count`.
fn write_count(form: Form, count: u64, out: &mut dyn Write) -> fmt::Result {
    let record = wire::Count { count };
    match form {
        Form::Text => write!(out, "{record}"),
        Form::Json { id } => {
            let mut line = [0; LINE_BYTES];
            let line = wire::write_line(&mut line, id, &record)?;
            out.write_str(line.trim_end())
        }
    }
}

/// Where the echo goes that nobody wants.
struct Nowhere;

impl Write for Nowhere {
    fn write_str(&mut self, _: &str) -> fmt::Result {
        Ok(())
    }
}
