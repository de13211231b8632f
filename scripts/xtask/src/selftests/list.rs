//! Which selftests are run, and with what arguments.

use std::fs;

use anyhow::{Context, Result};

use crate::project::Project;

/// The list, in the project.
pub(super) const FILE: &str = "tests/selftests.list";

/// A selftest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Test {
    /// Its program, under `tools/testing/selftests/kvm` of Linux's source.
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
    /// What it needs that gnomon hides from L1: there it may skip.
    pub(super) hidden: Option<String>,
}

pub(super) fn read(project: &Project) -> Result<Vec<Test>> {
    let path = project.root().join(FILE);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(parse(&text))
}

/// A test a line: the name, what is hidden in braces, and the arguments. What begins with `#` is for people.
fn parse(text: &str) -> Vec<Test> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next()?.to_owned();
            let (hidden, arguments): (Vec<&str>, Vec<&str>) = words.partition(|word| word.starts_with('{'));
            Some(Test {
                name,
                arguments: arguments.into_iter().map(str::to_owned).collect(),
                hidden: hidden.first().map(|word| word.trim_matches(['{', '}']).to_owned()),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_name_and_arguments() {
        let tests = parse("# head\n\narch_timer  -n 2 # why\narm64/at\n");
        let words: Vec<(&str, String)> = tests
            .iter()
            .map(|test| (&test.name[..], test.arguments.join(" ")))
            .collect();
        assert_eq!(words, [("arch_timer", "-n 2".to_owned()), ("arm64/at", String::new())]);
        let tests = parse("width {AArch32} -v # why\n");
        assert_eq!(tests[0].hidden.as_deref(), Some("AArch32"));
        assert_eq!(tests[0].arguments, ["-v"]);
    }

    #[test]
    fn the_list_of_the_project_names_each_test_once_and_says_why_it_has_arguments() {
        let project = Project::new();
        let tests = read(&project).unwrap();
        let mut names: Vec<&str> = tests.iter().map(|test| &test.name[..]).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), tests.len());
        let text = fs::read_to_string(project.root().join(FILE)).unwrap();
        for line in text.lines().filter(|line| line.contains(" -")) {
            assert!(line.contains(" # "), "{line}");
        }
    }
}
