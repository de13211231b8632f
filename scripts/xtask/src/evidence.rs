//! Which tests there are, for the pages that name them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::project::Project;

/// The sources of all tests.
pub(crate) struct Tests {
    /// In which trials and targets of the fuzzer are named as text.
    named: String,
    /// Names of host tests.
    host: BTreeSet<String>,
}

impl Tests {
    pub(crate) fn read() -> Self {
        let root = Project::new().root().to_owned();
        let targets = fs::read_to_string(root.join("fuzz/src/targets.rs")).expect("targets");
        Self {
            named: sources(&root.join("tests/system/cases")) + &targets,
            host: test_functions(&(sources(&root.join("crates")) + &sources(&root.join("scripts/xtask/src")))),
        }
    }

    /// Whether there is a trial, a target or a host test of that name.
    pub(crate) fn have(&self, name: &str) -> bool {
        self.named.contains(&format!("\"{name}\"")) || self.host.contains(name)
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

/// The functions that are marked as tests.
fn test_functions(source: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut is_marked = false;
    for line in source.lines().map(str::trim_start) {
        if let Some((name, _)) = line.strip_prefix("fn ").and_then(|rest| rest.split_once('(')) {
            if is_marked {
                names.insert(name.to_owned());
            }
            is_marked = false;
        } else if line == "#[test]" {
            is_marked = true;
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            is_marked = false;
        }
    }
    names
}

#[test]
fn only_what_is_marked_is_a_test() {
    let source =
        "#[test]\n#[should_panic]\n/// Of\nfn one() {\n}\nfn two() {\n}\n#[test]\nconst N: u32 = 0;\nfn three() {}";
    assert_eq!(test_functions(source), BTreeSet::from(["one".to_owned()]));
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
    assert!(!tests.have("no_such_test_anywhere") && !tests.have("test_functions"));
}
