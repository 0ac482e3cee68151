use std::{io, path::Path};

use flora_core::files::write_atomic_with;
use image::RgbImage;
use resvg::{
    tiny_skia::{Pixmap, Transform},
    usvg::Tree,
};

use super::{
    colours,
    fonts::{FAMILIES, MissingScript, reading_options},
    text::escape,
};
use crate::ReportError;

/// The most pixels of a picture: more than any figure has at a sensible scale.
const MOST_PIXELS: f64 = 2e8;

/// A figure, laid out once: files, pages and PNGs show the same picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Its description, for errors.
    pub(super) kind: &'static str,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) title: String,
    pub(super) description: String,
    /// The elements, with placeholders for colours.
    pub(super) body: String,
    pub(super) marks: usize,
    pub(super) system_fonts: bool,
    pub(super) missing: Vec<MissingScript>,
    pub(super) scale: f32,
}

impl Figure {
    /// The SVG of a separate file: with a size, a white background and fixed colours.
    pub fn svg(&self) -> String {
        let Self { width, height, .. } = self;
        let ground = format!("<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n");
        let size = format!("width=\"{width}\" height=\"{height}\" ");
        self.document("figure", &size, &ground, false)
    }

    /// The SVG to put into an HTML page. It has no size, only proportions; its text can be selected; and a page sets
    /// its colours with the CSS variables `--figure-ink`, `--figure-muted`, `--figure-grid`, `--figure-background`,
    /// `--figure-pale`, and `--figure-1` to `--figure-7` for series. `id` is the prefix of the ids of its title and
    /// description, and must be unique in the page.
    pub fn inline(&self, id: &str) -> String {
        self.document(&escape(id), "", "", true)
    }

    fn document(&self, id: &str, size: &str, ground: &str, variables: bool) -> String {
        let Self { width, height, .. } = self;
        let (title, description) = (escape(&self.title), escape(&self.description));
        let body = colours::resolve(&self.body, variables);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"figure\" {size}viewBox=\"0 0 {width} {height}\" \
             role=\"img\" aria-labelledby=\"{id}-title {id}-description\" font-family=\"{FAMILIES}\">\n\
             <title id=\"{id}-title\">{title}</title>\n\
             <desc id=\"{id}-description\">{description}</desc>\n{ground}{body}</svg>\n"
        )
    }

    /// Width and height in the units of the SVG, which are CSS pixels.
    pub fn size(&self) -> (f64, f64) {
        (self.width, self.height)
    }

    /// Suggested pixels per SVG unit in a PNG file for screens or print.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// Number of elements of the class `mark`: one for each value shown, and none in a heat map of more than 10,000
    /// values.
    pub fn marks(&self) -> usize {
        self.marks
    }

    /// The scripts of its text that no font on this machine covers.
    pub fn missing_scripts(&self) -> &[MissingScript] {
        &self.missing
    }

    /// The picture in pixels, `scale` of them for each unit of the SVG.
    ///
    /// # Errors
    /// [`ReportError::Figure`] for a scale that is not positive or gives more than 200 million pixels.
    pub fn image(&self, scale: f32) -> Result<RgbImage, ReportError> {
        let refuse = |problem: String| ReportError::Figure { figure: self.kind, problem };
        let side = |length: f64| (length * f64::from(scale)).round();
        let (width, height) = (side(self.width), side(self.height));
        if !(width >= 1.0 && height >= 1.0 && width * height <= MOST_PIXELS) {
            return Err(refuse(format!(
                "at a scale of {scale} it has {width} x {height} pixels: choose a scale with 1 to 200 million pixels"
            )));
        }
        let tree = Tree::from_str(&self.svg(), reading_options(self.system_fonts))
            .map_err(|error| refuse(format!("its SVG cannot be drawn: {error}")))?;
        let mut pixels = Pixmap::new(width as u32, height as u32)
            .ok_or_else(|| refuse(format!("{width} x {height} pixels do not fit into memory")))?;
        pixels.fill(resvg::tiny_skia::Color::WHITE);
        resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixels.as_mut());
        // The background is opaque, and so is every pixel.
        let colours = pixels.pixels().iter().flat_map(|p| [p.red(), p.green(), p.blue()]).collect();
        Ok(RgbImage::from_raw(width as u32, height as u32, colours)
            .expect("there are three colours for every pixel"))
    }

    /// The picture as a PNG file's bytes, `scale` pixels for each unit of the SVG.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    pub fn png(&self, scale: f32) -> Result<Vec<u8>, ReportError> {
        let mut bytes = Vec::new();
        super::write_png(&self.image(scale)?, &mut bytes).map_err(|error| ReportError::Figure {
            figure: self.kind,
            problem: format!("it cannot be written as PNG: {error}"),
        })?;
        Ok(bytes)
    }

    /// Writes a file, completely or not at all: SVG if the path ends in `.svg`, else PNG with `scale` pixels for each
    /// unit of the SVG. Creates missing parent folders.
    ///
    /// # Errors
    /// As [`image`](Self::image), and [`ReportError::Io`].
    pub fn save(&self, path: impl AsRef<Path>, scale: f32) -> Result<(), ReportError> {
        let path = path.as_ref();
        let svg = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg"));
        let bytes = if svg { self.svg().into_bytes() } else { self.png(scale)? };
        let write = |out: &mut dyn io::Write| out.write_all(&bytes);
        write_atomic_with(path, write).map_err(ReportError::io("write", path))
    }
}
