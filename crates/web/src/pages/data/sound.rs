//! A recording's sound, as WAV, and its picture.
//!
//! # What can be heard
//!
//! Only what was audited. A path must be one of the audit's, letter for letter; it is
//! not opened but leads to the hash that the audit took of the file, and that leads to
//! the places where the pipeline's store found such bytes. What is read there must
//! still have this hash. So neither `..` nor a link, and no file that was put in place
//! of a recording, leads to anything else.
//!
//! What is sent is never the file: the sound is decoded and written as WAV, which
//! every browser plays.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use axum::body::Body;
use axum::http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use biophony_audio::{
    Clip, DecodeLimits, FeatureConfig, FeatureExtractor, bare_spectrogram_png, decode_bytes,
    resample,
};
use biophony_pipeline::{ContentHash, Store};

use super::audits::Audited;
use crate::error::ApiError;
use crate::pages::query::Query;

/// Width and height of a picture, in pixels.
const PICTURE: [u32; 2] = [480, 128];

/// A recording of an audit, decoded.
pub(crate) struct Heard {
    clip: Clip,
    content: ContentHash,
}

impl Heard {
    /// Reads the recording that the address names.
    ///
    /// # Errors
    ///
    /// When the audit has no such recording, it is not where it was any more or not
    /// what it was, or it is larger than the limits allow.
    pub(crate) fn load(
        store: Option<&Store>,
        query: &Query,
        limits: &DecodeLimits,
    ) -> Result<Self, ApiError> {
        let path = query.one("path").ok_or_else(|| {
            ApiError::BadRequest("name a recording: `?path=owl/1.wav`".to_owned())
        })?;
        let unknown = || ApiError::NotFound(format!("the audit has no recording `{path}`"));
        let store = store.ok_or_else(unknown)?;
        let audited = Audited::find(store, query.one("run"))?.ok_or_else(unknown)?;
        let clips = &audited.audit().clips;
        let report = clips
            .iter()
            .find(|clip| clip.path == path)
            .ok_or_else(unknown)?;
        let measured = report.measurements.as_ref().ok_or_else(|| {
            ApiError::UnreadableAudio(format!("`{path}` could not be read when it was audited"))
        })?;
        let content: ContentHash = measured
            .file_hash
            .parse()
            .map_err(|_| ApiError::Internal(format!("the audit of `{path}` has a bad hash")))?;
        let bytes = read(store, content, limits)?.ok_or_else(|| {
            ApiError::NotFound(format!(
                "`{path}` is not where it was when it was audited, or has changed since; train \
                 again to audit it anew"
            ))
        })?;
        let clip = decode_bytes(bytes, Path::new(path), limits)?.clip;
        Ok(Self { clip, content })
    }

    /// Answers with the sound, or with the part of it that the browser asks for.
    pub(crate) fn audio(&self, headers: &HeaderMap) -> Response {
        let wav = wav(&self.clip);
        let range = headers
            .get(header::RANGE)
            .and_then(|range| range.to_str().ok());
        let mut response = match range.and_then(|range| part_of(range, wav.len())) {
            Some((first, last)) => {
                let told = format!("bytes {first}-{last}/{}", wav.len());
                let part = wav[first..=last].to_vec();
                (
                    StatusCode::PARTIAL_CONTENT,
                    [(CONTENT_RANGE, told)],
                    Body::from(part),
                )
                    .into_response()
            }
            None => Body::from(wav).into_response(),
        };
        response
            .headers_mut()
            .insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        self.labelled(response, "audio/wav")
    }

    /// Answers with the picture of the sound.
    ///
    /// # Errors
    ///
    /// When it cannot be drawn.
    pub(crate) fn picture(&self) -> Result<Response, ApiError> {
        let config = FeatureConfig::default();
        let clip = resample(&self.clip, config.sample_rate())?;
        let spectrogram = FeatureExtractor::new(&config).extract(clip.samples())?;
        let [width, height] = PICTURE;
        let png = bare_spectrogram_png(&spectrogram, width, height, None);
        Ok(self.labelled(Body::from(png).into_response(), "image/png"))
    }

    /// What is named by its content may be kept by the browser for a while.
    fn labelled(&self, mut response: Response, kind: &'static str) -> Response {
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(
            CACHE_CONTROL,
            HeaderValue::from_static("private, max-age=600"),
        );
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", self.content)) {
            headers.insert(header::ETAG, tag);
        }
        response
    }
}

/// The bytes of this content, from one of the places where the store found them.
pub(crate) fn read(
    store: &Store,
    content: ContentHash,
    limits: &DecodeLimits,
) -> Result<Option<Vec<u8>>, ApiError> {
    for source in store.upstream(content)?.sources {
        let Some(bytes) = read_file(&source.path, limits.max_bytes)? else {
            continue;
        };
        if ContentHash::of(&bytes) == content {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

/// A file's bytes; nothing if there is none.
fn read_file(path: &Path, max_bytes: u64) -> Result<Option<Vec<u8>>, ApiError> {
    // Opening a pipe would wait for its writer, perhaps for ever.
    let Some(metadata) = path.metadata().ok().filter(|metadata| metadata.is_file()) else {
        return Ok(None);
    };
    if metadata.len() > max_bytes {
        return Err(ApiError::TooLarge { max_bytes });
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(max_bytes).read_to_end(&mut bytes));
    Ok(read.ok().map(|_| bytes))
}

/// A clip as WAV, 16 bits.
fn wav(clip: &Clip) -> Vec<u8> {
    let rate = clip.rate().hertz();
    let n_bytes = u32::try_from(2 * clip.samples().len()).unwrap_or(u32::MAX - 36);
    let mut wav = Vec::with_capacity(44 + n_bytes as usize);
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(36 + n_bytes).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt ");
    wav.extend_from_slice(&16u32.to_le_bytes());
    // PCM, mono.
    wav.extend_from_slice(&[1, 0, 1, 0]);
    wav.extend_from_slice(&rate.to_le_bytes());
    wav.extend_from_slice(&(2 * rate).to_le_bytes());
    // Two bytes a frame, 16 bits a sample.
    wav.extend_from_slice(&[2, 0, 16, 0]);
    wav.extend_from_slice(b"data");
    wav.extend_from_slice(&n_bytes.to_le_bytes());
    for &sample in clip.samples() {
        let value = (sample * 32768.0).round().clamp(-32768.0, 32767.0) as i16;
        wav.extend_from_slice(&value.to_le_bytes());
    }
    wav
}

/// The first and last byte that `bytes=…` asks for; nothing where it asks for more
/// than one part, or for none that there is: then the whole is sent, as it may be.
fn part_of(range: &str, n_bytes: usize) -> Option<(usize, usize)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let end = n_bytes.checked_sub(1)?;
    let (first, last) = match (first.trim(), last.trim()) {
        ("", length) => (n_bytes.saturating_sub(length.parse().ok()?), end),
        (first, "") => (first.parse().ok()?, end),
        (first, last) => (first.parse().ok()?, last.parse::<usize>().ok()?.min(end)),
    };
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_a_part_or_everything() {
        for (range, expected) in [
            ("bytes=0-", Some((0, 99))),
            ("bytes=10-19", Some((10, 19))),
            ("bytes=90-1000", Some((90, 99))),
            ("bytes=-5", Some((95, 99))),
            ("bytes=100-", None),
            ("bytes=5-4", None),
            ("bytes=0-1,3-4", None),
            ("lines=0-1", None),
        ] {
            assert_eq!(part_of(range, 100), expected, "{range}");
        }
        assert_eq!(part_of("bytes=0-", 0), None);
    }
}
