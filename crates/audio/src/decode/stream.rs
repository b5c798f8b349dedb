//! Compressed streams: FLAC, MP3, AAC and Vorbis, decoded by Symphonia.
//!
//! Its readers are used directly, without its guessing of formats: what a file
//! is has been settled in [`super::sniff`]. What Symphonia leaves undone is done
//! here: a bad packet is passed over and counted, edit lists of M4A files are
//! kept, and a file that was cut short is noticed.

use std::io::{Cursor, Read, repeat};
use std::panic::{AssertUnwindSafe, catch_unwind};

use symphonia::core::codecs::audio::AudioDecoder;
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, ReadOnlySource};
use symphonia::default::formats::{AdtsReader, FlacReader, IsoMp4Reader, MpaReader, OggReader};

use super::Container;
use super::codec;
use super::iso_media::{self, Edit};
use super::job::{Job, Sound};
use super::mix::Mixer;
use super::sniff::{
    adts_frame_length, ends_within_frame, missing_bytes, mpeg_frame_length, tag_length,
};
use crate::clip::SampleRate;
use crate::error::AudioError;

/// After so many failures in a row there is nothing left to find.
const MAX_FAILURES: u32 = 64;

/// The most samples of an MPEG frame. Some encoders count one frame too many, that of
/// the header itself.
const MPEG_FRAME: u64 = 1152;

/// Reads a file that holds a compressed stream.
pub(super) fn decode(file: &[u8], container: Container, job: &Job) -> Result<Sound, AudioError> {
    let bytes = match container {
        Container::Mpeg | Container::Flac | Container::Adts => {
            file.get(tag_length(file)..).unwrap_or_default()
        }
        _ => file,
    };
    // A decoder that panics on a damaged file must not take the program along.
    // Nothing of it is used afterwards, so nothing can be seen half-changed.
    let attempt = AssertUnwindSafe(|| {
        Stream {
            bytes,
            container,
            job,
        }
        .decode()
    });
    catch_unwind(attempt).unwrap_or_else(|_| {
        Err(job.malformed(container.name(), "the decoder gave up on damaged data"))
    })
}

/// Reads a bare MP3 stream, as WAV files may hold one.
pub(super) fn decode_mp3(bytes: &[u8], job: &Job) -> Result<Sound, AudioError> {
    decode(bytes, Container::Mpeg, job)
}

/// A stream and what is known about it.
struct Stream<'a> {
    bytes: &'a [u8],
    container: Container,
    job: &'a Job<'a>,
}

impl Stream<'_> {
    fn decode(&self) -> Result<Sound, AudioError> {
        let mut reader = self.open().map_err(|error| self.failed(&error))?;
        let (track, mut decoder) = self.choose_track(&*reader)?;
        let announced = track.claimed.unwrap_or(0);
        let mut playback = Playback::new(self.job, announced);
        let ending = playback.run(self, &mut *reader, &mut decoder, track.id)?;
        self.conclude(playback, &track, &*decoder, ending)
    }

    fn open(&self) -> Result<Box<dyn FormatReader + '_>, Error> {
        let options = FormatOptions::default();
        let source: Box<dyn MediaSource> = match self.container {
            // An MPEG stream that can be measured has its length guessed from
            // its first frames, and is then cut where the guess says; this one
            // cannot. Half of the last frame is often enough to hear it, since
            // frames lend each other space: what is missing is filled up.
            Container::Mpeg => {
                let missing = missing_bytes(self.bytes, mpeg_frame_length) as u64;
                Box::new(ReadOnlySource::new(
                    self.bytes.chain(repeat(0).take(missing)),
                ))
            }
            _ => Box::new(Cursor::new(self.bytes)),
        };
        let stream = MediaSourceStream::new(source, Default::default());
        Ok(match self.container {
            Container::Flac => Box::new(FlacReader::try_new(stream, options)?),
            Container::Ogg => Box::new(OggReader::try_new(stream, options)?),
            Container::IsoMedia => Box::new(IsoMp4Reader::try_new(stream, options)?),
            Container::Adts => Box::new(AdtsReader::try_new(stream, options)?),
            _ => Box::new(MpaReader::try_new(stream, options)?),
        })
    }

    fn failed(&self, error: &Error) -> AudioError {
        let reason = match error {
            Error::IoError(_) => "the file ends before its first sound",
            Error::DecodeError(reason) | Error::Unsupported(reason) | Error::LimitError(reason) => {
                reason
            }
            _ => "its parts are in no readable order",
        };
        self.job.malformed(self.container.name(), reason)
    }

    /// The first track of sound that can be decoded, and its decoder.
    fn choose_track(
        &self,
        reader: &dyn FormatReader,
    ) -> Result<(TrackFacts, Box<dyn AudioDecoder>), AudioError> {
        let mut refusal = self
            .job
            .malformed(self.container.name(), "it has no track of sound");
        for track in reader
            .tracks()
            .iter()
            .filter(|track| track.track_type() == Some(TrackType::Audio))
        {
            let Some(parameters) = track
                .codec_params
                .as_ref()
                .and_then(|parameters| parameters.audio())
            else {
                continue;
            };
            match codec::open(parameters) {
                Ok(decoder) => {
                    // Others count in units of their own, or guess.
                    let counts_samples =
                        matches!(self.container, Container::Flac | Container::Mpeg);
                    let claimed = track.num_frames.filter(|_| counts_samples);
                    let bits = parameters
                        .bits_per_sample
                        .filter(|_| self.container == Container::Flac);
                    return Ok((
                        TrackFacts {
                            id: track.id,
                            claimed,
                            bits,
                        },
                        decoder,
                    ));
                }
                Err(reason) => {
                    refusal = self.job.unsupported(codec::name(parameters.codec), &reason)
                }
            }
        }
        Err(refusal)
    }

    /// Puts the sound, its format and the warnings together.
    fn conclude(
        &self,
        playback: Playback,
        track: &TrackFacts,
        decoder: &dyn AudioDecoder,
        ending: Ending,
    ) -> Result<Sound, AudioError> {
        let codec = codec::name(decoder.codec_params().codec);
        let Playback {
            layout: Some((channels, rate)),
            mixer,
            n_damaged,
            n_packets,
            n_read,
            last,
            ..
        } = playback
        else {
            let reason = match ending {
                Ending::Broken(reason) => reason,
                Ending::Complete | Ending::CutShort => {
                    "not one packet of it can be decoded".to_owned()
                }
            };
            return Err(self.job.malformed(codec, &reason));
        };
        let mut sound = Sound::new(
            mixer,
            self.container.name(),
            codec,
            track.bits,
            channels,
            rate,
        );
        if let Ending::Broken(reason) = &ending {
            let at = rate.duration_of(n_read as usize).0;
            sound.warnings.push(format!(
                "The stream is broken after {at:.3} s ({reason}); the rest was left out."
            ));
        }
        let is_cut =
            matches!(ending, Ending::CutShort) || self.is_cut_short(track.claimed, n_read, &last);
        // The packet at the cut is damaged, too, and needs no second mention.
        if n_damaged > u64::from(is_cut) {
            sound.warnings.push(format!(
                "{n_damaged} of {n_packets} packets are damaged and were left out."
            ));
        } else if is_cut {
            sound
                .warnings
                .push(self.cut_short(track.claimed, n_read, rate));
        }
        Ok(sound)
    }

    fn is_cut_short(&self, claimed: Option<u64>, n_read: u64, last: &LastPacket) -> bool {
        match (self.container, claimed) {
            (Container::Flac, Some(claimed)) => n_read < claimed,
            (Container::Flac, None) => last.is_followed_by_flac(self.bytes),
            (Container::Mpeg, Some(claimed)) if claimed > n_read.saturating_add(MPEG_FRAME) => true,
            (Container::Mpeg, _) => ends_within_frame(self.bytes, mpeg_frame_length),
            (Container::Adts, _) => ends_within_frame(self.bytes, adts_frame_length),
            (Container::Ogg, _) => !ends_with_last_page(self.bytes),
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

    /// What of an M4A's track is meant to be heard.
    fn edit(&self) -> Edit {
        match self.container {
            Container::IsoMedia => iso_media::of_sound_track(self.bytes),
            _ => Edit::default(),
        }
    }
}

/// Whether the last page of an Ogg file is complete and marked as the last.
fn ends_with_last_page(bytes: &[u8]) -> bool {
    const IS_LAST: u8 = 4;
    let page = bytes
        .windows(4)
        .rposition(|window| window == b"OggS")
        .map(|at| &bytes[at..]);
    page.is_some_and(|page| {
        let table = page
            .get(26)
            .and_then(|&n| page.get(27..27 + usize::from(n)))
            .unwrap_or_default();
        let length = 27 + table.len() + table.iter().map(|&n| usize::from(n)).sum::<usize>();
        !table.is_empty() && page.len() >= length && page[5] & IS_LAST != 0
    })
}

/// What is needed of a track while the reader is busy.
struct TrackFacts {
    id: u32,
    /// How many samples the file says that there are.
    claimed: Option<u64>,
    bits: Option<u32>,
}

/// How a stream ended.
enum Ending {
    Complete,
    CutShort,
    Broken(String),
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

/// The state of decoding a stream.
struct Playback<'a> {
    job: &'a Job<'a>,
    mixer: Mixer,
    /// Channels and rate of the first packet; the rate must stay.
    layout: Option<(u16, SampleRate)>,
    /// Samples that the file says there are; 0 where it does not say.
    announced: u64,
    planes: Vec<Vec<f32>>,
    n_packets: u64,
    n_damaged: u64,
    /// Samples decoded, before the edit list is applied.
    n_read: u64,
    last: LastPacket,
}

impl<'a> Playback<'a> {
    fn new(job: &'a Job<'a>, announced: u64) -> Self {
        let mixer = Mixer::new(1.0, 0);
        Self {
            job,
            mixer,
            layout: None,
            announced,
            planes: Vec::new(),
            n_packets: 0,
            n_damaged: 0,
            n_read: 0,
            last: LastPacket::default(),
        }
    }

    fn run(
        &mut self,
        stream: &Stream,
        reader: &mut dyn FormatReader,
        decoder: &mut Box<dyn AudioDecoder>,
        mut track: u32,
    ) -> Result<Ending, AudioError> {
        let edit = stream.edit();
        let mut failures = 0;
        while failures < MAX_FAILURES {
            let packet = match reader.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => return Ok(Ending::Complete),
                Err(Error::IoError(_)) => return Ok(Ending::CutShort),
                // Another stream follows in the same file, as Ogg allows.
                Err(Error::ResetRequired) => match stream.choose_track(reader) {
                    Ok((facts, next)) => {
                        (track, *decoder) = (facts.id, next);
                        failures += 1;
                        continue;
                    }
                    Err(error) => return Ok(Ending::Broken(error.to_string())),
                },
                Err(Error::DecodeError(_)) => {
                    failures += 1;
                    self.n_damaged += 1;
                    continue;
                }
                Err(error) => return Ok(Ending::Broken(error.to_string())),
            };
            if packet.track_id != track {
                continue;
            }
            self.n_packets += 1;
            self.last.note(&packet.data);
            match decoder.decode(&packet) {
                Ok(buffer) => {
                    failures = 0;
                    let spec = buffer.spec();
                    let (channels, rate) = (spec.channels().count(), spec.rate());
                    buffer.copy_to_vecs_planar(&mut self.planes);
                    if let Some(ending) = self.take(channels, rate, &edit)? {
                        return Ok(ending);
                    }
                }
                Err(Error::DecodeError(_) | Error::IoError(_)) => {
                    failures += 1;
                    self.n_damaged += 1;
                }
                Err(error) => return Ok(Ending::Broken(error.to_string())),
            }
        }
        Ok(Ending::Broken("nothing readable follows".to_owned()))
    }

    /// Mixes the planes of one packet, or ends the stream where it changes into
    /// something that cannot be joined to what came before.
    fn take(
        &mut self,
        channels: usize,
        rate: u32,
        edit: &Edit,
    ) -> Result<Option<Ending>, AudioError> {
        let n_frames = self.planes.first().map_or(0, Vec::len);
        if n_frames == 0 {
            return Ok(None);
        }
        let (_, rate) = match self.layout {
            None => {
                let layout = self.job.check_layout("stream", channels as u32, rate)?;
                self.mixer = Mixer::new(1.0, self.job.max_samples(layout.1));
                let announced = usize::try_from(self.announced).unwrap_or(usize::MAX);
                self.mixer.announce(announced);
                *self.layout.insert(layout)
            }
            Some((_, first)) if first.hertz() != rate => {
                let reason = format!("the sample rate changes from {first} to {rate} Hz");
                return Ok(Some(Ending::Broken(reason)));
            }
            Some(layout) => layout,
        };
        let heard = edit.heard(rate, self.n_read, n_frames);
        self.n_read += n_frames as u64;
        for plane in &mut self.planes {
            plane.truncate(heard.end);
            plane.drain(..heard.start);
        }
        self.mixer
            .push_planar(&mut self.planes)
            .map_err(|full| self.job.full(full, rate))?;
        Ok(None)
    }
}
