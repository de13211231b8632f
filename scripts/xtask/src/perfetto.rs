//! `xtask trace`: gnomon's trace for Perfetto.
//!
//! Three tracks a vCPU, for L0, L1 and L2, of which one has a slice at any time: L1 or L2 runs from an entry to the next
//! exit, and L0 from there to the next entry, under the name of what made the guest leave. Everything else that was
//! recorded is an instant on the track of L0. Time is the machine's, in nanoseconds.
//!
//! Perfetto's format is protobuf; the few messages that are needed are declared in `perfetto/proto.rs`.

mod proto;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use prost::Message;
use serde::Deserialize;

use crate::console::{Console, JsonConsole};
use crate::progress::say;
use proto::{Packet, SliceType, Trace, TrackDescriptor, TrackEvent};

/// How long the console may take for one answer.
const LIMIT: Duration = Duration::from_mins(2);

/// Where a trace comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A running machine's debug console, a unix socket.
    Console(PathBuf),
    /// Records that a console printed, one a line.
    Records(PathBuf),
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the events come from.
    pub source: Source,
    /// Record this long first, on a running machine; otherwise what is there is taken.
    pub record: Option<Duration>,
    /// The file for Perfetto.
    pub out: PathBuf,
    /// Where to keep the records of a console.
    pub save: Option<PathBuf>,
}

/// A `trap` record.
#[derive(Clone, Debug, Deserialize)]
struct Event {
    cpu: u64,
    ns: u64,
    event: String,
    depth: Option<String>,
    text: String,
}

/// Reads the events and writes the file.
///
/// # Errors
///
/// When there are none, or the source or a file fails.
pub fn run(options: &Options) -> Result<()> {
    let lines = match &options.source {
        Source::Console(path) => from_console(path, options.record)?,
        Source::Records(path) => {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            text.lines().map(str::to_owned).collect()
        }
    };
    if let Some(path) = &options.save {
        fs::write(path, lines.join("\n") + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    let events = events(&lines)?;
    ensure!(
        !events.is_empty(),
        "nothing was recorded: `trace on` at the console, or --seconds"
    );
    let trace = convert(&events).encode_to_vec();
    fs::write(&options.out, trace).with_context(|| format!("cannot write {}", options.out.display()))?;
    say(&format!(
        "trace: {} events in {}; open it at ui.perfetto.dev",
        events.len(),
        options.out.display()
    ));
    Ok(())
}

fn from_console(path: &std::path::Path, record: Option<Duration>) -> Result<Vec<String>> {
    let mut console = JsonConsole::begin(Console::connect(path, LIMIT)?)?;
    if let Some(time) = record {
        console.command("trace on")?;
        thread::sleep(time);
        console.command("trace off")?;
    }
    let records = console.command("trace dump");
    console.end()?;
    records
}

/// The events among the records, in the order of time for each CPU.
fn events(lines: &[String]) -> Result<Vec<Event>> {
    #[derive(Deserialize)]
    struct Head {
        k: String,
    }
    let mut events = Vec::new();
    for line in lines.iter().filter(|line| line.starts_with('{')) {
        let context = || format!("not a record of the console: {line}");
        let head: Head = serde_json::from_str(line).with_context(context)?;
        if head.k == "trap" {
            events.push(serde_json::from_str::<Event>(line).with_context(context)?);
        }
    }
    events.sort_by_key(|event| event.ns);
    Ok(events)
}

/// The depths, in the order of their tracks.
const DEPTHS: [&str; 3] = ["L0", "L1", "L2"];

/// A vCPU's tracks, and the slice that is open on one of them.
struct Cpu {
    cpu: u64,
    open: Option<usize>,
}

impl Cpu {
    /// The track that groups those of the vCPU.
    fn group(&self) -> u64 {
        (self.cpu + 1) << 8
    }

    fn track(&self, depth: usize) -> u64 {
        self.group() + 1 + depth as u64
    }

    fn describe(&self, packets: &mut Vec<Packet>) {
        packets.push(Packet::describing(TrackDescriptor {
            uuid: Some(self.group()),
            name: Some(format!("vCPU {}", self.cpu)),
            parent_uuid: None,
        }));
        for (depth, name) in DEPTHS.iter().enumerate() {
            packets.push(Packet::describing(TrackDescriptor {
                uuid: Some(self.track(depth)),
                name: Some((*name).to_owned()),
                parent_uuid: Some(self.group()),
            }));
        }
    }

    /// Ends the open slice and begins one on the track of `depth`.
    fn switch(&mut self, ns: u64, depth: usize, name: &str, packets: &mut Vec<Packet>) {
        self.close(ns, packets);
        self.open = Some(depth);
        let event = TrackEvent::new(SliceType::Begin, self.track(depth)).named(name);
        packets.push(Packet::at(ns, event));
    }

    fn close(&mut self, ns: u64, packets: &mut Vec<Packet>) {
        if let Some(depth) = self.open.take() {
            packets.push(Packet::at(ns, TrackEvent::new(SliceType::End, self.track(depth))));
        }
    }

    fn take(&mut self, event: &Event, packets: &mut Vec<Packet>) {
        let depth = event.depth.as_deref();
        let depth = depth.and_then(|depth| DEPTHS.iter().position(|name| *name == depth));
        match (event.event.as_str(), depth) {
            ("kvm_exit", _) => {
                self.switch(event.ns, 0, cause(&event.text), packets);
            }
            ("kvm_entry", Some(depth)) => self.switch(event.ns, depth, DEPTHS[depth], packets),
            _ => {
                let instant = TrackEvent::new(SliceType::Instant, self.track(0));
                let instant = instant.named(&event.event).annotated("text", &event.text);
                packets.push(Packet::at(event.ns, instant));
            }
        }
    }
}

/// Why a guest was left, from the text of `kvm_exit`: the exception class, or `IRQ`.
fn cause(text: &str) -> &str {
    let class = text.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    match (text.starts_with("IRQ"), class) {
        (false, Some((class, _))) => class,
        _ => "IRQ",
    }
}

/// The trace of Perfetto with these events.
fn convert(events: &[Event]) -> Trace {
    let mut cpus: BTreeMap<u64, Cpu> = BTreeMap::new();
    let mut packet = Vec::new();
    for event in events {
        let cpu = cpus.entry(event.cpu).or_insert_with(|| {
            let cpu = Cpu {
                cpu: event.cpu,
                open: None,
            };
            cpu.describe(&mut packet);
            cpu
        });
        cpu.take(event, &mut packet);
    }
    let end = events.last().map_or(0, |event| event.ns);
    for cpu in cpus.values_mut() {
        cpu.close(end, &mut packet);
    }
    Trace { packet }
}

/// Where a trace comes from, by the two options of which there must be one.
///
/// # Errors
///
/// When there are none or both.
pub fn source(console: Option<PathBuf>, from: Option<PathBuf>) -> Result<Source> {
    match (console, from) {
        (Some(path), None) => Ok(Source::Console(path)),
        (None, Some(path)) => Ok(Source::Records(path)),
        _ => bail!("one of --console and --from is needed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(ns: u64, event: &str, depth: &str, text: &str) -> String {
        let depth = if depth.is_empty() {
            "null".to_owned()
        } else {
            format!("\"{depth}\"")
        };
        format!(r#"{{"v":1,"id":2,"k":"trap","cpu":1,"ns":{ns},"event":"{event}","depth":{depth},"text":"{text}"}}"#)
    }

    fn trace() -> Trace {
        let lines = [
            r#"{"v":1,"id":2,"k":"note","text":"x"}"#.to_owned(),
            record(10, "kvm_entry", "L1", "PC: 0x0"),
            record(20, "kvm_exit", "L1", "TRAP: HSR_EC: 0x001a (ERET), PC: 0x0"),
            record(25, "kvm_nested_eret", "", "elr_el2: 0x0"),
            record(30, "kvm_entry", "L2", "PC: 0x0"),
            record(50, "kvm_exit", "L2", "IRQ: HSR_EC: 0x0000 (UNKNOWN), PC: 0x0"),
            record(60, "kvm_entry", "L1", "PC: 0x0"),
        ];
        convert(&events(&lines).unwrap())
    }

    /// What is on a track, as (time, type, name).
    fn on_track(trace: &Trace, depth: usize) -> Vec<(u64, i32, String)> {
        let track = Cpu { cpu: 1, open: None }.track(depth);
        let packets = trace.packet.iter();
        packets
            .filter_map(|packet| {
                let event = packet
                    .track_event
                    .as_ref()
                    .filter(|event| event.track_uuid == Some(track))?;
                Some((packet.timestamp?, event.r#type?, event.name.clone().unwrap_or_default()))
            })
            .collect()
    }

    #[test]
    fn one_of_the_three_tracks_has_a_slice_at_any_time() {
        let (begin, end, instant) = (1, 2, 3);
        let trace = trace();
        let row = |ns, kind, name: &str| (ns, kind, name.to_owned());
        assert_eq!(
            on_track(&trace, 0),
            [
                row(20, begin, "ERET"),
                row(25, instant, "kvm_nested_eret"),
                row(30, end, ""),
                row(50, begin, "IRQ"),
                row(60, end, ""),
            ]
        );
        assert_eq!(
            on_track(&trace, 1),
            [
                row(10, begin, "L1"),
                row(20, end, ""),
                row(60, begin, "L1"),
                row(60, end, "")
            ]
        );
        assert_eq!(on_track(&trace, 2), [row(30, begin, "L2"), row(50, end, "")]);
    }

    #[test]
    fn the_file_is_read_back_as_it_was_written() {
        let trace = trace();
        let names: Vec<_> = trace
            .packet
            .iter()
            .filter_map(|packet| packet.track_descriptor.clone()?.name)
            .collect();
        assert_eq!(names, ["vCPU 1", "L0", "L1", "L2"]);
        assert_eq!(Trace::decode(&trace.encode_to_vec()[..]).unwrap(), trace);
    }

    #[test]
    fn what_is_no_record_is_told() {
        assert!(events(&["{nonsense".to_owned()]).is_err());
        assert!(events(&["[gnomon] log".to_owned()]).unwrap().is_empty());
        assert!(source(None, None).is_err());
    }
}
