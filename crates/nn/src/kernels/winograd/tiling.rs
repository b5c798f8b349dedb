//! How a convolution's pixels are cut into tiles, and what frequencies are made of.

/// How large the tiles of a convolution are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tiling {
    /// 2×2 pixels.
    Two,
    /// 3×3 pixels.
    Three,
    /// 4×4 pixels.
    Four,
}

impl Tiling {
    /// The one that so many pixels are best cut into: larger tiles take fewer products, unless
    /// they stand far out of the image.
    pub(crate) fn of(rows: usize, columns: usize) -> Self {
        // The weights have to be transformed as well, which counts as a tile more.
        let cost = |tiling: &Self| tiling.frequencies() * (tiling.n_tiles(rows, columns) + 1);
        let all = [Self::Two, Self::Three, Self::Four];
        all.into_iter().min_by_key(cost).unwrap_or(Self::Two)
    }

    /// Rows and columns of a tile.
    pub(crate) const fn side(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Three => 3,
            Self::Four => 4,
        }
    }

    /// Rows and columns that a tile sees.
    pub(super) const fn seen(self) -> usize {
        self.side() + 2
    }

    /// Values that a transformed tile has.
    pub(crate) const fn frequencies(self) -> usize {
        self.seen() * self.seen()
    }

    /// How many tiles so many pixels fall into.
    pub(crate) fn n_tiles(self, rows: usize, columns: usize) -> usize {
        rows.div_ceil(self.side()) * columns.div_ceil(self.side())
    }

    /// The rows or columns that so many pixels in a line see, in whole tiles.
    pub(crate) fn seen_by(self, pixels: usize) -> usize {
        pixels.next_multiple_of(self.side()) + 2
    }

    /// What frequencies are made of three weights in a line.
    fn filters(self) -> &'static [[f32; 3]] {
        const NEAR: f32 = std::f32::consts::SQRT_2 / 3.0;
        const FAR: f32 = std::f32::consts::SQRT_2 / 6.0;
        match self {
            Self::Two => &[
                [1.0, 0.0, 0.0],
                [0.5, 0.5, 0.5],
                [0.5, -0.5, 0.5],
                [0.0, 0.0, 1.0],
            ],
            Self::Three => &[
                [0.5, 0.0, 0.0],
                [-0.5, -0.5, -0.5],
                [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
                [1.0 / 6.0, 1.0 / 3.0, 2.0 / 3.0],
                [0.0, 0.0, 1.0],
            ],
            Self::Four => &[
                [1.0, 0.0, 0.0],
                [-2.0 / 3.0, -NEAR, -1.0 / 3.0],
                [-2.0 / 3.0, NEAR, -1.0 / 3.0],
                [1.0 / 6.0, FAR, 1.0 / 3.0],
                [1.0 / 6.0, -FAR, 1.0 / 3.0],
                [0.0, 0.0, 1.0],
            ],
        }
    }

    fn share(self, tap: usize, frequency: usize) -> f32 {
        let [down, across] = [frequency / self.seen(), frequency % self.seen()];
        self.filters()[down][tap / 3] * self.filters()[across][tap % 3]
    }

    /// The frequencies that the gradient of one of the nine taps is made of, and their shares.
    pub(crate) fn shares_of_tap(self, tap: usize) -> impl Iterator<Item = (usize, f32)> {
        let frequencies = 0..self.frequencies();
        let shares = frequencies.map(move |frequency| (frequency, self.share(tap, frequency)));
        shares.filter(|(_, share)| *share != 0.0)
    }

    /// The taps that a frequency is made of, and their shares.
    pub(super) fn taps_of_frequency(self, frequency: usize) -> impl Iterator<Item = (usize, f32)> {
        let shares = (0..9).map(move |tap| (tap, self.share(tap, frequency)));
        shares.filter(|(_, share)| *share != 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_as_large_as_pays() {
        assert_eq!(Tiling::of(48, 44), Tiling::Four);
        assert_eq!(Tiling::of(6, 5), Tiling::Three);
        assert_eq!(Tiling::of(2, 2), Tiling::Two);
    }
}
