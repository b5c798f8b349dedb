//! Compressed streams: FLAC, MP3, AAC and Vorbis, decoded by Symphonia.
//!
//! Its readers are used directly, without its guessing of formats: what a file
//! is has been settled in [`super::sniff`]. What Symphonia leaves undone is done
//! here: a bad packet is passed over and counted, edit lists of M4A files are
//! kept, what is missing of a file is noticed ([`missing`]), and what follows the sound
//! that a header counts is read ([`joined`]).

mod joined;
mod missing;

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
use super::ogg::Pages;
use super::sniff::{missing_bytes, mpeg_frame_length, tag_length};
use crate::clip::SampleRate;
use crate::error::AudioError;
use joined::Counted;
use missing::Tally;

/// After so many failures in a row there is nothing left to find.
const MAX_FAILURES: u32 = 64;

/// Reads a file that holds a compressed stream.
pub(super) fn decode(file: &[u8], container: Container, job: &Job) -> Result<Sound, AudioError> {
    let pages = (container == Container::Ogg).then(|| Pages::of(file));
    let bytes = match container {
        Container::Mpeg | Container::Flac | Container::Adts => {
            file.get(tag_length(file)..).unwrap_or_default()
        }
        _ => pages.as_ref().map_or(file, |pages| &pages.bytes),
    };
    // A decoder that panics on a damaged file must not take the program along.
    // Nothing of it is used afterwards, so nothing can be seen half-changed.
    let attempt = AssertUnwindSafe(|| {
        Stream {
            bytes,
            container,
            pages: pages.as_ref(),
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
    /// Those of an Ogg file.
    pages: Option<&'a Pages<'a>>,
    job: &'a Job<'a>,
}

impl Stream<'_> {
    fn decode(&self) -> Result<Sound, AudioError> {
        let mut reader = self.open().map_err(|error| self.failed(&error))?;
        let (track, mut decoder) = self.choose_track(&*reader)?;
        let announced = track.claimed.unwrap_or(0);
        let mut playback = Playback::new(self.job, announced);
        if let (Container::Mpeg, [track, ..]) = (self.container, reader.tracks()) {
            playback.counted = Counted::of(track);
        }
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
            _ if self.n_lost_pages() > 0 => "its first pages are damaged",
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
                Err(_) if self.n_lost_pages() > 0 => {
                    let codec = codec::name(parameters.codec);
                    refusal = self
                        .job
                        .malformed(codec, "a page of its headers is damaged");
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
            tally,
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
            let at = rate.duration_of(tally.n_read as usize).0;
            sound.warnings.push(format!(
                "The stream is broken after {at:.3} s ({reason}); the rest was left out."
            ));
        }
        let ends_early = matches!(ending, Ending::CutShort);
        let missing = self.missing(track.claimed, &tally, rate, ends_early);
        sound.warnings.extend(missing);
        Ok(sound)
    }

    /// What of an M4A's track is meant to be heard.
    fn edit(&self) -> Edit {
        match self.container {
            Container::IsoMedia => iso_media::of_sound_track(self.bytes),
            _ => Edit::default(),
        }
    }
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

/// The state of decoding a stream.
struct Playback<'a> {
    job: &'a Job<'a>,
    mixer: Mixer,
    /// Channels and rate of the first packet; the rate must stay.
    layout: Option<(u16, SampleRate)>,
    /// Samples that the file says there are; 0 where it does not say.
    announced: u64,
    counted: Counted,
    planes: Vec<Vec<f32>>,
    tally: Tally,
}

impl<'a> Playback<'a> {
    fn new(job: &'a Job<'a>, announced: u64) -> Self {
        let mixer = Mixer::new(1.0, 0);
        Self {
            job,
            mixer,
            layout: None,
            announced,
            counted: Counted::default(),
            planes: Vec::new(),
            tally: Tally::default(),
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
            let mut packet = match reader.next_packet() {
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
                Err(error) if self.is_damage(&error) => {
                    failures += 1;
                    self.tally.n_damaged += 1;
                    continue;
                }
                Err(error) => return Ok(Ending::Broken(error.to_string())),
            };
            if packet.track_id != track {
                continue;
            }
            let n_before = self.tally.n_packets;
            if !self.counted.admits(&mut packet, n_before, stream.bytes) {
                return Ok(Ending::Complete);
            }
            self.tally.note(&packet.data);
            match decoder.decode(&packet) {
                Ok(buffer) => {
                    failures = 0;
                    let spec = buffer.spec();
                    let (channels, rate) = (spec.channels().count(), spec.rate());
                    buffer.copy_to_vecs_planar(&mut self.planes);
                    let start = packet.pts.get().max(0) as u64;
                    self.tally
                        .place(start..start.saturating_add(packet.dur.get()));
                    if let Some(ending) = self.take(channels, rate, &edit)? {
                        return Ok(ending);
                    }
                }
                Err(error) if self.is_damage(&error) || matches!(error, Error::IoError(_)) => {
                    failures += 1;
                    self.tally.n_damaged += 1;
                }
                Err(error) => return Ok(Ending::Broken(error.to_string())),
            }
        }
        Ok(Ending::Broken("nothing readable follows".to_owned()))
    }

    /// Whether an error means a damaged packet. After sound that could be decoded, one
    /// that asks for something that cannot be is damaged, too.
    fn is_damage(&self, error: &Error) -> bool {
        match error {
            Error::DecodeError(_) => true,
            Error::Unsupported(_) => self.tally.n_read > 0,
            _ => false,
        }
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
        let heard = edit.heard(rate, self.tally.n_read, n_frames);
        self.tally.n_read += n_frames as u64;
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
