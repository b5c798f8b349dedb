//! The codecs that can be decoded, and the names of those that cannot.

use symphonia::core::codecs::audio::well_known::*;
use symphonia::core::codecs::audio::{
    AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions,
};
use symphonia::default::codecs::{AacDecoder, FlacDecoder, MpaDecoder, VorbisDecoder};

/// A decoder for the track, or why there is none.
pub(super) fn open(parameters: &AudioCodecParameters) -> Result<Box<dyn AudioDecoder>, String> {
    let options = AudioDecoderOptions::default();
    let decoder: Result<Box<dyn AudioDecoder>, _> = match parameters.codec {
        CODEC_ID_MP3 => {
            MpaDecoder::try_new(parameters, &options).map(|decoder| Box::new(decoder) as _)
        }
        CODEC_ID_FLAC => {
            FlacDecoder::try_new(parameters, &options).map(|decoder| Box::new(decoder) as _)
        }
        CODEC_ID_AAC => {
            AacDecoder::try_new(parameters, &options).map(|decoder| Box::new(decoder) as _)
        }
        CODEC_ID_VORBIS => {
            VorbisDecoder::try_new(parameters, &options).map(|decoder| Box::new(decoder) as _)
        }
        _ => return Err("convert the file to FLAC or WAV first".to_owned()),
    };
    decoder.map_err(|error| error.to_string())
}

/// What people call a codec.
pub(super) fn name(codec: AudioCodecId) -> &'static str {
    match codec {
        CODEC_ID_MP1 => "MPEG layer 1",
        CODEC_ID_MP2 => "MPEG layer 2",
        CODEC_ID_MP3 => "MP3",
        CODEC_ID_AAC => "AAC",
        CODEC_ID_FLAC => "FLAC",
        CODEC_ID_VORBIS => "Vorbis",
        CODEC_ID_OPUS => "Opus",
        CODEC_ID_SPEEX => "Speex",
        CODEC_ID_ALAC => "Apple Lossless",
        CODEC_ID_AC3 => "AC-3",
        CODEC_ID_EAC3 => "E-AC-3",
        _ => "unknown",
    }
}
