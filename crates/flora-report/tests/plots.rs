//! Figures: that they can be made of anything, always the same, and say what they should.

use flora_report::{
    ReportError,
    classification::{ClassificationReport, Tally},
    figures::Figure,
    plots::{Tile, confusion_matrix, contact_sheet, partition, save_png},
};
use image::{DynamicImage, GrayImage, Luma, Rgb, RgbImage, Rgba, RgbaImage};

const GREEN: Rgb<u8> = Rgb([0, 158, 115]);
const ORANGE: Rgb<u8> = Rgb([213, 94, 0]);

fn report(classes: Vec<String>) -> ClassificationReport {
    let count = classes.len();
    let mut tally = Tally::new(classes).unwrap();
    for image in 0..3 * count {
        let score = |class| ((class * 31 + image * 17) % 23) as f32;
        let scores: Vec<f32> = (0..count).map(score).collect();
        tally.add(image % count, &scores).unwrap();
    }
    tally.report().unwrap()
}

fn classes(count: usize) -> Vec<String> {
    (0..count).map(|class| format!("class {class}")).collect()
}

fn red(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_pixel(width, height, Rgb([200, 0, 0])).into()
}

fn tile(verdict: Option<bool>) -> Tile {
    Tile::new(&red(30, 20), vec!["a.png".into(), "cat 90.0 %".into()], verdict).unwrap()
}

fn pixels(figure: &Figure) -> RgbImage {
    figure.image(1.0).unwrap()
}

fn count(figure: &Figure, colour: Rgb<u8>) -> usize {
    pixels(figure).pixels().filter(|&&pixel| pixel == colour).count()
}

#[test]
fn a_confusion_matrix_of_any_size_fits_a_screen_and_a_page() {
    for count in [1, 2, 10, 39, 100, 397, 1000] {
        let figure = confusion_matrix(&report(classes(count)), "model\ntop-1 12.3 %").unwrap();
        let (width, height) = figure.image(figure.scale()).unwrap().dimensions();
        assert!((300..2600).contains(&width) && (300..2600).contains(&height), "{count} classes");
        let again = confusion_matrix(&report(classes(count)), "model\ntop-1 12.3 %").unwrap();
        assert_eq!(figure, again, "{count} classes");
    }
}

#[test]
fn names_of_any_kind_can_be_drawn() {
    let endless = "x".repeat(1 << 20);
    let names = ["", " ", "猫", "عربى", "😀🧑‍🚀", "two\nlines\u{0}", "e\u{301}", &endless];
    let report = report(names.map(str::to_owned).to_vec());
    let figure = confusion_matrix(&report, &endless).unwrap();
    let (width, height) = figure.size();
    assert!(width < 1300.0 && height < 1300.0, "{width} x {height}");
    assert!(confusion_matrix(&report, "").unwrap().size().1 < height);
    assert!(pixels(&figure).height() > 300);

    let tile = Tile::new(&red(1, 1), names.map(str::to_owned).to_vec(), None).unwrap();
    let sheet = contact_sheet(&[tile], &endless, None).unwrap();
    assert!(sheet.size().0 < 1000.0 && sheet.size().1 < 1000.0);
    assert!(pixels(&sheet).height() > 300);
}

#[test]
fn reports_that_do_not_hold_together_are_refused() {
    let good = report(classes(3));
    let problem = |report: &ClassificationReport| {
        let error = confusion_matrix(report, "title").unwrap_err();
        assert!(matches!(error, ReportError::Figure { .. }), "{error:?}");
        error.to_string()
    };
    let mut bad = good.clone();
    bad.confusion[1].pop();
    assert!(problem(&bad).contains("3 rows and columns"), "{}", problem(&bad));
    let mut bad = good.clone();
    bad.confusion.pop();
    assert!(problem(&bad).starts_with("confusion matrix: "), "{}", problem(&bad));
    let mut bad = good.clone();
    (bad.classes, bad.confusion) = (Vec::new(), Vec::new());
    assert!(problem(&bad).contains("nothing to draw"), "{}", problem(&bad));
    let mut bad = good;
    (bad.classes, bad.confusion) = (classes(2001), vec![vec![0; 2001]; 2001]);
    assert!(problem(&bad).contains("2001"), "{}", problem(&bad));
}

#[test]
fn a_sheet_grows_with_its_tiles() {
    let size = |count: usize, columns| {
        let tiles = vec![tile(None); count];
        pixels(&contact_sheet(&tiles, "title", columns).unwrap()).dimensions()
    };
    let (one, seven) = (size(1, None), size(7, None));
    assert!(seven.0 > one.0 && seven.1 > one.1, "{one:?} {seven:?}");
    assert_eq!(size(7, None), size(8, None), "a row that is not full");
    assert_eq!(size(3, Some(100)), size(3, Some(3)), "no more columns than tiles");
    assert!(size(6, Some(1)).1 > size(6, Some(2)).1);
    for count in [30, 60, 400] {
        let (width, height) = size(count, None);
        let ratio = f64::from(width) / f64::from(height);
        assert!((1.1..1.9).contains(&ratio), "{count} tiles: {ratio}");
    }
}

#[test]
fn sheets_that_cannot_be_made_are_refused() {
    for (tiles, columns, expected) in
        [(0, None, "no pictures"), (401, None, "at most 400"), (3, Some(0), "0 columns")]
    {
        let error = contact_sheet(&vec![tile(None); tiles], "title", columns).unwrap_err();
        assert!(matches!(error, ReportError::Figure { .. }), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    let empty = DynamicImage::from(RgbImage::new(0, 7));
    let error = Tile::new(&empty, Vec::new(), None).unwrap_err();
    assert!(error.to_string().contains("0 x 7"), "{error}");
}

#[test]
fn frames_tell_right_from_wrong() {
    let sheet = |verdicts: &[Option<bool>]| {
        let tiles: Vec<Tile> = verdicts.iter().map(|&verdict| tile(verdict)).collect();
        contact_sheet(&tiles, "title", Some(3)).unwrap()
    };
    let unknown = sheet(&[None, None, None]);
    assert_eq!((count(&unknown, GREEN), count(&unknown, ORANGE)), (0, 0));
    let two_right = sheet(&[Some(true), Some(false), Some(true)]);
    let (green, orange) = (count(&two_right, GREEN), count(&two_right, ORANGE));
    // Both have a square in the legend; the frames are as large as each other.
    let one_right = sheet(&[Some(true), Some(false), None]);
    let frame = green - count(&one_right, GREEN);
    assert!(frame > 1000, "{frame}");
    assert_eq!(green - orange, frame);
    assert_eq!(two_right, sheet(&[Some(true), Some(false), Some(true)]));
}

#[test]
fn pictures_keep_their_proportions() {
    let area = |width: u32, height: u32| {
        let tile = Tile::new(&red(width, height), Vec::new(), None).unwrap();
        count(&contact_sheet(&[tile], "", None).unwrap(), Rgb([200, 0, 0]))
    };
    assert_eq!(area(64, 64), 224 * 224);
    assert_eq!(area(1000, 500), 224 * 112);
    assert_eq!(area(500, 1000), 224 * 112);
    assert_eq!(area(1, 1), 224 * 224);
    assert_eq!(area(100_000, 1), 224, "at least a pixel high");
}

#[test]
fn transparent_pictures_are_on_white() {
    let sheet = |image: DynamicImage| {
        let tile = Tile::new(&image, Vec::new(), None).unwrap();
        contact_sheet(&[tile], "", None).unwrap()
    };
    let all = |alpha: u8| RgbaImage::from_pixel(9, 9, Rgba([0, 0, 200, alpha])).into();
    let white = |figure: &Figure| count(figure, Rgb([255; 3]));
    let (clear, half, full) = (sheet(all(0)), sheet(all(128)), sheet(all(255)));
    assert_eq!(white(&clear) - white(&full), 224 * 224);
    assert_eq!(count(&full, Rgb([0, 0, 200])), 224 * 224);
    // (0 x 128 + 255 x 127) / 255 = 127, (200 x 128 + 255 x 127) / 255 = 227.4
    assert_eq!(count(&half, Rgb([127, 127, 227])), 224 * 224);
    // Other kinds of pixels, too.
    let grey = sheet(GrayImage::from_pixel(9, 9, Luma([77])).into());
    assert_eq!(count(&grey, Rgb([77; 3])), 224 * 224);
}

#[test]
fn files_are_png_and_hold_the_picture() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("figures/confusion.png");
    let figure = confusion_matrix(&report(classes(4)), "title").unwrap();
    save_png(&path, &figure).unwrap();
    let first = std::fs::read(&path).unwrap();
    let image = figure.image(figure.scale()).unwrap();
    assert_eq!(image::open(&path).unwrap().into_rgb8(), image);
    save_png(&path, &figure).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), first);

    let error = save_png(folder.path(), &figure).unwrap_err();
    assert!(matches!(error, ReportError::Io { action: "write", .. }), "{error:?}");
}

#[test]
fn colours_of_a_confusion_matrix_are_shares_of_the_row() {
    // So many classes that cells have no numbers.
    let diagonal = |supports: &[usize]| {
        let mut tally = Tally::new(classes(supports.len())).unwrap();
        for (class, &support) in supports.iter().enumerate() {
            let mut scores = vec![0.0; supports.len()];
            scores[class] = 1.0;
            for _ in 0..support {
                tally.add(class, &scores).unwrap();
            }
        }
        pixels(&confusion_matrix(&tally.report().unwrap(), "").unwrap())
    };
    let few = diagonal(&[1; 120]);
    assert_eq!(few, diagonal(&(1..=120).collect::<Vec<_>>()));
    let mut without = vec![1; 120];
    without[60] = 0;
    assert_ne!(few, diagonal(&without));
}

fn names(what: &str, count: usize) -> Vec<String> {
    (0..count).map(|index| format!("{what}-{index:02}")).collect()
}

#[test]
fn a_partition_of_any_number_of_clients_and_classes_fits_a_page() {
    for (clients, classes) in [(1, 1), (4, 39), (10, 10), (100, 10), (10, 1000), (100, 397)] {
        let counts = vec![vec![7; classes]; clients];
        let (clients, classes) = (names("client", clients), names("class", classes));
        let figure = partition(&clients, &classes, &counts, "a title").unwrap();
        let (width, height) = figure.image(figure.scale()).unwrap().dimensions();
        assert!(
            (200..2600).contains(&width) && (200..2600).contains(&height),
            "{width} x {height}"
        );
        if clients.len() > 1 {
            assert!(width > 700, "{} clients: {width}", clients.len());
        }
    }
}

#[test]
fn a_partition_of_nothing_can_be_drawn_and_differs_from_something() {
    let (clients, classes) = (names("client", 2), names("class", 3));
    let draw = |count| partition(&clients, &classes, &[vec![0; 3], vec![count; 3]], "").unwrap();
    assert_eq!((draw(0).marks(), draw(1).marks()), (0, 3));
    assert_ne!(pixels(&draw(0)), pixels(&draw(1)));
    assert_ne!(pixels(&draw(1)), pixels(&draw(2)));
}

#[test]
fn partitions_of_another_shape_are_refused() {
    let (clients, classes) = (names("client", 2), names("class", 3));
    for counts in [vec![vec![1; 3]], vec![vec![1; 3], vec![1; 2]]] {
        let error = partition(&clients, &classes, &counts, "").unwrap_err();
        assert!(error.to_string().contains("2 clients and 3 classes"), "{error}");
    }
    assert!(partition(&[], &classes, &[], "").is_err());
}
