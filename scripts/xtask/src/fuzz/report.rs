//! What the payload and the console say about a run.

/// A part of the attack: steps, and exceptions that the payload took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Area {
    /// Its name.
    pub name: String,
    /// How many steps.
    pub steps: u64,
    /// Exceptions, of all kinds.
    pub exceptions: u64,
}

/// The lines `P AREA NAME seed S steps N sync A irq B serror C own D`.
pub(super) fn areas(lines: &[String]) -> Vec<Area> {
    let parse = |line: &String| {
        let (name, _) = line.strip_prefix("P AREA ")?.split_once(' ')?;
        let kinds = ["sync", "irq", "serror", "own"];
        Some(Area {
            name: name.to_owned(),
            steps: number(line, "steps")?,
            exceptions: kinds.iter().filter_map(|kind| number(line, kind)).sum(),
        })
    };
    lines.iter().filter_map(parse).collect()
}

/// CPUs lost, and ticks: `P DONE seed S lost N ticks T`.
pub(super) fn done(lines: &[String]) -> Option<(u64, u64)> {
    let line = lines.iter().find(|line| line.starts_with("P DONE "))?;
    Some((number(line, "lost")?, number(line, "ticks")?))
}

/// Exits in all, and ticks of the longest, from the sums of `exits`: `total  L1  COUNT  MIN  MEAN  MAX`.
pub(super) fn exits(lines: &[String]) -> Option<(u64, u64)> {
    let rows = lines.iter().filter(|line| line.starts_with("total "));
    rows.map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, _, count, .., longest] = &words[..] else {
            return None;
        };
        Some((count.parse::<u64>().ok()?, longest.parse::<u64>().ok()?))
    })
    .reduce(|sum, row| {
        let ((count, longest), (more, other)) = (sum?, row?);
        Some((count + more, longest.max(other)))
    })?
}

/// The number behind a word.
fn number(line: &str, word: &str) -> Option<u64> {
    let mut words = line.split_whitespace();
    words.find(|found| *found == word)?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_payloads_lines_are_summed() {
        let lines = lines(
            "P UP seed 1 area all cpus 4\n\
             P AREA mmio seed 1 steps 1321 sync 707 irq 149 serror 1 own 465\n\
             P DONE seed 1 lost 2 ticks 21980468296\n",
        );
        let mmio = Area {
            name: "mmio".into(),
            steps: 1321,
            exceptions: 1322,
        };
        assert_eq!(areas(&lines), [mmio]);
        assert_eq!(done(&lines), Some((2, 21_980_468_296)));
        assert_eq!(done(&lines[..2]), None);
    }

    #[test]
    fn exits_are_those_of_all_contexts_and_the_longest_of_any() {
        let lines = lines(
            "IRQ          L2>L1              225      37990    3075462  122672154\n\
             total        L1              193383        157     173830  248986485\n\
             total        L2               48835        533      10453   52175825\n",
        );
        assert_eq!(exits(&lines), Some((242_218, 248_986_485)));
        assert_eq!(exits(&lines[..1]), None);
    }
}
