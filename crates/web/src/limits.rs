//! What one request may cost, and all of them together.

use std::time::Duration;

use biophony_audio::{DecodeLimits, Seconds};
use serde::Serialize;
use utoipa::ToSchema;

/// Clips of calls are seconds long; this much is decoded in a tenth of a second.
const QUICK_SECONDS: f64 = 20.0;
const QUICK_SAMPLES: usize = 1 << 20;

/// What one request may cost, and all of them together.
///
/// Memory is bounded by these numbers alone: `uploads_bytes` for what is being
/// received, and for each worker one sound of `max_samples`, what is made of it (at the
/// model's rate, as pictures, in the network) and a copy of a file of a few megabytes.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest file.
    pub max_bytes: u64,
    /// The longest sound.
    pub max_duration: Seconds,
    /// The most samples of a decoded sound: at high rates less time.
    pub max_samples: usize,
    /// The most files in one request.
    pub max_files: usize,
    /// Files that are classified at the same time; 0 for one per thread of rayon's.
    pub workers: usize,
    /// Files that may wait to be classified; half of them of one client.
    pub queue: usize,
    /// The bytes that all uploads may hold in memory together; room for two of
    /// `max_bytes` at least.
    pub uploads_bytes: u64,
    /// How long an upload may wait for its share of that.
    pub patience: Duration,
    /// How long an upload may send nothing.
    pub upload_idle: Duration,
    /// How long an upload may take.
    pub upload_total: Duration,
    /// How many may listen live at the same time.
    pub live_sessions: usize,
    /// The sound that a live session may have waiting.
    pub live_backlog: Seconds,
    /// Connections that are served at the same time.
    pub connections: usize,
    /// How long what is under way may take when the server stops.
    pub grace: Duration,
}

impl Default for Limits {
    /// For a laptop that serves a room: 64 MB and 10 minutes a file.
    fn default() -> Self {
        Self {
            max_bytes: 64_000_000,
            max_duration: Seconds(600.0),
            // 10 minutes at 48 kHz and a little more: 128 MiB.
            max_samples: 1 << 25,
            max_files: 64,
            workers: 0,
            queue: 512,
            uploads_bytes: 256_000_000,
            patience: Duration::from_secs(50),
            upload_idle: Duration::from_secs(10),
            upload_total: Duration::from_secs(180),
            live_sessions: 16,
            live_backlog: Seconds(10.0),
            connections: 500,
            grace: Duration::from_secs(10),
        }
    }
}

/// What clients are told, so that they need not send what is not taken.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Taken {
    /// The largest file.
    pub(crate) max_bytes: u64,
    /// The longest sound.
    pub(crate) max_seconds: f64,
    /// The most samples of a decoded channel: at high rates less time.
    pub(crate) max_samples: u64,
    /// The most files of one request.
    pub(crate) max_files: u32,
}

impl Limits {
    /// What clients are told.
    pub(crate) fn told(&self) -> Taken {
        Taken {
            max_bytes: self.max_bytes,
            max_seconds: self.max_duration.0,
            max_samples: self.max_samples as u64,
            max_files: u32::try_from(self.max_files).unwrap_or(u32::MAX),
        }
    }

    /// The part of them that decoding knows.
    pub(crate) fn decode(&self) -> DecodeLimits {
        DecodeLimits {
            max_bytes: self.max_bytes,
            max_duration: self.max_duration,
            max_samples: self.max_samples,
            ..DecodeLimits::default()
        }
    }

    /// What a sound may cost that is decoded and classified within a fraction of a
    /// second.
    pub(crate) fn decode_quickly(&self) -> DecodeLimits {
        DecodeLimits {
            max_duration: Seconds(self.max_duration.0.min(QUICK_SECONDS)),
            max_samples: self.max_samples.min(QUICK_SAMPLES),
            max_channels: 2,
            ..self.decode()
        }
    }

    /// How many files are classified at the same time.
    pub(crate) fn n_workers(&self) -> usize {
        match self.workers {
            0 => rayon::current_num_threads(),
            workers => workers,
        }
    }
}
