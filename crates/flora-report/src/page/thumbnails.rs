//! Small pictures inside a page.

use std::{io::Cursor, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use flora_core::images;
use image::{DynamicImage, ImageFormat, imageops::FilterType};

use crate::folder::read;

/// Twice the size at which they are shown, for sharp screens.
const SIDE: u32 = 144;

/// The image as a `data:` URI of a small picture; `None` where there is none, or no image.
pub(super) fn thumbnail(path: &Path) -> Option<String> {
    // A list of predictions can name anything, such as a pipe.
    read::open_limited(path).ok()?;
    let image = images::read(path).ok()?;
    let small = match image.width().max(image.height()) > SIDE {
        true => image.resize(SIDE, SIDE, FilterType::Triangle),
        false => image,
    };
    // Photographs are a fraction as JPEG; what is transparent stays so as PNG.
    let (format, kind, picture) = match small.color().has_alpha() {
        true => (ImageFormat::Png, "png", DynamicImage::from(small.to_rgba8())),
        false => (ImageFormat::Jpeg, "jpeg", DynamicImage::from(small.to_rgb8())),
    };
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).ok()?;
    Some(format!("data:image/{kind};base64,{}", STANDARD.encode(bytes.into_inner())))
}

#[cfg(test)]
mod tests {
    use image::{RgbImage, RgbaImage};

    use super::*;

    #[test]
    fn pictures_are_small_and_what_is_no_picture_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        RgbImage::new(900, 300).save(file("wide.png")).unwrap();
        RgbaImage::new(10, 10).save(file("small.png")).unwrap();
        std::fs::write(file("text.png"), "<svg onload=alert(1)>").unwrap();
        let wide = thumbnail(&file("wide.png")).unwrap();
        let data = wide.strip_prefix("data:image/jpeg;base64,").unwrap();
        let picture = image::load_from_memory(&STANDARD.decode(data).unwrap()).unwrap();
        assert_eq!((picture.width(), picture.height()), (144, 48));
        assert!(thumbnail(&file("small.png")).unwrap().starts_with("data:image/png;base64,"));
        assert_eq!(thumbnail(&file("text.png")), None);
        assert_eq!(thumbnail(&file("absent.png")), None);
    }
}
