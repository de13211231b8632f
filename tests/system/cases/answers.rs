//! Asking the console, and what any answer must be.

use anyhow::{Context, Result as AnyResult, ensure};
use serde_json::Value;
use xtask::console::{Console, JsonConsole};

/// The records of an answer.
pub(crate) type Records = Vec<Value>;

/// The records that a command is answered by.
pub(crate) fn ask(console: &mut JsonConsole, command: &str) -> AnyResult<Records> {
    let records = console.command(command)?;
    records
        .iter()
        .map(|record| serde_json::from_str(record).with_context(|| format!("`{command}`: {record}")))
        .collect()
}

/// Has a command answered by one line.
pub(crate) fn expect_answer(console: &mut Console, command: &str, wanted: &str) -> AnyResult<()> {
    let answer = console.command(command)?;
    ensure!(answer == [wanted], "`{command}` was answered by {answer:?}");
    Ok(())
}

/// Has each of some commands answered by one error.
pub(crate) fn expect_errors(console: &mut Console, commands: &[&str]) -> AnyResult<()> {
    for command in commands {
        let answer = console.command(command)?;
        ensure!(
            matches!(&answer[..], [error] if error.starts_with("error: ")),
            "`{command}`: {answer:?}"
        );
    }
    Ok(())
}
