//! The binary version of CIFAR-10 and CIFAR-100.
//!
//! Records of one or two label bytes and 3,072 bytes of pixels, 32 x 32 in red, green and blue, one
//! colour after the other: <https://www.cs.toronto.edu/~kriz/cifar.html>.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use flora_core::images::PassedOver;
use flora_core::paths::shortest_endings;

use super::description::Description;
use super::layout::CifarLayout;
use super::numbers::Numbers;
use super::packed::{Channels, Packed};
use super::table::Place;
use super::{Built, Sample, Source, Split};
use crate::Error;

const SIDE: u32 = 32;
const PIXELS: usize = 3 * (SIDE * SIDE) as usize;
/// The largest such file has 154 MB.
const MOST_BYTES: u64 = 1 << 30;

/// Reads the files of both splits.
pub(super) fn build(
    description: &Description,
    layout: &CifarLayout,
    root: &Path,
) -> Result<Built, Error> {
    if description.classes.is_empty() {
        let problem = "CIFAR's labels are numbers, which do not name their classes";
        let remedy = "list the classes in the order of their numbers";
        return Err(description.field("classes", problem, remedy));
    }
    if let Some(at) = description.classes.iter().position(|class| class.key.is_some()) {
        let at = format!("classes[{at}].key");
        let problem = "CIFAR's labels are numbers, from 0";
        return Err(description.field(at, problem, "remove it: the order of the classes counts"));
    }
    let header = layout.label_bytes;
    if !(1..=8).contains(&header) || layout.label_byte >= header {
        let problem = format!("`label_bytes` is {header}, `label_byte` is {}", layout.label_byte);
        let remedy = "1 and 0 fit CIFAR-10; 2 and 1 fit the 100 classes of CIFAR-100";
        return Err(description.field("layout.label_byte", problem, remedy));
    }
    let numbers = Numbers { first: layout.first_label, count: description.classes.len() };
    let mut samples = Vec::new();
    let mut files = Vec::new();
    let mut packed = Packed {
        width: SIDE,
        height: SIDE,
        channels: Channels::PlanarRgb,
        bytes: Vec::new(),
        files: Vec::new(),
        places: Vec::new(),
        unit: "record",
    };
    for (split, names) in [(Split::Train, &layout.train), (Split::Test, &layout.test)] {
        for name in names.as_slice() {
            let path = description.find("CIFAR file", root.join(name))?;
            let bytes = read(&path, header + PIXELS)?;
            for (number, record) in bytes.chunks_exact(header + PIXELS).enumerate() {
                let label = record[layout.label_byte];
                let Some(label) = numbers.place(label) else {
                    return Err(Error::Entry {
                        file: path,
                        place: format!("record {number}"),
                        problem: format!("its label is {label}, and {numbers}"),
                        remedy: "list all classes, and check `layout.label_bytes` and \
                                 `layout.first_label`"
                            .to_owned(),
                    });
                };
                samples.push(Sample::new(samples.len(), label, None, Some(split)));
                packed.bytes.extend_from_slice(&record[header..]);
                let file = files.len() as u32;
                packed.places.push(Place { file, number: number as u32 });
            }
            files.push(path);
        }
    }
    packed.files = shortest_endings(&files);
    Ok(Built {
        classes: description.classes.iter().map(|class| class.name.clone()).collect(),
        domains: Vec::new(),
        samples,
        source: Source::Packed(packed),
        passed_over: PassedOver::default(),
    })
}

/// The bytes of a file, which must contain whole records.
fn read(path: &Path, record: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Error::io("read", path))?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.is_empty() || bytes.len() % record != 0 || bytes.len() as u64 > MOST_BYTES {
        return Err(Error::Damaged {
            file: path.to_owned(),
            problem: format!(
                "its {} bytes are not whole records of {record} bytes, of which {} are pixels",
                bytes.len(),
                PIXELS
            ),
            remedy: "fetch the binary version again, and check `layout.label_bytes`".to_owned(),
        });
    }
    Ok(bytes)
}
