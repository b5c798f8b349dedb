//! Frames beyond those that the header of an MP3 file counts, as where files were joined
//! end to end: the header is that of the first one.

use symphonia::core::formats::Track;
use symphonia::core::packet::Packet;
use symphonia::core::units::Duration;

use crate::decode::sniff::mpeg_frame_length;

/// So many frames in a row are no accident, as one is in the picture of a tag.
const IN_A_ROW: usize = 3;

/// Where the sound ends that a header counts, and whether there is more.
#[derive(Default)]
pub(super) struct Counted {
    /// The end of the last frame that is counted, filling included.
    end: Option<u64>,
    /// Looked for when a frame lies beyond the end.
    goes_on: Option<bool>,
}

impl Counted {
    /// What the header of an MPEG stream counts.
    pub(super) fn of(track: &Track) -> Self {
        let padding = u64::from(track.padding.unwrap_or(0));
        Self {
            end: track.num_frames.map(|end| end.saturating_add(padding)),
            goes_on: None,
        }
    }

    /// Whether a packet is sound, `n_before` of them having come before it: one that is
    /// counted, or one beyond if the stream does go on and this is not what a tag happens
    /// to hold. The reader has marked all that is beyond as filling.
    pub(super) fn admits(&mut self, packet: &mut Packet, n_before: u64, stream: &[u8]) -> bool {
        let start = u64::try_from(packet.pts.get()).unwrap_or(0);
        if self.end.is_none_or(|end| start < end) {
            return true;
        }
        packet.trim_end = Duration::ZERO;
        *self
            .goes_on
            .get_or_insert_with(|| goes_on_after(stream, n_before))
    }
}

/// Whether frames follow the first `n_frames` of a stream and the one before them, which
/// counts them.
fn goes_on_after(stream: &[u8], n_frames: u64) -> bool {
    let mut n_passed = 0;
    let mut rest = from_frames(stream);
    while let Some(bytes) = rest
        && n_passed <= n_frames
    {
        rest = match mpeg_frame_length(bytes).and_then(|length| bytes.get(length..)) {
            Some(next) => {
                n_passed += 1;
                Some(next)
            }
            None => from_frames(bytes),
        };
    }
    rest.and_then(from_frames).is_some()
}

/// From the first place on where some frames of one kind follow each other.
fn from_frames(bytes: &[u8]) -> Option<&[u8]> {
    (0..bytes.len())
        .map(|at| &bytes[at..])
        .find(|&bytes| bytes[0] == 0xFF && are_frames_in_a_row(bytes))
}

fn are_frames_in_a_row(mut bytes: &[u8]) -> bool {
    // Version, layer and rate; the rest of a header differs from frame to frame.
    let kind = |bytes: &[u8]| Some((bytes.get(1)? & 0xFE, bytes.get(2)? & 0x0C));
    let first = kind(bytes);
    for _ in 1..IN_A_ROW {
        match mpeg_frame_length(bytes).and_then(|length| bytes.get(length..)) {
            Some(next) if kind(next) == first => bytes = next,
            _ => return false,
        }
    }
    mpeg_frame_length(bytes).is_some()
}
