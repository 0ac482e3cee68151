//! The included descriptions, on miniatures of their data sets' layouts: an image or two per class.

use std::fs;
use std::path::{Path, PathBuf};

use flora_data::{Dataset, Split, inspect};
use tempfile::TempDir;

use crate::sets::{assert_says, png};

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets").join(format!("{name}.toml"))
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/layouts").join(name)
}

/// A miniature under construction.
struct Mini {
    name: &'static str,
    dir: TempDir,
    /// The names of the classes in the files.
    keys: Vec<String>,
    names: Vec<String>,
}

impl Mini {
    fn new(name: &'static str) -> Self {
        let text = fs::read_to_string(shipped(name)).unwrap();
        let description: toml::Table = text.parse().unwrap();
        let (mut keys, mut names) = (Vec::new(), Vec::new());
        for class in description["classes"].as_array().unwrap() {
            let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
            let name = text(class.get("name").unwrap_or(class));
            let key = class.get("folder").or_else(|| class.get("key"));
            keys.push(key.map_or_else(|| name.clone(), text));
            names.push(name);
        }
        Self { name, dir: tempfile::tempdir().unwrap(), keys, names }
    }

    fn path(&self, below: &str) -> PathBuf {
        let path = self.dir.path().join(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn image(&self, below: &str) {
        png(&self.path(below), 128);
    }

    /// A list, with its lines in reverse: nothing may depend on their order.
    fn list(&self, below: &str, mut lines: Vec<String>) {
        lines.reverse();
        fs::write(self.path(below), lines.join("\n") + "\n").unwrap();
    }

    fn copy(&self, fixture_name: &str, below: &str) {
        fs::copy(fixture(fixture_name), self.path(below)).unwrap();
    }

    /// Opens it with the included description, and counts classes, training and test images.
    #[track_caller]
    fn open(&self, counts: (usize, usize, usize)) -> Dataset {
        let inspection = inspect(&shipped(self.name), Some(self.dir.path())).unwrap();
        let set = inspection.dataset.unwrap();
        assert_eq!(set.name(), self.name);
        let found =
            (set.classes().len(), set.indices(Split::Train).len(), set.indices(Split::Test).len());
        assert_eq!(found, counts, "{}", self.name);
        assert_eq!(set.classes(), self.names);
        assert!(inspection.parts.iter().all(|part| part.here), "{:?}", inspection.parts);
        assert!(inspection.how.is_some());
        set.image(0).unwrap();
        set
    }
}

/// The class and the split of the image whose description has this end.
#[track_caller]
fn of<'a>(set: &'a Dataset, image: &str) -> (&'a str, Split) {
    let mut found = (0..set.len()).filter(|&i| set.describe(i).ends_with(image));
    let i = found.next().unwrap_or_else(|| panic!("no image is called {image}"));
    assert_eq!(found.next(), None, "several images are called {image}");
    (set.classes()[set.label(i)].as_str(), set.split(i))
}

/// Records of one image per class: red is the class, green 100, blue 200.
fn cifar(labels: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in labels {
        let red = *label.last().unwrap();
        bytes.extend(label);
        for value in [red, 100, 200] {
            bytes.extend([value; 1024]);
        }
    }
    bytes
}

#[test]
fn cifar_10() {
    let mini = Mini::new("cifar-10");
    for batch in 1..=5_u8 {
        let labels = [vec![10 - batch * 2], vec![11 - batch * 2]];
        fs::write(mini.path(&format!("data_batch_{batch}.bin")), cifar(labels)).unwrap();
    }
    fs::write(mini.path("test_batch.bin"), cifar((0..10).map(|label| vec![label]))).unwrap();
    let set = mini.open((10, 10, 10));
    assert_eq!(of(&set, "data_batch_1.bin, record 1"), ("truck", Split::Train));
    assert_eq!(of(&set, "test_batch.bin, record 6"), ("frog", Split::Test));
    let image = set.image(1).unwrap().into_rgb8();
    assert_eq!(image.dimensions(), (32, 32));
    assert!(image.pixels().all(|pixel| pixel.0 == [9, 100, 200]));
}

#[test]
fn cifar_100() {
    let mini = Mini::new("cifar-100");
    // The coarse label comes first, and is ignored.
    let fine = || (0..100).map(|label| vec![19 - label % 20, label]);
    fs::write(mini.path("train.bin"), cifar(fine())).unwrap();
    fs::write(mini.path("test.bin"), cifar(fine())).unwrap();
    let set = mini.open((100, 100, 100));
    assert_eq!(of(&set, "train.bin, record 1"), ("aquarium fish", Split::Train));
    assert_eq!(set.image(99).unwrap().into_rgb8().get_pixel(31, 31).0, [99, 100, 200]);
}

#[test]
fn binary_records_may_number_their_classes_from_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("train.bin"), cifar([vec![1], vec![2]])).unwrap();
    fs::write(path("test.bin"), cifar([vec![2]])).unwrap();
    let toml = "name = 'x'\nclasses = ['a', 'b']\n[layout]\nkind = 'cifar-binary'\n\
                train = 'train.bin'\ntest = 'test.bin'\n";
    fs::write(path("dataset.toml"), toml).unwrap();
    let error = Dataset::open(dir.path(), None).unwrap_err().to_string();
    assert_says(&error, &["record 1", "its label is 2", "labels 0 to 1", "`layout.first_label`"]);
    fs::write(path("dataset.toml"), format!("{toml}first_label = 1\n")).unwrap();
    let set = Dataset::open(dir.path(), None).unwrap();
    assert_eq!([0, 1, 2].map(|i| set.label(i)), [0, 1, 1]);
}

#[test]
fn tiny_imagenet() {
    let mini = Mini::new("tiny-imagenet");
    let mut lines = Vec::new();
    for (i, key) in mini.keys.iter().enumerate() {
        mini.image(&format!("train/{key}/images/{key}_0.JPEG"));
        fs::write(mini.path(&format!("train/{key}/{key}_boxes.txt")), "0\t0\t0\t0\n").unwrap();
        mini.image(&format!("val/images/val_{i}.JPEG"));
        lines.push(format!("val_{i}.JPEG\t{key}\t0\t32\t44\t62"));
    }
    mini.list("val/val_annotations.txt", lines);
    mini.image("test/images/test_0.JPEG");
    let set = mini.open((200, 200, 200));
    assert_eq!(of(&set, "n02124075_0.JPEG"), ("Egyptian Mau", Split::Train));
    assert_eq!(of(&set, "val_0.JPEG"), ("goldfish", Split::Test));
}

#[test]
fn oxford_pets() {
    let mini = Mini::new("oxford-pets");
    for split in ["trainval", "test"] {
        let mut lines = Vec::new();
        for (i, name) in mini.names.iter().enumerate() {
            let image = format!("{}_{split}", name.replace(' ', "_"));
            mini.image(&format!("images/{image}.jpg"));
            lines.push(format!("{image} {} 1 1", i + 1));
        }
        mini.list(&format!("annotations/{split}.txt"), lines);
    }
    fs::write(mini.path("images/Abyssinian_100.mat"), "no image").unwrap();
    let set = mini.open((37, 37, 37));
    assert_eq!(of(&set, "Yorkshire_Terrier_test.jpg"), ("Yorkshire Terrier", Split::Test));
    assert_eq!(of(&set, "Abyssinian_trainval.jpg"), ("Abyssinian", Split::Train));
}

#[test]
fn flowers_102() {
    let mini = Mini::new("flowers-102");
    mini.copy("imagelabels.mat", "imagelabels.mat");
    mini.copy("setid.mat", "setid.mat");
    for number in 1..=204 {
        mini.image(&format!("jpg/image_{number:05}.jpg"));
    }
    let set = mini.open((102, 102, 102));
    assert_eq!(of(&set, "image_00001.jpg"), ("pink primrose", Split::Train));
    assert_eq!(of(&set, "image_00061.jpg"), ("cautleya spicata", Split::Train));
    assert_eq!(of(&set, "image_00204.jpg"), ("blackberry lily", Split::Test));
}

#[test]
fn fgvc_aircraft() {
    let mini = Mini::new("fgvc-aircraft");
    for (split, first) in [("trainval", 62781), ("test", 1025794)] {
        let mut lines = Vec::new();
        for (i, key) in mini.keys.iter().enumerate() {
            let image = format!("{:07}", first + i);
            mini.image(&format!("images/{image}.jpg"));
            lines.push(format!("{image} {key}"));
        }
        mini.list(&format!("images_variant_{split}.txt"), lines);
    }
    let set = mini.open((100, 100, 100));
    assert_eq!(of(&set, "0062822.jpg"), ("Boeing 717", Split::Train));
    assert_eq!(of(&set, "1025866.jpg"), ("F-16A/B", Split::Test));
}

#[test]
fn stanford_cars() {
    let mini = Mini::new("stanford-cars");
    mini.copy("cars_train_annos.mat", "devkit/cars_train_annos.mat");
    mini.copy("cars_test_annos_withlabels.mat", "cars_test_annos_withlabels.mat");
    for number in 1..=196 {
        mini.image(&format!("cars_train/{number:05}.jpg"));
        mini.image(&format!("cars_test/{number:05}.jpg"));
    }
    let set = mini.open((196, 196, 196));
    assert_eq!(of(&set, "cars_train/00001.jpg"), ("AM General Hummer SUV 2000", Split::Train));
    assert_eq!(of(&set, "cars_train/00040.jpg"), ("smart fortwo Convertible 2012", Split::Train));
    assert_eq!(of(&set, "cars_test/00002.jpg"), ("Audi RS 4 Convertible 2008", Split::Test));
}

#[test]
fn describable_textures() {
    let mini = Mini::new("dtd");
    for split in ["train1", "val1", "test1"] {
        let image = |key: &String| format!("{key}/{key}_{split}.jpg");
        mini.keys.iter().for_each(|key| mini.image(&format!("images/{}", image(key))));
        mini.list(&format!("labels/{split}.txt"), mini.keys.iter().map(image).collect());
    }
    let set = mini.open((47, 94, 47));
    assert_eq!(of(&set, "polka-dotted_val1.jpg"), ("polka-dotted", Split::Train));
    assert_eq!(of(&set, "banded_test1.jpg"), ("banded", Split::Test));
}

#[test]
fn eurosat() {
    let mini = Mini::new("eurosat");
    for key in &mini.keys {
        (1..=2).for_each(|number| mini.image(&format!("{key}/{key}_{number}.jpg")));
    }
    let set = mini.open((10, 16, 4));
    assert!(!set.has_official_split());
    assert_eq!(of(&set, "HerbaceousVegetation_1.jpg").0, "brushland or shrubland");
    assert_eq!(of(&set, "SeaLake_2.jpg").0, "lake or sea");
}

#[test]
fn fer2013() {
    let mini = Mini::new("fer2013");
    let mut table = "emotion,pixels,Usage\n".to_owned();
    for usage in ["Training", "PublicTest", "PrivateTest"] {
        for emotion in (0..7).rev() {
            let pixels = vec![(emotion * 10).to_string(); 48 * 48].join(" ");
            table += &format!("{emotion},{pixels},{usage}\n");
        }
    }
    fs::write(mini.path("fer2013.csv"), table).unwrap();
    let set = mini.open((7, 7, 14));
    assert_eq!(of(&set, "fer2013.csv, line 2"), ("neutral", Split::Train));
    assert_eq!(of(&set, "fer2013.csv, line 3"), ("surprised", Split::Train));
    assert_eq!(of(&set, "fer2013.csv, line 22"), ("angry", Split::Test));
    let image = set.image(1).unwrap().into_luma8();
    assert_eq!(image.dimensions(), (48, 48));
    assert!(image.pixels().all(|pixel| pixel.0 == [50]));
}

#[test]
fn caltech_101() {
    let mini = Mini::new("caltech-101");
    mini.keys.iter().for_each(|key| mini.image(&format!("{key}/image_0001.jpg")));
    mini.image("BACKGROUND_Google/image_0001.jpg");
    fs::write(mini.path("BACKGROUND_Google/tmp"), "no image").unwrap();
    let set = mini.open((101, 80, 21));
    assert_eq!(of(&set, "Faces_easy/image_0001.jpg").0, "centered face");
    assert_eq!(of(&set, "yin_yang/image_0001.jpg").0, "yin and yang symbol");
}

#[test]
fn food_101() {
    let mini = Mini::new("food-101");
    for (split, number) in [("train", 1005649), ("test", 1011328)] {
        let image = |key: &String| format!("{key}/{number}");
        mini.keys.iter().for_each(|key| mini.image(&format!("images/{}.jpg", image(key))));
        mini.list(&format!("meta/{split}.txt"), mini.keys.iter().map(image).collect());
    }
    let set = mini.open((101, 101, 101));
    assert_eq!(of(&set, "apple_pie/1005649.jpg"), ("apple pie", Split::Train));
    assert_eq!(set.template().fill("waffles"), "a photo of waffles, a type of food.");
}

#[test]
fn country_211() {
    let mini = Mini::new("country-211");
    for split in ["train", "valid", "test"] {
        mini.keys.iter().for_each(|key| mini.image(&format!("{split}/{key}/{split}.jpg")));
    }
    let set = mini.open((211, 422, 211));
    assert_eq!(of(&set, "valid/XK/valid.jpg"), ("Kosovo", Split::Train));
    assert_eq!(of(&set, "test/CH/test.jpg"), ("Switzerland", Split::Test));
}

#[test]
fn sun397() {
    let mini = Mini::new("sun397");
    mini.list("ClassName.txt", mini.keys.clone());
    for split in ["Training", "Testing"] {
        let image = |key: &String| format!("{key}/sun_{}.jpg", split.to_lowercase());
        mini.keys.iter().for_each(|key| mini.image(&format!("SUN397{}", image(key))));
        mini.list(&format!("{split}_01.txt"), mini.keys.iter().map(image).collect());
    }
    mini.image("SUN397/a/abbey/sun_of_no_split.jpg");
    let set = mini.open((397, 397, 397));
    let outdoors = "a/apartment_building/outdoor/sun_testing.jpg";
    assert_eq!(of(&set, outdoors), ("apartment building outdoor", Split::Test));
    assert_eq!(of(&set, "a/abbey/sun_training.jpg"), ("abbey", Split::Train));
}

#[test]
fn rendered_sst2() {
    let mini = Mini::new("rendered-sst2");
    for split in ["train", "valid", "test"] {
        mini.keys.iter().for_each(|key| mini.image(&format!("{split}/{key}/0.png")));
    }
    let set = mini.open((2, 4, 2));
    assert_eq!(of(&set, "valid/positive/0.png"), ("positive", Split::Train));
}

#[test]
fn every_description_that_ships_can_be_read_without_its_images() {
    let mut absent = 0;
    for entry in fs::read_dir(shipped("").parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let inspection = inspect(&path, Some(Path::new("no/such/folder"))).unwrap();
        assert!(inspection.is_absent());
        assert!(!inspection.parts.is_empty());
        assert_eq!(Some(inspection.name.as_str()), path.file_stem().unwrap().to_str());
        for text in [&inspection.title, &inspection.license, &inspection.source] {
            assert_ne!(text, "unspecified");
        }
        absent += 1;
    }
    assert_eq!(absent, 16);
}
