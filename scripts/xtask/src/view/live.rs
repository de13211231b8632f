//! Asking a running machine for its tables, as records.
//!
//! The console is switched to JSON for the time of the questions and back to text at the end, so
//! that a person on the same console finds it as it was.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::model::is_shown;
use crate::console::Console;

/// How long one answer may take: a dump of a large table on a busy machine.
const LIMIT: Duration = Duration::from_mins(2);

/// The records of all tables the picture shows, and of the audit, one a line.
///
/// # Errors
///
/// When nobody answers, or the console refuses a question.
pub fn records(path: &Path) -> Result<String> {
    let mut console = Console::connect(path, LIMIT)?;
    let asked = ask(&mut console);
    let restored = console.command("set json off").context("cannot leave JSON");
    let text = asked?;
    restored?;
    Ok(text)
}

fn ask(console: &mut Console) -> Result<String> {
    let mut text = String::new();
    let mut question = |command: &str| -> Result<Vec<String>> {
        let lines: Vec<String> = console
            .command(command)?
            .into_iter()
            .filter(|line| line.starts_with('{'))
            .collect();
        for line in &lines {
            text.push_str(line);
            text.push('\n');
        }
        Ok(lines)
    };
    question("set json on")?;
    let tables: Vec<String> = question("ptdump")?
        .iter()
        .filter_map(|line| shown_table(line))
        .collect();
    for table in tables {
        question(&format!("ptdump -p {table}"))?;
    }
    question("audit")?;
    Ok(text)
}

/// The name in a record of a table, if the table belongs into the picture.
fn shown_table(line: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Table {
        k: String,
        table: String,
    }
    let record: Table = serde_json::from_str(line).ok()?;
    (record.k == "table" && is_shown(&record.table)).then_some(record.table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tables_of_stage_2_are_asked_for() {
        let record = |name| format!(r#"{{"v":1,"id":1,"k":"table","table":"{name}"}}"#);
        assert_eq!(shown_table(&record("host")), Some("host".into()));
        assert_eq!(shown_table(&record("guest/0x1")), Some("guest/0x1".into()));
        assert_eq!(shown_table(&record("el2")), None);
        assert_eq!(shown_table(r#"{"v":1,"id":1,"k":"end"}"#), None);
    }
}
