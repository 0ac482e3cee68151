//! Images in common formats, compared with Pillow: `formats/make_fixtures.py`.
#![cfg(feature = "formats")]

use std::path::{Path, PathBuf};

use flora_core::images::{ReadError, has_extension, read};

/// Tolerance of one level: Pillow rounds half levels to even, and JPEG within TIFF uses another decoder than JPEG
/// files.
const NEARLY: [&str; 3] = ["jpeg.tif", "levels100.ppm", "levels1000.pnm"];
/// Formats that `image` does not decode.
const REFUSED: &str = "palette.tif";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats").join(name)
}

#[test]
fn every_file_has_the_pixels_of_pillow() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(fixture("")).unwrap() {
        let expected = entry.unwrap().path();
        if expected.extension().is_none_or(|extension| extension != "rgb") {
            continue;
        }
        let path = expected.with_extension("");
        assert!(has_extension(&path), "{}", path.display());
        let name = path.file_name().and_then(|name| name.to_str()).unwrap();
        let expected = std::fs::read(&expected).unwrap();
        let (head, pixels) = expected.split_at(8);
        let image = match read(&path) {
            Ok(image) => image.to_rgb8(),
            Err(error) if name == REFUSED => {
                assert!(error.to_string().contains("not support"), "{error}");
                seen += 1;
                continue;
            }
            Err(error) => {
                wrong.push(format!("{}: {error}", path.display()));
                continue;
            }
        };
        let size = [image.width().to_le_bytes(), image.height().to_le_bytes()].concat();
        assert_eq!(size, head, "{}", path.display());
        let most = image.as_raw().iter().zip(pixels).map(|(a, b)| a.abs_diff(*b)).max();
        if most > Some(u8::from(NEARLY.contains(&name))) {
            wrong.push(format!("{}: {most:?} levels apart", path.display()));
        }
        seen += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(seen, 26);
}

#[test]
fn a_picture_that_is_too_large_says_how_much_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("huge.ppm");
    std::fs::write(&path, "P6 30000 20000 255\n").unwrap();
    let error = read(&path).unwrap_err();
    assert!(matches!(error, ReadError::TooLarge { width: 30_000, height: 20_000, .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("1717 MiB") && text.contains("at most 512 MiB"), "{text}");
}
