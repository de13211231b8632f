//! `scripts/fuzz-host`: builds the guided program and runs it on one target after the other.
//!
//! What makes it guided are counters in the code, which the stable compiler puts in when it is asked by name for the pass
//! of LLVM's that does so; what looks at them is libFuzzer, which is built from source. With a seed and a number of
//! executions a run is the same every time, but for what time decides.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use clap::Parser;
use fuzz::{Chance, TARGET_VARIABLE, TARGETS, Target};
use xtask::{
    process,
    progress::say,
    project::{CALLER_DIR_VARIABLE, Project},
};

/// How rustc is asked for counters of edges and for what is compared.
const RUSTFLAGS: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Feed what reads untrusted bytes with inputs that lead to new code
#[derive(Parser)]
#[command(name = "fuzz-host", bin_name = "scripts/fuzz-host")]
struct Options {
    /// How long, for all targets together [default: 10]
    #[arg(long, value_name = "N")]
    minutes: Option<u64>,
    /// As many executions as scripts/test makes, from nothing and with its seed
    #[arg(long, conflicts_with = "minutes")]
    short: bool,
    /// The seed of chance [default: another one each time]
    #[arg(long, value_name = "N", conflicts_with = "short")]
    seed: Option<u32>,
    /// Try this one input again
    #[arg(long, value_name = "FILE", requires = "targets", conflicts_with_all = ["minutes", "short", "seed"])]
    replay: Option<PathBuf>,
    /// Say what there is
    #[arg(long)]
    list: bool,
    /// Only these
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

/// How a target is run.
struct Effort {
    seed: u32,
    /// An option of libFuzzer's.
    limit: fn(&Target, u64) -> String,
    /// Seconds for each target, if that is the limit.
    seconds: u64,
    /// Begin with what is in `seeds/` alone.
    is_short: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<bool> {
    let targets = chosen(&options.targets)?;
    if options.list {
        for target in &targets {
            println!("{:12} {}", target.name, target.about);
        }
        return Ok(true);
    }
    let project = Project::new();
    let program = build(&project)?;
    if let Some(file) = &options.replay {
        let dir = env::var_os(CALLER_DIR_VARIABLE).unwrap_or_default();
        return replay(&program, &targets[0], &Path::new(&dir).join(file));
    }
    let effort = effort(options, targets.len() as u64);
    println!("seed {}", effort.seed);
    println!(
        "{:12} {:>12} {:>9} {:>9}",
        "target", "executions", "coverage", "seconds"
    );
    let (mut executions, mut is_good) = (0, true);
    for target in &targets {
        match fuzz(&project, &program, target, &effort)? {
            Some(count) => executions += count,
            None => is_good = false,
        }
    }
    println!("{executions} executions of {} targets", targets.len());
    Ok(is_good)
}

fn chosen(names: &[String]) -> Result<Vec<Target>> {
    if names.is_empty() {
        return Ok(TARGETS.to_vec());
    }
    let find = |name: &String| fuzz::find(name).with_context(|| format!("there is no target `{name}`: see --list"));
    names.iter().map(find).collect()
}

fn effort(options: &Options, targets: u64) -> Effort {
    if options.short {
        return Effort {
            seed: 1,
            limit: |target, _| format!("-runs={}", target.executions),
            seconds: 0,
            is_short: true,
        };
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Effort {
        // libFuzzer takes 0 for none.
        seed: options
            .seed
            .unwrap_or(now.map_or(0, |time| time.as_secs() as u32))
            .max(1),
        limit: |_, seconds| format!("-max_total_time={seconds}"),
        seconds: (options.minutes.unwrap_or(10) * 60).div_ceil(targets),
        is_short: false,
    }
}

/// Builds the guided program, with counters in all of it but what runs while it is built.
fn build(project: &Project) -> Result<PathBuf> {
    const PROFILE: &str = "fuzz";
    if !process::has_cxx() {
        bail!("there is no C++ compiler, which libFuzzer takes: apt-get install g++");
    }
    let about = process::capture(Command::new("rustc").arg("-vV").current_dir(project.root()))?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc does not say its host")?;
    say("fuzz-host: building");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(project.root())
        .env("RUSTFLAGS", RUSTFLAGS.join(" "));
    command.args([
        "build",
        "--quiet",
        "--package",
        "fuzz",
        "--bin",
        "guided",
        "--features",
        "libfuzzer",
    ]);
    command.args(["--profile", PROFILE, "--target", host]);
    process::run(&mut command)?;
    Ok(project.target_dir().join(host).join(PROFILE).join("guided"))
}

fn guided(program: &Path, target: &Target) -> Command {
    let mut command = Command::new(program);
    command.env(TARGET_VARIABLE, target.name);
    // Long inputs from the beginning: what takes many steps is reached by no short one.
    command.args(["-timeout=20", "-print_final_stats=1", "-len_control=0"]);
    command.arg(format!("-max_len={}", target.bytes_max));
    command
}

fn replay(program: &Path, target: &Target, file: &Path) -> Result<bool> {
    let mut command = guided(program, target);
    let status = command.arg(file).env("RUST_BACKTRACE", "1").status();
    Ok(status
        .with_context(|| format!("cannot start {}", program.display()))?
        .success())
}

/// Runs a target and prints its line. Gives the executions, `None` for a failure.
fn fuzz(project: &Project, program: &Path, target: &Target, effort: &Effort) -> Result<Option<u64>> {
    let dir = project.target_dir().join("fuzz-host");
    let corpus = if effort.is_short {
        let corpus = dir.join("corpus").join(target.name);
        let _ = fs::remove_dir_all(&corpus);
        corpus
    } else {
        project.cache_dir().join("fuzz-host").join(target.name)
    };
    fs::create_dir_all(&corpus).with_context(|| format!("cannot create {}", corpus.display()))?;
    fs::create_dir_all(&dir)?;
    begin_with_chance(target, effort.seed, &corpus)?;
    let log = dir.join(format!("{}.log", target.name));
    let mut command = guided(program, target);
    command.arg(format!("-seed={}", effort.seed));
    command.arg((effort.limit)(target, effort.seconds));
    command.arg(format!("-artifact_prefix={}/{}-", dir.display(), target.name));
    command.arg(&corpus);
    let seeds = project.root().join("fuzz/seeds").join(target.name);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    let begin = Instant::now();
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).with_context(|| format!("cannot write {}", log.display()))?)
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let executions = number_after(&text, "stat::number_of_executed_units:");
    let coverage = number_after(&text, " cov: ").unwrap_or(0);
    if !status.success() || executions.is_none() {
        complain(target, &text, &log);
        return Ok(None);
    }
    let count = executions.unwrap_or(0);
    let seconds = begin.elapsed().as_secs_f32();
    println!("{:12} {count:12} {coverage:9} {seconds:9.1}", target.name);
    Ok(executions)
}

/// Puts long inputs of chance into an empty corpus: what takes many steps grows slowly from nothing.
fn begin_with_chance(target: &Target, seed: u32, corpus: &Path) -> Result<()> {
    const INPUTS: usize = 64;
    if fs::read_dir(corpus)?.next().is_none() {
        let mut chance = Chance(seed.into());
        for number in 0..INPUTS {
            fs::write(corpus.join(format!("chance-{number}")), chance.bytes(target.bytes_max))?;
        }
    }
    Ok(())
}

fn complain(target: &Target, text: &str, log: &Path) {
    println!("{:12} FAILED: {}", target.name, log.display());
    let panic = text.lines().skip_while(|line| !line.contains("panicked at")).take(4);
    panic.for_each(|line| println!("    {line}"));
    if let Some((_, file)) = text.split_once("Test unit written to ") {
        let file = file.lines().next().unwrap_or_default();
        println!("    again: scripts/fuzz-host --replay {file} {}", target.name);
    }
}

/// The last number that follows `label`.
fn number_after(text: &str, label: &str) -> Option<u64> {
    let rest = text.rsplit_once(label)?.1.trim_start();
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_libfuzzers_numbers_counts() {
        let text =
            "#2\tINITED cov: 2 ft: 3\n#9\tNEW    cov: 45 ft: 6\nstat::number_of_executed_units: 678\nstat::x: 9\n";
        assert_eq!(number_after(text, " cov: "), Some(45));
        assert_eq!(number_after(text, "stat::number_of_executed_units:"), Some(678));
        assert_eq!(number_after(text, "stat::none:"), None);
    }

    #[test]
    fn options_are_consistent() {
        use clap::CommandFactory;
        Options::command().debug_assert();
    }
}
