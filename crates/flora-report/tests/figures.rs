//! Figures: every value is one mark, no text leaves the sheet or touches other text, and the same input gives the same
//! bytes.

use std::sync::Arc;

use flora_report::{
    ReportError,
    figures::{
        Cell, Figure, HeatMap, LineChart, Part, Places, Point, Reference, Series, StackedBars,
        Style,
    },
};
use resvg::usvg::{
    self, FontResolver, Node, Options, Rect,
    fontdb::{Database, Source},
    roxmltree::Document,
};

fn names(count: usize) -> Vec<String> {
    let words = ["annual crop", "herbaceous vegetation land", "river", "industrial buildings"];
    (0..count).map(|index| format!("{} {index}", words[index % words.len()])).collect()
}

fn rounds(count: usize) -> Vec<f64> {
    (0..count).map(|round| round as f64).collect()
}

fn lines(count: usize, xs: &[f64]) -> LineChart {
    let series = |index: usize| Series {
        name: format!("method {index}"),
        points: xs
            .iter()
            .map(|&x| Point {
                x,
                y: 50.0 + 7.0 * x.abs().ln_1p() - index as f64,
                deviation: Some(1.25),
            })
            .collect(),
        style: Style::Solid,
    };
    LineChart {
        title: "Accuracy by round, with a title that is too long for one line of the figure".into(),
        note: "mean and sample deviation over 3 seeds".into(),
        x_label: "round".into(),
        y_label: "accuracy of the global model after the last round, %".into(),
        series: (0..count).map(series).collect(),
        ..LineChart::default()
    }
}

fn heat_map(rows: usize, columns: usize, square: bool) -> HeatMap {
    let cell = |index: usize| {
        let count = (index * 37 % 11) as u64;
        Cell { value: Some(count as f64), count: (count > 0).then_some(count) }
    };
    HeatMap {
        kind: "test",
        title: "title".into(),
        row_axis: "class".into(),
        rows: names(rows),
        column_axis: "client".into(),
        columns: names(columns),
        cells: (0..rows * columns).map(cell).collect(),
        range: (0.0, 12.0),
        scale: "training images (grey: none)".into(),
        square,
        ..HeatMap::default()
    }
}

fn bars(count: usize, places: Vec<String>) -> StackedBars {
    let part = |index: usize| Part {
        name: format!("phase {index}"),
        values: (0..places.len()).map(|bar| 1.0 + ((bar + index) % 5) as f64).collect(),
    };
    StackedBars {
        title: "Seconds".into(),
        x_label: "round".into(),
        y_label: "seconds".into(),
        parts: (0..count).map(part).collect(),
        places,
        ..StackedBars::default()
    }
}

/// Attributes of all marks by name: `series`, `x`, `y` and others.
fn marks(svg: &str, name: &str) -> Vec<String> {
    let document = Document::parse(svg).unwrap();
    let marks = document.descendants().filter(|node| node.attribute("class") == Some("mark"));
    marks.filter_map(|mark| mark.attribute(&*format!("data-{name}")).map(str::to_owned)).collect()
}

fn count_marks(svg: &str) -> usize {
    let document = Document::parse(svg).unwrap();
    document.descendants().filter(|node| node.attribute("class") == Some("mark")).count()
}

/// The boxes of all text, with the text; turned text is told by its angle.
fn texts(figure: &Figure) -> Vec<(String, Rect, bool)> {
    let mut fonts = Database::new();
    let id = fonts.load_font_source(Source::Binary(Arc::new(dejavu::sans::regular())))[0];
    let resolver = FontResolver {
        select_font: Box::new(move |_, _| Some(id)),
        select_fallback: Box::new(|_, _, _| None),
    };
    let options =
        Options { font_resolver: resolver, fontdb: Arc::new(fonts), ..Options::default() };
    let tree = usvg::Tree::from_str(&figure.svg(), &options).unwrap();
    let mut found = Vec::new();
    let mut groups = vec![tree.root()];
    while let Some(group) = groups.pop() {
        for node in group.children() {
            match node {
                Node::Group(group) => groups.push(group),
                Node::Text(text) => {
                    let content = text.chunks().iter().map(|chunk| chunk.text()).collect();
                    let turned = text.abs_transform().has_skew();
                    found.push((content, text.abs_bounding_box(), turned));
                }
                _ => {}
            }
        }
    }
    assert!(!found.is_empty());
    found
}

fn check_texts(what: &str, figure: &Figure) {
    let (width, height) = figure.size();
    let all = texts(figure);
    for (text, place, _) in &all {
        let inside = place.left() >= 0.0
            && place.top() >= 0.0
            && f64::from(place.right()) <= width
            && f64::from(place.bottom()) <= height;
        assert!(inside, "{what}: {text:?} at {place:?} leaves {width} x {height}");
    }
    let level: Vec<_> = all.iter().filter(|(_, _, turned)| !turned).collect();
    for (index, (text, a, _)) in level.iter().enumerate() {
        for (other, b, _) in &level[..index] {
            // Boxes have the font's full ascent and descent, which letters hardly ever fill.
            let (above, below) = (0.22 * a.height(), 0.22 * b.height());
            let apart = a.right() <= b.left()
                || b.right() <= a.left()
                || a.bottom() - above <= b.top() + below
                || b.bottom() - below <= a.top() + above;
            assert!(apart, "{what}: {text:?} at {a:?} touches {other:?} at {b:?}");
        }
    }
}

#[test]
fn every_point_is_a_mark_with_its_value() {
    let mut chart = lines(3, &rounds(40));
    chart.series[1].points[7].y = f64::NAN;
    chart.references = vec![Reference { name: "zero-shot".into(), y: 47.25 }];
    let figure = chart.draw().unwrap();
    assert_eq!(figure.marks(), 3 * 40 - 1);
    let svg = figure.svg();
    assert_eq!(count_marks(&svg), figure.marks());
    assert_eq!(count_marks(&figure.inline("a")), figure.marks());
    let values: Vec<f64> = marks(&svg, "y").iter().map(|y| y.parse().unwrap()).collect();
    for point in chart.series.iter().flat_map(|series| &series.points) {
        assert_eq!(values.contains(&point.y), point.y.is_finite(), "{point:?}");
    }
    let own = |name: &str| marks(&svg, "series").iter().filter(|own| *own == name).count();
    assert_eq!([own("method 0"), own("method 1"), own("method 2")], [40, 39, 40]);
    assert!(svg.contains("zero-shot (47.25)"));
    // Tooltips, where there are not too many.
    assert!(svg.contains("<title>method 0, round 3: "), "{svg}");
    let many = lines(10, &rounds(250)).draw().unwrap();
    assert_eq!((many.marks(), count_marks(&many.svg())), (2500, 2500));
    assert!(!many.svg().contains("<title>method"));
}

#[test]
fn cells_and_bars_are_marks() {
    let figure = heat_map(10, 20, false).draw().unwrap();
    let counts: Vec<u64> =
        (0..200).map(|index| index * 37 % 11).filter(|&count| count > 0).collect();
    let found = marks(&figure.svg(), "count");
    let found: Vec<u64> = found.iter().map(|count| count.parse().unwrap()).collect();
    assert_eq!(found, counts);
    assert_eq!(marks(&figure.svg(), "row")[0], names(10)[0]);
    let figure = bars(4, names(30)).draw().unwrap();
    assert_eq!((figure.marks(), marks(&figure.svg(), "y").len()), (120, 120));
    // Too many cells for a page are drawn by colour.
    let dense = HeatMap {
        cells: vec![Cell { value: Some(3.0), count: Some(3) }; 160_000],
        ..heat_map(400, 400, true)
    };
    let dense = dense.draw().unwrap();
    assert_eq!((dense.marks(), count_marks(&dense.svg())), (0, 0));
    assert!(dense.svg().len() < 6_000_000, "{}", dense.svg().len());
}

#[test]
fn text_stays_on_the_sheet_and_touches_no_other() {
    for (series, count) in [(1, 1), (1, 2), (3, 11), (24, 101), (60, 4)] {
        let chart = lines(series, &rounds(count));
        check_texts(&format!("{series} series of {count}"), &chart.draw().unwrap());
        let positive: Vec<f64> = (0..count).map(|power| 2f64.powi(power as i32 % 40 - 9)).collect();
        let places = Places::Ticks { ticks: positive.clone(), logarithmic: true };
        let chart = LineChart { places, ..lines(series, &positive) };
        check_texts(&format!("{series} series of {count} powers"), &chart.draw().unwrap());
        let chart =
            LineChart { places: Places::Names(names(count)), ..lines(series, &rounds(count)) };
        check_texts(&format!("{series} series of {count} names"), &chart.draw().unwrap());
    }
    for count in [1, 2, 5, 25, 100, 400] {
        check_texts(&format!("{count} classes"), &heat_map(count, count, true).draw().unwrap());
        check_texts(&format!("{count} x 10"), &heat_map(count, 10, false).draw().unwrap());
        check_texts(&format!("10 x {count}"), &heat_map(10, count, false).draw().unwrap());
        check_texts(&format!("{count} bars"), &bars(14, names(count)).draw().unwrap());
        let numbers = (0..count).map(|bar| (bar * 1000).to_string()).collect();
        check_texts(&format!("{count} numbered bars"), &bars(5, numbers).draw().unwrap());
    }
}

#[test]
fn upright_labels_lie_beside_each_other() {
    for count in [25, 40, 100, 400] {
        let mut upright: Vec<Rect> = texts(&heat_map(count, count, true).draw().unwrap())
            .into_iter()
            .filter(|(text, _, turned)| *turned && text.chars().any(|c| c.is_ascii_digit()))
            .filter(|(text, ..)| !text.contains("named"))
            .map(|(_, place, _)| place)
            .collect();
        upright.sort_by(|a, b| a.right().total_cmp(&b.right()));
        assert!(upright.len() >= 20, "{count}: {}", upright.len());
        for pair in upright.windows(2) {
            assert!(pair[1].right() - pair[0].right() >= 8.9, "{count}: {pair:?}");
        }
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    for figure in [
        || lines(12, &rounds(30)).draw().unwrap(),
        || heat_map(25, 25, true).draw().unwrap(),
        || bars(5, names(8)).draw().unwrap(),
    ] {
        let (one, two) = (figure(), figure());
        assert_eq!(one.svg(), two.svg());
        assert_eq!(one.png(1.5).unwrap(), two.png(1.5).unwrap());
    }
}

#[test]
fn pictures_have_the_size_that_was_asked_for() {
    let figure = lines(2, &rounds(5)).draw().unwrap();
    let (width, height) = figure.size();
    for scale in [0.5, 1.0, 2.5] {
        let picture = image::load_from_memory(&figure.png(scale).unwrap()).unwrap();
        let side = |length: f64| (length * f64::from(scale)).round() as u32;
        assert_eq!((picture.width(), picture.height()), (side(width), side(height)));
    }
    for scale in [0.0, -1.0, f32::NAN, 1e6] {
        let error = figure.png(scale).unwrap_err();
        assert!(error.to_string().contains("choose a scale"), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let (svg, png) = (folder.path().join("a/b.svg"), folder.path().join("a/b.png"));
    figure.save(&svg, 1.0).unwrap();
    figure.save(&png, 1.0).unwrap();
    assert_eq!(std::fs::read_to_string(svg).unwrap(), figure.svg());
    assert_eq!(std::fs::read(png).unwrap(), figure.png(1.0).unwrap());
}

#[test]
fn a_page_can_scale_and_colour_a_figure_and_read_its_text() {
    let mut chart = lines(2, &rounds(5));
    chart.title = "<b>Titles</b> & \"names\"".into();
    chart.series[0].name = "a < b".into();
    let figure = chart.draw().unwrap();
    let inline = figure.inline("accuracy");
    let document = Document::parse(&inline).unwrap();
    let root = document.root_element();
    assert_eq!((root.attribute("width"), root.attribute("height")), (None, None));
    assert_eq!(root.attribute("role"), Some("img"));
    assert_eq!(root.attribute("aria-labelledby"), Some("accuracy-title accuracy-description"));
    let id = |id: &str| document.descendants().find(|node| node.attribute("id") == Some(id));
    assert_eq!(id("accuracy-title").unwrap().text(), Some("<b>Titles</b> & \"names\""));
    assert!(id("accuracy-description").unwrap().text().unwrap().contains("10 points in 2 series"));
    for variable in ["ink", "muted", "grid", "background", "1", "2"] {
        assert!(inline.contains(&format!("\"var(--figure-{variable}, #")), "{variable}");
        assert!(!figure.svg().contains("var("));
    }
    let words: Vec<&str> = document
        .descendants()
        .filter(|node| node.has_tag_name("text"))
        .filter_map(|n| n.text())
        .collect();
    assert!(words.contains(&"a < b"), "{words:?}");
    // No ids besides those, which other figures of the page could have, too.
    assert_eq!(document.descendants().filter(|node| node.has_attribute("id")).count(), 2);
}

#[test]
fn the_vertical_axis_is_true() {
    let height = |y: f64| {
        let points =
            vec![Point { x: 0.0, y: 10.0, deviation: None }, Point { x: 1.0, y, deviation: None }];
        let series = vec![Series { name: "a".into(), points, style: Style::Points }];
        let other = Series {
            name: "b".into(),
            points: vec![Point { x: 0.5, y: 50.0, deviation: None }],
            style: Style::Points,
        };
        let chart = LineChart { series: [series, vec![other]].concat(), ..LineChart::default() };
        let svg = chart.draw().unwrap().svg();
        let document = Document::parse(&svg).unwrap();
        let mark = document
            .descendants()
            .find(|node| {
                node.attribute("data-series") == Some("a") && node.attribute("data-x") == Some("1")
            })
            .unwrap();
        // The uppermost point of the circle.
        let path = mark.attribute("d").unwrap().to_owned();
        let numbers: Vec<f64> = path
            .split(|c: char| !(c.is_ascii_digit() || c == '.'))
            .filter_map(|number| number.parse().ok())
            .collect();
        numbers.iter().skip(1).step_by(2).copied().fold(f64::INFINITY, f64::min)
    };
    let (low, middle, high) = (height(20.0), height(30.0), height(40.0));
    assert!(low - high > 50.0, "{low} {high}");
    assert!((middle - f64::midpoint(low, high)).abs() <= 0.11, "{low} {middle} {high}");
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let infinite = Point { x: 1.0, y: f64::INFINITY, deviation: None };
    let mut without = lines(1, &[1.0]);
    without.series[0].points = vec![infinite];
    let logarithmic = Places::Ticks { ticks: vec![1.0], logarithmic: true };
    let negative = LineChart { places: logarithmic, ..lines(1, &[-1.0, 1.0]) };
    let unnamed = LineChart { places: Places::Names(names(2)), ..lines(1, &[0.0, 2.0]) };
    let mut uneven = bars(2, names(3));
    uneven.parts[1].values.pop();
    let mut incomplete = heat_map(3, 3, true);
    incomplete.cells.pop();
    for (result, expected) in [
        (lines(0, &[]).draw(), "at least one point"),
        (without.draw(), "at least one point"),
        (lines(169, &[1.0]).draw(), "169 series"),
        (negative.draw(), "-1 on a logarithmic axis"),
        (unnamed.draw(), "outside the 2 names"),
        (bars(15, names(2)).draw(), "15 parts"),
        (bars(0, Vec::new()).draw(), "at least one positive value"),
        (uneven.draw(), "2 values for 3 bars"),
        (heat_map(0, 3, true).draw(), "at least one row"),
        (heat_map(2001, 1, false).draw(), "2001 rows"),
        (incomplete.draw(), "8 cells for 3 rows of 3 columns"),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error, ReportError::Figure { .. }), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn names_in_any_script_can_be_drawn() {
    let endless = "x".repeat(1 << 20);
    let names = [
        "猫",
        "日本語の名前",
        "عربى",
        "😀🧑\u{200d}🚀",
        "two\nlines\u{0}",
        "e\u{301}",
        &endless,
        "",
    ];
    let names = names.map(str::to_owned).to_vec();
    let chart =
        LineChart { places: Places::Names(names.clone()), ..lines(1, &rounds(names.len())) };
    let figure = chart.draw().unwrap();
    assert_eq!(figure.marks(), names.len());
    let svg = figure.svg();
    for name in ["猫", "عربى", "😀🧑\u{200d}🚀", "two lines"] {
        assert!(svg.contains(&format!(">{name}</text>")), "{name}");
    }
    assert!(figure.image(1.0).unwrap().height() > 300);
    // Where no font has them, the scripts are named; Arabic is in the built-in font.
    for missing in figure.missing_scripts() {
        assert!(["Han", "Hiragana", "symbols"].contains(&missing.script.as_str()), "{missing}");
    }
}

/// Models may diverge, and files may be damaged.
#[test]
fn numbers_of_any_size_are_drawn() {
    let most = f64::from(f32::MAX);
    for values in [
        [-1e308, 1e308],
        [0.0, 5e-324],
        [most, -most],
        [f64::MAX, f64::MAX],
        [1e300, 1.0],
        [1e-300, 2e-300],
    ] {
        for far in [1.0, 1e19] {
            let points = values
                .iter()
                .zip([0.0, far])
                .map(|(&y, x)| Point { x, y, deviation: None })
                .collect();
            let series = vec![Series { name: "a".into(), points, style: Style::Solid }];
            let reference = Reference { name: "b".into(), y: 0.5 };
            let chart = LineChart { series, references: vec![reference], ..LineChart::default() };
            let Ok(figure) = chart.draw() else {
                assert!(values.iter().all(|value| value.abs() > 1e300), "{values:?}");
                continue;
            };
            let shown = values.iter().filter(|value| value.abs() <= 1e300).count();
            assert_eq!(figure.marks(), shown, "{values:?} {far}");
        }
        let parts = vec![Part { name: "a".into(), values: values.to_vec() }];
        let bars = StackedBars { places: names(2), parts, ..StackedBars::default() };
        assert_eq!(bars.draw().is_ok(), values.iter().any(|it| *it > 0.0 && *it <= 1e300));
    }
}
