//! What the viewer reads: records of a console, and KVM's debugfs files, up to the picture.

use wire::Hex;
use xtask::view::{debugfs, model::Snapshot, page, records, scene::Scene, svg};

use crate::Input;

pub(super) fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(snapshot) = records::read(&text) {
        draw(&snapshot);
    }
    if let Ok(table) = debugfs::parse("host", &text) {
        let mut snapshot = Snapshot::default();
        snapshot.tables.push(table);
        draw(&snapshot);
    }
    check_round_trip(&text, &mut Input::new(bytes));
}

fn draw(snapshot: &Snapshot) {
    let scene = Scene::new(snapshot, snapshot.l2_names().first().copied());
    let picture = svg::file(snapshot, &scene);
    assert!(
        !picture.contains("NaN") && !picture.contains("inf"),
        "a number that is none"
    );
    assert!(page::render(snapshot).is_ok());
}

/// A record of any text is read back as that text.
fn check_round_trip(text: &str, input: &mut Input<'_>) {
    let mut buffer = [0; wire::LINE_BYTES];
    let Ok(line) = wire::write_line(&mut buffer, input.double(), &wire::Note { text }) else {
        return;
    };
    assert_eq!(line.matches('\n').count(), 1);
    let snapshot = records::read(line).expect("a record of our own");
    assert_eq!(snapshot.notes, [text]);
    let found = wire::Finding {
        rule: "I1",
        table: "host",
        ia: Hex(input.double()),
        size: Hex(input.double()),
        counts: input.bit(),
        cause: "",
        text: "",
        guest: "",
        host: "",
        shadow: "",
    };
    if let Ok(line) = wire::write_line(&mut buffer, 0, &found) {
        draw(&records::read(line).expect("a record of our own"));
    }
}
