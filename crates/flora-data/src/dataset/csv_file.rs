//! Tables with a header, whose rows name an image and its class, or contain its pixels.

use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Trim};
use flora_core::paths::shortest_endings;

use super::description::Description;
use super::layout::{CsvLayout, PixelColumn};
use super::packed::{Channels, Packed};
use super::table::{self, Table};
use super::{Built, Source};
use crate::Error;
use crate::csv_lines::CsvLines;

/// Far above any image that is written in decimal.
const MOST_SIDE: u32 = 4096;

/// Reads the tables of a layout; every image must exist.
pub(super) fn build(
    description: &Description,
    layout: &CsvLayout,
    root: &Path,
) -> Result<Built, Error> {
    let lists = table::lists(description, &layout.train, &layout.test, &layout.files)?;
    check(description, layout)?;
    let splits = table::split_values(description, &layout.split, &layout.files)?;
    let mut table = Table::new(description, root, layout.first_label, "line")?;
    let mut bytes = Vec::new();
    for (split, name) in lists {
        let file = table.next_list(name)?;
        let damaged = |error| damaged(&file, error);
        let mut reader = ReaderBuilder::new()
            .delimiter(layout.separator as u8)
            .trim(Trim::Headers)
            .from_path(&file)
            .map_err(damaged)?;
        let header = reader.headers().map_err(damaged)?.clone();
        let column = |name: &str| column(&file, &header, name);
        let fill = |key: &str, text: &str| table::parse(description, key, text, column);
        let image = layout.image.as_ref().map(|image| fill("image", image)).transpose()?;
        let label = fill("label", &layout.label)?;
        let domain = layout.domain.as_ref().map(|text| fill("domain", text)).transpose()?;
        let at = |key: &str, name: &str| {
            column(name).map_err(|problem| {
                description.field(key, problem, "name one of the columns of the header")
            })
        };
        let pixels = match &layout.pixels {
            Some(pixels) => Some((at("layout.pixels.column", &pixels.column)?, pixels)),
            None => None,
        };
        let split_column = match &layout.split {
            Some(split) => Some(at("layout.split.column", &split.column)?),
            None => None,
        };

        let lines = CsvLines::after_header(&reader, &header);
        let mut record = StringRecord::new();
        while reader.read_record(&mut record).map_err(damaged)? {
            let number = lines.of(&reader, &record);
            let field = |column: &usize| match &record[*column] {
                "" => Err(format!("the column {:?} is empty", &header[*column])),
                value => Ok(value.into()),
            };
            let split = match split_column {
                None => split,
                // Tables may have further rows, often without labels.
                Some(column) => match splits.get(record[column].trim()) {
                    None => {
                        table.pass_over();
                        continue;
                    }
                    split => split.copied(),
                },
            };
            let wrong = |problem| table.wrong(number, problem, "correct the row or remove it");
            let label = label.fill(field).map_err(wrong)?;
            let domain =
                domain.as_ref().map(|domain| domain.fill(field)).transpose().map_err(wrong)?;
            if let Some((column, pixels)) = pixels {
                read_pixels(&record[column], pixels, &mut bytes).map_err(wrong)?;
            } else if let Some(image) = &image {
                let image = image.fill(field).map_err(wrong)?;
                table.add_image(number, &image)?;
            }
            table.add_of(number, &label, domain.as_deref(), split)?;
        }
    }
    let Some(PixelColumn { width, height, .. }) = layout.pixels else { return table.finish() };
    table.finish_with(|files, places| {
        let files = shortest_endings(&files);
        let channels = Channels::Grey;
        Source::Packed(Packed { width, height, channels, bytes, files, places, unit: "line" })
    })
}

/// Checks the settings that do not depend on the tables.
fn check(description: &Description, layout: &CsvLayout) -> Result<(), Error> {
    if !layout.separator.is_ascii() || layout.separator == '"' {
        let problem = format!("{:?} cannot separate columns", layout.separator);
        return Err(description.field("layout.separator", problem, "use one such as \",\""));
    }
    match (&layout.image, &layout.pixels) {
        (Some(_), None) => Ok(()),
        (None, Some(pixels)) => {
            let fits = |side| (1..=MOST_SIDE).contains(side);
            if fits(&pixels.width) && fits(&pixels.height) {
                return Ok(());
            }
            let problem =
                format!("{} x {} pixels are not a valid image size", pixels.width, pixels.height);
            Err(description.field("layout.pixels", problem, "write the size of the images"))
        }
        _ => Err(description.field(
            "layout.image",
            "there must be either `image` or `pixels`",
            "name the column of the paths, as in \"images/{file}\", or that of the pixels",
        )),
    }
}

/// The index of a column in the header.
fn column(file: &Path, header: &StringRecord, name: &str) -> Result<usize, String> {
    let mut found = header.iter().enumerate().filter(|(_, column)| *column == name);
    match (found.next(), found.next()) {
        (Some((at, _)), None) => Ok(at),
        (Some(_), Some(_)) => Err(format!("{} has several columns {name:?}", file.display())),
        (None, _) => {
            let columns: Vec<_> = header.iter().collect();
            Err(format!("{} has no column {name:?}, but {columns:?}", file.display()))
        }
    }
}

/// Adds the pixels of one image to `bytes`.
fn read_pixels(text: &str, expected: &PixelColumn, bytes: &mut Vec<u8>) -> Result<(), String> {
    let before = bytes.len();
    for pixel in text.split_ascii_whitespace() {
        let pixel = pixel.parse().map_err(|_| format!("the pixel {pixel:?} is not 0 to 255"))?;
        bytes.push(pixel);
    }
    let (width, height) = (expected.width as usize, expected.height as usize);
    match bytes.len() - before {
        count if count == width * height => Ok(()),
        count => Err(format!("it has {count} pixels, not {width} x {height}")),
    }
}

fn damaged(file: &Path, error: csv::Error) -> Error {
    let problem = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(error) => Error::io("read", file)(error),
        _ => Error::Damaged {
            file: file.to_owned(),
            problem,
            remedy: "correct the table, or `layout.separator` of the description".to_owned(),
        },
    }
}
