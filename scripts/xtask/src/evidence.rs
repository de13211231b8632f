//! Which tests there are, for the pages that name them.

use std::fs;
use std::path::Path;

use crate::project::Project;

/// The sources of all tests.
pub(crate) struct Tests {
    /// In which trials and targets of the fuzzer are named as text.
    named: String,
    /// In which host tests are functions.
    host: String,
}

impl Tests {
    pub(crate) fn read() -> Self {
        let root = Project::new().root().to_owned();
        let targets = fs::read_to_string(root.join("fuzz/src/targets.rs")).expect("targets");
        Self {
            named: sources(&root.join("tests/system/cases")) + &targets,
            host: sources(&root.join("crates")) + &sources(&root.join("scripts/xtask/src")),
        }
    }

    /// Whether there is a trial, a target or a host test of that name.
    pub(crate) fn have(&self, name: &str) -> bool {
        self.named.contains(&format!("\"{name}\"")) || self.host.contains(&format!("fn {name}("))
    }
}

/// All source text below a directory.
fn sources(dir: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            text += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &fs::read_to_string(&path).expect("source text");
        }
    }
    text
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let tests = Tests::read();
    let path = Project::new().root().join("docs/threat-model.md");
    let page = fs::read_to_string(path).expect("docs/threat-model.md");
    let promises = page.split_once("## What is promised").expect("promises").1;
    let mut named = 0;
    for row in promises
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| promise"))
    {
        let shown_by = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
        let names: Vec<&str> = shown_by.split(", ").map(|name| name.trim_matches('`')).collect();
        for name in &names {
            assert!(tests.have(name), "{name}, of {row}");
        }
        named += names.len();
    }
    assert!(named > 50, "{named} names found");
    assert!(!tests.have("no_such_test_anywhere"));
}
