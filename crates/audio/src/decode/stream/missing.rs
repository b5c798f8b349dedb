//! What is missing of a stream, and how that is told: sound at its end, as the file was
//! cut short, or before it, as the file is damaged.

use std::ops::Range;

use super::{Container, Stream};
use crate::clip::SampleRate;
use crate::decode::sniff::{
    adts_frame_length, ends_within_frame, is_interrupted, mpeg_frame_length,
};

/// The most samples of an MPEG frame. Some encoders count one frame too many, that of
/// the header itself.
const MPEG_FRAME: u64 = 1152;

/// What was read of a stream.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) n_packets: u64,
    pub(super) n_damaged: u64,
    /// Samples decoded, before an edit list is applied.
    pub(super) n_read: u64,
    /// From where to where the packets say that they belong.
    span: Option<Range<u64>>,
    last: LastPacket,
}

impl Tally {
    /// Counts a packet, be it damaged.
    pub(super) fn note(&mut self, packet: &[u8]) {
        self.n_packets += 1;
        self.last.note(packet);
    }

    /// Notes where in the sound a packet says that it belongs.
    pub(super) fn place(&mut self, packet: Range<u64>) {
        self.span = Some(match self.span.take() {
            None => packet,
            Some(span) => span.start.min(packet.start)..span.end.max(packet.end),
        });
    }

    fn span(&self) -> Range<u64> {
        self.span.clone().unwrap_or(0..0)
    }
}

impl Stream<'_> {
    /// What to say of sound that is missing of what the file claims to hold, or that its
    /// reader misses where it `ends_early`.
    pub(super) fn missing(
        &self,
        claimed: Option<u64>,
        tally: &Tally,
        rate: SampleRate,
        ends_early: bool,
    ) -> Vec<String> {
        // Without its last page a stream of Ogg seems to be cut, be it only damaged.
        let is_cut = ends_early && self.n_lost_pages() == 0 || self.is_cut_short(claimed, tally);
        let mut warnings = Vec::new();
        // The packet at the cut is damaged, too, and needs no second mention.
        if tally.n_damaged > u64::from(is_cut) {
            warnings.push(format!(
                "{} of {} packets are damaged and were left out.",
                tally.n_damaged, tally.n_packets
            ));
        } else if is_cut {
            warnings.push(self.cut_short(claimed, tally.n_read, rate));
        }
        if !is_cut || self.container == Container::Ogg {
            warnings.extend(self.damage(claimed, tally, rate));
        }
        warnings
    }

    fn is_cut_short(&self, claimed: Option<u64>, tally: &Tally) -> bool {
        let misses = |slack: u64| claimed.is_some_and(|n| n > tally.n_read.saturating_add(slack));
        match self.container {
            // Frames say where they belong: where the last one is there, others are not.
            Container::Flac if claimed.is_some() => misses(0) && claimed > Some(tally.span().end),
            Container::Flac => tally.last.is_followed_by_flac(self.bytes),
            Container::Mpeg if misses(MPEG_FRAME) => !is_interrupted(self.bytes, mpeg_frame_length),
            Container::Mpeg => ends_within_frame(self.bytes, mpeg_frame_length),
            Container::Adts => ends_within_frame(self.bytes, adts_frame_length),
            Container::Ogg => self.pages.is_some_and(|pages| !pages.is_complete),
            _ => false,
        }
    }

    /// What to say of a file that was cut short.
    fn cut_short(&self, claimed: Option<u64>, n_read: u64, rate: SampleRate) -> String {
        match (claimed, self.container) {
            (Some(claimed), _) if claimed > n_read => format!(
                "The file was cut short: its header announces {:.3} s of sound and {:.3} s are there.",
                rate.duration_of(claimed as usize).0,
                rate.duration_of(n_read as usize).0,
            ),
            (_, Container::Ogg) => {
                "The file was cut short: its last page is not there or not complete.".to_owned()
            }
            _ => "The file was cut short: its last packet is not complete.".to_owned(),
        }
    }

    /// What to say of sound that is missing before the end.
    fn damage(&self, claimed: Option<u64>, tally: &Tally, rate: SampleRate) -> Option<String> {
        let span = tally.span();
        let n_pages = self.n_lost_pages();
        let (announced, slack) = match self.container {
            Container::Flac => (claimed.unwrap_or(span.end - span.start), 0),
            Container::Mpeg => (claimed?, MPEG_FRAME),
            // A stream may begin late: with all of its pages nothing is missing.
            Container::Ogg if n_pages > 0 => (self.pages?.end.unwrap_or(0), 0),
            _ => return None,
        };
        let is_short = announced > tally.n_read.saturating_add(slack);
        let lengths = is_short.then(|| {
            format!(
                "of {:.3} s of sound {:.3} s can be read",
                rate.duration_of(announced as usize).0,
                rate.duration_of(tally.n_read as usize).0
            )
        });
        let pages = match n_pages {
            0 => None,
            1 => Some("1 page is damaged or missing".to_owned()),
            n => Some(format!("{n} pages are damaged or missing")),
        };
        let what: Vec<String> = pages.into_iter().chain(lengths).collect();
        (!what.is_empty()).then(|| format!("The file is damaged: {}.", what.join("; ")))
    }

    /// How many pages of an Ogg file are damaged or missing.
    pub(super) fn n_lost_pages(&self) -> u64 {
        self.pages.map_or(0, |pages| pages.n_lost)
    }
}

/// What is remembered of the packet that was read last, to find it in the file.
#[derive(Default)]
struct LastPacket {
    /// Its first bytes: number and checksum of a FLAC frame are among them.
    head: Vec<u8>,
    length: usize,
}

impl LastPacket {
    fn note(&mut self, packet: &[u8]) {
        self.length = packet.len();
        self.head.clear();
        self.head.extend(packet.iter().take(16));
    }

    /// Whether another FLAC frame begins behind it. The reader leaves a frame that is
    /// not whole out without a word where no header says how many samples there are.
    fn is_followed_by_flac(&self, file: &[u8]) -> bool {
        if self.head.is_empty() {
            return false;
        }
        let mut windows = file.windows(self.head.len());
        let Some(at) = windows.rposition(|window| window == self.head) else {
            return false;
        };
        let rest = file.get(at + self.length..).unwrap_or_default();
        matches!(rest, [0xFF] | [0xFF, 0xF8 | 0xF9, ..])
    }
}
