use image::RgbImage;

use super::{
    heat_map::{HeatMap, heat_map},
    ticks,
};
use crate::ReportError;

const FIGURE: &str = "partition";
/// Steps of the colour bar.
const STEPS: usize = 4;

/// How many training images of each class every client has: a row for each class, a column for each
/// client, `counts[client][class]`. What a client does not have is pale grey; the numbers are written into
/// the cells if there is room. Long names are shortened, and where there are more classes or clients than
/// labels fit, the axis says how many are named. The title may have up to three lines.
///
/// # Errors
/// [`ReportError::Figure`] for no classes or clients, more than 2,000, or counts of other numbers of them.
pub fn partition(
    clients: &[String],
    classes: &[String],
    counts: &[Vec<usize>],
    title: &str,
) -> Result<RgbImage, ReportError> {
    if counts.len() != clients.len() || counts.iter().any(|row| row.len() != classes.len()) {
        let (clients, classes) = (clients.len(), classes.len());
        let problem =
            format!("the counts are not those of {clients} clients and {classes} classes");
        return Err(ReportError::Figure { figure: FIGURE, problem });
    }
    let by_class =
        || (0..classes.len()).flat_map(|class| counts.iter().map(move |client| client[class]));
    let value = |count: usize| if count == 0 { f64::NAN } else { count as f64 };
    let values: Vec<f64> = by_class().map(value).collect();
    let cells: Vec<String> = by_class()
        .map(|count| if count == 0 { String::new() } else { count.to_string() })
        .collect();
    // At least an image a step: the bar counts images.
    let most = by_class().max().unwrap_or(0).max(STEPS) as f64;
    let step = ticks::step(most, STEPS, ticks::BAR).ceil();
    heat_map(&HeatMap {
        figure: FIGURE,
        title,
        row_axis: "class",
        rows: classes,
        column_axis: "client",
        columns: clients,
        values: &values,
        range: (0.0, step * STEPS as f64),
        decimals: 0,
        scale: "training images (grey: none)",
        cells: &cells,
        square: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(what: &str, count: usize) -> Vec<String> {
        (0..count).map(|index| format!("{what}-{index:02}")).collect()
    }

    #[test]
    fn any_number_of_clients_and_classes_fits_a_page() {
        for (clients, classes) in [(1, 1), (4, 39), (10, 10), (100, 10), (10, 1000), (100, 397)] {
            let counts = vec![vec![7; classes]; clients];
            let (clients, classes) = (names("client", clients), names("class", classes));
            let image = partition(&clients, &classes, &counts, "a title").unwrap();
            let (width, height) = image.dimensions();
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
    fn nothing_at_all_can_be_drawn_and_differs_from_something() {
        let (clients, classes) = (names("client", 2), names("class", 3));
        let draw =
            |count| partition(&clients, &classes, &[vec![0; 3], vec![count; 3]], "").unwrap();
        assert_ne!(draw(0), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn counts_of_another_shape_are_refused() {
        let (clients, classes) = (names("client", 2), names("class", 3));
        for counts in [vec![vec![1; 3]], vec![vec![1; 3], vec![1; 2]]] {
            let error = partition(&clients, &classes, &counts, "").unwrap_err();
            assert!(error.to_string().contains("2 clients and 3 classes"), "{error}");
        }
        assert!(partition(&[], &classes, &[], "").is_err());
    }
}
