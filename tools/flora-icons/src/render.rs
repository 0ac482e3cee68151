//! SVG to pixels.

use resvg::tiny_skia::{Pixmap, Rect, Transform};
use resvg::usvg::{Options, Tree};

/// Width and height of every image in pixels.
pub(crate) const SIZE: u32 = 64;

/// `SIZE * SIZE` pixels of straight (not premultiplied) RGBA, row by row.
pub(crate) type Rgba = Vec<[u8; 4]>;

/// Draws an SVG document as large as it fits, centred, on a transparent ground.
///
/// # Errors
///
/// What the SVG parser says about a document that is none.
pub(crate) fn render(svg: &str) -> Result<Rgba, String> {
    let tree = parse(svg)?;
    let page = Rect::from_xywh(0.0, 0.0, tree.size().width(), tree.size().height());
    draw(&tree, page.ok_or("the page has no area")?)
}

/// As [`render()`], but as large as what is drawn fits rather than the page around it; the page of most clip art is a sheet
/// of A4.
///
/// # Errors
///
/// What the SVG parser says about a document that is none, and that nothing is drawn.
pub(crate) fn render_content(svg: &str) -> Result<Rgba, String> {
    let tree = parse(svg)?;
    let content = tree.root().abs_layer_bounding_box().to_rect();
    if tree.root().children().is_empty() {
        return Err("nothing is drawn".to_owned());
    }
    draw(&tree, content)
}

fn parse(svg: &str) -> Result<Tree, String> {
    Tree::from_str(svg, &Options::default()).map_err(|error| error.to_string())
}

/// Draws the part `view` of the tree, centred.
fn draw(tree: &Tree, view: Rect) -> Result<Rgba, String> {
    let side = SIZE as f32;
    let scale = (side / view.width()).min(side / view.height());
    let transform = Transform::from_translate(-view.x(), -view.y())
        .post_scale(scale, scale)
        .post_translate((side - view.width() * scale) / 2.0, (side - view.height() * scale) / 2.0);
    let mut pixmap = Pixmap::new(SIZE, SIZE).ok_or("no memory for the image")?;
    resvg::render(tree, transform, &mut pixmap.as_mut());
    Ok(pixmap
        .pixels()
        .iter()
        .map(|pixel| {
            let c = pixel.demultiply();
            [c.red(), c.green(), c.blue(), c.alpha()]
        })
        .collect())
}

/// The share of the image that is covered, 0..1.
pub(crate) fn coverage(image: &[[u8; 4]]) -> f64 {
    image.iter().map(|pixel| f64::from(pixel[3])).sum::<f64>() / (255.0 * image.len().max(1) as f64)
}

/// Whether all that can be seen is black, so that another colour may take its place.
pub(crate) fn is_black(image: &[[u8; 4]]) -> bool {
    image.iter().all(|&[red, green, blue, alpha]| alpha == 0 || (red, green, blue) == (0, 0, 0))
}

/// Lays the image on a white ground.
pub(crate) fn on_white(image: &[[u8; 4]]) -> Vec<[u8; 3]> {
    image
        .iter()
        .map(|&[red, green, blue, alpha]| {
            let alpha = u32::from(alpha);
            // Both factors are at most 255, so that the rounded quotient fits a byte.
            [red, green, blue]
                .map(|c| ((u32::from(c) * alpha + 255 * (255 - alpha) + 127) / 255) as u8)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(image: &[[u8; 4]], x: u32, y: u32) -> [u8; 4] {
        image[(y * SIZE + x) as usize]
    }

    #[test]
    fn a_wide_drawing_is_centred_and_keeps_its_shape() {
        let svg = r##"<svg xmlns="http://www.w3.org/2000/svg" width="20" height="10" viewBox="0 0 20 10"><path fill="#f00" d="M0 0h20v10H0z"/></svg>"##;
        let image = render(svg).expect("an image");
        assert_eq!(image.len(), (SIZE * SIZE) as usize);
        assert_eq!(at(&image, 32, 8), [0, 0, 0, 0]);
        assert_eq!(at(&image, 0, 32), [255, 0, 0, 255]);
        assert_eq!(at(&image, 63, 32), [255, 0, 0, 255]);
        assert!((coverage(&image) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn colours_are_straight_and_current_colour_is_black() {
        let svg = r#"<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1" viewBox="0 0 1 1"><path fill="currentColor" fill-opacity="0.5" d="M0 0h1v1H0z"/></svg>"#;
        let image = render(svg).expect("an image");
        let [red, green, blue, alpha] = at(&image, 5, 5);
        assert_eq!([red, green, blue], [0, 0, 0]);
        assert!(is_black(&image));
        assert!(!is_black(&[[0, 0, 0, 255], [1, 0, 0, 3]]));
        assert!((127..=128).contains(&alpha));
        assert_eq!(
            on_white(&[[0, 0, 0, 0], [10, 20, 30, 255], [255, 0, 0, 128]]),
            [[255; 3], [10, 20, 30], [255, 127, 127]]
        );
    }

    #[test]
    fn the_content_of_a_large_page_fills_the_image() {
        let svg = r##"<svg xmlns="http://www.w3.org/2000/svg" width="100" height="200"><path fill="#00f" d="M60 150h10v10H60z"/></svg>"##;
        assert!(coverage(&render(svg).expect("an image")) < 0.01);
        assert!(coverage(&render_content(svg).expect("an image")) > 0.99);
        assert!(
            render_content(r#"<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>"#)
                .is_err()
        );
    }

    #[test]
    fn what_is_no_svg_is_an_error() {
        assert!(render("<html/>").is_err());
    }
}
