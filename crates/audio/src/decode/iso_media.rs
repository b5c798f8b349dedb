//! What Symphonia leaves undone in M4A files: which part of the sound is meant
//! to be heard, and files that were cut short.
//!
//! An AAC encoder begins with a thousand samples or two of warming up, and the
//! edit list says so. Boxes are those of ISO/IEC 14496-12.

use std::ops::Range;

use crate::clip::SampleRate;
use crate::riff::ByteOrder;

const BE: ByteOrder = ByteOrder::BigEndian;

/// A stretch of a track: all of it, unless the file says otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Edit {
    /// Where it begins, in seconds of the decoded sound.
    start: f64,
    /// How long it lasts, in seconds.
    duration: Option<f64>,
}

impl Edit {
    /// Which of `n_frames` samples that follow the first `n_before` are heard.
    pub(super) fn heard(&self, rate: SampleRate, n_before: u64, n_frames: usize) -> Range<usize> {
        let samples = |seconds: f64| (seconds * f64::from(rate.hertz())).round() as u64;
        let start = samples(self.start);
        let end = self
            .duration
            .map_or(u64::MAX, |duration| start.saturating_add(samples(duration)));
        let within = |at: u64| at.saturating_sub(n_before).min(n_frames as u64) as usize;
        within(start).min(within(end))..within(end)
    }
}

/// The edit of the first track of sound. A list of several cuts is left aside,
/// as no encoder writes one.
pub(super) fn of_sound_track(file: &[u8]) -> Edit {
    sound_track_edit(file).unwrap_or_default()
}

fn sound_track_edit(file: &[u8]) -> Option<Edit> {
    let movie = find(file, b"moov")?;
    let movie_scale = timescale(find(movie, b"mvhd")?)?;
    let track = boxes(movie)
        .filter(|(name, _)| name == b"trak")
        .map(|(_, body)| body)
        .find(|track| is_sound(track).unwrap_or(false))?;
    let track_scale = timescale(find(find(track, b"mdia")?, b"mdhd")?)?;
    let list = find(find(track, b"edts")?, b"elst")?;
    let is_long = *list.first()? == 1;
    let entries: Vec<(u64, i64)> = (0..BE.u32(list, 4)?.min(4) as usize)
        .map_while(|i| match is_long {
            true => Some((BE.u64(list, 8 + 20 * i)?, BE.u64(list, 16 + 20 * i)? as i64)),
            false => Some((
                BE.u32(list, 8 + 12 * i)?.into(),
                (BE.u32(list, 12 + 12 * i)? as i32).into(),
            )),
        })
        // A negative time is silence before the track, which recordings of a
        // single track do not need.
        .filter(|(_, start)| *start >= 0)
        .collect();
    let [(duration, start)] = entries[..] else {
        return None;
    };
    // A duration of zero means "to the end", as in fragmented files.
    let duration = (duration > 0).then(|| duration as f64 / movie_scale);
    Some(Edit {
        start: start as f64 / track_scale,
        duration,
    })
}

/// Whether the track's handler is that of sound.
fn is_sound(track: &[u8]) -> Option<bool> {
    Some(find(find(track, b"mdia")?, b"hdlr")?.get(8..12)? == b"soun")
}

/// Units per second of a `mvhd` or `mdhd` box, whose dates take twice as many
/// bytes in version 1.
fn timescale(header: &[u8]) -> Option<f64> {
    let at = if *header.first()? == 1 { 20 } else { 12 };
    BE.u32(header, at).filter(|&scale| scale > 0).map(f64::from)
}

/// Lets the last box of a file that was cut short end with the file, because
/// the reader refuses one that goes on beyond. Positions in the file stay.
pub(super) fn end_last_box(file: &mut [u8]) {
    let mut at = 0;
    while let Some(size) = BE.u32(file, at) {
        let size = match size {
            0 => return,
            1 => BE
                .u64(file, at + 8)
                .and_then(|size| usize::try_from(size).ok())
                .unwrap_or(usize::MAX),
            size => size as usize,
        };
        match at.checked_add(size.max(8)) {
            Some(next) if next <= file.len() => at = next,
            // A size of zero means "up to the end of the file".
            _ => return file[at..at + 4].fill(0),
        }
    }
}

fn find<'a>(bytes: &'a [u8], name: &[u8; 4]) -> Option<&'a [u8]> {
    boxes(bytes)
        .find(|(found, _)| found == name)
        .map(|(_, body)| body)
}

/// The boxes that follow each other in `bytes`, each with its name.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let size = BE.u32(bytes, 0)?;
        let name = bytes.get(4..8)?.try_into().ok()?;
        let (header, size) = match size {
            0 => (8, bytes.len()),
            1 => (16, usize::try_from(BE.u64(bytes, 8)?).ok()?),
            size => (8, size as usize),
        };
        let body = bytes.get(header..size.min(bytes.len()))?;
        bytes = bytes.get(size..).unwrap_or_default();
        Some((name, body))
    })
}
