//! The life of L1 and L2 in the lines they print (`payload/README.md` lists them).
//!
//! L1's console also carries the kernel's log, so a line counts when it begins with `L1 ` or
//! `L2 `. What a line says may be compared between two runs once the numbers that depend on time
//! are taken out.

/// The lines by which every good run can be told, in order: what each begins with.
const MILESTONES: [&str; 5] = ["L1 UP ", "L1 KVM: ", "L2 UP ", "L2 OK", "L1 OK"];

/// What L1's KVM says of itself, unless it is told otherwise.
pub const VHE: &str = "VHE mode initialized";

/// What a Linux that found something badly wrong prints.
const KERNEL_COMPLAINTS: [&str; 6] = [
    "WARNING: CPU",
    "Unable to handle kernel",
    "Internal error:",
    "Kernel panic",
    "kernel BUG at",
    "BUG: ",
];

/// The lines of L1 and L2, out of everything on L1's console.
pub fn lines(console: &str) -> Vec<&str> {
    console
        .lines()
        .map(str::trim_end)
        .filter(|line| line.starts_with("L1 ") || line.starts_with("L2 "))
        .collect()
}

/// [`lines`] with the counts that differ from run to run (ticks, interrupts sent) as `#`.
#[must_use]
pub fn normalised(console: &str) -> Vec<String> {
    lines(console).into_iter().map(without_counts).collect()
}

/// Replaces each number that stands before `ticks` or `sent`.
fn without_counts(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let mut kept: Vec<String> = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let is_counted = words
            .get(index + 1)
            .is_some_and(|next| next.starts_with("ticks") || next.starts_with("sent"));
        let digits = word.trim_start_matches('(');
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if is_counted && is_number {
            kept.push(word.replace(digits, "#"));
        } else {
            kept.push((*word).to_owned());
        }
    }
    kept.join(" ")
}

/// What is wrong with a run of the default payload on `cpu_count` CPUs, whose KVM is to say that it is in `mode`; nothing
/// when all went well.
#[must_use]
pub fn complaints(console: &str, cpu_count: u32, mode: &str) -> Vec<String> {
    let story = lines(console);
    let mut wrong = Vec::new();
    let mut rest = story.iter();
    for milestone in MILESTONES {
        if !rest.any(|line| line.starts_with(milestone)) {
            wrong.push(format!("`{milestone}` is missing, or not in its place"));
        }
    }
    let kvm = format!("L1 KVM: {mode}");
    if !story.iter().any(|line| line.starts_with(&kvm)) {
        wrong.push(format!("`{kvm}` is missing"));
    }
    // L2 has two CPUs where L1 can give it two.
    for (who, count) in [("L1 UP ", cpu_count), ("L2 UP ", cpu_count.min(2))] {
        let is_whole = |line: &&str| line.starts_with(who) && line.ends_with(&format!(" cpus={count}"));
        if story.iter().filter(|line| is_whole(line)).count() != 1 {
            wrong.push(format!("`{who}` is not there once with cpus={count}"));
        }
    }
    for check in ["L2 memory: ", "L2 timer: "]
        .into_iter()
        .chain((cpu_count > 1).then_some("L2 ipi: "))
    {
        if !story.iter().any(|line| line.starts_with(&format!("{check}ok"))) {
            wrong.push(format!("`{check}ok` is missing"));
        }
    }
    let is_failure = |line: &&str| line.contains("FAIL") || KERNEL_COMPLAINTS.iter().any(|text| line.contains(text));
    wrong.extend(
        console
            .lines()
            .filter(is_failure)
            .map(|line| format!("it printed: {line}")),
    );
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(console: &str, cpu_count: u32) -> Vec<String> {
        super::complaints(console, cpu_count, VHE)
    }

    const GOOD: &str = "[    0.000000] Booting Linux on physical CPU 0x0000000000\r\n\
        L1 UP 6.12.0-arm64 cpus=4\r\nL1 KVM: VHE mode initialized successfully\r\n\
        L2 UP 6.12.0-arm64 cpus=2\r\nL2 memory: ok (64 MiB)\r\nL2 timer: ok (37 ticks)\r\n\
        L2 ipi: ok (204 sent for 100 round trips)\r\nL2 OK\r\n[   31.4] reboot: Power down\r\nL1 OK\r\n";

    #[test]
    fn a_good_run_leaves_nothing_to_complain_about() {
        assert_eq!(complaints(GOOD, 4), Vec::<String>::new());
    }

    #[test]
    fn each_milestone_counts_and_so_does_their_order() {
        for milestone in MILESTONES {
            assert!(!complaints(&GOOD.replace(milestone, "?"), 4).is_empty(), "{milestone}");
        }
        let swapped = GOOD
            .replace("L1 OK", "L? OK")
            .replace("L2 OK", "L1 OK")
            .replace("L? OK", "L2 OK");
        assert!(!complaints(&swapped, 4).is_empty());
    }

    #[test]
    fn another_mode_is_a_complaint() {
        assert!(!super::complaints(GOOD, 4, "Hyp nVHE mode initialized").is_empty());
        let console = GOOD.replace(VHE, "Hyp nVHE mode initialized");
        assert!(!complaints(&console, 4).is_empty());
    }

    #[test]
    fn the_number_of_cpus_must_be_the_one_asked_for() {
        assert!(!complaints(GOOD, 2).is_empty());
        assert!(!complaints(&GOOD.replace("cpus=2", "cpus=1"), 4).is_empty());
    }

    #[test]
    fn failures_and_kernel_warnings_are_repeated() {
        for line in [
            "L2 FAIL timer: no ticks in a sleep",
            "[ 3.1] WARNING: CPU: 0 PID: 1 at x.c:1",
        ] {
            let found = complaints(&format!("{GOOD}{line}\r\n"), 4);
            assert_eq!(found, [format!("it printed: {line}")]);
        }
    }

    #[test]
    fn only_counts_of_time_are_taken_out() {
        assert_eq!(
            normalised(
                "L2 UP 6.12 cpus=2\nL2 memory: ok (64 MiB)\nL2 timer: ok (37 ticks)\nnoise\nL2 ipi: ok (204 sent for 100 round trips)\n"
            ),
            [
                "L2 UP 6.12 cpus=2",
                "L2 memory: ok (64 MiB)",
                "L2 timer: ok (# ticks)",
                "L2 ipi: ok (# sent for 100 round trips)"
            ]
        );
    }
}
