//! [`Spectrogram`]: a picture of a sound as numbers, bands by frames.
//!
//! What computes one lives in [`crate::features`]; what draws one in
//! [`crate::picture`].

/// A row-major `[n_bands, n_frames]` array, as librosa lays it out: band 0 is
/// the lowest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Spectrogram {
    /// Frequency bands, the rows.
    pub n_bands: usize,
    /// Frames in time, the columns.
    pub n_frames: usize,
    values: Vec<f32>,
}

impl Spectrogram {
    /// Takes `values` as rows of `n_frames`.
    ///
    /// # Panics
    ///
    /// When `values` does not hold `n_bands · n_frames` numbers.
    pub fn new(n_bands: usize, n_frames: usize, values: Vec<f32>) -> Self {
        assert_eq!(
            values.len(),
            n_bands * n_frames,
            "{n_bands} bands of {n_frames} frames"
        );
        Self {
            n_bands,
            n_frames,
            values,
        }
    }

    /// All values, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values, to be changed in place.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Gives the values away.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// One band over time.
    pub fn row(&self, band: usize) -> &[f32] {
        &self.values[band * self.n_frames..][..self.n_frames]
    }

    /// The value of one band in one frame.
    pub fn at(&self, band: usize, frame: usize) -> f32 {
        self.row(band)[frame]
    }

    /// The smallest and the largest finite value, or `None` when there is none.
    pub fn range(&self) -> Option<(f32, f32)> {
        let finite = self.values.iter().copied().filter(|v| v.is_finite());
        finite.fold(None, |range, v| match range {
            None => Some((v, v)),
            Some((low, high)) => Some((low.min(v), high.max(v))),
        })
    }
}
