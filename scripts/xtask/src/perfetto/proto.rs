//! The messages of Perfetto's trace format that are written, with its field numbers (`protos/perfetto/trace`).

use prost::Message;

/// All packets come from one writer.
const SEQUENCE: u32 = 1;

/// A file.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Trace {
    /// What happened, and on which tracks.
    #[prost(message, repeated, tag = "1")]
    pub(super) packet: Vec<Packet>,
}

/// `TracePacket`
#[derive(Clone, PartialEq, Message)]
pub(super) struct Packet {
    /// When, in nanoseconds.
    #[prost(uint64, optional, tag = "8")]
    pub(super) timestamp: Option<u64>,
    /// Who wrote it.
    #[prost(uint32, optional, tag = "10")]
    pub(super) trusted_packet_sequence_id: Option<u32>,
    /// Something on a track.
    #[prost(message, optional, tag = "11")]
    pub(super) track_event: Option<TrackEvent>,
    /// A track.
    #[prost(message, optional, tag = "60")]
    pub(super) track_descriptor: Option<TrackDescriptor>,
}

impl Packet {
    /// An event.
    pub(super) fn at(ns: u64, event: TrackEvent) -> Self {
        Self {
            timestamp: Some(ns),
            trusted_packet_sequence_id: Some(SEQUENCE),
            track_event: Some(event),
            track_descriptor: None,
        }
    }

    /// A track, before what is on it.
    pub(super) fn describing(track: TrackDescriptor) -> Self {
        Self {
            timestamp: None,
            trusted_packet_sequence_id: Some(SEQUENCE),
            track_event: None,
            track_descriptor: Some(track),
        }
    }
}

/// `TrackDescriptor`
#[derive(Clone, PartialEq, Message)]
pub(super) struct TrackDescriptor {
    /// Which.
    #[prost(uint64, optional, tag = "1")]
    pub(super) uuid: Option<u64>,
    /// What it is called.
    #[prost(string, optional, tag = "2")]
    pub(super) name: Option<String>,
    /// The track it is shown below.
    #[prost(uint64, optional, tag = "5")]
    pub(super) parent_uuid: Option<u64>,
}

/// `TrackEvent`
#[derive(Clone, PartialEq, Message)]
pub(super) struct TrackEvent {
    /// More about it.
    #[prost(message, repeated, tag = "4")]
    pub(super) debug_annotations: Vec<DebugAnnotation>,
    /// What it does to the track.
    #[prost(enumeration = "SliceType", optional, tag = "9")]
    pub(super) r#type: Option<i32>,
    /// On which track.
    #[prost(uint64, optional, tag = "11")]
    pub(super) track_uuid: Option<u64>,
    /// What it is called.
    #[prost(string, optional, tag = "23")]
    pub(super) name: Option<String>,
}

impl TrackEvent {
    pub(super) fn new(kind: SliceType, track: u64) -> Self {
        Self {
            r#type: Some(kind.into()),
            track_uuid: Some(track),
            ..Self::default()
        }
    }

    pub(super) fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    pub(super) fn annotated(mut self, name: &str, value: &str) -> Self {
        self.debug_annotations.push(DebugAnnotation {
            string_value: Some(value.to_owned()),
            name: Some(name.to_owned()),
        });
        self
    }
}

/// `DebugAnnotation`
#[derive(Clone, PartialEq, Message)]
pub(super) struct DebugAnnotation {
    /// Its value.
    #[prost(string, optional, tag = "6")]
    pub(super) string_value: Option<String>,
    /// Its name.
    #[prost(string, optional, tag = "10")]
    pub(super) name: Option<String>,
}

/// `TrackEvent.Type`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(super) enum SliceType {
    /// Never written.
    Unspecified = 0,
    /// A slice begins.
    Begin = 1,
    /// The last slice that began on the track ends.
    End = 2,
    /// Something without duration.
    Instant = 3,
}
