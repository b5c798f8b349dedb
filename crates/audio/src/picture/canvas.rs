//! A sheet of pixels that text and lines are drawn on and that becomes a PNG.

use std::convert::Infallible;

use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::{PrimitiveStyle, Rectangle};
use embedded_graphics::text::{Alignment, Baseline, Text, TextStyleBuilder};

/// An image in true color, white to begin with.
pub(super) struct Canvas {
    width: u32,
    height: u32,
    /// Three bytes a pixel, row by row from the top.
    pixels: Vec<u8>,
}

impl Canvas {
    pub(super) fn new(width: u32, height: u32) -> Self {
        Self {
            width,
            height,
            pixels: vec![255; 3 * width as usize * height as usize],
        }
    }

    pub(super) fn set(&mut self, x: i32, y: i32, color: [u8; 3]) {
        if x < 0 || y < 0 || x >= self.width as i32 || y >= self.height as i32 {
            return;
        }
        let at = 3 * (y as usize * self.width as usize + x as usize);
        self.pixels[at..at + 3].copy_from_slice(&color);
    }

    pub(super) fn fill(&mut self, corner: Point, size: Size, color: [u8; 3]) {
        let style = PrimitiveStyle::with_fill(rgb(color));
        let Ok(()) = Rectangle::new(corner, size).into_styled(style).draw(self);
    }

    /// A frame one pixel wide just outside the area.
    pub(super) fn outline(&mut self, area: Rectangle, color: [u8; 3]) {
        let style = PrimitiveStyle::with_stroke(rgb(color), 1);
        let Ok(()) = area.offset(1).into_styled(style).draw(self);
    }

    /// Writes text with its middle line at `at.y`.
    pub(super) fn text(
        &mut self,
        text: &str,
        at: Point,
        alignment: Alignment,
        font: &MonoFont<'_>,
        color: [u8; 3],
    ) {
        let placed = TextStyleBuilder::new()
            .alignment(alignment)
            .baseline(Baseline::Middle)
            .build();
        let style = MonoTextStyle::new(font, rgb(color));
        let Ok(_) = Text::with_text_style(text, at, style, placed).draw(self);
    }

    pub(super) fn into_png(self) -> Vec<u8> {
        encode(self.width, self.height, &self.pixels, png::ColorType::Rgb)
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        for Pixel(Point { x, y }, color) in pixels {
            self.set(x, y, [color.r(), color.g(), color.b()]);
        }
        Ok(())
    }
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(self.width, self.height)
    }
}

fn rgb([r, g, b]: [u8; 3]) -> Rgb888 {
    Rgb888::new(r, g, b)
}

/// Compresses pixels into a PNG; indexed ones with the palette of levels.
pub(super) fn encode(width: u32, height: u32, pixels: &[u8], color: png::ColorType) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    if color == png::ColorType::Indexed {
        encoder.set_palette(super::colormap::steps().concat());
    }
    let mut writer = encoder.write_header().expect("a vector takes all bytes");
    writer
        .write_image_data(pixels)
        .expect("the pixels fill the picture");
    writer.finish().expect("a vector takes all bytes");
    bytes
}
