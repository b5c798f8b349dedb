//! Colors for levels: from near black over violet and orange to pale yellow.
//!
//! Lightness rises evenly in Oklab (B. Ottosson, 2020), so that equal steps in
//! level look equal and a print in gray keeps their order. The hue turns once
//! from blue over red to yellow.

/// The color of a level between 0 and 1; what lies outside counts as the end.
pub fn color_of(level: f32) -> [u8; 3] {
    // A level that is not a number is drawn as the lowest.
    let level = if level > 0.0 { level.min(1.0) } else { 0.0 };
    let lightness = 0.10 + 0.87 * level;
    let hue = (275.0 + 190.0 * level).to_radians();
    // Colors fade towards both ends, where few exist.
    let chroma = 0.04 + 0.155 * (std::f32::consts::PI * level.powf(0.9)).sin().max(0.0);
    oklab_to_srgb(lightness, chroma * hue.cos(), chroma * hue.sin())
}

/// The colors of 256 equal steps.
pub(super) fn steps() -> Vec<[u8; 3]> {
    (0..=255)
        .map(|step| color_of(step as f32 / 255.0))
        .collect()
}

/// The conversion as its author publishes it, clipped to what a screen shows.
fn oklab_to_srgb(lightness: f32, a: f32, b: f32) -> [u8; 3] {
    let long = (lightness + 0.396_337_78 * a + 0.215_803_76 * b).powi(3);
    let medium = (lightness - 0.105_561_346 * a - 0.063_854_17 * b).powi(3);
    let short = (lightness - 0.089_484_18 * a - 1.291_485_5 * b).powi(3);
    let linear = [
        4.076_741_7 * long - 3.307_711_6 * medium + 0.230_969_94 * short,
        -1.268_438 * long + 2.609_757_4 * medium - 0.341_319_38 * short,
        -0.004_196_086_3 * long - 0.703_418_6 * medium + 1.707_614_7 * short,
    ];
    linear.map(|channel| {
        let channel = channel.clamp(0.0, 1.0);
        let encoded = if channel <= 0.003_130_8 {
            12.92 * channel
        } else {
            1.055 * channel.powf(1.0 / 2.4) - 0.055
        };
        (encoded * 255.0).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luma([r, g, b]: [u8; 3]) -> f32 {
        0.2126 * f32::from(r) + 0.7152 * f32::from(g) + 0.0722 * f32::from(b)
    }

    #[test]
    fn louder_is_always_lighter() {
        let lumas: Vec<f32> = (0..=64).map(|i| luma(color_of(i as f32 / 64.0))).collect();
        assert!(lumas.windows(2).all(|pair| pair[0] < pair[1]), "{lumas:?}");
        assert!(lumas[0] < 10.0 && lumas[64] > 220.0, "{lumas:?}");
    }

    #[test]
    fn a_level_outside_the_range_has_the_color_of_its_end() {
        assert_eq!(color_of(-3.0), color_of(0.0));
        assert_eq!(color_of(f32::NAN), color_of(0.0));
        assert_eq!(color_of(f32::INFINITY), color_of(1.0));
    }
}
