//! Spectrograms as pictures: one with axes that a person can read, and bare
//! ones for reports.
//!
//! Colors live in `picture/colormap.rs`, pixels and text in
//! `picture/canvas.rs`; what a spectrogram is in [`crate::spectrogram`].

mod canvas;
mod colormap;

pub use colormap::color_of;

use embedded_graphics::geometry::{Point, Size};
use embedded_graphics::mono_font::iso_8859_1::{FONT_8X13, FONT_9X18, FONT_10X20};
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::Alignment;

use crate::decibel::{Reference, power_to_db};
use crate::features::{FeatureConfig, FeatureScale};
use crate::spectrogram::Spectrogram;
use canvas::Canvas;

const WIDTH: u32 = 1200;
const HEIGHT: u32 = 640;
/// Where the spectrogram itself lies.
const PLOT: Rectangle = Rectangle::new(Point::new(92, 76), Size::new(962, 486));
/// Where the bar of colors lies.
const BAR: Rectangle = Rectangle::new(Point::new(1080, 76), Size::new(20, 486));

const INK: [u8; 3] = [38, 38, 46];
const PALE_INK: [u8; 3] = [112, 112, 122];

/// Draws a mel spectrogram with its time axis, its frequencies, a bar of colors
/// in decibels, a title, and the settings that made it; as the bytes of a PNG.
///
/// Powers are turned into decibels below the loudest for the picture.
pub fn spectrogram_png(spectrogram: &Spectrogram, config: &FeatureConfig, title: &str) -> Vec<u8> {
    let db = in_decibels(spectrogram, config);
    let range = readable_range(&db);
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    draw_levels(&mut canvas, &db, range);
    draw_time_axis(&mut canvas, db.n_frames, config);
    draw_frequency_axis(&mut canvas, db.n_bands, config);
    draw_bar(&mut canvas, range);
    draw_title(&mut canvas, title, config);
    canvas.into_png()
}

/// Draws nothing but the levels, lowest band at the bottom, in a picture of
/// this size; as the bytes of a PNG with 256 colors.
///
/// `range` gives the levels of the darkest and the lightest color; without it
/// the spectrogram's own smallest and largest value.
///
/// # Panics
///
/// When the width or the height is zero.
pub fn bare_spectrogram_png(
    spectrogram: &Spectrogram,
    width: u32,
    height: u32,
    range: Option<(f32, f32)>,
) -> Vec<u8> {
    assert!(width > 0 && height > 0, "a picture of {width} x {height}");
    let range = range.unwrap_or_else(|| readable_range(spectrogram));
    let columns = Cells::new(spectrogram.n_frames, width);
    let rows = Cells::new(spectrogram.n_bands, height);
    let mut pixels = Vec::with_capacity(width as usize * height as usize);
    for y in (0..height).rev() {
        for x in 0..width {
            let level = share(level_at(spectrogram, rows.of(y), columns.of(x)), range);
            pixels.push((level * 255.0).round() as u8);
        }
    }
    canvas::encode(width, height, &pixels, png::ColorType::Indexed)
}

fn in_decibels(spectrogram: &Spectrogram, config: &FeatureConfig) -> Spectrogram {
    let mut db = spectrogram.clone();
    if let FeatureScale::Power = config.scale() {
        let amin = f32::MIN_POSITIVE;
        power_to_db(db.values_mut(), Reference::Max, amin, Some(80.0))
            .expect("these arguments are valid");
    }
    db
}

/// The levels of the darkest and the lightest color: never less than 1 dB
/// apart, so that silence is drawn dark and not stretched.
fn readable_range(db: &Spectrogram) -> (f32, f32) {
    let (low, high) = db.range().unwrap_or((-80.0, 0.0));
    if high - low < 1.0 {
        (low, low + 1.0)
    } else {
        (low, high)
    }
}

/// Where a level lies in the range, from 0 to 1.
fn share(level: f32, (low, high): (f32, f32)) -> f32 {
    ((level - low) / (high - low)).clamp(0.0, 1.0)
}

/// How pixels along one axis map to bands or frames.
#[derive(Clone, Copy)]
struct Cells {
    n_cells: usize,
    per_pixel: f32,
}

impl Cells {
    fn new(n_cells: usize, n_pixels: u32) -> Self {
        Self {
            n_cells,
            per_pixel: n_cells as f32 / n_pixels as f32,
        }
    }

    /// The first and the last cell under a pixel, and how much of the last:
    /// two neighbors to blend where cells are larger than pixels, all cells
    /// under the pixel where they are smaller.
    fn of(&self, pixel: u32) -> (usize, usize, f32) {
        let last_cell = self.n_cells.saturating_sub(1);
        if self.per_pixel >= 1.0 {
            let first = (pixel as f32 * self.per_pixel) as usize;
            let until = ((pixel + 1) as f32 * self.per_pixel) as usize;
            let last = until.saturating_sub(1).max(first);
            return (first.min(last_cell), last.min(last_cell), 1.0);
        }
        let place = ((pixel as f32 + 0.5) * self.per_pixel - 0.5).max(0.0);
        let first = (place as usize).min(last_cell);
        (first, (first + 1).min(last_cell), place - first as f32)
    }
}

/// The level under a pixel: blended between cells, or the loudest of many, so
/// that a short call is not averaged away in a long recording.
fn level_at(db: &Spectrogram, rows: (usize, usize, f32), columns: (usize, usize, f32)) -> f32 {
    if db.n_frames == 0 || db.n_bands == 0 {
        return f32::NAN;
    }
    let along = |row: usize| {
        let values = &db.row(row)[columns.0..=columns.1];
        reduce(values.iter().copied(), columns)
    };
    reduce((rows.0..=rows.1).map(along), rows)
}

fn reduce(mut values: impl Iterator<Item = f32>, (first, last, part): (usize, usize, f32)) -> f32 {
    let head = values.next().unwrap_or(f32::NAN);
    if part < 1.0 && last == first + 1 {
        let next = values.next().unwrap_or(head);
        return head + (next - head) * part;
    }
    values.fold(head, f32::max)
}

fn draw_levels(canvas: &mut Canvas, db: &Spectrogram, range: (f32, f32)) {
    let (corner, size) = (PLOT.top_left, PLOT.size);
    let colors = colormap::steps();
    let columns = Cells::new(db.n_frames, size.width);
    let rows = Cells::new(db.n_bands, size.height);
    for y in 0..size.height {
        let row = rows.of(size.height - 1 - y);
        for x in 0..size.width {
            let level = level_at(db, row, columns.of(x));
            let color = colors[(share(level, range) * 255.0).round() as usize];
            canvas.set(corner.x + x as i32, corner.y + y as i32, color);
        }
    }
    canvas.outline(PLOT, INK);
}

fn draw_time_axis(canvas: &mut Canvas, n_frames: usize, config: &FeatureConfig) {
    let (left, width) = (PLOT.top_left.x, PLOT.size.width as f64);
    let bottom = PLOT.top_left.y + PLOT.size.height as i32;
    let hop_s = config.hop_length() as f64 / f64::from(config.sample_rate().hertz());
    // A frame is drawn around the time of its center.
    let center = if config.center() {
        0.0
    } else {
        config.n_fft() as f64 / 2.0
    };
    let first_s = (center / config.hop_length() as f64 - 0.5) * hop_s;
    let last_s = first_s + n_frames as f64 * hop_s;
    let step = round_step((last_s - first_s) / 10.0);
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let mut tick = (first_s / step).ceil().max(0.0);
    while tick * step <= last_s {
        let x = left + ((tick * step - first_s) / (last_s - first_s) * width) as i32;
        canvas.fill(Point::new(x, bottom + 1), Size::new(1, 6), INK);
        let label = format!("{:.decimals$}", tick * step);
        let at = Point::new(x, bottom + 19);
        canvas.text(&label, at, Alignment::Center, &FONT_9X18, INK);
        tick += 1.0;
    }
    let at = Point::new(left + PLOT.size.width as i32 / 2, bottom + 47);
    canvas.text("time (s)", at, Alignment::Center, &FONT_9X18, INK);
}

/// The round number (1, 2 or 5 times a power of ten) next above `least`.
fn round_step(least: f64) -> f64 {
    let decade = 10.0_f64.powf(least.max(1e-6).log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|step| step * decade);
    steps
        .into_iter()
        .find(|&step| step >= least)
        .unwrap_or(10.0 * decade)
}

/// Pixels between two labels of frequencies at least.
const LABEL_HEIGHT: i32 = 24;

fn draw_frequency_axis(canvas: &mut Canvas, n_bands: usize, config: &FeatureConfig) {
    let height = PLOT.size.height as f64;
    let bottom = PLOT.top_left.y + PLOT.size.height as i32;
    let mel = |hertz: f64| config.mel_scale().from_hertz(hertz);
    let (low, high) = (mel(config.fmin().into()), mel(config.fmax().into()));
    let mut taken: Vec<i32> = Vec::new();
    for hertz in round_frequencies() {
        // Band `m` peaks at `(m + 1) / (n_bands + 1)` of the way.
        let band = (mel(hertz) - low) / (high - low) * (n_bands + 1) as f64 - 1.0;
        let up = (band + 0.5) / n_bands as f64;
        let y = bottom - 1 - (up * (height - 1.0)).round() as i32;
        let crowded = taken.iter().any(|other| (other - y).abs() < LABEL_HEIGHT);
        if !(0.0..=1.0).contains(&up) || crowded {
            continue;
        }
        taken.push(y);
        let left = PLOT.top_left.x;
        canvas.fill(Point::new(left - 7, y), Size::new(6, 1), INK);
        let at = Point::new(left - 11, y);
        canvas.text(&hertz_label(hertz), at, Alignment::Right, &FONT_9X18, INK);
    }
    let at = Point::new(PLOT.top_left.x - 11, PLOT.top_left.y - 18);
    canvas.text("Hz (mel)", at, Alignment::Right, &FONT_8X13, PALE_INK);
}

/// Frequencies worth a label, the most welcome first: 1, 2 and 5 of each
/// decade, then those between.
fn round_frequencies() -> impl Iterator<Item = f64> {
    let decades = [1_000.0, 10_000.0, 100.0, 100_000.0, 10.0, 1.0];
    let digits = [1.0, 5.0, 2.0, 3.0, 4.0, 6.0, 8.0];
    let digit = move |digit: f64| decades.into_iter().map(move |decade| digit * decade);
    digits.into_iter().flat_map(digit)
}

fn hertz_label(hertz: f64) -> String {
    if hertz < 1000.0 {
        format!("{hertz}")
    } else {
        format!("{}k", hertz / 1000.0)
    }
}

fn draw_bar(canvas: &mut Canvas, (low, high): (f32, f32)) {
    let (corner, size) = (BAR.top_left, BAR.size);
    for y in 0..size.height {
        let level = 1.0 - y as f32 / (size.height - 1) as f32;
        let at = Point::new(corner.x, corner.y + y as i32);
        canvas.fill(at, Size::new(size.width, 1), color_of(level));
    }
    canvas.outline(BAR, INK);
    let step = round_step(f64::from(high - low) / 9.0);
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let mut tick = (f64::from(low) / step).ceil();
    while tick * step <= f64::from(high) {
        let up = f64::from(share((tick * step) as f32, (low, high)));
        let y = corner.y + ((1.0 - up) * f64::from(size.height - 1)).round() as i32;
        let x = corner.x + size.width as i32;
        canvas.fill(Point::new(x + 1, y), Size::new(6, 1), INK);
        // Adding zero turns a negative zero into a positive one.
        let label = format!("{:.decimals$}", tick * step + 0.0);
        let at = Point::new(x + 12, y);
        canvas.text(&label, at, Alignment::Left, &FONT_9X18, INK);
        tick += 1.0;
    }
    let at = Point::new(corner.x + size.width as i32 / 2, corner.y - 18);
    canvas.text("dB", at, Alignment::Center, &FONT_8X13, PALE_INK);
}

fn draw_title(canvas: &mut Canvas, title: &str, config: &FeatureConfig) {
    let fits = PLOT.size.width as usize / 10;
    let title: String = if title.chars().count() > fits {
        title.chars().take(fits - 3).chain("...".chars()).collect()
    } else {
        title.to_owned()
    };
    let left = PLOT.top_left.x;
    let at = Point::new(left, 26);
    canvas.text(&title, at, Alignment::Left, &FONT_10X20, INK);
    let facts = format!(
        "{} mel bands \u{b7} n_fft {} \u{b7} hop {} \u{b7} {} Hz",
        config.n_mels(),
        config.n_fft(),
        config.hop_length(),
        config.sample_rate().hertz(),
    );
    let at = Point::new(left, 50);
    canvas.text(&facts, at, Alignment::Left, &FONT_8X13, PALE_INK);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::{FeatureExtractor, FeatureSettings};

    /// The size and the pixels of a picture, decoded again.
    fn decoded(bytes: &[u8]) -> (u32, u32, Vec<u8>) {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().expect("a picture");
        let mut pixels = vec![0; reader.output_buffer_size().expect("a small picture")];
        let info = reader.next_frame(&mut pixels).expect("its pixels");
        pixels.truncate(info.buffer_size());
        (info.width, info.height, pixels)
    }

    fn pixel(width: u32, pixels: &[u8], x: u32, y: u32) -> [u8; 3] {
        let at = 3 * (y * width + x) as usize;
        [pixels[at], pixels[at + 1], pixels[at + 2]]
    }

    #[test]
    fn a_bare_picture_has_the_lowest_band_at_the_bottom() {
        let spectrogram = Spectrogram::new(2, 2, vec![0.0, 1.0, 2.0, 4.0]);
        let (width, height, pixels) = decoded(&bare_spectrogram_png(&spectrogram, 2, 2, None));
        assert_eq!((width, height), (2, 2));
        let at = |x, y| pixel(width, &pixels, x, y);
        assert_eq!(at(0, 1), color_of(0.0));
        assert_eq!(at(1, 0), color_of(1.0));
        assert_eq!(at(0, 0), color_of(128.0 / 255.0));
    }

    #[test]
    fn one_loud_frame_of_many_is_still_seen() {
        let mut values = vec![0.0; 10_000];
        values[5_003] = 1.0;
        let spectrogram = Spectrogram::new(1, 10_000, values);
        let (width, _, pixels) = decoded(&bare_spectrogram_png(&spectrogram, 100, 1, None));
        assert_eq!(pixel(width, &pixels, 50, 0), color_of(1.0));
    }

    #[test]
    fn a_tone_is_drawn_beside_its_frequency() {
        let settings = FeatureSettings {
            n_fft: 4096,
            ..FeatureSettings::default()
        };
        let config = FeatureConfig::new(settings).expect("valid");
        let tone: Vec<f32> = (0..22_050)
            .map(|i| (2.0 * std::f32::consts::PI * 2000.0 * i as f32 / 22_050.0).sin())
            .collect();
        let features = FeatureExtractor::new(&config)
            .extract(&tone)
            .expect("valid");
        let (width, height, pixels) = decoded(&spectrogram_png(&features, &config, "a tone"));
        assert_eq!((width, height), (WIDTH, HEIGHT));
        let column = (PLOT.top_left.x + 400) as u32;
        let luma = |&y: &i32| {
            let color = pixel(width, &pixels, column, y as u32);
            color.iter().map(|&channel| u32::from(channel)).sum::<u32>()
        };
        let rows = PLOT.top_left.y..PLOT.top_left.y + PLOT.size.height as i32;
        let brightest = rows.max_by_key(luma).expect("rows");
        let mel = |hertz: f64| config.mel_scale().from_hertz(hertz);
        let (low, high) = (mel(50.0), mel(11_025.0));
        let up = (mel(2000.0) - low) / (high - low);
        let expected = PLOT.top_left.y as f64 + (1.0 - up) * PLOT.size.height as f64;
        assert!(
            (f64::from(brightest) - expected).abs() < 9.0,
            "{brightest} for {expected}"
        );
    }

    #[test]
    fn silence_powers_and_strange_titles_are_drawn_all_the_same() {
        let power = FeatureSettings {
            scale: FeatureScale::Power,
            ..FeatureSettings::default()
        };
        for settings in [power, FeatureSettings::default()] {
            let config = FeatureConfig::new(settings).expect("valid");
            let silence = FeatureExtractor::new(&config)
                .extract(&[0.0; 10])
                .expect("valid");
            let title = "\u{1f426} ".repeat(200);
            let (width, _, pixels) = decoded(&spectrogram_png(&silence, &config, &title));
            assert_eq!(pixel(width, &pixels, 500, 300), color_of(0.0));
        }
    }

    #[test]
    fn steps_between_ticks_are_round() {
        for (least, step) in [
            (0.11, 0.2),
            (0.2, 0.2),
            (3.0, 5.0),
            (7.0, 10.0),
            (0.0, 1e-6),
        ] {
            assert!((round_step(least) / step - 1.0).abs() < 1e-9, "{least}");
        }
    }
}
