//! Records as programs and people get them, to the letter: whoever reads them depends on it.

use serde_json::Value;
use wire::*;

/// The record as the line of JSON that answers command 3, which must parse, and as text.
fn both(record: &dyn Record) -> (String, String) {
    let mut buffer = [0; LINE_BYTES];
    let line = write_line(&mut buffer, 3, record).expect("it fits").to_owned();
    let value: Value = serde_json::from_str(&line).expect("it is JSON");
    assert_eq!(value["v"], VERSION);
    assert_eq!(value["id"], 3);
    assert_eq!(value["k"], record.kind());
    (line, record.to_string())
}

#[track_caller]
fn expect(record: &dyn Record, fields: &str, text: &str) {
    let (line, printed) = both(record);
    assert_eq!(
        line,
        format!("{{\"v\":1,\"id\":3,\"k\":\"{}\"{fields}}}\n", record.kind())
    );
    assert_eq!(printed, text);
}

#[test]
fn what_frames_an_answer() {
    let hello = Hello {
        name: "gnomon",
        version: "0.1.0",
    };
    expect(&hello, r#","name":"gnomon","version":"0.1.0""#, "gnomon 0.1.0");
    expect(&End {}, "", "");
    expect(&Error { text: "no" }, r#","text":"no""#, "error: no");
    expect(&Note { text: "well" }, r#","text":"well""#, "note: well");
    expect(&Text { text: "a line" }, r#","text":"a line""#, "a line");
    expect(&Count { count: 7 }, r#","count":7"#, "7");
    expect(&State { running: false }, r#","running":false"#, "stopped");
    expect(&State { running: true }, r#","running":true"#, "running");
    expect(&Dropped { bytes: 8192 }, r#","bytes":8192"#, "8 KiB dropped");
}

#[test]
fn resets() {
    let reset = Reset {
        shadows: 2,
        frames_free: 100,
        frames_lost: 0,
    };
    expect(
        &reset,
        r#","shadows":2,"frames_free":100,"frames_lost":0"#,
        "2 shadows ended, 100 frames are free as after boot; resetting",
    );
    let (fewer, more) = (
        Reset {
            frames_lost: 3,
            ..reset
        },
        Reset {
            frames_lost: -3,
            ..reset
        },
    );
    assert!(fewer.to_string().contains("3 frames for tables are LOST"));
    assert!(more.to_string().contains("more frames are free"));
}

#[test]
fn commands() {
    let command = Command {
        name: "levels",
        usage: "levels TABLE",
        help: "levels of the walk",
        example: "levels host",
    };
    let fields = r#","name":"levels","usage":"levels TABLE","help":"levels of the walk","example":"levels host""#;
    expect(&command, fields, "levels TABLE                     levels of the walk");
    expect(
        &Manual(command),
        fields,
        "usage: levels TABLE\nlevels of the walk\nexample: levels host",
    );
}

#[test]
fn tables() {
    expect(&Table { table: "host" }, r#","table":"host""#, "host");
    expect(&Levels { levels: 4 }, r#","levels":4"#, "4");
    expect(&IpaRange { bits: 40 }, r#","bits":40"#, "40");
}

#[test]
fn shadows() {
    let shadow = Shadow {
        number: 1,
        vmid: 3,
        refs: 1,
        last_use: 12,
        faults: 345,
        table_pages: 6,
        mapped_4k: 640 << 10,
        mapped_2m: 0,
        mapped_1g: 1 << 30,
        name: "0x1-0x2-s2-enabled",
    };
    expect(
        &shadow,
        concat!(
            r#","number":1,"vmid":3,"refs":1,"last_use":12,"faults":345,"table_pages":6,"#,
            r#""mapped_4k":655360,"mapped_2m":0,"mapped_1g":1073741824,"name":"0x1-0x2-s2-enabled""#
        ),
        "  1     3    1        12       345      6     640K        0       1G 0x1-0x2-s2-enabled",
    );
    let sum = ShadowSum {
        shadows: 1,
        shadows_max: 64,
        table_pages: 6,
        frames_free: Some(10),
        frames: Some(16),
    };
    expect(
        &sum,
        r#","shadows":1,"shadows_max":64,"table_pages":6,"frames_free":10,"frames":16"#,
        "1 of 64 shadows, 6 table pages\n10 of 16 frames for tables are free",
    );
}

#[test]
fn exits() {
    let exit = Exit {
        cause: "ERET",
        whose: "L1",
        count: 7,
        min: 1,
        mean: 2,
        max: 3,
    };
    expect(
        &exit,
        r#","cause":"ERET","whose":"L1","count":7,"min":1,"mean":2,"max":3"#,
        "ERET         L1                7          1          2          3",
    );
    let register = RegisterExit {
        register: "SCTLR_EL2",
        whose: "L2>L1",
        count: 7,
        min: 1,
        mean: 2,
        max: 3,
    };
    expect(
        &register,
        r#","register":"SCTLR_EL2","whose":"L2>L1","count":7,"min":1,"mean":2,"max":3"#,
        "SCTLR_EL2            L2>L1             7          1          2          3",
    );
    let sum = ExitSum {
        unhandled: 0,
        shadow_waits: 3,
        ticks_per_second: 62_500_000,
    };
    expect(
        &sum,
        r#","unhandled":0,"shadow_waits":3,"ticks_per_second":62500000"#,
        "0 times something was not emulated\n3 times a CPU waited for a shadow\n62500000 ticks are a second",
    );
}

#[test]
fn traces() {
    let trap = Trap {
        cpu: 1,
        ns: 12_345_678_901,
        event: "kvm_entry",
        depth: Some("L1"),
        text: "PC: 0x0000000000000010",
    };
    expect(
        &trap,
        r#","cpu":1,"ns":12345678901,"event":"kvm_entry","depth":"L1","text":"PC: 0x0000000000000010""#,
        "           vcpu1-0       [001] .....     12.345678: kvm_entry: PC: 0x0000000000000010",
    );
    let tlbi = Trap { depth: None, ..trap };
    assert!(both(&tlbi).0.contains(r#""depth":null"#));
    let state = TraceState {
        on: true,
        recorded: 26_157,
        kept: 1024,
    };
    expect(
        &state,
        r#","on":true,"recorded":26157,"kept":1024"#,
        "trace is on, 26157 events recorded, the last 1024 of each CPU are kept",
    );
}

#[test]
fn walks() {
    let stage = Stage {
        stage: "host",
        words: format_args!("a \"4K\" granule"),
    };
    expect(
        &stage,
        r#","stage":"host","words":"a \"4K\" granule""#,
        "host    a \"4K\" granule",
    );
    let step = Step {
        stage: "guest",
        level: 1,
        table: Hex(0x1_013b_6000),
        index: 1,
        raw: None,
        words: format_args!("cannot be read"),
    };
    expect(
        &step,
        r#","stage":"guest","level":1,"table":"0x1013b6000","index":1,"raw":null,"words":"cannot be read""#,
        "guest   level 1  0x1013b6000[1] = ?  cannot be read",
    );
    let walk = Walk {
        address: Hex(0x4020_0000),
        access: "w",
        end: "reaches",
        receiver: None,
        pa: Some(Hex(0x1_0a80_0000)),
        shadow: Some("follows"),
        text: format_args!("the sentence"),
    };
    expect(
        &walk,
        concat!(
            r#","address":"0x40200000","access":"w","end":"reaches","receiver":null,"pa":"0x10a800000","#,
            r#""shadow":"follows","text":"the sentence""#
        ),
        "the sentence",
    );
}

#[test]
fn the_longest_lines_fit() {
    let digits = "f".repeat(16);
    let name = format!("0x{digits}-0x{digits}-s2-disabled");
    both(&Shadow {
        number: u16::MAX,
        vmid: u16::MAX,
        refs: u32::MAX,
        last_use: u64::MAX,
        faults: u64::MAX,
        table_pages: u64::MAX,
        mapped_4k: u64::MAX,
        mapped_2m: u64::MAX,
        mapped_1g: u64::MAX,
        name: &name,
    });
    // As long as an event is in words, and all of it escaped.
    both(&Trap {
        cpu: usize::MAX,
        ns: u64::MAX,
        event: "kvm_inject_nested_exception",
        depth: Some("L2"),
        text: &"\"".repeat(192),
    });
    // As long as the reason for an error is.
    both(&Error { text: &"x".repeat(512) });
}
