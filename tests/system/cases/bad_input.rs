//! Input that gnomon cannot work with: one clear line that says what to do, and the end.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result as AnyResult};
use libtest_mimic::Trial;
use system_tests::dtb;
use xtask::arm64_image;
use xtask::process;
use xtask::setup::qemu;

use crate::entry::{self, Run};
use crate::{Result, expect_none, trial};

/// How gnomon's fatal errors begin.
const ERROR: &str = "gnomon: error: ";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        refusal("bad_input_no_payload", &["--no-payload"], &["kernel", "guest-loader"]),
        trial("bad_input_kernel_that_is_no_image", kernel_that_is_no_image),
        trial("bad_input_64_mib_of_ram", too_little_ram),
        trial(
            "bad_input_64_mib_of_ram_with_the_default_payload",
            too_little_ram_for_the_payload,
        ),
        refusal(
            "bad_input_cpu_without_nested_virtualisation",
            &["--", "-cpu", "cortex-a72"],
            &["FEAT_NV2", "-cpu max"],
        ),
        refusal(
            "bad_input_no_second_uart",
            &["--no-debug-uart"],
            &["UART", "-serial", "console=none"],
        ),
        refusal(
            "bad_input_unknown_option",
            &["--hyp", "colour=red"],
            &["colour=red", "log="],
        ),
        refusal(
            "bad_input_machine_without_el2",
            &["--", "-M", "virt,virtualization=off"],
            &["EL2", "virtualization=on"],
        ),
        trial("bad_input_malformed_device_tree", malformed_device_tree),
    ]
}

fn refusal(name: &'static str, arguments: &'static [&str], words: &'static [&str]) -> Trial {
    trial(name, move |name| refused(name, arguments, words))
}

/// Runs with `arguments`, which gnomon must refuse by one line that has all of `words`.
fn refused(name: &str, arguments: &[&str], words: &[&str]) -> Result {
    let run = entry::run(name, arguments)?;
    let mut complaints = complaints_about_refusal(&run, words);
    if !complaints.is_empty() {
        complaints.push(run.logs());
    }
    expect_none(&complaints)
}

/// What is wrong with a run that gnomon should have refused.
fn complaints_about_refusal(run: &Run, words: &[&str]) -> Vec<String> {
    let mut wrong = Vec::from_iter(run.complaint_about_status(1));
    let lines: Vec<&str> = run
        .stdout
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    match lines[..] {
        [line] if line.starts_with(ERROR) => {
            let missing = words.iter().filter(|word| !line.contains(**word));
            wrong.extend(missing.map(|word| format!("the error does not speak of `{word}`: {line}")));
        }
        [] => wrong.push("nothing was printed".to_owned()),
        _ => wrong.push(format!("not one line of error but:\n{}", lines.join("\n"))),
    }
    wrong
}

/// A small file for a machine's modules.
fn module(file: &str, contents: &[u8]) -> AnyResult<String> {
    let path = input_path(file)?;
    fs::write(&path, contents).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path.display().to_string())
}

/// A place for a file made for a machine; not in its log directory, which is emptied first.
fn input_path(file: &str) -> AnyResult<PathBuf> {
    Ok(entry::inputs_dir()?.join(file))
}

fn kernel_that_is_no_image(name: &str) -> Result {
    let kernel = module("text", &b"no arm64 Image ".repeat(1000))?;
    let arguments = ["--kernel", &kernel, "--initrd", &kernel];
    refused(name, &arguments, &["kernel", "arm64 Image"])
}

/// A payload small enough for QEMU to load, so that gnomon has the last word.
fn too_little_ram(name: &str) -> Result {
    let mut image = arm64_image::header_bytes(0x1000).to_vec();
    image.resize(0x1000, 0);
    let kernel = module("tiny-image", &image)?;
    let arguments = ["--memory", "64M", "--kernel", &kernel, "--initrd", &kernel];
    refused(name, &arguments, &["64 MiB", "-m"])
}

/// The default payload does not even fit: the host tool says so before QEMU could.
fn too_little_ram_for_the_payload(name: &str) -> Result {
    let run = entry::run(name, &["--memory", "64M"])?;
    let mut complaints = Vec::from_iter(run.complaint_about_status(1));
    let errors = run.stderr.lines().filter(|line| line.starts_with("error: "));
    if !errors.clone().any(|line| line.contains("--memory")) || errors.count() != 1 {
        complaints.push(format!("not one line of error that names --memory:\n{}", run.stderr));
    }
    expect_none(&complaints)
}

/// QEMU refuses a truncated tree itself. A property without a name in a node that QEMU has no
/// business with comes through.
fn malformed_device_tree(name: &str) -> Result {
    let path = input_path("malformed.dtb")?;
    let mut dump = Command::new(qemu::PROGRAM);
    let board = format!("virt,virtualization=on,gic-version=3,dumpdtb={}", path.display());
    dump.args([
        "-M",
        &board,
        "-cpu",
        "max",
        "-smp",
        "2",
        "-m",
        "4G",
        "-nodefaults",
        "-display",
        "none",
    ]);
    dump.args(["-serial", "null", "-serial", "null"]);
    process::run_quietly(&mut dump)?;
    let mut tree = fs::read(&path)?;
    dtb::pack(&mut tree)?;
    dtb::misname_property(&mut tree, "pl061@")?;
    fs::write(&path, tree)?;
    let arguments = ["--", "-dtb", &path.display().to_string()];
    refused(name, &arguments, &["malformed device tree", "-dtb"])
}
