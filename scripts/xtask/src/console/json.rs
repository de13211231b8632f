//! The console as a program uses it: records instead of text.

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::Console;

/// How the last record of an answer ends.
pub(super) const END: &str = "\"k\":\"end\"}\n";

/// No last record is longer.
const END_BYTES_MAX: usize = 64;

/// What all records have.
#[derive(Deserialize)]
struct Head {
    id: u64,
    k: String,
    /// Of an error, why.
    text: Option<String>,
}

/// A connection to a console that answers in JSON Lines.
#[derive(Debug)]
pub struct JsonConsole {
    console: Console,
    /// The number of the last answer.
    id: u64,
}

impl JsonConsole {
    /// Makes `console` answer in records.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn begin(mut console: Console) -> Result<Self> {
        console.received.clear();
        console.type_line("set json on")?;
        // The answer is the first, unless somebody had switched already and left it so.
        let records = console
            .read_until(|text| last_id(text).and_then(|id| Some((id, answer(text, id)?))))
            .context("no answer to `set json on`")?;
        Ok(Self { console, id: records.0 })
    }

    /// Gives a command and returns the records of its answer, a line each, without the `end`.
    ///
    /// # Errors
    ///
    /// When the answer is an error, or does not come in time.
    pub fn command(&mut self, command: &str) -> Result<Vec<String>> {
        self.id += 1;
        let id = self.id;
        self.console.received.clear();
        self.console.type_line(command)?;
        let mut seen = 0_usize;
        let records = self
            .console
            .read_until(|text| {
                let from = text.floor_char_boundary(seen.saturating_sub(END_BYTES_MAX));
                seen = text.len();
                // Searched once; the whole is gone through when the end has come.
                text[from..].contains(END).then(|| answer(text, id)).flatten()
            })
            .with_context(|| format!("no answer to `{command}`"))?;
        for record in &records {
            let head: Head = serde_json::from_str(record).with_context(|| format!("not a record: {record}"))?;
            if head.k == "error" {
                bail!("`{command}`: {}", head.text.unwrap_or_default());
            }
        }
        Ok(records)
    }

    /// Makes it answer in text again.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn end(mut self) -> Result<Console> {
        self.console.received.clear();
        self.console.type_line("set json off")?;
        self.console
            .read_until(|text| super::is_ready(text).then_some(()))
            .context("no answer to `set json off`")?;
        Ok(self.console)
    }
}

/// The number of the last record that is whole.
fn last_id(text: &str) -> Option<u64> {
    let (whole, _) = text.rsplit_once('\n')?;
    let line = whole.lines().rfind(|line| line.starts_with('{'))?;
    serde_json::from_str::<Head>(line).ok().map(|head| head.id)
}

/// The records of answer `id`, once its end has come. What is no record is the console's log.
fn answer(text: &str, id: u64) -> Option<Vec<String>> {
    let of_answer = format!("{{\"v\":{},\"id\":{id},\"k\":", wire::VERSION);
    let end = format!("{of_answer}\"end\"}}\n");
    let (body, _) = text.split_once(&end)?;
    let records = body.lines().filter(|line| line.starts_with(&of_answer));
    Some(records.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = concat!(
        "gnomon> set json on\n",
        "{\"v\":1,\"id\":1,\"k\":\"hello\"}\n[gnomon] a log line\n{\"v\":1,\"id\":1,\"k\":\"end\"}\n",
    );

    #[test]
    fn an_answer_is_its_records_up_to_its_end() {
        assert_eq!(
            answer(TEXT, 1),
            Some(vec!["{\"v\":1,\"id\":1,\"k\":\"hello\"}".to_owned()])
        );
        assert_eq!(answer(TEXT, 2), None);
        assert_eq!(answer(TEXT.trim_end(), 1), None);
    }

    #[test]
    fn the_last_whole_record_tells_the_number() {
        assert_eq!(last_id(TEXT), Some(1));
        assert_eq!(last_id("{\"v\":1,\"id\":7,\"k\":\"e"), None);
        assert_eq!(last_id(""), None);
    }
}
