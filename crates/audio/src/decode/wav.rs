//! WAV files: RIFF, RF64 and BW64 with a `WAVE` inside.
//!
//! The samples may be PCM or floating point, A-law or µ-law, ADPCM, or a whole
//! MP3 stream, each with or without `WAVE_FORMAT_EXTENSIBLE`. The numbers of
//! formats are those of Microsoft's `mmreg.h`.

use super::adpcm::{self, BlockLayout};
use super::job::{Job, Sound};
use super::mix::Mixer;
use super::pcm::{SampleCoding, SignedWidth, mix_samples};
use super::stream;
use crate::clip::SampleRate;
use crate::error::AudioError;
use crate::riff::{ByteOrder, Chunk, chunks};

const LE: ByteOrder = ByteOrder::LittleEndian;

/// The format tag that defers to the one inside its extension.
const EXTENSIBLE: u16 = 0xFFFE;

/// Tags that more than one place asks for.
const MS_ADPCM: u16 = 0x0002;
const A_LAW: u16 = 0x0006;
const MU_LAW: u16 = 0x0007;
const IMA_ADPCM: u16 = 0x0011;
const MP3: u16 = 0x0055;

/// Reads a WAV file.
pub(super) fn decode(file: &[u8], job: &Job) -> Result<Sound, AudioError> {
    let chunks = chunks(file, LE);
    let body = |id: &[u8; 4]| {
        chunks
            .iter()
            .find(|chunk| &chunk.id == id)
            .map(|chunk| &file[chunk.body.clone()])
    };
    let format = body(b"fmt ").ok_or_else(|| job.malformed("WAV", "it has no `fmt ` chunk"))?;
    let format = Format::read(format, job)?;
    let data = chunks
        .iter()
        .find(|chunk| &chunk.id == b"data")
        .ok_or_else(|| job.malformed("WAV", "it has no `data` chunk"))?;
    let n_frames = body(b"fact")
        .and_then(|fact| LE.u32(fact, 0))
        // Neither of the two says anything: both are written where it is not known.
        .filter(|n| !matches!(*n, 0 | u32::MAX));
    let (payload, length) = payload(file, data);
    let mut sound = format.decode(payload, n_frames, job)?;
    if let Some(warning) = length.warning(&format, payload.len() as u64, n_frames, &sound) {
        // A stream inside that was cut with the file has noticed it, too.
        sound
            .warnings
            .retain(|other| !other.starts_with("The file was cut short"));
        sound.warnings.insert(0, warning);
    }
    Ok(sound)
}

/// What the `data` chunk holds, and what its header says about that.
fn payload<'a>(file: &'a [u8], data: &Chunk) -> (&'a [u8], Length) {
    let rest = &file[data.body.start..];
    if data.claimed == Some(0) && is_sound(rest) {
        return (rest, Length::NeverWritten);
    }
    let held = data.body.len() as u64;
    let length = match data.claimed {
        None => Length::Unknown,
        Some(claimed) if claimed > held => Length::Missing { claimed },
        Some(_) => Length::Kept,
    };
    (&file[data.body.clone()], length)
}

/// What the header of a `data` chunk says of its length, in bytes.
enum Length {
    /// What is there.
    Kept,
    /// That it was not known when the header was written, as in a pipe.
    Unknown,
    /// Nothing, as when a recorder loses power.
    NeverWritten,
    /// More than is there.
    Missing { claimed: u64 },
}

impl Length {
    /// What to say of a sound that was read from `held` bytes; the `fact` chunk may
    /// have announced its frames.
    fn warning(
        &self,
        format: &Format,
        held: u64,
        fact: Option<u32>,
        sound: &Sound,
    ) -> Option<String> {
        let there = sound.mixer.n_samples() as u64;
        let announced = match *self {
            Self::Kept => return None,
            Self::NeverWritten => {
                let warning = "The header was never completed, as when a recorder loses power: it announces no \
                               sound, and everything after it was read as sound.";
                return Some(warning.to_owned());
            }
            Self::Unknown => fact
                .filter(|_| !format.is_stored_by_sample())
                .map(u64::from),
            Self::Missing { claimed } => format.frames_in(claimed, fact),
        };
        let seconds = |frames: u64| sound.format.rate.duration_of(frames as usize).0;
        match (announced, self) {
            (Some(announced), _) if announced > there => Some(format!(
                "The file was cut short: its header announces {:.3} s of sound and {:.3} s are there.",
                seconds(announced),
                seconds(there),
            )),
            // How long the rest would have been is known in bytes only.
            (_, Self::Missing { claimed }) => Some(format!(
                "The file was cut short: its header announces {claimed} bytes of sound and {held} are there."
            )),
            _ if format.ends_within_a_frame(held) => {
                Some("The file was cut short: its last sample is not complete.".to_owned())
            }
            _ => None,
        }
    }
}

/// Whether what follows an empty `data` chunk is sound rather than another
/// chunk, whose name would be of printable letters.
fn is_sound(rest: &[u8]) -> bool {
    rest.get(..4)
        .is_some_and(|id| !id.iter().all(|byte| matches!(byte, b' '..=b'~')))
}

/// The `fmt ` chunk, checked.
struct Format<'a> {
    tag: u16,
    channels: u16,
    rate: SampleRate,
    block_align: u16,
    bits: u16,
    /// What follows the fixed fields, after the length of the extension.
    extension: &'a [u8],
}

impl<'a> Format<'a> {
    fn read(chunk: &'a [u8], job: &Job) -> Result<Self, AudioError> {
        let field = |at: usize| LE.u16(chunk, at);
        // Bytes per second are left aside: encoders round them, or guess.
        let (Some(tag), Some(channels), Some(rate), Some(block_align)) =
            (field(0), field(2), LE.u32(chunk, 4), field(12))
        else {
            let reason = format!(
                "its `fmt ` chunk has {} bytes where 16 are needed",
                chunk.len()
            );
            return Err(job.malformed("WAV", &reason));
        };
        let extension = chunk.get(18..).unwrap_or_default();
        let tag = match (tag, LE.u16(extension, 6)) {
            // Six bytes of channel positions, then a GUID that begins with the tag.
            (EXTENSIBLE, Some(inner)) => inner,
            _ => tag,
        };
        let (channels, rate) = job.check_layout("WAV", channels.into(), rate)?;
        let bits = field(14).unwrap_or(0);
        Ok(Self {
            tag,
            channels,
            rate,
            block_align,
            bits,
            extension,
        })
    }

    fn decode(
        &self,
        payload: &[u8],
        n_frames: Option<u32>,
        job: &Job,
    ) -> Result<Sound, AudioError> {
        match self.tag {
            MS_ADPCM => self.decode_blocks(payload, n_frames, "MS ADPCM", job),
            IMA_ADPCM => self.decode_blocks(payload, n_frames, "IMA ADPCM", job),
            MP3 => {
                let mut sound = stream::decode_mp3(payload, job)?;
                "WAV".clone_into(&mut sound.format.container);
                Ok(sound)
            }
            _ => self.decode_samples(payload, job),
        }
    }

    /// How many frames lie in so many bytes, where that can be told; the `fact` chunk
    /// leaves out the filling of the last block.
    fn frames_in(&self, bytes: u64, fact: Option<u32>) -> Option<u64> {
        match self.tag {
            MS_ADPCM | IMA_ADPCM => Some(self.frames_in_blocks(bytes, fact)),
            MP3 => fact.map(u64::from),
            _ => Some(bytes / self.frame_bytes()?),
        }
    }

    /// How many frames lie in so many bytes of blocks. A `fact` chunk is believed where
    /// it leaves out less than a block: some writers count half the frames of stereo.
    fn frames_in_blocks(&self, bytes: u64, fact: Option<u32>) -> u64 {
        let is_ms = self.tag == MS_ADPCM;
        let frames = self.layout().frames_in(bytes, is_ms);
        let block = self.layout().frames_in(self.block_align.into(), is_ms);
        let fact = fact.map_or(frames, u64::from);
        if fact.saturating_add(block) > frames {
            fact.min(frames)
        } else {
            frames
        }
    }

    /// Whether so many bytes end before all channels have had their turn.
    fn ends_within_a_frame(&self, bytes: u64) -> bool {
        let frame = self.frame_bytes().filter(|_| self.is_stored_by_sample());
        frame.is_some_and(|frame| !bytes.is_multiple_of(frame))
    }

    fn is_stored_by_sample(&self) -> bool {
        !matches!(self.tag, MS_ADPCM | IMA_ADPCM | MP3)
    }

    /// The bytes of one sample in every channel.
    fn frame_bytes(&self) -> Option<u64> {
        let bytes = match self.tag {
            A_LAW | MU_LAW => 1,
            _ => self.bytes_per_sample() as u64,
        };
        (bytes > 0).then(|| bytes * u64::from(self.channels))
    }

    fn layout(&self) -> BlockLayout {
        BlockLayout {
            bytes: self.block_align.into(),
            channels: self.channels.into(),
        }
    }

    fn decode_samples(&self, payload: &[u8], job: &Job) -> Result<Sound, AudioError> {
        let coding = self.sample_coding(job)?;
        let mut mixer = Mixer::new(coding.full_scale(), job.max_samples(self.rate));
        mix_samples(payload, coding, self.channels.into(), &mut mixer)
            .map_err(|full| job.full(full, self.rate))?;
        let bits = match self.tag {
            0x0001 => u32::from(self.bits),
            _ => 8 * coding.bytes() as u32,
        };
        Ok(Sound::new(
            mixer,
            "WAV",
            &coding.name(),
            Some(bits),
            self.channels,
            self.rate,
        ))
    }

    /// The size of a frame decides over the number of bits, which may be that of
    /// the converter: 12 or 20 bits at the top of 2 or 3 bytes.
    fn bytes_per_sample(&self) -> usize {
        let by_bits = usize::from(self.bits).div_ceil(8);
        let by_frame = usize::from(self.block_align) / usize::from(self.channels);
        let fits = by_frame >= by_bits
            && by_frame * usize::from(self.channels) == usize::from(self.block_align);
        if fits { by_frame } else { by_bits }
    }

    /// How the samples are written, by the tag and the bytes of a sample.
    fn sample_coding(&self, job: &Job) -> Result<SampleCoding, AudioError> {
        let bytes = self.bytes_per_sample();
        let signed = |width| Ok(SampleCoding::Signed(width, LE));
        match (self.tag, bytes) {
            (0x0001, 1) => Ok(SampleCoding::Unsigned8),
            (0x0001, 2) => signed(SignedWidth::Two),
            (0x0001, 3) => signed(SignedWidth::Three),
            (0x0001, 4) => signed(SignedWidth::Four),
            (0x0003, 4) => Ok(SampleCoding::Float32(LE)),
            (0x0003, 8) => Ok(SampleCoding::Float64(LE)),
            (A_LAW, _) => Ok(SampleCoding::ALaw),
            (MU_LAW, _) => Ok(SampleCoding::MuLaw),
            (0x0001 | 0x0003, _) => {
                let reason = format!("{} bits in {bytes} bytes per sample", self.bits);
                Err(job.unsupported(format_name(self.tag), &reason))
            }
            _ => {
                let codec = format!("{} (WAV format 0x{:04X})", format_name(self.tag), self.tag);
                Err(job.unsupported(&codec, "convert the file to PCM or FLAC first"))
            }
        }
    }

    fn decode_blocks(
        &self,
        payload: &[u8],
        n_frames: Option<u32>,
        codec: &str,
        job: &Job,
    ) -> Result<Sound, AudioError> {
        let layout = self.layout();
        if !layout.holds_header(self.tag == MS_ADPCM) {
            let reason = format!(
                "blocks of {} bytes for {} channels",
                self.block_align, self.channels
            );
            return Err(job.malformed(codec, &reason));
        }
        let mut mixer = Mixer::new(32_767.0 / 32_768.0, job.max_samples(self.rate));
        let n_frames = self.frames_in_blocks(payload.len() as u64, n_frames);
        let n_frames = usize::try_from(n_frames).unwrap_or(usize::MAX);
        mixer
            .reserve(n_frames)
            .map_err(|full| job.full(full, self.rate))?;
        let done = match self.tag {
            MS_ADPCM => {
                let table = adpcm::ms_coefficients(self.extension);
                adpcm::mix_ms(payload, layout, &table, n_frames, &mut mixer)
            }
            _ => adpcm::mix_ima(payload, layout, n_frames, &mut mixer),
        };
        done.map_err(|full| job.full(full, self.rate))?;
        Ok(Sound::new(
            mixer,
            "WAV",
            codec,
            Some(4),
            self.channels,
            self.rate,
        ))
    }
}

/// What people call a format that may turn up in recordings.
fn format_name(tag: u16) -> &'static str {
    match tag {
        0x0001 => "PCM",
        0x0003 => "floating point",
        0x0005 => "VSELP",
        0x0010 => "OKI ADPCM",
        0x0014 | 0x0040 => "G.723 ADPCM",
        0x0022 => "TrueSpeech",
        0x0031 => "GSM 6.10",
        0x0042 => "G.723.1",
        0x0045 | 0x0064 => "G.726 ADPCM",
        0x0050 => "MPEG layer 1 or 2",
        0x0065 | 0x028F => "G.722 ADPCM",
        0x0092 | 0x2000 => "AC-3",
        0x00FF | 0x1600..=0x1610 => "AAC",
        0x0160..=0x0163 => "Windows Media Audio",
        0x674F..=0x6771 => "Ogg Vorbis in WAV",
        0xF1AC => "FLAC in WAV",
        _ => "unknown",
    }
}
