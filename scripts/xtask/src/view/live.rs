//! Asking a running machine for its tables, as records.
//!
//! The console is switched to JSON for the time of the questions and back to text at the end,
//! whatever happens in between, so that a person on the same console finds it as it was. A
//! question that goes wrong is noted and the rest is asked all the same: a shadow may be gone by
//! the time it is asked for, and after a panic some tables cannot be read.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;

use super::model::is_shown;
use crate::console::{Console, JsonConsole};

/// How long one answer may take: a dump of a large table on a busy machine.
const LIMIT: Duration = Duration::from_mins(2);

/// What a machine said.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// Records, one a line.
    pub records: String,
    /// Questions that were not answered, and why.
    pub notes: Vec<String>,
}

/// The records of all tables that the picture shows, and of the audit.
///
/// # Errors
///
/// When nobody answers, or the console does not list its tables.
pub fn ask(path: &Path) -> Result<Session> {
    ask_on(Console::connect(path, LIMIT)?).map(|(session, _)| session)
}

/// [`ask`] on a connection that is there already; it is given back, answering in text.
///
/// # Errors
///
/// As for [`ask`].
pub fn ask_on(console: Console) -> Result<(Session, Console)> {
    let mut console = JsonConsole::begin(console)?;
    let session = ask_all(|question| console.command(question));
    let console = console.end()?;
    Ok((session?, console))
}

fn ask_all(mut command: impl FnMut(&str) -> Result<Vec<String>>) -> Result<Session> {
    let tables = command("ptdump")?;
    let mut session = Session::default();
    session.keep(&tables);
    let mut questions: Vec<String> = tables.iter().filter_map(|line| question(line)).collect();
    // The audit calls shadows by the numbers that `shadow` lists.
    questions.extend(["shadow", "audit"].map(str::to_owned));
    for question in questions {
        match command(&question) {
            Ok(records) => session.keep(&records),
            Err(error) => session.notes.push(format!("{error:#}")),
        }
    }
    Ok(session)
}

impl Session {
    fn keep(&mut self, records: &[String]) {
        for record in records {
            self.records.push_str(record);
            self.records.push('\n');
        }
    }
}

/// The question for a table, from the record that lists it, if the table belongs into the picture.
fn question(line: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Table {
        k: String,
        table: String,
    }
    let record: Table = serde_json::from_str(line).ok()?;
    (record.k == "table" && is_shown(&record.table)).then(|| format!("ptdump -p {}", record.table))
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    fn table(name: &str) -> String {
        format!(r#"{{"v":1,"id":1,"k":"table","table":"{name}"}}"#)
    }

    #[test]
    fn every_table_of_stage_2_is_asked_for_and_no_other() {
        let mut asked = Vec::new();
        let session = ask_all(|question| {
            asked.push(question.to_owned());
            Ok(match question {
                "ptdump" => ["host", "el2", "s1/0/el1", "shadow/0x1", "guest/0x1"]
                    .map(table)
                    .to_vec(),
                _ => vec!["{}".to_owned()],
            })
        });
        let expected = [
            "ptdump",
            "ptdump -p host",
            "ptdump -p shadow/0x1",
            "ptdump -p guest/0x1",
            "shadow",
            "audit",
        ];
        assert_eq!(asked, expected);
        assert_eq!(session.unwrap().records.lines().count(), 5 + 5);
    }

    #[test]
    fn a_table_that_is_gone_is_a_note_and_the_others_are_there() {
        let session = ask_all(|question| match question {
            "ptdump" => Ok(["shadow/0x1", "host"].map(table).to_vec()),
            "ptdump -p shadow/0x1" => bail!("no table `shadow/0x1`"),
            _ => Ok(vec!["{}".to_owned()]),
        });
        let session = session.unwrap();
        assert_eq!(session.notes, ["no table `shadow/0x1`"]);
        assert!(session.records.ends_with("{}\n{}\n{}\n"));
    }

    #[test]
    fn without_a_list_of_tables_there_is_nothing() {
        assert!(ask_all(|_| bail!("the console is gone")).is_err());
    }
}
