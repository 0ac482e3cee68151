//! Figures: that they can be made of anything, always the same, and say what they should.

use flora_report::{
    ReportError,
    classification::{ClassificationReport, Tally},
    plots::{Chart, Series, Tile, chart, confusion_matrix, contact_sheet, save_png},
    sweep::Spread,
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

fn count(image: &RgbImage, colour: Rgb<u8>) -> usize {
    image.pixels().filter(|&&pixel| pixel == colour).count()
}

#[test]
fn a_confusion_matrix_of_any_size_fits_a_screen_and_a_page() {
    for count in [1, 2, 10, 39, 100, 397, 1000] {
        let image = confusion_matrix(&report(classes(count)), "model\ntop-1 12.3 %").unwrap();
        let (width, height) = image.dimensions();
        assert!((300..2600).contains(&width) && (300..2600).contains(&height), "{count} classes");
        let again = confusion_matrix(&report(classes(count)), "model\ntop-1 12.3 %").unwrap();
        assert_eq!(image, again, "{count} classes");
    }
}

#[test]
fn names_of_any_kind_can_be_drawn() {
    let endless = "x".repeat(1 << 20);
    let names = ["", " ", "猫", "عربى", "😀🧑‍🚀", "two\nlines\u{0}", "e\u{301}", &endless];
    let report = report(names.map(str::to_owned).to_vec());
    let image = confusion_matrix(&report, &endless).unwrap();
    assert!(image.width() < 2600 && image.height() < 2600);
    assert!(confusion_matrix(&report, "").unwrap().height() < image.height());

    let tile = Tile::new(&red(1, 1), names.map(str::to_owned).to_vec(), None).unwrap();
    let sheet = contact_sheet(&[tile], &endless, None).unwrap();
    assert!(sheet.width() < 1000 && sheet.height() < 1000);
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
        contact_sheet(&tiles, "title", columns).unwrap().dimensions()
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
    let white = |image: &RgbImage| count(image, Rgb([255; 3]));
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
    let image = confusion_matrix(&report(classes(4)), "title").unwrap();
    save_png(&path, &image).unwrap();
    let first = std::fs::read(&path).unwrap();
    assert_eq!(image::open(&path).unwrap().into_rgb8(), image);
    save_png(&path, &image).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), first);

    let error = save_png(folder.path(), &image).unwrap_err();
    assert!(matches!(error, ReportError::Io { action: "write", .. }), "{error:?}");
}

fn line(x: &[&str], series: &[&[Option<f64>]]) -> Chart {
    let point = |mean: &Option<f64>| mean.map(|mean| Spread { mean, deviation: Some(1.5) });
    let series = series.iter().enumerate().map(|(index, points)| Series {
        name: format!("series {index}"),
        points: points.iter().map(point).collect(),
    });
    Chart {
        title: "title".into(),
        note: "note".into(),
        x_axis: "x".into(),
        x: x.iter().map(|&x| x.to_owned()).collect(),
        y_axis: "y".into(),
        series: series.collect(),
    }
}

#[test]
fn a_point_lies_where_its_value_is() {
    let blue = Rgb([0, 114, 178]);
    let middle = |chart: &Chart, colour: Rgb<u8>| {
        let image = flora_report::plots::chart(chart).unwrap();
        // The legend's sample is of this colour, too, always in the same place.
        let of = |(x, y, _): (u32, u32, &Rgb<u8>)| [f64::from(x), f64::from(y)];
        let found: Vec<_> =
            image.enumerate_pixels().filter(|(_, _, pixel)| **pixel == colour).map(of).collect();
        let mean = |axis: usize| found.iter().map(|at| at[axis]).sum::<f64>() / found.len() as f64;
        [mean(0), mean(1)]
    };
    // The other point is off the first colour; it keeps the axis the same.
    let at = |x: usize, y: f64| {
        let mut points = [None, None, None];
        points[x] = Some(y);
        let other = [Some(10.0), None, Some(50.0)];
        middle(&line(&["1", "4", "16"], &[&points, &other]), blue)
    };
    let (low, high) = (at(1, 20.0), at(1, 40.0));
    assert!((low[0] - high[0]).abs() < 1.0 && low[1] - high[1] > 50.0, "{low:?} {high:?}");
    // 30 is half-way between 20 and 40, and 4 between 1 and 16 on a logarithmic axis.
    let (between, left, right) = (at(1, 30.0), at(0, 30.0), at(2, 30.0));
    assert!((between[1] - f64::midpoint(low[1], high[1])).abs() < 2.0, "{between:?}");
    assert!((between[0] - f64::midpoint(left[0], right[0])).abs() < 2.0, "{left:?} {right:?}");
}

#[test]
fn charts_of_any_kind_can_be_drawn_always_the_same() {
    let endless = "x".repeat(1 << 16);
    let names = ["猫", "😀", "two\nlines", &endless, ""];
    let mut strange = line(&names, &[&[Some(1.0); 5], &[None; 5], &[Some(f64::NAN); 5]]);
    (strange.title, strange.y_axis, strange.x_axis) = (endless.clone(), endless.clone(), endless);
    for figure in [
        line(&["1"], &[&[Some(3.0)]]),
        line(&["-5", "0", "7.5"], &[&[Some(-1e-9), Some(0.0), Some(1e9)]]),
        line(&["1", "1.01", "1.02", "90"], &[&[Some(1.0), None, Some(2.0), Some(3.0)]]),
        line(&["a"; 100], &[&[Some(1.0); 100][..]; 2]),
        strange,
        line(&["a"], &[&[Some(1.0)][..]; 35]),
        Chart { title: String::new(), note: String::new(), ..line(&["a"], &[&[Some(1.0)]]) },
    ] {
        let image = chart(&figure).unwrap();
        assert!(
            image.width() == 1600 && (700..3000).contains(&image.height()),
            "{}",
            image.height()
        );
        assert_eq!(image, chart(&figure).unwrap());
    }
}

#[test]
fn charts_that_cannot_be_made_are_refused() {
    for (figure, expected) in [
        (line(&[], &[]), "at least one point"),
        (line(&["1"], &[&[None]]), "at least one point"),
        (line(&["1", "2"], &[&[Some(1.0)]]), "1 points for 2 places"),
        (line(&["a"; 101], &[&[Some(1.0); 101]]), "101 places"),
        (line(&["a"], &[&[Some(1.0)][..]; 36]), "36 series"),
    ] {
        let error = chart(&figure).unwrap_err();
        assert!(matches!(error, ReportError::Figure { .. }), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}
